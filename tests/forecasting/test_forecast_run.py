"""Forecasts of a small language model: what they leave in a run's folder, and runs that go on from there."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from crossfeed import Run, open_store, run
from crossfeed.forecasting.probing import forecast, is_done, probes_of
from crossfeed.forecasting.stored import read_known
from crossfeed.forecasting.tracing import INITIAL_MARKS, MARKS, read_curve
from crossfeed.records import collect, scope_of
from crossfeed.running.status import read_status
from tests.forecasting.small import Interrupted, Stages, small
from tests.runs import numbers

pytest.importorskip("torch", reason="the language learner needs the lm extra")

BUDGET = 2.5  # two generations: one of a cell of the grid, one of a cell that it lacks


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def plain(tmp_path_factory, cache):
    """The folder of a run that nobody forecast, and its records."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    return folder, numbers(run(small(), open_store(folder), cache=cache))


@pytest.fixture(scope="module")
def forecasted(tmp_path_factory, cache):
    """The folder of a forecast, the forecast, and the stages that it went through."""
    folder, stages = tmp_path_factory.mktemp("forecast") / "run", Stages()
    return folder, forecast(small(), open_store(folder), budget=BUDGET, cache=cache, progress=stages), stages.names


@pytest.fixture
def copied(forecasted, tmp_path):
    """A copy of the forecast's folder, to change."""
    return shutil.copytree(forecasted[0], tmp_path / "run")


def rows(table):
    return [tuple(row.items()) for row in table.to_pylist()]


def curves(experiment, folder):
    """All curves of all cells and probes, by cell and generation."""
    tasks, store = [*experiment.tasks, "public"], open_store(folder)
    cells = {cell.name: cell for cell in experiment.cells()}
    cells |= {probe.cell.name: probe.cell for probe in probes_of(experiment, BUDGET)}
    found = {(c.name, t): read_curve(store, c, t, tasks) for c in cells.values() for t in range(3)}
    return {place: curve for place, curve in found.items() if curve is not None}


def test_every_cell_generation_model_and_task_is_forecast(forecasted):
    _, made, _ = forecasted
    experiment = small()
    places = {(row["cell"], row["generation"], row["model"], row["task"]) for row in made.table.to_pylist()}
    cells, tasks = [cell.name for cell in experiment.cells()], [*experiment.tasks, "public"]
    assert places == {(c, t, k, s) for c in cells for t in range(3) for k in ("a", "b") for s in tasks}
    assert made.table.num_rows == len(places)
    assert made.cost.generations == 2
    assert made.cost.reused == 1
    assert made.cost.grid == 4
    for row in made.table.to_pylist():
        assert row["lower"] <= row["value"] <= row["upper"]
        assert (row["lower"] == row["upper"]) == (row["basis"] == "measured")
        assert (row["basis"] == "extrapolated") <= (row["cell"] == "alpha-1_seed-0")
    measured = [row for row in made.table.to_pylist() if row["basis"] == "measured"]
    assert {(row["cell"], row["generation"]) for row in measured} == {(cells[0], 0), (cells[1], 0), (cells[1], 1)}


def test_what_is_measured_is_what_the_run_measures(forecasted, plain):
    _, made, _ = forecasted
    key = "cell", "generation", "model", "task", "metric", "value"
    of_run = {tuple(dict(row)[name] for name in key) for row in plain[1]}
    measured = [row for row in made.table.to_pylist() if row["basis"] == "measured"]
    assert {tuple(row[name] for name in key) for row in measured} <= of_run


def test_a_run_goes_on_from_a_forecast_to_the_records_of_a_plain_run(copied, plain, cache):
    outcome = run(small(), open_store(copied), cache=cache)
    assert not outcome.failures
    assert numbers(outcome) == plain[1]


def test_a_run_with_fresh_data_and_older_pools_goes_on_from_a_forecast(tmp_path, cache):
    overrides = "ecosystem.fresh_fraction=0.25", "ecosystem.history=accumulate", "measured=own", "tasks.math.train=60"
    experiment = small(*overrides, "public.train=60", "ecosystem.entities.0.share=2")
    made = forecast(experiment, open_store(tmp_path / "forecast"), budget=BUDGET, cache=cache)
    places = {(row["model"], row["task"]) for row in made.table.to_pylist()}
    assert places == {("a", "facts"), ("a", "public"), ("b", "math"), ("b", "public")}
    assert np.isfinite([row["value"] for row in made.table.to_pylist()]).all()
    after, alone = (
        run(experiment, open_store(tmp_path / name), cache=cache, spread="cells") for name in ("forecast", "plain")
    )
    assert numbers(after) == numbers(alone)


