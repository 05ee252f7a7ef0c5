"""The page on which a run is watched while it goes on, for one tab of a browser."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import pandas as pd
from bokeh.document import Document

from crossfeed.display.addresses import masked
from crossfeed.display.formatting import plain
from crossfeed.explorer.first_point import first_point
from crossfeed.explorer.lines import Lines
from crossfeed.explorer.pages import Conversation, dress, escaped, html
from crossfeed.explorer.run_lines import Expected, by_task, empty, key, numbers, panels, put
from crossfeed.explorer.server import Site
from crossfeed.explorer.watch import Watch
from crossfeed.reporting.data.exact import theory_of
from crossfeed.reporting.data.forecasted import beside_measured
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of
from crossfeed.reporting.data.measures import LOSS
from crossfeed.reporting.data.numbers import by_generation
from crossfeed.reporting.data.terms import WEIGHTS
from crossfeed.reporting.terminal.progress_tables import where
from crossfeed.running.left_out import reason
from crossfeed.running.status import CellStatus, RunStatus
from crossfeed.settings import measures_of

__all__ = ["site"]

_EVERY: Final = 1000
"""Milliseconds between two questions whether there is something new."""
_LISTED: Final = 100
_MARKS: Final = {"finished": "✓", "running": "▶", "failed": "✗", "stopped": "■", "forecast": "≈", "waiting": "·"}


def site(place: str) -> Site:
    """Return the site that shows a run while it goes on.

    Args:
        place: The run's folder, or its URL.

    Raises:
        StoreError: There is no run that can be read.
    """
    watch = Watch(place)
    run = watch.latest.run
    beside, description = _Beside(run), run.store.read_description()
    return Site(
        run.experiment.name,
        lambda document: _Page(watch, beside, place, document).begin(),
        lambda moved: description,
    )


class _Beside:
    """Losses that are expected of a run: of linear models by exact theory, else by the forecast stored with it.

    Theory's are computed point by point when first shown, for all tabs; a forecast is read again with the run's
    numbers, since a run may make it anew as it goes on.

    Args:
        run: The run.

    Attributes:
        reason: Why nothing is expected of linear models; empty otherwise.
    """

    def __init__(self, run: Run) -> None:
        theory = theory_of(run)
        self._exact, self.reason = theory.exact, theory.reason
        self._run, self._forecast = run, _forecast_of(run)
        self._generations = range(run.experiment.generations + 1)
        self._known: dict[int, pd.DataFrame] = {}

    def losses(self, run: Run, point: int) -> tuple[Expected, pd.DataFrame] | None:
        """Return expected losses of all generations.

        Args:
            run: The run as it was read last.
            point: The grid point.

        Returns:
            The source, and ``model, task, generation, mean, se``; None if nothing is expected.
        """
        if self._exact is None:
            if run is not self._run:
                self._run, self._forecast = run, _forecast_of(run)
            here = self._forecast[self._forecast["point"] == point]
            return ("forecast", here) if len(here) else None
        if point not in self._known:
            expected = self._exact.expected(point, self._generations)
            self._known[point] = expected.rename(columns={"exact": "mean"}).assign(se=np.nan)
        return "exact theory", self._known[point]


def _forecast_of(run: Run) -> pd.DataFrame:
    """Return the stored forecast of losses: ``point, model, task, generation, mean, se``."""
    table = beside_measured(run)
    return table[table["metric"] == LOSS].rename(columns={"surrogate": "mean"}).assign(se=np.nan)


class _Page:
    """One tab.

    Args:
        watch: Who looks at the run.
        beside: What exact theory or a forecast expects of it.
        place: Where it is.
        document: The tab's document.
    """

    def __init__(self, watch: Watch, beside: _Beside, place: str, document: Document) -> None:
        self._watch, self._beside, self._document = watch, beside, document
        self._seen = watch.latest
        experiment = self._seen.run.experiment
        self._panels = list(panels(experiment))
        of_several = [each for each in measures_of(experiment.metrics).values() if each.pairs]
        self._between = {each.metric: plain(each.heading) for each in of_several}
        self._similarity = empty("similarity", experiment.generations) if self._between else None
        self._words = Conversation(document, self._move)
        self._moved: dict[str, Any] = {}
        self._opened: str | None = None
        self._draw()
        self._tell_state()
        dress(
            document,
            self._words,
            [lines.figure for lines in (*(panel.lines for panel in self._panels), self._similarity) if lines],
            "run.html.j2",
            name=experiment.name,
            description=plain(experiment.description),
            file=f"{experiment.name}.yaml",
            place=masked(place),
            weights=WEIGHTS,
            between=bool(self._between),
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
        """Show the run's state, and any problem in reading it."""
        status, problem = self._seen.status, self._seen.problem
        said = {
            "state": _state(status, measured=len(self._seen.run.records) > 0),
            "problem": f"What is shown was read before: {problem}" if problem else "",
        }
        cells = html("cells.html.j2", cells=[_row(cell) for cell in _listed(status)])
        self._words.tell(html=escaped(said) | {"cells": cells})

    def _draw(self) -> None:
        """Draw the numbers of the chosen metric and grid point."""
        run = self._seen.run
        metrics, labels = _metrics(run), columns_of(run.points, greek=True).labels
        metric = self._chosen("metric", metrics, next(iter(metrics)))
        point = self._chosen("point", {str(number): label for number, label in labels.items()}, self._first_point())
        here = run.records[run.records["point"] == int(point)]
        table = by_generation(here, metric)
        names = run.experiment.ecosystem.names
        expected = self._beside.losses(run, int(point)) if metric == LOSS else None
        for panel in self._panels:
            panel.lines.figure.yaxis.axis_label = metrics[metric]
            put(panel, table, names, expected)
        said = {
            "averaged": _averaged(run, table),
            "theory": self._beside.reason if metric == LOSS else "",
        }
        tables = {
            "metric": html("options.html.j2", options=_options(metrics)),
            "point": html("options.html.j2", options=_options({str(n): label for n, label in labels.items()})),
            "key": html("key.html.j2", items=key(names, expected[0] if expected else None)),
            "numbers": html("numbers.html.j2", panels=self._panels, rows=numbers(table, self._panels, names)),
        }
        chosen = {"metric": metric, "point": point}
        if self._similarity is not None:
            chosen["between"] = self._chosen("between", self._between, next(iter(self._between)))
            tables |= self._draw_between(here, chosen["between"], self._similarity)
        self._words.tell(
            html=escaped(said) | tables,
            controls={name: {"value": value, "why": ""} for name, value in chosen.items()},
        )

    def _draw_between(self, here: pd.DataFrame, metric: str, lines: Lines) -> dict[str, str]:
        """Draw a metric of pairs of models, or of all of them, and return its texts by element id."""
        by_tasks = by_task(by_generation(here, metric))
        lines.put(by_tasks)
        return {
            "between": html("options.html.j2", options=_options(self._between)),
            "similarity-words": "" if by_tasks else "Not measured yet.",
            "similarity-key": html("key.html.j2", items=key([line.name for line in by_tasks])),
        }

    def _chosen(self, name: str, known: dict[str, str], first: str) -> str:
        """Return the reader's choice, or the first one."""
        chosen = self._moved.get(name)
        return chosen if chosen in known else first

    def _first_point(self) -> str:
        """Return the grid point to open at: the telling one, or, while it is not measured, one that is.

        Once there are numbers to look at it stays, also when others come.
        """
        if self._opened is not None:
            return self._opened
        run = self._seen.run
        later = run.records["generation"] > min(0, run.experiment.generations - 1)  # generation 0 alone is no line
        telling, measured = first_point(run.experiment.grid), run.records.loc[later, "point"].unique().tolist()
        if not measured:
            return str(telling)
        self._opened = str(telling if telling in measured else measured[0])
        return self._opened


