"""The compiled functions of `kernels.c`, called with tensors."""

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
_FOR_BOTH_TYPES: Final = {
    "norm": [*[_POINTER] * 3, _SIZE, _SIZE, _FLOAT],
    "norm_backward": [*[_POINTER] * 4, _SIZE, _SIZE],
    "gate": [*[_POINTER] * 2, _SIZE, _SIZE],
    "gate_backward": [*[_POINTER] * 2, _SIZE, _SIZE],
    "losses": [*[_POINTER] * 4, _SIZE, _SIZE, _INT],
}
"""Functions with a version for fp32 and one for bf16, whose name ends in ``_half``."""
_ARGUMENTS: Final = {
    **_FOR_BOTH_TYPES,
    **{f"{name}_half": arguments for name, arguments in _FOR_BOTH_TYPES.items()},
    "attend": [*[_POINTER] * 4, *[_SIZE] * 4],
    "attend_backward": [*[_POINTER] * 5, *[_SIZE] * 4],
    "fill": [*[_POINTER] * 3, _SIZE, *[_POINTER] * 2, *[_SIZE] * 4],
    "attend_next": [*[_POINTER] * 3, _SIZE, *[_POINTER] * 3, *[_SIZE] * 4],
    "draw": [*[_POINTER] * 2, _SIZE, *[_POINTER] * 2, _SIZE, _SIZE, _FLOAT],
}


@cache
def kernels() -> Kernels | None:
    """Return the compiled kernels, or None where they cannot be compiled."""
    compiled = library()
    return None if compiled is None else Kernels(compiled)


