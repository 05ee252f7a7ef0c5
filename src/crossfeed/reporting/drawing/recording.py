"""Figures that are laid out once for all the formats that they are written in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from matplotlib import cbook
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.path import Path
from matplotlib.transforms import Affine2D, Bbox, Transform, TransformedPath

from crossfeed.reporting.drawing.style import styled

__all__ = ["recorded"]

_POINTS: Final = 72.0  # to an inch: the unit in which SVG and PDF are drawn

#: What a renderer is asked to draw, given the renderer and its pixels in a point.
_Call = Callable[[RendererBase, float], None]


@styled
def recorded(figure: Figure) -> Figure:
    """Return a figure that looks the same and takes less time to write in several formats.

    Matplotlib lays a figure out anew for each format. Here the artists draw once, and what they ask of a renderer is
    kept and asked of the formats' own; letters stand at the same places in all of them.

    Args:
        figure: The figure, which must not be changed afterwards.
    """
    return _Recorded(figure)


class _Recorded(Figure):
    """The calls of a figure's artists in their place."""

    def __init__(self, figure: Figure) -> None:
        width, height = figure.get_size_inches()
        super().__init__(figsize=(width, height), facecolor=figure.get_facecolor())
        FigureCanvasAgg(self)
        self._calls = _calls(figure)

    def draw(self, renderer: RendererBase) -> None:
        for call in self._calls:
            call(renderer, self.dpi / _POINTS)  # pixels amid vectors change the figure's dpi on the way


def _calls(figure: Figure) -> list[_Call]:
    """Return what a figure's artists ask of a renderer; images are left to be resampled for each format."""
    figure.dpi = _POINTS
    recorder = _Recorder(*(_POINTS * figure.get_size_inches()))
    images: list[Any] = figure.findobj(AxesImage)
    for image in images:
        image.draw = functools.partial(recorder.keep_image, image)
    try:
        figure.draw(recorder)
    finally:
        for image in images:
            del image.draw
    return recorder.calls


def _repeat(
    method: str, like: GraphicsContextBase, args: Sequence[Any], named: Mapping[str, Any], renderer: Any, scale: float
) -> None:
    """Call a method that draws, of a renderer whose unit is so many times smaller."""
    if scale != 1.0:
        args = [arg + Affine2D().scale(scale) if isinstance(arg, Transform) else arg for arg in args]
    context = _context(renderer, like, scale)
    if method == "draw_text":
        x, y = scale * args[0], scale * args[1]
        args = [x, renderer.get_canvas_width_height()[1] - y if renderer.flipy() else y, *args[2:]]
    getattr(renderer, method)(context, *args, **named)
    context.restore()


def _structure(method: str, args: Sequence[Any], named: Mapping[str, Any], renderer: Any, scale: float) -> None:
    """Call a method that draws nothing: groups, and where pixels begin and end amid vectors."""
    getattr(renderer, method)(*args, **named)


def _resample(image: AxesImage, renderer: RendererBase, scale: float) -> None:
    whole = image.get_figure(root=True)
    assert whole is not None  # noqa: S101 - for the type checker: it was found in a figure
    with cbook._setattr_cm(whole, dpi=scale * _POINTS):
        image.draw(renderer)


def _context(renderer: RendererBase, like: GraphicsContextBase, scale: float) -> GraphicsContextBase:
    """Return a renderer's own context with the properties of another; what it clips is scaled."""
    context = renderer.new_gc()
    context.copy_properties(like)
    if scale == 1.0:
        return context
    box = like.get_clip_rectangle()
    path, transform = cast("tuple[Path | None, Transform]", like.get_clip_path())  # matplotlib's own type is wrong
    if box is not None:
        context.set_clip_rectangle(Bbox(scale * box.get_points()))
    if path is not None:
        context.set_clip_path(TransformedPath(path, transform + Affine2D().scale(scale)))
    return context


class _Recorder(RendererBase):
    """A renderer, in points from the lower left, that keeps what it is asked to draw."""

    def __init__(self, width: float, height: float) -> None:
        super().__init__()
        self._size = width, height
        self.calls: list[_Call] = []

    def get_canvas_width_height(self) -> tuple[float, float]:
        return self._size

    def flipy(self) -> bool:
        return False

    def option_image_nocomposite(self) -> bool:
        return True

    def get_text_width_height_descent(self, s: Any, prop: Any, ismath: Any) -> tuple[float, float, float]:
        return self._text2path.get_text_width_height_descent(s, prop, ismath)  # of outlines, as in SVG

    def keep_image(self, image: AxesImage, _: RendererBase) -> None:
        self.calls.append(functools.partial(_resample, image))

    def _keep(self, method: str, gc: GraphicsContextBase, *args: Any, **named: Any) -> None:
        """Keep a call; artists go on to change the context and the transforms, so that copies are kept."""
        like = self.new_gc()
        like.copy_properties(gc)
        kept = [arg.frozen() if isinstance(arg, Transform) else arg for arg in args]
        self.calls.append(functools.partial(_repeat, method, like, kept, named))

    def draw_path(self, gc: GraphicsContextBase, *args: Any, **named: Any) -> None:
        self._keep("draw_path", gc, *args, **named)

    def draw_markers(self, gc: GraphicsContextBase, *args: Any, **named: Any) -> None:
        self._keep("draw_markers", gc, *args, **named)

    def draw_path_collection(self, gc: GraphicsContextBase, *args: Any, **named: Any) -> None:
        self._keep("draw_path_collection", gc, *args, **named)

    def draw_text(self, gc: GraphicsContextBase, *args: Any, **named: Any) -> None:
        self._keep("draw_text", gc, *args, **named)

    def open_group(self, *args: Any, **named: Any) -> None:
        self.calls.append(functools.partial(_structure, "open_group", args, named))

    def close_group(self, *args: Any, **named: Any) -> None:
        self.calls.append(functools.partial(_structure, "close_group", args, named))

    def start_rasterizing(self, *args: Any, **named: Any) -> None:
        self.calls.append(functools.partial(_structure, "start_rasterizing", args, named))

    def stop_rasterizing(self, *args: Any, **named: Any) -> None:
        self.calls.append(functools.partial(_structure, "stop_rasterizing", args, named))
