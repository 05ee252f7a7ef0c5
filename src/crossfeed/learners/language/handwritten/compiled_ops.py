"""The operations between a Llama's products, compiled (see `crossfeed.learners.language.handwritten.ops`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import HandwrittenConfig
from crossfeed.learners.neural.compiled.kernels import Kernels

__all__ = ["CompiledOps"]


class CompiledOps:
    """Each operation in one pass over its numbers.

    Args:
        kernels: The compiled functions.
        dtype: The type of the products' inputs.
    """

    def __init__(self, kernels: Kernels, dtype: torch.dtype) -> None:
        self._kernels, self.dtype = kernels, dtype
        self.norm_backward, self.losses = kernels.norm_backward, kernels.losses

    def norm(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """See `Ops.norm`."""
        return self._kernels.norm(x, epsilon, self.dtype)

    def gate(self, gate_up: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `Ops.gate`."""
        return self._kernels.gate(gate_up), []

    def gate_backward(self, gradient: Tensor, gate_up: Tensor, saved: list[Tensor]) -> Tensor:
        """See `Ops.gate_backward`."""
        self._kernels.gate_backward(gradient, gate_up)
        return gate_up

    def attention(self, config: HandwrittenConfig, lengths: Sequence[int]) -> _CompiledAttention:
        """See `Ops.attention`."""
        return _CompiledAttention(self._kernels, config, lengths)

    def cache(self, config: HandwrittenConfig, lengths: Tensor, capacity: int) -> _CompiledKVCache:
        """See `Ops.cache`."""
        return _CompiledKVCache(self._kernels, config, lengths, capacity)


class _CompiledAttention:
    def __init__(self, kernels: Kernels, config: HandwrittenConfig, lengths: Sequence[int]) -> None:
        self._kernels, self._lengths = kernels, torch.tensor(lengths, dtype=torch.int64)
        self._sizes = (config.heads, config.kv_heads, config.head_dim)
        self._weights_size = kernels.attention_weights_size(lengths, config.heads)

    def forward(self, qkv: Tensor) -> tuple[Tensor, list[Tensor]]:
        weights = qkv.new_empty(self._weights_size)
        return self._kernels.attend(qkv, weights, self._lengths, *self._sizes), [weights]

    def backward(self, gradient: Tensor, qkv: Tensor, saved: list[Tensor]) -> Tensor:
        return self._kernels.attend_backward(gradient, qkv, saved[0], self._lengths, *self._sizes)


class _CompiledKVCache:
    """A key-value cache in which each row has a fixed slot, with its tokens aligned on the left."""

    def __init__(self, kernels: Kernels, config: HandwrittenConfig, lengths: Tensor, capacity: int) -> None:
        self._kernels, self._config = kernels, config
        self.slots, self.positions = torch.arange(len(lengths)), lengths.clone()
        size = (len(lengths), config.kv_heads, kernels.filled(capacity), kernels.filled(config.head_dim))
        self.layers = [_CompiledLayerCache(self, kernels, config, size) for _ in range(config.layers)]

    def fill(self, number: int, qkv: Tensor, rows: Tensor, positions: Tensor) -> None:
        layer, config = self.layers[number], self._config
        self._kernels.fill(qkv, rows, positions, layer.keys, layer.values, config.heads, config.kv_heads)

    def step(self) -> None:
        self.positions += 1

    def keep(self, holes: Tensor, movers: Tensor, left: int) -> None:
        for block in (self.slots, self.positions):
            block[holes] = block[movers]
        self.slots, self.positions = self.slots[:left], self.positions[:left]


class _CompiledLayerCache:
    def __init__(
        self, cache: _CompiledKVCache, kernels: Kernels, config: HandwrittenConfig, size: tuple[int, int, int, int]
    ) -> None:
        slots, kv_heads, capacity, filled = size
        self._cache, self._kernels, self._config = cache, kernels, config
        self.keys = torch.empty(slots, kv_heads, config.head_dim, capacity)
        self.values = torch.empty(slots, kv_heads, capacity, filled)

    def forward(self, qkv: Tensor) -> tuple[Tensor, list[Tensor]]:
        cache, config = self._cache, self._config
        given = (qkv, cache.slots, cache.positions, self.keys, self.values, config.heads, config.kv_heads)
        return self._kernels.attend_next(*given), []
