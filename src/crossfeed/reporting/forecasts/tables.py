"""A forecast's tables in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

import numpy as np
from rich.console import Console

from crossfeed.display.formatting import counted, number, percent, value_text
from crossfeed.forecasting.answer import Best, Forecast
from crossfeed.reporting.data.layout import ChangeTable, Row, evenly
from crossfeed.reporting.data.measures import LOSS
from crossfeed.reporting.data.terms import WEIGHTS, length
from crossfeed.reporting.forecasts.frames import NOT_LEARNED, Framed
from crossfeed.reporting.forecasts.words import EXTRAPOLATED, MEASURED, MISFIT, NOT_LEARNED_MEANS, cost_words, fit_words
from crossfeed.reporting.terminal.sheets import print_sheet
from crossfeed.reporting.terminal.tables import cut_from, for_screen, marks, print_change, say

__all__ = ["MARK", "banded", "render_forecast"]

MARK: Final = "*"
"""The sign of a number that is extrapolated."""

_ENTITIES: Final = 6  # of more, means are shown
_LISTED: Final = 12  # entities whose own alpha and beta are listed
_WORDS: Final = frozenset({"where", "model", "metric"})  # columns of words, not numbers


def render_forecast(forecast: Forecast, console: Console) -> None:
    """Print a forecast: final losses with their bands, the best mix, the cost, the fit, and what may be wrong.

    Args:
        forecast: What to print.
        console: Where to; its width decides how many columns stand side by side.
    """
    framed, experiment = Framed(forecast), forecast.experiment
    models, cells = len(experiment.ecosystem.names), framed.frame["cell"].nunique()
    say(console, f"{experiment.name} ({experiment.id})", "bold")
    say(
        console,
        f"Forecast of {counted(cells, 'cell')}, {counted(models, 'model')}, "
        f"{length(experiment)}, seed {forecast.seed}.",
    )
    _render_losses(framed, console)
    _render_best(framed, console)
    console.print()
    say(console, "Cost", "bold")
    for line in cost_words(forecast.cost):
        say(console, line)
    _render_fits(forecast, console)
    if forecast.notes:
        console.print()
        say(console, "What may be wrong with it", "bold")
        for note in forecast.notes:
            say(console, f"- {note}")


def banded(framed: Framed, metric: str, *, means: bool = False) -> ChangeTable:
    """Return the initial -> final table of a metric, with the band in the place of the amount of change.

    Args:
        framed: The forecast.
        metric: The metric.
        means: Whether rows are means by kind of task, not models on tasks.
    """
    frame = framed.by_kind() if means else framed.frame
    table = framed.change_table(metric, frame)
    last = frame["generation"] == frame.groupby("point")["generation"].transform("max")
    ends = frame[last & (frame["metric"] == metric)].set_index(["point", "model", "task"])
    told = {place: _told(row) for place, row in ends.to_dict("index").items()}
    rows = [_with_bands(row, told, means) for row in table.rows]
    return replace(table, rows=tuple(rows))


def _with_bands(row: Row, told: Mapping[Any, str], means: bool) -> Row:
    entries = {
        point: replace(entry, change=told.get((point, row.model, row.task), ""), until=None)
        for point, entry in row.entries.items()
    }
    return replace(row, entries=entries, label=row.task if means else row.label)


def _told(row: Mapping[Any, Any]) -> str:
    """Return what stands below a number: its band, or what it rests on."""
    if row["basis"] == "measured":
        return "measured"
    sign = f" {MARK}" if row["basis"] == "extrapolated" else ""
    if row["remark"] == NOT_LEARNED:
        return f"{NOT_LEARNED}{sign}"
    return f"{_band(row['lower'], row['upper'])}{sign}"


def _band(lower: float, upper: float) -> str:
    return f"{number(lower)} to {number(upper)}"


def _render_losses(framed: Framed, console: Console) -> None:
    many = len(framed.forecast.experiment.ecosystem.names) > _ENTITIES
    whole = banded(framed, LOSS, means=many)
    shown = for_screen(whole)
    print_change(shown, console)
    if cut := cut_from(shown, whole):
        say(console, cut.replace("the report's files", "forecast.csv"), "dim")
    if many:
        say(console, "Means over models and tasks; every model on every task is in forecast.csv and in --json.", "dim")
    others = [name.replace("_", " ") for name in framed.metrics if name != LOSS]
    if others:
        say(console, f"Also forecast, in the files and in --json: {', '.join(others)}.", "dim")
    console.print()
    for line in (*marks([shown.measure]), *_legend(shown), WEIGHTS):
        say(console, line, "dim")


def _legend(shown: ChangeTable) -> Iterator[str]:
    """Yield sentences on what stands below the numbers that are shown."""
    below = [entry.change for row in shown.rows for entry in row.entries.values()]
    if any(" to " in text for text in below):
        yield "Below a number: its 80 % band."
    if "measured" in below:
        yield MEASURED
    if any(text.endswith(MARK) for text in below):
        yield f"{MARK} {EXTRAPOLATED}"
    if any(text.startswith(NOT_LEARNED) for text in below):
        yield NOT_LEARNED_MEANS


def _render_best(framed: Framed, console: Console) -> None:
    forecast = framed.forecast
    known = {"best in common": forecast.best_common, "best for each": forecast.best_own}
    best = {where: each for where, each in known.items() if each is not None}
    console.print()
    say(console, "The best alpha and beta, for the mean last loss of all models on private tasks", "bold")
    if not best:
        say(console, "None was searched for.")
        return
    first = framed.points.iloc[0]
    described = next(iter(best.values())).described
    rows = [["as described", value_text(first["alpha"]), value_text(first["beta"]), number(described), "", ""]]
    rows += [[where, *_weights(each), *_numbers(each)] for where, each in best.items()]
    print_sheet(console, ["where", "α", "β", "loss", "80 % band", "change"], rows, _WORDS)
    if forecast.best_own is not None and "own" in _weights(forecast.best_own):
        _render_own(forecast.best_own, console)


def _render_own(best: Best, console: Console) -> None:
    names = evenly(list(best.alpha), _LISTED)
    console.print()
    print_sheet(
        console, ["model", "α", "β"], [[n, f"{best.alpha[n]:.2f}", f"{best.beta[n]:.2f}"] for n in names], _WORDS
    )
    if len(names) < len(best.alpha):
        say(console, f"{len(names)} of {len(best.alpha)} models, evenly chosen; all are in --json.", "dim")


def _weights(best: Best) -> list[str]:
    """Return alpha and beta where all entities have the same, else ``own``."""
    several = [np.unique(list(each.values())) for each in (best.alpha, best.beta)]
    return [f"{values[0]:.2f}" if len(values) == 1 else "own" for values in several]


def _numbers(best: Best) -> list[str]:
    change = percent(100 * (best.value / best.described - 1)) if best.described else ""
    return [number(best.value), _band(best.lower, best.upper), change]


def _render_fits(forecast: Forecast, console: Console) -> None:
    console.print()
    say(console, "How well the surrogate fits", "bold")
    rows = [
        [fit.metric, str(fit.parameters), str(fit.observations), f"{100 * fit.misfit:.1f} %", f"{fit.seconds:.1f}"]
        for fit in forecast.fits
    ]
    print_sheet(console, ["metric", "parameters", "losses", "misfit", "seconds"], rows, _WORDS)
    say(console, MISFIT, "dim")
    for line in fit_words(forecast):
        say(console, f"{line[0].upper()}{line[1:]}")
