"""Keys and values of texts that are being written, in torch: a row each, aligned on the right."""

from __future__ import annotations

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import Shape

__all__ = ["TorchCache"]


class TorchCache:
    """Every layer's keys and values, and what each row may see (see `ops.Cache`).

    Attributes:
        column: Where the next tokens go, in all rows.
        mask: ``(rows G, 1, capacity)`` added to scores.
    """

    def __init__(self, shape: Shape, lengths: Tensor, capacity: int) -> None:
        self._shape, self._rows = shape, len(lengths)
        self.column = int(lengths.max())
        hidden = torch.arange(capacity) < (self.column - lengths)[:, None]
        mask = torch.zeros(hidden.shape).masked_fill_(hidden, -torch.inf)
        self.mask = mask.repeat_interleave(shape.groups, dim=0)[:, None]
        self._first = torch.arange(len(lengths)) * shape.groups * capacity + self.column - lengths
        self.layers = [_Layer(self, shape, capacity, len(lengths)) for _ in range(shape.layers)]

    def step(self) -> None:
        """See `Cache.step`."""
        self.column += 1

    def keep(self, holes: Tensor, movers: Tensor, left: int) -> None:
        """See `Cache.keep`."""
        groups = self._shape.groups
        mask = self.mask.view(-1, groups, self.mask.shape[-1])
        for block in (mask, *(block for layer in self.layers for block in (layer.keys, layer.values))):
            block[holes] = block[movers]
        self.mask = self.mask[: left * groups]
        for layer in self.layers:
            layer.keys, layer.values = layer.keys[:left], layer.values[:left]

    def fill(self, number: int, asked: Tensor, rows: Tensor, places: Tensor) -> None:
        """See `Cache.fill`."""
        shape, layer = self._shape, self.layers[number]
        capacity = layer.keys.shape[2]
        where = (self._first[rows] + places)[:, None] + torch.arange(shape.groups) * capacity
        parts = asked.view(len(asked), -1, shape.size).split_with_sizes([shape.heads, shape.groups, shape.groups], 1)
        for block, part in zip((layer.keys, layer.values), parts[1:], strict=True):
            block.view(-1, shape.size).index_copy_(0, where.flatten(), part.flatten(0, 1))


class _Layer:
    """One layer's keys and values.

    Attributes:
        keys: ``(rows, G, capacity, D)``.
        values: The same.
    """

    def __init__(self, cache: TorchCache, shape: Shape, capacity: int, rows: int) -> None:
        self._cache, self._shape = cache, shape
        # Zeros, since what is hidden is multiplied by zero all the same.
        self.keys, self.values = (torch.zeros(rows, shape.groups, capacity, shape.size) for _ in range(2))

    def forward(self, asked: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What each row's next token attends to, its own keys and values put in.

        Args:
            asked: ``(rows, (H + 2G) D)`` queries, keys and values.

        Returns:
            ``(rows, H D)`` heads one after another; and no weights: there is no backward pass.
        """
        shape, column = self._shape, self._cache.column
        parts = asked.view(len(asked), -1, shape.size).split_with_sizes([shape.heads, shape.groups, shape.groups], 1)
        self.keys[:, :, column], self.values[:, :, column] = parts[1:]
        keys, values = (block.flatten(0, 1)[:, : column + 1] for block in (self.keys, self.values))
        queries = parts[0].reshape(len(keys), -1, shape.size)
        chances = torch.baddbmm(self._cache.mask[:, :, : column + 1], queries, keys.mT)
        torch._softmax(chances, -1, False, out=chances)
        return torch.bmm(chances, values).view(len(asked), -1), []
