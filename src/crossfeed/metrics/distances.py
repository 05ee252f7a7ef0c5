"""What metrics of distance share: generated points beside a task's test points."""

from __future__ import annotations

from collections.abc import Callable

from crossfeed.protocols import Measurement, Moment
from crossfeed.tasks.samples import POINT, Array, points_of

__all__ = ["measured_distances"]


def measured_distances(
    moment: Moment, items: int, metric: str, distance: Callable[[Array, Array], float]
) -> list[Measurement]:
    """How far each model's points are from each task's; tasks without points give no number.

    Args:
        moment: What is measured.
        items: How many points each model generates for each task, and how many test points are taken, at most.
        metric: The metric's name.
        distance: Of points (m, d) to points (n, d).
    """
    numbers = []
    for name, task in moment.tasks.items():
        if POINT in task.test.column_names:
            wanted = points_of(task.test.slice(0, items))
            for entity, made in zip(moment.entities, moment.completions(name, items), strict=True):
                numbers.append(Measurement(entity, name, metric, distance(points_of(made), wanted)))
    return numbers
