r"""Draws from discrete distributions by inverse transform, through tables (Chen and Asau, 1974).

With :math:`F_i` the cumulative weights of the symbols in units in which all weigh G, a uniform number u gives

.. math:: s(u) = \min \{i : F_i > u G\} ,

so that a symbol without weight is never drawn. The bucket :math:`g = \lfloor u G \rfloor` says the first and the last
symbol that s can be; where they differ, s is found by bisection between them. Where weights are whole numbers that sum
to G they never differ: the table is then the list of the counted symbols, one of which is picked.

Several distributions, one for each replicate, lie side by side; no step is a loop over symbols, draws or replicates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.protocols import Array

__all__ = ["InverseTransform", "Symbols", "symbol_type"]

Symbols = NDArray[np.signedinteger[Any]]
"""Numbers of symbols, from 0 to d - 1."""

_MOST_SHORT: Final = 2**15


def symbol_type(symbols: int) -> type[np.int16] | type[np.int32]:
    """Return the type of symbols' numbers: the smaller one that holds them, since memory bounds the speed of draws.

    Args:
        symbols: d.
    """
    return np.int16 if symbols <= _MOST_SHORT else np.int32


@dataclass(frozen=True)
class InverseTransform:
    """Tables of R distributions over d symbols.

    Attributes:
        edges: F, shape (R, d), in units of buckets; None where no bucket holds two symbols.
        first: The first symbol of each bucket, shape (R, G).
        last: The last symbol of each bucket, shape (R, G); None where it is the first.
    """

    edges: Array | None
    first: Symbols
    last: Symbols | None

    @classmethod
    def of_weights(cls, weights: Array, buckets: int) -> InverseTransform:
        """Build the tables of any weights.

        Args:
            weights: Non-negative weights, shape (R, d); each row has a positive sum.
            buckets: G; the more, the fewer draws need a bisection.
        """
        edges = np.cumsum(weights, axis=1)
        total = edges[:, -1:]
        # Nothing lies beyond the last weight, whatever rounding says.
        edges = np.where(edges == total, float(buckets), edges * (buckets / total))
        return cls(edges, _counted(np.ceil(edges), buckets), _counted(np.floor(edges), buckets))

    @classmethod
    def of_counts(cls, counts: NDArray[np.int64]) -> InverseTransform:
        """Build the tables of counts, one bucket for each that was counted.

        Args:
            counts: Counts, shape (R, d); all rows have the same positive sum.
        """
        replicates, symbols = counts.shape
        names: Symbols = np.arange(symbols, dtype=symbol_type(symbols))
        return cls(None, np.repeat(np.tile(names, replicates), counts.ravel()).reshape(replicates, -1), None)

    def draw(self, uniform: Array, begin: int = 0) -> Symbols:
        """Draw symbols.

        Args:
            uniform: Numbers in [0, 1), shape (r, m): row i for the distribution `begin` + i.
            begin: The first distribution.

        Returns:
            Symbols, shape (r, m).
        """
        buckets = self.first.shape[1]
        place = uniform * buckets
        rows = np.arange(begin, begin + len(uniform))[:, None]
        bucket = place.astype(np.intp)
        np.minimum(bucket, buckets - 1, out=bucket)  # rounding can reach the number of buckets itself
        bucket += rows * buckets
        symbols: Symbols = self.first.ravel().take(bucket)
        if self.last is None or self.edges is None:
            return symbols
        last = self.last.ravel().take(bucket)
        open_ = np.flatnonzero(symbols != last)
        base = np.broadcast_to(rows * self.edges.shape[1], symbols.shape).ravel()[open_]
        low, high = symbols.ravel()[open_].astype(np.intp), last.ravel()[open_].astype(np.intp)
        symbols.ravel()[open_] = _bisected(self.edges.ravel(), base, low, high, place.ravel()[open_])
        return symbols


def _counted(edges: Array, buckets: int) -> Symbols:
    """Return, for each bucket of each row, the number of edges that are at most its number."""
    rows, symbols = edges.shape
    width = buckets + 1
    place = np.minimum(edges, buckets).astype(np.intp) + np.arange(rows)[:, None] * width
    each = np.bincount(place.ravel(), minlength=rows * width).reshape(rows, width)[:, :-1]
    counted: Symbols = np.minimum(np.cumsum(each, axis=1), symbols - 1).astype(symbol_type(symbols))
    return counted


def _bisected(
    edges: Array, base: NDArray[np.intp], low: NDArray[np.intp], high: NDArray[np.intp], place: Array
) -> NDArray[np.intp]:
    """Return the first symbols whose edges lie beyond the places, between `low` and `high`."""
    for _ in range(int((high - low).max(initial=0)).bit_length()):
        middle = (low + high) >> 1
        beyond = edges[base + middle] > place
        high = np.where(beyond, middle, high)
        low = np.where(beyond, low, np.minimum(middle + 1, high))
    return low
