"""The training loop of every learner built on torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from crossfeed.learners.neural.finite_check import FiniteCheck
from crossfeed.learners.neural.optimizer import set_rate

__all__ = ["fit"]


def fit(
    parameters: Mapping[str, nn.Parameter],
    optimizer: torch.optim.Optimizer,
    rates: Sequence[float],
    gradients: Callable[[int], Tensor],
    clipping: float | None,
    check: FiniteCheck,
    advance: Callable[[int], None],
    clear: Callable[[], None] | None = None,
) -> None:
    """Take one optimizer step for each learning rate.

    Args:
        parameters: The parameters that are trained, by name.
        optimizer: Their optimizer.
        rates: The learning rate of each step.
        gradients: Called with a step's number, from 0; leaves gradients in the parameters and returns the loss.
        clipping: Largest norm of a gradient; None does not clip.
        check: Notices losses and gradient norms that are not finite.
        advance: Called with 1 after every step.
        clear: Removes the gradients after a step; None lets the optimizer do so.

    Raises:
        Diverged: A loss or gradient is not finite.
    """
    for step, rate in enumerate(rates):
        set_rate(optimizer, rate)
        loss = gradients(step)
        norm = nn.utils.clip_grad_norm_(parameters.values(), clipping or torch.inf)
        check.observe(step, loss, norm)
        optimizer.step()
        (clear or optimizer.zero_grad)()
        advance(1)
    check.finish()
