"""The operations between a Llama's products, in torch (see `crossfeed.learners.language.handwritten.ops`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import HandwrittenConfig
from crossfeed.learners.language.handwritten.torch_kv_cache import TorchKVCache

__all__ = ["TorchAttention", "TorchOps"]


class TorchOps:
    """The operations where nothing can be compiled; in fp32."""

    dtype = torch.float32

    def norm(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """See `Ops.norm`."""
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factors = size.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        return x * factors, factors

    def norm_backward(self, gradient: Tensor, y: Tensor, factors: Tensor, into: Tensor) -> None:
        """See `Ops.norm_backward`."""
        along = (gradient * y).sum(dim=-1, keepdim=True)
        into.addcmul_(torch.addcmul(gradient, y, along, value=-1.0 / y.shape[-1]), factors)

    def gate(self, gate_up: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `Ops.gate`."""
        gates, ups = gate_up.chunk(2, dim=-1)
        sigmoid = torch.sigmoid(gates)
        silu = gates * sigmoid
        return silu * ups, [sigmoid, silu]

    def gate_backward(self, gradient: Tensor, gate_up: Tensor, saved: list[Tensor]) -> Tensor:
        """See `Ops.gate_backward`."""
        gates, ups = gate_up.chunk(2, dim=-1)
        sigmoid, silu = saved
        derivative = torch.addcmul(sigmoid, sigmoid, silu, value=-1.0).add_(silu)  # s + g s (1 - s)
        torch.mul(derivative.mul_(gradient), ups, out=gates)
        torch.mul(gradient, silu, out=ups)
        return gate_up

    def losses(self, logits: Tensor, targets: Tensor, into: Tensor, with_gradient: bool) -> None:
        """See `Ops.losses`.

        The likeliest token's probability is at least one in the vocabulary, so that its logarithm is exact: it gives
        the logarithm of the sum, also for targets whose own probability is too small for a number.
        """
        own, top = logits.gather(1, targets[:, None])[:, 0], logits.amax(dim=1)
        probs = torch._softmax(logits, 1, False, out=logits)
        torch.sub(top.sub_(own), probs.amax(dim=1).log_(), out=into)
        if with_gradient:
            probs.scatter_add_(1, targets[:, None], probs.new_full((len(probs), 1), -1.0))

    def attention(self, config: HandwrittenConfig, lengths: Sequence[int]) -> TorchAttention:
        """See `Ops.attention`."""
        return TorchAttention(config, lengths)

    def cache(self, config: HandwrittenConfig, lengths: Tensor, capacity: int) -> TorchKVCache:
        """See `Ops.cache`."""
        return TorchKVCache(config, lengths, capacity)


class TorchAttention:
    """Attention text by text: at a hundred tokens that is faster than any padding.

    Args:
        config: The model's sizes.
        lengths: Number of tokens of each text.
    """

    def __init__(self, config: HandwrittenConfig, lengths: Sequence[int]) -> None:
        self._config, self._lengths = config, list(lengths)
        mask = torch.full((max(lengths, default=0),) * 2, -torch.inf).triu_(1)
        self._masks = [mask[:length, :length] for length in lengths]

    def forward(self, qkv: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the attention output of each token.

        Args:
            qkv: ``(N, (H + 2G) D)`` queries, keys and values.

        Returns:
            ``(N, H D)`` heads side by side, and each text's ``(H, length, length)`` attention weights.
        """
        queries, keys, values = self._heads(qkv)
        output = qkv.new_empty(len(qkv), self._config.heads * self._config.head_dim)
        weights = [
            torch.baddbmm(*each)
            for each in zip(self._masks, self._texts(queries), self._texts(keys, transposed=True), strict=True)
        ]
        for probs, value, into in zip(weights, self._texts(values), self._texts(self._by_head(output)), strict=True):
            torch._softmax(probs, -1, False, out=probs)
            torch.bmm(probs, value, out=into)
        return output, weights

    def backward(self, gradient: Tensor, qkv: Tensor, saved: list[Tensor]) -> Tensor:
        """Return the ``(N, (H + 2G) D)`` gradients of queries, keys and values.

        Args:
            gradient: ``(N, H D)`` gradient of the attention output.
            qkv: The input of `forward`.
            saved: Attention weights from `forward`.
        """
        grad_qkv = torch.empty_like(qkv)
        shared = self._config.kv_heads != self._config.heads
        into = self._empty_heads(qkv) if shared else self._heads(grad_qkv)
        queries, keys, values = self._heads(qkv)
        tensors = (queries, keys, self._by_head(gradient), *into)
        transposed = self._texts(values, transposed=True)
        for probs, value, query, key, grad_output, grad_query, grad_key, grad_value in zip(
            saved, transposed, *map(self._texts, tensors), strict=True
        ):
            torch.bmm(probs.mT, grad_output, out=grad_value)
            grad_scores = torch.bmm(grad_output, value)
            torch._softmax_backward_data(grad_scores, probs, -1, torch.float32, grad_input=grad_scores)
            torch.bmm(grad_scores, key, out=grad_query)
            torch.bmm(grad_scores.mT, query, out=grad_key)
        if shared:
            self._sum_shared(into, grad_qkv)
        return grad_qkv

    def _by_head(self, flat: Tensor) -> Tensor:
        """View ``(N, heads D)`` as ``(heads, N, D)``."""
        return flat.view(len(flat), flat.shape[1] // self._config.head_dim, self._config.head_dim).transpose(0, 1)

    def _heads(self, qkv: Tensor) -> list[Tensor]:
        """Return ``(H, N, D)`` queries, keys and values: shared ones are repeated for each of their query heads."""
        heads, kv_heads = self._config.heads, self._config.kv_heads
        split = self._by_head(qkv).split_with_sizes([heads, kv_heads, kv_heads])
        return [each if len(each) == heads else each.repeat_interleave(heads // kv_heads, dim=0) for each in split]

    def _empty_heads(self, qkv: Tensor) -> list[Tensor]:
        return [qkv.new_empty(self._config.heads, len(qkv), self._config.head_dim) for _ in range(3)]

    def _sum_shared(self, gradients: Sequence[Tensor], into: Tensor) -> None:
        """Add up the gradients of the query heads that share keys and values."""
        heads, kv_heads = self._config.heads, self._config.kv_heads
        split = self._by_head(into).split_with_sizes([heads, kv_heads, kv_heads])
        for each, gradient in zip(split, gradients, strict=True):
            torch.sum(gradient.view(len(each), -1, *each.shape[1:]), dim=1, out=each)

    def _texts(self, by_head: Tensor, transposed: bool = False) -> Sequence[Tensor]:
        """Split ``(heads, N, D)`` by text."""
        if transposed:
            return by_head.mT.split_with_sizes(self._lengths, 2)
        return by_head.split_with_sizes(self._lengths, 1)
