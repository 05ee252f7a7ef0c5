"""The keyed sampler draws from the softmax, whatever the key; top-p keeps what its definition keeps."""

import numpy as np
import pytest
from scipy import stats

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from crossfeed.keys import address, item_keys  # noqa: E402
from crossfeed.learners.language.sampling import (  # noqa: E402
    _IN_CACHE,
    Sampler,
    gumbel,
    position_keys,
    vocabulary_bits,
)
from crossfeed.learners.language.settings import GenerationSettings  # noqa: E402
from crossfeed.learners.language.truncation import nucleus  # noqa: E402

CPU = torch.device("cpu")
UNLIKELY = 1e-6
"""A correct sampler fails a test with this probability, for a seed that is drawn anew at every run."""


@pytest.fixture
def seed():
    value = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", value)
    return value


def keys_of(seed, n):
    return item_keys(address(seed, "test"), np.arange(n))


def chi_square(counts, probs):
    expected = probs * counts.sum()
    rare = expected < 20
    counts = np.append(counts[~rare], counts[rare].sum())
    expected = np.append(expected[~rare], expected[rare].sum())
    kept = expected > 0
    return stats.chisquare(counts[kept], expected[kept] * counts.sum() / expected.sum()).pvalue


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_softmax(seed, temperature):
    vocabulary, items, positions = 200, 2000, 20
    logits = torch.tensor(np.random.default_rng(seed).normal(size=vocabulary) * 2, dtype=torch.float32)
    words = position_keys(keys_of(seed, items), positions)
    sampler = Sampler(GenerationSettings(temperature=temperature), vocabulary, CPU)
    drawn = [sampler.draw(logits.expand(items, -1), words[:, t]).numpy() for t in range(positions)]
    counts = np.bincount(np.concatenate(drawn), minlength=vocabulary)
    assert chi_square(counts, (logits.double() / temperature).softmax(0).numpy()) > UNLIKELY


def test_noise_is_gumbel_and_reaches_its_tails(seed):
    noise = gumbel(position_keys(keys_of(seed, 1000), 1)[:, 0], vocabulary_bits(1000, CPU)).numpy()
    assert np.isfinite(noise).all()
    # E = exp(-G) is exponential with mean 1; its uniform transform is tested in equal cells and in the tail of wins.
    uniform = np.exp(-np.exp(-noise.astype(np.float64))).ravel()
    counts = np.histogram(uniform, bins=1000, range=(0, 1))[0]
    assert stats.chisquare(counts).pvalue > UNLIKELY
    winners = np.count_nonzero(noise > 9.0)
    chance = -np.expm1(-np.exp(-9.0))
    assert stats.binomtest(winners, noise.size, chance).pvalue > UNLIKELY


def test_neighbours_are_independent(seed):
    """Items, positions and vocabulary indices side by side: no correlation of the uniform transforms."""
    bits = vocabulary_bits(512, CPU)
    words = position_keys(keys_of(seed, 256), 2)
    first, second = (np.exp(-np.exp(-gumbel(words[:, t], bits).numpy().astype(float))) for t in range(2))
    pairs = {
        "items": (first[1:], first[:-1]),
        "positions": (first, second),
        "vocabulary": (first[:, 1:], first[:, :-1]),
    }
    for name, (left, right) in pairs.items():
        r = np.corrcoef(left.ravel(), right.ravel())[0, 1]
        assert abs(r) * np.sqrt(left.size) < 6, name


def test_the_documented_recipe_in_plain_integers():
    """A naive twin of the module's docstring, one number at a time."""
    mask = 0xFFFFFFFF

    def lowbias(x):
        x = (x ^ (x >> 16)) * 0x7FEB352D & mask
        x = (x ^ (x >> 15)) * 0x846CA68B & mask
        return x ^ (x >> 16)

    key = address(7, "twin")
    places = item_keys(key, np.arange(3))
    fast = gumbel(position_keys(np.array([key], dtype=np.uint64), 3)[:, 2], vocabulary_bits(50, CPU))[0].numpy()
    low, high = int(places[2]) & mask, int(places[2]) >> 32
    for v in range(50):
        x = (lowbias(v) ^ low) * 0x7FEB352D & mask
        x = ((x ^ (x >> 15)) + high) * 0x846CA68B & mask
        x = (x ^ (x >> 16)) & 0x7FFFFFFF
        assert fast[v] == pytest.approx(-np.log(-np.log1p(-(x + 0.5) * 2.0**-31)), abs=2e-5)


def test_top_p_keeps_the_smallest_sufficient_set(seed):
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(40, 30)).astype(np.float32) * 3
    for top_p in (0.1, 0.5, 0.9):
        fast = nucleus(torch.from_numpy(logits), top_p).numpy()
        for row, kept in zip(logits, np.isfinite(fast), strict=True):
            probs = np.exp(row - row.max(), dtype=np.float64)
            probs /= probs.sum()
            total, expected = 0.0, set()
            for token in np.argsort(-row, kind="stable"):
                if total >= top_p:
                    break
                total += probs[token]
                expected.add(token)
            assert set(np.flatnonzero(kept)) == expected
        assert np.array_equal(fast[np.isfinite(fast)], logits[np.isfinite(fast)])


def test_temperature_zero_is_the_likeliest():
    logits = torch.randn(5, 40, generator=torch.Generator().manual_seed(0))
    words = position_keys(keys_of(0, 5), 1)[:, 0]
    assert torch.equal(Sampler(GenerationSettings(temperature=0.0), 40, CPU).draw(logits, words), logits.argmax(1))


@pytest.mark.parametrize("how", [{}, {"top_p": 0.7}, {"top_k": 9}, {"min_p": 0.1}, {"repetition_penalty": 2.0}])
def test_rows_are_drawn_alike_alone_and_together(how):
    rows, vocabulary = 150, 1024
    seed = int(np.random.default_rng().integers(2**31))
    logits = 3 * torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed))
    words = position_keys(np.arange(seed, seed + rows, dtype=np.uint64), 1)[:, 0]
    sampler = Sampler(GenerationSettings(temperature=0.9, **how), vocabulary, torch.device("cpu"))
    assert rows * vocabulary > 2 * _IN_CACHE, "several pieces"
    prompts = [np.arange(row, row + 9) for row in range(rows)]
    alone = [
        int(sampler.draw(one[None], word[None], sampler.seen([prompt])))
        for one, word, prompt in zip(logits, words, prompts, strict=True)
    ]
    assert sampler.draw(logits, words, sampler.seen(prompts)).tolist() == alone
