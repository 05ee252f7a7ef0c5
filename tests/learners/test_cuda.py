"""On a CUDA device: captured work gives the results of uncaptured work, and states do not stay on the device."""

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")
if not torch.cuda.is_available():
    pytest.skip("there is no CUDA device here", allow_module_level=True)

from test_language_kit import LLAMA_3, OPT_350M, keys, learner, prose, random_model, sums, training_set  # noqa: E402

from crossfeed.learners.language.captured_decoding import CapturedDecoder  # noqa: E402
from crossfeed.learners.language.decoding import complete  # noqa: E402
from crossfeed.learners.language.model import LanguageState  # noqa: E402
from crossfeed.learners.language.request import CompletionRequest  # noqa: E402
from crossfeed.learners.language.settings import GenerationSettings  # noqa: E402
from crossfeed.learners.language.tokens import Batch  # noqa: E402
from crossfeed.learners.neural.cuda_graphs import CudaGraphs  # noqa: E402

CONFIGS = {"opt": OPT_350M, "llama": LLAMA_3}


@pytest.fixture(scope="module", params=["opt", "llama"])
def base(request, tmp_path_factory):
    place = tmp_path_factory.mktemp(request.param)
    return {"model": str(random_model(request.param, place, **CONFIGS[request.param]))}


@pytest.fixture
def plain(monkeypatch):
    """Make a learner that captures nothing."""

    def make(base, **sections):
        made = on_cuda(base, **sections)
        made._model.__dict__["captured_passes"] = None
        monkeypatch.setattr(CapturedDecoder, "supports", staticmethod(lambda model: False))
        return made

    return make


def on_cuda(base, **sections):
    return learner(base, device="cuda", **({"precision": "fp32"} | sections))


def data():
    return training_set(sums(2, 30), prose(3, 34))


def without_dropout(made):
    for part in made._model.module.modules():
        if hasattr(part, "dropout"):
            part.dropout = 0.0
    return made


def farthest(left, right):
    return max(float((left.weights[name] - right.weights[name]).abs().max()) for name in left.weights)


def same(left, right):
    return all(torch.equal(left.weights[name], right.weights[name]) for name in left.weights)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_captured_training_is_training(base, plain, accumulation):
    """To rounding: after ten steps at a rate of 1e-3 each weight may have moved by 1e-2."""
    how = {"training": {"initial_steps": 10, "gradient_accumulation": accumulation}}
    captured, other = without_dropout(on_cuda(base, **how)), without_dropout(plain(base, **how))
    start = captured.start(range(1))
    ours, theirs = (made.update(start, [data()], [1], 0)[0] for made in (captured, other))
    assert captured._model.captured_passes._captured
    assert farthest(ours, start[0]) > 5e-3
    moved = [(ours.weights[name] - theirs.weights[name]).abs() for name in ours.weights]
    assert torch.cat([each.flatten() for each in moved]).quantile(0.99) < 2e-5


def test_training_again_gives_the_same(base):
    """Dropout included, whichever shapes were captured before, and by whom."""
    first, second = on_cuda(base), on_cuda(base)
    start = first.start(range(1))
    second.update(start, [training_set(prose(5, 64))], [7], 1)
    [ours], [theirs] = (made.update(start, [data()], [1], 0) for made in (first, second))
    assert same(ours, theirs)
    assert same(ours, first.update(start, [data()], [1], 0)[0])
    assert not same(ours, first.update(start, [data()], [2], 0)[0]) or "opt" not in str(base)


def test_training_on_the_device_is_training_on_the_host(base):
    how = {"training": {"initial_steps": 10}}
    here, there = (without_dropout(learner(base, device=name, precision="fp32", **how)) for name in ("cuda", "cpu"))
    start = there.start(range(1))
    ours, theirs = (made.update(start, [data()], [1], 0)[0] for made in (here, there))
    moved = [(ours.weights[name] - theirs.weights[name]).abs() for name in ours.weights]
    assert torch.cat([each.flatten() for each in moved]).quantile(0.99) < 2e-5


