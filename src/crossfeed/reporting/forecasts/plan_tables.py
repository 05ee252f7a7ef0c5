"""A plan on the surrogate in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from rich.console import Console

from crossfeed.display.formatting import number
from crossfeed.forecasting.planning import ForecastPlan
from crossfeed.reporting.data.layout import evenly
from crossfeed.reporting.data.terms import WEIGHTS
from crossfeed.reporting.forecasts.words import MISFIT, cost_words
from crossfeed.reporting.terminal.sheets import print_sheet
from crossfeed.reporting.terminal.tables import say

__all__ = ["MARK", "objective_words", "render_forecast_plan", "render_stored_plan"]

MARK: Final = "*"
"""The sign of a number that is extrapolated."""

_LISTED: Final = 6  # entities that are listed
_WORDS: Final = frozenset({"where", "model"})  # columns of words, not numbers
_WHOSE: Final = {
    "mean": "the mean of all models' last losses on private tasks",
    "worst": "the worst model's mean last loss on private tasks",
}


def objective_words(plan: ForecastPlan) -> str:
    """Return what a plan makes least.

    Args:
        plan: The plan.
    """
    if plan.objective in plan.experiment.ecosystem.names:  # an entity may be called mean
        return f"the mean last loss of {plan.objective} on private tasks"
    return _WHOSE[plan.objective]


def render_forecast_plan(plan: ForecastPlan, console: Console) -> None:
    """Print the best weights with their band, the price of others, each model, and how sure all that is.

    Args:
        plan: What to print.
        console: Where to.
    """
    say(console, f"{plan.experiment.name} ({plan.experiment.id})", "bold")
    say(console, f"Minimised: {objective_words(plan)}.")
    say(
        console,
        f"Forecast by the surrogate after {plan.experiment.generations} generations, seed {plan.seed}.",
    )
    say(console, f"Best common weights: {_best(plan)}.")
    console.print()
    say(console, "The price of other weights, over the per-entity optimum", "bold")
    rows = [_priced(row) for row in plan.prices.to_dict("records")]
    print_sheet(console, ["where", "α", "β", "loss", "80 % band", "price", "dispersion"], rows, _WORDS)
    if plan.prices["extrapolated"].any():
        say(console, f"{MARK} extrapolated: some task gets no real data there.", "dim")
    say(console, "dispersion: how far the models' losses on the same private task lie apart.", "dim")
    _render_entities(plan, console)
    console.print()
    say(console, "How sure it is", "bold")
    for line in plan.sureness:
        say(console, line)
    fit, misfit = plan.fit, f"misfit {100 * plan.fit.misfit:.1f} %"
    say(console, f"Fit: {fit.parameters} parameters, {fit.observations} losses, {misfit}, {fit.seconds:.1f} s.")
    say(console, MISFIT, "dim")
    console.print()
    say(console, "Cost", "bold")
    for line in cost_words(plan.cost):
        say(console, line)
    if plan.notes:
        console.print()
        say(console, "What may be wrong with it", "bold")
        for note in plan.notes:
            say(console, f"- {note}")
    console.print()
    say(console, WEIGHTS, "dim")


def render_stored_plan(plan: ForecastPlan, console: Console) -> None:
    """Print in a few lines what the surrogate says of a run, below what the run measured.

    Args:
        plan: The plan.
        console: Where to.
    """
    console.print()
    say(console, "Between the points of the grid, by the surrogate of a forecast", "bold")
    say(console, f"Best common weights: {_best(plan)} (seed {plan.seed}).")
    for line in plan.sureness[:2]:
        say(console, line)


def _render_entities(plan: ForecastPlan, console: Console) -> None:
    console.print()
    say(console, "Each model's mean last loss at these weights", "bold")
    table = plan.entities.to_dict("records")
    listed = evenly(table, _LISTED)
    rows = [_entity(row, where, plan) for row in listed for where in ("common", "own", "described")]
    print_sheet(console, ["model", "where", "α", "β", "loss", "80 % band"], rows, _WORDS)
    if len(listed) < len(table):
        say(console, f"{len(listed)} of {len(table)} models, evenly chosen; all are in the files and in --json.", "dim")


def _best(plan: ForecastPlan) -> str:
    alpha, beta = plan.optimum
    mark = f" {MARK}" if bool(plan.prices["extrapolated"].iloc[0]) else ""
    band = f"80 % band {_band(plan.common.lower, plan.common.upper)}{mark}"
    return f"α = {alpha:.2f}, β = {beta:.2f}, with {number(plan.common.value)}, {band}"


def _priced(row: Mapping[Any, Any]) -> list[str]:
    mark = f" {MARK}" if row["extrapolated"] else ""
    band = f"{_band(row['lower'], row['upper'])}{mark}"
    apart = "" if np.isnan(row["dispersion"]) else number(row["dispersion"])
    return [row["where"], _weight(row["alpha"]), _weight(row["beta"]), number(row["value"]), band, _price(row), apart]


def _price(row: Mapping[Any, Any]) -> str:
    return "nothing" if abs(row["price"]) < 5e-5 else f"{100 * row['price']:+.1f} %"


def _entity(row: Mapping[Any, Any], where: str, plan: ForecastPlan) -> list[str]:
    """Return a model's row for one of the places, with the weights that are its own there alone."""
    weights = [f"{row['own_alpha']:.2f}", f"{row['own_beta']:.2f}"] if where == "own" else ["", ""]
    band = _band(row[f"{where}_lower"], row[f"{where}_upper"])
    called = {"common": "common optimum", "own": "per-entity optimum", "described": plan.prices["where"].iloc[-1]}
    return [row["model"] if where == "common" else "", called[where], *weights, number(row[where]), band]


def _band(lower: float, upper: float) -> str:
    return f"{number(lower)} to {number(upper)}"


def _weight(value: float) -> str:
    return "own" if np.isnan(value) else f"{value:.2f}"
