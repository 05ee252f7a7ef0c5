"""Heat maps of small tables: models by tasks, or alpha by beta; numbers stand in the cells where there is room.

Shades are never the only sign: scales differ in lightness and name their ends, and cells hold their number or,
where they are too small for it and a rise matters, a dot.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle
from numpy.typing import NDArray

from crossfeed.protocols import Array
from crossfeed.reporting.data.layout import evenly
from crossfeed.reporting.drawing.style import PAPER, SOFT, Frame, fitting, panels, styled

__all__ = ["Matrix", "Scale", "draw_matrix", "ends", "heat_maps"]


# Neither white nor black: a page's dark scheme must not take the ends for its ground. Even steps of lightness.
_LEVELS: Final = LinearSegmentedColormap.from_list("levels", ["#eef4f9", "#bcd7ea", "#5c9cc8", "#1f5f94", "#0a2f52"])
_CHANGES: Final = LinearSegmentedColormap.from_list("changes", ["#0b4a7f", "#6aa6d0", "#f1f3f5", "#e6a164", "#8a3a00"])
_DARK_INK: Final = "#000000"
_LIGHT_INK: Final = "#ffffff"
_DARK_CELL: Final = 0.179  # luminance at which black and white stand out equally: by 4.6 to 1
_LETTER: Final = 0.62  # width of a figure over its size, DejaVu Sans
_SMALLEST: Final = 7.5  # points; six on paper
_LARGEST: Final = 9.0
_NAMES: Final = 12  # more rows or columns are not all named
_LETTERS: Final = 12  # of a name, at most
_FACTOR: Final = 15.0  # levels whose ends differ by more are shaded by their ratios, not by their differences
_CORNER: Final = 0.12  # inches, of a cell that is hatched
_PART: Final = 0.28  # of a cell, that its corner may be
_ROW: Final = 0.3  # inches, of a matrix of few rows


@dataclass(frozen=True, eq=False)
class Matrix:
    """One heat map.

    Attributes:
        title: Above it.
        values: Shape (rows, columns); a nan is an empty cell.
        rows: Names from the top down.
        columns: Names from left to right.
        marked: A cell to frame, by row and column.
        hatched: Cells with a hatched corner, shape (rows, columns); None for none.
    """

    title: str
    values: Array
    rows: Sequence[str]
    columns: Sequence[str]
    marked: tuple[int, int] | None = None
    hatched: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Scale:
    """Meaning of the shades, the same in all heat maps of a figure.

    Attributes:
        label: Name of the values, with words for both ends.
        low: Value of the lightest shade; of a change, minus the largest one.
        high: Value of the darkest shade.
        kind: ``levels`` from light to dark, or ``changes`` around zero.
        show: A value as text.
        each: Whether every heat map goes from its own lowest value to its own highest one instead.
    """

    label: str
    low: float
    high: float
    kind: Literal["levels", "changes"]
    show: Callable[[float], str]
    each: bool = False

    @property
    def colours(self) -> Colormap:
        """The shades."""
        return _LEVELS if self.kind == "levels" else _CHANGES

    def norm(self, values: Array) -> Normalize:
        """Return the map from values of one heat map to the unit interval; values beyond an end look like the end.

        Args:
            values: Shape (rows, columns).
        """
        low, high = ends(values) if self.each else (self.low, self.high)
        if self.kind == "levels" and low > 0 and high > _FACTOR * low:
            return LogNorm(low, high, clip=True)
        return Normalize(low, high if high > low else low + 1.0, clip=True)


def ends(values: Array) -> tuple[float, float]:
    """Return the lowest and the highest finite value; zeros if there is none.

    Args:
        values: Numbers of any shape.
    """
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)


@styled
def heat_maps(parts: Sequence[Matrix], scale: Scale, *, width: float, columns: int, names: tuple[str, str]) -> Figure:
    """Draw heat maps side by side, with one scale for all of them.

    Args:
        parts: The heat maps, row by row.
        scale: What shades mean.
        width: The figure's width in inches.
        columns: Heat maps in a row.
        names: What the rows and the columns are.
    """
    left = 0.22 + 0.075 * min(max(len(name) for part in parts for name in part.rows), _LETTERS)
    panel = Frame(width, 0.0, columns, left=left).panel
    rows, across = (max(part.values.shape[axis] for part in parts) for axis in (0, 1))
    height = max(min(_ROW * rows, panel * rows / across), min(_ROW * rows, 1.0))
    foot = 0.3 + _below(parts, panel / across)
    # A title may reach over the names to its right, where there are some.
    room = [panel + (0.1 if place % columns == columns - 1 else left - 0.1) for place in range(len(parts))]
    titles = [_title(part.title, inches) for part, inches in zip(parts, room, strict=True)]
    title = 0.16 + 0.16 * max(text.count("\n") + 1 for text in titles)
    top = 0.25 + 0.17 * len(_scale_lines(scale, width))
    frame = Frame(width, height, columns, left=left, gap=foot + title, top=top, title=title, foot=foot)
    figure, axes = panels(frame, len(parts))
    for place, (axis, part) in enumerate(zip(axes, parts, strict=True)):
        draw_matrix(axis, part, scale)
        axis.set_title(titles[place])
        if place % columns == 0:
            axis.set_ylabel(names[0], rotation=90 if len(names[0]) > 1 else 0, labelpad=6)
        if place >= len(parts) - columns:
            axis.set_xlabel(names[1])
    _add_scale(figure, scale)
    return figure


@styled
def draw_matrix(axes: Axes, part: Matrix, scale: Scale) -> Axes:
    """Draw one heat map.

    Args:
        axes: Where to.
        part: What to draw.
        scale: What shades mean.

    Returns:
        The axes.
    """
    shown, norm = np.ma.masked_invalid(part.values), scale.norm(part.values)
    axes.imshow(shown, cmap=scale.colours, norm=norm, interpolation="none", aspect="auto")
    across, down = _inches(axes, part)
    _name(axes, part, across)
    _part_cells(axes, part, across)
    if not _write(axes, part, scale, across, down) and scale.kind == "changes":
        below, right = np.nonzero(part.values > 0)
        axes.plot(right, below, linestyle="", marker=".", markersize=2.0, color=_DARK_INK, rasterized=True)
    if part.hatched is not None:
        _hatch(axes, part.hatched, across, down)
    if part.marked is not None:
        row, column = part.marked
        for colour, line in ((_LIGHT_INK, 4.0), (_DARK_INK, 2.0)):
            frame = Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, clip_on=False)
            frame.set(edgecolor=colour, linewidth=line, zorder=4)
            axes.add_patch(frame)
    return axes


def _hatch(axes: Axes, cells: NDArray[np.bool_], across: float, down: float) -> None:
    """Hatch a corner of cells that are so many inches large, where no number stands."""
    side = min(_CORNER, _PART * across, _PART * down)
    right, below = side / across, side / down
    for row, column in zip(*np.nonzero(cells), strict=True):
        x, y = column + 0.5, row - 0.5
        corner = Polygon([(x, y), (x, y + below), (x - right, y)], facecolor=_LIGHT_INK, edgecolor=_DARK_INK)
        corner.set(hatch="///////", linewidth=0.5, zorder=3)
        axes.add_patch(corner)


def _title(text: str, inches: float) -> str:
    """Return a title, on two lines if one is too short, parted after a comma."""
    if fitting(text, inches) == text or ", " not in text:
        return fitting(text, inches)
    commas = [place for place in range(len(text)) if text.startswith(", ", place)]
    middle = min(commas, key=lambda place: abs(place - len(text) / 2))
    return f"{fitting(text[: middle + 1], inches)}\n{fitting(text[middle + 2 :], inches)}"


def _inches(axes: Axes, part: Matrix) -> tuple[float, float]:
    """Return a cell's width and height."""
    box, whole = axes.get_position(), axes.get_figure(root=True)
    assert whole is not None  # noqa: S101 - for the type checker: axes are drawn in a figure
    width, height = whole.get_size_inches()
    rows, columns = part.values.shape
    return box.width * width / columns, box.height * height / rows


