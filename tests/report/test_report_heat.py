"""Heat maps: their cells are the numbers they are made from, readable on any shade, and never told by colour alone."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from crossfeed.display.formatting import number, signed
from crossfeed.reporting.data.layout import evenly
from crossfeed.reporting.drawing.figures import NARROW, WIDE
from crossfeed.reporting.drawing.heat import Matrix, Scale, draw_matrix, ends, heat_maps
from crossfeed.reporting.drawing.style import to_pdf, to_svg


def matrix(rows: int, columns: int, seed: int = 0, **options) -> Matrix:
    values = np.random.default_rng(seed).uniform(0.5, 9, (rows, columns))
    return Matrix("t", values, [f"m{k}" for k in range(rows)], [f"t{k}" for k in range(columns)], **options)


def levels(part: Matrix) -> Scale:
    return Scale("loss", float(np.nanmin(part.values)), float(np.nanmax(part.values)), "levels", number)


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_cells_hold_their_numbers_row_by_row(width):
    part = matrix(2, 3)
    part.values[1, 2] = np.nan
    axes = heat_maps([part], levels(part), width=width, columns=1, names=("model", "on")).axes[0]
    found = {tuple(text.get_position()): text.get_text() for text in axes.texts}
    assert found == {(j, i): number(v) for (i, j), v in np.ndenumerate(part.values) if np.isfinite(v)}
    assert [label.get_text() for label in axes.get_yticklabels()] == part.rows
    assert [label.get_text() for label in axes.get_xticklabels()] == part.columns
    low, high = sorted(axes.get_ylim())
    assert axes.get_ylim() == (high, low)  # the first row on top


@pytest.mark.parametrize("kind", ["levels", "changes"])
def test_numbers_stand_out_from_their_cells(kind):
    """A contrast of at least 4.5 (WCAG 2, AA) over the whole scale."""
    part = Matrix("t", np.linspace(-1, 1, 41)[None], ["m"], [str(k) for k in range(41)])
    scale = Scale("x", -1.0, 1.0, kind, lambda value: "0")
    axes = draw_matrix(Figure(figsize=(40, 2)).add_subplot(), part, scale)
    shades = scale.colours(scale.norm(part.values)(part.values))[0, :, :3]
    assert len(axes.texts) == 41
    for text, shade in zip(axes.texts, shades, strict=True):
        light, dark = sorted((luminance(to_rgb(text.get_color())), luminance(shade)), reverse=True)
        assert (light + 0.05) / (dark + 0.05) > 4.5


def luminance(colour) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def test_levels_fall_in_lightness_in_even_order():
    """The same order without colour."""
    shades = levels(matrix(2, 2)).colours(np.linspace(0, 1, 50))[:, :3]
    assert (np.diff([luminance(shade) for shade in shades]) < 0).all()


def test_cells_too_small_for_numbers_mark_rises_with_dots():
    part = matrix(50, 51)
    part.values[:] -= 5.0
    scale = Scale("change", -5.0, 5.0, "changes", lambda value: signed(value, 0))
    axes = heat_maps([part], scale, width=WIDE, columns=4, names=("model", "on")).axes[0]
    assert not axes.texts
    (dots,) = axes.get_lines()
    expected = {(j, i) for i, j in zip(*np.nonzero(part.values > 0), strict=True)}
    assert set(zip(*(map(int, each) for each in dots.get_data()), strict=True)) == expected
    assert 2 < len(axes.get_yticklabels()) <= 12
    assert axes.get_yticklabels()[-1].get_text() == "m49"


def test_the_best_cell_is_framed():
    part = matrix(3, 4, marked=(2, 1))
    frames = heat_maps([part], levels(part), width=WIDE, columns=1, names=("β", "α")).axes[0].patches
    assert {(frame.get_x(), frame.get_y()) for frame in frames} == {(0.5, 1.5)}


def test_scales_of_widely_different_numbers_go_by_ratios():
    wide = Scale("loss", 0.1, 100.0, "levels", number)
    assert wide.norm(np.array([0.1]))(np.sqrt(0.1 * 100)) == pytest.approx(0.5)
    near = Scale("loss", 1.0, 3.0, "levels", number)
    assert near.norm(np.array([1.0]))(2.0) == pytest.approx(0.5)
    each = Scale("loss", 0.0, 0.0, "levels", number, each=True)
    assert each.norm(np.array([4.0, 6.0]))(5.0) == pytest.approx(0.5)


def test_what_is_not_finite_is_left_empty():
    part = Matrix("t", np.array([[np.inf, 2.0], [np.nan, 4.0]]), ["a", "b"], ["x", "y"])
    assert ends(part.values) == (2.0, 4.0)
    assert ends(np.full(3, np.inf)) == (0.0, 0.0)
    scale = Scale("loss", 0.0, 0.0, "levels", number, each=True)
    axes = heat_maps([part], scale, width=WIDE, columns=1, names=("model", "on")).axes[0]
    assert sorted(text.get_text() for text in axes.texts) == ["2.00", "4.00"]


def test_equal_numbers_and_hostile_names_can_be_drawn():
    part = Matrix("$\\frac<\u202e中", np.zeros((1, 2)), ["<b>"], ["$x$", "\x1b[2J"])
    figure = heat_maps([part], levels(part), width=NARROW, columns=2, names=("model", "on"))
    assert "<b>" not in to_svg(figure)
    assert to_pdf(figure) == to_pdf(figure)


def test_letters_of_a_pdf_are_those_of_an_embedded_font():
    part = matrix(2, 2)
    figure = heat_maps([part], levels(part), width=NARROW, columns=1, names=("model", "on"))
    before = to_svg(figure)
    made = to_pdf(figure)
    assert made.startswith(b"%PDF")
    assert b"/Type3" not in made
    assert b"/Type42" in made or b"/CIDFontType2" in made
    assert b"/FontFile2" in made
    assert to_svg(figure) == before


def test_values_are_chosen_evenly_with_both_ends():
    assert evenly(range(16), 4) == [0, 5, 10, 15]
    assert evenly([7, 9], 4) == [7, 9]
    assert evenly([3], 4) == [3]
