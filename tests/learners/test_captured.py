"""Captured work on a CUDA device, with a stand-in that does the work at every replay: the same code, anywhere.

`test_cuda.py` has the same with real CUDA graphs, where there is a device.
"""

import contextlib

import numpy as np
import pyarrow as pa
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from test_language_kit import LLAMA_3, OPT_350M, keys, learner, prose, random_model, sums, training_set  # noqa: E402

from crossfeed.learners.language.captured_decoding import CapturedDecoder  # noqa: E402
from crossfeed.learners.language.captured_passes import CapturedPasses  # noqa: E402

CONFIGS = {"opt": OPT_350M | {"dropout": 0.0}, "llama": LLAMA_3}
ACCUMULATED = {"training": {"initial_steps": 6, "batch_size": 4, "gradient_accumulation": 3}}


class StandIn:
    """Does work when it is replayed, and counts what it was asked to capture."""

    def __init__(self, refuse=lambda work: None):
        self.warmed_up = self.captured = self.replayed = 0
        self._refuse = refuse

    def preserved_generators(self):
        return contextlib.nullcontext()

    def warm_up(self, work):
        self.warmed_up += 1
        self._refuse(self)
        work()

    def capture(self, work):
        self.captured += 1

        def replay():
            self.replayed += 1
            work()

        return replay


def capturing(base, graphs, **sections):
    """A learner that captures by a stand-in."""
    made = learner(base, **sections)
    model = made._model
    model.handwritten = None
    model.__dict__["graphs"] = graphs
    model.__dict__["captured_passes"] = CapturedPasses(model.module, model.device, graphs)
    return made


@pytest.fixture(scope="module", params=["opt", "llama"])
def base(request, tmp_path_factory):
    place = tmp_path_factory.mktemp(request.param)
    return {"model": str(random_model(request.param, place, **CONFIGS[request.param]))}


def data():
    return training_set(sums(2, 30), prose(3, 34))


def farthest(left, right):
    return max(float((left.weights[name] - right.weights[name]).abs().max()) for name in left.weights)


def check_trains_as_without(base, graphs, **how):
    made, plain = capturing(base, graphs, **how), learner(base, **how)
    start = plain.start(range(1))
    [ours], [theirs] = (each.update(start, [data()], [1], 0) for each in (made, plain))
    assert farthest(ours, start[0]) > 3e-3
    assert farthest(ours, theirs) < 1e-4
    assert all(parameter.grad is None for parameter in made._model.module.parameters())
    return made, start, ours


def test_a_step_is_replayed_once_whatever_its_micro_batches(base):
    graphs = StandIn()
    made, start, ours = check_trains_as_without(base, graphs, **ACCUMULATED)
    assert graphs.captured == graphs.warmed_up <= 2  # texts of up to 96 tokens: widths of 64 and 128
    assert graphs.replayed == 6
    [again] = made.update(start, [data()], [1], 0)
    assert farthest(again, ours) == 0.0
    assert graphs.captured <= 2


def test_where_a_step_does_not_fit_its_micro_batches_are_replayed(base):
    def refuse(graphs):
        if graphs.warmed_up in wholes:
            raise torch.OutOfMemoryError("CUDA out of memory")

    wholes = (1,)
    graphs = StandIn(refuse)
    check_trains_as_without(base, graphs, **ACCUMULATED)
    assert graphs.replayed > 6


def test_a_model_that_cannot_be_captured_is_trained_without(base):
    def refuse(_):
        raise RuntimeError("operation not permitted when stream is capturing\nmore of it")

    graphs = StandIn(refuse)
    with pytest.warns(UserWarning, match="slower: operation not permitted when stream is capturing$"):
        check_trains_as_without(base, graphs, **ACCUMULATED)
    assert graphs.warmed_up == 1
    assert graphs.replayed == 0


def test_what_was_added_up_is_kept_while_a_shape_is_captured(base):
    """The second micro-batch of a step has another shape, captured when the first one's gradients are there."""
    made = capturing(base, StandIn())
    passes, module = made._model.captured_passes, made._model.module
    long, short = ([np.arange(n) % 100 + 5 for n in lengths] for lengths in ((90, 80, 70), (20, 10)))
    made._model.training()
    passes.begin()
    for part in (long, short):
        passes.add_gradients(part, 100, 0)
    found = [parameter.grad.clone() for parameter in module.parameters()]
    passes.clear()
    for part in (short, long):  # both are captured by now
        passes.add_gradients(part, 100, 0)
    for left, right in zip(found, module.parameters(), strict=True):
        torch.testing.assert_close(left, right.grad, rtol=1e-4, atol=1e-6)
    assert max(float(each.abs().max()) for each in found) > 0.01


def test_scores_are_scores(base):
    items = pa.concat_tables([sums(4, 20), prose(5, 21)])
    graphs = StandIn()
    made, plain = capturing(base, graphs, evaluation={"batch_size": 8}), learner(base)
    states = plain.start(range(1))
    [[ours]], [[theirs]] = (each.score(states, [items]) for each in (made, plain))
    np.testing.assert_allclose(ours.loss, theirs.loss, rtol=1e-5)
    np.testing.assert_allclose(ours.completion_loss, theirs.completion_loss, rtol=1e-5)
    assert graphs.replayed == 6  # batches of 8, the last one filled up


@pytest.mark.parametrize("how", [{}, {"top_p": 0.9}, {"top_k": 200, "min_p": 1e-4}, {"repetition_penalty": 1.1}])
def test_completions_are_completions(base, how):
    """Rows leave as texts end; keys are read up to 128 and then to 256 places."""
    how = {"generation": {"max_new_tokens": 80, "max_prompt_tokens": 48, "batch_size": 64} | how}
    items, own = sums(7, 100), keys(100)
    graphs = StandIn()
    made, plain = capturing(base, graphs, **how), learner(base, **how)
    assert CapturedDecoder.supports(made._model)
    states = plain.start(range(1))
    [ours], [theirs] = (each.generate(states, [items], [own]) for each in (made, plain))
    pairs = zip(ours["completion"].to_pylist(), theirs["completion"].to_pylist(), strict=True)
    assert sum(left == right for left, right in pairs) >= 97  # rounding may tip a near-tie over
    assert ours["finished"].to_pylist().count(True) > 20
    assert graphs.captured < 20 < graphs.replayed