def _name(axes: Axes, part: Matrix, across: float) -> None:
    rows, columns = (evenly(range(len(names)), _NAMES) for names in (part.rows, part.columns))
    axes.set_yticks(rows, [fitting(part.rows[place], 0.082 * _LETTERS) for place in rows])
    shown = [part.columns[place] for place in columns]
    if _flat(part, across):
        axes.set_xticks(columns, [fitting(name, 9.0) for name in shown])
    else:
        axes.set_xticks(columns, [fitting(name, 0.082 * _LETTERS) for name in shown], rotation=90)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)


def _flat(part: Matrix, across: float) -> bool:
    """Return True if the columns' names fit side by side."""
    return len(part.columns) <= _NAMES and max(len(name) for name in part.columns) * 0.08 <= across


def _below(parts: Sequence[Matrix], across: float) -> float:
    """Return inches that names take below the columns."""
    if all(_flat(part, across) for part in parts):
        return 0.17
    return 0.1 + 0.075 * min(max(len(name) for part in parts for name in part.columns), _LETTERS)


def _part_cells(axes: Axes, part: Matrix, across: float) -> None:
    """Draw lines between cells that are large enough."""
    if across > 0.15:  # inches
        rows, columns = part.values.shape
        axes.vlines(np.arange(columns - 1) + 0.5, -0.5, rows - 0.5, color=PAPER, linewidth=1.2)
        axes.hlines(np.arange(rows - 1) + 0.5, -0.5, columns - 0.5, color=PAPER, linewidth=1.2)


