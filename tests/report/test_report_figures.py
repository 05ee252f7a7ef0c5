"""Figures show the frames' numbers, and leave no trace."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from crossfeed.reporting.data.numbers import by_generation, mixture, timing
from crossfeed.reporting.drawing.clouds import clouds
from crossfeed.reporting.drawing.figures import (
    NARROW,
    WIDE,
    Panel,
    curves,
    draw_lines,
    far_apart,
    shares,
    times,
)
from crossfeed.reporting.drawing.style import for_page, to_png, to_svg

HOSTILE = "$\\frac{<script>--></svg>\u202e中"


@pytest.fixture(autouse=True)
def no_trace():
    before = dict(mpl.rcParams)
    yield
    assert dict(mpl.rcParams) == before
    import sys

    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


def loss_panels(run) -> list[Panel]:
    pairs = run.records.query("metric == 'loss'")[["model", "task"]].drop_duplicates()
    return [
        Panel(f"{model} on {task}", {"model": model, "task": task}) for model, task in pairs.itertuples(index=False)
    ]


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_lines_are_the_means_and_bands_the_errors(seeds, width):
    table, parts = by_generation(seeds.records, "loss"), loss_panels(seeds)
    figure = curves(table, parts, {0: "zero", 1: "half", 2: "one"}, ylabel="loss", band=0.1, width=width)
    assert len(figure.axes) == len(parts) == 6
    for axes, part in zip(figure.axes, parts, strict=True):
        for point, line in enumerate(axes.get_lines()):
            own = part.of(table).query(f"point == {point}")
            np.testing.assert_array_equal(line.get_xdata(), own["generation"])
            np.testing.assert_array_equal(line.get_ydata(), own["mean"])
            band = axes.collections[point].get_paths()[0].vertices
            for x, mean, error in own[["generation", "mean", "se"]].itertuples(index=False):
                heights = band[band[:, 0] == x, 1]
                assert [heights.min(), heights.max()] == pytest.approx([mean - error, mean + error])


def test_lines_differ_by_more_than_colour(seeds):
    (axes, *_) = curves(
        by_generation(seeds.records, "loss"), loss_panels(seeds), {0: "a", 1: "b", 2: "c"}, ylabel="loss"
    ).axes
    for look in ("get_color", "get_linestyle", "get_marker"):
        values = {str(getattr(line, look)()) for line in axes.get_lines()}
        assert len(values) == 3 or look == "get_linestyle"
    assert len({str(line._dash_pattern) for line in axes.get_lines()}) == 3


@pytest.mark.parametrize(("end", "log"), [(14.0, False), (16.0, True), (16_000.0, True)])
def test_what_differs_much_has_a_logarithmic_axis_on_which_all_of_it_is_seen(end, log):
    table = pd.DataFrame({"point": 0, "generation": [0, 1, 2], "mean": [1.0, 2.0, end], "se": np.nan})
    table["exact"] = [0.5, 2.0, 2 * end]
    assert far_apart(table["mean"]) == log
    assert not far_apart(table["mean"] - 1.0)  # nothing that is not positive
    (axes,) = curves(table, [Panel("", {})], {0: ""}, ylabel="loss", log=far_apart(table["mean"])).axes
    assert (axes.get_yscale() == "log") == log
    assert axes.get_ylabel() == ("loss, log scale" if log else "loss")
    low, high = axes.get_ylim()
    assert low < 0.5
    assert high > 2 * end
    assert len([tick for tick in axes.get_yticks() if low <= tick <= high]) in range(2, 9)
    _, exact = axes.get_lines()
    np.testing.assert_array_equal(exact.get_ydata(), table["exact"])


@pytest.mark.parametrize("width", [WIDE, NARROW])
@pytest.mark.parametrize("mean", [[-0.025, -0.0251], [123456.0, 123457.5], [-1.5e-7, 0.0]])
def test_wide_numbers_at_the_ticks_leave_room_for_the_label(width, mean):
    table = pd.DataFrame({"point": 0, "generation": [0, 1], "mean": mean, "se": np.nan})
    figure = curves(table, [Panel("", {})] * 4, {0: ""}, ylabel="centred similarity (mean cosine)", width=width)
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.yaxis.get_tightbbox().x0 >= -1e-6
        assert len(axes.get_lines()) == 1


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_a_long_unit_is_broken_into_lines_that_fit_beside_their_panel(width):
    table = pd.DataFrame({"point": 0, "generation": [0, 1], "mean": [1.0, 200.0], "se": np.nan})
    figure = curves(table, [Panel("", {})], {0: ""}, ylabel="loss (squared error/image)", log=True, width=width)
    figure.draw_without_rendering()
    (axes,) = figure.axes
    label, panel = axes.yaxis.label.get_window_extent(), axes.get_window_extent()
    assert axes.get_ylabel().replace("\n", " ") == "loss (squared error/image), log scale"
    assert label.height <= 1.1 * panel.height
    assert label.x0 >= 0


def test_a_panel_can_be_drawn_into_axes_of_ones_own(seeds):
    axes = Figure().add_subplot()
    assert draw_lines(axes, loss_panels(seeds)[0].of(by_generation(seeds.records, "loss")), [0, 2]) is axes
    assert len(axes.get_lines()) == 2


def test_clouds_hold_every_output_once(seeds):
    frame = seeds.projection.query("seed == 0")
    part = Panel("end", {"point": 1, "generation": 2})
    figure = clouds(frame, [part], ["warm", "cold"], ["warm", "cold", "public"])
    drawn = np.concatenate([line.get_xydata() for line in figure.axes[0].get_lines() if line.get_markersize() < 5])
    expected = part.of(frame)[["x", "y"]].to_numpy()
    np.testing.assert_allclose(drawn[np.lexsort(drawn.T)], expected[np.lexsort(expected.T)])
    looks = {(line.get_marker(), line.get_color(), line.get_fillstyle()) for line in figure.axes[0].get_lines()}
    assert len(looks) == 6


def test_bars_are_the_shares(seeds):
    table = mixture(seeds.records)
    part = Panel("cold", {"model": "cold", "point": 1})
    sources = {"private": "own", "public": "public", "warm": "by warm", "cold": "by cold"}
    (axes,) = shares(table, [part], sources).axes
    for source, bars in zip(sources, axes.containers, strict=True):
        own = part.of(table).query(f"source == '{source}'").set_index("generation")["share"]
        heights = [own.get(generation, 0.0) for generation in range(3)]
        assert [bar.get_height() for bar in bars] == pytest.approx(heights)


def test_times_are_the_totals(seeds):
    spent = timing(seeds.records, seeds.cells)
    (axes,) = times(spent).axes
    assert [bar.get_width() for bar in axes.containers[0]] == pytest.approx(spent["total"].tolist())


def test_the_same_figure_is_the_same_bytes(seeds):
    def draw():
        return curves(by_generation(seeds.records, "loss"), loss_panels(seeds), {0: "a", 1: "b"}, ylabel="loss")

    assert to_svg(draw()) == to_svg(draw())
    assert to_png(draw()) == to_png(draw())


def test_hostile_labels_draw_nothing_but_text():
    table = pd.DataFrame({"point": 0, "model": "m", "task": "t", "generation": [0, 1], "mean": 1.0, "se": np.nan})
    figure = curves(
        table, [Panel(HOSTILE, {"model": "m"})], {0: HOSTILE}, ylabel=HOSTILE.replace("中", "").replace("\u202e", "")
    )
    svg = for_page(to_svg(figure))
    assert "<!--" not in svg
    tags = {re.sub(r"{.*}", "", node.tag) for node in ElementTree.fromstring(svg).iter()}
    assert tags <= {"svg", "style", "defs", "g", "path", "use", "clipPath", "rect", "metadata"}


def test_one_generation_and_one_value_can_be_drawn():
    table = pd.DataFrame({"point": [0], "model": "m", "task": "t", "generation": 0, "mean": 1.0, "se": np.nan})
    to_svg(curves(table, [Panel("m on t", {"model": "m"})], {0: "a"}, ylabel="loss", band=0.1))
    still = pd.DataFrame({"x": [0.0, 0.0], "y": [0.0, 0.0], "model": "m", "task": "t"})
    to_svg(clouds(still, [Panel("all", {})], ["m"], ["t"]))


def test_thousands_of_outputs_are_drawn_as_pixels():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(4000, 2)), columns=["x", "y"]).assign(model="m", task="t")
    assert len(to_svg(clouds(frame, [Panel("all", {})], ["m"], ["t"]))) < 1_000_000


def test_the_page_copy_follows_the_scheme(seeds):
    svg = to_svg(times(timing(seeds.records, seeds.cells)))
    assert "var(" not in svg
    assert "#1b1f24" in svg
    page = for_page(svg)
    assert "prefers-color-scheme:dark" in page
    assert page.count("#1b1f24") == 1
