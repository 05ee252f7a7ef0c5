"""Figures of a prediction and of a plan: which numbers are drawn (`crossfeed.reporting.drawing.charts` draws).

* `efficiency_figure` (paper, Figure 2): relative efficiency against a field of the grid, one panel for each value of
  the other fields, a line for each entity.
* `trajectory_figure` (paper, Figure 4): errors over generations, one row for each measure, a column for each value of
  the outer fields, a line for each value of the inner one.
* `plan_figure`: the landscape of the objective with the points that a plan names.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crossfeed.display.formatting import in_words, plain, value_text
from crossfeed.exact.curated import ENTROPY, REWARD
from crossfeed.exact.discrete import HETEROZYGOSITY, SURVIVORS
from crossfeed.exact.discrete_ecosystem import is_discrete
from crossfeed.exact.planning import Plan
from crossfeed.exact.prediction import Prediction
from crossfeed.reporting.data.layout import evenly
from crossfeed.reporting.drawing.charts import Chart, Curve, Mark, charts, landscape_chart
from crossfeed.reporting.drawing.figures import WIDE, abreast
from crossfeed.theory.fronts import Front

__all__ = [
    "efficiency_charts",
    "efficiency_figure",
    "field_label",
    "front_figure",
    "marks_of",
    "plan_figure",
    "trajectory_figure",
]

_GREEK: Final = {"alpha": "α", "beta": "β"}
_DISCRETE: Final = {
    REWARD: "reward by the own taste",
    ENTROPY: "entropy (nats)",
    HETEROZYGOSITY: "H, expected",
    SURVIVORS: "surviving symbols",
    f"{SURVIVORS}_lower": "surviving symbols, at least",
}
_SWEPT: Final = 5  # values that make a field of the grid an axis
_PANELS: Final = 9
_COLUMNS: Final = 4
_LINES: Final = 6
_WIDE_RANGE: Final = 15.0  # a larger ratio is drawn on a logarithmic axis


def field_label(path: str, value: object = None) -> str:
    """Return a field of the grid, and a value of it, as they are shown: ``α = 0.5``.

    Args:
        path: The field's dotted path.
        value: A value of it; None for the field alone.
    """
    name = path.rpartition(".")[2]
    name = _GREEK.get(name, plain(name))
    return name if value is None else f"{name} = {value_text(value)}"


def efficiency_figure(prediction: Prediction, width: float = WIDE) -> Figure | None:
    """Draw relative efficiency against a numeric field of the grid with five values or more; None without one.

    Args:
        prediction: The prediction.
        width: Inches that it may be wide.
    """
    known = [chart for _, chart in efficiency_charts(prediction)]
    if not known:
        return None
    parts = evenly(known, _PANELS)
    note = _left_out("panels", len(parts), len(known), "limit")
    width = min(width, 8.4 if len(parts) > 1 else 4.6)
    return charts(parts, columns=abreast(min(len(parts), 3), width), width=width, note=note)


def efficiency_charts(prediction: Prediction) -> list[tuple[dict[str, Any], Chart]]:
    """Return the panels of `efficiency_figure`, each with the values of the fields that are not swept.

    Args:
        prediction: The prediction.
    """
    grid = prediction.experiment.grid
    swept = [path for path, values in grid.items() if len(values) >= _SWEPT and all(map(_is_number, values))]
    if not swept or is_discrete(prediction.experiment):
        return []
    axis = "ecosystem.alpha" if "ecosystem.alpha" in swept else swept[-1]
    table = _first_seed(prediction.limit, prediction)
    table = table[table["metric"] == "relative_efficiency"]
    parts = []
    for point in _points(grid, leave_out=axis):
        own = _at(table, point).sort_values(axis)
        title = ", ".join(field_label(*each) for each in point.items())
        lines = _by_model(own, axis, prediction.experiment.ecosystem.names)
        # Entities with truths of their own may do better than least squares on everybody's data.
        top = max(1.0, *(float(np.nanmax(line.y, initial=0.0)) for line in lines))
        parts.append((point, Chart(title, field_label(axis), "relative efficiency", lines, span=(0.0, 1.02 * top))))
    return parts


def trajectory_figure(prediction: Prediction, width: float = WIDE) -> Figure | None:
    """Draw errors over the generations; None without any after generation 0.

    Args:
        prediction: The prediction.
        width: Inches that it may be wide.
    """
    experiment = prediction.experiment
    if experiment.generations == 0:
        return None
    inner = next(reversed(experiment.grid), None)
    points = _points(experiment.grid, leave_out=inner)
    columns = evenly(points, _COLUMNS)
    values = [None] if inner is None else experiment.grid[inner]
    chosen = evenly(values, _LINES)
    records = _first_seed(prediction.records, prediction)
    parts: list[Chart] = []
    for title, rows in _measures(records, prediction):
        log, span = _axis_kind(rows["value"])
        for column in columns:
            here = _at(rows, column)
            lines = _over_generations(here, inner, chosen, experiment.ecosystem.names)
            label = ", ".join(field_label(*each) for each in column.items())
            parts.append(Chart(label, "generation", title, lines, log=log, span=span))
    shown, known = len(columns) * len(chosen), len(points) * len(values)
    note = _left_out("grid points", shown, known, "records")
    width = min(width, max(2.8 * len(columns), 4.6))
    return charts(parts, columns=abreast(len(columns), width), width=width, height=1.55, note=note)


def plan_figure(plan: Plan, width: float = WIDE) -> Figure:
    """Draw the excess over the optimum for all common weights, with the points that the plan names.

    Args:
        plan: The plan.
        width: Inches that it may be wide.
    """
    whose = {"mean": "mean MSE", "worst": "worst entity's MSE"}.get(plan.objective, f"MSE of {plan.objective}")
    title = f"{whose}: excess over the optimum"
    return landscape_chart(plan.landscape, plan.optimum.value, marks_of(plan), title=title, width=min(width, 5.2))


def front_figure(front: Front, width: float = WIDE) -> Figure:
    """Draw the least error against dispersion.

    Args:
        front: The front.
        width: Inches across, at most.
    """
    line = Curve("least error", front.dispersion, front.error)
    span = 0.0, 1.08 * float(front.error.max())
    chart = Chart("the least error at every distance", "dispersion, mean E|θₖ - θₗ|²", "error", [line], span=span)
    return charts([chart], columns=1, width=min(width, 5.2))


def marks_of(plan: Plan) -> list[Mark]:
    """Return the points that a plan names on its landscape.

    Args:
        plan: The plan.
    """
    called = {"common optimum": "optimum", "description": "as described", "half and half": "α = β = 0.5"}
    shared = plan.prices[plan.prices["alpha"].notna() & plan.prices["beta"].notna()]
    marks = [Mark(called[w], a, b) for w, a, b in shared[["where", "alpha", "beta"]].to_numpy() if w in called]
    selfish = plan.entities.dropna(subset="nash_alpha").head(_COLUMNS)
    return marks + [Mark(f"Nash, {m}", a, b) for m, a, b in selfish[["model", "nash_alpha", "nash_beta"]].to_numpy()]


def _left_out(what: str, shown: int, known: int, where: str) -> str:
    """Return a note that a figure leaves some parts out; empty if it does not."""
    return "" if shown >= known else f"{shown} of {known} {what}, evenly chosen; all are in {where}.csv"


def _measures(records: pd.DataFrame, prediction: Prediction) -> list[tuple[str, pd.DataFrame]]:
    """Return each row's title and numbers: ``model, generation, value`` and the grid's fields."""
    if is_discrete(prediction.experiment):
        shown = [(title, records[records["metric"] == metric]) for metric, title in _DISCRETE.items()]
        return [(title, rows) for title, rows in shown if len(rows)]
    prediction_errors = records[records["metric"] == "mspe"]
    eco = prediction.experiment.ecosystem
    pairs = zip(prediction_errors["model"], prediction_errors["task"], strict=True)
    own = pd.Series([task in eco.owned.get(model, ()) for model, task in pairs], prediction_errors.index, dtype=bool)
    other = ~own & prediction_errors["task"].isin(eco.owned_tasks)
    rows = [("MSE", records[records["metric"] == "mse"]), ("MSPE, own task", prediction_errors[own])]
    if other.any():
        keys = [name for name in records.columns if name not in {"task", "value"}]
        mean = prediction_errors[other].groupby(keys, sort=False, dropna=False)[["value"]].mean().reset_index()
        rows.append(("MSPE, other tasks" if len(eco.owned_tasks) > 2 else "MSPE, other task", mean))
    return rows


def _over_generations(
    table: pd.DataFrame, inner: str | None, chosen: Sequence[Any], models: Sequence[str]
) -> list[Curve]:
    lines = []
    for look, value in enumerate(chosen):
        rows = table if inner is None else _at(table, {inner: value})
        name = "" if inner is None else field_label(inner, value)
        for dash, line in enumerate(_by_model(rows, "generation", models)):
            label = ", ".join(part for part in (name, line.label if len(models) > 1 else "") if part)
            first = dash if inner is None else look
            lines.append(Curve(label or line.label, line.x, line.y, first, dash))
    return lines


def _by_model(table: pd.DataFrame, axis: str, models: Sequence[str]) -> list[Curve]:
    """Return a line for each model; for many, their mean and their worst."""
    wide = table.pivot_table(index=axis, columns="model", values="value", sort=True)
    x = wide.index.to_numpy(dtype=float)
    if len(models) <= _LINES:
        return [Curve(f"model {name}", x, wide[name].to_numpy(dtype=float)) for name in models if name in wide]
    several = wide.to_numpy(dtype=float)
    of_efficiency = (table["metric"] == "relative_efficiency").all()
    worst = np.fmin.reduce(several, axis=1) if of_efficiency else np.fmax.reduce(several, axis=1)  # some may be absent
    return [Curve(f"mean of {len(models)} models", x, np.nanmean(several, axis=1)), Curve("the worst", x, worst)]


def _axis_kind(values: pd.Series) -> tuple[Any, tuple[float, float]]:
    """Return one vertical axis for a row: logarithmic where its numbers differ much."""
    low, high = float(values.min()), float(values.max())
    if low > 0 and high / low > _WIDE_RANGE:
        return "y", (low / 1.3, high * 1.3)
    return "", (0.0, 1.08 * high or 1.0)


def _points(grid: Mapping[str, Sequence[Any]], leave_out: str | None = None) -> list[dict[str, Any]]:
    fields = [path for path in grid if path != leave_out]
    return [dict(zip(fields, values, strict=True)) for values in itertools.product(*(grid[f] for f in fields))]


def _at(table: pd.DataFrame, point: Mapping[str, Any]) -> pd.DataFrame:
    keep = np.ones(len(table), dtype=bool)
    for path, value in point.items():
        column = table[path]
        if value is None:
            keep &= column.isna().to_numpy()
            continue
        keep &= (column == (value if pd.api.types.is_numeric_dtype(column) else in_words(value))).to_numpy()
    return table[keep]


def _first_seed(table: pd.DataFrame, prediction: Prediction) -> pd.DataFrame:
    """Return the rows of the first seed: theory is the same for every seed."""
    return table[table["seed"] == prediction.experiment.seeds[0]]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
