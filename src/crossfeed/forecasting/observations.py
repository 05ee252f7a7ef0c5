"""All that is known of an ecosystem's losses: learning curves within generations, and the losses after them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossfeed.forecasting.ecology import Conditions, Ecology
from crossfeed.protocols import Array

__all__ = ["Curve", "Observations", "Path"]


@dataclass(frozen=True, eq=False)
class Curve:
    """Losses within one generation.

    Attributes:
        marks: ``(M,)`` shares of the generation's training steps, ascending; the last is 1.
        losses: ``(M, K, Q)`` losses; nan where they are not measured.
    """

    marks: Array
    losses: Array


@dataclass(frozen=True, eq=False)
class Path:
    """The first generations of a cell, as far as they are known.

    Attributes:
        conditions: What the cell trains on; of all its generations or of the known ones.
        curves: The curves of generations 1, 2, ...
    """

    conditions: Conditions
    curves: tuple[Curve, ...]

    @property
    def known(self) -> Conditions:
        """The conditions of the known generations alone."""
        return self.conditions.until(len(self.curves))


@dataclass(frozen=True, eq=False)
class Observations:
    """All that a surrogate is identified from.

    Attributes:
        ecology: What all cells have in common.
        initial: The curve of generation 0.
        paths: Cells with at least one known generation.
    """

    ecology: Ecology
    initial: Curve
    paths: tuple[Path, ...]

    @property
    def first(self) -> Array:
        """``(K, Q)`` losses after generation 0."""
        losses: Array = self.initial.losses[-1]
        return losses

    @property
    def count(self) -> int:
        """The number of losses."""
        curves = [self.initial, *(curve for path in self.paths for curve in path.curves)]
        return sum(int(np.isfinite(curve.losses).sum()) for curve in curves)
