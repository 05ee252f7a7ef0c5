r"""A Llama's weights, fused so that products with the same input are one product.

A norm's weight g is multiplied into the matrices that read it: :math:`W (g \circ y) = (W \operatorname{diag} g)\, y`.
The two coordinates of a head that a rotary embedding rotates together are put next to each other, in queries and in
keys alike.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import HandwrittenConfig

__all__ = ["FusedProjection", "LayerWeights", "ModelWeights", "unfused_gradients"]


class FusedProjection:
    """Matrices that read the same normed input, one below the other, with the norm's weight multiplied in.

    Args:
        matrices: ``(outputs, width)`` matrices.
        norm: ``(width,)`` weight of the norm.
        dtype: The type of the fused matrix.

    Attributes:
        matrix: ``(sum of outputs, width)`` fused matrix.
    """

    def __init__(self, matrices: list[Tensor], norm: Tensor, dtype: torch.dtype) -> None:
        self._bare = torch.cat(matrices) if len(matrices) > 1 else matrices[0]
        self._norm = norm
        self.matrix = (self._bare * norm).to(dtype)

    def split(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradients of the bare matrices and of the norm's weight.

        Args:
            gradient: ``(sum of outputs, width)`` gradient of the fused matrix; it is overwritten.
        """
        gradient = gradient.float()
        norm = (gradient * self._bare).sum(dim=0)
        return gradient.mul_(self._norm), norm


@dataclass(frozen=True)
class LayerWeights:
    """One layer's matrices.

    Attributes:
        qkv_proj: Queries, keys and values; ``((H + 2G) D, width)``.
        o_proj: ``(width, H D)``.
        gate_up_proj: Gates and ups; ``(2 inner, width)``.
        down_proj: ``(width, inner)``.
    """

    qkv_proj: FusedProjection
    o_proj: Tensor
    gate_up_proj: FusedProjection
    down_proj: Tensor


class ModelWeights:
    """A copy of all of a model's matrices, which does not change with the module's.

    Args:
        config: The model's sizes.
        parameters: The module's parameters by name.
        dtype: The type of the matrices; the embeddings are fp32.

    Attributes:
        embeddings: ``(vocabulary, width)`` embeddings of tokens.
        layers: The layers.
        head: The head, ``(vocabulary, width)``, with the last norm.
    """

    def __init__(self, config: HandwrittenConfig, parameters: Mapping[str, Tensor], dtype: torch.dtype) -> None:
        self.embeddings = parameters["model.embed_tokens.weight"].detach()
        self.layers = [_layer(config, parameters, f"model.layers.{number}", dtype) for number in range(config.layers)]
        head = self.embeddings if config.tied else parameters["lm_head.weight"].detach()
        self.head = FusedProjection([head], parameters["model.norm.weight"].detach(), dtype)


def unfused_gradients(
    config: HandwrittenConfig, layer: int, qkv_proj: Tensor, gate_up_proj: Tensor
) -> dict[str, Tensor]:
    """Split the gradients of a layer's fused matrices by parameter.

    Args:
        config: The model's sizes.
        layer: The layer's number.
        qkv_proj: ``((H + 2G) D, width)`` gradient of queries, keys and values.
        gate_up_proj: ``(2 inner, width)`` gradient of gates and ups.

    Returns:
        Gradients by the parameters' names.
    """
    queries, keys = config.heads * config.head_dim, config.kv_heads * config.head_dim
    q, k, v = qkv_proj.split_with_sizes([queries, keys, keys])
    gate, up = gate_up_proj.chunk(2)
    named = {
        "self_attn.q_proj": _halved(q, config.head_dim),
        "self_attn.k_proj": _halved(k, config.head_dim),
        "self_attn.v_proj": v,
        "mlp.gate_proj": gate,
        "mlp.up_proj": up,
    }
    return {f"model.layers.{layer}.{name}.weight": gradient for name, gradient in named.items()}


def _layer(
    config: HandwrittenConfig, parameters: Mapping[str, Tensor], prefix: str, dtype: torch.dtype
) -> LayerWeights:
    def weight(name: str) -> Tensor:
        return parameters[f"{prefix}.{name}.weight"].detach()

    q, k = (_paired(weight(f"self_attn.{name}_proj"), config.head_dim) for name in "qk")
    return LayerWeights(
        FusedProjection([q, k, weight("self_attn.v_proj")], weight("input_layernorm"), dtype),
        weight("self_attn.o_proj").to(dtype),
        FusedProjection([weight("mlp.gate_proj"), weight("mlp.up_proj")], weight("post_attention_layernorm"), dtype),
        weight("mlp.down_proj").to(dtype),
    )


def _paired(matrix: Tensor, head_dim: int) -> Tensor:
    """Put rows i and i + D/2 of each head next to each other."""
    return matrix.view(-1, 2, head_dim // 2, matrix.shape[1]).transpose(1, 2).flatten(0, 2)


def _halved(matrix: Tensor, head_dim: int) -> Tensor:
    """Undo `_paired`."""
    return matrix.view(-1, head_dim // 2, 2, matrix.shape[1]).transpose(1, 2).flatten(0, 2)
