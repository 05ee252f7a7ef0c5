"""Forward and backward passes on a CUDA device, recorded once for each shape and replayed (`neural.recording`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from crossfeed.learners.language.tokens import Ids
from crossfeed.learners.neural.cuda_graphs import Recorder, Replay
from crossfeed.learners.neural.device import Device

__all__ = ["RecordedPasses"]

_WIDTHS: Final = 64
"""Rows are padded to a multiple of this: eight recordings serve all lengths up to 512."""
_MOST_OPERATIONS: Final = 1e13
"""Floating-point operations of a pass above which the host is fast enough, and recording only costs memory."""
_NO_TARGET: Final = -100

Kind = Literal["gradients", "losses"]


@dataclass(frozen=True)
class _Recorded:
    """One shape: where its inputs go, where its losses come out, and how to replay it.

    Attributes:
        ids: ``(rows, width)`` tokens.
        targets: ``(rows, width)`` what follows them; `_NO_TARGET` where nothing is predicted.
        share: What the summed loss is multiplied by.
        loss: The summed loss times `share`, or ``(rows, width)`` losses.
        replay: Makes the losses, and gradients where they are wanted.
    """

    ids: Tensor
    targets: Tensor
    share: Tensor
    loss: Tensor
    replay: Replay


class RecordedPasses:
    """Passes over padded rows, by shape.

    Args:
        module: A causal model of transformers, on its device. Its parameters are changed in place from then on, which
            loading a state and AdamW do.
        device: A CUDA device.
        recorder: Records on it.
    """

    def __init__(self, module: Any, device: Device, recorder: Recorder) -> None:
        self._module, self._autocast = module, device.autocast
        self._device = device.torch_device
        self._recorder = recorder
        self._parameters = list(module.parameters())
        self._size = float(sum(parameter.numel() for parameter in self._parameters))
        self._gradients: list[Tensor] = []
        self._recorded: dict[tuple[Kind, int, int], _Recorded | None] = {}
        # A layer that is left out by chance would be left out always, or never, once it is recorded.
        self._refused = bool(getattr(module.config, "layerdrop", 0.0))

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

    def add_gradients(self, examples: Sequence[Ids], tokens: int, pad: int) -> Tensor | None:
        """Add the gradients of some examples' share of the mean loss over `tokens` tokens.

        Returns:
            That share of the loss, until the next call; None if such a pass is not recorded.
        """
        recorded = self._ready("gradients", examples, len(examples), pad)
        if recorded is None:
            return None
        recorded.share.fill_(1.0 / tokens)
        recorded.replay()
        return recorded.loss

    def losses(self, examples: Sequence[Ids], rows: int, pad: int) -> NDArray[np.float32] | None:
        """``(N,)`` losses of all tokens but each example's first, example after example; None if that is not recorded.

        Args:
            examples: At most `rows` examples.
            rows: Rows of the recording.
            pad: A token that fills rows.
        """
        recorded = self._ready("losses", examples, rows, pad)
        if recorded is None:
            return None
        recorded.replay()
        found = recorded.loss.cpu().numpy()
        return np.concatenate([found[row, : max(0, len(ids) - 1)] for row, ids in enumerate(examples)])

    def _ready(self, kind: Kind, examples: Sequence[Ids], rows: int, pad: int) -> _Recorded | None:
        """The recording of a shape, with the examples in place."""
        width = -(-max(1, *(len(ids) - 1 for ids in examples)) // _WIDTHS) * _WIDTHS
        operations = (6.0 if kind == "gradients" else 2.0) * self._size * rows * width
        if self._refused or operations > _MOST_OPERATIONS:
            return None
        shape = (kind, rows, width)
        if shape not in self._recorded:
            self._recorded[shape] = self._record(kind, rows, width)
        recorded = self._recorded[shape]
        if recorded is not None:
            ids, targets = _table(examples, rows, width, pad)
            recorded.ids.copy_(ids)
            recorded.targets.copy_(targets)
        return recorded

    def _record(self, kind: Kind, rows: int, width: int) -> _Recorded | None:
        """Record a shape; None if there is no memory for it, or the model cannot be recorded at all."""
        ids = torch.zeros((rows, width), dtype=torch.int64, device=self._device)
        targets = torch.full_like(ids, _NO_TARGET)
        share = torch.zeros((), device=self._device)
        loss = torch.zeros(() if kind == "gradients" else (rows, width), device=self._device)

        def work() -> None:
            (self._backward if kind == "gradients" else self._forward)(ids, targets, share, loss)

        try:
            return _Recorded(ids, targets, share, loss, self._recorded_apart(work))
        except torch.OutOfMemoryError:
            return None
        except RuntimeError as error:
            self._refused = True
            reason = str(error).splitlines()[0]
            warnings.warn(f"this model cannot be recorded as a CUDA graph, and is slower: {reason}", stacklevel=2)
            return None

    def _recorded_apart(self, work: Callable[[], None]) -> Replay:
        """Neither dropout nor what has been added so far hangs on when a shape is first met."""
        kept = [gradient.clone() for gradient in self._gradients]
        try:
            with self._recorder.undisturbed():
                self._recorder.rehearse(work)
                return self._recorder.record(work)
        finally:
            if kept:
                torch._foreach_copy_(self._gradients, kept)

    def _backward(self, ids: Tensor, targets: Tensor, share: Tensor, loss: Tensor) -> None:
        found = self._cross_entropy(ids, targets, "sum") * share
        torch.autograd.backward(found)
        loss.copy_(found.detach())

    def _forward(self, ids: Tensor, targets: Tensor, _share: Tensor, loss: Tensor) -> None:
        loss.copy_(self._cross_entropy(ids, targets, "none").view_as(loss))

    def _cross_entropy(self, ids: Tensor, targets: Tensor, reduction: str) -> Tensor:
        with self._autocast():
            logits = self._module(input_ids=ids, use_cache=False).logits
        flat = logits.flatten(0, 1).float()
        return functional.cross_entropy(flat, targets.flatten(), ignore_index=_NO_TARGET, reduction=reduction)


def _table(examples: Sequence[Ids], rows: int, width: int, pad: int) -> tuple[Tensor, Tensor]:
    """``(rows, width)`` tokens whose next one is predicted, and those next ones."""
    ids = np.full((rows, width), pad, dtype=np.int64)
    targets = np.full_like(ids, _NO_TARGET)
    for row, example in enumerate(examples):
        known = max(0, len(example) - 1)
        ids[row, :known], targets[row, :known] = example[:known], example[1:]
    return torch.from_numpy(ids), torch.from_numpy(targets)
