r"""What lies between a Llama's products, forward and backward: norms, turns, attention, gates, losses.

- Norm: :math:`y = r x` with :math:`r = (\overline{x^2} + \epsilon)^{-1/2}`; its weight is in the matrices that follow
  (`Fused`). :math:`dx = r (dy - y\, \overline{dy \circ y})`.
- Turn (Su et al., 2021): a pair of numbers as a complex one, times :math:`e^{i p \theta}`; backward the conjugate.
- Attention: :math:`A = \operatorname{softmax}(Q K^\top)`, each token over itself and those before it in its text.
- Gate (Shazeer, 2020): :math:`h = g\, \sigma(g) \circ u`.
- Losses: :math:`\log \sum_v e^{\ell_v} - \ell_y` of each target y, and their slopes
  :math:`\operatorname{softmax}(\ell) - e_y`.

Shapes are written with N tokens, H heads that ask, G of keys and values, each D wide; ``asked`` is
``(N, (H + 2G) D)``, queries, keys and values of each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import Shape

__all__ = ["Attends", "Attention", "Cache", "Kept", "Parts", "turn", "turns"]

Kept: TypeAlias = list[Tensor]
"""What a forward function keeps for its backward one: its own business."""


class Attends(Protocol):
    """What tokens see."""

    def forward(self, asked: Tensor) -> tuple[Tensor, Kept]:
        """``(N, H D)`` what each token attends to, heads one after another."""
        ...


class Attention(Attends, Protocol):
    """Attention within each text of a line."""

    def backward(self, gradient: Tensor, asked: Tensor, kept: Kept) -> Tensor:
        """``(N, (H + 2G) D)`` gradients of queries, keys and values."""
        ...


class Cache(Protocol):
    """Keys and values of texts that are being written, a row each."""

    @property
    def layers(self) -> Sequence[Attends]:
        """One for each layer: ``forward`` takes one more token of each row, and puts its keys and values in."""
        ...

    def fill(self, number: int, asked: Tensor, rows: Tensor, places: Tensor) -> None:
        """Put in keys and values of tokens that come before the first new ones.

        Args:
            number: The layer's.
            asked: Of the tokens.
            rows: ``(N,)`` each token's row.
            places: ``(N,)`` its place among its row's tokens.
        """
        ...

    def step(self) -> None:
        """All layers hold one more token of each row."""
        ...

    def keep(self, holes: Tensor, movers: Tensor, left: int) -> None:
        """Put some rows into others' places, and go on with the first ones.

        Args:
            holes: Rows that are given up.
            movers: As many rows, which take their places.
            left: How many rows go on.
        """
        ...


class Parts(Protocol):
    """All of it but turns: in torch, or compiled."""

    @property
    def dtype(self) -> torch.dtype:
        """Of what is multiplied: fp32 or bf16. What a layer adds to, and attention, is fp32."""
        ...

    def norm(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """``(N, width)`` numbers of mean square 1, and the ``(N, 1)`` factors that made them so."""
        ...

    def norm_backward(self, gradient: Tensor, y: Tensor, factors: Tensor, into: Tensor) -> None:
        """Add the gradient of `norm`'s input to another."""
        ...

    def gate(self, opened: Tensor) -> tuple[Tensor, Kept]:
        """``(N, inner)`` gated numbers from ``(N, 2 inner)`` gates and ups."""
        ...

    def gate_backward(self, gradient: Tensor, opened: Tensor, kept: Kept) -> Tensor:
        """``(N, 2 inner)`` gradients of gates and ups, written over them."""
        ...

    def losses(self, logits: Tensor, targets: Tensor, into: Tensor, slopes: bool) -> None:
        """Write ``(N,)`` losses of targets.

        Args:
            logits: ``(N, vocabulary)``; they are used up.
            targets: ``(N,)`` tokens.
            into: Where losses go.
            slopes: Whether logits become the slopes of their losses.
        """
        ...

    def attention(self, shape: Shape, lengths: Sequence[int]) -> Attention:
        """Attention within texts of such lengths, one after another."""
        ...

    def cache(self, shape: Shape, lengths: Tensor, capacity: int) -> Cache:
        """Room for keys and values.

        Args:
            shape: The model's.
            lengths: ``(rows,)`` tokens that each row has before the first new one.
            capacity: Most tokens that a row will have.
        """
        ...


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
