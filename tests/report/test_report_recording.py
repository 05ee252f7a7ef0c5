"""Figures that are laid out once look the same in every format as those that are laid out for each of them."""

from __future__ import annotations

import io
import re

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from crossfeed.reporting.drawing.recording import recorded
from crossfeed.reporting.drawing.style import COLOURS, Frame, add_legend, panels, styled, to_pdf, to_png, to_svg


@styled
def every_kind() -> Figure:
    """Lines, markers, areas, hatches, images, pixels amid vectors, clipped and turned texts, and a legend."""
    figure, axes = panels(Frame(7.0, 1.6, 3, top=0.3), 3)
    x = np.linspace(0, 1, 9)
    line = axes[0].plot(x, x**2, marker="o", linestyle="--", color=COLOURS[1])
    axes[0].fill_between(x, x**2 - 0.1, x**2 + 0.1, alpha=0.2)
    axes[0].text(0.9, 0.1, "beyond the edge", clip_on=True)
    axes[1].imshow(np.arange(6.0).reshape(2, 3), interpolation="none", aspect="auto")
    axes[1].set_xticks([0, 1, 2], ["one", "two", "three"], rotation=90)
    axes[2].bar([0, 1], [1, 2], hatch="///", edgecolor="white")
    axes[2].plot(x, 1 + x, linestyle="", marker=".", rasterized=True)
    axes[2].set_title("a title")
    add_legend(figure, line, ["a line"], 1)
    return figure


def without_ids(svg: str) -> str:
    """The ids of an SVG's parts depend on objects' places in memory."""
    numbers: dict[str, str] = {}
    return re.sub(r"\b(?:image|[mpch])[0-9a-f]{8,10}\b", lambda m: numbers.setdefault(m[0], f"id{len(numbers)}"), svg)


def pixels(png: bytes) -> np.ndarray:
    return matplotlib.image.imread(io.BytesIO(png), format="png")


def test_vectors_are_those_of_the_figure():
    assert without_ids(to_svg(recorded(every_kind()))) == without_ids(to_svg(every_kind()))


def test_pixels_differ_by_less_than_a_letters_stroke():
    """Letters may stand a fraction of a pixel elsewhere; everything else is where it was."""
    here, there = pixels(to_png(recorded(every_kind()))), pixels(to_png(every_kind()))
    assert here.shape == there.shape
    assert (np.abs(here - there).max(axis=2) > 0.25).mean() < 0.01


def test_pdf_has_the_same_size_fonts_and_images():
    here, there = to_pdf(recorded(every_kind())), to_pdf(every_kind())
    for what in (rb"/MediaBox \[[^\]]*\]", rb"/FontFile2", rb"/BaseFont /\S+", rb"/Subtype /Image"):
        assert re.findall(what, here) == re.findall(what, there) != []


@pytest.mark.parametrize("written", [to_svg, to_pdf, to_png])
def test_formats_do_not_disturb_each_other(written):
    figure = recorded(every_kind())
    first = written(figure)
    for other in (to_svg, to_pdf, to_png):
        other(figure)
    assert written(figure) == first
