"""Figures of lines: Bokeh's, with a method that puts new numbers into them.

Lines differ in dashes and marker as well as colour. Colours of axes and grids come from the page's style sheet
(`page.css`), which knows the reader's light or dark scheme.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from bokeh.models import ColumnDataSource, FixedTicker, HoverTool
from bokeh.models.annotations import Span
from bokeh.palettes import Colorblind8
from bokeh.plotting import figure

from crossfeed.explorer.answer import Answer
from crossfeed.protocols import Array

__all__ = ["GREY", "LOOKS", "Line", "Lines", "Look", "Trajectories", "blank", "looks", "ticks"]


#: Readable on white and on black.
GREY: Final = "#767d87"


@dataclass(frozen=True)
class Look:
    """Appearance of a line that distinguishes it from others.

    Attributes:
        colour: From Okabe and Ito's palette.
        dash: Bokeh's name of its dashes.
        marker: Bokeh's name of its marker.
    """

    colour: str
    dash: str
    marker: str


#: So many lines have looks of their own; of more, the mean, the best and the worst have.
LOOKS: Final = tuple(
    Look(Colorblind8[colour], dash, marker)
    for colour, dash, marker in (
        (0, "solid", "circle"),
        (5, "dashed", "square"),
        (3, "dotted", "triangle"),
        (6, "dotdash", "diamond"),
        (1, "dashdot", "inverted_triangle"),
        (4, "solid", "plus"),
    )
)


def blank(**options: Any) -> Any:
    """Return an empty figure in the page's style: as wide as its place, without tools that scrolling could trigger.

    Args:
        **options: Options of Bokeh's figure.
    """
    made = figure(
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        min_border_right=14,
        **options,
    )
    made.axis.major_label_text_font_size = "13px"
    made.axis.axis_label_text_font_size = "13px"
    made.axis.axis_label_text_font_style = "normal"
    made.axis.minor_tick_line_color = None
    return made


def looks(answer: Answer) -> dict[str, tuple[Look, Array, float]]:
    """Return the lines that are distinguished, by name: each with its look, its values and its limit.

    Args:
        answer: The answer.
    """
    names = answer.experiment.ecosystem.names
    lines = zip(names, answer.mse.T, answer.limit, strict=True)
    if len(names) <= len(LOOKS):
        return {name: (look, values, limit) for look, (name, values, limit) in zip(LOOKS, lines, strict=False)}
    last = answer.limit if np.isfinite(answer.limit).all() else answer.mse[-1]
    best, worst = int(np.argmin(last)), int(np.argmax(last))
    return {
        f"mean of {len(names)}": (LOOKS[0], answer.mse.mean(axis=1), float(answer.limit.mean())),
        f"best, {names[best]}": (LOOKS[2], answer.mse[:, best], float(answer.limit[best])),
        f"worst, {names[worst]}": (LOOKS[1], answer.mse[:, worst], float(answer.limit[worst])),
    }


@dataclass(frozen=True)
class Line:
    """One line that has a look of its own.

    Attributes:
        name: What it is called.
        look: How it looks.
        x: Shape (n,).
        y: Shape (n,); a nan leaves a gap.
        said: What is said of each point beside its name and height, such as its generation.
    """

    name: str
    look: Look
    x: Array
    y: Array
    said: Sequence[str]


class Lines:
    """A figure of lines with marked points, which are named where a pointer rests on one.

    Args:
        **options: Of the figure.
    """

    def __init__(self, **options: Any) -> None:
        self._lines, self._points, self._thin = ColumnDataSource(), ColumnDataSource(), ColumnDataSource()
        self._bare = ColumnDataSource()
        self.put([])
        self.figure = blank(**options)
        self.figure.line("x", "y", source=self._thin, color=GREY, alpha=0.45, width=1)
        self.figure.multi_line("xs", "ys", source=self._lines, color="colour", line_dash="dash", width=2)
        marked = self.figure.scatter(
            "x", "y", source=self._points, size=6, color="colour", marker="marker", fill_alpha=0.25
        )
        self.figure.multi_line("xs", "ys", source=self._bare, color="colour", line_dash="dash", width=1.5)
        said = [("", "@name"), ("", "@said"), ("", "@y{0.0000}")]
        self.figure.add_tools(HoverTool(renderers=[marked], tooltips=said))

    def put(
        self,
        lines: Sequence[Line],
        thin: tuple[Array, Array] | None = None,
        bare: Sequence[Line] = (),
    ) -> None:
        """Show these lines.

        Args:
            lines: Lines with looks of their own.
            thin: x and y of all the others, as one line with gaps.
            bare: Lines without marks that those are compared with.
        """
        for source, shown in ((self._bare, bare), (self._lines, lines)):
            fields = [(line.x, line.y, line.look.colour, line.look.dash) for line in shown]
            columns = [list(column) for column in zip(*fields, strict=True)] or [[], [], [], []]
            _fill(source, dict(zip(("xs", "ys", "colour", "dash"), columns, strict=True)))
        every = [line for line in lines for _ in line.x]
        self._points.data = {
            "x": np.concatenate([line.x for line in lines]) if lines else [],
            "y": np.concatenate([line.y for line in lines]) if lines else [],
            "said": [text for line in lines for text in line.said],
            "name": [line.name for line in every],
            "colour": [line.look.colour for line in every],
            "marker": [line.look.marker for line in every],
        }
        _fill(self._thin, {"x": [], "y": []} if thin is None else {"x": thin[0], "y": thin[1]})


def _fill(source: ColumnDataSource, data: dict[str, Any]) -> None:
    """Change a source, unless it is empty and stays so: each change is a message of its own."""
    held: dict[str, Any] = dict(source.data)
    if held.keys() != data.keys() or any(len(column) for column in (*held.values(), *data.values())):
        source.data = data


class Trajectories:
    """Errors over the generations, and their limit beside them.

    Args:
        last: The last generation.
    """

    def __init__(self, last: int) -> None:
        self._end = last + max(1.0, 0.15 * last)
        self._lines = Lines(name="trajectories", height=330, y_axis_type="log", x_axis_label="generation t")
        self.figure = self._lines.figure
        self.figure.yaxis.axis_label = "MSE, log scale"
        self.figure.xaxis.ticker = FixedTicker(ticks=[*ticks(0, last), self._end])
        self.figure.xaxis.major_label_overrides = {self._end: "limit"}
        between = (last + self._end) / 2
        self.figure.add_layout(Span(location=between, dimension="height", line_color=GREY, line_dash="dotted"))

    def show(self, answer: Answer) -> None:
        """Put an answer into the figure: every generation, a gap, the limit.

        Args:
            answer: The answer.
        """
        at = np.append(answer.generations.astype(np.float64), [np.nan, self._end])
        said = [*(f"generation {t}" for t in answer.generations), "", "limit"]
        told = looks(answer)
        lines = [
            Line(name, look, at, _positive(np.append(values, [np.nan, limit])), said)
            for name, (look, values, limit) in told.items()
        ]
        self._lines.put(lines, _thin(answer, self._end) if len(told) < answer.eco.entities else None)


def ticks(first: int, last: int) -> list[float]:
    """Return some seven whole numbers, both ends among them.

    Args:
        first: The smallest number.
        last: The largest number.
    """
    step = max(1, -(-(last - first) // 6))
    return [float(t) for t in range(first, last, step) if last - t >= step / 2] + [float(last)]


def _thin(answer: Answer, end: float) -> tuple[Array, Array]:
    """Return all entities as one line with gaps; a limit is a short stroke."""
    gap, limits = np.full((answer.eco.entities, 1), np.nan), answer.limit[:, None]
    y = np.hstack([_positive(answer.mse.T), gap, limits, limits, gap])
    x = np.concatenate([answer.generations, [np.nan, end - 0.15, end + 0.15, np.nan]])
    return np.tile(x, answer.eco.entities), y.ravel()


def _positive(values: Array) -> Array:
    """Return values with a gap in place of zeros, which a logarithmic axis cannot show."""
    return np.where(values > 0, values, np.nan)