@pytest.mark.parametrize("top_p", [1.0, 0.9])
def test_captured_completions_are_completions(base, plain, top_p):
    """In fp32, but for a near-tie that rounding tips over. Many texts end early, so that rows leave the batch."""
    how = {"generation": {"max_new_tokens": 80, "max_prompt_tokens": 48, "batch_size": 64, "top_p": top_p}}
    items, own = sums(7, 100), keys(100)
    captured = on_cuda(base, **how)
    state = captured.start(range(1))
    [ours] = captured.generate(state, [items], [own])
    assert CapturedDecoder.supports(captured._model)
    [theirs] = plain(base, **how).generate(state, [items], [own])
    pairs = zip(ours["completion"].to_pylist(), theirs["completion"].to_pylist(), strict=True)
    assert sum(left == right for left, right in pairs) >= 95
    assert sum(ours["finished"].to_pylist()) > 20


def test_tokens_in_bf16_are_nearly_the_likeliest(base):
    """By the host's fp32 logits; bf16 has three digits, and these logits a standard deviation of 0.2 to 6."""
    here, there = on_cuda(base, precision="bf16"), learner(base)
    [state] = there.start(range(1))
    how = GenerationSettings(temperature=0.0, max_new_tokens=60, batch_size=32)
    prompts = here._tokenizer.prompts(sums(9, 32), 48)
    here._model.load(state.weights)
    there._model.load(state.weights)
    request = CompletionRequest(prompts, keys(32), how, here._ends, here._tokenizer.pad)
    found = complete(here._model, request, lambda count: None)
    behind = []
    for prompt, one in zip(prompts, found, strict=True):
        ids = np.concatenate([prompt, one.ids])
        with torch.inference_mode():
            logits = there._model.logits(Batch.of([ids], 0, torch.device("cpu")))[len(prompt) - 1 :]
        chosen = logits.gather(1, torch.from_numpy(one.ids)[:, None])[:, 0]
        behind.append((logits.amax(dim=1) - chosen) / logits.std(dim=1))
    assert torch.cat(behind).quantile(0.95) < 0.05


def test_captured_scores_are_scores(base, plain):
    items = pa.concat_tables([sums(4, 20), prose(5, 21)])
    captured, other = on_cuda(base, evaluation={"batch_size": 8}), plain(base)
    states = captured.start(range(1))
    [[ours]], [[theirs]] = (made.score(states, [items]) for made in (captured, other))
    assert captured._model.captured_passes._captured
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-4)
    np.testing.assert_allclose(ours.completion_loss, theirs.completion_loss, rtol=1e-4)
    np.testing.assert_array_equal(ours.size, theirs.size)


def test_the_device_holds_no_more_after_many_generations(base):
    made = on_cuda(base, precision="bf16")
    states = made.start(range(3))
    held = []
    for generation in range(5):
        texts = made.generate(states, [sums(4, 20)] * 3, [keys(20)] * 3)
        sets = [training_set(sums(2, 30), table.select(["prompt", "completion"])) for table in texts]
        states = made.update(states, sets, [1, 2, 3], generation)
        made.score(states, [prose(1, 10)])
        held.append(torch.cuda.memory_allocated())
    assert all(weights.device.type == "cpu" and weights.is_pinned() for weights in states[0].weights.values())
    assert max(held[2:]) <= held[1]


def test_what_cannot_be_captured_is_done_without(base, plain):
    made = on_cuda(base)
    module, forward = made._model.module, made._model.module.forward

    def waiting(*args, **kwargs):
        kwargs["input_ids"].sum().item()
        return forward(*args, **kwargs)

    module.forward = waiting
    start = made.start(range(1))
    with pytest.warns(UserWarning, match="cannot be captured as a CUDA graph"):
        [found] = made.update(start, [data()], [1], 0)
    assert farthest(found, start[0]) > 1e-4
    [again] = made.update(start, [data()], [1], 0)
    assert farthest(found, again) < 1e-3


def test_random_numbers_of_a_captured_graph_come_from_the_generator():
    found = torch.zeros(1000, device="cuda")
    graphs = CudaGraphs(torch.device("cuda"))
    graphs.warm_up(found.uniform_)
    replay = graphs.capture(found.uniform_)
    drawn = []
    for seed in (1, 2, 1):
        torch.manual_seed(seed)
        replay()
        drawn.append(found.clone())
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])


def test_an_item_is_read_back_whole(base):
    """States come and go by copies that are under way while the host goes on."""
    made = on_cuda(base)
    [state] = made.start(range(1))
    other = LanguageState({name: weights + 1.0 for name, weights in state.weights.items()})
    for each in (state, other, state):
        made._model.load(each.weights)
        read = made._model.weights()
        assert all(torch.equal(read[name], each.weights[name]) for name in read)
