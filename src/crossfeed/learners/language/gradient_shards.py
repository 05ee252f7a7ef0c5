"""A step's gradients in two fixed shards, which two threads can compute at the same time.

A base is trained by one worker while the others wait for it: a second core is free.
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

from crossfeed.learners.language.handwritten.model import HandwrittenModel
from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.tokens import Batch

__all__ = ["GradientShards"]

_T = TypeVar("_T")


class GradientShards:
    """Gradients of the mean loss over blocks of tokens: each shard's apart, then added in a fixed order.

    On an accelerator there is one shard, the whole. One thread computes both where torch itself uses several, and for a
    model with dropout: torch has one stream of random numbers for all threads.

    Args:
        model: The working model, in training.
    """

    def __init__(self, model: CausalModel) -> None:
        self._handwritten = model.handwritten
        self._models = [model, _twin(model)] if model.device.on_host and model.handwritten is None else [model]
        self._helper = ThreadPoolExecutor(1, "second-shard")
        # True if one thread computes both; None before the first step, which finds out.
        self._alone = True if torch.get_num_threads() > 1 else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._helper.shutdown()

    def gradients(self, block: Tensor) -> Tensor:
        """Leave the gradients in the model's parameters, and return the mean loss.

        Args:
            block: ``(rows, length + 1)`` tokens.
        """
        if self._handwritten is not None:
            return self._by_hand(self._handwritten, block)
        shards = _split(block, len(self._models))
        losses = self._computed(
            [partial(_backward, *each, len(each[1]) / len(block)) for each in zip(self._models, shards, strict=False)]
        )
        for model in self._models[1 : len(shards)]:
            self._add(model)
        return torch.stack(losses).sum()

    def _by_hand(self, model: HandwrittenModel, block: Tensor) -> Tensor:
        weights, factor, shards = model.weights(), 1.0 / block[:, 1:].numel(), _split(block, 2)
        results = self._computed([partial(model.gradients, list(each.numpy()), factor, weights) for each in shards])
        for _, gradients in results:
            model.add(gradients)
        return torch.stack([loss for loss, _ in results]).sum()

    def _computed(self, shards: Sequence[Callable[[], _T]]) -> list[_T]:
        """Compute shards by one thread, or by two where torch's random numbers are not used."""
        if self._alone is False and len(shards) > 1:
            second = self._helper.submit(shards[1])
            return [shards[0](), second.result()]
        before = torch.get_rng_state()
        results = [shard() for shard in shards]
        if self._alone is None:
            self._alone = not torch.equal(before, torch.get_rng_state())
        return results

    def _add(self, model: CausalModel) -> None:
        """Add a twin's gradients to the model's, and clear them."""
        for own, other in zip(self._models[0].parameters().values(), model.parameters().values(), strict=True):
            if own.grad is not None and other.grad is not None:
                own.grad += other.grad
            other.grad = None


def _split(block: Tensor, count: int) -> Sequence[Tensor]:
    return block.tensor_split(count) if len(block) > 1 else (block,)


def _twin(model: CausalModel) -> CausalModel:
    """Return a model that shares the same parameters in memory and has gradients of its own."""
    twin = CausalModel(copy.deepcopy(model.module), model.device)
    for own, other in zip(model.parameters().values(), twin.parameters().values(), strict=True):
        other.data = own.data
    twin.module.train()
    return twin


def _backward(model: CausalModel, block: Tensor, share: float) -> Tensor:
    """Add the gradients of a shard's part of the mean loss, and return that part."""
    ids, targets = block[:, :-1].contiguous(), block[:, 1:].reshape(-1)
    batch = Batch(ids, torch.arange(ids.numel(), device=ids.device), targets)
    loss = functional.cross_entropy(model.logits(batch), targets) * share
    torch.autograd.backward(loss)
    return loss.detach()
