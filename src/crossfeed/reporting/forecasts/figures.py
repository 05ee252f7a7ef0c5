"""Figures of a forecast: which numbers are drawn (`crossfeed.reporting.drawing` draws).

* `curve_figures`: losses over generations, a panel for each model and task, a line with its band for each grid point.
* `map_figure`: the mean last loss on private tasks over alpha and beta, or over the one of them that varies.
* `regret_figure`: how much worse each mix is than the best one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crossfeed.display.formatting import number, value_text
from crossfeed.forecasting.answer import Forecast
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.layout import Columns, columns_of, evenly
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.drawing.bands import banded_curves, banded_over, banded_values
from crossfeed.reporting.drawing.figures import WIDE, Panel
from crossfeed.reporting.drawing.heat import Matrix, Scale, ends, heat_maps
from crossfeed.reporting.forecasts.frames import Framed
from crossfeed.reporting.page.blocks import file_name

__all__ = ["curve_figures", "draw_curves", "figures_of", "map_figure", "panels_of", "regret_figure"]

_PANELS: Final = 12  # of more, those of the own tasks are drawn
_GROUPS: Final = 4
_LINES: Final = 5  # grid points in a figure of curves
_MIXES: Final = 24  # in the figure of regrets
_MAPS: Final = 4
_LEAST: Final = 2  # values that make an axis of a field
_ABREAST: Final = 5.0  # inches from which on heat maps stand side by side

_GREEK: Final = {"alpha": "α", "beta": "β"}
_MEAN: Final = "mean over models and private tasks, last generation"

Draw = Callable[[float], Figure | None]


def figures_of(forecast: Forecast) -> dict[str, Draw]:
    """Return functions that draw a forecast's figures at a width in inches, by the figures' names.

    Args:
        forecast: The forecast.
    """
    framed = Framed(forecast)
    return curve_figures(framed) | {
        "map": lambda width: map_figure(framed, width),
        "regret": lambda width: regret_figure(framed, width),
    }


def curve_figures(framed: Framed) -> dict[str, Draw]:
    """Return a figure of curves for each group of grid points, by name: ``curves``, or ``curves-1`` and so on.

    Args:
        framed: The forecast.
    """
    frame = framed.frame[framed.frame["metric"] == LOSS]
    table = frame.assign(measured=frame["value"].where(frame["basis"] == "measured"))
    columns = _columns(framed).some(_GROUPS, _LINES)
    parts, across = panels_of(frame)
    ylabel = declared(LOSS, [framed.forecast.experiment]).axis
    unsure = set(framed.finals.loc[framed.finals["basis"] == "extrapolated", "point"])
    figures: dict[str, Draw] = {}
    for group in columns.groups:
        labels = {point: _label(columns.labels[point], point in unsure) for point in group.points}
        draw = partial(draw_curves, table, parts, labels, ylabel, across)
        figures[file_name("curves", columns.groups, group)] = draw
    return figures


def panels_of(frame: pd.DataFrame) -> tuple[list[Panel], int]:
    """Return a panel for each model and task, model by model; of very many, those of the models' own tasks.

    Args:
        frame: Rows with ``model, task, kind``.

    Returns:
        The panels, and how many of them stand side by side.
    """
    places = frame[["model", "task", "kind"]].drop_duplicates()
    if len(places) > _PANELS:
        own = places[places["kind"] == "own"].to_dict("records")
        return [_panel(each) for each in evenly(own, _PANELS)], 4
    tasks = {task: place for place, task in enumerate(dict.fromkeys(places["task"]))} | {PUBLIC: len(places)}
    models = list(dict.fromkeys(places["model"]))
    listed = sorted(places.to_dict("records"), key=lambda each: (models.index(each["model"]), tasks[each["task"]]))
    return [_panel(each) for each in listed], max(len(tasks), 3)


def map_figure(framed: Framed, width: float = WIDE) -> Figure | None:
    """Draw the mean last loss on private tasks over alpha and beta; over one of them if the other does not vary.

    Args:
        framed: The forecast.
        width: Inches that it may be wide.

    Returns:
        The figure; None if neither varies in numbers.
    """
    points = framed.points
    swept = [name for name in _GREEK if points[name].map(_is_number).all() and len(set(points[name])) > 1]
    if not swept:
        return None
    table = points.join(framed.objective, how="inner")
    if len(swept) == _LEAST:
        return _heat(framed, table, width)
    return _over(framed, table, swept[0], width)


def regret_figure(framed: Framed, width: float = WIDE) -> Figure | None:
    """Draw how much worse each mix is than the best one, the best at the top.

    Args:
        framed: The forecast.
        width: Inches that it may be wide.

    Returns:
        The figure; None for a single grid point.
    """
    whole = framed.regret
    if len(whole) < _LEAST:
        return None
    shown, labels = whole.head(_MIXES), _columns(framed).labels
    numbers = {name: 100 * shown[name] for name in ("value", "lower", "upper")}
    table = shown.assign(label=[labels[int(str(point))] for point in shown.index], **numbers)
    note = (
        "Mean last loss of all models on private tasks. Lines: 80 % bands; one that reaches below 0 may be as good as "
        "the best."
    )
    if len(shown) < len(whole):
        note += f" The best {len(shown)} of {len(whole)} mixes."
    return banded_values(table, xlabel="per cent above the best", note=note, width=min(width, 8.4))


def _heat(framed: Framed, table: pd.DataFrame, width: float) -> Figure:
    """Draw a heat map for each combination of the grid's other fields."""
    parts = [_matrix(rows, label or _MEAN) for label, rows in evenly(_others(framed, table, ["alpha", "beta"]), _MAPS)]
    marks = "; frame: the lowest"
    if any(part.hatched is not None and part.hatched.any() for part in parts):
        marks += ", hatched corner: extrapolated"
    axis = declared(LOSS, [framed.forecast.experiment]).axis
    low, high = ends(table["value"].to_numpy(dtype=float))
    scale = Scale(f"{axis}{marks}", low, high, "levels", number)
    across = 1 if width < _ABREAST else min(3, len(parts))
    return heat_maps(parts, scale, width=min(width, 4.6 * across), columns=across, names=("β", "α"))


