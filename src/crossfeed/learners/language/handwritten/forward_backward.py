"""A Llama's forward and backward pass, by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import HandwrittenConfig
from crossfeed.learners.language.handwritten.loss import add_product, losses, losses_and_gradients
from crossfeed.learners.language.handwritten.ops import (
    Attention,
    AttentionForward,
    KVCache,
    Ops,
    Saved,
    rotary_table,
    rotate,
)
from crossfeed.learners.language.handwritten.packed import PackedSequence
from crossfeed.learners.language.handwritten.weights import LayerWeights, ModelWeights, unfused_gradients

__all__ = ["Passes"]

_UNIT: Final = 64


@dataclass(frozen=True)
class _Projected:
    """A layer's rotated queries and keys, and its values, with the norm that they are computed from.

    Attributes:
        qkv: ``(N, (H + 2G) D)`` in fp32.
        normed: ``(N, width)`` input of the projection.
        factors: ``(N, 1)`` factors of the norm.
    """

    qkv: Tensor
    normed: Tensor
    factors: Tensor


@dataclass(frozen=True)
class _LayerActivations:
    """Everything that a layer's backward pass needs.

    Attributes:
        projected: Queries, keys and values, and the norm before them.
        attended: ``(N, H D)`` attention output.
        attention: Tensors saved by attention.
        normed: ``(N, width)`` input of gates and ups.
        factors: ``(N, 1)`` factors of that norm.
        gate_up: ``(N, 2 inner)`` gates and ups.
        gated: ``(N, inner)`` input of the down projection.
        gate: Tensors saved by the gate.
    """

    projected: _Projected
    attended: Tensor
    attention: Saved
    normed: Tensor
    factors: Tensor
    gate_up: Tensor
    gated: Tensor
    gate: Saved


@dataclass(frozen=True)
class Passes:
    """The passes of a model.

    Attributes:
        config: The model's sizes.
        ops: The operations between its products.
    """

    config: HandwrittenConfig
    ops: Ops

    @property
    def unit(self) -> int:
        """The number of tokens that a packed sequence's length should be a multiple of.

        Torch prepares products in bf16 for every new shape, which takes as long as many of them: there are few shapes.
        """
        return 1 if self.ops.dtype is torch.float32 else _UNIT

    @torch.inference_mode()
    def losses(self, weights: ModelWeights, packed: PackedSequence) -> Tensor:
        """Return the ``(N,)`` losses of the targets of a packed sequence.

        Args:
            weights: The model's numbers.
            packed: Tokens and targets.
        """
        x = self._embedded(weights, packed)
        attention, rotations = self.ops.attention(self.config, packed.lengths), self._rotations(packed)
        for layer in weights.layers:
            self._forward(layer, x, attention, rotations)
        y, _ = self.ops.norm(x, self.config.epsilon)
        return losses(self.ops, y, weights.head.matrix, packed.targets)[: packed.tokens]

    def fill(self, weights: ModelWeights, packed: PackedSequence, rows: Tensor, cache: KVCache) -> None:
        """Put the keys and values of prompts into a cache.

        Args:
            weights: The model's numbers.
            packed: Prompts without their last tokens.
            rows: ``(N,)`` the cache's row of each token.
            cache: To be filled.
        """
        x = weights.embeddings.index_select(0, packed.ids)
        attention, rotations = self.ops.attention(self.config, packed.lengths), self._rotations(packed)
        for number, layer in enumerate(weights.layers[:-1]):
            activations = self._forward(layer, x, attention, rotations)
            cache.fill(number, activations.projected.qkv, rows, packed.positions)
        projected = self._projected(weights.layers[-1], x, rotations)
        cache.fill(self.config.layers - 1, projected.qkv, rows, packed.positions)

    def next_logits(self, weights: ModelWeights, token: Tensor, rotations: Tensor, cache: KVCache) -> Tensor:
        """Return the logits after one more token of each row, which is stored in the cache.

        Args:
            weights: The model's numbers.
            token: ``(rows,)`` tokens.
            rotations: ``(rows, (H + G) D / 2)`` rotations of their positions.
            cache: Keys and values of the tokens before them.

        Returns:
            ``(rows, vocabulary)`` logits.
        """
        x = weights.embeddings.index_select(0, token)
        for layer, cached in zip(weights.layers, cache.layers, strict=True):
            self._forward(layer, x, cached, rotations)
        cache.step()
        y, _ = self.ops.norm(x, self.config.epsilon)
        return torch.mm(y, weights.head.matrix.t())

    @torch.no_grad()
    def gradients(
        self, weights: ModelWeights, packed: PackedSequence, factor: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of a packed sequence's losses times a factor, and its gradients by parameter.

        Args:
            weights: The model's numbers.
            packed: Tokens and targets.
            factor: The factor.
        """
        config, ops = self.config, self.ops
        x = self._embedded(weights, packed)
        attention, rotations = ops.attention(config, packed.lengths), self._rotations(packed)
        activations = [self._forward(layer, x, attention, rotations) for layer in weights.layers]
        y, factors = ops.norm(x, config.epsilon)
        each, grad_y, grad_head = losses_and_gradients(
            ops, y, weights.head.matrix, packed.targets, packed.tokens, factor
        )
        gradient = torch.zeros_like(x)
        ops.norm_backward(grad_y, y, factors, gradient)
        gradients: dict[str, Tensor] = {}
        rotations = rotations.conj_physical()
        for number in reversed(range(config.layers)):
            layer = weights.layers[number]
            gradients |= self._backward(layer, number, activations.pop(), gradient, attention, rotations)
        gradients |= self._outer_gradients(weights, packed, grad_head, gradient)
        return each[: packed.tokens].sum() * factor, gradients

    def _outer_gradients(
        self, weights: ModelWeights, packed: PackedSequence, grad_head: Tensor, gradient: Tensor
    ) -> dict[str, Tensor]:
        """Return the gradients of head, last norm and embeddings; `gradient` is that of the first layer's input."""
        if self.config.padding is not None:
            gradient.masked_fill_((packed.ids == self.config.padding)[:, None], 0.0)
        bare, norm = weights.head.split(grad_head)
        if self.config.tied:
            embeddings = {"model.embed_tokens.weight": bare.index_add_(0, packed.ids, gradient)}
        else:
            read = torch.zeros_like(weights.embeddings).index_add_(0, packed.ids, gradient)
            embeddings = {"lm_head.weight": bare, "model.embed_tokens.weight": read}
        return {"model.norm.weight": norm} | embeddings

    def _embedded(self, weights: ModelWeights, packed: PackedSequence) -> Tensor:
        """Return the ``(N, width)`` embeddings of a sequence's tokens, after a check of its targets."""
        if len(packed.targets) and int(packed.targets.max()) >= len(weights.embeddings):
            raise IndexError(f"token {int(packed.targets.max())} of a vocabulary of {len(weights.embeddings)}")
        return weights.embeddings.index_select(0, packed.ids)

    def _rotations(self, packed: PackedSequence) -> Tensor:
        """Return the ``(N, (H + G) D / 2)`` rotations of a sequence's positions."""
        return rotary_table(self.config, max(packed.lengths, default=0)).index_select(0, packed.positions)

    def _projected(self, layer: LayerWeights, x: Tensor, rotations: Tensor) -> _Projected:
        normed, factors = self.ops.norm(x, self.config.epsilon)
        qkv = torch.mm(normed, layer.qkv_proj.matrix.t()).float()
        rotate(qkv, rotations)
        return _Projected(qkv, normed, factors)

    def _forward(
        self, layer: LayerWeights, x: Tensor, attention: AttentionForward, rotations: Tensor
    ) -> _LayerActivations:
        """Add a layer's attention and feed-forward outputs to x."""
        projected = self._projected(layer, x, rotations)
        attended, saved_by_attention = attention.forward(projected.qkv)
        attended = attended.to(self.ops.dtype)
        add_product(x, attended, layer.o_proj.t())
        normed, factors = self.ops.norm(x, self.config.epsilon)
        gate_up = torch.mm(normed, layer.gate_up_proj.matrix.t())
        gated, saved_by_gate = self.ops.gate(gate_up)
        add_product(x, gated, layer.down_proj.t())
        return _LayerActivations(
            projected=projected,
            attended=attended,
            attention=saved_by_attention,
            normed=normed,
            factors=factors,
            gate_up=gate_up,
            gated=gated,
            gate=saved_by_gate,
        )

    def _backward(
        self,
        layer: LayerWeights,
        number: int,
        kept: _LayerActivations,
        gradient: Tensor,
        attention: Attention,
        rotations: Tensor,
    ) -> dict[str, Tensor]:
        """Return a layer's gradients by parameter; the gradient of its output becomes that of its input."""
        prefix = f"model.layers.{number}"
        gate_up_proj, gradients = self._feed_forward_backward(layer, kept, gradient)
        qkv_proj, more = self._attention_backward(layer, kept, gradient, attention, rotations)
        named = {f"{prefix}.{name}.weight": each for name, each in (gradients | more).items()}
        return named | unfused_gradients(self.config, number, qkv_proj, gate_up_proj)

    def _feed_forward_backward(
        self, layer: LayerWeights, kept: _LayerActivations, gradient: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the gradient of the fused gates and ups, and those of the other parameters by short name."""
        output = gradient.to(self.ops.dtype)
        down_proj = torch.mm(kept.gated.t(), output).t().contiguous().float()
        grad_gate_up = self.ops.gate_backward(torch.mm(output, layer.down_proj), kept.gate_up, kept.gate)
        gate_up_proj, norm = layer.gate_up_proj.split(torch.mm(grad_gate_up.t(), kept.normed))
        grad_normed = torch.mm(grad_gate_up, layer.gate_up_proj.matrix)
        self.ops.norm_backward(grad_normed, kept.normed, kept.factors, gradient)
        return gate_up_proj, {"mlp.down_proj": down_proj, "post_attention_layernorm": norm}

    def _attention_backward(
        self, layer: LayerWeights, kept: _LayerActivations, gradient: Tensor, attention: Attention, rotations: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the gradient of fused queries, keys and values, and those of the other parameters by short name."""
        output, projected = gradient.to(self.ops.dtype), kept.projected
        o_proj = torch.mm(output.t(), kept.attended).float()
        grad_qkv = attention.backward(torch.mm(output, layer.o_proj).float(), projected.qkv, kept.attention)
        rotate(grad_qkv, rotations)
        grad_qkv = grad_qkv.to(self.ops.dtype)
        qkv_proj, norm = layer.qkv_proj.split(torch.mm(grad_qkv.t(), projected.normed))
        grad_normed = torch.mm(grad_qkv, layer.qkv_proj.matrix)
        self.ops.norm_backward(grad_normed, projected.normed, projected.factors, gradient)
        return qkv_proj, {"self_attn.o_proj": o_proj, "input_layernorm": norm}
