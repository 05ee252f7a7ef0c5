"""A key-value cache in torch: a row for each text that is being generated, with its tokens aligned on the right."""

from __future__ import annotations

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import HandwrittenConfig

__all__ = ["TorchKVCache"]


class TorchKVCache:
    """Every layer's keys and values, and the mask of each row (see `ops.KVCache`).

    Args:
        config: The model's sizes.
        lengths: ``(rows,)`` tokens that each row has before the first new one.
        capacity: Most tokens that a row will have.

    Attributes:
        column: Where the next tokens are stored, in all rows.
        mask: ``(rows G, 1, capacity)`` added to scores.
    """

    def __init__(self, config: HandwrittenConfig, lengths: Tensor, capacity: int) -> None:
        self._config, self._rows = config, len(lengths)
        self.column = int(lengths.max())
        hidden = torch.arange(capacity) < (self.column - lengths)[:, None]
        mask = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
        self.mask = mask.repeat_interleave(config.kv_heads, dim=0)[:, None]
        self._first = torch.arange(len(lengths)) * config.kv_heads * capacity + self.column - lengths
        self.layers = [_TorchLayerCache(self, config, capacity, len(lengths)) for _ in range(config.layers)]

    def step(self) -> None:
        """See `KVCache.step`."""
        self.column += 1

    def keep(self, holes: Tensor, movers: Tensor, left: int) -> None:
        """See `KVCache.keep`."""
        kv_heads = self._config.kv_heads
        mask = self.mask.view(-1, kv_heads, self.mask.shape[-1])
        for block in (mask, *(block for layer in self.layers for block in (layer.keys, layer.values))):
            block[holes] = block[movers]
        self.mask = self.mask[: left * kv_heads]
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[:left], layer.values[:left]

    def fill(self, number: int, qkv: Tensor, rows: Tensor, positions: Tensor) -> None:
        """See `KVCache.fill`."""
        config, layer = self._config, self.layers[number]
        capacity = layer.keys.shape[2]
        places = (self._first[rows] + positions)[:, None] + torch.arange(config.kv_heads) * capacity
        _, keys, values = _split(config, qkv)
        for block, new in zip((layer.keys, layer.values), (keys, values), strict=True):
            block.view(-1, config.head_dim).index_copy_(0, places.flatten(), new.flatten(0, 1))


class _TorchLayerCache:
    """One layer's keys and values.

    Attributes:
        keys: ``(rows, G, capacity, D)``.
        values: The same.
    """

    def __init__(self, cache: TorchKVCache, config: HandwrittenConfig, capacity: int, rows: int) -> None:
        self._cache, self._config = cache, config
        # Zeros, since what is masked is multiplied by zero all the same.
        self.keys, self.values = (torch.zeros(rows, config.kv_heads, capacity, config.head_dim) for _ in range(2))

    def forward(self, qkv: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the attention output of each row's next token, whose own keys and values are stored.

        Args:
            qkv: ``(rows, (H + 2G) D)`` queries, keys and values.

        Returns:
            ``(rows, H D)`` heads side by side; and nothing saved: there is no backward pass.
        """
        column = self._cache.column
        new_queries, self.keys[:, :, column], self.values[:, :, column] = _split(self._config, qkv)
        keys, values = (block.flatten(0, 1)[:, : column + 1] for block in (self.keys, self.values))
        queries = new_queries.reshape(len(keys), -1, self._config.head_dim)
        probs = torch.baddbmm(self._cache.mask[:, :, : column + 1], queries, keys.mT)
        torch._softmax(probs, -1, False, out=probs)
        return torch.bmm(probs, values).view(len(qkv), -1), []


def _split(config: HandwrittenConfig, qkv: Tensor) -> list[Tensor]:
    """Split ``(N, (H + 2G) D)`` into queries ``(N, H, D)``, keys and values ``(N, G, D)``."""
    sizes = [config.heads, config.kv_heads, config.kv_heads]
    return list(qkv.view(len(qkv), -1, config.head_dim).split_with_sizes(sizes, 1))
