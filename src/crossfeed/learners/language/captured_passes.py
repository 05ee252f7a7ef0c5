"""Forward and backward passes on a CUDA device, captured once for each shape and replayed (`neural.cuda_graphs`)."""

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
from crossfeed.learners.neural.cuda_graphs import CudaGraphs, Replay
from crossfeed.learners.neural.device import Device

__all__ = ["CapturedPasses"]

_WIDTHS: Final = 64
"""Rows are padded to a multiple of this: eight graphs serve all lengths up to 512."""
_MOST_OPERATIONS: Final = 1e13
"""Floating-point operations of a pass above which the host is fast enough, and a graph only costs memory."""
_NO_TARGET: Final = -100

Kind = Literal["gradients", "losses"]


@dataclass(frozen=True)
class _CapturedPass:
    """The captured pass of one shape, with its input and output tensors.

    Attributes:
        ids: ``(rows, width)`` tokens.
        targets: ``(rows, width)`` next tokens; `_NO_TARGET` where nothing is predicted.
        share: Factor of the summed loss.
        loss: The summed loss times `share`, or ``(rows, width)`` losses.
        replay: Computes the losses, and gradients in a pass of that kind.
    """

    ids: Tensor
    targets: Tensor
    share: Tensor
    loss: Tensor
    replay: Replay


class CapturedPasses:
    """Passes over padded rows, by shape.

    Args:
        module: A causal model of transformers, on its device. Its parameters are changed in place from then on, which
            loading a state and AdamW do.
        device: A CUDA device.
        graphs: Captures work on it.
    """

    def __init__(self, module: Any, device: Device, graphs: CudaGraphs) -> None:
        self._module, self._autocast = module, device.autocast
        self._device = device.torch_device
        self._graphs = graphs
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._size = float(sum(parameter.numel() for parameter in module.parameters()))
        self._gradients: list[Tensor] = []
        self._captured: dict[tuple[Kind, int, int], _CapturedPass | None] = {}
        # A layer that is dropped at random would be dropped always, or never, once it is captured.
        self._refused = bool(getattr(module.config, "layerdrop", 0.0))

    def begin(self) -> None:
        """Give the parameters the gradients that captured passes add to, all zero."""
        if not self._gradients:
            self._gradients = [torch.zeros_like(parameter) for parameter in self._parameters]
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        self.clear()

    def clear(self) -> None:
        """Set the gradients to zero in place."""
        torch._foreach_zero_(self._gradients)

    def add_gradients(self, examples: Sequence[Ids], tokens: int, pad: int) -> Tensor | None:
        """Add the gradients of some examples' share of the mean loss over `tokens` tokens.

        Args:
            examples: Token ids.
            tokens: The number of tokens that the mean is over.
            pad: A token that fills rows.

        Returns:
            That share of the loss, valid until the next call; None if such a pass cannot be captured.
        """
        captured = self._ready("gradients", examples, len(examples), pad)
        if captured is None:
            return None
        captured.share.fill_(1.0 / tokens)
        captured.replay()
        return captured.loss

    def losses(self, examples: Sequence[Ids], rows: int, pad: int) -> NDArray[np.float32] | None:
        """Return the ``(N,)`` losses of all tokens except each example's first; None if that cannot be captured.

        Args:
            examples: At most `rows` examples.
            rows: Rows of the captured pass.
            pad: A token that fills rows.
        """
        captured = self._ready("losses", examples, rows, pad)
        if captured is None:
            return None
        captured.replay()
        table = captured.loss.cpu().numpy()
        return np.concatenate([table[row, : max(0, len(ids) - 1)] for row, ids in enumerate(examples)])

    def _ready(self, kind: Kind, examples: Sequence[Ids], rows: int, pad: int) -> _CapturedPass | None:
        """Return the captured pass of a shape, with the examples in its input tensors."""
        width = -(-max(1, *(len(ids) - 1 for ids in examples)) // _WIDTHS) * _WIDTHS
        operations = (6.0 if kind == "gradients" else 2.0) * self._size * rows * width
        if self._refused or operations > _MOST_OPERATIONS:
            return None
        shape = (kind, rows, width)
        if shape not in self._captured:
            self._captured[shape] = self._capture(kind, rows, width)
        captured = self._captured[shape]
        if captured is not None:
            ids, targets = _table(examples, rows, width, pad)
            captured.ids.copy_(ids)
            captured.targets.copy_(targets)
        return captured

    def _capture(self, kind: Kind, rows: int, width: int) -> _CapturedPass | None:
        """Capture a shape; None if there is no memory for it, or the model cannot be captured at all."""
        ids = torch.zeros((rows, width), dtype=torch.int64, device=self._device)
        targets = torch.full_like(ids, _NO_TARGET)
        share = torch.zeros((), device=self._device)
        loss = torch.zeros(() if kind == "gradients" else (rows, width), device=self._device)

        def work() -> None:
            (self._backward if kind == "gradients" else self._forward)(ids, targets, share, loss)

        try:
            return _CapturedPass(ids, targets, share, loss, self._captured_apart(work))
        except torch.OutOfMemoryError:
            return None
        except RuntimeError as error:
            self._refused = True
            reason = str(error).splitlines()[0]
            warnings.warn(f"this model cannot be captured as a CUDA graph, and is slower: {reason}", stacklevel=2)
            return None

    def _captured_apart(self, work: Callable[[], None]) -> Replay:
        """Capture work so that neither dropout nor gradients so far depend on when a shape first occurs."""
        kept = [gradient.clone() for gradient in self._gradients]
        try:
            with self._graphs.preserved_generators():
                self._graphs.warm_up(work)
                return self._graphs.capture(work)
        finally:
            if kept:
                torch._foreach_copy_(self._gradients, kept)

    def _backward(self, ids: Tensor, targets: Tensor, share: Tensor, loss: Tensor) -> None:
        mean = self._cross_entropy(ids, targets, "sum") * share
        torch.autograd.backward(mean)
        loss.copy_(mean.detach())

    def _forward(self, ids: Tensor, targets: Tensor, _share: Tensor, loss: Tensor) -> None:
        loss.copy_(self._cross_entropy(ids, targets, "none").view_as(loss))

    def _cross_entropy(self, ids: Tensor, targets: Tensor, reduction: str) -> Tensor:
        with self._autocast():
            logits = self._module(input_ids=ids, use_cache=False).logits
        flat = logits.flatten(0, 1).float()
        return functional.cross_entropy(flat, targets.flatten(), ignore_index=_NO_TARGET, reduction=reduction)


def _table(examples: Sequence[Ids], rows: int, width: int, pad: int) -> tuple[Tensor, Tensor]:
    """Return ``(rows, width)`` tokens whose next one is predicted, and those next ones."""
    ids = np.full((rows, width), pad, dtype=np.int64)
    targets = np.full_like(ids, _NO_TARGET)
    for row, example in enumerate(examples):
        known = max(0, len(example) - 1)
        ids[row, :known], targets[row, :known] = example[:known], example[1:]
    return torch.from_numpy(ids), torch.from_numpy(targets)
