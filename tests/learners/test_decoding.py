"""Truncated sampling, repetition penalty and beam search: those of transformers, the same on every path."""

import itertools

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError
from scipy import stats

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from test_language_kit import LLAMA_3, OPT_350M, keys, learner, prose, random_model, settings, sums, training_set  # noqa: E402

from crossfeed.learners.language.sampling import Sampler, position_keys  # noqa: E402
from crossfeed.learners.language.settings import GenerationSettings  # noqa: E402
from crossfeed.learners.language.truncation import penalised, tokens_seen, truncated  # noqa: E402

CPU = torch.device("cpu")
FILTERS = [
    {"top_k": 1},
    {"top_k": 7},
    {"top_k": 1000},
    {"min_p": 0.05},
    {"min_p": 1.0},
    {"top_p": 0.8},
    {"top_k": 20, "top_p": 0.9, "min_p": 0.02},
]


@pytest.fixture(scope="module", params=["scratch", "opt", "llama"])
def base(request, tmp_path_factory):
    """A base that is computed by hand, and two of transformers."""
    if request.param == "scratch":
        return None
    config = {"opt": OPT_350M, "llama": LLAMA_3}[request.param]
    return {"model": str(random_model(request.param, tmp_path_factory.mktemp(request.param), **config))}


@pytest.fixture
def rng():
    seed = int(np.random.SeedSequence().entropy % 2**32)
    print("seed", seed)
    return np.random.default_rng(seed)


def theirs(logits, ids, how, temperature):
    """What transformers makes of logits before it draws."""
    from transformers import LogitsProcessorList
    from transformers.generation import logits_process as made

    steps = LogitsProcessorList([made.TemperatureLogitsWarper(temperature)])
    if "repetition_penalty" in how:
        steps.insert(0, made.RepetitionPenaltyLogitsProcessor(how["repetition_penalty"]))
    steps += [made.TopKLogitsWarper(how["top_k"])] if "top_k" in how else []
    steps += [made.TopPLogitsWarper(how["top_p"])] if "top_p" in how else []
    steps += [made.MinPLogitsWarper(how["min_p"])] if "min_p" in how else []
    return steps(ids, logits.clone())


