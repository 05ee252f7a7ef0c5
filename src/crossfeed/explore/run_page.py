"""The page on which a run is watched while it goes on, for one tab of a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from bokeh.document import Document
from bokeh.models import FixedTicker

from crossfeed.experiment import Experiment
from crossfeed.explore.lines import LOOKS, Line, Lines, ticks
from crossfeed.explore.pages import Conversation, dress, escaped, html
from crossfeed.explore.server import Site
from crossfeed.explore.watch import Watch
from crossfeed.mixture import PUBLIC
from crossfeed.report.frames import Run
from crossfeed.report.layout import MEASURES, columns_of, other_metrics
from crossfeed.report.numbers import by_generation
from crossfeed.report.progress_tables import where
from crossfeed.status import CellStatus, RunStatus
from crossfeed.text import number, plain

__all__ = ["site"]

_EVERY: Final = 1000
"""Milliseconds between two questions whether there is something new."""
_PANELS: Final = 6
_LISTED: Final = 100
_SIMILARITY: Final = "similarity"
_MARKS: Final = {"finished": "✓", "running": "▶", "failed": "✗", "stopped": "■", "waiting": "·"}


def site(place: str) -> Site:
    """What is served to those who watch a run.

    Args:
        place: The run's folder, or its URL.

    Raises:
        StoreError: There is no run that can be read.
    """
    watch = Watch(place)
    run = watch.latest.run
    description = run.store.read_description()
    return Site(run.experiment.name, lambda document: _Page(watch, place, document).begin(), lambda moved: description)


@dataclass(frozen=True)
class _Panel:
    """One figure of a metric.

    Attributes:
        title: Above it.
        owners: The tasks that it shows, of each model; a line is the mean over them.
        lines: The figure.
    """

    title: str
    owners: dict[str, frozenset[str]]
    lines: Lines


class _Page:
    """One tab.

    Args:
        watch: Who looks at the run.
        place: Where it is.
        document: The tab's document.
    """

    def __init__(self, watch: Watch, place: str, document: Document) -> None:
        self._watch, self._document = watch, document
        self._seen = watch.latest
        experiment = self._seen.run.experiment
        self._panels = list(_panels(experiment))
        self._similarity = _empty("similarity", experiment.generations)
        self._words = Conversation(self._move)
        self._moved: dict[str, Any] = {}
        self._draw()
        self._tell_state()
        dress(
            document,
            self._words,
            [*(panel.lines.figure for panel in self._panels), self._similarity.figure],
            "run.html.j2",
            name=experiment.name,
            description=plain(experiment.description),
            file=f"{experiment.name}.yaml",
            place=place,
            panels=[{"title": panel.title, "root": panel.lines.figure.name} for panel in self._panels],
        )

    def begin(self) -> None:
        """Look again and again."""
        self._document.add_periodic_callback(self._refresh, _EVERY)

    def _refresh(self) -> None:
        before, self._seen = self._seen, self._watch.latest
        if self._seen.run is not before.run:
            self._all_at_once()
        elif self._seen is not before:
            self._tell_state()

    def _move(self, moved: dict[str, Any]) -> None:
        self._moved = moved
        self._all_at_once()

    def _all_at_once(self) -> None:
        self._document.hold("combine")
        try:
            self._draw()
            self._tell_state()
        finally:
            self._document.unhold()

    def _tell_state(self) -> None:
        """How far the run is, and whether it can be read."""
        status, problem = self._seen.status, self._seen.problem
        said = {
            "state": _state(status, measured=len(self._seen.run.records) > 0),
            "problem": f"What is shown was read before: {problem}" if problem else "",
        }
        cells = html("cells.html.j2", cells=[_row(cell) for cell in _listed(status)])
        self._words.tell(html=escaped(said) | {"cells": cells})

    def _draw(self) -> None:
        """The numbers of the metric and the grid point that were chosen."""
        run = self._seen.run
        metrics, labels = _metrics(run), columns_of(run.points, greek=True).labels
        metric = self._chosen("metric", metrics)
        point = self._chosen("point", {str(number): label for number, label in labels.items()})
        here = run.records[run.records["point"] == int(point)]
        table = by_generation(here, metric)
        names = run.experiment.ecosystem.names
        for panel in self._panels:
            panel.lines.figure.yaxis.axis_label = metrics[metric]
            panel.lines.put(*_by_model(table, panel, names))
        similar = _by_task(by_generation(here, _SIMILARITY))
        self._similarity.put(similar)
        said = {
            "averaged": _averaged(run, table),
            "similarity-words": "" if similar else "Not measured in this run, or not yet.",
        }
        tables = {
            "metric": html("options.html.j2", options=_options(metrics)),
            "point": html("options.html.j2", options=_options({str(n): label for n, label in labels.items()})),
            "key": html("key.html.j2", items=_key(names)),
            "similarity-key": html("key.html.j2", items=_key([line.name for line in similar])),
            "numbers": html("numbers.html.j2", panels=self._panels, rows=_numbers(table, self._panels, names)),
        }
        self._words.tell(
            html=escaped(said) | tables,
            controls={"metric": {"value": metric, "why": ""}, "point": {"value": point, "why": ""}},
        )

    def _chosen(self, name: str, known: dict[str, str]) -> str:
        """What the reader chose, or the first there is."""
        chosen = self._moved.get(name)
        return chosen if chosen in known else next(iter(known))


def _panels(experiment: Experiment) -> Iterator[_Panel]:
    """A figure for each task, or, where there are many, for own, others' and public data."""
    owners = {entity.name: entity.private for entity in experiment.ecosystem.entities}
    tasks, last = [*experiment.tasks, PUBLIC], experiment.generations
    if len(tasks) <= _PANELS:
        for number, task in enumerate(tasks):
            title = "On public data" if task == PUBLIC else f"On {plain(task)}"
            yield _Panel(title, dict.fromkeys(owners, frozenset({task})), _empty(f"panel{number}", last))
        return
    own = {model: frozenset({task}) for model, task in owners.items()}
    other = {model: frozenset(experiment.tasks) - own[model] for model in owners}
    kinds = {
        "On their own tasks": own,
        "On each other's tasks, the mean": other,
        "On public data": dict.fromkeys(owners, frozenset({PUBLIC})),
    }
    for number, (title, whose) in enumerate(kinds.items()):
        yield _Panel(title, whose, _empty(f"panel{number}", last))