def _matrix(rows: pd.DataFrame, label: str) -> Matrix:
    """Return a heat map, alpha to the right and beta up."""
    wide = rows.pivot_table(index="beta", columns="alpha", values="value").sort_index(ascending=False)
    unsure = rows.assign(unsure=(rows["basis"] == "extrapolated").astype(float))
    hatched = unsure.pivot_table(index="beta", columns="alpha", values="unsure").reindex_like(wide).fillna(0.0)
    values = wide.to_numpy(dtype=float)
    at = np.unravel_index(int(np.nanargmin(values)), values.shape)
    names = [f"{beta:g}" for beta in wide.index], [f"{alpha:g}" for alpha in wide.columns]
    return Matrix(label, values, *names, (int(at[0]), int(at[1])), hatched.to_numpy() > 0)


def _over(framed: Framed, table: pd.DataFrame, field: str, width: float) -> Figure:
    """Draw a line with its band over a field, for each combination of the grid's other fields."""
    lines = {label: rows.sort_values(field) for label, rows in evenly(_others(framed, table, [field]), _LINES)}
    ylabel = declared(LOSS, [framed.forecast.experiment]).axis
    return banded_over(lines, field, xlabel=_GREEK[field], ylabel=ylabel, title=_MEAN, width=min(width, 5.6))


def _others(framed: Framed, table: pd.DataFrame, swept: Sequence[str]) -> list[tuple[str, pd.DataFrame]]:
    """Return the rows of each combination of the fields that are not swept, with its label; the swept as numbers."""
    numbers = table.astype(dict.fromkeys(swept, float))
    points = framed.points
    fields = [name for name in points.columns if name not in swept and len(set(points[name].map(value_text))) > 1]
    if not fields:
        return [("", numbers)]
    labels = pd.Series(columns_of(points[fields], greek=True).labels)
    return [(str(label), rows) for label, rows in numbers.groupby(labels.loc[numbers.index], sort=False)]


def draw_curves(
    table: pd.DataFrame, parts: Sequence[Panel], labels: Mapping[int, str], ylabel: str, across: int, width: float
) -> Figure:
    """Draw curves with their bands at a width; see `crossfeed.reporting.drawing.bands.banded_curves`.

    Args:
        table: What to draw.
        parts: The panels.
        labels: The grid points and what they are called.
        ylabel: The metric.
        across: Panels side by side.
        width: Inches that the figure is wide.
    """
    return banded_curves(table, parts, labels, ylabel=ylabel, width=width, columns=across)


def _panel(place: Mapping[Any, Any]) -> Panel:
    model, task = place["model"], place["task"]
    return Panel(f"{model} on {task}", {"model": model, "task": task})


def _columns(framed: Framed) -> Columns:
    return columns_of(framed.points, greek=True)


def _label(text: str, extrapolated: bool) -> str:
    return f"{text}{', ' if text else ''}extrapolated" if extrapolated else text


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)
