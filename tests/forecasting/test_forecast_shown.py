"""What is shown of a forecast: its own numbers, and what each of them rests on."""

from __future__ import annotations

import ast
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from rich.console import Console

import crossfeed
from crossfeed import Experiment
from crossfeed.display.formatting import number
from crossfeed.metrics.loss import DEAD_BAND
from crossfeed.reporting.data.measures import LOSS
from crossfeed.reporting.data.numbers import verdict
from crossfeed.reporting.forecasts.figures import figures_of
from crossfeed.reporting.forecasts.files import write_forecast
from crossfeed.reporting.forecasts.frames import Framed, common_basis
from crossfeed.reporting.forecasts.plain import forecast_data
from crossfeed.reporting.forecasts.tables import banded, render_forecast
from tests.figures import save_empty

from .made import made

MANY = ("grid={ecosystem.alpha: [0, 0.5, 1]}",)
SCHEDULES = ("grid={ecosystem.alpha: [[0.1, 0.2], [0.5, 0.4, 0.3]], ecosystem.beta: [0.2, 0.9]}",)
ONE = ("grid={}", "ecosystem.alpha=0.5")
WORSE = r"the surrogate is no better than geometric extrapolation on what is measured"


def printed(forecast, width: int = 80, encoding: str = "utf-8") -> str:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    render_forecast(forecast, Console(file=stream, width=width))
    stream.seek(0)
    return stream.read()


def last(forecast) -> pd.DataFrame:
    """Final losses with the initial ones and the grid point's number."""
    frame = forecast.table.to_pandas().query("metric == 'loss'")
    names = [cell.name for cell in forecast.experiment.cells()]
    keys = ["cell", "model", "task"]
    first = frame[frame["generation"] == 0].rename(columns={"value": "initial"})[[*keys, "initial"]]
    frame = frame[frame["generation"] == forecast.experiment.generations].merge(first, on=keys)
    return frame.assign(point=frame["cell"].map(names.index)).set_index(["point", "model", "task"])


@pytest.fixture(scope="module")
def grid():
    return made()


# The terminal


def test_every_number_of_the_table_is_the_forecasts_own(grid):
    rows = last(grid)
    table = banded(Framed(grid), LOSS)
    assert sum(len(row.entries) for row in table.rows) == len(rows) == 9 * 2 * 3
    for row in table.rows:
        for point, entry in row.entries.items():
            own = rows.loc[(point, row.model, row.task)]
            assert entry.final == number(own["value"])
            assert entry.initial == number(own["initial"])
            assert entry.mark == verdict(own["value"] - own["initial"], DEAD_BAND, ("better", "worse"))
            if own["basis"] == "measured":
                assert entry.change == "measured"
            elif own["remark"] == "not learned":
                assert entry.change == "not learned" + " *" * (own["basis"] == "extrapolated")
            else:
                sign = " *" if own["basis"] == "extrapolated" else ""
                assert entry.change == f"{number(own['lower'])} to {number(own['upper'])}{sign}"


def test_marks_are_explained_where_they_are_used(grid):
    shown = printed(grid)
    for mark in ("* extrapolated:", "measured: the run has this number", "not learned: a loss beyond"):
        assert mark in shown
    plain = printed(made(*ONE, measured=()))
    assert "80 % band" in plain
    assert "extrapolated" not in plain
    assert "not learned" not in plain


def test_what_the_probes_cost_is_told_beside_the_grid(grid):
    shown = " ".join(printed(grid).split())
    assert "4.4 generations of one cell, 9.2 % of the 48 generations" in shown
    assert "Of these 2 are of cells of the grid" in shown
    assert "the rest is 5.0 % of the grid" in shown
    assert "22.40 s" in shown
    kept = replace(grid, cost=replace(grid.cost, seconds=0.0, reused=0.0))
    assert "none, all probes were there" in printed(kept)
    assert "Of these" not in printed(kept)


@pytest.mark.parametrize(("surrogate", "geometric", "said"), [(0.05, 0.043, 2), (0.043, 0.043, 2), (0.034, 0.043, 0)])
def test_a_surrogate_that_is_no_better_is_said_to_be(surrogate, geometric, said):
    shown = " ".join(printed(made(errors=(surrogate, geometric))).split())
    assert len(re.findall(WORSE, shown)) == said
    assert f"{100 * surrogate:.1f} % off (median), geometric extrapolation" in shown
    assert f"{100 * geometric:.1f} %" in shown


