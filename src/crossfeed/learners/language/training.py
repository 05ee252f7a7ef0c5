"""One entity's update: AdamW on the drawn examples, in the order in which they were drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crossfeed.keys import address
from crossfeed.learners.language.model import CausalModel, LanguageState
from crossfeed.learners.language.settings import TrainingSettings
from crossfeed.learners.language.tokens import Batch, Ids
from crossfeed.learners.neural.finite_check import FiniteCheck
from crossfeed.learners.neural.fit import fit
from crossfeed.learners.neural.optimizer import adamw, constant_with_warmup, moments, restore
from crossfeed.learners.neural.steps import rows_of_steps

__all__ = ["examples_of_steps", "summed_gradients", "train"]


def train(
    model: CausalModel,
    state: LanguageState,
    examples: Sequence[Ids],
    settings: TrainingSettings,
    generation: int,
    key: int,
    pad: int,
    advance: Callable[[int], None],
) -> LanguageState:
    """Return a state trained on examples.

    Args:
        model: The working model.
        state: Where to start; it is left as it is.
        examples: Token ids in drawn order.
        settings: How to train.
        generation: The generation t; 0 may have a number of steps of its own.
        key: Seeds the order of repeated passes and dropout.
        pad: A token that fills rows.
        advance: Called with 1 after every step.

    Raises:
        Diverged: A loss, gradient or weight is not finite.
    """
    plan = examples_of_steps(len(examples), settings, generation, key)
    warmup = 0.0 if state.optimizer else settings.warmup
    rates = [settings.learning_rate * constant_with_warmup(step, len(plan), warmup) for step in range(len(plan))]
    check = FiniteCheck(model.device.on_host, f"generation {generation}")

    def gradients(step: int) -> Tensor:
        return summed_gradients(model, [examples[row] for row in plan[step]], settings.batch_size, pad)

    model.load(state.weights)
    with model.training() as parameters:
        optimizer = adamw(parameters, settings.learning_rate, settings.betas, settings.weight_decay, settings.epsilon)
        restore(optimizer, parameters, state.optimizer)
        clear = None
        if model.captured_passes is not None:
            model.captured_passes.begin()
            clear = model.captured_passes.clear
        with model.device.seeded(address(key, "dropout")):
            fit(parameters, optimizer, rates, gradients, settings.clipping, check, advance, clear)
        check.weights(len(plan), parameters)
        carried = model.device.in_host_memory(moments(optimizer, parameters)) if settings.carry_optimizer else {}
        return LanguageState(model.weights(), carried)


def examples_of_steps(n: int, settings: TrainingSettings, generation: int, key: int) -> list[NDArray[np.int64]]:
    """Return the indices of the examples that each step of a generation's training reads (see `rows_of_steps`).

    Args:
        n: Number of examples.
        settings: How to train.
        generation: The generation t.
        key: Seeds the order of repeated passes.
    """
    return rows_of_steps(n, settings.examples_per_step, settings.steps_at(generation), key)


def summed_gradients(model: CausalModel, examples: Sequence[Ids], batch_size: int, pad: int) -> Tensor:
    """Add up the gradients of the mean loss over all tokens of one step, micro-batch by micro-batch.

    Within the step examples are sorted by length, and share rows where the architecture allows: that saves padding and
    changes no sum. The examples of a step stay the same.

    Args:
        model: The working model, in training.
        examples: Token ids of the step's examples.
        batch_size: Examples in a micro-batch.
        pad: A token that fills rows.

    Returns:
        The loss, still on the device.
    """
    tokens = max(1, sum(len(ids) - 1 for ids in examples if len(ids)))
    ordered = sorted(examples, key=len)
    total = torch.zeros((), device=model.device.torch_device)
    # Captured passes take a whole step at once where it fits: gradients add up the same.
    whole = model.captured_passes.add_gradients(ordered, tokens, pad) if model.captured_passes is not None else None
    if whole is not None:
        return whole.clone()
    for first in range(0, len(ordered), batch_size):
        total += _backward(model, ordered[first : first + batch_size], tokens, pad)
    return total


def _backward(model: CausalModel, examples: Sequence[Ids], tokens: int, pad: int) -> Tensor:
    """Add the gradients of a micro-batch's summed loss divided by a number of tokens, and return that loss."""
    if model.handwritten is not None:
        return model.handwritten.backward(examples, 1.0 / tokens)
    share = model.captured_passes.add_gradients(examples, tokens, pad) if model.captured_passes is not None else None
    if share is not None:
        return share
    lay_out = Batch.packed if model.packs else Batch.of
    batch = lay_out(examples, pad, model.device.torch_device)
    if not len(batch.targets):
        return torch.zeros((), device=model.device.torch_device)
    loss = functional.cross_entropy(model.logits(batch), batch.targets, reduction="sum") / tokens
    torch.autograd.backward(loss)
    return loss.detach()
