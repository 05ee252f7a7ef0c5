"""Adapters: a base that all share, exact gradients, and checkpoints that peft and transformers read."""

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")
pytest.importorskip("peft", reason="needs the extra 'adapters'")

from test_captured import StandIn, capturing  # noqa: E402
from test_language_kit import (  # noqa: E402
    LLAMA_3,
    OPT_350M,
    context,
    keys,
    learner,
    prose,
    random_model,
    settings,
    sums,
    training_set,
)

from crossfeed.errors import DataUnavailable, InvalidInput, MissingDependency  # noqa: E402
from crossfeed.learners.language.merging import merge  # noqa: E402
from crossfeed.learners.language.model import LanguageState  # noqa: E402
from crossfeed.learners.language.training import summed_gradients  # noqa: E402

ADAPTER = {"rank": 3, "alpha": 6.0}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 128}
CONFIGS = {"opt": OPT_350M | {"dropout": 0.0}, "llama": LLAMA_3, "gpt2": GPT2}


@pytest.fixture(scope="module", params=["scratch", *CONFIGS])
def base(request, tmp_path_factory):
    """A base of each kind: by hand, in transformers, and with transposed matrices."""
    if request.param == "scratch":
        return None
    place = tmp_path_factory.mktemp(request.param)
    return {"model": str(random_model(request.param, place, **CONFIGS[request.param]))}


def adapted(base=None, adapter=None, **sections):
    training = {"learning_rate": 1e-2} | sections.pop("training", {})
    return learner(base, adapter=adapter or ADAPTER, training=training, **sections)


def moved(made, seed=0):
    """A state whose A and B are both far from their start."""
    random = torch.Generator().manual_seed(seed)
    [start] = made.start(range(1))
    return LanguageState(
        {name: 0.1 * torch.randn(each.shape, generator=random) for name, each in start.weights.items()}
    )


def same(left, right):
    return left.weights.keys() == right.weights.keys() and all(
        torch.equal(left.weights[name], right.weights[name]) for name in left.weights
    )


def losses(made, states):
    tables = [sums(4, 12), prose(5, 12)]
    return np.array([[each.loss.sum() for each in row] for row in made.score(states, tables)])


def whole(base, made, state, place):
    """A learner that trains all of the model that an adapter makes of its base, and its first state."""
    made.save(state, place / "adapter")
    merge(place / "adapter", place / "whole")
    full = learner({"model": str(place / "whole")})
    return full, full.start(range(1))[0]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "adapter").mkdir()
    return tmp_path


def test_a_start_is_the_base_for_all_entities(base):
    made, full = adapted(base), learner(base)
    states = made.start(range(3))
    np.testing.assert_allclose(losses(made, states), np.tile(losses(full, full.start(range(1))), (3, 1)), rtol=1e-6)
    assert all(each.weights is states[0].weights for each in states)
    [again] = adapted(base).start(range(1))
    assert same(again, states[0])
    [other] = settings(base, adapter=ADAPTER).build(context(seed=1)).start(range(1))
    assert base is None or not same(other, states[0])


def test_gradients_are_those_that_the_merged_matrices_give(base, place):
    """s B'G for A and s G A' for B, with the gradient G of a whole model that is trained in full."""
    made = adapted(base)
    state = moved(made)
    full, merged = whole(base, made, state, place)
    examples = [one.ids for one in made._tokenizer.examples(pa.concat_tables([sums(4, 6), prose(5, 5)]), 96)]
    found = []
    for each, own in ((made, state), (full, merged)):
        each._model.load(own.weights)
        loss = summed_gradients(each._model, examples, 4, each._tokenizer.pad)
        found.append(
            (float(loss), {name: p.grad.clone() for name, p in each._model.parameters().items() if p.grad is not None})
        )
        each._model.module.zero_grad()
    (loss, gradients), (expected, of_all) = found
    assert loss == pytest.approx(expected, rel=1e-5)
    layers = {name.rpartition(".lora_")[0] for name in gradients}
    assert len(layers) > 5
    for layer in layers:
        a, b = (state.weights[f"{layer}.lora_{letter}.weight"] for letter in "AB")
        whole_gradient = of_all[f"{layer}.weight"]
        if whole_gradient.shape != (len(b), a.shape[1]) or (base is not None and "gpt2" in base["model"]):
            whole_gradient = whole_gradient.t()
        for letter, by_hand in (("A", 2.0 * b.t() @ whole_gradient), ("B", 2.0 * whole_gradient @ a.t())):
            gap = (gradients[f"{layer}.lora_{letter}.weight"] - by_hand).abs().max()
            assert gap <= 2e-4 * by_hand.abs().max() + 1e-7, (layer, letter)


