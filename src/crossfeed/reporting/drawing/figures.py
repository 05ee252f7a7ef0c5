"""Figures: tables of numbers in, matplotlib figures out; no I/O and no pyplot.

Each kind of panel can be drawn into given axes (`draw_lines`, `draw_shares`); the other functions set panels side by
side. Widths are in inches: the page has one version for wide screens and one for narrow ones.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, MaxNLocator

from crossfeed.reporting.drawing.style import (
    BAND,
    COLOURS,
    DASHES,
    HATCHES,
    INK,
    MARKERS,
    PAPER,
    Frame,
    add_legend,
    fitting,
    legend_rows,
    panels,
    styled,
)

__all__ = [
    "NARROW",
    "WIDE",
    "Panel",
    "abreast",
    "curves",
    "draw_lines",
    "draw_shares",
    "far_apart",
    "multiples",
    "shares",
    "times",
]

WIDE: Final = 10.4
NARROW: Final = 4.1
_WIDE_RANGE: Final = 15.0
_DECADES: Final = 60.0  # a wider axis has ticks at powers of ten alone
_PANEL: Final = 2.2  # inches that a panel takes at least, but for two of them
_LETTER: Final = 0.075  # inches that a letter of an axis' label takes
_LINE: Final = 0.17  # inches from line to line
_EXACT: Final[dict[str, Any]] = {"color": INK, "linewidth": 0.6, "zorder": 3}


@dataclass(frozen=True)
class Panel:
    """One of several panels.

    Attributes:
        title: Above it.
        rows: Which rows of the table it shows: values by column.
    """

    title: str
    rows: Mapping[str, Any]

    def of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return the panel's rows of a table.

        Args:
            table: The table.
        """
        keep = np.ones(len(table), dtype=bool)
        for column, value in self.rows.items():
            keep &= (table[column] == value).to_numpy()
        return table[keep]


@styled
def curves(
    table: pd.DataFrame,
    parts: Sequence[Panel],
    labels: Mapping[int, str],
    *,
    ylabel: str,
    band: float = 0.0,
    log: bool = False,
    width: float = WIDE,
    columns: int = 3,
) -> Figure:
    """Draw a metric over generations: one panel for each part, a line for each grid point.

    Args:
        table: From `crossfeed.reporting.data.numbers.by_generation`; a column ``exact`` is drawn as thin black lines.
        parts: The panels.
        labels: The grid points to draw and what they are called.
        ylabel: The metric.
        band: Shade the values that count as the same as the first one; 0 for none.
        log: Whether the vertical axes are logarithmic.
        width: The figure's width.
        columns: Panels side by side on a wide figure.
    """
    names, handles = list(labels.values()), _line_handles(len(labels))
    if band:
        names.append(f"within {band:g} of the start")
        handles.append(Patch(color=BAND))
    if "exact" in table:
        names.append("exact theory")
        handles.append(Line2D([], [], **_EXACT))

    def draw(axes: Axes, part: Panel) -> None:
        draw_lines(axes, part.of(table), tuple(labels), band, log=log)

    label = f"{ylabel}, log scale" if log else ylabel
    return multiples(parts, draw, names, handles, ylabel=label, width=width, columns=columns)


