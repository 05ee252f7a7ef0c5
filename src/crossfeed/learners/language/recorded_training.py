"""Gradients of micro-batches on a CUDA device, recorded once for each shape and replayed (`neural.recording`)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crossfeed.learners.neural.recording import Recorder, Replay

if TYPE_CHECKING:
    from crossfeed.learners.language.model import WorkingModel

__all__ = ["RecordedGradients"]

Ids = NDArray[np.int64]

_WIDTHS: Final = 64
"""Rows are padded to a multiple of this: eight recordings serve all lengths up to 512."""
_MOST_OPERATIONS: Final = 1e13
"""Floating-point operations of a micro-batch above which the host is fast enough, and recording only costs memory."""
_NO_TARGET: Final = -100


@dataclass(frozen=True)
class _Recorded:
    """One shape: where its inputs go, where its loss comes out, and how to replay it."""

    ids: Tensor
    targets: Tensor
    share: Tensor
    loss: Tensor
    replay: Replay


class RecordedGradients:
    """Forward and backward passes over padded rows, by shape.

    Args:
        model: The working model, on a CUDA device. Its parameters are changed in place from then on, which loading
            a state and AdamW do.
    """

    def __init__(self, model: WorkingModel) -> None:
        self._model = model
        self._device = model.device.torch_device
        self._recorder = Recorder(self._device)
        self._parameters = list(model.parameters().values())
        self._operations = 6.0 * sum(parameter.numel() for parameter in self._parameters)
        self._gradients: list[Tensor] = []
        self._recorded: dict[tuple[int, int], _Recorded] = {}
        # A layer that is left out by chance is left out when it is recorded, or never.
        self._refused = bool(getattr(model.module.config, "layerdrop", 0.0))

    def begin(self) -> None:
        """Give the parameters the gradients that recordings add to, all zero."""
        if not self._gradients:
            self._gradients = [torch.zeros_like(parameter) for parameter in self._parameters]
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        self.clear()

    def clear(self) -> None:
        """Make the gradients zero where they are."""
        torch._foreach_zero_(self._gradients)

    def add(self, examples: Sequence[Ids], tokens: int, pad: int) -> Tensor | None:
        """Add the gradients of a micro-batch's share of the mean loss over `tokens` tokens.

        Returns:
            That share of the loss, until the next call; None if such a micro-batch is not recorded.
        """
        width = -(-max(1, *(len(ids) - 1 for ids in examples)) // _WIDTHS) * _WIDTHS
        shape = (len(examples), width)
        if self._refused or self._operations * len(examples) * width > _MOST_OPERATIONS:
            return None
        recorded = self._recorded.get(shape) or self._record(shape)
        if recorded is None:
            return None
        table, targets = _table(examples, width, pad)
        recorded.ids.copy_(table)
        recorded.targets.copy_(targets)
        recorded.share.fill_(1.0 / tokens)
        recorded.replay()
        return recorded.loss

    def _record(self, shape: tuple[int, int]) -> _Recorded | None:
        ids = torch.zeros(shape, dtype=torch.int64, device=self._device)
        targets = torch.full_like(ids, _NO_TARGET)
        share, loss = (torch.zeros((), device=self._device) for _ in range(2))

        def work() -> None:
            loss.copy_(self._backward(ids, targets, share))

        kept = torch._foreach_add(self._gradients, 0.0)
        try:
            # Neither dropout nor what has been added so far is to depend on when a shape is first met.
            with torch.random.fork_rng(devices=[self._device]):
                self._recorder.rehearse(work)
                recorded = _Recorded(ids, targets, share, loss, self._recorder.record(work))
        except RuntimeError as error:
            self._refused = True
            reason = str(error).splitlines()[0]
            warnings.warn(f"training is not recorded as a CUDA graph, and is slower: {reason}", stacklevel=2)
            return None
        finally:
            torch._foreach_copy_(self._gradients, kept)
        self._recorded[shape] = recorded
        return recorded

    def _backward(self, ids: Tensor, targets: Tensor, share: Tensor) -> Tensor:
        with self._model.device.autocast():
            logits = self._model.module(input_ids=ids, use_cache=False).logits
        flat = logits.flatten(0, 1).float()
        loss = functional.cross_entropy(flat, targets.flatten(), ignore_index=_NO_TARGET, reduction="sum") * share
        torch.autograd.backward(loss)
        return loss.detach()


def _table(examples: Sequence[Ids], width: int, pad: int) -> tuple[Tensor, Tensor]:
    """``(rows, width)`` tokens whose next one is predicted, and those next ones."""
    ids = np.full((len(examples), width), pad, dtype=np.int64)
    targets = np.full_like(ids, _NO_TARGET)
    for row, example in enumerate(examples):
        known = max(0, len(example) - 1)
        ids[row, :known], targets[row, :known] = example[:known], example[1:]
    return torch.from_numpy(ids), torch.from_numpy(targets)
