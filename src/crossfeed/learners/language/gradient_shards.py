"""A step's gradients in two fixed halves, which two threads can compute at the same time.

A base is made by one worker while the others wait for it: a second core is free.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import torch
from torch import Tensor
from torch.nn import functional

from crossfeed.learners.language.handwritten.model import Lean
from crossfeed.learners.language.model import WorkingModel
from crossfeed.learners.language.tokens import Batch

__all__ = ["Halves"]

_T = TypeVar("_T")


class Halves:
    """Gradients of the mean loss over blocks of tokens: each half's apart, then added, whoever computes them.

    On an accelerator there is one half, the whole. One thread computes both where torch itself uses several, and for a
    model with dropout: torch has one stream of random numbers for all threads.

    Args:
        model: The working model, in training.
    """

    def __init__(self, model: WorkingModel) -> None:
        self._lean = model.lean
        self._models = [model, _twin(model)] if model.device.on_host and model.lean is None else [model]
        self._helper = ThreadPoolExecutor(1, "second-half")
        # Whether one thread computes both; None: not known before a step was made.
        self._alone = True if torch.get_num_threads() > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.shutdown()

    def gradients(self, block: Tensor) -> Tensor:
        """Leave the gradients in the model, and give the mean loss.

        Args:
            block: ``(rows, length + 1)`` tokens.
        """
        if self._lean is not None:
            return self._by_hand(self._lean, block)
        halves = _split(block, len(self._models))
        losses = self._computed(
            [partial(_backward, *each, len(each[1]) / len(block)) for each in zip(self._models, halves, strict=False)]
        )
        for model in self._models[1 : len(halves)]:
            self._add(model)
        return torch.stack(losses).sum()

    def _by_hand(self, lean: Lean, block: Tensor) -> Tensor:
        weights, factor, halves = lean.weights(), 1.0 / block[:, 1:].numel(), _split(block, 2)
        found = self._computed([partial(lean.gradients, list(half.numpy()), factor, weights) for half in halves])
        for _, gradients in found:
            lean.add(gradients)
        return torch.stack([loss for loss, _ in found]).sum()

    def _computed(self, halves: Sequence[Callable[[], _T]]) -> list[_T]:
        """What one thread or two compute."""
        if self._alone is False and len(halves) > 1:
            second = self._helper.submit(halves[1])
            return [halves[0](), second.result()]
        before = torch.get_rng_state()
        found = [half() for half in halves]
        if self._alone is None:
            self._alone = not torch.equal(before, torch.get_rng_state())
        return found

    def _add(self, model: WorkingModel) -> None:
        """Add a twin's gradients to the model's, and clear them."""
        for own, other in zip(self._models[0].parameters().values(), model.parameters().values(), strict=True):
            if own.grad is not None and other.grad is not None:
                own.grad += other.grad
            other.grad = None


def _split(block: Tensor, parts: int) -> Sequence[Tensor]:
    return block.tensor_split(parts) if len(block) > 1 else (block,)


def _twin(model: WorkingModel) -> WorkingModel:
    """A model of the same numbers, in the same memory, with gradients of its own."""
    twin = WorkingModel(copy.deepcopy(model.module), model.device)
    for own, other in zip(model.parameters().values(), twin.parameters().values(), strict=True):
        other.data = own.data
    twin.module.train()
    return twin


def _backward(model: WorkingModel, block: Tensor, share: float) -> Tensor:
    """A half's share of the mean loss, and its gradients."""
    ids, targets = block[:, :-1].contiguous(), block[:, 1:].reshape(-1)
    batch = Batch(ids, torch.arange(ids.numel(), device=ids.device), targets)
    loss = functional.cross_entropy(model.logits(batch), targets) * share
    torch.autograd.backward(loss)
    return loss.detach()
