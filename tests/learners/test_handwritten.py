"""Passes by hand against transformers' own, over random sizes."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from test_language_kit import learner  # noqa: E402

from crossfeed.learners.language import sampling  # noqa: E402
from crossfeed.learners.language.decoding import complete  # noqa: E402
from crossfeed.learners.language.handwritten import config  # noqa: E402
from crossfeed.learners.language.handwritten import model as handwritten_model  # noqa: E402
from crossfeed.learners.language.handwritten.compiled_ops import CompiledOps  # noqa: E402
from crossfeed.learners.language.handwritten.model import verified_handwritten  # noqa: E402
from crossfeed.learners.language.handwritten.ops import rotary_table  # noqa: E402
from crossfeed.learners.language.handwritten.packed import PackedSequence  # noqa: E402
from crossfeed.learners.language.handwritten.torch_ops import TorchOps  # noqa: E402
from crossfeed.learners.language.model import CausalModel  # noqa: E402
from crossfeed.learners.language.request import CompletionRequest  # noqa: E402
from crossfeed.learners.language.settings import GenerationSettings  # noqa: E402
from crossfeed.learners.neural.compiled.kernels import kernels  # noqa: E402
from crossfeed.learners.neural.device import open_device  # noqa: E402


@pytest.fixture(params=[CompiledOps, TorchOps], autouse=True)
def ops(request, monkeypatch):
    """Everything holds for what is compiled, and for what is there without a compiler."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    if request.param is TorchOps:
        for module in (handwritten_model, sampling):
            monkeypatch.setattr(module, "kernels", lambda: None)
    elif kernels() is None:
        pytest.skip("there is no C compiler")
    yield request.param
    torch.set_num_threads(before)


def llama(rng, **changes):
    """A Llama of random sizes and weights, with weights so large that every part of it matters."""
    from transformers import AutoConfig, AutoModelForCausalLM

    groups, shared, pairs = rng.integers(1, 4, 3).tolist()
    heads = groups * shared
    shape = {
        "vocab_size": int(rng.integers(5, 300)),
        "hidden_size": heads * 2 * pairs,
        "intermediate_size": int(rng.integers(1, 40)),
        "num_hidden_layers": int(rng.integers(1, 4)),
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": 2 * int(rng.integers(1, 9)),
        "tie_word_embeddings": bool(rng.integers(2)),
        "rms_norm_eps": float(10.0 ** rng.uniform(-6, -1)),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(10.0 ** rng.uniform(1, 5))},
        "max_position_embeddings": 64,
        "pad_token_id": [None, int(rng.integers(5))][rng.integers(2)],
    }
    config = AutoConfig.for_model("llama", **shape | changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(rng.integers(1 << 31)))
        module = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
        for parameter in module.parameters():
            torch.nn.init.normal_(parameter, mean=0.1, std=parameter.shape[-1] ** -0.5)
    return module


def texts(rng, vocabulary, n=6):
    return [rng.integers(vocabulary, size=length) for length in rng.integers(0, 40, n)]


def naive_losses(module, ids):
    """Losses of one text, by the module in double precision."""
    logits = module(input_ids=torch.from_numpy(ids)[None]).logits[0, :-1]
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(ids[1:]), reduction="none")


def near(found, expected, tolerance):
    """Whether numbers differ by a share of the largest of them at most."""
    return (found.double() - expected).abs().max() <= tolerance * expected.abs().max()


def rng_of(seed):
    """Any seed passes: one more is drawn each time."""
    return np.random.default_rng(seed)


@pytest.mark.parametrize("seed", [*range(12), None])
def test_losses_and_gradients_are_those_of_transformers(seed):
    rng = rng_of(seed)
    module = llama(rng)
    twin, found = verified_handwritten(module), texts(rng, module.config.vocab_size)
    found.append(rng.integers(module.config.vocab_size, size=int(rng.integers(2, 64))))
    losses = twin.losses(found)
    total, gradients = twin.gradients(found, 0.25, twin.weights())

    module = module.double()
    expected = torch.cat([naive_losses(module, ids) for ids in found if len(ids) > 1])
    assert near(losses, expected.detach(), 1e-4)
    assert near(total, 0.25 * expected.detach().sum(), 1e-4)
    parameters = dict(module.named_parameters())
    by_autograd = torch.autograd.grad(0.25 * expected.sum(), list(parameters.values()))
    assert gradients.keys() == parameters.keys()
    for name, each in zip(parameters, by_autograd, strict=True):
        assert near(gradients[name], each, 1e-3), name


