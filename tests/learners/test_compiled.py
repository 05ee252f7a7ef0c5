"""What is compiled computes what torch does, on every set of instructions that this processor has.

Writing with a cache is held against whole texts in test_handwritten.py, on the set that is used here.
"""

import functools

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from crossfeed.learners.language import sampling  # noqa: E402
from crossfeed.learners.language.handwritten.compiled_ops import CompiledOps  # noqa: E402
from crossfeed.learners.language.handwritten.config import HandwrittenConfig  # noqa: E402
from crossfeed.learners.language.handwritten.torch_ops import TorchOps  # noqa: E402
from crossfeed.learners.language.settings import GenerationSettings  # noqa: E402
from crossfeed.learners.neural.compiled.kernels import Kernels  # noqa: E402
from crossfeed.learners.neural.compiled.library import compiler, library  # noqa: E402

ORDER = ("DEFAULT", "AVX2", "AVX512")
HERE = torch.backends.cpu.get_cpu_capability()
SETS = ORDER[: ORDER.index(HERE) + 1] if HERE in ORDER else (HERE,)

needs_compiler = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")


@pytest.fixture(params=SETS)
def kernels(request):
    found = built(request.param)
    if found is None:
        pytest.skip("there is no C compiler")
    return found


@functools.cache
def built(capability):
    found = library(capability)
    return None if found is None else Kernels(found)


def rng_of(seed):
    """Any seed passes: one more is drawn each time."""
    return np.random.default_rng(seed)


def numbers(rng, *shape, scale=1.0):
    return torch.from_numpy(rng.normal(scale=scale, size=shape)).float()


def near(found, expected, tolerance=2e-6):
    """Whether numbers differ by a share of the largest of them at most."""
    expected = torch.as_tensor(expected).double()
    return found.shape == expected.shape and bool(
        (found.double() - expected).abs().max() <= tolerance * max(1e-30, float(expected.abs().max()))
    )


@pytest.mark.parametrize("seed", [*range(8), None])
def test_norms_and_gates_are_those_in_double_precision(kernels, seed):
    rng, exact, ops = rng_of(seed), TorchOps(), CompiledOps(kernels, torch.float32)
    n, width, epsilon = int(rng.integers(1, 40)), int(rng.integers(2, 70)), float(10 ** rng.uniform(-6, 0))
    x, gradient, into = (numbers(rng, n, width, scale=10 ** rng.uniform(-3, 3)) for _ in range(3))
    (y, factors), (wanted, wanted_factors) = ops.norm(x, epsilon), exact.norm(x.double(), epsilon)
    assert near(y, wanted)
    twin = into.double()
    exact.norm_backward(gradient.double(), wanted, wanted_factors, twin)
    ops.norm_backward(gradient, y, factors, into)
    assert near(into, twin, 1e-5)

    gate_up, given = numbers(rng, n, 2 * width, scale=10 ** rng.uniform(-2, 2)), numbers(rng, n, width)
    found, kept = ops.gate(gate_up)
    wanted, kept_exactly = exact.gate(gate_up.double())
    assert near(found, wanted)
    gradients = exact.gate_backward(given.double(), gate_up.double(), kept_exactly)
    assert near(ops.gate_backward(given, gate_up, kept), gradients)


@pytest.mark.parametrize("seed", [*range(8), None])
def test_losses_and_gradients_are_those_in_double_precision(kernels, seed):
    rng, exact, ops = rng_of(seed), TorchOps(), CompiledOps(kernels, torch.float32)
    n, vocabulary = int(rng.integers(1, 20)), int(rng.integers(1, 200))
    logits = numbers(rng, n, vocabulary, scale=10 ** rng.uniform(-2, 2.3))
    targets = torch.from_numpy(rng.integers(vocabulary, size=n))
    doubled, wanted, found = logits.double(), torch.empty(n).double(), torch.empty(n)
    twin = logits.clone()
    exact.losses(doubled, targets, wanted, with_gradient=True)
    ops.losses(logits, targets, found, with_gradient=True)
    assert (found - wanted).abs().max() <= 1e-5 * wanted.abs().max() + 1e-6
    assert (logits - doubled).abs().max() <= 1e-5
    again = torch.empty(n)
    ops.losses(twin, targets, again, with_gradient=False)
    assert torch.equal(again, found)


@pytest.mark.parametrize("seed", [*range(6), None])
def test_ops_in_bf16_differ_from_those_in_fp32_by_one_rounding(kernels, seed):
    """Numbers that bf16 holds are given to both: what comes out is the same, rounded once."""
    rng, exact, ops = rng_of(seed), CompiledOps(kernels, torch.float32), CompiledOps(kernels, torch.bfloat16)
    n, width = int(rng.integers(1, 40)), int(rng.integers(1, 70))
    x, gradient, gate_up = (numbers(rng, n, width * k).bfloat16() for k in (1, 1, 2))

    (y, factors), (whole, same) = ops.norm(x.float(), 1e-6), exact.norm(x.float(), 1e-6)
    assert torch.equal(y, whole.bfloat16())
    assert torch.equal(factors, same)
    into, twin = torch.zeros(n, width), torch.zeros(n, width)
    ops.norm_backward(gradient, y, factors, into)
    exact.norm_backward(gradient.float(), y.float(), factors, twin)
    assert torch.equal(into, twin)

    assert torch.equal(ops.gate(gate_up)[0], exact.gate(gate_up.float())[0].bfloat16())
    gradients = exact.gate_backward(gradient.float(), gate_up.float(), [])
    assert torch.equal(ops.gate_backward(gradient, gate_up.clone(), []), gradients.bfloat16())

    targets, logits = torch.from_numpy(rng.integers(width, size=n)), x.float()
    found, wanted = torch.empty(n), torch.empty(n)
    ops.losses(x, targets, found, with_gradient=True)
    exact.losses(logits, targets, wanted, with_gradient=True)
    assert torch.equal(found, wanted)
    assert torch.equal(x, logits.bfloat16())