def _empty(name: str, last: int) -> Lines:
    lines = Lines(name=name, height=280, x_axis_label="generation t", x_range=(-0.04 * last - 0.1, 1.04 * last + 0.1))
    lines.figure.xaxis.ticker = FixedTicker(ticks=ticks(0, last))
    return lines


def _metrics(run: Run) -> dict[str, str]:
    """Metrics that were measured, by name, with their titles; the loss where nothing was measured yet."""
    measured = set(run.records["metric"].unique())
    known = {name: measure.title for name, measure in MEASURES.items() if name in measured and name != _SIMILARITY}
    return known | {name: plain(name) for name in other_metrics(run.records)} or {"loss": "Loss"}


def _of_model(table: pd.DataFrame, panel: _Panel, model: str) -> pd.DataFrame:
    """A model's numbers on a panel's tasks, ``mean, se`` by generation."""
    own = table[(table["model"] == model) & table["task"].isin(panel.owners[model])]
    return own.groupby("generation")[["mean", "se"]].mean()


def _by_model(
    table: pd.DataFrame, panel: _Panel, names: Sequence[str]
) -> tuple[list[Line], tuple[np.ndarray, np.ndarray] | None]:
    """A line for each model; for many, their mean, and all of them thin."""
    wide = {model: _of_model(table, panel, model) for model in names}
    if len(names) <= len(LOOKS):
        return [_line(model, place, rows) for place, (model, rows) in enumerate(wide.items())], None
    every = pd.concat(wide.values()).groupby("generation")["mean"]
    mean = _line(f"mean of {len(names)}", 0, pd.DataFrame({"mean": every.mean(), "se": np.nan}))
    gap = [np.nan]
    x = np.concatenate([np.append(rows.index.to_numpy(dtype=float), gap) for rows in wide.values()])
    y = np.concatenate([np.append(rows["mean"].to_numpy(dtype=float), gap) for rows in wide.values()])
    return [mean], (x, y)


def _numbers(table: pd.DataFrame, panels: Sequence[_Panel], names: Sequence[str]) -> list[tuple[str, list[Any]]]:
    """Each model's first and last number in every panel."""
    return [(plain(model), [_entry(_of_model(table, panel, model)["mean"]) for panel in panels]) for model in names]


def _entry(values: pd.Series) -> dict[str, str]:
    if not len(values):
        return {"last": "", "text": "–"}
    first, last = float(values.iloc[0]), float(values.iloc[-1])
    text = number(last) if len(values) == 1 else f"{number(first)} → {number(last)}"
    return {"last": repr(last), "text": text}


def _by_task(table: pd.DataFrame) -> list[Line]:
    """Similarity on each task, the mean over pairs of models; of many tasks, their mean."""
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


def _key(names: Sequence[str]) -> list[dict[str, Any]]:
    shown = names if len(names) <= len(LOOKS) else [f"mean of {len(names)} models; thin: each of them"]
    return [{"look": look, "label": plain(name)} for look, name in zip(LOOKS, shown, strict=False)]


def _options(known: dict[str, str]) -> list[dict[str, str]]:
    return [{"value": value, "label": label or "the run"} for value, label in known.items()]


def _state(status: RunStatus, *, measured: bool) -> str:
    """How far the run is."""
    counted = [f"{n} {state}" for state in _MARKS if (n := status.count(state))]
    total = sum(cell.generations + 1 for cell in status.cells)
    done = sum(cell.reached + 1 for cell in status.cells)
    at_work = f"{status.writer} is at work on it" if status.writer else "nobody is at work on it"
    said = f"Of {len(status.cells)} cells: {', '.join(counted)}. {done} of {total} generations measured; {at_work}."
    return said if measured else f"{said} Nothing is measured yet."


def _averaged(run: Run, table: pd.DataFrame) -> str:
    """What a point of a line is the mean of."""
    seeds = len(run.experiment.seeds)
    if seeds == 1 or not len(table):
        return ""
    low, high = int(table["seeds"].min()), int(table["seeds"].max())
    return f"Means over seeds: {low if low == high else f'{low} to {high}'} of {seeds} so far."


def _listed(status: RunStatus) -> list[CellStatus]:
    """All cells, or, of many, those that something is to be said of."""
    everything = len(status.cells) <= _LISTED
    return [cell for cell in status.cells if everything or cell.state not in ("finished", "waiting")][:_LISTED]


def _row(cell: CellStatus) -> dict[str, Any]:
    ago = f" ({cell.seconds:.0f} s ago)" if cell.doing and cell.seconds is not None else ""
    said = f"{cell.doing}{ago}" if cell.failure is None else f"{where(cell.failure)}: {cell.failure['message']}"
    return {
        "cell": plain(cell.cell),
        "state": cell.state,
        "mark": _MARKS[cell.state],
        "reached": cell.reached,
        "progress": f"{cell.reached} of {cell.generations}" if cell.reached >= 0 else f"– of {cell.generations}",
        "said": plain(said),
    }
