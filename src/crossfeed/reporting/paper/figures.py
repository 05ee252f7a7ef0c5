"""Figures of a comparison: the paper's change against ours, and our runs in the layouts of the paper's figures.

* `changes_figure`: one panel for each table, one mark for each cell.
* `outputs_figure` (paper, Figure 3): outputs in two dimensions, generation 0 first, then the last one of each alpha.
* `generations_figure` (paper, Figures 5 and 6 for K = 2, Figure 7 for K = 3): losses over the generations, one row of
  panels for each beta, one column for each alpha, a line for each model on each private task.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossfeed.description.registry import built_in_measures
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import shares
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.data.numbers import by_generation
from crossfeed.reporting.drawing.charts import Chart, Curve, charts
from crossfeed.reporting.drawing.clouds import clouds
from crossfeed.reporting.drawing.figures import WIDE, Panel, abreast
from crossfeed.reporting.drawing.style import (
    BAND,
    COLOURS,
    FAINT,
    INK,
    MARKERS,
    SOFT,
    Frame,
    add_legend,
    fitting,
    legend_rows,
    panels,
    styled,
)
from crossfeed.reporting.paper.agreement import Comparison
from crossfeed.reporting.paper.runs import Combined

__all__ = ["changes_figure", "generations_figure", "outputs_figure"]

_FILLS: Final[Mapping[str, Any]] = {"own": "full", "other": "none", "public": "left"}
_TOLD: Final = {"own": "own task", "other": "other's task", "public": "public data"}


@styled
def changes_figure(comparison: Comparison, width: float = WIDE) -> Figure:
    """Draw the paper's change against ours: one panel for each table, one mark for each cell that finished.

    Marks in the shaded quarters moved the other way; the shaded cross is what counts as no change. Colour and shape are
    alpha, the fill is whose task it is.

    Args:
        comparison: The comparison.
        width: Inches that it may be wide.
    """
    cells = comparison.cells[comparison.cells["state"] == "finished"]
    tables = list(dict.fromkeys(comparison.cells["table"]))
    alphas = sorted(set(comparison.cells["alpha"]))
    kinds = [kind for kind in _FILLS if kind in set(comparison.cells["kind"])]
    shapes: list[Any] = [Line2D([], [], linestyle="", markersize=6, **_look(n, "own")) for n in range(len(alphas))]
    fills: list[Any] = [Line2D([], [], color=INK, linestyle="", marker="o", fillstyle=_FILLS[kind]) for kind in kinds]
    handles = [*shapes, *fills, Patch(color=BAND), Patch(facecolor="none", hatch="////", edgecolor=SOFT, linewidth=0)]
    names = [*(f"α = {a:g}" for a in alphas), *(_TOLD[kind] for kind in kinds), "no change", "the other way"]
    across, top = legend_rows(names, width)
    across = -(-len(names) // -(-len(names) // across))  # rows of equal length
    frame = Frame(width, 2.3, abreast(min(len(tables), 3), width), left=0.72, gap=0.75, top=top)
    figure, axes = panels(frame, len(tables))
    counts = comparison.agreement.set_index("table")
    for place, (axis, table) in enumerate(zip(axes, tables, strict=True)):
        part = cells[cells["table"] == table]
        metric = str(counts.loc[table, "metric"])
        _draw_changes(axis, part, alphas, built_in_measures()[metric].band)
        count = f"{counts.loc[table, 'agreed']} of {counts.loc[table, 'compared']}"
        axis.set_title(fitting(f"Table {table}: {metric}, {count}", frame.panel))
        axis.set_xlabel("change in the paper")
        axis.set_ylabel("change here" if place % frame.columns == 0 else "")
    add_legend(figure, handles, names, across)
    return figure


def _draw_changes(axes: Axes, cells: pd.DataFrame, alphas: list[float], band: float) -> None:
    for order, alpha in enumerate(alphas):
        for kind in _FILLS:
            own = cells[(cells["alpha"] == alpha) & (cells["kind"] == kind)]
            error = own["change_se"].fillna(0.0)
            look = _look(order, kind) | {"linestyle": "", "markersize": 5.5, "elinewidth": 0.9, "zorder": 3}
            axes.errorbar(own["paper_change"], own["change"], yerr=error, **look)
    axes.autoscale_view()
    (left, right), (low, high) = _reach(axes.get_xlim(), band), _reach(axes.get_ylim(), band)
    for x, y in ((left, high), (right, low)):
        axes.fill_between([0, x], 0, y, facecolor="none", hatch="////", edgecolor=FAINT, linewidth=0, zorder=0)
    axes.axhspan(-band, band, color=BAND, linewidth=0, zorder=0.5)
    axes.axvspan(-band, band, color=BAND, linewidth=0, zorder=0.5)
    axes.axhline(0, color=SOFT, linewidth=0.7)
    axes.axvline(0, color=SOFT, linewidth=0.7)
    axes.grid(visible=False)
    axes.set(xlim=(left, right), ylim=(low, high))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=5))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))


def _reach(span: tuple[float, float], band: float) -> tuple[float, float]:
    """Return an axis that shows zero and the band on both sides."""
    return min(span[0], -2 * band), max(span[1], 2 * band)


def _look(order: int, kind: str) -> dict[str, Any]:
    return {
        "color": COLOURS[order % len(COLOURS)],
        "marker": MARKERS[order % len(MARKERS)],
        "fillstyle": _FILLS[kind],
        "markerfacecoloralt": "none",
    }


def outputs_figure(runs: Combined, beta: float = 0.5, width: float = WIDE) -> Figure | None:
    """Draw outputs in two dimensions (paper, Figure 3): generation 0, then the last generation of each alpha.

    Args:
        runs: The runs; the first one that measured ``projection`` at this beta is shown, its first seed.
        beta: The private share.
        width: Inches that it may be wide.

    Returns:
        The figure; None if no run has what it shows.
    """
    for run in runs.runs:
        seed = run.experiment.seeds[0]
        points = shares(run)
        places = points.index[points["beta"] == beta]
        frame = run.projection
        frame = frame[(frame["seed"] == seed) & frame["point"].isin(places)]
        if frame.empty:
            continue
        last = run.experiment.generations
        order = points.loc[places].sort_values("alpha")["alpha"]
        start = [Panel("t = 0", {"point": int(order.index[0]), "generation": 0})]
        end = [
            Panel(f"t = {last}, α = {alpha:g}", {"point": int(str(point)), "generation": last})
            for point, alpha in order.items()
        ]
        tasks = [task for task in (*run.experiment.tasks, PUBLIC) if task in set(frame["task"])]
        parts = [panel for panel in [*start, *end] if len(panel.of(frame))]
        return clouds(frame, parts, run.experiment.ecosystem.names, tasks, width=width)
    return None


def generations_figure(runs: Combined, width: float = WIDE) -> Figure | None:
    """Draw losses over generations (paper, Figures 5, 6 and 7): means over seeds, every model on every private task.

    Args:
        runs: The runs; cells that have not finished are left out.
        width: Inches that it may be wide.

    Returns:
        The figure, with beta from top to bottom and alpha from left to right; None if no loss was measured.
    """
    table = by_generation(runs.records, LOSS)
    table = table[table["task"] != PUBLIC].merge(runs.points, on="point")
    if table.empty:
        return None
    low, high = float(table["mean"].min()), float(table["mean"].max())
    room = 0.06 * (high - low) or 0.1
    alphas, betas = sorted(set(runs.points["alpha"])), sorted(set(runs.points["beta"]))
    loss = declared(LOSS, [runs.experiment]).axis
    parts = []
    for beta in betas:
        for alpha in alphas:
            here = table[(table["alpha"] == alpha) & (table["beta"] == beta)]
            title = f"α = {alpha:g}, β = {beta:g}"
            lines = _lines(here, runs)
            if here.empty:
                title += f" ({runs.state(alpha, beta)})"
            parts.append(Chart(title, "generation", loss, lines, span=(low - room, high + room)))
    width = min(width, max(2.8 * len(alphas), 4.6))
    return charts(parts, columns=abreast(len(alphas), width), width=width, height=1.6)


def _lines(table: pd.DataFrame, runs: Combined) -> list[Curve]:
    """Return a curve for each model on each task: colour and marker are the task, dashes the model; with gaps."""
    lines = []
    for dash, entity in enumerate(runs.owners):
        for look, task in enumerate(runs.owners):
            own = table[(table["model"] == entity) & (table["task"] == task)].set_index("generation")["mean"]
            x = np.arange(runs.experiment.generations + 1)
            y = own.reindex(x).to_numpy(dtype=float)
            lines.append(Curve(runs.label(entity, task), x.astype(float), y, look, dash))
    return lines
