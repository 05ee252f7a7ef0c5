"""The map of common weights alpha and beta, computed coarse first, so that a slider never waits for it.

The mean limiting error over [0, 1]^2 takes a limit for each point, and none of them knows another's. What the map shows
does not depend on the alpha and beta of the sliders, so it is kept while those move. `Survey` computes it in slices, on
grids of 3, 5, 9, 17 and 33 points a side, each of which holds the one before. After the last but one, the best point is
refined by a pattern search (Hooke and Jeeves, 1961), which, unlike a library's simplex, can be left between two
evaluations.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

import numpy as np

from crossfeed.theory import Landscape, LinearEcosystem, objective_value

__all__ = ["SIDES", "Survey"]


#: Points a side of the grids, one after another.
SIDES: Final = (3, 5, 9, 17, 33)
_FINEST: Final = 1.0 / 2048
_AROUND: Final = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


class Survey:
    """A map in the making.

    Args:
        eco: The ecosystem; its own alpha and beta are ignored.

    Attributes:
        best: The best point so far: alpha, beta and the objective there; infinite while no point has a finite error.
        refined: Whether `best` is an optimum rather than a point of a grid.
    """

    def __init__(self, eco: LinearEcosystem) -> None:
        self._eco = eco
        self._known: dict[tuple[float, float], float] = {}
        self._work = self._steps()
        self.best = (np.nan, np.nan, np.inf)
        self.refined = False
        self._side = 0

    @property
    def side(self) -> int:
        """Points a side of the finest grid that is complete; 0 before the first is."""
        return self._side

    @property
    def complete(self) -> bool:
        """True if nothing is left to compute."""
        return self._side == SIDES[-1]

    def advance(self, seconds: float) -> bool:
        """Go on for about so long, to the end of a grid at most.

        Args:
            seconds: Of processor time.

        Returns:
            Whether there is something new to show.
        """
        until, before = time.process_time() + seconds, (self._side, self.refined)
        for _ in self._work:
            if (self._side, self.refined) != before or time.process_time() > until:
                break
        return (self._side, self.refined) != before

    def landscape(self) -> Landscape:
        """Return the finest complete grid."""
        axis = np.linspace(0.0, 1.0, self._side)
        return Landscape(axis, axis, np.array([[self._known[a, b] for b in axis.tolist()] for a in axis.tolist()]))

    def _steps(self) -> Iterator[None]:
        for side in SIDES:
            axis = np.linspace(0.0, 1.0, side).tolist()
            for alpha in axis:
                for beta in axis:
                    if (alpha, beta) not in self._known:
                        self._value(alpha, beta)
                        yield
            self._side = side
            yield
            if side == SIDES[-2] and np.isfinite(self.best[2]):
                yield from self._search(1.0 / (side - 1))
                self.refined = True
                yield

    def _search(self, width: float) -> Iterator[None]:
        """Step to a better neighbour, or, where there is none, look nearer."""
        while width > _FINEST:
            alpha, beta, value = self.best
            for i, j in _AROUND:
                self._value(min(max(alpha + i * width, 0.0), 1.0), min(max(beta + j * width, 0.0), 1.0))
                yield
            if self.best[2] >= value:
                width /= 2

    def _value(self, alpha: float, beta: float) -> None:
        if (alpha, beta) not in self._known:
            value = objective_value(self._eco.with_weights(alpha, beta))
            self._known[alpha, beta] = value
            if value < self.best[2]:
                self.best = (alpha, beta, value)
