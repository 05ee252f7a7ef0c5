"""Initial -> final tables and curves of a report, of one run or of several: what they show and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Final

import pandas as pd
from matplotlib.figure import Figure

from crossfeed.display.formatting import clip
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.exact import Expected, Theory
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import KINDS, ChangeTable, Row
from crossfeed.reporting.data.numbers import by_generation
from crossfeed.reporting.data.terms import last_generation, mark_words
from crossfeed.reporting.drawing import figures
from crossfeed.reporting.drawing.figures import Panel, far_apart
from crossfeed.reporting.page.blocks import ALT_LIMIT, Block, Changes, Picture, file_name, left_out
from crossfeed.reporting.page.table_files import file_stem
from crossfeed.settings import Measure

__all__ = ["changes", "curves", "measured"]

_PANELS: Final = 40
_ROWS: Final = 80
_COLUMNS: Final = 24
_GROUPS: Final = 4
_LINES: Final = 6
_CALLED: Final = {"own": "own tasks", "other": "other models' tasks", "public": "public data"}


def measured(run: Run, measures: Sequence[Measure], theory: Theory | None = None) -> list[Block]:
    """Return tables of a run's metrics, and curves of those that declare them.

    Args:
        run: The run.
        measures: The metrics; those that were not measured are left out.
        theory: What exact theory says of the run.
    """
    blocks: list[Block] = []
    for measure in measures:
        table = run.change_table(measure.metric, greek=True)
        if table is not None:
            blocks.append(changes(table, last_generation(run.experiment), _GROUPS))
            if "curves" in measure.shown and run.records["generation"].max() > 0:
                blocks += _by_group(run, table, theory.expected(measure.metric) if theory else None)
    return blocks


def changes(table: ChangeTable, final: str, groups: int) -> Changes:
    """Return a table and its legend.

    Args:
        table: The table.
        final: The last generation, as text.
        groups: Of a table with very many columns, so many groups are shown, and some columns of each.
    """
    measure = table.measure
    fall, rise = measure.words
    means = f"Mean ± standard error over {table.seeds} seeds" if table.seeds > 1 else "One seed, so sizes alone decide"
    unit = "the change is in per cent of the initial value" if measure.relative else "below it the change"
    ends = {entry.until for row in table.rows for entry in row.entries.values()} - {None}
    early = f" t = {min(e for e in ends if e is not None)}: measured up to that generation only." if ends else ""
    signs = (f"▼ {fall}", f"▲ {rise}", "= same", "? unclear")
    marks = mark_words(signs, f"{measure.band:g}" if measure.band else "", table.seeds, table.fewest)
    legend = f"Initial (t = {table.begin}) → final (t = {final}). {marks} {means}; {unit}.{early}"
    shown = table
    if (known := len(table.columns.points)) > _COLUMNS:
        shown = replace(table, columns=table.columns.some(groups, _LINES))
        legend += left_out(len(shown.columns.points), known, "the files")
    shown = shown.fewer(_ROWS)
    if (less := len(shown.rows)) < len(table.rows):
        legend += f" {less} of {len(table.rows)} rows; all are in the files."
    return Changes(shown, legend, file_stem(measure.metric), table)


def curves(
    table: ChangeTable,
    records: pd.DataFrame,
    rows: Sequence[Row],
    labels: Mapping[int, str],
    about: str,
    name: str,
    band: float = 0.0,
    exact: Expected | None = None,
    note: str = "",
) -> Picture:
    """Return a metric over generations, a panel for each row; of very many rows, one for each kind of row.

    Args:
        table: The metric's table.
        records: Records with ``point``.
        rows: What to draw.
        labels: The grid points to draw, and what they are called.
        about: What they have in common; may be empty.
        name: The figure's file name.
        band: Shade what differs from the start by at most this; 0 for lines that start at different values.
        exact: Exact theory of the same numbers, to be drawn beside them.
        note: What the caption says last.
    """
    measure, metric = table.measure, table.measure.metric
    frame = by_generation(records, metric)
    frame = frame[frame["point"].isin(list(labels))]
    if exact:
        frame = _expected(frame, exact)
    panels = [Panel(row.label, {"model": row.model, "task": row.task}) for row in rows]
    across = len({row.task for row in rows})
    if len(panels) > _PANELS:
        frame, panels = _summed(frame, records[records["metric"] == metric], rows)
        across = len(panels)
    told = "; ".join(
        f"{row.label} at {labels[point]}: {entry.initial} to {entry.final}"
        for row in rows
        for point, entry in row.entries.items()
        if point in labels and entry.final is not None
    )
    title = f"{measure.heading} over generations" + (f" ({about})" if about else "")
    shade = " The shaded band is what counts as the same." if band else ""
    errors = f" Light bands: one standard error over {seeds} seeds." if (seeds := int(frame["seeds"].max())) > 1 else ""
    means = f" Means over {len(rows)} pairs of model and data set, by kind." if len(rows) > _PANELS else ""
    theory = " Thin black lines: exact theory, the mean of all such runs." if exact else ""
    wide = (measure.relative or not measure.bounded) and far_apart(frame["mean"])
    look = {"ylabel": measure.axis, "band": band, "columns": max(across, 3), "log": wide}
    draw = partial(_draw, frame, panels, labels, look)
    return Picture(name, clip(f"{title}. {told}.", ALT_LIMIT), f"{title}.{shade}{errors}{theory}{means}{note}", draw)


def _draw(
    frame: pd.DataFrame, panels: Sequence[Panel], labels: Mapping[int, str], look: Mapping[str, Any], width: float
) -> Figure:
    return figures.curves(frame, panels, labels, **look, width=width)


def _expected(frame: pd.DataFrame, exact: Expected) -> pd.DataFrame:
    """Return the same with a column ``exact``."""
    times = sorted(frame["generation"].unique())
    parts = [exact(point, times).assign(point=point) for point in frame["point"].unique()]
    return frame.merge(pd.concat(parts), on=["point", "model", "task", "generation"], how="left")


def _summed(frame: pd.DataFrame, records: pd.DataFrame, rows: Sequence[Row]) -> tuple[pd.DataFrame, list[Panel]]:
    """Return means over all rows of a kind; rows of one seed belong together, so errors are those of seeds' means."""
    kinds = pd.DataFrame([(row.model, row.task, row.kind) for row in rows], columns=["model", "task", "kind"])
    keys = ["point", "kind", "generation"]
    shown = [name for name in ("mean", "exact") if name in frame]
    means = frame.merge(kinds, on=["model", "task"]).groupby(keys, sort=False)[shown].mean().reset_index()
    within = records.merge(kinds, on=["model", "task"]).groupby([*keys, "seed"])["value"].mean()
    errors = within.groupby(keys).agg(se="sem", seeds="count").reset_index()
    counts = kinds["kind"].value_counts()
    panels = [Panel(f"{_CALLED[kind]}, mean of {counts[kind]}", {"kind": kind}) for kind in KINDS if kind in counts]
    return means.merge(errors, on=keys), panels


def _by_group(run: Run, table: ChangeTable, exact: Expected | None) -> list[Picture]:
    columns, rows = table.columns.some(_GROUPS, _LINES), _by_model(run, table)
    return [
        curves(
            table,
            run.records,
            rows,
            {point: columns.heads[point] for point in group.points},
            group.label,
            file_name(table.measure.metric, columns.groups, group),
            table.measure.band if table.measure.relative and table.seeds == 1 else 0.0,
            exact,
            left_out(len(columns.points), len(table.columns.points), "by_generation.csv"),
        )
        for group in columns.groups
    ]


def _by_model(run: Run, table: ChangeTable) -> list[Row]:
    """Return rows model by model, tasks in one order: side by side they make a matrix."""
    models = list(dict.fromkeys(row.model for row in table.rows))
    tasks = {name: place for place, name in enumerate([*run.experiment.tasks, PUBLIC])}  # a grid may bring others
    return sorted(table.rows, key=lambda row: (models.index(row.model), tasks.get(row.task, len(tasks))))