@pytest.mark.parametrize("by_hand", [True, False])
def test_at_full_rank_a_step_of_gradient_descent_on_b_is_one_on_the_matrix(by_hand):
    """With r = inputs, alpha = r and an orthogonal A, B's step is s G A' and the matrix's is s^2 G A'A = G.

    With A as it is drawn it is G A'A: the identity is one of A'A, so it holds for the expectation up to a factor. Adam
    divides each number by its own size, in other coordinates: its steps differ.
    """
    targets = ["q_proj", "v_proj", "up_proj"]  # all read the width, 32
    made = adapted(adapter={"rank": 32, "alpha": 32.0, "targets": targets})
    if not by_hand:
        made._model.handwritten = None
    [start] = made.start(range(1))
    orthogonal = torch.linalg.qr(torch.randn(32, 32, generator=torch.Generator().manual_seed(1))).Q
    weights = {
        name: orthogonal.clone() if "lora_A" in name else torch.zeros_like(each) for name, each in start.weights.items()
    }
    full = learner()
    examples = [one.ids for one in made._tokenizer.examples(sums(4, 8), 96)]
    made._model.load(weights)
    full._model.load(full.start(range(1))[0].weights)
    for each in (made, full):
        summed_gradients(each._model, examples, 4, each._tokenizer.pad)
    ours, theirs = made._model.parameters(), full._model.parameters()
    assert {name.rpartition(".lora_")[0].rpartition(".")[2] for name in ours} == set(targets)
    for name, parameter in ours.items():
        layer, _, letter = name.rpartition(".lora_")
        if letter.startswith("B"):
            step = parameter.grad @ orthogonal  # of the matrix, at a learning rate of one
            torch.testing.assert_close(step, theirs[f"{layer}.weight"].grad, rtol=1e-3, atol=2e-6)
        else:
            assert parameter.grad.abs().max() == 0


@pytest.mark.parametrize("carry", [False, True])
def test_an_entity_never_sees_anothers_adapter(base, carry):
    made = adapted(base, training={"carry_optimizer": carry})
    start = made.start(range(2))
    first, other = training_set(sums(2, 24)), training_set(prose(3, 24))
    both = made.update(start, [first, other], [1, 2], 0)
    alone = made.update(start[:1], [first], [1], 0)[0]
    assert same(both[0], alone)
    assert not same(*both)
    storages = [{each.untyped_storage().data_ptr() for each in state.weights.values()} for state in both]
    assert not storages[0] & storages[1]
    table = losses(made, both)
    made.update(both[1:], [other], [3], 1)  # leaves its own adapter in the model
    np.testing.assert_array_equal(losses(made, both), table)
    items, own = [sums(6, 5)] * 2, [keys(5)] * 2
    together = made.generate(both, items, own)
    assert together[0].equals(made.generate(both[:1], items[:1], own[:1])[0])
    assert (table[0] != table[1]).all()


def test_training_leaves_the_base_alone_and_learns(base):
    made = adapted(base)
    start = made.start(range(1))
    frozen = {n: p.detach().clone() for n, p in made._model.module.named_parameters() if not p.requires_grad}
    [trained] = made.update(start, [training_set(sums(2, 24))], [1], 0)
    after = dict(made._model.module.named_parameters())
    assert all(torch.equal(each, after[name]) for name, each in frozen.items())
    assert losses(made, [trained])[0, 0] < losses(made, start)[0, 0]


def test_both_ways_of_computing_agree():
    """By hand with merged matrices, and peft's layers in the module."""
    by_hand, module = adapted(), adapted()
    module._model.handwritten = None
    assert by_hand._model.handwritten is not None
    state, drawn = moved(by_hand), training_set(sums(2, 24), prose(3, 24))
    np.testing.assert_allclose(losses(by_hand, [state]), losses(module, [state]), rtol=1e-5)
    [left], [right] = (made.update([state], [drawn], [1], 1) for made in (by_hand, module))
    change = torch.cat([(left.weights[name] - state.weights[name]).flatten() for name in left.weights])
    gap = torch.cat([(left.weights[name] - right.weights[name]).flatten() for name in left.weights])
    assert gap.norm() < 2e-2 * change.norm()
    items = [sums(7, 30)], [keys(30)]
    texts = [made.generate([state], *items)[0]["completion"].to_pylist() for made in (by_hand, module)]
    assert np.mean([one == other for one, other in zip(*texts, strict=True)]) > 0.9  # rounding may flip a near-tie


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")  # read by peft 0.21
def test_peft_and_transformers_read_the_checkpoint(base, place):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = adapted(base)
    state = moved(made)
    full, merged = whole(base, made, state, place)
    np.testing.assert_allclose(losses(made, [state]), losses(full, [merged]), rtol=1e-5)
    assert {path.name for path in (place / "adapter").glob("*.safetensors")} == {"adapter_model.safetensors"}
    plain = AutoModelForCausalLM.from_pretrained(made._base[0])
    by_peft = PeftModel.from_pretrained(plain, str(place / "adapter"))
    ids = torch.tensor([AutoTokenizer.from_pretrained(place / "adapter")("Question: Ann has 12 coins")["input_ids"]])
    with torch.no_grad():
        expected = by_peft(ids).logits
        made._model.load(state.weights)
        torch.testing.assert_close(made._model.module(ids).logits, expected, rtol=1e-4, atol=1e-4)
        whole_model = AutoModelForCausalLM.from_pretrained(place / "whole")
        torch.testing.assert_close(whole_model(ids).logits, expected, rtol=1e-4, atol=1e-4)


