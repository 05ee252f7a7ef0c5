"""Common part of metrics of distance: generated points beside a task's test points."""

from __future__ import annotations

from collections.abc import Callable

from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.tasks.samples import POINT, points_of

__all__ = ["measured_distances"]


def measured_distances(
    snapshot: Snapshot, items: int, metric: str, distance: Callable[[Array, Array], float]
) -> list[Measurement]:
    """Return the distance of each model's points to each task's; tasks without points give no number.

    Args:
        snapshot: The generation to measure.
        items: Number of points that each model generates for each task, and of test points, at most.
        metric: The metric's name in the records.
        distance: Distance of two sets of points, shapes (m, d) and (n, d).
    """
    numbers = []
    for name, task in snapshot.tasks.items():
        if POINT in task.test.column_names:
            wanted = points_of(task.test.slice(0, items))
            for entity, made in zip(snapshot.entities, snapshot.completions(name, items), strict=True):
                numbers.append(Measurement(entity, name, metric, distance(points_of(made), wanted)))
    return numbers
