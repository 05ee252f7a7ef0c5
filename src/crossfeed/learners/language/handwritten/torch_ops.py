"""What lies between a Llama's products, in torch (see `crossfeed.learners.language.handwritten.ops`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import Shape
from crossfeed.learners.language.handwritten.torch_kv_cache import TorchCache

__all__ = ["TorchParts"]


class TorchParts:
    """Where nothing can be compiled; in fp32."""

    dtype = torch.float32

    def norm(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """See `Parts.norm`."""
        size = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        factors = size.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        return x * factors, factors

    def norm_backward(self, gradient: Tensor, y: Tensor, factors: Tensor, into: Tensor) -> None:
        """See `Parts.norm_backward`."""
        along = (gradient * y).sum(dim=-1, keepdim=True)
        into.addcmul_(torch.addcmul(gradient, y, along, value=-1.0 / y.shape[-1]), factors)

    def gate(self, opened: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `Parts.gate`."""
        gates, ups = opened.chunk(2, dim=-1)
        chances = torch.sigmoid(gates)
        silu = gates * chances
        return silu * ups, [chances, silu]

    def gate_backward(self, gradient: Tensor, opened: Tensor, kept: list[Tensor]) -> Tensor:
        """See `Parts.gate_backward`."""
        gates, ups = opened.chunk(2, dim=-1)
        chances, silu = kept
        slopes = torch.addcmul(chances, chances, silu, value=-1.0).add_(silu)  # s + g s (1 - s)
        torch.mul(slopes.mul_(gradient), ups, out=gates)
        torch.mul(gradient, silu, out=ups)
        return opened

    def losses(self, logits: Tensor, targets: Tensor, into: Tensor, slopes: bool) -> None:
        """See `Parts.losses`.

        The likeliest token's probability is at least one in the vocabulary, so that its logarithm is exact: it gives
        the logarithm of the sum, also for targets whose own probability is too small for a number.
        """
        own, top = logits.gather(1, targets[:, None])[:, 0], logits.amax(dim=1)
        chances = torch._softmax(logits, 1, False, out=logits)
        torch.sub(top.sub_(own), chances.amax(dim=1).log_(), out=into)
        if slopes:
            chances.scatter_add_(1, targets[:, None], chances.new_full((len(chances), 1), -1.0))

    def attention(self, shape: Shape, lengths: Sequence[int]) -> TorchAttention:
        """See `Parts.attention`."""
        return TorchAttention(shape, lengths)

    def cache(self, shape: Shape, lengths: Tensor, capacity: int) -> TorchCache:
        """See `Parts.cache`."""
        return TorchCache(shape, lengths, capacity)


class TorchAttention:
    """Texts are taken one by one: at a hundred tokens that is faster than any padding.

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