def test_an_update_goes_on_after_a_round_trip(base, place):
    made = adapted(base, training={"carry_optimizer": True})
    sets = [training_set(sums(2, 24))]
    [first] = made.update(made.start(range(1)), sets, [1], 0)
    made.save(first, place / "adapter")
    fresh = adapted(base, training={"carry_optimizer": True})
    again = fresh.load(place / "adapter")
    assert same(again, first)
    assert {name.rpartition(".lora_")[0].partition(".")[0] for name in again.optimizer} >= {"exp_avg", "exp_avg_sq"}
    straight, resumed = made.update([first], sets, [2], 1)[0], fresh.update([again], sets, [2], 1)[0]
    assert same(straight, resumed)


def test_a_state_holds_its_adapter_alone(base):
    """64 entities cost 64 adapters: rank (inputs + outputs) numbers a layer, whatever the base has."""
    made = adapted(base)
    states = made.update(made.start(range(2)), [training_set(sums(2, 8))] * 2, [1, 2], 1)
    linear = {name: module for name, module in made._model.module.named_modules() if hasattr(module, "lora_A")}
    expected = sum(4 * 3 * sum(module.base_layer.weight.shape) for module in linear.values())
    for state in states:
        assert sum(each.untyped_storage().nbytes() for each in state.weights.values()) == expected
    known = {p.untyped_storage().data_ptr() for p in made._model.module.parameters()}
    assert not known & {each.untyped_storage().data_ptr() for state in states for each in state.weights.values()}


def test_dropout_is_drawn_by_key_and_only_in_training():
    made = adapted(adapter=ADAPTER | {"dropout": 0.3})
    assert made._model.handwritten is None
    state, drawn = moved(made), training_set(sums(2, 24))
    np.testing.assert_array_equal(losses(made, [state]), losses(made, [state]))
    one, again, other = (made.update([state], [drawn], [key], 1)[0] for key in (1, 1, 2))
    plain = adapted()
    plain._model.handwritten = None
    assert same(one, again)
    assert not same(one, other)
    assert not same(one, plain.update([state], [drawn], [1], 1)[0])


def test_captured_passes_train_adapters(tmp_path):
    where = {"model": str(random_model("llama", tmp_path, **LLAMA_3))}
    how = {"adapter": ADAPTER, "training": {"learning_rate": 1e-2, "batch_size": 4, "gradient_accumulation": 3}}
    graphs = StandIn()
    replayed, plain = capturing(where, graphs, **how), learner(where, **how)
    plain._model.handwritten = None
    drawn = training_set(sums(2, 30), prose(3, 34))
    [left], [right] = (made.update(made.start(range(1)), [drawn], [1], 0) for made in (replayed, plain))
    assert graphs.captured
    gap = max(float((left.weights[name] - right.weights[name]).abs().max()) for name in left.weights)
    change = max(float((left.weights[name] - each).abs().max()) for name, each in plain.start([0])[0].weights.items())
    assert gap < 1e-2 * change
    np.testing.assert_allclose(losses(replayed, [left]), losses(plain, [left]), rtol=1e-5)


@pytest.mark.parametrize(
    ("targets", "words"),
    [
        (["nowhere"], ["'nowhere' is no linear layer", "q_proj"]),
        (["lm_head"], ["'lm_head' is no linear layer"]),
        (["embed_tokens"], ["'embed_tokens' is no linear layer"]),
        (["proj"], ["'proj' is no linear layer"]),
    ],
)
def test_targets_that_are_not_there_are_named(targets, words):
    with pytest.raises(InvalidInput) as caught:
        adapted(adapter={"targets": targets}).start(range(1))
    assert all(word in str(caught.value) for word in words)


def test_targets_may_be_named_by_their_end_or_whole():
    made = adapted(adapter=ADAPTER | {"targets": ["layers.0.self_attn.q_proj", "model.layers.1.mlp.up_proj"]})
    [start] = made.start(range(1))
    assert {name.rpartition(".lora_")[0] for name in start.weights} == {
        "model.layers.0.self_attn.q_proj",
        "model.layers.1.mlp.up_proj",
    }
    [trained] = made.update([start], [training_set(sums(2, 24))], [1], 0)
    assert losses(made, [trained])[0, 0] < losses(made, [start])[0, 0]


def test_an_adapter_of_another_description_is_refused(place):
    made = adapted()
    made.save(moved(made), place / "adapter")
    with pytest.raises(DataUnavailable, match="another base, rank or targets"):
        adapted(adapter={"rank": 4}).load(place / "adapter")
    (place / "adapter" / "adapter_model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(DataUnavailable, match="cannot be read as an adapter"):
        made.load(place / "adapter")
    (place / "adapter" / "adapter_config.json").write_text('{"r": 0, "lora_alpha": 1}')
    with pytest.raises(DataUnavailable, match="does not describe an adapter"):
        merge(place / "adapter", place / "whole")


def test_the_package_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setattr("crossfeed.learners.language.adapters.find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match=r"crossfeed\[adapters\]"):
        adapted()