class Kernels:
    """Kernels over contiguous tensors in host memory: numbers in fp32, indices in int64.

    Functions that take rows one by one also take bf16 where fp32 is not stated.

    Shapes are written with N tokens, H query heads, G heads of keys and values, each D wide; ``qkv`` is
    ``(N, (H + 2G) D)``, queries, keys and values of each token.

    Args:
        compiled: The library.

    Attributes:
        unit: Rows of attention are filled up to a multiple of this length.
    """

    def __init__(self, compiled: ctypes.CDLL) -> None:
        for name, arguments in _ARGUMENTS.items():
            function = getattr(compiled, name)
            function.argtypes = arguments
            function.restype = _INT if name.startswith("attend") else None
        compiled.unit.restype = _SIZE
        self._compiled = compiled
        self.unit: int = compiled.unit()

    def norm(self, x: Tensor, epsilon: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Scale rows to mean square 1.

        Args:
            x: ``(N, width)`` numbers in fp32.
            epsilon: Added to mean squares.
            dtype: The type of the result, fp32 or bf16.

        Returns:
            ``(N, width)`` normed numbers, and the ``(N, 1)`` factors in fp32.
        """
        y, factors = torch.empty_like(x, dtype=dtype), x.new_empty(len(x), 1)
        self._of(y, "norm")(_at(x), _at(y), _at(factors), *x.shape, epsilon)
        return y, factors

    def norm_backward(self, gradient: Tensor, y: Tensor, factors: Tensor, into: Tensor) -> None:
        """Add the gradient of a norm's input to another.

        Args:
            gradient: ``(N, width)`` gradient of the normed numbers.
            y: ``(N, width)`` normed numbers.
            factors: ``(N, 1)`` factors in fp32.
            into: ``(N, width)`` numbers in fp32 that are added to.
        """
        self._of(y, "norm_backward")(_at(gradient), _at(y), _at(factors), _at(into), *y.shape)

    def gate(self, gate_up: Tensor) -> Tensor:
        """Return the output of a SwiGLU gate.

        Args:
            gate_up: ``(N, 2 inner)`` gates and ups side by side.

        Returns:
            ``(N, inner)`` gated numbers.
        """
        n, inner = len(gate_up), gate_up.shape[1] // 2
        gated = gate_up.new_empty(n, inner)
        self._of(gate_up, "gate")(_at(gate_up), _at(gated), n, inner)
        return gated

    def gate_backward(self, gradient: Tensor, gate_up: Tensor) -> None:
        """Overwrite gates and ups with their gradients.

        Args:
            gradient: ``(N, inner)`` gradient of the gated numbers.
            gate_up: ``(N, 2 inner)`` gates and ups; they are overwritten.
        """
        self._of(gate_up, "gate_backward")(_at(gradient), _at(gate_up), *gradient.shape)

    def losses(self, logits: Tensor, targets: Tensor, into: Tensor, with_gradient: bool) -> None:
        """Write the losses of targets.

        Args:
            logits: ``(N, vocabulary)``; they are overwritten.
            targets: ``(N,)`` tokens.
            into: ``(N,)`` where losses are written, in fp32.
            with_gradient: True if the logits are overwritten with the gradients of their losses.
        """
        room = into.new_empty(logits.shape[1])
        self._of(logits, "losses")(_at(logits), _at(targets), _at(into), _at(room), *logits.shape, with_gradient)

    def _of(self, tensor: Tensor, name: str) -> Any:
        """Return the function for a tensor's type."""
        return getattr(self._compiled, f"{name}_half" if tensor.dtype is torch.bfloat16 else name)

    def attention_weights_size(self, lengths: Sequence[int], heads: int) -> int:
        """Return how many attention weights `attend` saves.

        Args:
            lengths: Number of tokens of each text.
            heads: H.
        """
        return heads * sum(length * self.filled(length) for length in lengths)

    def filled(self, count: int) -> int:
        """Return a count, rounded up to a multiple of `unit`.

        Args:
            count: A number of columns.
        """
        return -(-count // self.unit) * self.unit

    def attend(self, qkv: Tensor, weights: Tensor, lengths: Tensor, heads: int, groups: int, size: int) -> Tensor:
        """Return the causal attention output of each token within its text.

        Args:
            qkv: ``(N, (H + 2G) D)`` of texts one after another.
            weights: Attention weights are written here, for `attend_backward`; see `attention_weights_size`.
            lengths: ``(texts,)`` number of tokens of each text.
            heads: H.
            groups: G.
            size: D.

        Returns:
            ``(N, H D)`` heads side by side.
        """
        seen = qkv.new_empty(len(qkv), heads * size)
        given = (_at(qkv), _at(seen), _at(weights), _at(lengths), len(lengths))
        _check(self._compiled.attend(*given, heads, groups, size))
        return seen

    def attend_backward(
        self, gradient: Tensor, qkv: Tensor, weights: Tensor, lengths: Tensor, heads: int, groups: int, size: int
    ) -> Tensor:
        """Return the ``(N, (H + 2G) D)`` gradients of queries, keys and values.

        Args:
            gradient: ``(N, H D)`` gradient of the attention output.
            qkv: The input of `attend`.
            weights: The attention weights that `attend` wrote.
            lengths: ``(texts,)`` number of tokens of each text.
            heads: H.
            groups: G.
            size: D.
        """
        into, given = torch.empty_like(qkv), (_at(gradient), _at(qkv), _at(weights))
        _check(self._compiled.attend_backward(*given, _at(into), _at(lengths), len(lengths), heads, groups, size))
        return into

    def fill(
        self, qkv: Tensor, slots: Tensor, positions: Tensor, keys: Tensor, values: Tensor, heads: int, groups: int
    ) -> None:
        """Put keys and values of tokens into a cache.

        Args:
            qkv: ``(N, (H + 2G) D)`` of the tokens.
            slots: ``(N,)`` their texts' slots in the cache.
            positions: ``(N,)`` their positions in their texts.
            keys: ``(slots, G, D, capacity)``; the capacity is a multiple of `unit`.
            values: ``(slots, G, capacity, D)``, D filled up to a multiple of `unit`.
            heads: H.
            groups: G.
        """
        size, capacity = keys.shape[2:]
        given = (_at(qkv), _at(slots), _at(positions), len(qkv))
        self._compiled.fill(*given, _at(keys), _at(values), heads, groups, size, capacity)

    def attend_next(
        self, qkv: Tensor, slots: Tensor, positions: Tensor, keys: Tensor, values: Tensor, heads: int, groups: int
    ) -> Tensor:
        """Return the ``(N, H D)`` attention output of one more token of each text, which is stored as by `fill`.

        Args:
            qkv: ``(N, (H + 2G) D)`` of the tokens.
            slots: ``(N,)`` their texts' slots in the cache.
            positions: ``(N,)`` their positions in their texts.
            keys: See `fill`.
            values: See `fill`.
            heads: H.
            groups: G.
        """
        size, capacity = keys.shape[2:]
        seen = qkv.new_empty(len(qkv), heads * size)
        given = (_at(qkv), _at(slots), _at(positions), len(qkv), _at(keys), _at(values), _at(seen))
        _check(self._compiled.attend_next(*given, heads, groups, size, capacity))
        return seen

    def draw(self, logits: Tensor, words: Tensor, bits: Tensor, temperature: float) -> Tensor:
        """Draw ``(N,)`` tokens, see `crossfeed.learners.language.sampling`.

        Args:
            logits: ``(N, V)``.
            words: ``(N, 2)`` int32, each row's side by side.
            bits: ``(V,)`` int32.
            temperature: Above zero.
        """
        tokens = torch.empty(len(logits), dtype=torch.int64)
        where = (_at(logits), words.data_ptr(), words.stride(0), _at(bits), _at(tokens))
        self._compiled.draw(*where, *logits.shape, temperature)
        return tokens


def _at(tensor: Tensor) -> int:
    if not tensor.is_contiguous():
        raise ValueError(f"a contiguous tensor is needed, not one of strides {tensor.stride()}")
    return tensor.data_ptr()


def _check(failed: int) -> None:
    if failed:
        raise MemoryError("no memory for attention")