def test_training_sets_that_grow_are_forecast(tmp_path, cache):
    """With update: accumulate no probe is on the grid, and none has the sizes of its cells."""
    experiment = small("grid={}", "ecosystem.update=accumulate", "ecosystem.beta=0.5")
    made = forecast(experiment, open_store(tmp_path / "run"), budget=BUDGET, cache=cache)
    assert np.isfinite([row["value"] for row in made.table.to_pylist()]).all()
    known = read_known(open_store(tmp_path / "run"), experiment, 0)
    assert known.conditions(experiment.cells()[0]).steps[:, 0].tolist() == [8, 12]
    assert [known.conditions(probe.cell).steps[0, 0] for probe in probes_of(experiment, BUDGET)] == [4, 4]


def test_forecasting_again_runs_nothing(copied, forecasted, cache):
    stages = Stages()
    again = forecast(small(), open_store(copied), budget=BUDGET, cache=cache, progress=stages)
    assert not {"start", "update", "publish", "compose", "measure", "store"} & set(stages.names)
    assert rows(again.table) == rows(forecasted[1].table)
    assert again.cost.seconds == 0
    assert again.best_common == forecasted[1].best_common
    assert again.best_own == forecasted[1].best_own


@pytest.mark.parametrize(
    ("stage", "time"),
    [("update", 1), ("steps", 4), ("measure", 2), ("store", 3)],
    ids=["generation 0", "within an update", "a generation without losses", "the last update"],
)
def test_a_forecast_that_was_stopped_goes_on_to_the_same_table(stage, time, forecasted, tmp_path, cache):
    folder = tmp_path / "run"
    with pytest.raises(Interrupted):
        forecast(small(), open_store(folder), budget=BUDGET, cache=cache, progress=Stages(stage, time))
    again = forecast(small(), open_store(folder), budget=BUDGET, cache=cache)
    assert rows(again.table) == rows(forecasted[1].table)


def test_a_probe_that_was_stopped_once_it_was_measured_leaves_no_states(tmp_path, cache):
    (probe,) = [probe for probe in probes_of(small(), BUDGET) if not probe.on_grid]
    store = open_store(tmp_path / "run")
    with pytest.raises(Interrupted):
        forecast(small(), store, budget=BUDGET, cache=cache, progress=Stages(f"{probe.cell.name} t=1/1"))
    assert is_done(store, probe)
    assert store.has_states(probe.cell.name, 1)
    forecast(small(), store, budget=BUDGET, cache=cache)
    assert not store.has_states(probe.cell.name, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"tokens": 3},
        {"base": {}},
        {"later": [{}, {}]},
        {"later": None},
        {"steps": []},
        {"guess": "high"},
        {"tasks": []},
    ],
    ids=str,
)
def test_what_is_known_is_looked_at_again_if_it_cannot_be_read(change, copied, cache):
    experiment, store = small(), open_store(copied)
    name = f"curves/shared/{experiment.cells()[0].start}/known"
    whole = store.read_document(name)
    store.write_document(name, whole | change)
    assert read_known(store, experiment, 0) is None
    if change == {"later": [{}, {}]}:
        forecast(experiment, store, budget=BUDGET, cache=cache)
        assert store.read_document(name) == whole


def test_a_larger_budget_goes_on_from_a_smaller_one(copied, tmp_path, cache):
    further = forecast(small(), open_store(copied), budget=5, cache=cache)
    at_once = forecast(small(), open_store(tmp_path / "at once"), budget=5, cache=cache)
    assert further.cost.generations == at_once.cost.generations == 4
    assert rows(further.table) == rows(at_once.table)