@pytest.mark.parametrize("temperature", [0.7, 1.0, 1.6])
@pytest.mark.parametrize("penalty", [None, 0.8, 1.3])
@pytest.mark.parametrize("how", FILTERS)
def test_distributions_are_those_of_transformers(rng, how, penalty, temperature):
    how = how if penalty is None else how | {"repetition_penalty": penalty}
    logits = torch.from_numpy(rng.normal(size=(60, 90)).astype(np.float32) * 3)
    ids = torch.from_numpy(rng.integers(90, size=(60, 12)))
    chosen = GenerationSettings(temperature=temperature, **how)
    ours = penalised(logits, tokens_seen(list(ids.numpy()), 90, CPU), chosen.repetition_penalty)
    ours, expected = truncated(ours / temperature, chosen), theirs(logits, ids, how, temperature)
    torch.testing.assert_close(ours.softmax(-1), expected.softmax(-1), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("how", [*FILTERS[1:], {"top_k": 20, "repetition_penalty": 1.3}])
def test_draws_follow_that_distribution(rng, how):
    items, positions, vocabulary = 2000, 20, 60
    logits = torch.from_numpy(rng.normal(size=vocabulary).astype(np.float32) * 2)
    ids = rng.integers(vocabulary, size=5)
    sampler = Sampler(GenerationSettings(temperature=0.9, **how), vocabulary, CPU)
    words = position_keys(rng.integers(1 << 62, size=items).astype(np.uint64), positions)
    drawn = [
        sampler.draw(logits.expand(items, -1), words[:, t], sampler.seen([ids] * items)).numpy()
        for t in range(positions)
    ]
    counts = np.bincount(np.concatenate(drawn), minlength=vocabulary)
    probs = theirs(logits[None], torch.from_numpy(ids)[None], how, 0.9).softmax(-1)[0].double().numpy()
    assert counts[probs == 0].sum() == 0
    kept = probs > 0
    if kept.sum() > 1:
        assert stats.chisquare(counts[kept], probs[kept] / probs.sum() * counts.sum()).pvalue > 1e-6


def items():
    return pa.concat_tables([sums(6, 12), prose(1, 2), sums(8, 10)])


def generated_by_transformers(made, place, state=None, **how):
    """Completions of `items`, one text at a time, and whether each ended."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made.save(state or made.start(range(1))[0], place)
    model, tokenizer = AutoModelForCausalLM.from_pretrained(place), AutoTokenizer.from_pretrained(place)
    found = []
    for prompt in items()["prompt"].to_pylist():
        ids = torch.tensor([tokenizer(prompt)["input_ids"][-48:] or [tokenizer.eos_token_id]])
        new = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            do_sample=False,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.eos_token_id,
            max_new_tokens=16,
            **how,
        )[0, ids.shape[1] :].tolist()
        found.append((tokenizer.decode(new, skip_special_tokens=True), tokenizer.eos_token_id in new))
    return found


def completions(made, rows=None, state=None):
    [state] = [state] if state else made.start(range(1))
    table, own = items(), keys(24, "decoding")
    rows = np.arange(24) if rows is None else rows
    [ours] = made.generate([state], [table.take(pa.array(rows))], [own[rows]])
    return list(zip(ours["completion"].to_pylist(), ours["finished"].to_pylist(), strict=True))


@pytest.mark.parametrize("penalty", [0.7, 1.5])
def test_greedy_with_a_penalty_is_that_of_transformers(base, tmp_path, penalty):
    made = learner(base, generation={"temperature": 0.0, "repetition_penalty": penalty})
    expected = generated_by_transformers(made, tmp_path, repetition_penalty=penalty)
    assert completions(made) == expected
    assert expected != completions(learner(base, generation={"temperature": 0.0}))


@pytest.mark.parametrize(("beams", "penalty"), [(2, 1.0), (5, 1.0), (5, 1.5)])
def test_beams_are_those_of_transformers(base, tmp_path, beams, penalty):
    made = learner(base, generation={"beams": beams, "repetition_penalty": penalty})
    expected = generated_by_transformers(made, tmp_path, num_beams=beams, repetition_penalty=penalty)
    assert completions(made) == expected
    assert expected != completions(learner(base, generation={"temperature": 0.0, "repetition_penalty": penalty}))


def test_beams_of_texts_that_end_early_are_those_of_transformers(base, tmp_path):
    """Searches end at different lengths, by the heuristic of transformers."""
    made = learner(base, generation={"beams": 3}, training={"initial_steps": 200, "learning_rate": 3e-3})
    short = pa.table({"prompt": sums(4, 60)["prompt"], "completion": [" 5", " 8 coins.", ""] * 20})
    [state] = made.update(made.start(range(1)), [training_set(short)], [1], 0)
    found = completions(made, state=state)
    assert found == generated_by_transformers(made, tmp_path, state, num_beams=3)
    assert sum(ended for _, ended in found) > 5
    greedy = learner(base, generation={"temperature": 0.0})
    assert found != completions(greedy, state=state)


@pytest.mark.parametrize(
    "how",
    [
        {"beams": 3},
        {"top_k": 12, "min_p": 0.02},
        {"temperature": 0.8, "top_p": 0.9, "repetition_penalty": 1.2},
    ],
)
def test_a_text_does_not_depend_on_its_batch(base, how):
    found = []
    order = np.random.default_rng(0).permutation(24)
    for size, rows in ((1, np.arange(24)), (64, np.arange(24)), (7, order)):
        found.append(completions(learner(base, generation=how | {"batch_size": size}), rows))
    assert found[0] == found[1]
    assert found[2] == [found[0][row] for row in order]


@pytest.mark.parametrize(
    "how", [{"top_k": 12, "min_p": 0.02}, {"repetition_penalty": 1.3}, {"temperature": 0.0, "repetition_penalty": 1.3}]
)
def test_texts_by_hand_are_those_of_the_module(how):
    by_hand, module = learner(generation=how), learner(generation=how)
    module._model.handwritten = None
    assert by_hand._model.handwritten is not None
    pairs = list(zip(completions(by_hand), completions(module), strict=True))
    assert np.mean([one == other for one, other in pairs]) > 0.9  # rounding may flip a near-tie


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"beams": 4, "top_k": 5}, "top_k would do nothing"),
        ({"beams": 4, "temperature": 0.5}, "temperature would do nothing"),
        ({"beams": 4, "top_p": 0.5, "min_p": 0.5}, "top_p and min_p would do nothing"),
        ({"top_k": 0}, "greater than or equal to 1"),
        ({"min_p": 1.5}, "less than or equal to 1"),
        ({"repetition_penalty": 0.0}, "greater than 0"),
        ({"beams": 0}, "greater than or equal to 1"),
    ],
)
def test_what_cannot_be_is_named(changes, words):
    with pytest.raises(ValidationError, match=words):
        GenerationSettings.model_validate(changes)


def test_decoding_does_not_change_generation_zero():
    """Nothing is generated before: cells that differ in decoding alone share their first states."""
    plain = settings().start_identity()
    for how in ({"beams": 3}, {"top_k": 2}, {"min_p": 0.5}, {"repetition_penalty": 2.0}, {"temperature": 0.5}):
        assert settings(generation=how).start_identity() == plain
    assert len({str(settings(generation=how).start_identity()) for how in ({}, {"max_new_tokens": 3})}) == 2
    assert all(a != b for a, b in itertools.combinations([settings(generation={"beams": k}) for k in (1, 2, 3)], 2))
