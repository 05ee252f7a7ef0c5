"""Sentences about a run, computed from its numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pandas as pd

from crossfeed.description.entity import Entity, owned_words, words_of
from crossfeed.display.formatting import number, percent, plain
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import ChangeTable, Columns, Row, columns_of
from crossfeed.reporting.data.measures import LOSS, SIMILARITY
from crossfeed.reporting.data.numbers import change
from crossfeed.reporting.data.terms import length

__all__ = ["count", "findings", "gained", "opening", "state"]

_PLACES: Final = {"own": "on own tasks", "other": "on each other's tasks", "public": "on public data"}
_NAMED: Final = 4  # more rows than this are summed up by their extremes
_MODELS: Final = 8
_POINTS: Final = 12


def opening(run: Run) -> list[str]:
    """Return the description of the run and its state, a paragraph each.

    Args:
        run: The run.
    """
    experiment = run.experiment
    entities = ", ".join(f"{entity.name} ({_described(entity)})" for entity in experiment.ecosystem.entities)
    models, points = len(experiment.ecosystem.entities), len(run.points)
    fixed = columns_of(run.points, greek=True).fixed
    fed = "trained on each other's outputs" if models > 1 else "trained on its own outputs"
    text = (
        f"{count(models, 'model')} of kind {experiment.learner.kind} {fed} for "
        f"{length(experiment)}: {entities}. "
        f"{count(points, 'grid point')}, {count(len(experiment.seeds), 'seed')} each"
        + (f"; {fixed}." if fixed else ".")
    )
    return [line for line in (plain(experiment.description), text, state(run)) if line]


def _described(entity: Entity) -> str:
    """Return what an entity owns, and where it differs from the others."""
    own: dict[str, object] = {"α": entity.alpha, "β": entity.beta, "n": entity.n}
    parts = [f"{name}\u00a0=\u00a0{words_of(value)}" for name, value in own.items() if value is not None]
    return f"owns {plain(owned_words(entity))}" + (f"; its own {', '.join(parts)}" if parts else "")


def state(run: Run) -> str:
    """Return a sentence with the number of cells in each state.

    Args:
        run: The run.
    """
    counts = Counter(run.cells["state"])
    if counts["finished"] == len(run.cells):
        return f"All {len(run.cells)} cells finished." if len(run.cells) > 1 else "Its one cell finished."
    states = ("finished", "unfinished", "failed", "forecast")
    told = ", ".join(f"{counts[name]} {name}" for name in states if counts[name])
    so_far = " so far" if counts["unfinished"] or counts["failed"] else ""
    return f"Of {count(len(run.cells), 'cell')}: {told}. What follows is what was measured{so_far}."


def findings(run: Run) -> list[tuple[str, str]]:
    """Return statements ``(subject, text)``: a comparison of grid points, then entities one by one, then points.

    Args:
        run: The run.
    """
    table = run.change_table(LOSS, greek=True)
    if table is None or all(entry.final is None for row in table.rows for entry in row.entries.values()):
        return []
    numbers = change(run.records, LOSS)
    similar = change(run.records, SIMILARITY)
    columns = table.columns
    points = _told_points(run, numbers, columns)
    said = [(columns.labels[point] or "the run", _point(point, table, numbers, similar)) for point in points]
    best = _best(run, numbers, columns)
    entities = [(plain(name), _entity(run, name, numbers, columns)) for name in _told_models(run, numbers)]
    statements = ([("All in all", best)] if best else []) + [
        (label, text) for label, text in [*entities, *said] if text
    ]
    return [(label, text.replace(" %", "\u00a0%")) for label, text in statements]


def _told_points(run: Run, numbers: pd.DataFrame, columns: Columns) -> list[int]:
    """Return the grid points to describe one by one: all of a small grid, the best and the worst of a large one."""
    measured = set(numbers["point"])
    known = [point for point in columns.points if point in measured]
    if len(known) <= _POINTS:
        return known
    means = _final(run, numbers)
    return [int(str(means.idxmin())), int(str(means.idxmax()))] if len(means) else known[:_POINTS]


def _told_models(run: Run, numbers: pd.DataFrame) -> list[str]:
    """Return the entities to describe one by one; of many, those that gained and lost most on average."""
    measured = set(numbers["model"])
    names = [name for name in run.experiment.ecosystem.names if name in measured]
    if len(names) <= _MODELS:
        return names
    private = numbers[numbers["task"].isin(list(run.experiment.tasks)) & numbers["model"].isin(names)]
    means = private.groupby("model")["percent"].mean()
    return [str(means.idxmin()), str(means.idxmax())] if means.notna().any() else []


def _entity(run: Run, name: str, numbers: pd.DataFrame, columns: Columns) -> str:
    """Return ``At alpha = 0.5 it gained 79.4 % on facts and lost 6.7 % on its own task.``, a sentence for each point.

    Of many points those where it gained most and lost most, averaged over private tasks.
    """
    owned = run.experiment.ecosystem.owned[name]
    own = numbers[(numbers["model"] == name) & (numbers["generation"] > 0)].dropna(subset="percent")
    measured = set(own["point"])
    points = {point: f"At {columns.labels[point]}" for point in columns.points if point in measured}
    if len(points) > _NAMED:
        means = own[own["task"] != PUBLIC].groupby("point")["percent"].mean()
        ends = (("At its best", means.idxmin()), ("At its worst", means.idxmax())) if len(means) else ()
        points = {int(str(point)): f"{word}, at {columns.labels[int(str(point))]}," for word, point in ends}
    return " ".join(f"{at} it {_listed(_told(own[own['point'] == point], owned))}." for point, at in points.items())


def _told(changes: pd.DataFrame, owned: Sequence[str]) -> list[str]:
    """Return an entity's gains and losses: on others' tasks first, of many the best and the worst."""
    others = changes[~changes["task"].isin([*owned, PUBLIC])].to_dict("records")
    told = [f"{gained(row)} on {plain(row['task'])}" for row in others]
    if len(others) > _NAMED:
        ends = sorted(others, key=lambda row: float(row["percent"]))
        told = [f"{gained(ends[0])} on {plain(ends[0]['task'])} (the best of {len(others)} other tasks)"]
        told.append(f"{gained(ends[-1])} on {plain(ends[-1]['task'])} (the worst)")
    places = [(task, f"its own {plain(task)}" if len(owned) > 1 else "its own task") for task in owned]
    for task, where in (*places, (PUBLIC, "public data")):
        told += [f"{gained(row)} on {where}" for row in changes[changes["task"] == task].to_dict("records")]
    return told


def gained(change: Mapping[Any, Any]) -> str:
    """Return a change of loss as a gain or loss of the model: ``gained 79.4 %``, for a loss that fell.

    Args:
        change: A row of `crossfeed.reporting.data.numbers.change`.
    """
    amount, error = float(change["percent"]), float(change["percent_se"])
    size = percent(abs(amount), error).removeprefix("+")
    if size in ("0.0 %", "0.0 ± 0.0 %"):
        return "did not change"
    return f"{'gained' if amount < 0 else 'lost'} {size}"


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


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
    """Return ``-5.8 % on average (2 better)``; of many rows also the extremes, since not all models are named."""
    here = numbers[numbers["point"] == point].set_index(["model", "task"])["percent"]
    named = sorted(((float(here[row.model, row.task]), row) for row in rows), key=lambda pair: pair[0])
    marks = Counter(row.entries[point].mark for row in rows)
    told = ", ".join(f"{count} {mark}" for mark, count in marks.items() if mark)
    if len(named) == 1:
        return f"{percent(named[0][0])} ({named[0][1].entries[point].mark})"
    if len(named) > _NAMED:
        ends = [f"{row.label} {percent(value)}" for value, row in (named[0], named[-1])]
        told = f"from {ends[0]} to {ends[1]}; {told}"
    mean = sum(value for value, _ in named) / len(named)
    return f"{percent(mean)} on average ({told})"


def _best(run: Run, numbers: pd.DataFrame, columns: Columns) -> str:
    """Name the finished grid points with the lowest and the highest final loss over all private tasks."""
    private = _private(run, numbers)
    final = _final(run, numbers)
    if len(final) < 2:
        return ""
    low, high = int(str(final.idxmin())), int(str(final.idxmax()))
    return (
        f"Averaged over all models and private tasks, the loss ended lowest at {columns.labels[low]} "
        f"({number(final[low])}) and highest at {columns.labels[high]} ({number(final[high])}); it began at "
        f"{number(float(private['initial'].mean()))}."
    )


def _private(run: Run, numbers: pd.DataFrame) -> pd.DataFrame:
    """Return private tasks at points that were finished."""
    private = numbers[numbers["task"].isin(list(run.experiment.tasks))]
    return private[private["generation"] == private["point"].map(run.ends)]


def _final(run: Run, numbers: pd.DataFrame) -> pd.Series[float]:
    """Return mean last loss over all models and private tasks, by finished point."""
    return _private(run, numbers).groupby("point")["final"].mean()


def count(number: int, what: str) -> str:
    """Return a number with its noun in singular or plural.

    Args:
        number: The number.
        what: The noun in singular.
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
