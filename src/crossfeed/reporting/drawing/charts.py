"""Charts of numbers that theory gives: lines over any axis, and landscapes of an objective; no I/O and no pyplot.

Lines differ in dashes and marker as well as colour, and a landscape's levels are labelled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.patheffects import withStroke
from matplotlib.ticker import FixedLocator, MaxNLocator
from numpy.typing import NDArray

from crossfeed.protocols import Array
from crossfeed.reporting.drawing.style import (
    BAND,
    COLOURS,
    DASHES,
    INK,
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
from crossfeed.theory import Landscape

__all__ = ["Chart", "Curve", "Mark", "charts", "draw_chart", "draw_landscape", "landscape_chart"]


#: A line of more points than this has markers at some of them only.
_ALL_MARKED: Final = 20
_MARKED: Final = 9
#: So many values of x at most are named each on a logarithmic axis.
_NAMED: Final = 8
_ROOMY: Final = 1.5  # inches; a narrower panel has fewer ticks
_FOOT: Final = 0.45
_NOTE: Final = 0.2
_PRICES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0)
# From white to a dark blue in even steps of lightness: the same order in grey.
_SHADES: Final = LinearSegmentedColormap.from_list("price", [PAPER, "#bcd7ea", "#5c9cc8", "#1f5f94", "#0a2f52"])


@dataclass(frozen=True)
class Curve:
    """One line of a chart.

    Attributes:
        label: What the legend calls it; lines of one label look the same in all charts of a figure.
        x: Shape (n,).
        y: Shape (n,); a nan leaves a gap.
        look: Number of its colour and marker; default: its label's place in the figure.
        dash: Number of its dashes; default: `look`.
    """

    label: str
    x: Array
    y: Array
    look: int | None = None
    dash: int | None = None


@dataclass(frozen=True)
class Chart:
    """One panel of lines.

    Attributes:
        title: Above it.
        xlabel: Below it.
        ylabel: Beside it.
        lines: What it shows.
        levels: Values to compare with, by name: thin horizontal lines.
        log: The axes that are logarithmic: ``""``, ``"x"``, ``"y"`` or ``"xy"``.
        span: The vertical axis from and to; default: what the lines need.
    """

    title: str
    xlabel: str
    ylabel: str
    lines: Sequence[Curve]
    levels: Mapping[str, float] = field(default_factory=dict)
    log: Literal["", "x", "y", "xy"] = ""
    span: tuple[float, float] | None = None


@dataclass(frozen=True)
class Mark:
    """A point on a landscape.

    Attributes:
        label: What it is called.
        alpha: Its synthetic share.
        beta: Its private share.
    """

    label: str
    alpha: float
    beta: float


@styled
def charts(
    parts: Sequence[Chart], *, columns: int = 3, width: float = 8.4, height: float = 1.9, note: str = ""
) -> Figure:
    """Draw charts side by side, with one legend for all of them.

    Args:
        parts: The charts, row by row.
        columns: Charts in a row.
        width: The figure's width in inches.
        height: Each chart's height in inches.
        note: Said in small letters below them.
    """
    looks = _looks(parts)
    labels = [fitting(label, width - 0.8) for label in looks]
    across, top = _even_rows(labels, width) if len(labels) > 1 else (1, 0.0)
    repeated = len({part.title for part in parts}) <= columns
    foot = _FOOT + (_NOTE if note else 0.0)
    frame = Frame(width, height, columns, left=0.72, gap=0.42 if repeated else 0.72, top=top, foot=foot)
    figure, axes = panels(frame, len(parts))
    for place, (axis, part) in enumerate(zip(axes, parts, strict=True)):
        draw_chart(axis, part, looks)
        _say_once(axis, parts, place, columns)
        if frame.panel < _ROOMY and isinstance(locator := axis.xaxis.get_major_locator(), MaxNLocator):
            locator.set_params(nbins=3)
        axis.set_title(fitting(axis.get_title(loc="left"), frame.panel))
    if note:
        figure.text(0.0, 0.0, f" {note}", fontsize=8, color=SOFT, va="bottom")
    if len(labels) > 1:
        add_legend(figure, [Line2D([], [], **look) for look in looks.values()], labels, across)
    return figure


@styled
def draw_chart(axes: Axes, chart: Chart, looks: Mapping[str, dict[str, Any]] | None = None) -> Axes:
    """Draw one chart.

    Args:
        axes: Where to.
        chart: What to draw.
        looks: How lines of each label look; default: by their order in this chart.

    Returns:
        The axes.
    """
    looks = looks or _looks([chart])
    for line in chart.lines:
        every = 1 if len(line.x) <= _ALL_MARKED else max(len(line.x) // _MARKED, 1)
        axes.plot(line.x, line.y, label=line.label, markevery=every, **looks[line.label])
    for name in chart.log:
        axes.set(**{f"{name}scale": "log"})
        axis = axes.xaxis if name == "x" else axes.yaxis
        axis.set_major_formatter(lambda value, _: f"{value:g}")
    places = sorted({float(x) for line in chart.lines for x in line.x})
    if "x" in chart.log and len(places) <= _NAMED:  # a decade's ends alone would say little
        axes.xaxis.set_major_locator(FixedLocator(places))
    if "x" not in chart.log:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=chart.xlabel == "generation"))
    if "y" not in chart.log:
        axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    if chart.span:
        axes.set_ylim(*chart.span)
    for name, level in chart.levels.items():
        axes.axhline(level, color=INK, linewidth=0.8, linestyle=(0, (2, 2)), zorder=1)
        _name_level(axes, chart, name, level)
    axes.set(xlabel=chart.xlabel, ylabel=chart.ylabel, title=chart.title)
    axes.minorticks_off()
    return axes


@styled
def landscape_chart(
    ground: Landscape,
    best: float,
    marks: Sequence[Mark],
    *,
    title: str,
    width: float = 5.2,
    unsure: NDArray[np.bool_] | None = None,
) -> Figure:
    """Draw the relative excess over the optimum for all common weights.

    Args:
        ground: The objective.
        best: Its least value.
        marks: Points to show.
        title: Above it.
        width: The figure's width in inches.
        unsure: Shape (n, m), where the objective is an extrapolation; default: it is exact.
    """
    labels, hatched = [mark.label for mark in marks], "no limit" if unsure is None else "extrapolated"
    across, top = _even_rows([*labels, hatched], width)
    frame = Frame(width, width - 0.95, 1, left=0.68, top=top, foot=0.5)
    figure, (axes,) = panels(frame, 1)
    draw_landscape(axes, ground, best, marks, unsure)
    axes.set_title(fitting(title, frame.panel))
    handles: list[Any] = [Line2D([], [], linestyle="", **_mark_look(place)) for place in range(len(marks))]
    add_legend(figure, [*handles, Patch(facecolor=BAND, hatch="///", edgecolor=SOFT)], [*labels, hatched], across)
    return figure


@styled
def draw_landscape(
    axes: Axes, ground: Landscape, best: float, marks: Sequence[Mark], unsure: NDArray[np.bool_] | None = None
) -> Axes:
    """Draw one landscape: labelled levels of the relative excess over the best value.

    Args:
        axes: Where to.
        ground: The objective.
        best: Its least value.
        marks: Points to show.
        unsure: Shape (n, m), where the objective is an extrapolation, which is hatched; default: nowhere.

    Returns:
        The axes.
    """
    price = np.ma.masked_invalid(ground.values.T / best - 1.0)
    axes.patch.set(facecolor=BAND, hatch="///", edgecolor=SOFT)  # what is not covered below has no limit
    edges = [0.0, *_PRICES, np.inf]
    shades = _SHADES(np.linspace(0.0, 1.0, len(edges) - 1))
    axes.contourf(ground.alphas, ground.betas, np.ma.clip(price, 0, 1e9), levels=[*edges[:-1], 1e10], colors=shades)
    if unsure is not None:
        with rc_context({"hatch.linewidth": 0.6, "hatch.color": SOFT}):
            axes.contourf(
                ground.alphas, ground.betas, unsure.T.astype(float), [0.5, 1.5], colors="none", hatches=["////"]
            )
    lines = axes.contour(ground.alphas, ground.betas, price, levels=list(_PRICES), colors=INK, linewidths=0.6)
    names = axes.clabel(lines, fmt={each: f"+{100 * each:.0f} %" for each in _PRICES}, fontsize=8)
    for name in names:
        name.set_path_effects([withStroke(linewidth=2.5, foreground=PAPER)])
    for place, mark in enumerate(marks):
        look = _mark_look(place) | {"path_effects": [withStroke(linewidth=3.5, foreground=PAPER)]}
        axes.plot(mark.alpha, mark.beta, linestyle="", clip_on=False, zorder=4, **look)
    axes.set(xlabel="α, synthetic share", ylabel="β, private share of the real data", xlim=(0, 1), ylim=(0, 1))
    axes.grid(visible=False)
    return axes


def _even_rows(labels: Sequence[str], width: float) -> tuple[int, float]:
    """Return a legend's columns and height, with rows of equal length if that needs no further row."""
    across, height = legend_rows(labels, width)
    rows = -(-len(labels) // across)
    return -(-len(labels) // rows), height


def _say_once(axes: Axes, parts: Sequence[Chart], place: int, columns: int) -> None:
    """Remove labels that the panel to the left, above or below shows already."""
    part, below = parts[place], place + columns
    if place % columns and parts[place - 1].ylabel == part.ylabel:
        axes.set_ylabel("")
    if below < len(parts) and parts[below].xlabel == part.xlabel:
        axes.set_xlabel("")
    if place >= columns and parts[place - columns].title == part.title:
        axes.set_title("")


def _name_level(axes: Axes, chart: Chart, name: str, level: float) -> None:
    """Name a level at the end where the lines are farther from it."""
    ends = [[abs(line.y[place] - level) for line in chart.lines if np.isfinite(line.y[place])] for place in (0, -1)]
    left = min(ends[0], default=0.0) > min(ends[1], default=0.0)
    axes.annotate(
        name,
        (0.02 if left else 0.98, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="left" if left else "right",
        fontsize=8,
        color=INK,
        path_effects=[withStroke(linewidth=3.0, foreground=PAPER)],
    )


def _looks(parts: Sequence[Chart]) -> dict[str, dict[str, Any]]:
    looks: dict[str, dict[str, Any]] = {}
    for part in parts:
        for line in part.lines:
            look = len(looks) if line.look is None else line.look
            dash = look if line.dash is None else line.dash
            looks.setdefault(line.label, _look(look, dash))
    return looks


def _look(look: int, dash: int) -> dict[str, Any]:
    return {
        "color": COLOURS[look % len(COLOURS)],
        "marker": MARKERS[look % len(MARKERS)],
        "linestyle": DASHES[dash % len(DASHES)],
        # Hollow markers are larger and lie beneath, so that two lines on top of each other are seen as two.
        "fillstyle": "full" if dash % 2 == 0 else "none",
        "markersize": 4.0 if dash % 2 == 0 else 6.0,
        "zorder": 2.2 if dash % 2 == 0 else 2.1,
        "linewidth": 1.5,
        "markeredgewidth": 0.9,
    }


def _mark_look(place: int) -> dict[str, Any]:
    """Return the look of a point on a landscape: black, and distinguished by shape on any shade."""
    marker = ("*", "o", "s", "^", "D", "v", "P", "X")[place % 8]
    size = 11 if marker == "*" else 6.5
    return {"marker": marker, "color": INK, "markersize": size, "fillstyle": "full" if place % 2 == 0 else "none"}
