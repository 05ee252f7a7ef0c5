"""Numbers with bands of their own: lines over generations or a field of the grid, and values side by side.

What is measured is a marker, what is forecast a line or a hollow marker with its band; no I/O and no pyplot.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from crossfeed.protocols import Array
from crossfeed.reporting.drawing.figures import WIDE, Panel, multiples
from crossfeed.reporting.drawing.style import (
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

__all__ = ["LOOKS", "Looks", "banded_curves", "banded_over", "banded_values", "draw_banded_lines"]

_SHADE: Final = 0.1
_EDGE: Final = 0.4
_OTHER: Final[dict[str, Any]] = {"linewidth": 0.8, "linestyle": (0, (3, 2)), "zorder": 2.3}
_RING: Final[dict[str, Any]] = {
    "marker": "o",
    "markersize": 11,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "markeredgewidth": 1.3,
}
_ROW: Final = 0.21  # inches that a value takes
_LABEL: Final = 3.6  # inches of its label, at most
_LETTER: Final = 0.083  # inches that a letter of it takes
_SMALL_LETTER: Final = 0.062  # and one of the note


@dataclass(frozen=True)
class Looks:
    """The look of a value: its marker, whether it is filled, and the line that is its band.

    Attributes:
        marker: Matplotlib's name.
        filled: Whether it is filled.
        dashes: Dashes of the band.
    """

    marker: str
    filled: bool
    dashes: Any

    def marks(self, colour: str) -> dict[str, Any]:
        """Return properties of the marker.

        Args:
            colour: Its colour.
        """
        shape = {"marker": self.marker, "markersize": 5.0, "markeredgewidth": 1.1}
        return shape | {"markeredgecolor": colour, "markerfacecolor": colour if self.filled else PAPER}


LOOKS: Final = {
    "measured": Looks("o", True, "-"),
    "forecast": Looks("s", False, "-"),
    "extrapolated": Looks("^", False, (0, (2, 1.5))),
}
"""The looks of values, by what they rest on."""


@styled
def banded_curves(
    table: pd.DataFrame,
    parts: Sequence[Panel],
    labels: Mapping[int, str],
    *,
    ylabel: str,
    width: float = WIDE,
    columns: int = 3,
) -> Figure:
    """Draw forecasts over generations: one panel for each part, a line with its band for each grid point.

    Args:
        table: ``point, generation, value, lower, upper, measured, geometric``, and what the panels ask for; the last
            two are nan where there are none.
        parts: The panels.
        labels: The grid points to draw and what they are called.
        ylabel: The metric.
        width: The figure's width.
        columns: Panels side by side on a wide figure.
    """
    shown = table[table["point"].isin(list(labels))]
    handles: list[Any] = [Line2D([], [], linewidth=1.5, **_line(order)) for order in range(len(labels))]
    names = list(labels.values())
    if (shown["lower"] < shown["upper"]).any():
        names.append("80 % band")
        handles.append(_band_handle())
    if shown["measured"].notna().any():
        names.append("measured")
        handles.append(Line2D([], [], linestyle="", marker="o", markersize=3.8, color=SOFT, markeredgewidth=0))
    if shown["geometric"].notna().any():
        names.append("geometric extrapolation")
        handles.append(Line2D([], [], color=SOFT, **_OTHER))

    def draw(axes: Axes, part: Panel) -> None:
        draw_banded_lines(axes, part.of(shown), tuple(labels))

    return multiples(parts, draw, names, handles, ylabel=ylabel, width=width, columns=columns)


@styled
def draw_banded_lines(axes: Axes, table: pd.DataFrame, points: Sequence[int]) -> Axes:
    """Draw one panel of `banded_curves`.

    Args:
        axes: Where to.
        table: Its rows.
        points: The grid points in the order that gives them their looks.

    Returns:
        The axes.
    """
    names = ("generation", "value", "lower", "upper", "measured", "geometric")
    for order, point in enumerate(points):
        line = table[table["point"] == point].sort_values("generation")
        x, value, lower, upper, measured, geometric = (line[name].to_numpy(dtype=float) for name in names)
        look = _line(order)
        _band(axes, x, lower, upper, look["color"])
        axes.plot(x, value, linewidth=1.5, label=str(point), **look)
        if np.isfinite(geometric).any():
            axes.plot(x, geometric, color=look["color"], **_OTHER)
        dots: dict[str, Any] = {
            "linestyle": "",
            "marker": MARKERS[order % len(MARKERS)],
            "markersize": 3.8,
            "markeredgewidth": 0,
        }
        axes.plot(x, measured, color=look["color"], zorder=2.6, **dots)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.autoscale_view()
    return axes


@styled
def banded_over(
    lines: Mapping[str, pd.DataFrame], field: str, *, xlabel: str, ylabel: str, title: str, width: float
) -> Figure:
    """Draw values over a field, each line with its band; a ring is around the lowest value.

    Args:
        lines: ``value, lower, upper, basis`` and the field, of each line, by its label.
        field: The column that is the horizontal axis.
        xlabel: What it is called.
        ylabel: What the values are called.
        title: Above the panel.
        width: The figure's width.
    """
    bases = [basis for basis in LOOKS if any((rows["basis"] == basis).any() for rows in lines.values())]
    names = [*(label for label in lines if label), *bases, "80 % band", "the lowest"]
    across, top = legend_rows(names, width)
    frame = Frame(width, min(0.55 * width, 2.6), 1, left=0.72, top=top)
    figure, (axes,) = panels(frame, 1)
    for order, rows in enumerate(lines.values()):
        x, value, lower, upper = (rows[name].to_numpy(dtype=float) for name in (field, "value", "lower", "upper"))
        look = _line(order)
        _band(axes, x, lower, upper, look["color"])
        axes.plot(x, value, linewidth=1.5, **look)
        for basis in bases:
            here = (rows["basis"] == basis).to_numpy()
            axes.plot(x[here], value[here], linestyle="", **LOOKS[basis].marks(look["color"]))
    best = min((row for rows in lines.values() for row in rows.to_dict("records")), key=lambda row: row["value"])
    axes.plot([best[field]], [best["value"]], linestyle="", **_RING)
    axes.set(xlabel=xlabel, ylabel=fitting(ylabel, frame.height))
    axes.set_title(fitting(title, frame.panel))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=5))
    handles: list[Any] = [Line2D([], [], linewidth=1.5, **_line(order)) for order, label in enumerate(lines) if label]
    handles += [Line2D([], [], linestyle="", **LOOKS[basis].marks(SOFT)) for basis in bases]
    handles += [_band_handle(), Line2D([], [], linestyle="", **_RING)]
    add_legend(figure, handles, [fitting(name, width - 0.8) for name in names], across)
    return figure


@styled
def banded_values(table: pd.DataFrame, *, xlabel: str, note: str, width: float = WIDE) -> Figure:
    """Draw values one below the other, each with its band.

    Args:
        table: ``label, value, lower, upper, basis``, from the top down.
        xlabel: What the values are.
        note: Said in small letters below.
        width: The figure's width.
    """
    labels = [str(label) for label in table["label"]]
    left = min(0.3 + _LETTER * max(map(len, labels)), _LABEL, 0.5 * width)
    lines = textwrap.wrap(note, int(width / _SMALL_LETTER))
    bases = [basis for basis in LOOKS if basis in set(table["basis"])]
    across, top = legend_rows(bases, width)
    frame = Frame(width, _ROW * len(table) + 0.1, 1, left=left, top=top, title=0.08, foot=0.5 + 0.15 * len(lines))
    figure, (axes,) = panels(frame, 1)
    places = np.arange(len(table))[::-1]
    for place, row in zip(places, table.to_dict("records"), strict=True):
        look = LOOKS[row["basis"]]
        axes.plot([row["lower"], row["upper"]], [place, place], color=COLOURS[0], linewidth=1.4, linestyle=look.dashes)
        axes.plot([row["value"]], [place], linestyle="", **look.marks(COLOURS[0]))
    axes.set_yticks(places, [fitting(label, left - 0.1) for label in labels], color=INK)
    axes.set_ylim(-0.7, len(table) - 0.3)
    axes.axvline(0.0, color=SOFT, linewidth=0.8, zorder=1)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8 if width >= WIDE else 5))
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.set_xlabel(xlabel)
    figure.text(0.0, 0.0, "\n".join(f" {line}" for line in lines), fontsize=8, color=SOFT, va="bottom")
    handles = [
        Line2D([], [], color=COLOURS[0], linestyle=LOOKS[each].dashes, **LOOKS[each].marks(COLOURS[0]))
        for each in bases
    ]
    add_legend(figure, handles, bases, across)
    return figure


def _band(axes: Axes, x: Array, lower: Array, upper: Array, colour: str) -> None:
    """Shade a band between two edges; of several on top of each other the edges are still seen."""
    axes.fill_between(x, lower, upper, color=colour, alpha=_SHADE, linewidth=0)
    for edge in (lower, upper):
        axes.plot(x, edge, color=colour, alpha=_EDGE, linewidth=0.6)


def _band_handle() -> Patch:
    return Patch(facecolor=(*to_rgb(SOFT), 2 * _SHADE), edgecolor=(*to_rgb(SOFT), _EDGE), linewidth=0.6)


def _line(order: int) -> dict[str, Any]:
    return {"color": COLOURS[order % len(COLOURS)], "linestyle": DASHES[order % len(DASHES)]}
