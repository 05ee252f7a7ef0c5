"""A stored forecast in a run's report and on its page in the explorer, beside what was measured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfeed import Run, open_store, run
from crossfeed.explorer.run_lines import panels, put
from crossfeed.explorer.run_page import _Beside
from crossfeed.reporting.data.exact import theory_of
from crossfeed.reporting.data.forecasted import beside_measured
from crossfeed.reporting.page.blocks import Picture, Sheet
from crossfeed.reporting.page.forecasts import forecast_beside
from crossfeed.reporting.page.sections import sections
from crossfeed.reporting.page.sheets import sheets

from .made import made

SMALL = (
    *("generations=2", "n=20", "public.test=4", "tasks.warm.test=4", "tasks.cold.test=4"),
    "grid={ecosystem.alpha: [0, 0.5], ecosystem.beta: [0.2, 0.5]}",
)
KEYS = ["cell", "generation", "model", "task", "metric"]


@pytest.fixture(scope="module")
def forecast():
    return made(*SMALL, preset="fake", measured=(), metrics=("loss",))


@pytest.fixture(scope="module")
def whole(tmp_path_factory, forecast) -> Run:
    """A finished run with a stored forecast."""
    folder = tmp_path_factory.mktemp("forecast") / "run"
    run(forecast.experiment, open_store(folder))
    open_store(folder).write_result("forecast", forecast.table)
    return Run.load(folder)


@pytest.fixture(scope="module")
def partly(whole) -> Run:
    """The same as it would be without a cell that the forecast knew well enough."""
    left_out = (whole.records["point"] == 3) & (whole.records["generation"] > 0)
    return replace(whole, records=whole.records[~left_out])


def sheet(blocks, words: str) -> dict[str, dict[str, str]]:
    """A table's rows by grid point."""
    (found,) = [block for block in blocks if isinstance(block, Sheet) and words in block.caption]
    return {row[0].replace("\u00a0", " "): dict(zip(found.head, row, strict=True)) for row in found.rows}


def test_forecast_and_measured_numbers_meet(whole, forecast):
    table = beside_measured(whole).set_index(KEYS)
    given = forecast.table.to_pandas().set_index(KEYS)
    ran = whole.records.set_index(KEYS)["value"]
    assert len(table) == len(given)
    np.testing.assert_array_equal(table["surrogate"], given.loc[table.index, "surrogate"])
    np.testing.assert_array_equal(table["measured"], ran.loc[table.index])
    assert table.loc[table["basis"] == "measured", "lower"].isna().all()
    assert table.loc[table["basis"] == "forecast", "lower"].notna().all()


def test_errors_are_of_the_surrogate_where_the_run_measured(partly):
    errors = sheet(forecast_beside(partly), "Errors")
    table = beside_measured(partly).query("generation > 0 and measured.notna()")
    assert set(errors) == {"α = 0, β = 0.2", "α = 0.5, β = 0.2", "α = 0, β = 0.5", "all"}
    for label, point in (("α = 0, β = 0.2", 0), ("α = 0, β = 0.5", 1)):
        rows = table[table["point"] == point]
        median = 100 * (rows["surrogate"] / rows["measured"] - 1).abs().median()
        own = rows[(rows["model"] == rows["task"]) & (rows["generation"] == 2)]
        assert errors[label]["error, median"] == f"{median:.1f} %"
        assert errors[label]["own tasks, forecast"] == f"{own['surrogate'].mean():.2f}"
        assert errors[label]["measured"] == f"{own['measured'].mean():.2f}"
        assert errors[label]["measured before"] == "0 of 12"


def test_cells_that_were_left_out_are_listed_with_their_forecast(partly, whole):
    left_out = sheet(forecast_beside(partly), "not measured to the end")
    rows = beside_measured(partly).query("point == 3 and generation == 2 and model == task")
    assert set(left_out) == {"α = 0.5, β = 0.5"}
    (row,) = left_out.values()
    assert row["own tasks, forecast"] == f"{rows['surrogate'].mean():.2f}"
    assert row["80 % band"] == f"{rows['lower'].mean():.2f} to {rows['upper'].mean():.2f}"
    assert row["basis"] == "forecast"
    assert not [b for b in forecast_beside(whole) if isinstance(b, Sheet) and "not measured" in b.caption]