def _metrics(run: Run) -> dict[str, str]:
    """Return metrics that were measured, by name, with their titles; the loss where nothing was measured yet."""
    return {each.metric: plain(each.heading) for each in run.measures if not each.pairs} or {LOSS: "Loss"}


def _options(known: dict[str, str]) -> list[dict[str, str]]:
    return [{"value": value, "label": label or "the run"} for value, label in known.items()]


def _state(status: RunStatus, *, measured: bool) -> str:
    """Return the run's state as sentences."""
    counted = [f"{n} {state}" for state in _MARKS if (n := status.count(state))]
    total = sum(cell.generations + 1 for cell in status.cells)
    done = sum(cell.reached + 1 for cell in status.cells)
    at_work = f"{status.writer} is at work on it" if status.writer else "nobody is at work on it"
    said = f"Of {len(status.cells)} cells: {', '.join(counted)}. {done} of {total} generations measured; {at_work}."
    return said if measured else f"{said} Nothing is measured yet."


def _averaged(run: Run, table: pd.DataFrame) -> str:
    """Return the number of seeds that a point of a line averages over, as a sentence."""
    seeds = len(run.experiment.seeds)
    if seeds == 1 or not len(table):
        return ""
    low, high = int(table["seeds"].min()), int(table["seeds"].max())
    return f"Means over seeds: {low if low == high else f'{low} to {high}'} of {seeds} so far."


def _listed(status: RunStatus) -> list[CellStatus]:
    """Return all cells, or, of many, those that something is to be said of."""
    everything = len(status.cells) <= _LISTED
    return [cell for cell in status.cells if everything or cell.state not in ("finished", "forecast", "waiting")][
        :_LISTED
    ]


def _row(cell: CellStatus) -> dict[str, Any]:
    ago = f" ({cell.seconds:.0f} s ago)" if cell.doing and cell.seconds is not None else ""
    said = f"{cell.doing}{ago}" if cell.failure is None else f"{where(cell.failure)}: {cell.failure['message']}"
    if cell.half_width is not None:
        said = f"left out, {reason(cell.half_width)}"
    return {
        "cell": plain(cell.cell),
        "state": cell.state,
        "mark": _MARKS[cell.state],
        "reached": cell.reached,
        "progress": f"{cell.reached + 1} of {cell.generations + 1}",
        "said": plain(said),
    }
