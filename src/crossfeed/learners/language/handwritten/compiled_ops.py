"""What lies between a Llama's products, compiled (see `crossfeed.learners.language.handwritten.ops`)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crossfeed.learners.language.handwritten.config import Shape
from crossfeed.learners.neural.compiled.kernels import Kernels

__all__ = ["CompiledParts"]


class CompiledParts:
    """Each part in one pass over its numbers.

    Args:
        kernels: The compiled functions.
        dtype: Of what is multiplied.
    """

    def __init__(self, kernels: Kernels, dtype: torch.dtype) -> None:
        self._kernels, self.dtype = kernels, dtype
        self.norm_backward, self.losses = kernels.norm_backward, kernels.losses

    def norm(self, x: Tensor, epsilon: float) -> tuple[Tensor, Tensor]:
        """See `Parts.norm`."""
        return self._kernels.norm(x, epsilon, self.dtype)

    def gate(self, opened: Tensor) -> tuple[Tensor, list[Tensor]]:
        """See `Parts.gate`."""
        return self._kernels.gate(opened), []

    def gate_backward(self, gradient: Tensor, opened: Tensor, kept: list[Tensor]) -> Tensor:
        """See `Parts.gate_backward`."""
        self._kernels.gate_backward(gradient, opened)
        return opened

    def attention(self, shape: Shape, lengths: Sequence[int]) -> _Attention:
        """See `Parts.attention`."""
        return _Attention(self._kernels, shape, lengths)

    def cache(self, shape: Shape, lengths: Tensor, capacity: int) -> _Cache:
        """See `Parts.cache`."""
        return _Cache(self._kernels, shape, lengths, capacity)


class _Attention:
    def __init__(self, kernels: Kernels, shape: Shape, lengths: Sequence[int]) -> None:
        self._kernels, self._lengths = kernels, torch.tensor(lengths, dtype=torch.int64)
        self._sizes = (shape.heads, shape.groups, shape.size)
        self._room = kernels.attention_room(lengths, shape.heads)

    def forward(self, asked: Tensor) -> tuple[Tensor, list[Tensor]]:
        weights = asked.new_empty(self._room)
        return self._kernels.attend(asked, weights, self._lengths, *self._sizes), [weights]

    def backward(self, gradient: Tensor, asked: Tensor, kept: list[Tensor]) -> Tensor:
        return self._kernels.attend_backward(gradient, asked, kept[0], self._lengths, *self._sizes)


class _Cache:
    """Each row has a slot for good, in which its tokens are aligned on the left."""

    def __init__(self, kernels: Kernels, shape: Shape, lengths: Tensor, capacity: int) -> None:
        self._kernels, self._shape = kernels, shape
        self.slots, self.places = torch.arange(len(lengths)), lengths.clone()
        room = (len(lengths), shape.groups, kernels.filled(capacity), kernels.filled(shape.size))
        self.layers = [_Layer(self, kernels, shape, room) for _ in range(shape.layers)]

    def fill(self, number: int, asked: Tensor, rows: Tensor, places: Tensor) -> None:
        layer, shape = self.layers[number], self._shape
        self._kernels.fill(asked, rows, places, layer.keys, layer.values, shape.heads, shape.groups)

    def step(self) -> None:
        self.places += 1

    def keep(self, holes: Tensor, movers: Tensor, left: int) -> None:
        for block in (self.slots, self.places):
            block[holes] = block[movers]
        self.slots, self.places = self.slots[:left], self.places[:left]


class _Layer:
    def __init__(self, cache: _Cache, kernels: Kernels, shape: Shape, room: tuple[int, int, int, int]) -> None:
        slots, groups, capacity, filled = room
        self._cache, self._kernels, self._shape = cache, kernels, shape
        self.keys = torch.empty(slots, groups, shape.size, capacity)
        self.values = torch.empty(slots, groups, capacity, filled)

    def forward(self, asked: Tensor) -> tuple[Tensor, list[Tensor]]:
        cache, shape = self._cache, self._shape
        given = (asked, cache.slots, cache.places, self.keys, self.values, shape.heads, shape.groups)
        return self._kernels.attend_next(*given), []