def test_numbers_that_were_known_are_counted_apart(tmp_path, whole, forecast):
    known = made(*SMALL, preset="fake", measured=(0,), metrics=("loss",))
    open_store(tmp_path / "run")
    run(known.experiment, open_store(tmp_path / "run"))
    open_store(tmp_path / "run").write_result("forecast", known.table)
    errors = sheet(forecast_beside(Run.load(tmp_path / "run")), "Errors")
    assert errors["α = 0, β = 0.2"]["measured before"] == "12 of 12"
    assert errors["α = 0, β = 0.5"]["measured before"] == "0 of 12"


def test_geometric_extrapolation_is_compared_over_the_same_numbers(tmp_path):
    given = made(*SMALL, preset="fake", measured=(0,), metrics=("loss",))
    run(given.experiment, open_store(tmp_path / "run"))
    open_store(tmp_path / "run").write_result("forecast", given.table)
    loaded = Run.load(tmp_path / "run")
    errors = sheet(forecast_beside(loaded), "Errors")
    table = beside_measured(loaded).query("generation > 0 and geometric.notna()")
    medians = [100 * (table[name] / table["measured"] - 1).abs().median() for name in ("geometric", "surrogate")]
    assert errors["all"]["geometric, median (forecast there)"] == f"{medians[0]:.1f} % ({medians[1]:.1f} %)"
    assert errors["α = 0, β = 0.5"]["geometric, median (forecast there)"] == "–"


def test_the_section_stands_in_the_report_only_with_a_forecast(whole, tmp_path, forecast):
    (section,) = [each for each in sections(whole, theory_of(whole)) if each.name == "forecast"]
    pictures = [block for block in section.blocks if isinstance(block, Picture)]
    assert [each.name for each in pictures] == ["forecast-1", "forecast-2"]
    assert all(each.alt and each.draw(4.1).axes for each in pictures)
    assert len(sheets(whole, theory_of(whole))["forecast"]) == forecast.table.num_rows
    run(forecast.experiment, open_store(tmp_path / "run"))
    without = Run.load(tmp_path / "run")
    assert forecast_beside(without) == []
    assert "forecast" not in sheets(without, theory_of(without))


def test_the_explorer_draws_it_dashed_in_the_models_colours(whole, forecast):
    expected = _Beside(whole).losses(whole, 1)
    assert expected is not None
    source, table = expected
    assert source == "forecast"
    names = whole.experiment.ecosystem.names
    measured = (
        whole.records.query("point == 1 and metric == 'loss'").rename(columns={"value": "mean"}).assign(se=np.nan)
    )
    for panel, task in zip(panels(whole.experiment), [*whole.experiment.tasks, "public"], strict=True):
        of_task = table[table["task"] == task]
        put(panel, measured, names, expected)
        drawn, ran = panel.lines._bare.data, panel.lines._lines.data
        assert drawn["dash"] == ["dashed", "dashed"]
        assert drawn["colour"] == ran["colour"]
        for model, line in zip(names, drawn["ys"], strict=True):
            rows = of_task[of_task["model"] == model].sort_values("generation")
            np.testing.assert_array_equal(line, rows["mean"])


def test_the_explorer_sees_a_forecast_that_comes_later(tmp_path, forecast):
    run(forecast.experiment, open_store(tmp_path / "run"))
    before = Run.load(tmp_path / "run")
    beside = _Beside(before)
    assert beside.losses(before, 0) is None
    open_store(tmp_path / "run").write_result("forecast", forecast.table)
    assert beside.losses(before, 0) is None, "it is read with the run's numbers"
    after = Run.load(tmp_path / "run")
    found = beside.losses(after, 0)
    assert found is not None
    assert found[0] == "forecast"
