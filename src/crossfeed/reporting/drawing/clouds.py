"""Outputs in two dimensions: marker shape is the model, colour and fill the data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from crossfeed.reporting.drawing.figures import WIDE, Panel, abreast
from crossfeed.reporting.drawing.style import (
    COLOURS,
    FILLS,
    MARKERS,
    PAPER,
    SOFT,
    Frame,
    add_legend,
    fitting,
    legend_rows,
    panels,
    styled,
)

__all__ = ["clouds", "draw_cloud"]

_MANY_POINTS: Final = 600


@styled
def clouds(
    projection: pd.DataFrame,
    parts: Sequence[Panel],
    models: Sequence[str],
    tasks: Sequence[str],
    *,
    width: float = WIDE,
    columns: int = 4,
) -> Figure:
    """Draw outputs in two dimensions (paper, Figure 3): marker shape is the model, colour and fill the data set.

    Args:
        projection: ``x, y, model, task`` and the columns that `parts` choose by, of one seed.
        parts: The panels; all have the same axes.
        models: The models in the order that gives them their markers.
        tasks: The data sets in the order that gives them their colours and fills.
        width: The figure's width.
        columns: Panels side by side on a wide figure.
    """
    by_model, on_task = [f"model {name}" for name in models], [f"on {name}" for name in tasks]
    across_models, high_models = legend_rows(by_model, width)
    across_tasks, high_tasks = legend_rows(on_task, width)
    side, top = abreast(columns, width), high_models + high_tasks
    square = Frame(width, 0.0, side, left=0.12).panel
    figure, axes = panels(Frame(width, square, side, left=0.12, gap=0.4, top=top, foot=0.1), len(parts))
    for axis, part in zip(axes, parts, strict=True):
        draw_cloud(axis, part.of(projection), models, tasks)
        axis.set_title(fitting(part.title, square))
        axis.set_xlim(*_span(projection["x"]))
        axis.set_ylim(*_span(projection["y"]))
    shapes = [Line2D([], [], color=SOFT, linestyle="", marker=MARKERS[n % len(MARKERS)]) for n in range(len(models))]
    add_legend(figure, shapes, [fitting(name, width - 0.8) for name in by_model], across_models)
    dots = [Line2D([], [], linestyle="", markersize=7, **_dot_look(0, n)) for n in range(len(tasks))]
    add_legend(figure, dots, [fitting(name, width - 0.8) for name in on_task], across_tasks)
    figure.legends[1].set_bbox_to_anchor((0.0, 1 - high_models / figure.get_figheight()))
    return figure


@styled
def draw_cloud(axes: Axes, table: pd.DataFrame, models: Sequence[str], tasks: Sequence[str]) -> Axes:
    """Draw one panel of `clouds`: small markers are outputs, large ones their means.

    Args:
        axes: Where to.
        table: ``x, y, model, task``.
        models: See `clouds`.
        tasks: See `clouds`.

    Returns:
        The axes.
    """
    pixels = len(table) > _MANY_POINTS  # else a page grows by megabytes
    x, y, model_of, task_of = (table[name].to_numpy() for name in ("x", "y", "model", "task"))
    means: list[tuple[float, float, dict[str, Any]]] = []
    for shade, task in enumerate(tasks):
        for shape, model in enumerate(models):
            own, look = (task_of == task) & (model_of == model), _dot_look(shape, shade)
            axes.plot(x[own], y[own], linestyle="", markersize=3.4, alpha=0.5, rasterized=pixels, **look)
            if own.any():
                means.append((float(x[own].mean()), float(y[own].mean()), look))
    for across, up, look in means:
        shadow = [withStroke(linewidth=3.0, foreground=PAPER)]
        axes.plot(across, up, linestyle="", markersize=8.5, path_effects=shadow, zorder=3, **look)
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=SOFT)
    return axes


def _dot_look(shape: int, shade: int) -> dict[str, Any]:
    look = {"marker": MARKERS[shape % len(MARKERS)], "fillstyle": FILLS[shade % len(FILLS)]}
    return look | {"color": COLOURS[shade % len(COLOURS)], "markerfacecoloralt": "none", "markeredgewidth": 0.9}


def _span(values: pd.Series[float]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 1.0
    return low - room, high + room
