"""The training loop that all learners built on torch share, against the steps of an optimizer written out."""

import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'lm'")

from crossfeed.errors import Diverged  # noqa: E402
from crossfeed.learners.neural.finite_check import FiniteCheck  # noqa: E402
from crossfeed.learners.neural.fit import fit  # noqa: E402

RATES = [0.1, 0.02, 0.3]
TARGETS = torch.tensor([[1.0, -2.0], [0.5, 3.0], [-1.0, 0.25]])


def problem():
    weights = torch.nn.Parameter(torch.zeros(2))
    return {"weights": weights}, torch.optim.SGD([weights], lr=1.0)


def gradients_of(weights, step):
    loss = (weights - TARGETS[step]).square().sum()
    loss.backward()
    return loss.detach()


@pytest.mark.parametrize("clipping", [None, 0.5])
def test_each_step_has_its_rate_and_its_clipped_gradient(clipping):
    parameters, optimizer = problem()
    told = []
    check = FiniteCheck(True, "here")
    fit(
        parameters,
        optimizer,
        RATES,
        lambda step: gradients_of(parameters["weights"], step),
        clipping,
        check,
        told.append,
    )
    expected = torch.zeros(2)
    for rate, target in zip(RATES, TARGETS, strict=True):
        gradient = 2 * (expected - target)
        if clipping is not None:
            gradient *= min(1.0, clipping / (gradient.norm() + 1e-6))
        expected = expected - rate * gradient
    torch.testing.assert_close(parameters["weights"].detach(), expected)
    assert told == [1, 1, 1]
    assert parameters["weights"].grad is None


def test_gradients_are_cleared_by_whoever_keeps_them():
    parameters, optimizer = problem()
    weights = parameters["weights"]
    weights.grad = kept = torch.zeros(2)
    check = FiniteCheck(True, "here")
    fit(parameters, optimizer, RATES, lambda step: gradients_of(weights, step), None, check, lambda n: None, kept.zero_)
    assert weights.grad is kept
    assert not kept.any()


def test_a_loss_that_is_not_finite_ends_training_with_its_step():
    parameters, optimizer = problem()

    def gradients(step):
        return gradients_of(parameters["weights"], step) * (float("nan") if step == 1 else 1.0)

    for every_step in (True, False):
        with pytest.raises(Diverged, match="here, step 1: loss nan"):
            fit(parameters, optimizer, RATES, gradients, None, FiniteCheck(every_step, "here"), lambda n: None)
