r"""Wasserstein distance of what a model generates to a task's test items.

In one dimension it is the 1-Wasserstein distance between both samples. In d > 1 dimensions it is sliced (Bonneel et
al., 2015): the mean over directions u of the distance between the points' projections,

.. math:: W = \frac1L \sum_{l=1}^L W_1(\{u_l' x_i\}, \{u_l' y_j\}), \qquad |u_l| = 1 .

Directions are the same for all models, generations and runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from crossfeed.keys import generator
from crossfeed.metrics.distances import measured_distances
from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.settings import Measure, MetricSettings

__all__ = ["WassersteinSettings", "sliced_wasserstein"]


class WassersteinSettings(MetricSettings):
    """Wasserstein distance between generated and test points, sliced where d > 1; metric ``wasserstein``.

    Attributes:
        items: Number of points that each model generates for each task, and of test points, at most.
        directions: L, the number of directions on which the points are projected where d > 1.
    """

    measures = (Measure("wasserstein", "Wasserstein"),)

    items: Annotated[int, Field(ge=1, le=1_000_000)] = 500
    directions: Annotated[int, Field(ge=1, le=10_000)] = 50

    def build(self) -> _Wasserstein:
        """Build the metric."""
        return _Wasserstein(self.items, self.directions)


@dataclass(frozen=True)
class _Wasserstein:
    items: int
    directions: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        """Return a number for each model on each task; tasks without points give none."""
        return measured_distances(
            snapshot, self.items, "wasserstein", lambda one, other: sliced_wasserstein(one, other, self.directions)
        )


def sliced_wasserstein(one: Array, other: Array, directions: int) -> float:
    """Return the 1-Wasserstein distance of two sets of points, sliced where d > 1.

    Args:
        one: Shape (m, d).
        other: Shape (n, d).
        directions: L, the number of directions; ignored where d = 1.

    Source:
        Bonneel et al. (2015), Sliced and Radon Wasserstein barycenters of measures.
    """
    from scipy import stats

    d = one.shape[1]
    if d == 1:
        return float(stats.wasserstein_distance(one[:, 0], other[:, 0]))
    slices = generator("wasserstein", d).standard_normal((directions, d))
    slices /= np.linalg.norm(slices, axis=1, keepdims=True)
    return float(np.mean([stats.wasserstein_distance(one @ u, other @ u) for u in slices]))
