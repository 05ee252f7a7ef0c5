r"""What lies between a Llama's products, forward and backward: norms, turns, attention, gates.

Backward functions take the gradient of what the forward function gave, and what it kept.

- Norm: :math:`y = r x` with :math:`r = (\overline{x^2} + \epsilon)^{-1/2}`; its weight is in the matrices that follow
  (`Fused`). :math:`dx = r (dy - y\, \overline{dy \circ y})`.
- Turn (Su et al., 2021): a pair of numbers as a complex one, times :math:`e^{i p \theta}`; backward the conjugate.
- Attention: :math:`A = \operatorname{softmax}(Q K^\top)`, each token over itself and those before it in its text.
- Gate (Shazeer, 2020): :math:`h = g\, \sigma(g) \circ u`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfeed.learners.language.lean.shape import Shape

__all__ = ["Attention", "gate", "gate_backward", "norm", "norm_backward", "turn", "turns"]


def norm(x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
    """``(N, width)`` numbers of mean square 1, and the ``(N, 1)`` factors that made them so."""
    size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    factors = size.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
    return x * factors, factors


def norm_backward(gradient: Tensor, y: Tensor, factors: Tensor, into: Tensor) -> None:
    """Add the gradient of `norm`'s input to another."""
    along = (gradient * y).sum(dim=-1, keepdim=True)
    into.addcmul_(torch.addcmul(gradient, y, along, value=-1.0 / y.shape[-1]), factors)


def turns(shape: Shape, positions: int) -> Tensor:
    """``(positions, (H + G) D / 2)`` complex numbers that turn the pairs of queries and keys at each position.

    Those of queries also hold the scale of attention.
    """
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * shape.frequencies
    keys = torch.complex(angles.cos(), angles.sin())
    return torch.cat([keys * shape.size**-0.5] * shape.heads + [keys] * shape.groups, dim=1)


def turn(asked: Tensor, by: Tensor) -> None:
    """Turn ``(N, (H + 2G) D)`` queries and keys in place."""
    torch.view_as_complex(asked.view(len(asked), asked.shape[1] // 2, 2))[:, : by.shape[1]].mul_(by)


def gate(opened: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``(N, inner)`` gated numbers from ``(N, 2 inner)`` gates and ups; and what `gate_backward` needs."""
    gates, ups = opened.chunk(2, dim=-1)
    chances = torch.sigmoid(gates)
    silu = gates * chances
    return silu * ups, chances, silu


def gate_backward(gradient: Tensor, opened: Tensor, chances: Tensor, silu: Tensor) -> Tensor:
    """``(N, 2 inner)`` gradients of gates and ups, written over them."""
    gates, ups = opened.chunk(2, dim=-1)
    slopes = torch.addcmul(chances, chances, silu, value=-1.0).add_(silu)  # s + g s (1 - s)
    torch.mul(slopes.mul_(gradient), ups, out=gates)
    torch.mul(gradient, silu, out=ups)
    return opened


class Attention:
    """Plain attention within each text of a line.

    Texts are taken one by one: at a hundred tokens that is faster than any padding.

    Args:
        shape: The model's.
        lengths: Tokens of each text.
    """

    def __init__(self, shape: Shape, lengths: Sequence[int]) -> None:
        self._shape, self._lengths = shape, list(lengths)
        mask = torch.full((max(lengths, default=0),) * 2, -torch.inf).triu_(1)
        self._masks = [mask[:length, :length] for length in lengths]

    def forward(self, asked: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What each token attends to.

        Args:
            asked: ``(N, (H + 2G) D)`` queries, keys and values.

        Returns:
            ``(N, H D)`` heads one after another, and each text's ``(H, length, length)`` weights.
        """
        queries, keys, values = self._heads(asked)
        found = asked.new_empty(len(asked), self._shape.heads * self._shape.size)
        weights = [
            torch.baddbmm(*each)
            for each in zip(self._masks, self._apart(queries), self._apart(keys, flipped=True), strict=True)
        ]
        for chances, value, into in zip(weights, self._apart(values), self._apart(self._by_head(found)), strict=True):
            torch._softmax(chances, -1, False, out=chances)
            torch.bmm(chances, value, out=into)
        return found, weights

    def backward(self, gradient: Tensor, asked: Tensor, weights: Sequence[Tensor]) -> Tensor:
        """``(N, (H + 2G) D)`` gradients of queries, keys and values."""
        found = torch.empty_like(asked)
        into = self._heads(found) if self._shape.groups == self._shape.heads else self._room(asked)
        queries, keys, values = self._heads(asked)
        parts = (queries, keys, self._by_head(gradient), *into)
        flipped = self._apart(values, flipped=True)
        for chances, value, query, key, given, of_query, of_key, of_value in zip(
            weights, flipped, *map(self._apart, parts), strict=True
        ):
            torch.bmm(chances.mT, given, out=of_value)
            of_scores = torch.bmm(given, value)
            torch._softmax_backward_data(of_scores, chances, -1, torch.float32, grad_input=of_scores)
            torch.bmm(of_scores, key, out=of_query)
            torch.bmm(of_scores.mT, query, out=of_key)
        if self._shape.groups != self._shape.heads:
            self._gather(into, found)
        return found

    def _by_head(self, found: Tensor) -> Tensor:
        """``(heads, N, D)`` of ``(N, heads D)``."""
        return found.view(len(found), found.shape[1] // self._shape.size, self._shape.size).transpose(0, 1)

    def _heads(self, asked: Tensor) -> list[Tensor]:
        """``(H, N, D)`` queries, keys and values: those of a group are given to each of its heads."""
        heads, groups = self._shape.heads, self._shape.groups
        parts = self._by_head(asked).split_with_sizes([heads, groups, groups])
        return [part if len(part) == heads else part.repeat_interleave(heads // groups, dim=0) for part in parts]

    def _room(self, asked: Tensor) -> list[Tensor]:
        return [asked.new_empty(self._shape.heads, len(asked), self._shape.size) for _ in range(3)]

    def _gather(self, gradients: Sequence[Tensor], into: Tensor) -> None:
        """Add up the gradients of the heads of each group."""
        heads, groups = self._shape.heads, self._shape.groups
        for part, found in zip(self._by_head(into).split_with_sizes([heads, groups, groups]), gradients, strict=True):
            torch.sum(found.view(len(part), -1, *part.shape[1:]), dim=1, out=part)

    def _apart(self, part: Tensor, flipped: bool = False) -> Sequence[Tensor]:
        """Each text's tokens."""
        return part.mT.split_with_sizes(self._lengths, 2) if flipped else part.split_with_sizes(self._lengths, 1)
