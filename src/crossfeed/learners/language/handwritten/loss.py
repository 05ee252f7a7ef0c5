"""The losses of next tokens, and their gradients, in pieces of the logits that a core's cache holds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.ops import Parts

__all__ = ["add_product", "losses", "losses_and_gradients"]

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
    found = torch.empty(len(y))
    for piece in _pieces(len(y), len(head)):
        parts.losses(torch.mm(y[piece], head.t()), targets[piece], found[piece], slopes=False)
    return found


def losses_and_gradients(
    parts: Parts, y: Tensor, head: Tensor, targets: Tensor, tokens: int, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`losses`, and the gradients of the sum of the first `tokens` times a factor.

    Returns:
        ``(N,)`` losses; ``(N, width)`` gradients of y and ``(vocabulary, width)`` of the head.
    """
    # The head's gradient lies on its side: rows of a power of two many tokens share places in a cache, a third slower.
    found, of_y, on_side = torch.empty(len(y)), torch.empty_like(y), torch.zeros(head.shape[::-1])
    for piece in _pieces(len(y), len(head)):
        slopes = torch.mm(y[piece], head.t())
        parts.losses(slopes, targets[piece], found[piece], slopes=True)
        slopes[max(0, tokens - piece.start) :] = 0.0
        torch.addmm(of_y[piece], slopes, head, beta=0.0, alpha=factor, out=of_y[piece])
        add_product(on_side, y[piece].t(), slopes, factor)
    return found, of_y, on_side.t().contiguous()


def add_product(into: Tensor, one: Tensor, other: Tensor, factor: float = 1.0) -> None:
    """Add a product, times a factor, to numbers in fp32."""
    if one.dtype is torch.float32:
        into.addmm_(one, other, alpha=factor)
    else:
        into.add_(torch.mm(one, other), alpha=factor)


def _pieces(n: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, _IN_CACHE // vocabulary)
    return (slice(first, first + size) for first in range(0, n, size))
