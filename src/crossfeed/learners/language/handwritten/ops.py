r"""Operations between a Llama's matrix products: norms, rotary embeddings, attention, gates and losses.

Forward and backward:

- RMS norm: :math:`y = r x` with :math:`r = (\overline{x^2} + \epsilon)^{-1/2}`; its weight is fused into the matrices
  that follow (`FusedProjection`). :math:`dx = r (dy - y\, \overline{dy \circ y})`.
- Rotary embedding (Su et al., 2021): a pair of numbers as a complex one, times :math:`e^{i p \theta}`; backward the
  conjugate.
- Attention: :math:`A = \operatorname{softmax}(Q K^\top)`, each token over itself and those before it in its text.
- SwiGLU gate (Shazeer, 2020): :math:`h = g\, \sigma(g) \circ u`.
- Losses: :math:`\log \sum_v e^{\ell_v} - \ell_y` of each target y, and their gradients with respect to the logits,
  :math:`\operatorname{softmax}(\ell) - e_y`.

Shapes are written with N tokens, H query heads, G heads of keys and values, each D wide; ``qkv`` is
``(N, (H + 2G) D)``, queries, keys and values of each token.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import HandwrittenConfig

__all__ = ["Attention", "AttentionForward", "KVCache", "Ops", "Saved", "rotary_table", "rotate"]

Saved: TypeAlias = list[Tensor]
"""Tensors that a forward function saves for its backward one; only the two know what they are."""


class AttentionForward(Protocol):
    """Attention without a backward pass."""

    def forward(self, qkv: Tensor) -> tuple[Tensor, Saved]:
        """Return the attention output of each token.

        Args:
            qkv: ``(N, (H + 2G) D)`` rotated queries and keys, and values.

        Returns:
            ``(N, H D)`` heads side by side; and tensors saved for a backward pass.
        """
        ...


class Attention(AttentionForward, Protocol):
    """Causal attention within each text of a packed sequence."""

    def backward(self, gradient: Tensor, qkv: Tensor, saved: Saved) -> Tensor:
        """Return the gradients of queries, keys and values.

        Args:
            gradient: ``(N, H D)`` gradient of the attention output.
            qkv: The input of `forward`.
            saved: The tensors that `forward` saved.

        Returns:
            ``(N, (H + 2G) D)`` gradients.
        """
        ...


class KVCache(Protocol):
    """Keys and values of texts that are being generated, a row for each text."""

    @property
    def layers(self) -> Sequence[AttentionForward]:
        """One for each layer: ``forward`` takes one more token of each row and stores its keys and values."""
        ...

    def fill(self, number: int, qkv: Tensor, rows: Tensor, positions: Tensor) -> None:
        """Store keys and values of prompt tokens.

        Args:
            number: The layer's number.
            qkv: ``(N, (H + 2G) D)`` of the tokens.
            rows: ``(N,)`` each token's row.
            positions: ``(N,)`` its position among its row's tokens.
        """
        ...

    def step(self) -> None:
        """Count one more token in every row, after all layers have stored it."""
        ...

    def keep(self, holes: Tensor, movers: Tensor, left: int) -> None:
        """Move some rows into the places of finished ones, and keep the first rows.

        Args:
            holes: Rows that are given up.
            movers: As many rows, which take their places.
            left: Number of rows that go on.
        """
        ...


class Ops(Protocol):
    """All operations between products except rotary embeddings, in torch or compiled."""

    @property
    def dtype(self) -> torch.dtype:
        """The type of the products' inputs, fp32 or bf16; residual streams and attention are fp32."""
        ...

    def norm(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """Scale rows to mean square 1.

        Args:
            x: ``(N, width)`` numbers in fp32.
            epsilon: Added to mean squares.

        Returns:
            ``(N, width)`` normed numbers, and the ``(N, 1)`` factors.
        """
        ...

    def norm_backward(self, gradient: Tensor, y: Tensor, factors: Tensor, into: Tensor) -> None:
        """Add the gradient of `norm`'s input to another.

        Args:
            gradient: ``(N, width)`` gradient of the normed numbers.
            y: ``(N, width)`` normed numbers.
            factors: ``(N, 1)`` factors.
            into: ``(N, width)`` numbers in fp32 that are added to.
        """
        ...

    def gate(self, gate_up: Tensor) -> tuple[Tensor, Saved]:
        """Return the SwiGLU gate's output.

        Args:
            gate_up: ``(N, 2 inner)`` gates and ups side by side.

        Returns:
            ``(N, inner)`` gated numbers; and tensors saved for the backward pass.
        """
        ...

    def gate_backward(self, gradient: Tensor, gate_up: Tensor, saved: Saved) -> Tensor:
        """Overwrite gates and ups with their gradients, and return them.

        Args:
            gradient: ``(N, inner)`` gradient of the gated numbers.
            gate_up: ``(N, 2 inner)`` input of `gate`; it is overwritten.
            saved: The tensors that `gate` saved.
        """
        ...

    def losses(self, logits: Tensor, targets: Tensor, into: Tensor, with_gradient: bool) -> None:
        """Write the losses of targets.

        Args:
            logits: ``(N, vocabulary)``; they are overwritten.
            targets: ``(N,)`` tokens.
            into: ``(N,)`` where losses are written.
            with_gradient: True if the logits are overwritten with the gradients of their losses.
        """
        ...

    def attention(self, config: HandwrittenConfig, lengths: Sequence[int]) -> Attention:
        """Return attention within the texts of a packed sequence.

        Args:
            config: The model's sizes.
            lengths: Number of tokens of each text.
        """
        ...

    def cache(self, config: HandwrittenConfig, lengths: Tensor, capacity: int) -> KVCache:
        """Return an empty key-value cache.

        Args:
            config: The model's sizes.
            lengths: ``(rows,)`` tokens that each row has before the first new one.
            capacity: Most tokens that a row will have.
        """
        ...


def rotary_table(config: HandwrittenConfig, positions: int) -> Tensor:
    """Return the complex numbers that rotate the pairs of queries and keys at each position.

    Those of queries also contain the scale of attention.

    Args:
        config: The model's sizes.
        positions: Number of positions.

    Returns:
        ``(positions, (H + G) D / 2)`` complex numbers.
    """
    angles = torch.arange(positions, dtype=torch.float32)[:, None] * config.frequencies
    keys = torch.complex(angles.cos(), angles.sin())
    return torch.cat([keys * config.head_dim**-0.5] * config.heads + [keys] * config.kv_heads, dim=1)


def rotate(qkv: Tensor, rotations: Tensor) -> None:
    """Rotate queries and keys in place.

    Args:
        qkv: ``(N, (H + 2G) D)`` queries, keys and values.
        rotations: ``(N, (H + G) D / 2)`` rows of `rotary_table`.
    """
    torch.view_as_complex(qkv.view(len(qkv), qkv.shape[1] // 2, 2))[:, : rotations.shape[1]].mul_(rotations)
