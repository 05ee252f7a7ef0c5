r"""A Llama's weights side by side, so that products with the same input are one product.

A norm's weight g is put into the matrices that read it: :math:`W (g \circ y) = (W \operatorname{diag} g)\, y`. The
two halves of a head, which turn together, are put next to each other in pairs, in queries and in keys alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import Shape

__all__ = ["Fused", "Layer", "Weights", "unfused"]


class Fused:
    """Matrices that read the same normed input, one below the other, with the norm's weight put in.

    Attributes:
        matrix: ``(outputs, width)`` what normed inputs are multiplied by.
    """

    def __init__(self, parts: list[Tensor], norm: Tensor, dtype: torch.dtype) -> None:
        self._bare = torch.cat(parts) if len(parts) > 1 else parts[0]
        self._norm = norm
        self.matrix = (self._bare * norm).to(dtype)

    def split(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients of the bare matrices and of the norm's weight; the given one is used up."""
        gradient = gradient.float()
        norm = (gradient * self._bare).sum(dim=0)
        return gradient.mul_(self._norm), norm


@dataclass(frozen=True)
class Layer:
    """One layer's matrices.

    Attributes:
        asked: Queries, keys and values; ``((H + 2G) D, width)``.
        joined: Heads joined; ``(width, H D)``.
        opened: Gates and ups; ``(2 inner, width)``.
        closed: Downs; ``(width, inner)``.
    """

    asked: Fused
    joined: Tensor
    opened: Fused
    closed: Tensor


class Weights:
    """All of a model's matrices, as they are now: they do not change with the module's.

    Args:
        shape: The model's.
        parameters: The module's.
        dtype: Of the matrices, but for the embeddings, which are fp32.

    Attributes:
        tokens: ``(vocabulary, width)`` embeddings.
        layers: The layers.
        head: The head, ``(vocabulary, width)``, with the last norm.
    """

    def __init__(self, shape: Shape, parameters: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self.tokens = parameters["model.embed_tokens.weight"].detach()
        self.layers = [_layer(shape, parameters, f"model.layers.{number}", dtype) for number in range(shape.layers)]
        head = self.tokens if shape.tied else parameters["lm_head.weight"].detach()
        self.head = Fused([head], parameters["model.norm.weight"].detach(), dtype)


def unfused(shape: Shape, layer: int, asked: Tensor, opened: Tensor) -> dict[str, Tensor]:
    """Gradients of a layer's fused matrices, by parameter.

    Args:
        shape: The model's.
        layer: The layer's number.
        asked: Of queries, keys and values.
        opened: Of gates and ups.
    """
    queries, keys = shape.heads * shape.size, shape.groups * shape.size
    q, k, v = asked.split_with_sizes([queries, keys, keys])
    gate, up = opened.chunk(2)
    named = {
        "self_attn.q_proj": _halved(q, shape.size),
        "self_attn.k_proj": _halved(k, shape.size),
        "self_attn.v_proj": v,
        "mlp.gate_proj": gate,
        "mlp.up_proj": up,
    }
    return {f"model.layers.{layer}.{name}.weight": gradient for name, gradient in named.items()}


def _layer(shape: Shape, parameters: Mapping[str, Tensor], where: str, dtype: torch.dtype) -> Layer:
    def weight(name: str) -> Tensor:
        return parameters[f"{where}.{name}.weight"].detach()

    q, k = (_paired(weight(f"self_attn.{name}_proj"), shape.size) for name in "qk")
    return Layer(
        Fused([q, k, weight("self_attn.v_proj")], weight("input_layernorm"), dtype),
        weight("self_attn.o_proj").to(dtype),
        Fused([weight("mlp.gate_proj"), weight("mlp.up_proj")], weight("post_attention_layernorm"), dtype),
        weight("mlp.down_proj").to(dtype),
    )


def _paired(matrix: Tensor, size: int) -> Tensor:
    """Rows i and i + D/2 of each head next to each other."""
    return matrix.view(-1, 2, size // 2, matrix.shape[1]).transpose(1, 2).flatten(0, 2)


def _halved(matrix: Tensor, size: int) -> Tensor:
    """Put back what `_paired` moved."""
    return matrix.view(-1, size // 2, 2, matrix.shape[1]).transpose(1, 2).flatten(0, 2)