def _write(axes: Axes, part: Matrix, scale: Scale, across: float, down: float) -> bool:
    """Write numbers into the cells if the longest fits; return True if it does."""
    full = [(row, column) for row, column in np.ndindex(part.values.shape) if np.isfinite(part.values[row, column])]
    texts = [scale.show(float(part.values[place])) for place in full]
    longest = max(map(len, texts), default=1)
    size = min(_LARGEST, 72 * 0.94 * across / (_LETTER * longest), 72 * 0.8 * down)
    if size < _SMALLEST:
        return False
    shades = scale.colours(scale.norm(part.values)(part.values))
    dark = _luminance(shades[..., :3]) < _DARK_CELL
    for (row, column), text in zip(full, texts, strict=True):
        ink = _LIGHT_INK if dark[row, column] else _DARK_INK
        axes.text(column, row, text, ha="center", va="center_baseline", fontsize=size, color=ink)
    return True


def _luminance(colours: Array) -> Array:
    """Return relative luminance of colours (..., 3), as WCAG 2 defines it."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    luminance: Array = linear @ np.array([0.2126, 0.7152, 0.0722])
    return luminance


def _add_scale(figure: Figure, scale: Scale) -> None:
    """Draw the shades from end to end above all heat maps, with their meaning."""
    width, height = figure.get_size_inches()
    axes = figure.add_axes((0.1 / width, 1 - 0.24 / height, 1.1 / width, 0.13 / height))
    axes.imshow(np.linspace(0, 1, 64)[None], cmap=scale.colours, aspect="auto", interpolation="none")
    axes.set(xticks=[], yticks=[])
    axes.grid(visible=False)
    axes.spines[:].set(visible=True, color=SOFT)
    lines = _scale_lines(scale, width)
    figure.text(1.3 / width, 1 - 0.1 / height, "\n".join(lines), va="top", linespacing=1.25)


def _scale_lines(scale: Scale, width: float) -> list[str]:
    ends = "" if scale.each else f"{scale.show(scale.low)} … {scale.show(scale.high)} "
    return textwrap.wrap(ends + scale.label, int((width - 1.4) / 0.075))
