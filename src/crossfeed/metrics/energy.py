r"""Energy distance of what a model generates to a task's test items (Székely and Rizzo, 2013).

With m generated points x and n test points y,

.. math:: D^2 = \frac{2}{mn} \sum_{i,j} |x_i - y_j| - \frac{1}{m^2} \sum_{i,j} |x_i - x_j|
    - \frac{1}{n^2} \sum_{i,j} |y_i - y_j| ;

the metric ``energy_distance`` is D, 0 only if both are the same points. Two samples of one density still differ:
:math:`D^2` is then of the order 1/m + 1/n.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from crossfeed.metrics.distances import measured_distances
from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.settings import Measure, MetricSettings

__all__ = ["EnergyDistanceSettings", "energy_distance"]


class EnergyDistanceSettings(MetricSettings):
    """Energy distance between generated and test points; metric ``energy_distance``.

    Attributes:
        items: Number of points that each model generates for each task, and of test points, at most.
    """

    measures = (Measure("energy_distance", "Energy distance"),)

    items: Annotated[int, Field(ge=1, le=10_000)] = 500

    def build(self) -> _EnergyDistance:
        """Build the metric."""
        return _EnergyDistance(self.items)


@dataclass(frozen=True)
class _EnergyDistance:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        """Return a number for each model on each task; tasks without points give none."""
        return measured_distances(snapshot, self.items, "energy_distance", energy_distance)


def energy_distance(one: Array, other: Array) -> float:
    """Return the energy distance of two sets of points.

    Args:
        one: Shape (m, d).
        other: Shape (n, d).

    Source:
        Székely and Rizzo (2013), Energy statistics.
    """
    from scipy.spatial.distance import cdist

    squared = 2 * cdist(one, other).mean() - cdist(one, one).mean() - cdist(other, other).mean()
    return math.sqrt(max(float(squared), 0.0))
