"""What metrics of distance share: generated points beside a task's test points."""

from __future__ import annotations

from collections.abc import Callable

from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.tasks.samples import POINT, points_of

__all__ = ["measured_distances"]


def measured_distances(
    snapshot: Snapshot, items: int, metric: str, distance: Callable[[Array, Array], float]
) -> list[Measurement]:
    """How far each model's points are from each task's; tasks without points give no number.

    Args:
        snapshot: What is measured.
        items: How many points each model generates for each task, and how many test points are taken, at most.
        metric: The metric's name.
        distance: Of points (m, d) to points (n, d).
    """
    numbers = []
    for name, task in snapshot.tasks.items():
        if POINT in task.test.column_names:
            wanted = points_of(task.test.slice(0, items))
            for entity, made in zip(snapshot.entities, snapshot.completions(name, items), strict=True):
                numbers.append(Measurement(entity, name, metric, distance(points_of(made), wanted)))
    return numbers