@pytest.mark.parametrize("seed", [*range(12), None])
def test_attention_is_that_in_double_precision(kernels, seed):
    rng, exact, ops = rng_of(seed), TorchOps(), CompiledOps(kernels, torch.float32)
    groups, shared, size = int(rng.integers(1, 4)), int(rng.integers(1, 4)), int(rng.choice([2, 8, 16, 31, 32, 48, 64]))
    config = HandwrittenConfig(1, groups * shared, groups, size, 1e-6, True, None, torch.ones(1))
    lengths = rng.integers(1, 80, size=int(rng.integers(1, 6))).tolist()
    qkv = numbers(rng, sum(lengths), (config.heads + 2 * groups) * size, scale=10 ** rng.uniform(-2, 0.5))
    gradient = numbers(rng, sum(lengths), config.heads * size)
    attention, exactly = ops.attention(config, lengths), exact.attention(config, lengths)
    exactly._masks = [mask.double() for mask in exactly._masks]
    (seen, kept), (wanted, kept_exactly) = attention.forward(qkv), exactly.forward(qkv.double())
    assert near(seen, wanted, 1e-4)
    found = attention.backward(gradient, qkv, kept)
    assert near(found, double_backward(exactly, gradient, qkv, kept_exactly), 1e-4)


def double_backward(exactly, gradient, qkv, kept):
    """The gradients by autograd: those in torch are made for single precision."""
    leaf = qkv.double().requires_grad_()
    queries, keys, values = exactly._heads(leaf)
    seen = []
    for mask, *each in zip(exactly._masks, *map(exactly._texts, (queries, keys, values)), strict=True):
        query, key, value = each
        seen.append((mask + query @ key.mT).softmax(-1) @ value)
    together = torch.cat(seen, dim=1).transpose(0, 1).flatten(1)
    return torch.autograd.grad(together, leaf, gradient.double())[0]


@pytest.mark.parametrize("seed", [*range(4), None])
@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
def test_draws_are_those_of_torch(kernels, temperature, seed):
    rng = rng_of(seed)
    vocabulary = int(rng.integers(1, 300))
    sampler = sampling.Sampler(GenerationSettings(temperature=temperature), vocabulary, torch.device("cpu"))
    logits = numbers(rng, 400, vocabulary, scale=10 ** rng.uniform(-2, 1))
    logits[rng.random(logits.shape) < 0.1] = -torch.inf
    logits[:, int(rng.integers(vocabulary))] = 0.0
    words = sampling.position_keys(rng.integers(1 << 62, size=400).astype(np.uint64), 3)[:, 1]
    found = kernels.draw(logits, words, sampling.vocabulary_bits(vocabulary, torch.device("cpu")), temperature)
    sampler._compiled = None
    assert (found == sampler.draw(logits, words)).sum() >= 399  # rounding may decide one draw in very many


def test_equal_scores_go_to_the_first(kernels):
    """Of the same index twice the first is drawn, wherever the two are."""
    rng = rng_of(None)
    bits = sampling.vocabulary_bits(90, torch.device("cpu"))
    for _ in range(50):
        first, second = sorted(rng.choice(90, size=2, replace=False).tolist())
        logits = torch.full((1, 90), -torch.inf)
        logits[0, [first, second]] = 1.0
        same = bits.clone()
        same[second] = same[first]
        words = torch.from_numpy(rng.integers(-(1 << 31), 1 << 31, size=(1, 2)).astype(np.int32))
        assert kernels.draw(logits, words, same, 1.0).item() == first


def test_drawn_tokens_have_the_probabilities_of_their_logits(kernels):
    """Against the exact probabilities, in standard errors, with noise that no other draw has had."""
    rng, n = rng_of(None), 40_000
    logits = numbers(rng, 1, 37, scale=1.5)
    words = torch.from_numpy(rng.integers(-(1 << 31), 1 << 31, size=(n, 2)).astype(np.int32))
    bits = sampling.vocabulary_bits(37, torch.device("cpu"))
    found = kernels.draw(logits.repeat(n, 1), words, bits, 0.8)
    probs = (logits[0].double() / 0.8).softmax(0)
    off = torch.bincount(found, minlength=37) / n - probs
    assert (off.abs() <= 5.5 * (probs * (1 - probs) / n).sqrt() + 1e-4).all()


def test_tensors_that_are_not_side_by_side_are_refused(kernels):
    with pytest.raises(ValueError, match="contiguous"):
        kernels.norm(torch.ones(4, 6)[:, ::2], 1e-6, torch.float32)


@needs_compiler
def test_the_library_is_compiled_once_and_found_again(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path))
    assert library() is not None
    (made,) = tmp_path.glob("kernels/*/kernels.so")
    before = made.stat().st_mtime_ns
    assert library() is not None
    assert made.stat().st_mtime_ns == before


@pytest.mark.parametrize("command", ["", "no-such-compiler", "false", "python -c 'print(1)'"])
def test_without_a_compiler_that_works_there_is_no_library(tmp_path, monkeypatch, command):
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path))
    monkeypatch.setenv("CC", command)
    assert library() is None


def test_without_a_place_there_is_no_library(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path / "file"))
    assert library() is None


@needs_compiler
def test_code_that_others_could_have_put_there_is_not_loaded(tmp_path, monkeypatch):
    monkeypatch.setenv("CROSSFEED_CACHE", str(tmp_path))
    assert library() is not None
    (folder,) = [path for path in (tmp_path / "kernels").iterdir() if path.is_dir()]
    folder.chmod(0o770)
    assert library() is None
