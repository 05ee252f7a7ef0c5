"""One entity's update: AdamW on the drawn examples, in the order in which they were drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from crossfeed.keys import address
from crossfeed.learners.language.model import LanguageState, WorkingModel
from crossfeed.learners.language.settings import TrainingSettings
from crossfeed.learners.language.tokens import Batch, Ids
from crossfeed.learners.neural.optimizer import adamw, constant_with_warmup, moments, restore, set_rate
from crossfeed.learners.neural.steps import rows_of_steps
from crossfeed.learners.neural.watch import Watch

__all__ = ["examples_of_steps", "summed_gradients", "train"]


def train(
    model: WorkingModel,
    state: LanguageState,
    examples: Sequence[Ids],
    settings: TrainingSettings,
    generation: int,
    key: int,
    pad: int,
    advance: Callable[[int], None],
) -> LanguageState:
    """Train a state.

    Args:
        model: The working model.
        state: Where to start; it is left as it is.
        examples: Token ids in drawn order.
        settings: How to train.
        generation: The generation t; 0 may have a number of steps of its own.
        key: Seeds the order of repeated passes and dropout.
        pad: A token that fills rows.
        advance: Told of every step.

    Raises:
        Diverged: A loss or gradient is not finite.
    """
    plan = examples_of_steps(len(examples), settings, generation, key)
    model.load(state.weights)
    model.training()
    parameters = model.parameters()
    optimizer = adamw(parameters, settings.learning_rate, settings.betas, settings.weight_decay, settings.epsilon)
    restore(optimizer, parameters, state.optimizer)
    warmup = 0.0 if state.optimizer else settings.warmup
    if model.recorded is not None:
        model.recorded.begin()
    watch = Watch(model.device.on_host, f"generation {generation}")
    try:
        with model.device.seeded(address(key, "dropout")):
            for step, rows in enumerate(plan):
                set_rate(optimizer, settings.learning_rate * constant_with_warmup(step, len(plan), warmup))
                loss = summed_gradients(model, [examples[row] for row in rows], settings.batch_size, pad)
                norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clipping or torch.inf)
                watch.see(step, loss, norm)
                optimizer.step()
                _clear_gradients(model, parameters)
                advance(1)
        watch.end(len(plan), parameters)
        carried = model.device.in_host_memory(moments(optimizer, parameters)) if settings.carry_optimizer else {}
        return LanguageState(model.weights(), carried)
    finally:
        model.module.zero_grad()
        model.module.eval()


def examples_of_steps(n: int, settings: TrainingSettings, generation: int, key: int) -> list[NDArray[np.int64]]:
    """Which of n examples each step of a generation's training reads (see `rows_of_steps`)."""
    return rows_of_steps(n, settings.examples_per_step, settings.steps_at(generation), key)


def summed_gradients(model: WorkingModel, examples: Sequence[Ids], batch_size: int, pad: int) -> Tensor:
    """Gradients of the mean loss over all tokens of one step, added up over micro-batches.

    Within the step examples are sorted by length, and share rows where the architecture allows: that saves padding and
    changes no sum. Which examples make a step is not touched.

    Returns:
        The loss, still on the device.
    """
    tokens = max(1, sum(len(ids) - 1 for ids in examples if len(ids)))
    ordered = sorted(examples, key=len)
    total = torch.zeros((), device=model.device.torch_device)
    # Recorded passes take a whole step at once where it fits: gradients add up the same.
    whole = model.recorded.add_gradients(ordered, tokens, pad) if model.recorded is not None else None
    if whole is not None:
        return whole.clone()
    for first in range(0, len(ordered), batch_size):
        total += _backward(model, ordered[first : first + batch_size], tokens, pad)
    return total


def _clear_gradients(model: WorkingModel, parameters: Mapping[str, nn.Parameter]) -> None:
    """No gradients; recordings add to them where they are."""
    if model.recorded is not None:
        model.recorded.clear()
    else:
        for parameter in parameters.values():
            parameter.grad = None


def _backward(model: WorkingModel, examples: Sequence[Ids], tokens: int, pad: int) -> Tensor:
    """Add the gradients of a micro-batch's loss; the loss is its sum over a number of tokens."""
    if model.lean is not None:
        return model.lean.backward(examples, 1.0 / tokens)
    share = model.recorded.add_gradients(examples, tokens, pad) if model.recorded is not None else None
    if share is not None:
        return share
    lay_out = Batch.packed if model.packs else Batch.of
    batch = lay_out(examples, pad, model.device.torch_device)
    if not len(batch.targets):
        return torch.zeros((), device=model.device.torch_device)
    loss = functional.cross_entropy(model.logits(batch), batch.targets, reduction="sum") / tokens
    torch.autograd.backward(loss)
    return loss.detach()
