"""The losses of next tokens, and their gradients, in pieces of the logits that a core's cache holds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from crossfeed.learners.language.lean.parts import Parts

__all__ = ["losses", "losses_and_gradients"]

_IN_CACHE = 1 << 18
"""Logits in a piece: a megabyte."""


def losses(parts: Parts, y: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """``(N,)`` negative log probabilities of targets.

    Args:
        parts: What lies between products.
        y: ``(N, width)`` what the head reads.
        head: ``(vocabulary, width)``.
        targets: ``(N,)`` tokens.
    """
    found = y.new_empty(len(y))
    for piece in _pieces(len(y), len(head)):
        parts.losses(torch.mm(y[piece], head.t()), targets[piece], found[piece], slopes=False)
    return found


def losses_and_gradients(
    parts: Parts, y: Tensor, head: Tensor, targets: Tensor, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`losses`, and the gradients of their sum times a factor.

    Returns:
        ``(N,)`` losses; ``(N, width)`` gradients of y and ``(vocabulary, width)`` of the head.
    """
    found, of_y, of_head = y.new_empty(len(y)), torch.empty_like(y), torch.zeros_like(head)
    for piece in _pieces(len(y), len(head)):
        slopes = torch.mm(y[piece], head.t())
        parts.losses(slopes, targets[piece], found[piece], slopes=True)
        torch.addmm(of_y[piece], slopes, head, beta=0.0, alpha=factor, out=of_y[piece])
        of_head.addmm_(slopes.t(), y[piece], alpha=factor)
    return found, of_y, of_head


def _pieces(n: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, _IN_CACHE // vocabulary)
    return (slice(first, first + size) for first in range(0, n, size))
