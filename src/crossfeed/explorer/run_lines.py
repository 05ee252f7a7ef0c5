"""Lines on the page of a run: a metric's numbers by model, similarity by task, and exact theory beside them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
from bokeh.models import FixedTicker

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import number, plain
from crossfeed.explorer.lines import GREY, LOOKS, Line, Lines, Look, ticks
from crossfeed.protocols import PUBLIC

__all__ = ["Expected", "TaskFigure", "by_task", "empty", "key", "numbers", "panels", "put"]

_PANELS: Final = 6
_EXPECTED: Final = {"exact theory": Look(GREY, "solid", ""), "forecast": Look(GREY, "dashed", "")}

Expected = Literal["exact theory", "forecast"]
"""The source of numbers beside the measured ones."""


@dataclass(frozen=True)
class TaskFigure:
    """One figure of a metric.

    Attributes:
        title: Above it.
        owners: The tasks that it shows, of each model; a line is the mean over them.
        lines: The figure.
    """

    title: str
    owners: dict[str, frozenset[str]]
    lines: Lines


def panels(experiment: Experiment) -> Iterator[TaskFigure]:
    """Yield a figure for each task, or, where there are many, for own, others' and public data.

    Args:
        experiment: The experiment.
    """
    owners = experiment.ecosystem.owned
    tasks, last = [*experiment.tasks, PUBLIC], experiment.generations
    if len(tasks) <= _PANELS:
        for place, task in enumerate(tasks):
            title = "On public data" if task == PUBLIC else f"On {plain(task)}"
            yield TaskFigure(title, dict.fromkeys(owners, frozenset({task})), empty(f"panel{place}", last))
        return
    own = {model: frozenset(tasks) for model, tasks in owners.items()}
    other = {model: frozenset(experiment.tasks) - own[model] for model in owners}
    kinds = {
        "On their own tasks": own,
        "On each other's tasks, the mean": other,
        "On public data": dict.fromkeys(owners, frozenset({PUBLIC})),
    }
    for place, (title, whose) in enumerate(kinds.items()):
        yield TaskFigure(title, whose, empty(f"panel{place}", last))


def empty(name: str, last: int) -> Lines:
    """Return a figure over the generations that shows nothing yet.

    Args:
        name: The figure's name in the template.
        last: The last generation T.
    """
    lines = Lines(name=name, height=280, x_axis_label="generation t", x_range=(-0.04 * last - 0.1, 1.04 * last + 0.1))
    lines.figure.xaxis.ticker = FixedTicker(ticks=ticks(0, last))
    return lines


def _of_model(table: pd.DataFrame, panel: TaskFigure, model: str) -> pd.DataFrame:
    """Return a model's numbers on a panel's tasks, ``mean, se`` by generation."""
    own = table[(table["model"] == model) & table["task"].isin(panel.owners[model])]
    return own.groupby("generation")[["mean", "se"]].mean()


def put(
    panel: TaskFigure, table: pd.DataFrame, names: Sequence[str], expected: tuple[Expected, pd.DataFrame] | None = None
) -> None:
    """Show a metric's numbers in a panel.

    Args:
        panel: Where.
        table: ``model, task, generation, mean, se``.
        names: The models.
        expected: The same of all generations, as exact theory or a forecast has it; None without one.
    """
    lines, thin = _by_model(table, panel, names)
    panel.lines.put(lines, thin, [] if expected is None else _beside(*expected, panel, names))


def _beside(source: Expected, table: pd.DataFrame, panel: TaskFigure, names: Sequence[str]) -> list[Line]:
    """Return the lines to compare with: exact theory in grey, a forecast in the models' colours."""
    look, lines = _EXPECTED[source], _by_model(table, panel, names)[0]
    if source == "exact theory":
        return [replace(line, look=look) for line in lines]
    return [replace(line, look=replace(look, colour=line.look.colour)) for line in lines]


def _by_model(
    table: pd.DataFrame, panel: TaskFigure, names: Sequence[str]
) -> tuple[list[Line], tuple[np.ndarray, np.ndarray] | None]:
    """Return a line for each model; for many, their mean, and all of them thin."""
    wide = {model: _of_model(table, panel, model) for model in names}
    if len(names) <= len(LOOKS):
        return [_line(model, place, rows) for place, (model, rows) in enumerate(wide.items())], None
    every = pd.concat(wide.values()).groupby("generation")["mean"]
    mean = _line(f"mean of {len(names)}", 0, pd.DataFrame({"mean": every.mean(), "se": np.nan}))
    gap = [np.nan]
    x = np.concatenate([np.append(rows.index.to_numpy(dtype=float), gap) for rows in wide.values()])
    y = np.concatenate([np.append(rows["mean"].to_numpy(dtype=float), gap) for rows in wide.values()])
    return [mean], (x, y)


def numbers(table: pd.DataFrame, panels: Sequence[TaskFigure], names: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Return each model's first and last number in every panel.

    Args:
        table: ``model, task, generation, mean, se``.
        panels: The figures.
        names: The models' names.
    """
    return [(plain(model), [_entry(_of_model(table, panel, model)["mean"]) for panel in panels]) for model in names]


def _entry(values: pd.Series) -> dict[str, str]:
    if not len(values):
        return {"last": "", "text": "–"}
    first, last = float(values.iloc[0]), float(values.iloc[-1])
    text = number(last) if len(values) == 1 else f"{number(first)} → {number(last)}"
    return {"last": repr(last), "text": text}


def by_task(table: pd.DataFrame) -> list[Line]:
    """Return a metric of several models on each task, the mean over pairs of them; of many tasks, their mean.

    Args:
        table: ``model, task, generation, mean, se``.
    """
    tasks = list(table["task"].unique())
    groups = {plain(task): table[table["task"] == task] for task in tasks}
    if len(tasks) > len(LOOKS):
        groups = {f"mean of {len(tasks)} tasks": table}
    means = {name: rows.groupby("generation")[["mean", "se"]].mean() for name, rows in groups.items()}
    return [_line(name, place, rows) for place, (name, rows) in enumerate(means.items())]


def _line(name: str, place: int, rows: pd.DataFrame) -> Line:
    errors = ["" if np.isnan(error) else f", ± {error:.2g}" for error in rows["se"]]
    said = [f"generation {t}{error}" for t, error in zip(rows.index, errors, strict=True)]
    x, y = rows.index.to_numpy(dtype=float), rows["mean"].to_numpy(dtype=float)
    return Line(plain(name), LOOKS[place], x, y, said)


def key(names: Sequence[str], expected: Expected | None = None) -> list[dict[str, Any]]:
    """Return the legend's entries, with what the lines are compared with last.

    Args:
        names: The models' names.
        expected: The source of the numbers beside the measured ones; None if there are none.
    """
    shown = names if len(names) <= len(LOOKS) else [f"mean of {len(names)} models; thin: each of them"]
    items = [{"look": look, "label": plain(name)} for look, name in zip(LOOKS, shown, strict=False)]
    return items if expected is None else [*items, {"look": _EXPECTED[expected], "label": expected}]