def test_gradients_are_added_to_those_that_are_there():
    rng = rng_of(None)
    module = llama(rng)
    twin, found = verified_handwritten(module), [*texts(rng, module.config.vocab_size), np.arange(5) % 5]
    twin.backward(found, 1.0)
    once = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
    twin.backward([np.array([1]), np.array([], dtype=np.int64)], 1.0)
    twin.backward(found, 1.0)
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter.grad, 2 * once[name])


@pytest.mark.parametrize("seed", [*range(6), None])
def test_new_tokens_see_what_came_before_them(seed):
    """Logits token after token, while rows end and others take their places, are those of whole texts."""
    rng = rng_of(seed)
    module = llama(rng)
    twin, size = verified_handwritten(module), module.config.vocab_size
    passes, weights, room = twin.passes, twin.weights(), 40
    rows = [list(rng.integers(size, size=length)) for length in rng.integers(1, 30, 7)]
    before = PackedSequence.of([np.array(row) for row in rows])
    cache = passes.ops.cache(passes.config, torch.tensor([len(row) - 1 for row in rows]), room)
    owners = [row for row, tokens in enumerate(rows) for _ in tokens[1:]]
    passes.fill(weights, before, torch.tensor(owners), cache)
    module = module.double()
    while rows:
        places = torch.tensor([len(row) - 1 for row in rows])
        last = torch.tensor([int(row[-1]) for row in rows])
        found = passes.next_logits(weights, last, rotary_table(passes.config, room)[places], cache)
        whole = [module(input_ids=torch.tensor([row])).logits[0, -1].detach() for row in rows]
        assert near(found, torch.stack(whole), 1e-4)
        left = len(rows) - int(rng.integers(0, 3))
        if left > 0 and left < len(rows):
            hole = int(rng.integers(left))
            cache.keep(torch.tensor([hole]), torch.tensor([len(rows) - 1]), left)
            rows[hole] = rows[-1]
        rows = [[*row, int(rng.integers(size))] for row in rows[: max(0, left)]]
        rows = rows if max(map(len, rows), default=0) <= room else []


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_texts_are_those_of_the_module(temperature):
    rng = rng_of(None)
    module = llama(rng, vocab_size=50)
    model = CausalModel(module, open_device("cpu", "fp32", 1))
    settings = GenerationSettings(temperature=temperature, max_new_tokens=12, max_prompt_tokens=30, batch_size=8)
    prompts = [rng.integers(50, size=length) for length in rng.integers(1, 30, 20)]
    keys = rng.integers(1 << 62, size=20).astype(np.uint64)
    request = CompletionRequest(prompts, keys, settings, frozenset({3, 7, 11, 20}), 0)
    by_hand = complete(model, request, lambda n: None)
    model.handwritten = None
    expected = complete(model, request, lambda n: None)
    same = [a.finished == b.finished and np.array_equal(a.ids, b.ids) for a, b in zip(by_hand, expected, strict=True)]
    assert sum(same) >= 19  # rounding may decide one text in very many


def test_nothing_to_predict():
    twin = verified_handwritten(llama(rng_of(None)))
    assert twin.losses([np.array([1]), np.array([], dtype=np.int64)]).shape == (0,)
    assert twin.backward([np.array([1])], 1.0) == 0


def test_a_result_does_not_depend_on_what_came_before():
    rng = rng_of(None)
    module = llama(rng)
    twin, one, other = verified_handwritten(module), *(texts(rng, module.config.vocab_size, 9) for _ in range(2))
    first = twin.gradients(one, 1.0, twin.weights())[1], twin.losses(one)
    twin.gradients(other, 1.0, twin.weights())
    twin.losses(other)
    again = twin.gradients(one, 1.0, twin.weights())[1], twin.losses(one)
    assert all(torch.equal(first[0][name], again[0][name]) for name in first[0])
    assert torch.equal(first[1], again[1])


