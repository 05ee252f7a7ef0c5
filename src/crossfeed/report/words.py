"""What a run shows, in words computed from its numbers."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pandas as pd

from crossfeed.report.frames import Run
from crossfeed.report.layout import ChangeTable, Columns, Row, change_table, columns_of
from crossfeed.report.numbers import change
from crossfeed.report.text import number, percent, plain

__all__ = ["findings", "opening", "state"]

_PLACES: Final = {"own": "on own tasks", "other": "on each other's tasks", "public": "on public data"}
_NAMED: Final = 4  # more models than this are summed up by their extremes


def opening(run: Run) -> list[str]:
    """What was run, and how far it came."""
    experiment = run.experiment
    entities = ", ".join(f"{entity.name} (owns {entity.private})" for entity in experiment.ecosystem.entities)
    models, points = len(experiment.ecosystem.entities), len(run.points)
    fixed = columns_of(run.points, greek=True).fixed
    fed = "trained on each other's outputs" if models > 1 else "trained on its own outputs"
    text = (
        f"{_count(models, 'model')} of kind {experiment.learner.kind} {fed} for "
        f"{_count(experiment.generations, 'generation')}: {entities}. "
        f"{_count(points, 'grid point')}, {_count(len(experiment.seeds), 'seed')} each"
        + (f"; {fixed}." if fixed else ".")
    )
    return [line for line in (plain(experiment.description), text, state(run)) if line]


def state(run: Run) -> str:
    """How many cells finished, and which did not."""
    counts = Counter(run.cells["state"])
    if counts["finished"] == len(run.cells):
        return f"All {len(run.cells)} cells finished." if len(run.cells) > 1 else "Its one cell finished."
    told = ", ".join(f"{counts[name]} {name}" for name in ("finished", "unfinished", "failed") if counts[name])
    return f"Of {_count(len(run.cells), 'cell')}: {told}. What follows is what was measured so far."


def findings(run: Run) -> list[tuple[str, str]]:
    """One statement for each grid point, and one that compares them: ``(what it is about, statement)``."""
    table = change_table(run, "loss", greek=True)
    if table is None or all(entry.final is None for row in table.rows for entry in row.entries.values()):
        return []
    numbers = change(run.records, "loss")
    similar = change(run.records, "similarity")
    columns = table.columns
    said = [(columns.labels[point] or "the run", _point(point, table, numbers, similar)) for point in columns.points]
    best = _best(run, numbers, columns)
    found = ([("All in all", best)] if best else []) + [(label, text) for label, text in said if text]
    return [(label, text.replace(" %", "\u00a0%")) for label, text in found]


def _point(point: int, table: ChangeTable, numbers: pd.DataFrame, similar: pd.DataFrame) -> str:
    parts = []
    for kind, where in _PLACES.items():
        rows = [row for row in table.rows if row.kind == kind and point in row.entries]
        if rows:
            parts.append(f"{where} {_kind(point, rows, numbers)}")
    alike = similar[similar["point"] == point]
    text = f"Loss {'; '.join(parts)}." if parts else ""
    if len(alike):
        text += f" Similarity of outputs {alike['initial'].mean():.2f} → {alike['final'].mean():.2f} on average."
    return text


def _kind(point: int, rows: list[Row], numbers: pd.DataFrame) -> str:
    """``-5.8 % on average (warm on cold -6.7 %, cold on warm -4.9 %; 2 better)``."""
    here = numbers[numbers["point"] == point].set_index(["model", "task"])["percent"]
    named = sorted(((float(here[row.model, row.task]), row) for row in rows), key=lambda pair: pair[0])
    marks = Counter(row.entries[point].mark for row in rows)
    told = ", ".join(f"{count} {mark}" for mark, count in marks.items() if mark)
    if len(named) == 1:
        return f"{percent(named[0][0])} ({named[0][1].entries[point].mark})"
    listed = [f"{row.label} {percent(value)}" for value, row in named]
    if len(named) > _NAMED:
        listed = [f"from {listed[0]}", f"to {listed[-1]}"]
    mean = sum(value for value, _ in named) / len(named)
    return f"{percent(mean)} on average ({', '.join(listed)}; {told})"


def _best(run: Run, numbers: pd.DataFrame, columns: Columns) -> str:
    """Where the models know all private tasks best in the end; only points that were finished are compared."""
    private = numbers[numbers["task"].isin(list(run.experiment.tasks))]
    private = private[private["generation"] == run.experiment.generations]
    final = private.groupby("point")["final"].mean()
    if len(final) < 2:
        return ""
    low, high = int(str(final.idxmin())), int(str(final.idxmax()))
    return (
        f"Averaged over all models and private tasks, the loss ended lowest at {columns.labels[low]} "
        f"({number(final[low])}) and highest at {columns.labels[high]} ({number(final[high])}); it began at "
        f"{number(float(private['initial'].mean()))}."
    )


def _count(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