def test_probes_that_the_grid_lacks_leave_no_states_and_no_status(forecasted):
    folder, _, _ = forecasted
    (probe,) = [probe for probe in probes_of(small(), BUDGET) if not probe.on_grid]
    store = open_store(folder)
    assert is_done(store, probe)
    assert store.has_table("records", scope_of(probe.cell, 1), 1)
    files = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    named = [path for path in files if probe.cell.name in str(path)]
    assert named
    assert not [path for path in named if path.parts[0] in ("checkpoints", "status", "failures")]
    assert not store.has_states(probe.cell.name, 1)


def test_probes_that_the_grid_lacks_are_no_cells_of_the_run(forecasted):
    folder, _, _ = forecasted
    experiment, cells = small(), [cell.name for cell in small().cells()]
    loaded = Run.load(folder)
    assert loaded.cells["cell"].tolist() == cells
    assert loaded.cells["reached"].tolist() == [0, 1]
    assert set(loaded.records["cell"]) == set(cells)
    status = read_status(open_store(folder))
    assert [(cell.cell, cell.reached) for cell in status.cells] == [(cells[0], 0), (cells[1], 1)]
    assert status.writer is None
    assert status.count("failed") == status.count("running") == 0
    assert set(collect(open_store(folder), experiment, experiment.cells()).column("cell").to_pylist()) == set(cells)


def test_curves_end_at_the_losses_that_are_recorded(forecasted):
    folder, made, _ = forecasted
    found = curves(small(), folder)
    probes = {probe.cell.name for probe in probes_of(small(), BUDGET)}
    assert {place for place in found if place[1] > 0} == {(name, 1) for name in probes}
    for (_, t), curve in found.items():
        marks = INITIAL_MARKS if t == 0 else MARKS
        np.testing.assert_array_equal(curve["marks"], marks)
        assert curve["steps"].tolist() == [4, 4]
        assert curve["loss"].shape == (len(marks), 2, 3)
        assert np.isfinite(curve["loss"]).all()
    recorded = {(r["cell"], r["generation"], r["model"], r["task"]): r["value"] for r in made.table.to_pylist()}
    for (cell, t), curve in found.items():
        for k, model in enumerate("ab"):
            for s, task in enumerate(("facts", "math", "public")):
                if cell in {each.name for each in small().cells()}:
                    assert curve["loss"][-1, k, s] == pytest.approx(recorded[cell, t, model, task], rel=1e-12)


def test_a_curve_of_other_tasks_or_shapes_is_none(copied):
    experiment, store = small(), open_store(copied)
    cell, tasks = experiment.cells()[1], [*experiment.tasks, "public"]
    (name,) = [name for name in store.documents(f"curves/{cell.name}") if name.endswith("/001")]
    assert read_curve(store, cell, 1, tasks) is not None
    assert read_curve(store, cell, 1, tasks[::-1]) is None
    assert read_curve(store, cell, 2, tasks) is None
    written = store.read_document(name)
    for change in ({"loss": [1.0]}, {"loss": "no"}, {"steps": [1]}, {"marks": None}, {"marks": [1.0]}):
        store.write_document(name, written | change)
        assert read_curve(store, cell, 1, tasks) is None


def test_a_finished_run_without_curves_can_be_forecast(plain, tmp_path, cache):
    """Of a run that nobody looked at the losses after generations are known, and a note says what is missing."""
    folder = shutil.copytree(plain[0], tmp_path / "run")
    stages = Stages()
    made = forecast(small(), open_store(folder), budget=1.25, cache=cache, progress=stages)  # alpha = 1, which is there
    assert "update" not in stages.names
    assert any("generation 0 was trained without being looked at" in note for note in made.notes)
    assert set(made.table.column("basis").to_pylist()) == {"measured"}
    assert made.half_widths() == dict.fromkeys((cell.name for cell in small().cells()), None)
    assert made.cost.seconds == 0
    assert numbers(run(small(), open_store(folder), cache=cache)) == plain[1]


def test_a_probe_of_a_finished_run_leaves_its_records_and_states_as_they_were(plain, tmp_path, cache):
    folder = shutil.copytree(plain[0], tmp_path / "run")
    before = {path.relative_to(folder) for path in folder.rglob("*.safetensors")}
    forecast(small(), open_store(folder), budget=BUDGET, cache=cache)
    assert rows(collect(open_store(folder), small(), small().cells()))
    assert numbers(run(small(), open_store(folder), cache=cache)) == plain[1]
    assert {path.relative_to(folder) for path in folder.rglob("*.safetensors")} == before