def test_improbable_targets_have_finite_losses():
    """Their own probabilities are too small for a number."""
    module = llama(rng_of(None), vocab_size=40, hidden_size=8, num_attention_heads=2, num_key_value_heads=2)
    with torch.no_grad():
        module.lm_head.weight.mul_(1e3)
    twin, ids = verified_handwritten(module), np.arange(40)
    found = twin.losses([ids])
    assert near(found, naive_losses(module.double(), ids).detach(), 1e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention_bias": True},
        {"mlp_bias": True},
        {"attention_dropout": 0.1},
        {"hidden_act": "gelu"},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}},
    ],
)
def test_other_llamas_are_left_to_transformers(changes):
    assert verified_handwritten(llama(rng_of(0), **changes)) is None


def test_a_module_that_computes_otherwise_is_left_to_itself():
    """Its configuration says nothing of it: what it computes decides."""
    module = llama(rng_of(None))
    assert verified_handwritten(module) is not None
    module.model.layers[0].mlp.act_fn = torch.nn.ReLU()
    assert verified_handwritten(module) is None


def test_models_that_are_not_kept_in_fp32_are_left_to_transformers():
    assert verified_handwritten(llama(rng_of(0)).to(torch.bfloat16)) is None


def test_products_in_bf16_are_as_exact_as_those_of_autocast(ops):
    """Only where the rest is compiled. Gradients are off by 0.87 times as much as autocast's, over many models."""
    if ops is TorchOps:
        assert verified_handwritten(llama(rng_of(0)), torch.bfloat16) is None
        return
    ratios = []
    for _ in range(20):
        rng = rng_of(None)
        module = llama(rng)
        twin, kept = (
            verified_handwritten(module, torch.bfloat16),
            [rng.integers(module.config.vocab_size, size=25) for _ in range(3)],
        )
        gradients = twin.gradients(kept, 1.0, twin.weights())[1]
        parameters = dict(module.named_parameters())
        with torch.autocast("cpu", torch.bfloat16):
            rough = torch.cat([naive_losses(module, ids) for ids in kept])
        by_autocast = torch.autograd.grad(rough.sum(), list(parameters.values()))
        exact = torch.cat([naive_losses(module.double(), ids) for ids in kept])
        by_autograd = torch.autograd.grad(exact.sum(), list(module.parameters()))
        found = off([gradients[name] for name in parameters], by_autograd)
        ratios.append(found / off(by_autocast, by_autograd))
    assert np.log(ratios).mean() < np.log(1.3)


def off(found, exact):
    """How far numbers are from others, as a share of these."""
    gaps = sum(float((one.double() - other).square().sum()) for one, other in zip(found, exact, strict=True))
    return (gaps / sum(float(other.square().sum()) for other in exact)) ** 0.5


def test_large_models_are_left_to_their_module(monkeypatch):
    module = llama(rng_of(None))
    size = sum(parameter.numel() for parameter in module.parameters())
    monkeypatch.setattr(config, "_LARGEST", size)
    assert verified_handwritten(module) is not None
    monkeypatch.setattr(config, "_LARGEST", size - 1)
    assert verified_handwritten(module) is None


def test_a_base_made_here_is_computed_by_hand(ops):
    assert type(learner()._model.handwritten.passes.ops) is ops


def test_many_threads_share_what_is_in_torch(monkeypatch):
    monkeypatch.setattr(handwritten_model, "kernels", kernels)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert type(verified_handwritten(llama(rng_of(None))).passes.ops) is TorchOps
    finally:
        torch.set_num_threads(before)


def test_ops_that_compute_otherwise_are_left_for_those_in_torch(monkeypatch):
    class Wrong(TorchOps):
        def norm(self, x, epsilon):
            return super().norm(x, epsilon + 0.1)

    monkeypatch.setattr(handwritten_model, "kernels", lambda: "some")
    monkeypatch.setattr(handwritten_model, "CompiledOps", lambda found, dtype: Wrong())
    module = llama(rng_of(None), rms_norm_eps=1e-6)
    assert type(verified_handwritten(module).passes.ops) is TorchOps