@styled
def multiples(
    parts: Sequence[Panel],
    draw: Callable[[Axes, Panel], object],
    names: Sequence[str],
    handles: Sequence[Any],
    *,
    ylabel: str,
    width: float = WIDE,
    columns: int = 3,
) -> Figure:
    """Draw panels over generations side by side, with one legend for all of them.

    Args:
        parts: The panels.
        draw: Draws a panel into axes.
        names: The legend's labels.
        handles: Matplotlib's handle of each.
        ylabel: Label of the vertical axes.
        width: The figure's width.
        columns: Panels side by side on a wide figure.
    """
    fitted = [fitting(name, width - 0.8) for name in names]
    across, top = legend_rows(fitted, width)
    frame = Frame(width, 1.75 if width >= WIDE else 1.3, abreast(columns, width), top=top)
    beside = textwrap.wrap(ylabel, int(frame.height / _LETTER))
    frame = replace(frame, left=frame.left + _LINE * (len(beside) - 1))
    titles = [_title(part.title, frame.panel) for part in parts]
    if any("\n" in title for title in titles):
        frame = replace(frame, gap=frame.gap + 0.16, title=frame.title + 0.16)

    def composed(frame: Frame) -> tuple[Figure, float]:
        """Return the figure, and how far labels reach beyond its left edge, in inches."""
        figure, axes = panels(frame, len(parts))
        for place, (axis, part) in enumerate(zip(axes, parts, strict=True)):
            draw(axis, part)
            axis.set_title(titles[place])
            if place >= len(parts) - frame.columns:
                axis.set_xlabel("generation")
            if place % frame.columns == 0:
                axis.set_ylabel("\n".join(beside))
        boxes = [axis.yaxis.get_tightbbox() for axis in axes[:: frame.columns]]
        return figure, max((-box.x0 / figure.dpi for box in boxes if box is not None), default=0.0)

    figure, outside = composed(frame)
    if outside > 0:  # the numbers at the ticks are known only now, and may be wide
        figure, _ = composed(replace(frame, left=frame.left + outside))
    add_legend(figure, handles, fitted, across)
    return figure


@styled
def draw_lines(axes: Axes, table: pd.DataFrame, points: Sequence[int], band: float = 0.0, *, log: bool = False) -> Axes:
    """Draw lines over generations, with a band of one standard error where there are several seeds.

    Args:
        axes: Where to.
        table: ``point, generation, mean, se`` of one model and task; perhaps ``exact``.
        points: The grid points in the order that gives them their looks.
        band: See `curves`.
        log: See `curves`.

    Returns:
        The axes.
    """
    if band and len(table):
        first = float(table.loc[table["generation"] == table["generation"].min(), "mean"].mean())
        axes.axhspan(first - band, first + band, color=BAND, linewidth=0, zorder=0)
        axes.update_datalim([(0, first - 1.3 * band), (0, first + 1.3 * band)])
    for order, point in enumerate(points):
        line = table[table["point"] == point].sort_values("generation")
        x, mean, error = (line[name].to_numpy(dtype=float) for name in ("generation", "mean", "se"))
        colour = COLOURS[order % len(COLOURS)]
        axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.2, linewidth=0)
        axes.plot(x, mean, color=colour, label=str(point), **_line_look(order))
        if "exact" in line:
            axes.plot(x, line["exact"].to_numpy(dtype=float), **_EXACT)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.autoscale_view()
    if log:
        shown = [table[name] for name in ("mean", "exact") if name in table]
        _logarithmic(axes, pd.concat(shown))
    return axes


def far_apart(values: pd.Series) -> bool:
    """Return True if numbers differ so much that a linear axis would show only the largest of them.

    Args:
        values: The numbers.
    """
    low, high = float(values.min()), float(values.max())
    return 0 < low < high / _WIDE_RANGE


def _logarithmic(axes: Axes, values: pd.Series) -> None:
    """Set a logarithmic vertical axis around some values, with plain numbers as ticks."""
    low, high = (float(end) for end in (values.min(), values.max()))
    axes.set_yscale("log")
    axes.set_ylim(low / 1.25, high * 1.25)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < _DECADES * low else (1.0,)))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.minorticks_off()


