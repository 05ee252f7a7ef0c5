"""Figures of shades: the map of weights and the matrix of influence; their order of shades is one that grey keeps."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from bokeh.models import ColumnDataSource, CustomJSHover, FixedTicker, HoverTool, LinearColorMapper
from bokeh.models.annotations import ColorBar
from bokeh.palettes import Blues9

from crossfeed.explorer.answer import Answer
from crossfeed.explorer.landscape import SIDES, Survey
from crossfeed.explorer.lines import GREY, LOOKS, blank, ticks
from crossfeed.explorer.summary import price

__all__ = ["Influence", "Map"]

#: Levels of the map: relative excess over the optimum.
_PRICES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 3.0, 10.0)
_SHADES: Final = list(reversed(Blues9))
#: From this shade on, white is read better than black.
_DARK: Final = 6
#: Where the map says its numbers: points that every grid but the first has, away from the edges.
_WRITTEN: Final = (0.25, 0.5, 0.75)


class Map:
    """The mean limiting error over all common weights, as its excess over the least."""

    def __init__(self) -> None:
        self._image, self._labels, self._here, self._best = (ColumnDataSource() for _ in range(4))
        self.clear()
        self._here.data = {"x": [], "y": []}
        span = (-0.04, 1.04)
        self.figure = blank(name="map", height=400, x_range=span, y_range=span)
        self.figure.xaxis.axis_label = "α, synthetic share"
        self.figure.yaxis.axis_label = "β, private share of the real data"
        self.figure.grid.visible = False
        steps = len(_PRICES) + 1
        mapper = LinearColorMapper(palette=_SHADES, low=0, high=steps, nan_color="rgba(0,0,0,0)")
        image = self.figure.image("level", x="x", y="y", dw="side", dh="side", source=self._image, color_mapper=mapper)
        _write(self.figure, self._labels, text_baseline="bottom", y_offset=-8)
        mark = {"line_color": "#ffffff", "line_width": 1.2, "size": 17}
        self.figure.scatter("x", "y", source=self._best, marker="star", fill_color="#e69f00", **mark)
        self.figure.scatter("x", "y", source=self._here, marker="x", line_color="#ffffff", line_width=5, size=13)
        self.figure.scatter("x", "y", source=self._here, marker="x", line_color="#000000", line_width=2.2, size=13)
        names = {place: f"+{100 * each:g} %" for place, each in enumerate(_PRICES, start=1)}
        _add_bar(self.figure, mapper, ticker=FixedTicker(ticks=list(names)), major_label_overrides=names)
        said = [("α, β", "$x{0.00}, $y{0.00}"), ("excess", "@excess{0.0} %"), ("mean limiting MSE", "@value{0.0000}")]
        self.figure.add_tools(HoverTool(renderers=[image], tooltips=said))

    def clear(self) -> None:
        """Show nothing, until there is a new map."""
        self._image.data = {name: [] for name in ("level", "excess", "value", "x", "y", "side")}
        self._labels.data = {name: [] for name in ("x", "y", "text", "ink")}
        self._best.data = {"x": [], "y": []}

    def stand(self, alpha: float, beta: float) -> None:
        """Show which weights the sliders stand for; nan where entities differ.

        Args:
            alpha: Synthetic share.
            beta: Private share.
        """
        self._here.data = {"x": [alpha], "y": [beta]}

    def show(self, survey: Survey) -> None:
        """Put a map into the figure.

        Args:
            survey: The map so far.
        """
        ground, (alpha, beta, least) = survey.landscape(), survey.best
        values = ground.values.T  # rows are beta
        finite = np.isfinite(values)
        excess = np.where(finite, values, np.nan) / least - 1.0 if least > 0 else np.where(finite, 0.0, np.nan)
        level = np.where(finite, np.searchsorted(_PRICES, excess) + 0.5, np.nan)
        half = 0.5 / (survey.side - 1)
        place = {"x": [-half], "y": [-half], "side": [1.0 + 2 * half]}
        self._image.data = {"level": [level], "excess": [100 * excess], "value": [values], **place}
        self._best.data = {"x": [alpha], "y": [beta]}
        if survey.side == SIDES[0]:
            return
        own = np.rint(np.array(_WRITTEN) * (survey.side - 1)).astype(int)
        written, levels = values[np.ix_(own, own)].ravel(), level[np.ix_(own, own)].ravel()
        self._labels.data = {
            "x": np.tile(_WRITTEN, len(_WRITTEN)),
            "y": np.repeat(_WRITTEN, len(_WRITTEN)),
            "text": [price(value, least) or "none" for value in written.tolist()],
            "ink": [GREY if np.isnan(each) else "#000000" if each < _DARK else "#ffffff" for each in levels.tolist()],
        }


class Influence:
    """Heat map of each data source's share in every entity's mean."""

    def __init__(self) -> None:
        self._image, self._labels = ColumnDataSource(), ColumnDataSource()
        self._names: tuple[str, ...] = ()
        self.figure = blank(name="influence", height=400, x_range=(0.5, 1.5), y_range=(1.5, 0.5))
        self.figure.xaxis.axis_label = "whose data"
        self.figure.yaxis.axis_label = "whose estimate"
        self.figure.grid.visible = False
        self._mapper = LinearColorMapper(palette=_SHADES, low=0.0, high=1.0)
        image = self.figure.image(
            "share", x="x", y="y", dw="wide", dh="high", source=self._image, color_mapper=self._mapper
        )
        _write(self.figure, self._labels, text_baseline="middle")
        _add_bar(self.figure, self._mapper)
        self._named = CustomJSHover(args={"names": []}, code="return names[Math.round(value) - 1] ?? ''")
        said = [("estimate of", "$y{custom}"), ("data of", "$x{custom}"), ("share", "@share{0.000}")]
        self.figure.add_tools(
            HoverTool(renderers=[image], tooltips=said, formatters={"$x": self._named, "$y": self._named})
        )

    def show(self, answer: Answer) -> None:
        """Put an answer into the figure.

        Args:
            answer: The answer.
        """
        matrix, (entities, sources) = answer.influence, answer.influence.shape
        if self._names != answer.experiment.ecosystem.names:
            self._names = answer.experiment.ecosystem.names
            self._rename(entities)
        place = {"x": [0.5], "y": [0.5], "wide": [float(sources)], "high": [float(entities)]}
        self._image.data = {"share": [matrix], **place}
        top = float(matrix.max()) or 1.0
        self._mapper.high = top
        few = entities <= len(LOOKS)
        rows, columns = np.indices(matrix.shape) + 1 if few else np.zeros((2, 0))
        self._labels.data = {
            "x": columns.ravel(),
            "y": rows.ravel(),
            "text": [f"{100 * value:.0f} %" for value in matrix.ravel()] if few else [],
            "ink": ["#000000" if value * len(_SHADES) < _DARK * top else "#ffffff" for value in matrix.ravel()]
            if few
            else [],
        }

    def _rename(self, entities: int) -> None:
        labels = [*self._names, "public"]
        self._named.args = {"names": labels}
        self.figure.x_range.update(start=0.5, end=entities + 1.5)
        self.figure.y_range.update(start=entities + 0.5, end=0.5)
        own = ticks(1, entities)
        # The label of the last entity would lie on that of the public data.
        places = [*(own if len(own) == entities else own[:-1]), float(entities + 1)]
        short = {k: name if len(name) <= 9 else f"{name[:8]}…" for k, name in enumerate(labels, start=1)}
        for axis, shown in ((self.figure.xaxis, places), (self.figure.yaxis, own)):
            axis.ticker = FixedTicker(ticks=shown)
            axis.major_label_overrides = {tick: short[int(tick)] for tick in shown}


def _write(figure: Any, labels: ColumnDataSource, **options: Any) -> None:
    """Write numbers on the shades, in an ink that is legible on them."""
    figure.text("x", "y", "text", source=labels, color="ink", text_align="center", text_font_size="12px", **options)


def _add_bar(figure: Any, mapper: LinearColorMapper, **options: Any) -> None:
    """Add a colour bar at the right."""
    look: dict[str, Any] = {"bar_line_color": None, "background_fill_alpha": 0, "major_label_text_color": GREY}
    bar = ColorBar(color_mapper=mapper, width=12, location=(0, 0), major_label_text_font_size="12px", **look, **options)
    figure.add_layout(bar, "right")
