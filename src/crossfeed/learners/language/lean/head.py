"""The losses of next tokens, and their gradients, in pieces of the logits that a core's cache holds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

__all__ = ["losses", "losses_and_gradients"]

_IN_CACHE = 1 << 18
"""Logits in a piece: a megabyte."""


def losses(y: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """``(N,)`` negative log probabilities of targets.

    Args:
        y: ``(N, width)`` what the head reads.
        head: ``(vocabulary, width)``.
        targets: ``(N,)`` tokens.
    """
    found = y.new_empty(len(y))
    for piece in _pieces(len(y), len(head)):
        _losses_and_chances(y[piece], head, targets[piece], found[piece])
    return found


def losses_and_gradients(y: Tensor, head: Tensor, targets: Tensor, factor: float) -> tuple[Tensor, Tensor, Tensor]:
    """`losses`, and the gradients of their sum times a factor.

    Returns:
        ``(N,)`` losses; ``(N, width)`` gradients of y and ``(vocabulary, width)`` of the head.
    """
    found, of_y, of_head = y.new_empty(len(y)), torch.empty_like(y), torch.zeros_like(head)
    for piece in _pieces(len(y), len(head)):
        chances = _losses_and_chances(y[piece], head, targets[piece], found[piece])
        chances.scatter_add_(1, targets[piece, None], chances.new_full((len(chances), 1), -1.0))
        torch.addmm(of_y[piece], chances, head, beta=0.0, alpha=factor, out=of_y[piece])
        of_head.addmm_(chances.t(), y[piece], alpha=factor)
    return found, of_y, of_head


def _losses_and_chances(y: Tensor, head: Tensor, targets: Tensor, losses: Tensor) -> Tensor:
    """Write losses; give the ``(N, vocabulary)`` probabilities.

    The likeliest token's probability is at least one in the vocabulary, so that its logarithm is exact: it gives the
    logarithm of the sum, also for targets whose own probability is too small for a number.
    """
    logits = torch.mm(y, head.t())
    own, top = logits.gather(1, targets[:, None])[:, 0], logits.amax(dim=1)
    chances = torch._softmax(logits, 1, False, out=logits)
    torch.sub(top.sub_(own), chances.amax(dim=1).log_(), out=losses)
    return chances


def _pieces(n: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, _IN_CACHE // vocabulary)
    return (slice(first, first + size) for first in range(0, n, size))
