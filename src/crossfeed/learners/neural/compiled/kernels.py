"""The functions of `kernels.c` for tensors."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import torch
from torch import Tensor

from crossfeed.learners.neural.compiled.library import library

__all__ = ["Kernels", "kernels"]

_POINTER, _SIZE, _FLOAT, _INT = ctypes.c_void_p, ctypes.c_int64, ctypes.c_float, ctypes.c_int
_HALVES: Final = {
    "norm": [*[_POINTER] * 3, _SIZE, _SIZE, _FLOAT],
    "norm_backward": [*[_POINTER] * 4, _SIZE, _SIZE],
    "gate": [*[_POINTER] * 2, _SIZE, _SIZE],
    "gate_backward": [*[_POINTER] * 2, _SIZE, _SIZE],
    "losses": [*[_POINTER] * 4, _SIZE, _SIZE, _INT],
}
"""Functions that are there for fp32 and for bf16."""
_ARGUMENTS: Final = {
    **_HALVES,
    **{f"{name}_half": arguments for name, arguments in _HALVES.items()},
    "attend": [*[_POINTER] * 4, *[_SIZE] * 4],
    "attend_backward": [*[_POINTER] * 5, *[_SIZE] * 4],
    "fill": [*[_POINTER] * 3, _SIZE, *[_POINTER] * 2, *[_SIZE] * 4],
    "attend_next": [*[_POINTER] * 3, _SIZE, *[_POINTER] * 3, *[_SIZE] * 4],
    "draw": [*[_POINTER] * 2, _SIZE, *[_POINTER] * 2, _SIZE, _SIZE, _FLOAT],
}


@cache
def kernels() -> Kernels | None:
    """The kernels, or None where they cannot be compiled."""
    found = library()
    return None if found is None else Kernels(found)


class Kernels:
    """Kernels over contiguous tensors in host memory: numbers in fp32, indices in int64.

    What takes rows one by one also takes bf16 where fp32 is not said.

    Shapes are written with N tokens, H heads that ask, G of keys and values, each D wide; ``asked`` is
    ``(N, (H + 2G) D)``, queries, keys and values of each token.

    Args:
        found: The library.

    Attributes:
        unit: Numbers that rows of attention are filled up to.
    """

    def __init__(self, found: ctypes.CDLL) -> None:
        for name, arguments in _ARGUMENTS.items():
            function = getattr(found, name)
            function.argtypes = arguments
            function.restype = _INT if name.startswith("attend") else None
        found.unit.restype = _SIZE
        self._found = found
        self.unit: int = found.unit()

    def norm(self, x: Tensor, epsilon: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """``(N, width)`` numbers of mean square 1 from such in fp32; the ``(N, 1)`` factors, in fp32, made them so."""
        y, factors = torch.empty_like(x, dtype=dtype), x.new_empty(len(x), 1)
        self._of(y, "norm")(_at(x), _at(y), _at(factors), *x.shape, epsilon)
        return y, factors

    def norm_backward(self, gradient: Tensor, y: Tensor, factors: Tensor, into: Tensor) -> None:
        """Add the gradient of a norm's input to another, in fp32."""
        self._of(y, "norm_backward")(_at(gradient), _at(y), _at(factors), _at(into), *y.shape)

    def gate(self, opened: Tensor) -> Tensor:
        """``(N, inner)`` gated numbers from ``(N, 2 inner)`` gates and ups."""
        n, inner = len(opened), opened.shape[1] // 2
        gated = opened.new_empty(n, inner)
        self._of(opened, "gate")(_at(opened), _at(gated), n, inner)
        return gated

    def gate_backward(self, gradient: Tensor, opened: Tensor) -> None:
        """Write the gradients of gates and ups over them."""
        self._of(opened, "gate_backward")(_at(gradient), _at(opened), *gradient.shape)

    def losses(self, logits: Tensor, targets: Tensor, into: Tensor, slopes: bool) -> None:
        """Write ``(N,)`` losses in fp32; ``(N, vocabulary)`` logits become the slopes of their sum, or are used up."""
        room = into.new_empty(logits.shape[1])
        self._of(logits, "losses")(_at(logits), _at(targets), _at(into), _at(room), *logits.shape, slopes)

    def _of(self, tensor: Tensor, name: str) -> Any:
        """The function for a tensor's numbers."""
        return getattr(self._found, f"{name}_half" if tensor.dtype is torch.bfloat16 else name)

    def attention_room(self, lengths: Sequence[int], heads: int) -> int:
        """Numbers that `attend` keeps of texts of such lengths."""
        return heads * sum(length * self.filled(length) for length in lengths)

    def filled(self, count: int) -> int:
        """A count filled up to a multiple of `unit`."""
        return -(-count // self.unit) * self.unit

    def attend(self, asked: Tensor, weights: Tensor, lengths: Tensor, heads: int, groups: int, size: int) -> Tensor:
        """``(N, H D)`` what each token attends to, itself and those before it in its text.

        Args:
            asked: Of texts one after another.
            weights: `attention_room`, to be kept for `attend_backward`.
            lengths: Each text's tokens.
            heads: H.
            groups: G.
            size: D.
        """
        seen = asked.new_empty(len(asked), heads * size)
        given = (_at(asked), _at(seen), _at(weights), _at(lengths), len(lengths))
        _check(self._found.attend(*given, heads, groups, size))
        return seen

    def attend_backward(
        self, gradient: Tensor, asked: Tensor, weights: Tensor, lengths: Tensor, heads: int, groups: int, size: int
    ) -> Tensor:
        """``(N, (H + 2G) D)`` gradients of queries, keys and values."""
        into, given = torch.empty_like(asked), (_at(gradient), _at(asked), _at(weights))
        _check(self._found.attend_backward(*given, _at(into), _at(lengths), len(lengths), heads, groups, size))
        return into

    def fill(
        self, asked: Tensor, slots: Tensor, places: Tensor, keys: Tensor, values: Tensor, heads: int, groups: int
    ) -> None:
        """Put keys and values of tokens into a cache.

        Args:
            asked: Of the tokens.
            slots: ``(N,)`` their texts' places in the cache.
            places: ``(N,)`` their places in their texts.
            keys: ``(slots, G, D, capacity)``; the capacity is a multiple of `unit`.
            values: ``(slots, G, capacity, D)``, D filled up to a multiple of `unit`.
            heads: H.
            groups: G.
        """
        size, capacity = keys.shape[2:]
        given = (_at(asked), _at(slots), _at(places), len(asked))
        self._found.fill(*given, _at(keys), _at(values), heads, groups, size, capacity)

    def attend_next(
        self, asked: Tensor, slots: Tensor, places: Tensor, keys: Tensor, values: Tensor, heads: int, groups: int
    ) -> Tensor:
        """``(N, H D)`` what one more token of each text attends to, put into the cache as by `fill`."""
        size, capacity = keys.shape[2:]
        seen = asked.new_empty(len(asked), heads * size)
        given = (_at(asked), _at(slots), _at(places), len(asked), _at(keys), _at(values), _at(seen))
        _check(self._found.attend_next(*given, heads, groups, size, capacity))
        return seen

    def draw(self, logits: Tensor, words: Tensor, bits: Tensor, temperature: float) -> Tensor:
        """``(N,)`` tokens: see `crossfeed.learners.language.sampling`.

        Args:
            logits: ``(N, V)``.
            words: ``(N, 2)`` int32, each row's side by side.
            bits: ``(V,)`` int32.
            temperature: Above zero.
        """
        tokens = torch.empty(len(logits), dtype=torch.int64)
        where = (_at(logits), words.data_ptr(), words.stride(0), _at(bits), _at(tokens))
        self._found.draw(*where, *logits.shape, temperature)
        return tokens


def _at(tensor: Tensor) -> int:
    if not tensor.is_contiguous():
        raise ValueError(f"a contiguous tensor is needed, not one of strides {tensor.stride()}")
    return tensor.data_ptr()


def _check(failed: int) -> None:
    if failed:
        raise MemoryError("no memory for attention")
