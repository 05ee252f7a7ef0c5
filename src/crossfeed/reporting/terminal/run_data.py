"""A run's tables as plain data for programs: what `crossfeed show` prints, in full precision."""

from __future__ import annotations

from typing import Any

from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.numbers import change, timing
from crossfeed.reporting.files import rows_of

__all__ = ["evaluation_data", "named", "run_data"]


def run_data(run: Run) -> dict[str, Any]:
    """Return a run as plain data: its state, every metric's first and last values, times, what failed, notes.

    Args:
        run: The run.
    """
    experiment = run.experiment
    return named(run) | {
        "generations": experiment.generations,
        "seeds": list(experiment.seeds),
        "models": list(experiment.ecosystem.names),
        "tasks": list(experiment.tasks),
        "points": rows_of(run.points.reset_index()),
        "cells": rows_of(run.cells.drop(columns="zero")),
        "changes": [row for measure in run.measures for row in _changes(run, measure.metric)],
        "seconds": rows_of(timing(run.records, run.cells)),
        "failures": rows_of(run.failures),
        "left_out": rows_of(run.left_out),
        "notes": run.notes,
        "evaluation": evaluation_data(run)["numbers"],
    }


def evaluation_data(run: Run) -> dict[str, Any]:
    """Return a run's benchmark numbers as plain data: the rows of ``evaluation.parquet``; none if there are none.

    Args:
        run: The run.
    """
    table = run.store.read_result("evaluation")
    return named(run) | {"numbers": [] if table is None else rows_of(table.to_pandas())}


def named(run: Run) -> dict[str, Any]:
    """Return a run's name, id and location.

    Args:
        run: The run.
    """
    return {"name": run.experiment.name, "id": run.id, "location": str(run.store)}


def _changes(run: Run, metric: str) -> list[dict[str, Any]]:
    """Return one row for each model, task and point, with the mark of its change."""
    table = run.change_table(metric)
    if table is None:
        return []
    marks = {(row.model, row.task, point): entry.mark for row in table.rows for point, entry in row.entries.items()}
    return [
        {"metric": metric} | row | {"verdict": marks[row["model"], row["task"], row["point"]]}
        for row in rows_of(change(run.records, metric))
    ]
