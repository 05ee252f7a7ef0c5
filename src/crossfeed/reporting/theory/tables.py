"""A prediction's and a plan's tables in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from rich.console import Console

from crossfeed.display.formatting import number, value_text
from crossfeed.exact.discrete_ecosystem import is_discrete
from crossfeed.exact.planning import Plan
from crossfeed.exact.prediction import Prediction
from crossfeed.exact.schedules import HorizonPlan
from crossfeed.protocols import Array
from crossfeed.reporting.data.terms import THEORY, WEIGHTS, last_generation
from crossfeed.reporting.terminal.sheets import print_sheet
from crossfeed.reporting.terminal.tables import say
from crossfeed.reporting.theory.discrete_tables import render_discrete
from crossfeed.reporting.theory.figures import field_label
from crossfeed.theory import Chosen, Criterion, Play
from crossfeed.theory.fronts import Front

Show = Callable[[float], str]

__all__ = ["law_text", "render_plan", "render_prediction"]

_CELLS: Final = 24  # more are not listed one by one
_MODELS: Final = 6  # more are summed up
_WORDS: Final = {"law", "model", "where"}  # columns of words, not numbers
_TASKS: Final = 4  # more have no columns of their own


def render_prediction(prediction: Prediction, console: Console) -> None:
    """Print what theory says: the long run of every cell, then the errors of every entity.

    Args:
        prediction: What to print.
        console: Where to.
    """
    if is_discrete(prediction.experiment):
        render_discrete(prediction, console)
        return
    experiment = prediction.experiment
    shown, note = _shown_cells(prediction)
    say(console, f"{experiment.name} ({experiment.id})", "bold")
    models, T = len(experiment.ecosystem.entities), last_generation(experiment)
    until = "generation 0" if experiment.ends == (0,) else f"generations 0 to {T}"
    say(console, f"{models} model{'s' * (models > 1)}; {until} and the limit, exact: nothing is simulated.{note}")
    heads = [field_label(path) for path in experiment.grid]
    console.print()
    say(console, "The long run", "bold")
    columns = ["spectral radius", "law", "dispersion t=0", "in the limit"]
    print_sheet(
        console, [*heads, *columns], [[*_place(prediction, c), *_long_run(prediction, c)] for c in shown], _WORDS
    )
    console.print()
    tasks = [*experiment.tasks, "public"]
    on = [f"on {task}" for task in tasks] if len(tasks) <= _TASKS else []
    at = ["t=0"] if experiment.ends == (0,) else ["t=0", f"t={T}"]
    prediction_errors = f"; MSPE at t={T} on each task" if on else ""
    say(console, f"MSE at {' and '.join(at)} and in the limit; relative efficiency{prediction_errors}", "bold")
    rows = [
        [*_place(prediction, cell), *row] for cell in shown for row in _errors(prediction, cell, tasks if on else [])
    ]
    print_sheet(console, [*heads, "model", *at, "limit", "efficiency", *on], rows, _WORDS)
    console.print()
    say(console, f"The error of one replicate at t={T}: what 5, 50 and 95 % of replicates stay below", "bold")
    rows = [[*_place(prediction, cell), *row] for cell in shown for row in _bands(prediction, cell)]
    print_sheet(console, [*heads, "model", "5 %", "50 %", "95 %"], rows, _WORDS)
    told = _replicates_text(prediction, shown)
    if told:
        say(console, told)
    console.print()
    say(console, f"{WEIGHTS} {THEORY}", "dim")


def _bands(prediction: Prediction, cell: str) -> list[list[str]]:
    """Return one row for each model; of many, the one that fares best and the one that fares worst."""
    names = prediction.experiment.ecosystem.names
    columns = [_numbers(prediction.records, cell, f"error_{name}") for name in ("q05", "q50", "q95")]
    chosen = list(range(len(names)))
    if len(names) > _MODELS:
        chosen = [int(np.argmin(columns[1])), int(np.argmax(columns[1]))]
    return [[names[k], *(number(float(column[k])) for column in columns)] for k in chosen]


def _replicates_text(prediction: Prediction, shown: Sequence[str]) -> str:
    """Return how many replicates tell the best cell listed from the next, by the model that needs most."""
    if len(shown) < 2:
        return ""
    last = prediction.final
    mean = last[last["metric"] == "mse"].groupby("cell")["value"].mean().loc[list(shown)].sort_values()
    best, following = mean.index[:2]
    table = prediction.replicates()
    pair = table[table["cell"].isin([best, following]) & table["other"].isin([best, following])]
    most = pair.sort_values("replicates").iloc[-1]
    if not np.isfinite(most["replicates"]):
        return f"No number of replicates tells {best} from {following} by the error of {most['model']}: they are equal."
    return (
        f"To tell {best} from {following} by the error of {most['model']} takes {most['replicates']:.0f} replicates of "
        "each."
    )


def render_plan(plan: Plan, console: Console) -> None:
    """Print the best weights, the price of others, and selfish play.

    Args:
        plan: What to print.
        console: Where to.
    """
    what = {"mean": "the mean of all models' limiting MSE", "worst": "the worst model's limiting MSE"}
    best = plan.optimum
    say(console, f"{plan.experiment.name} ({plan.experiment.id})", "bold")
    priced = _prices_of(plan.criterion)
    say(console, f"Minimised: {what.get(plan.objective, f'the limiting MSE of {plan.objective}')}{priced}.")
    say(console, f"Best common weights: α = {best.alpha:.3f}, β = {best.beta:.3f}, with {number(best.value)}.")
    if plan.chosen is not None:
        _render_choice(plan, plan.chosen, console)
    console.print()
    say(console, "The price of other weights, over the per-entity optimum", "bold")
    fresh = bool((plan.prices["fresh_fraction"] != plan.prices["fresh_fraction"].iloc[0]).any())
    rows = [_priced_row(each, fresh=fresh) for each in plan.prices.to_dict("records")]
    print_sheet(console, ["where", "α", "β", *(["fresh"] if fresh else []), "objective", "price"], rows, _WORDS)
    console.print()
    say(console, "Best together (own) and each for itself (Nash)", "bold")
    heads = ["model", "MSE common", "own α", "own β", "MSE own", "Nash α", "Nash β", "MSE Nash", "change"]
    print_sheet(console, heads, [_selfish_row(each) for each in plan.entities.to_dict("records")], _WORDS)
    say(console, _play_text(plan.play), "dim")
    if plan.horizon is not None:
        _render_horizon(plan.horizon, console)
    if plan.front is not None:
        _render_front(plan.front, console)
    say(console, WEIGHTS, "dim")


def _render_horizon(plan: HorizonPlan, console: Console) -> None:
    """Print the price of weights that stay, and the schedule: its mean over the models where those differ."""
    which = f"of generation {plan.horizon}" if plan.over == "last" else f"over generations 1 to {plan.horizon}"
    console.print()
    say(console, f"The price of other weights, over the best schedule, for the error {which}", "bold")
    rows = [[each["where"], number(each["value"]), _price(each["price"])] for each in plan.prices.to_dict("records")]
    print_sheet(console, ["where", "objective", "price"], rows, _WORDS)
    console.print()
    means = plan.weights.groupby("generation")[["alpha", "beta", "mse"]].mean()
    own = plan.weights.groupby("generation")[["alpha", "beta"]].nunique().to_numpy().max() > 1
    say(console, "The schedule" + (", mean over the models (each one's is in the files)" if own else ""), "bold")
    shown = [
        [str(t), *(f"{row[name]:.3f}" for name in ("alpha", "beta")), number(row["mse"])] for t, row in means.iterrows()
    ]
    print_sheet(console, ["generation", "α", "β", "mean MSE"], shown, _WORDS)


def _render_front(front: Front, console: Console) -> None:
    console.print()
    say(console, "The least error at every distance between the models (common weights)", "bold")
    table = zip(front.dispersion, front.error, front.alpha, front.beta, strict=True)
    rows = [[number(d), number(e), f"{a:.3f}", f"{b:.3f}"] for d, e, a, b in table]
    print_sheet(console, ["dispersion", "error", "α", "β"], rows, _WORDS)


def _prices_of(criterion: Criterion) -> str:
    parts = [
        f" + {value:g} x {what}"
        for value, what in ((criterion.dispersion, "dispersion"), (criterion.fresh, "fresh fraction"))
        if value
    ]
    return "".join(parts)


def _priced_row(row: dict[Any, Any], *, fresh: bool) -> list[str]:
    share = [f"{row['fresh_fraction']:.3f}"] if fresh else []
    return [
        row["where"],
        _weight(row["alpha"]),
        _weight(row["beta"]),
        *share,
        number(row["value"]),
        _price(row["price"]),
    ]


def _render_choice(plan: Plan, chosen: Chosen, console: Console) -> None:
    """Print the best of what was left free: what is one number in a line, each entity's own in a table."""
    weights, names = chosen.weights, plan.experiment.ecosystem.names
    own = {"α": weights.alpha, "β": weights.beta}
    if not np.allclose(weights.shares, plan.experiment.ecosystem.shares):
        own["share"] = weights.shares
    common = {head: values[0] for head, values in own.items() if (values == values[0]).all()}
    common["fresh fraction"] = weights.fresh_fraction
    told = ", ".join(f"{head} = {value:.3f}" for head, value in common.items())
    say(console, f"Chosen: {told}, with {number(chosen.value)}.")
    several = {head: values for head, values in own.items() if head not in common}
    if several:
        rows = [[n, *(f"{v[k]:.3f}" for v in several.values()), number(chosen.mse[k])] for k, n in enumerate(names)]
        print_sheet(console, ["model", *several, "MSE"], rows, _WORDS)


