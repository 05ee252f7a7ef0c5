"""The report's section of paired differences: each grid point against the one before it, seed by seed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from crossfeed.display.formatting import plain
from crossfeed.reporting.data.differences import judged, paired_differences
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import KINDS, ChangeTable, Columns, columns_of, evenly
from crossfeed.reporting.data.measures import LOSS
from crossfeed.reporting.differences.pairs import Pairs, neighbours
from crossfeed.reporting.differences.tables import difference_text
from crossfeed.reporting.page.blocks import Block, Sheet, Words
from crossfeed.settings import Measure

__all__ = ["paired_section", "paired_sheet"]

_ROWS: Final = 24  # more pairs of model and data set than this are shown as means by kind
_GROUPS: Final = 4
_STEPS: Final = 6  # of each group
_CALLED: Final = {"own": "own tasks", "other": "other models' tasks", "public": "public data"}


def paired_section(run: Run) -> list[Block]:
    """Return the differences of neighbouring points' last losses; nothing with one point or one seed.

    Args:
        run: The run.
    """
    table = run.change_table(LOSS, greek=True)
    if table is None or table.seeds == 1 or len(run.points) == 1:
        return []
    columns, measure = columns_of(run.points, greek=True), table.measure
    pairs = neighbours(run.points, columns)
    records = run.records[run.records["metric"] == LOSS]
    rows = {(row.model, row.task): row.label for row in table.rows}
    if len(rows) > _ROWS:
        records, rows = _by_kind(records, table)
    found = paired_differences(records, records, pairs, [LOSS])
    if found["generation"].max() == 0 or found.empty:
        return []
    found = judged(found, {LOSS: measure})
    told = {(row["pair"], row["model"], row["task"]): row for row in found.to_dict("records")}
    return [Words([_meaning(found, measure)]), *_sheets(pairs, columns, rows, told, measure)]


def paired_sheet(run: Run) -> pd.DataFrame:
    """Return the differences of neighbouring points for every metric, corrected for their number metric by metric.

    Args:
        run: The run.

    Returns:
        ``against, of``, then the columns of `crossfeed.reporting.data.differences.judged`; no rows with one point or
        one seed.
    """
    columns = columns_of(run.points)
    pairs = neighbours(run.points, columns)
    if len(run.experiment.seeds) == 1 or not pairs:
        return pd.DataFrame()
    measures = {measure.metric: measure for measure in run.measures}
    tables = [paired_differences(run.records, run.records, pairs, [metric]) for metric in measures]
    tables = [judged(table, measures) for table in tables if len(table)]
    if not tables:
        return pd.DataFrame()
    whole = pd.concat(tables, ignore_index=True)
    for place, side in enumerate(("against", "of")):
        whole.insert(0, side, [columns.labels[pairs[pair][place]] for pair in whole["pair"]])
    return whole.drop(columns=["pair", "seed"])


def _by_kind(records: pd.DataFrame, table: ChangeTable) -> tuple[pd.DataFrame, dict[tuple[str, str], str]]:
    """Return means over all rows of a kind within each seed, as records, and what each is called."""
    kinds = pd.DataFrame([(row.model, row.task, row.kind) for row in table.rows], columns=["model", "task", "kind"])
    keys = ["metric", "point", "seed", "generation", "kind"]
    means = records.merge(kinds, on=["model", "task"]).groupby(keys, sort=False)["value"].mean().reset_index()
    counts = kinds["kind"].value_counts()
    called = {("mean", kind): f"{_CALLED[kind]}, mean of {counts[kind]}" for kind in KINDS if kind in counts}
    return means.assign(model="mean").rename(columns={"kind": "task"}), called


def _meaning(found: pd.DataFrame, measure: Measure) -> str:
    tests = int(found["p"].notna().sum())
    clear = int(found["verdict"].isin(measure.words).sum())
    seeds = sorted(set(found["seeds"]))
    over = f"{seeds[-1]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    fall, rise = measure.words
    return (
        f"Each point against the one before it: the mean over {over} seeds of each seed's own difference, ± its "
        "standard error, at the last generation that both reached. The seeds of the points share their random numbers. "
        f"{fall} or {rise}: p < 0.05 of a paired t test, after Holm's correction for all {tests} differences; "
        f"unclear: p is larger, though the difference is more than {measure.band:g}; same: p is larger, the difference "
        f"is not more. {clear} of {len(found)} differences are {fall} or {rise}. Intervals, p-values, effect sizes, "
        "and how many seeds each difference would take are in paired.csv, for every metric."
    )


def _sheets(
    pairs: Pairs,
    columns: Columns,
    rows: Mapping[tuple[str, str], str],
    told: Mapping[tuple[int, str, str], Mapping[Any, Any]],
    measure: Measure,
) -> list[Block]:
    sheets: list[Block] = []
    chosen = evenly(columns.groups, _GROUPS)
    for group in chosen:
        own = [place for place, pair in enumerate(pairs) if pair[0] in group.points]
        steps = evenly(own, _STEPS)
        if not steps:
            continue
        caption = f"{measure.heading}: difference from the point before" + (f" ({group.label})" if group.label else "")
        if len(steps) < len(own):
            caption += f"; {len(steps)} of {len(own)}, evenly chosen"
        head = ["", *(_step(columns, pairs[place]) for place in steps)]
        lines = [[plain(label), *(_told(told.get((p, *place))) for p in steps)] for place, label in rows.items()]
        sheets.append(Sheet(caption, head, lines, numeric=True))
    return sheets


def _step(columns: Columns, pair: tuple[int, int]) -> str:
    """Return ``α = 0.5 against 0``."""
    before, after = (columns.heads[point] for point in pair)
    return f"{after} against {before.partition('=')[2].strip() or before}"


def _told(row: Mapping[Any, Any] | None) -> str:
    return "–" if row is None else f"{difference_text(row)} {row['verdict']}"
