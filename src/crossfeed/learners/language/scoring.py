"""Losses of items: sums over tokens, in batches of like length."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.tokens import Batch, Example, Ids
from crossfeed.protocols import Scores

__all__ = ["score"]


def score(model: CausalModel, examples: Sequence[Example], batch_size: int, pad: int) -> Scores:
    """Return the losses of examples under the loaded weights.

    The first token is given, not predicted. Equal sets of examples form equal batches, whatever their order.

    Args:
        model: The working model.
        examples: Token ids and lengths of prompts.
        batch_size: Examples in a batch.
        pad: A token that fills rows.
    """
    losses = np.zeros((len(examples), 2))
    order = sorted(range(len(examples)), key=lambda row: (len(examples[row].ids), *examples[row].ids))
    with torch.inference_mode():
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            losses[rows] = _losses(model, [examples[row] for row in rows], batch_size, pad)
    sizes = np.array([_sizes(example) for example in examples], dtype=np.float64).reshape(-1, 2)
    text_bytes = np.array([example.text_bytes for example in examples], dtype=np.float64)
    return Scores(losses[:, 0], sizes[:, 0], losses[:, 1], sizes[:, 1], text_bytes)


def _losses(model: CausalModel, examples: Sequence[Example], batch_size: int, pad: int) -> NDArray[np.float64]:
    """Return ``(rows, 2)`` summed losses, of the whole text and of the completion."""
    each = _token_losses(model, [example.ids for example in examples], batch_size, pad)
    running = np.concatenate([[0.0], np.cumsum(each.astype(np.float64))])
    sizes = np.array([_sizes(example) for example in examples])
    stops = np.cumsum(sizes[:, 0])
    losses: NDArray[np.float64] = running[stops][:, None] - running[stops[:, None] - sizes]
    return losses


def _token_losses(model: CausalModel, texts: Sequence[Ids], batch_size: int, pad: int) -> NDArray[np.float32]:
    """Return the ``(N,)`` losses of all tokens except the first of each text."""
    if model.handwritten is not None:
        return model.handwritten.losses(texts).numpy()
    captured = model.captured_passes.losses(texts, batch_size, pad) if model.captured_passes is not None else None
    if captured is not None:
        return captured
    batch = Batch.of(texts, pad, model.device.torch_device)
    if not len(batch.targets):
        return np.zeros(0, dtype=np.float32)
    losses = functional.cross_entropy(model.logits(batch), batch.targets, reduction="none")
    return np.asarray(losses.cpu().numpy())


def _sizes(example: Example) -> tuple[int, int]:
    """Return the numbers of predicted tokens of the whole text and of the completion."""
    length = len(example.ids)
    return max(0, length - 1), max(0, length - max(1, example.prompt))