def _play_text(play: Play | None) -> str:
    """Return what came of selfish play as a sentence."""
    if play is None:
        return "There is no Nash point: a model has no reply with a finite error."
    stopped = f"play did not settle from {len(play.unsettled)} of {play.starts} starts"
    if not play.points:
        return f"No Nash point was found: {stopped} ({play.first.rounds} rounds of best replies)."
    found = "one Nash point" if len(play.points) == 1 else f"{len(play.points)} Nash points (the best is shown)"
    rounds = f"after {play.first.rounds} rounds of best replies"
    ending = f"; {stopped}" if play.unsettled else ""
    return f"From {play.starts} starts: {found}, {rounds}; nobody gains by moving alone{ending}."


def law_text(law: str, rate: float) -> str:
    """Return a law of growth as a phrase.

    Args:
        law: ``limit``, ``schedule`` or a law of `crossfeed.theory.Growth`.
        rate: Its rate.
    """
    words = {
        "limit": "settles",
        "linear": "variance grows linearly",
        "quadratic": "variance grows as t^2",
        "geometric": f"errors grow {rate:.4g}-fold",
        "power": f"errors grow as t^{rate:.3g}",
        "logarithmic": "errors grow as log t",
        "oscillating": "turns for ever",
        "schedule": "not computed: weights change",
    }
    return words[law]


