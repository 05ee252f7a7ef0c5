"""Losses of next tokens and their gradients, in pieces of the logits that a core's cache holds."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.ops import Ops

__all__ = ["add_product", "losses", "losses_and_gradients"]

_IN_CACHE = 1 << 18
"""Logits in a piece: a megabyte."""


def losses(ops: Ops, y: Tensor, head: Tensor, targets: Tensor) -> Tensor:
    """Return the ``(N,)`` negative log probabilities of targets.

    Args:
        ops: The operations between products.
        y: ``(N, width)`` input of the head.
        head: ``(vocabulary, width)`` matrix.
        targets: ``(N,)`` tokens.
    """
    each = torch.empty(len(y))
    for piece in _pieces(len(y), len(head)):
        ops.losses(torch.mm(y[piece], head.t()), targets[piece], each[piece], with_gradient=False)
    return each


def losses_and_gradients(
    ops: Ops, y: Tensor, head: Tensor, targets: Tensor, tokens: int, factor: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return `losses`, and the gradients of the sum of the first ones times a factor.

    Args:
        ops: The operations between products.
        y: ``(N, width)`` input of the head.
        head: ``(vocabulary, width)`` matrix.
        targets: ``(N,)`` tokens.
        tokens: Number of targets that count.
        factor: What their summed loss is multiplied by.

    Returns:
        ``(N,)`` losses; ``(N, width)`` gradients of y and ``(vocabulary, width)`` of the head.
    """
    # The head's gradient is kept transposed: with rows of a power of two many tokens, places in a cache collide, and it
    # takes a third longer.
    each, grad_y, transposed = torch.empty(len(y)), torch.empty_like(y), torch.zeros(head.shape[::-1])
    for piece in _pieces(len(y), len(head)):
        grad_logits = torch.mm(y[piece], head.t())
        ops.losses(grad_logits, targets[piece], each[piece], with_gradient=True)
        grad_logits[max(0, tokens - piece.start) :] = 0.0
        torch.addmm(grad_y[piece], grad_logits, head, beta=0.0, alpha=factor, out=grad_y[piece])
        add_product(transposed, y[piece].t(), grad_logits, factor)
    return each, grad_y, transposed.t().contiguous()


def add_product(into: Tensor, one: Tensor, other: Tensor, factor: float = 1.0) -> None:
    """Add a product, times a factor, to numbers in fp32.

    Args:
        into: ``(n, m)`` numbers in fp32.
        one: ``(n, k)`` in fp32 or bf16.
        other: ``(k, m)`` of the same type.
        factor: The factor.
    """
    if one.dtype is torch.float32:
        into.addmm_(one, other, alpha=factor)
    else:
        into.add_(torch.mm(one, other), alpha=factor)


def _pieces(n: int, vocabulary: int) -> Iterator[slice]:
    size = max(1, _IN_CACHE // vocabulary)
    return (slice(first, first + size) for first in range(0, n, size))