def test_nothing_is_said_of_errors_that_are_not_known():
    shown = printed(made(errors=(None, None)))
    assert "median" not in shown
    alone = " ".join(printed(made(errors=(0.034, None))).split())
    assert "the surrogate is 3.4 % off (median)." in alone
    assert not re.search(WORSE, alone)


def test_the_best_mix_stands_beside_the_described_one(grid):
    lines = [" ".join(line.split()) for line in printed(grid).splitlines()]
    assert "as described 0 0.2 2.43" in lines
    assert "best in common 0.62 0.55 2.05 1.93 to 2.18 -15.6 %" in lines
    assert "best for each own 0.60 2.01 1.88 to 2.15 -17.3 %" in lines
    for name in grid.experiment.ecosystem.names:
        assert f"{name} {grid.best_own.alpha[name]:.2f} 0.60" in lines
    assert "None was searched for." in printed(replace(grid, best_common=None, best_own=None))


def test_notes_are_printed_harmlessly(grid):
    shown = printed(replace(grid, notes=("One [red]note[/red].", "Another\x1b[2J.")))
    assert "- One [red]note[/red]." in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize("width", [60, 80, 140])
def test_of_ten_entities_means_are_shown_and_fit(width):
    forecast = made(*MANY, preset="many-entities", measured=(1,))
    shown = printed(forecast, width)
    assert max(map(len, shown.splitlines())) <= width
    table = banded(Framed(forecast), LOSS, means=True)
    assert [row.task for row in table.rows] == [
        "own tasks, mean of 10", "other models' tasks, mean of 30", "public data, mean of 10"
    ]  # fmt: skip
    rows = last(forecast).reset_index()
    for point in range(3):
        own = rows[(rows["point"] == point) & (rows["model"] == rows["task"])]
        assert table.rows[0].entries[point].final == number(own["value"].mean())
    below = table.rows[0].entries
    assert below[1].change == "measured"
    assert below[2].change.endswith("*")
    assert not below[0].change.endswith("*")


@pytest.mark.parametrize("overrides", [SCHEDULES, ONE], ids=["schedules", "one point"])
def test_other_grids_are_printed_within_the_line(overrides):
    shown = printed(made(*overrides))
    assert max(map(len, shown.splitlines())) <= 80
    assert "alpha = 0.5" in shown


def test_a_terminal_without_letters_gets_words(grid):
    assert printed(grid, encoding="ascii").isascii()


def test_a_mean_rests_on_its_weakest_part():
    assert common_basis(["measured", "measured"]) == "measured"
    assert common_basis(["measured", "forecast"]) == "forecast"
    assert common_basis(["measured", "forecast", "extrapolated"]) == "extrapolated"


# Data


def test_json_has_the_whole_forecast(grid):
    told = json.loads(json.dumps(forecast_data(grid), allow_nan=False))
    assert told["records"] == grid.table.to_pylist()
    assert [fit["misfit"] for fit in told["fits"]] == [fit.misfit for fit in grid.fits]
    assert told["cost"] == {"generations": 4.4, "reused": 2.0, "grid": 48.0, "seconds": 22.4}
    assert told["best_common"]["value"] == grid.best_common.value
    own = {row["model"]: row["alpha"] for row in told["best_own"]["entities"]}
    assert own == grid.best_own.alpha
    assert told["notes"] == list(grid.notes)
    assert forecast_data(replace(grid, best_own=None))["best_own"] is None


def test_plain_data_need_nothing_that_draws():
    path = Path(crossfeed.__file__).parent / "reporting" / "forecasts" / "plain.py"
    imported = {node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)}
    assert imported == {
        "__future__", "dataclasses", "typing", "crossfeed.display.formatting", "crossfeed.forecasting.answer"
    }  # fmt: skip


def test_directions_are_by_the_dead_band(grid):
    table = Framed(grid).directions
    assert len(table) == 9 * 2 * 3 * 2
    np.testing.assert_allclose(table["change"], table["final"] - table["initial"])
    for row in table.to_dict("records"):
        expected = "same" if abs(row["change"]) <= DEAD_BAND else "better" if row["change"] < 0 else "worse"
        assert row["verdict"] == expected
    assert set(table["verdict"]) == {"better", "worse", "same"}


def test_the_regret_is_over_the_best_mean_of_private_tasks(grid):
    rows = last(grid).reset_index()
    own = rows[rows["task"] != "public"].groupby("point")["value"].mean()
    regret = Framed(grid).regret
    assert regret["value"].iloc[0] == 0.0
    np.testing.assert_allclose(regret["value"], own.loc[regret.index] / own.min() - 1)
    assert regret["value"].is_monotonic_increasing


# Files and figures