def _shown_cells(prediction: Prediction) -> tuple[list[str], str]:
    """Return the cells to list: all, or the most efficient one for each value of the grid's outer fields."""
    limit, grid = prediction.limit, prediction.experiment.grid
    seed = prediction.experiment.seeds[0]
    cells = prediction.records.loc[prediction.records["seed"] == seed, "cell"].unique().tolist()
    if len(cells) <= _CELLS:
        return cells, ""
    outer = list(grid)[:-1]
    own = limit[(limit["metric"] == "relative_efficiency") & (limit["seed"] == seed)]
    mean = own.groupby([*outer, "cell"], sort=False)["value"].mean().sort_values(ascending=False)
    best = mean.reset_index().drop_duplicates(outer) if outer else mean.reset_index().head(1)
    chosen = set(best["cell"].head(_CELLS))
    last = field_label(list(grid)[-1])
    return [c for c in cells if c in chosen], f" Of {len(cells)} cells: the best {last} (all are in the files)."


def _place(prediction: Prediction, cell: str) -> list[str]:
    row = prediction.records[prediction.records["cell"] == cell].iloc[0]
    return [value_text(row[path]) for path in prediction.experiment.grid]


def _long_run(prediction: Prediction, cell: str) -> list[str]:
    limit = prediction.limit[prediction.limit["cell"] == cell]
    law = str(limit["law"].iloc[0]) if len(limit) else "schedule"
    text = law_text(law, float(_numbers(limit, cell, "rate").sum()))
    first = _numbers(prediction.records, cell, "dispersion", generation=0)
    last = _numbers(limit, cell, "dispersion")
    radius = _entry(_numbers(limit, cell, "spectral_radius"), lambda value: f"{value:.4f}", 0)
    return [radius, text, _entry(first, _distance, 0), _entry(last, _distance, 0)]


