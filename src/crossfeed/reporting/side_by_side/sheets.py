"""The numbers behind a page of runs side by side, as tables of their own."""

from __future__ import annotations

import pandas as pd

from crossfeed.reporting.data.numbers import by_generation, change, timing
from crossfeed.reporting.page.sheets import joined
from crossfeed.reporting.side_by_side.runs import SideBySide

__all__ = ["side_by_side_sheets"]


def side_by_side_sheets(beside: SideBySide) -> dict[str, pd.DataFrame]:
    """Return tables of runs side by side, by name; those that would be empty are left out.

    Args:
        beside: The runs side by side.
    """
    columns = beside.columns
    points = [(p, group.label, columns.labels[p]) for group in columns.groups for p in group.points]
    called = pd.DataFrame(points, columns=["point", "run", "at"])
    metrics = [measure.metric for measure in beside.measures]
    changed = [change(beside.records, metric).assign(metric=metric) for metric in metrics]
    traced = [by_generation(beside.records, metric).assign(metric=metric) for metric in metrics]
    spent = [timing(r.records, r.cells).assign(run=n) for n, r in zip(beside.names, beside.runs, strict=True)]
    made = {
        "differences": beside.differences(),
        "change": called.merge(joined(changed), on="point").drop(columns="point"),
        "by_generation": called.merge(joined(traced), on="point").drop(columns="point"),
        "timing": pd.concat([each[["run", *each.columns.drop("run")]] for each in spent], ignore_index=True),
    }
    return {name: frame for name, frame in made.items() if len(frame)}
