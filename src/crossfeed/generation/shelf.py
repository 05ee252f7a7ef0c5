"""Items of several tasks behind one another, from which one draws by the tasks' weights, then evenly within a task."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Shelf"]


@dataclass(frozen=True)
class Shelf:
    """The lengths and weights of the tasks on a shelf.

    Attributes:
        lengths: The number of items of each task.
        weights: The weights of the tasks; they sum to 1.
    """

    lengths: tuple[int, ...]
    weights: tuple[float, ...] = (1.0,)

    @property
    def size(self) -> int:
        """The number of items."""
        return sum(self.lengths)

    @property
    def even(self) -> bool:
        """True if every item is drawn with the same probability, as of a single task."""
        return len(self.lengths) == 1

    @cached_property
    def _edges(self) -> NDArray[np.float64]:
        return np.concatenate([[0.0], np.cumsum(self.weights)])

    def rows(self, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Draw items.

        Args:
            uniform: ``(m,)`` numbers in [0, 1).

        Returns:
            ``(m,)`` rows of the items behind one another.
        """
        if self.even:
            return (uniform * self.lengths[0]).astype(np.int64)
        edges, lengths = self._edges, np.array(self.lengths)
        begins = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        scaled = uniform * edges[-1]
        weighty = np.flatnonzero(np.diff(edges) > 0)
        task = weighty[np.searchsorted(edges[weighty[1:]], scaled, side="right")]
        within = (scaled - edges[task]) / (edges[task + 1] - edges[task])
        rows: NDArray[np.int64] = begins[task] + np.minimum(
            (within * lengths[task]).astype(np.int64), lengths[task] - 1
        )
        return rows