def _errors(prediction: Prediction, cell: str, tasks: Sequence[str]) -> list[list[str]]:
    """Return one row for each model; for many, their mean and the worst."""
    names = prediction.experiment.ecosystem.names
    columns = list(_error_columns(prediction, cell, tasks))
    if len(names) <= _MODELS:
        return [[name, *(_entry(each, show, k) for each, show in columns)] for k, name in enumerate(names)]
    summed = [(_mean_and_worst(each, show), show) for each, show in columns]
    labels = (f"mean of {len(names)}", "the worst")
    return [[label, *(_entry(each, show, k) for each, show in summed)] for k, label in enumerate(labels)]


def _error_columns(prediction: Prediction, cell: str, tasks: Sequence[str]) -> Iterator[tuple[Array, Show]]:
    """Yield numbers (K,), none where there are none, and how they are shown."""
    records, limit, final = prediction.records, prediction.limit, prediction.final
    yield _numbers(records, cell, "mse", generation=0), number
    if prediction.experiment.ends != (0,):
        yield _numbers(final, cell, "mse"), number
    growth = _numbers(limit, cell, "variance_growth")
    yield (growth, _growth) if growth.size else (_numbers(limit, cell, "mse"), number)
    yield _numbers(limit, cell, "relative_efficiency"), _share
    for task in tasks:
        yield _numbers(final, cell, "mspe", task=task), number


def _entry(values: Array, show: Show, place: int) -> str:
    if not values.size:
        return ""
    return "–" if np.isnan(values[place]) else show(float(values[place]))  # of an entity that is absent


def _mean_and_worst(values: Array, show: Show) -> Array:
    there = values[~np.isnan(values)]
    if not there.size:
        return there
    return np.array([there.mean(), there.min() if show is _share else there.max()])


def _growth(value: float) -> str:
    return f"+{number(value)} t"


def _distance(value: float) -> str:
    """Return a distance as text, with rounding errors of equal models shown as zero."""
    return number(round(value, 12))


def _share(value: float) -> str:
    return f"{value:.3f}"


def _numbers(table: pd.DataFrame, cell: str, metric: str, **where: Any) -> Array:
    keep = (table["cell"] == cell) & (table["metric"] == metric)
    for column, value in where.items():
        keep &= table[column] == value
    return table.loc[keep, "value"].to_numpy(dtype=float)


def _selfish_row(entity: dict[Any, Any]) -> list[str]:
    own = [_weight(entity["own_alpha"]), _weight(entity["own_beta"]), number(entity["own_mse"])]
    if np.isnan(entity["nash_mse"]):
        return [entity["model"], number(entity["mse"]), *own, "", "", "", ""]
    nash = [_weight(entity["nash_alpha"]), _weight(entity["nash_beta"]), number(entity["nash_mse"])]
    return [entity["model"], number(entity["mse"]), *own, *nash, _price(entity["nash_mse"] / entity["own_mse"] - 1.0)]


def _weight(value: float) -> str:
    return "own" if np.isnan(value) else f"{value:.3f}"


def _price(value: float) -> str:
    if np.isinf(value):
        return "no limit"
    return "nothing" if abs(value) < 5e-5 else f"{100 * value:+.1f} %"
