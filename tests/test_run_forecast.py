"""Runs that are forecast while they go on: the same numbers, and cells that need not be run."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import sys
from types import ModuleType

import pytest

from crossfeed import Experiment, MemoryStore, Run, open_store, report, run
from crossfeed.errors import InvalidInput
from crossfeed.executors import open_executor
from crossfeed.learners.fake import FakeLearner
from crossfeed.reporting.side_by_side.runs import lay_side_by_side
from crossfeed.reporting.side_by_side.sections import side_by_side_sections
from crossfeed.running import forecasts
from crossfeed.running.left_out import spanning_first
from crossfeed.running.status import read_status
from crossfeed.store.folder import FolderStore
from tests.faults.cli import check_refused, crossfeed_cli, empty_report
from tests.made_up_forecaster import VALUE, MadeUp, trace
from tests.runs import numbers
from tests.tiny import LINEAR

ALPHAS = "grid.ecosystem.alpha=[0, 0.25, 0.5, 0.75, 1]"


SHARE = forecasts._SHARE


@pytest.fixture(autouse=True)
def _with_curves_and_after_every_cell(monkeypatch):
    """Cells of milliseconds are forecast again after each of them."""
    monkeypatch.setattr(FakeLearner, "trace", trace, raising=False)
    monkeypatch.setattr(forecasts, "_SHARE", float("inf"))


@pytest.fixture
def five(fake):
    return fake(ALPHAS, "generations=2")


@pytest.fixture(scope="module")
def undisturbed(fake):
    """The numbers of all cells, by a run that is not forecast."""
    return numbers(run(fake(ALPHAS, "generations=2"), MemoryStore()))


class Lines:
    """Progress that keeps what is logged."""

    def __init__(self):
        self.said = []

    def stage(self, name, total=None, detail=""):
        from crossfeed.display.progress import Silent

        return Silent().stage(name, total, detail)

    def log(self, text):
        self.said.append(text)


def names(experiment, *alphas):
    return {cell.name for cell in experiment.cells() if cell.point["ecosystem.alpha"] in alphas}


def of(records, cells):
    return [row for row in records if dict(row)["cell"] in cells]


# The numbers


@pytest.mark.parametrize("executor", [("serial", 1), ("processes", 2)])
def test_a_forecast_changes_no_number_and_sees_every_update(five, undisturbed, tmp_path, executor):
    store = open_store(tmp_path / "run")
    outcome = run(five, store, executor=open_executor(*executor), forecaster=MadeUp)
    assert not outcome.failures
    assert not outcome.left_out
    assert numbers(outcome) == undisturbed
    later = {f"curves/{cell.name}-{t}" for cell in five.cells() for t in (1, 2)}
    assert later < set(store.documents("curves"))
    assert store.read_result("forecast").num_rows == 0  # made again when the last cell was finished


def test_workers_are_given_whole_cells(five, tmp_path):
    """Generation 0 is one job, which would be distributed over two workers."""
    store = open_store(tmp_path / "run")
    run(five, store, executor=open_executor("processes", 2), forecaster=MadeUp)
    assert len([name for name in store.documents("curves") if name.endswith("-0")]) == 1


def test_what_workers_cannot_import_is_refused(five, tmp_path):
    class Here(MadeUp):
        pass

    with pytest.raises(InvalidInput, match=r"Here.*workers cannot import it"):
        run(five, open_store(tmp_path / "run"), executor=open_executor("processes", 2), forecaster=Here)


def test_a_forecaster_that_fails_costs_no_cell(five, undisturbed):
    class Breaks(MadeUp):
        def refresh(self):
            super().refresh()
            if self.finished == 3:
                raise ZeroDivisionError("a singular matrix")

    lines = Lines()
    outcome = run(five, MemoryStore(), progress=lines, forecaster=Breaks)
    assert numbers(outcome) == undisturbed
    assert [each for each in lines.said if "forecasting stopped" in each] == [
        "forecasting stopped (ZeroDivisionError: a singular matrix); the run goes on without it"
    ]


def test_forecasts_take_a_fiftieth_of_the_time(five, monkeypatch):
    """Cells take 30 seconds each, a forecast 1: it is made after the first cell and after 60 more seconds."""
    clock, made = [0.0], []
    monkeypatch.setattr(forecasts, "_SHARE", SHARE)
    monkeypatch.setattr("crossfeed.running.forecasts.time.monotonic", lambda: clock[0])
    update = FakeLearner.update

    def slow(self, states, sets, keys, generation):
        clock[0] += 30 if generation == 2 else 0
        return update(self, states, sets, keys, generation)

    class Slow(MadeUp):
        def refresh(self):
            made.append(clock[0])
            clock[0] += 1

    monkeypatch.setattr(FakeLearner, "update", slow)
    run(five, MemoryStore(), forecaster=Slow)
    assert made == [30, 91, 152]


def test_the_line_after_a_cell_says_what_is_known_and_how_far_off_it_was(five, undisturbed):
    lines = Lines()
    run(five, MemoryStore(), progress=lines, forecaster=MadeUp)
    said = [each for each in lines.said if each.startswith("forecast: ")]
    first, second = (cell.name for cell in five.cells()[:2])
    rows = [dict(row) for row in undisturbed]
    off = sorted(
        abs(VALUE / row["value"] - 1)
        for row in rows
        if (row["cell"], row["generation"], row["metric"]) == (second, 2, "loss") and row["task"] != "public"
    )
    middle = (off[1] + off[2]) / 2
    assert len(off) == 4
    assert not any(first in each for each in said)
    assert said[0] == (
        "forecast: the last losses of 3 cells are known to within 2 % (median); "
        f"those measured since they were forecast were {100 * middle:.2g} % off (median)"
    )
    assert said[1].startswith("forecast: the last losses of 2 cells are known")
    assert said[-1].startswith("forecast: those measured since")


# The order of cells


def naive_ranks(experiment):
    """0 for a corner of all numeric fields, 1 for the middle, 2 for others, worked out field by field."""
    ranks = []
    for cell in experiment.cells():
        corner = middle = True
        for path, values in experiment.grid.items():
            known = sorted({v for v in values if isinstance(v, int | float) and not isinstance(v, bool)})
            if not known or any(isinstance(v, str | bool | tuple) for v in values):
                continue
            value = cell.point[path]
            corner &= value is not None and value in (min(known), max(known))
            middle &= value is not None and sum(v < value for v in known) == (len(known) - 1) // 2
        ranks.append(0 if corner else 1 if middle else 2)
    return ranks


GRIDS = [
    (ALPHAS,),
    ("grid.ecosystem.alpha=[1, 0, 0.5]", "grid.ecosystem.beta=[0.5, 0.1, 0.9, 0.7]", "seeds=[3, 0]"),
    ("grid.ecosystem.alpha=[0, 0.5, 1]", "grid.ecosystem.history=[latest, accumulate]"),
    ("grid.learner.reads_at_most=[null, 5, 7, 9]", "grid.n=[20, 30, 40]", "ecosystem.alpha=0.5"),
    ("grid.learner.diverge_at=[null]", "ecosystem.alpha=0.5"),
    ("grid.ecosystem.history=[latest, accumulate]", "ecosystem.alpha=0.5", "seeds=[0, 1]"),
    ("grid={}", "ecosystem.alpha=0.5"),
]


@pytest.mark.parametrize("overrides", GRIDS, ids=lambda overrides: overrides[0])
def test_corners_come_first_then_the_middle_then_the_order_of_the_grid(fake, overrides):
    experiment = fake(*overrides)
    order, cells, ranks = spanning_first(experiment.cells()), experiment.cells(), naive_ranks(experiment)
    assert sorted(order) == list(range(len(cells)))
    assert [ranks[position] for position in order] == sorted(ranks)
    rest = [position for position in order if ranks[position] == 2]
    assert rest == sorted(rest)
    for rank in (0, 1):
        seeds = [cells[position].seed for position in order if ranks[position] == rank]
        assert [seed for seed, _ in itertools.groupby(seeds)] == [s for s in experiment.seeds if s in seeds]


def test_cells_are_run_in_that_order_only_if_some_may_be_left_out(five, monkeypatch):
    for stop_when_known, expected in ((None, [0, 0.25, 0.5, 0.75, 1]), (0.001, [0, 1, 0.5, 0.25, 0.75])):
        lines = Lines()
        run(five, MemoryStore(), progress=lines, forecaster=MadeUp, stop_when_known=stop_when_known)
        done = [match[1] for each in lines.said if (match := re.match(r"alpha-([\d.]+)_\S+ t=2/2", each))]
        assert [float(alpha) for alpha in done] == expected


# Cells that are left out


@pytest.mark.parametrize("executor", [("serial", 1), ("processes", 2)])
def test_what_is_known_is_not_run(five, undisturbed, tmp_path, executor):
    lines, store = Lines(), open_store(tmp_path / "run")
    outcome = run(
        five, store, progress=lines, executor=open_executor(*executor), forecaster=MadeUp, stop_when_known=0.03
    )
    out = set(outcome.left_out)
    # Two workers begin with both corners and take the middle when the first of them is finished.
    assert out == (names(five, 0.25, 0.5, 0.75) if executor[1] == 1 else names(five, 0.25, 0.75))
    assert not outcome.failures
    assert all(document == {"half_width": 0.02, "threshold": 0.03} for document in outcome.left_out.values())
    assert set(store.documents("known")) == {f"known/{name}" for name in out}
    ran = {cell.name for cell in five.cells()} - out
    assert of(numbers(outcome), ran) == of(undisturbed, ran)
    assert {dict(row)["generation"] for row in of(numbers(outcome), out)} == {0}  # which all cells share
    for name in out:
        assert f"{name}: left out, its losses are forecast to within 2 %" in lines.said


def test_cells_of_a_seed_that_is_not_forecast_are_run(fake):
    experiment = fake(ALPHAS, "generations=1", "seeds=[0, 1]")
    outcome = run(experiment, MemoryStore(), forecaster=MadeUp, stop_when_known=0.03)
    assert {name.rpartition("-")[2] for name in outcome.left_out} == {"0"}
    assert len(outcome.left_out) == 3


def test_they_stay_left_out_until_a_run_without_it_runs_them(five, undisturbed, tmp_path):
    store = open_store(tmp_path / "run")
    out = set(run(five, store, forecaster=MadeUp, stop_when_known=0.03).left_out)
    lines = Lines()
    assert set(run(five, store, progress=lines, forecaster=MadeUp, stop_when_known=0.03).left_out) == out
    assert not [each for each in lines.said if "t=" in each]
    assert sum("left out before, its losses" in each for each in lines.said) == 3
    outcome = run(five, store)
    assert numbers(outcome) == undisturbed
    assert not outcome.left_out
    assert not store.documents("known")
    kept = {path.parent.name for path in (tmp_path / "run" / "checkpoints").rglob("warm")}
    assert kept == {"generation-002"}


def test_a_narrower_threshold_runs_them(five, undisturbed, tmp_path):
    store = open_store(tmp_path / "run")
    assert run(five, store, forecaster=MadeUp, stop_when_known=0.03).left_out
    assert numbers(run(five, store, forecaster=MadeUp, stop_when_known=0.01)) == undisturbed


class _Stopped(BaseException):
    """Like Ctrl-C at a chosen moment."""


@pytest.mark.parametrize("moment", range(0, 21, 2))
def test_a_run_stopped_at_any_moment_goes_on_to_the_same_records(five, undisturbed, tmp_path, monkeypatch, moment):
    count = itertools.count()

    def counted(write):
        def wrapper(*given, **named):
            if next(count) == moment:
                raise _Stopped
            return write(*given, **named)

        return wrapper

    whole = {"forecaster": MadeUp, "stop_when_known": 0.03}
    with monkeypatch.context() as patch:
        for name in ("write_table", "write_states", "drop_states"):
            patch.setattr(FolderStore, name, counted(getattr(FolderStore, name)))
        with pytest.raises(_Stopped):
            run(five, open_store(tmp_path / "run"), **whole)
    outcome = run(five, open_store(tmp_path / "run"), **whole)
    ran = {cell.name for cell in five.cells()} - set(outcome.left_out)
    assert set(outcome.left_out) == names(five, 0.25, 0.5, 0.75)
    assert of(numbers(outcome), ran) == of(undisturbed, ran)
    assert numbers(run(five, open_store(tmp_path / "run"))) == undisturbed


def test_a_run_that_goes_on_begins_with_what_is_stored(five, tmp_path):
    """Both corners are there: nothing else is begun before they are read."""
    store = open_store(tmp_path / "run")
    run(five, store)
    for cell in five.cells()[1:4]:
        for path in (tmp_path / "run" / "records" / cell.name).iterdir():
            path.unlink()
    assert len(run(five, store, forecaster=MadeUp, stop_when_known=0.03).left_out) == 3


def test_a_cell_that_failed_is_tried_again_only_if_it_is_not_known(fake):
    experiment = fake("ecosystem.alpha=0.5", "grid={learner.diverge_at: [1, 5, 6, 7]}", "generations=2")
    store = MemoryStore()
    assert len(run(experiment, store).failures) == 1
    outcome = run(experiment, store, retry_failed=True, forecaster=MadeUp, stop_when_known=0.03)
    assert not outcome.failures
    assert len(outcome.left_out) == 1


# What is said of them


@pytest.fixture
def left_out(five, tmp_path):
    run(five, open_store(tmp_path / "run"), forecaster=MadeUp, stop_when_known=0.03)
    return tmp_path / "run"


def test_status_counts_and_names_them(five, left_out):
    status = read_status(open_store(left_out))
    assert [cell.state for cell in status.cells] == ["finished", "forecast", "forecast", "forecast", "finished"]
    assert [cell.half_width for cell in status.cells] == [None, 0.02, 0.02, 0.02, None]
    told = crossfeed_cli("status", str(left_out)).out
    assert "5 cells, 2 finished, 3 forecast" in told
    for name in names(five, 0.25, 0.5, 0.75):
        assert f"{name}: left out, its losses are forecast to within 2 %" in told
    cells = json.loads(crossfeed_cli("status", str(left_out), "--json").out)["cells"]
    assert [cell["half_width"] for cell in cells] == [None, 0.02, 0.02, 0.02, None]


def test_show_names_them_and_counts_none_as_measured(five, left_out):
    loaded = Run.load(left_out)
    assert loaded.cells["state"].tolist() == ["finished", "forecast", "forecast", "forecast", "finished"]
    assert set(loaded.left_out["cell"]) == names(five, 0.25, 0.5, 0.75)
    told = crossfeed_cli("show", str(left_out)).out
    assert "cells: 2 finished, 3 forecast" in told
    for name in names(five, 0.25, 0.5, 0.75):
        assert f"{name}: its losses are forecast to within 2 %" in told
    shown = json.loads(crossfeed_cli("show", str(left_out), "--json").out)
    assert shown["failures"] == []
    assert [row["half_width"] for row in shown["left_out"]] == [0.02] * 3


def test_the_explorer_names_them(five, left_out):
    pytest.importorskip("bokeh", reason="needs the extra 'explore'")
    from crossfeed.explorer.run_page import _row, _state

    status = read_status(open_store(left_out))
    assert "Of 5 cells: 2 finished, 3 forecast." in _state(status, measured=True)
    assert [_row(cell)["said"] for cell in status.cells[:2]] == ["", "left out, its losses are forecast to within 2 %"]


def test_runs_side_by_side_name_them(five, left_out, tmp_path):
    shutil.copytree(left_out, tmp_path / "again")
    beside = lay_side_by_side([Run.load(left_out), Run.load(tmp_path / "again")])
    (section,) = [each for each in side_by_side_sections(beside) if each.name == "left-out"]
    named = [[row[0] for row in block.rows] for block in section.blocks if block.kind == "sheet"]
    assert named == [sorted(names(five, 0.25, 0.5, 0.75))] * 2


@pytest.mark.usefixtures("figures_unsaved")
def test_the_report_names_them_and_is_written_anew_once_they_are_run(fake, tmp_path):
    three, place = fake("generations=1", "metrics={loss: {}}"), tmp_path / "run"
    (name,) = run(three, open_store(place), forecaster=MadeUp, stop_when_known=0.03).left_out
    text = report(place).read_text()
    assert "Of 3 cells: 2 finished, 1 forecast. What follows is what was measured." in text
    section = text.partition("Cells that were forecast and not run")[2]
    assert name in section
    run(three, open_store(place))
    assert "All 3 cells finished." in report(place, rewrite=False).read_text()


def test_a_document_of_another_form_counts_as_damaged(five, left_out, undisturbed):
    from tests.faults.test_forms import reseal

    (path, *_) = sorted((left_out / "known").iterdir())
    reseal(left_out, f"known/{path.name}", half_width="narrow")
    check_refused(crossfeed_cli("show", str(left_out)), (f"known/{path.name}",))
    assert numbers(run(five, open_store(left_out))) == undisturbed


# What is refused


@pytest.mark.parametrize("share", [0, 1, -0.1, 3, float("nan"), float("inf")])
def test_a_threshold_is_a_share(five, share):
    with pytest.raises(InvalidInput, match=re.escape(f"stop_when_known = {share}: give a share between 0 and 1")):
        run(five, MemoryStore(), forecaster=MadeUp, stop_when_known=share)


def test_who_leaves_cells_out_forecasts_them(five):
    with pytest.raises(InvalidInput, match="give a forecaster"):
        run(five, MemoryStore(), stop_when_known=0.03)


def test_entities_on_several_workers_are_not_forecast(five, tmp_path):
    with pytest.raises(InvalidInput, match="spread = entities"):
        run(five, open_store(tmp_path / "run"), spread="entities", forecaster=MadeUp)


# The command


@pytest.fixture
def live(monkeypatch):
    """The made-up forecaster as the one of the command line."""
    module = ModuleType("crossfeed.forecasting.live")
    module.LiveForecast = MadeUp
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.usefixtures("live")
def test_the_command_forecasts_and_leaves_out(tmp_path, monkeypatch):
    monkeypatch.setattr("crossfeed.reporting.html.write_report", empty_report)
    command = ["run", "fake", "--set", ALPHAS, "--set", "generations=2", "--out", str(tmp_path / "run")]
    answer = crossfeed_cli(*command, "--stop-when-known", "0.03")
    assert answer.code == 0, answer.err
    assert "cells: 2 finished, 3 forecast" in answer.out
    assert "left out, its losses are forecast to within 2 %" in answer.err
    answer = crossfeed_cli(*command, "--forecast")
    assert answer.code == 0, answer.err
    assert "cells: 5 finished" in answer.out
    assert "forecast: " in answer.err


@pytest.mark.usefixtures("live")
@pytest.mark.parametrize("share", ["0", "1", "3", "-0.5", "nan"])
def test_the_command_refuses_what_is_no_share(tmp_path, share):
    answer = crossfeed_cli("run", "fake", "--out", str(tmp_path / "run"), f"--stop-when-known={share}")
    check_refused(answer, (f"--stop-when-known {float(share):g}: ", "between 0 and 1"))
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("live")
def test_learners_without_curves_are_refused_by_name(tmp_path):
    (tmp_path / "linear.yaml").write_text(LINEAR)
    answer = crossfeed_cli("run", str(tmp_path / "linear.yaml"), "--out", str(tmp_path / "run"), "--forecast")
    check_refused(answer, ("learner.kind = linear", "no learning curves", "--forecast"))
    assert not (tmp_path / "run" / "records").exists()
    with pytest.raises(InvalidInput, match="no learning curves"):
        run(Experiment.from_yaml(LINEAR), MemoryStore(), forecaster=MadeUp)
