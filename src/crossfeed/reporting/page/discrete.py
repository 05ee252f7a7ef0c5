"""A report's numbers of discrete models beside exact theory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from crossfeed.display.formatting import number
from crossfeed.reporting.data.exact import Theory
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of, evenly
from crossfeed.reporting.data.measures import declared
from crossfeed.reporting.page.blocks import Block, Sheet, Words

__all__ = ["discrete_beside"]

_ROWS: Final = 40


def discrete_beside(run: Run, theory: Theory) -> list[Block]:
    """Return the last numbers of every model beside the theory's; nothing for other models.

    Args:
        run: The run.
        theory: What exact theory says of it.
    """
    if theory.discrete is None:
        return [Words([theory.reason])] if theory.reason and run.experiment.learner.kind == "categorical" else []
    table = theory.discrete.beside
    if table.empty:
        return []
    last = table[table["generation"] == table.groupby(["metric", "point"])["generation"].transform("max")]
    columns, records = columns_of(run.points, greek=True), last.to_dict("records")
    titles = {name: declared(name, [run.experiment]).title for name in last["metric"].unique()}
    rows = [
        [
            f"{titles[row['metric']]}, {row['model']}, {columns.labels[int(row['point'])]}, t = {row['generation']}",
            number(float(row["measured"])),
            _theory(row),
        ]
        for row in evenly(records, _ROWS)
    ]
    words = (
        "Theory gives expectations over real data, draws and generated items: exact ones, or bounds of them. The "
        "replicates of a seed share their draws, so that one seed scatters around an expectation by more than its "
        "replicates show."
    )
    words += f" {len(rows)} of {len(records)} numbers; all are in exact.csv." if len(rows) < len(records) else ""
    return [Words([words]), Sheet("Last numbers beside exact theory", ["", "measured", "theory"], rows, numeric=True)]


def _theory(row: Mapping[Any, Any]) -> str:
    if np.isfinite(row["exact"]):
        return number(float(row["exact"]))
    return f"{number(float(row['lower']))} to {number(float(row['upper']))}"