@styled
def shares(
    table: pd.DataFrame, parts: Sequence[Panel], sources: Mapping[str, str], *, width: float = WIDE, columns: int = 3
) -> Figure:
    """Draw the composition of training sets as stacked shares over generations.

    Args:
        table: From `crossfeed.reporting.data.numbers.mixture`.
        parts: The panels.
        sources: The sources, from the bottom up, and what they are called.
        width: The figure's width.
        columns: Panels side by side on a wide figure.
    """
    across, top = legend_rows(list(sources.values()), width)
    frame = Frame(width, 1.25 if width >= WIDE else 1.1, abreast(columns, width), top=top)
    figure, axes = panels(frame, len(parts))
    for place, (axis, part) in enumerate(zip(axes, parts, strict=True)):
        draw_shares(axis, part.of(table), tuple(sources))
        axis.set_title(fitting(part.title, frame.panel))
        if place >= len(parts) - frame.columns:
            axis.set_xlabel("generation")
    handles = [Patch(**_patch_look(order), linewidth=0) for order in range(len(sources))]
    add_legend(figure, handles, [fitting(name, width - 0.8) for name in sources.values()], across)
    return figure


@styled
def draw_shares(axes: Axes, table: pd.DataFrame, sources: Sequence[str]) -> Axes:
    """Draw one panel of `shares`.

    Args:
        axes: Where to.
        table: ``source, generation, share`` of one model and grid point.
        sources: The sources, from the bottom up.

    Returns:
        The axes.
    """
    wide = table.pivot_table(index="generation", columns="source", values="share", sort=True)
    wide = wide.reindex(columns=list(sources)).fillna(0.0)
    base = np.zeros(len(wide))
    for order, source in enumerate(sources):
        heights = wide[source].to_numpy()
        look: dict[str, Any] = _patch_look(order) | {"linewidth": 0, "width": 0.82}
        axes.bar(wide.index, heights, bottom=base, label=source, **look)
        base += heights
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_locator(MaxNLocator(nbins=2))
    axes.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.0f} %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.grid(visible=False)
    return axes


@styled
def times(table: pd.DataFrame, *, width: float = WIDE) -> Figure:
    """Draw seconds spent in every stage, with their share of the whole.

    Args:
        table: From `crossfeed.reporting.data.numbers.timing`.
        width: The figure's width.
    """
    frame = Frame(width, 0.27 * max(len(table), 1), 1, left=0.85, title=0.1)
    figure, (axes,) = panels(frame, 1)
    places = np.arange(len(table))[::-1]
    axes.barh(places, table["total"], height=0.62, color=COLOURS[0])
    for place, total, share in zip(places, table["total"], table["share"], strict=True):
        axes.annotate(
            f"{total:.{0 if total >= 10 else 2}f} s ({100 * share:.0f} %)",
            (total, place),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
        )
    axes.set_yticks(places, [fitting(stage, 0.75) for stage in table["stage"]], color=INK)
    axes.set_xlim(0, (1.4 if width < WIDE else 1.15) * float(table["total"].max()) or 1.0)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("seconds")
    return figure


def abreast(columns: int, width: float) -> int:
    """Return the number of panels to place side by side on a figure of a width, which parts rows evenly if it can.

    Args:
        columns: Number of panels in a row where there is room.
        width: The figure's width in inches.
    """
    most = min(columns, 4, max(int(width / _PANEL), 2))
    return next((across for across in range(most, 1, -1) if columns % across == 0), most)


def _title(text: str, inches: float) -> str:
    """Return ``model on task``, on two lines if one is too short."""
    model, on, task = text.partition(" on ")
    if not on or fitting(text, inches) == text:
        return fitting(text, inches)
    return f"{fitting(model, inches)}\n{fitting(on.lstrip() + task, inches)}"


def _line_look(order: int) -> dict[str, Any]:
    look: dict[str, Any] = {"linestyle": DASHES[order % len(DASHES)], "marker": MARKERS[order % len(MARKERS)]}
    return look | {"linewidth": 1.5, "markersize": 3.6, "markeredgewidth": 0}


def _line_handles(count: int) -> list[Any]:
    return [Line2D([], [], color=COLOURS[order % len(COLOURS)], **_line_look(order)) for order in range(count)]


def _patch_look(order: int) -> dict[str, Any]:
    look = {"facecolor": COLOURS[order % len(COLOURS)], "hatch": HATCHES[order % len(HATCHES)]}
    return look | {"edgecolor": PAPER}