def test_files_are_written_and_read_again(grid, tmp_path, monkeypatch):
    save_empty(monkeypatch, "pdf", "svg")
    files = write_forecast(grid, tmp_path / "out")
    names = {file.name for file in files}
    assert names >= {f"{name}.{kind}" for name in ("forecast", "directions", "fits") for kind in ("csv", "parquet")}
    assert names >= {f"{n}.{k}" for n in ("curves-1", "curves-3", "map", "regret") for k in ("pdf", "png", "svg")}
    assert pq.read_table(tmp_path / "out" / "forecast.parquet").equals(grid.table)
    again = pd.read_csv(tmp_path / "out" / "forecast.csv")
    np.testing.assert_array_equal(again["value"], grid.table.column("value").to_numpy())
    assert again["basis"].tolist() == grid.table.column("basis").to_pylist()
    fits = pd.read_parquet(tmp_path / "out" / "fits.parquet")
    assert fits["measured_error"].tolist() == [0.034, 0.034]
    assert Experiment.from_yaml((tmp_path / "out" / "experiment.yaml").read_text()).id == grid.experiment.id


def test_fits_without_errors_are_numbers_that_are_not_there(tmp_path, monkeypatch):
    save_empty(monkeypatch, "pdf", "svg", "png")
    write_forecast(made(*ONE, errors=(None, None)), tmp_path)
    assert pd.read_parquet(tmp_path / "fits.parquet")["measured_error"].isna().all()


@pytest.mark.parametrize(
    ("overrides", "preset", "drawn"),
    [
        (MANY, "many-entities", {"curves", "map", "regret"}),
        (SCHEDULES, "quickstart", {"curves-1", "curves-2", "map", "regret"}),
        (ONE, "quickstart", {"curves"}),
    ],
    ids=["ten entities", "schedules", "one point"],
)
@pytest.mark.parametrize("width", [4.1, 10.4])
def test_figures_that_apply_are_drawn(overrides, preset, drawn, width):
    figures = {name: draw(width) for name, draw in figures_of(made(*overrides, preset=preset)).items()}
    assert {name for name, figure in figures.items() if figure is not None} == drawn
    assert all(figure.get_figwidth() <= width for figure in figures.values() if figure is not None)


def test_curves_show_bands_dots_and_geometric_extrapolation(grid):
    figure = figures_of(grid)["curves-2"](10.4)  # beta = 0.5: two of three are measured
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "facts on facts"
    own = grid.table.to_pandas().query("metric == 'loss' and model == 'facts' and task == 'facts'")
    for point, place in ((1, 0), (7, 2)):
        rows = own[own["cell"] == grid.experiment.cells()[point].name].sort_values("generation")
        line = next(each for each in axes.lines if each.get_label() == str(point))
        np.testing.assert_array_equal(line.get_ydata(), rows["value"])
        dots = [each for each in axes.lines if each.get_linestyle() == "None"][place]
        assert np.isfinite(dots.get_ydata()).sum() == (rows["basis"] == "measured").sum()
    dashed = [each for each in axes.lines if each.get_linewidth() == pytest.approx(0.8)]
    assert len(dashed) == 2
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[2].endswith("extrapolated")
    assert {"80 % band", "measured", "geometric extrapolation"} <= set(legend)


def test_the_map_frames_the_lowest_and_hatches_what_is_extrapolated(grid):
    axes = figures_of(grid)["map"](10.4).axes[0]
    texts = {text.get_position(): text.get_text() for text in axes.texts}
    found = Framed(grid).objective
    best = Framed(grid).points.loc[found["value"].idxmin()]
    frame = next(patch for patch in axes.patches if patch.get_edgecolor() == (0, 0, 0, 1) and not patch.get_hatch())
    place = [0, 0.5, 1].index(best["alpha"]), [1, 0.5, 0.2].index(best["beta"])
    assert (frame.get_x(), frame.get_y()) == (place[0] - 0.5, place[1] - 0.5)
    assert texts[place] == number(found["value"].min())
    hatched = [patch for patch in axes.patches if patch.get_hatch()]
    assert len(hatched) == (found["basis"] == "extrapolated").sum() == 5


# Notebooks


def test_a_notebook_shows_losses_and_the_best_mix(grid):
    shown = grid._repr_html_()
    assert "Forecast of quickstart" in shown
    assert f"{number(last(grid).iloc[0]['value'])}" in shown
    assert "extrapolated" in shown
    assert "facts: 0.40, math: 0.55" in shown
    hostile = replace(grid, notes=("<script>alert(1)</script>",))
    assert "<script>" not in hostile._repr_html_()
