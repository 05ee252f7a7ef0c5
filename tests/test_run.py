"""Whole runs with fake models: the paper's pattern, resuming, failures, what is kept."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from crossfeed import Experiment, MemoryStore, open_store, run
from crossfeed.errors import InvalidDescription, StoreError, StoreMismatch
from crossfeed.learners.fake import FakeLearner, FakeSettings
from crossfeed.running.cell_runner import CellRunner
from crossfeed.store.folder import FolderStore
from tests.faults.cli import crossfeed_cli, empty_report
from tests.runs import numbers


def final(outcome, alpha, model, task, metric="loss"):
    rows = outcome.records.to_pylist()
    last = max(row["generation"] for row in rows)
    return {
        moment: row["value"]
        for row in rows
        for moment, t in (("first", 0), ("last", last))
        if (row["alpha"], row["model"], row["task"], row["metric"], row["generation"])
        == (alpha, model, task, metric, t)
    }


def test_mixing_teaches_none_does_not_and_only_synthetic_harms(fake):
    outcome = run(fake("n=2000", "generations=6"), MemoryStore())
    change = {
        (alpha, model, task): (lambda pair: pair["last"] - pair["first"])(final(outcome, alpha, model, task))
        for alpha in (0, 0.5, 1)
        for model in ("warm", "cold")
        for task in ("warm", "cold")
    }
    for own, other in (("warm", "cold"), ("cold", "warm")):
        assert change[0, own, other] > 0 > change[0, own, own]
        assert change[0.5, own, other] < -0.1
        assert change[1, own, own] > 0.3


def test_both_stores_hold_the_same_records(fake, tmp_path):
    disk, memory = run(fake(), open_store(tmp_path / "run")), run(fake(), MemoryStore())
    assert numbers(disk) == numbers(memory)
    assert numbers(pq.read_table(tmp_path / "run" / "records.parquet")) == numbers(disk)


def test_generation_zero_is_trained_once_for_cells_that_share_it(fake):
    store = MemoryStore()
    outcome = run(fake("seeds=[0, 1]"), store)
    assert len({scope for step, scope, t in store._tables if step == "records" and t == 0}) == 2
    at_zero = [row for row in outcome.records.to_pylist() if row["generation"] == 0 and row["metric"] == "loss"]
    assert len(at_zero) == 6 * 2 * 3
    by_seed = {(row["seed"], row["model"], row["task"], row["value"]) for row in at_zero}
    assert len(by_seed) == 2 * 2 * 3  # equal in every cell of a seed


def test_cells_are_what_they_would_be_alone(fake):
    together = run(fake(), MemoryStore()).records.to_pylist()
    alone = run(fake("ecosystem.alpha=0.5"), MemoryStore()).records.to_pylist()

    def values(rows):
        return [
            (r["generation"], r["model"], r["task"], r["metric"], r["value"]) for r in rows if r["metric"] != "seconds"
        ]

    assert values(alone) == values([row for row in together if row["alpha"] == 0.5])


def test_other_grid_fields_have_columns_of_their_own(fake):
    outcome = run(
        fake("grid.ecosystem.history=[latest, accumulate]", "grid.n=[20, 30]", "generations=1"), MemoryStore()
    )
    rows = outcome.records.to_pylist()
    assert {(row["ecosystem.history"], row["n"]) for row in rows} == {
        (history, n) for history in ("latest", "accumulate") for n in (20.0, 30.0)
    }


@pytest.mark.parametrize("checkpoints", ["last", "all", "none"])
def test_checkpoints_are_kept_as_asked(fake, tmp_path, checkpoints):
    run(fake("ecosystem.alpha=0.5", "generations=3", f"checkpoints={checkpoints}"), open_store(tmp_path / "run"))
    kept = sorted(path.parent.name for path in (tmp_path / "run" / "checkpoints").rglob("warm"))
    expected = {"last": [3], "all": [0, 1, 2, 3], "none": []}[checkpoints]
    assert kept == [f"generation-{t:03d}" for t in expected]


class _Stopped(BaseException):
    """Like Ctrl-C at a chosen moment."""


@pytest.fixture(scope="module")
def undisturbed(fake):
    """The numbers of a run of three generations."""
    return numbers(run(fake("generations=3"), MemoryStore()))


@pytest.mark.parametrize("moment", range(0, 45, 2))
def test_a_run_stopped_between_any_two_steps_goes_on_to_the_same_records(
    fake, undisturbed, tmp_path, monkeypatch, moment
):
    experiment = fake("generations=3")
    stop_after(monkeypatch, moment)
    with pytest.raises(_Stopped):
        run(experiment, open_store(tmp_path / "run"))
    monkeypatch.undo()
    assert numbers(run(experiment, open_store(tmp_path / "run"))) == undisturbed
    kept = {path.parent.name for path in (tmp_path / "run" / "checkpoints").rglob("warm")}
    assert kept == {"generation-003"}  # nothing is left over from before the stop


def stop_after(monkeypatch, steps: int) -> None:
    """Stop when the store is written for the n-th time, half the times after the write, half before it."""
    count = 0

    def counted(write):
        def wrapper(*args, **kwargs):
            nonlocal count
            count += 1
            if count > steps and count % 2:
                raise _Stopped
            write(*args, **kwargs)
            if count > steps:
                raise _Stopped

        return wrapper

    for name in ("write_table", "write_states", "drop_states"):
        monkeypatch.setattr(FolderStore, name, counted(getattr(FolderStore, name)))


def test_a_finished_run_does_no_work_again(fake, tmp_path, monkeypatch):
    store = open_store(tmp_path / "run")
    first = run(fake(), store)
    monkeypatch.setattr(CellRunner, "_turn", lambda *_: pytest.fail("a finished generation was done again"))
    assert numbers(run(fake(), store)) == numbers(first)


def test_a_kill_at_any_moment_loses_nothing(fake, tmp_path):
    """Kill real processes without warning, several times over one run, then let it finish."""
    experiment = fake("generations=30", "seeds=[0, 1]")
    undisturbed = numbers(run(experiment, MemoryStore()))
    (tmp_path / "experiment.yaml").write_text(experiment.to_yaml())
    command = [sys.executable, "-m", "crossfeed", "run", str(tmp_path / "experiment.yaml"), "--quiet"]
    command += ["--out", str(tmp_path / "run")]
    chance = random.Random(0)
    killed = 0
    for _ in range(8):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        begun = wait_for(tmp_path / "run" / "records", process)
        time.sleep(chance.uniform(0, 0.5) if begun else 0)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
    assert killed >= 2
    outcome = run(experiment, open_store(tmp_path / "run"))
    assert numbers(outcome) == undisturbed
    assert not [name for _, _, names in os.walk(tmp_path / "run") for name in names if "partial" in name]


def wait_for(path: Path, process: subprocess.Popen) -> bool:
    """Wait until a run has begun to write records."""
    while process.poll() is None:
        if path.is_dir():
            return True
        time.sleep(0.02)
    return False


def test_a_failing_cell_is_recorded_and_the_others_go_on(fake, tmp_path):
    experiment = fake("ecosystem.alpha=0.5", "grid.learner.diverge_at=[2, null]")
    store = open_store(tmp_path / "run")
    outcome = run(experiment, store)
    (failure,) = outcome.failures.values()
    assert (failure["generation"], failure["stage"], failure["type"]) == (2, "update", "Diverged")
    assert "nan" in failure["message"]
    last = {
        row["cell"]: max(r["generation"] for r in outcome.records.to_pylist() if r["cell"] == row["cell"])
        for row in outcome.records.to_pylist()
    }
    assert sorted(last.values()) == [1, 5]
    assert run(experiment, store).failures == outcome.failures  # not tried again unasked
    assert run(experiment, store, retry_failed=True).failures.keys() == outcome.failures.keys()


def test_a_folder_of_another_run_is_refused(fake, tmp_path):
    run(fake("generations=1"), open_store(tmp_path / "run"))
    before = (tmp_path / "run" / "records.parquet").read_bytes()
    with pytest.raises(StoreMismatch, match=r"does not go on from it \(n: 30, and there 200\); runs are never mixed"):
        run(fake("generations=1", "n=30"), open_store(tmp_path / "run"))
    assert (tmp_path / "run" / "records.parquet").read_bytes() == before


def test_a_folder_that_is_no_run_is_refused(fake, tmp_path):
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(StoreError, match="not empty"):
        run(fake("generations=1"), open_store(tmp_path))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["thesis.tex"]


def test_changed_data_are_noticed(fake, tmp_path, monkeypatch):
    run(fake("generations=1"), open_store(tmp_path / "run"))
    monkeypatch.setattr("crossfeed.learners.fake.address", lambda *path: 1)
    with pytest.raises(StoreMismatch, match="data of cold, public, warm"):
        run(fake("generations=1"), open_store(tmp_path / "run"))


def test_one_entity_and_no_generations_are_special_cases_of_the_same(fake):
    outcome = run(
        fake("ecosystem.entities=[{name: solo, private: warm}]", "generations=0", "ecosystem.alpha=0.5"), MemoryStore()
    )
    rows = outcome.records.to_pylist()
    assert {row["model"] for row in rows if row["metric"] == "loss"} == {"solo"}
    assert not [row for row in rows if row["metric"] == "similarity"]


def test_a_folder_that_was_killed_at_its_first_moment_is_no_obstacle(fake, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".partial-00000000-run.json").write_text("{")
    assert not run(fake("generations=1"), open_store(tmp_path / "run")).failures


def test_failures_of_another_description_are_not_this_ones(fake, tmp_path):
    assert run(fake("ecosystem.alpha=0.5", "learner.diverge_at=0"), open_store(tmp_path / "run")).failures
    assert not run(fake("ecosystem.alpha=0.5"), open_store(tmp_path / "run")).failures


def test_what_was_removed_is_made_again_the_same(fake, tmp_path):
    """A damaged table of a finished run can be removed, although the states before it are long gone."""
    first = numbers(run(fake(), open_store(tmp_path / "run")))
    cell = fake().cells()[1].name
    for step, generation in (("records", 3), ("pool", 2)):
        (tmp_path / "run" / step / cell / f"generation-{generation:03d}.parquet").unlink()
    assert numbers(run(fake(), open_store(tmp_path / "run"))) == first


def test_a_damaged_table_is_made_again(fake, tmp_path):
    first = numbers(run(fake("generations=1"), open_store(tmp_path / "run")))
    path = next((tmp_path / "run" / "records").rglob("generation-001.parquet"))
    path.write_bytes(path.read_bytes()[:100])
    assert numbers(run(fake("generations=1"), open_store(tmp_path / "run"))) == first


def test_a_second_process_is_kept_out(fake, tmp_path, monkeypatch):
    monkeypatch.setattr("crossfeed.reporting.html.write_report", empty_report)
    store = open_store(tmp_path / "run")
    run(fake("generations=1"), store)
    store.begin(fake("generations=1").to_yaml(), store.read_document("run"))
    command = ["run", "fake", "--set", "generations=1", "--out", str(tmp_path / "run")]
    apart = [sys.executable, "-m", "crossfeed", *command]
    refused = subprocess.run(apart, capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert f"in use by process {os.getpid()}" in refused.stderr
    store.end()
    assert crossfeed_cli(*command).code == 0


def test_fresh_data_are_set_aside_before_anything_is_built(fake, monkeypatch):
    """No learner, and so no base model, ever sees fresh items as training data."""
    seen = []
    monkeypatch.setattr(
        "crossfeed.learners.fake.FakeSettings.build",
        lambda self, context, build=FakeSettings.build: (
            seen.append(context.tasks["public"].train) or build(self, context)
        ),
    )
    run(fake("ecosystem.alpha=0.5", "ecosystem.fresh_fraction=0.5", "generations=2"), MemoryStore())
    assert [table.num_rows for table in seen] == [30]


def test_an_order_of_the_grid_or_a_spelling_is_no_other_run(fake, tmp_path):
    first = fake("grid.ecosystem.alpha=[0, 0.5, 1]", "seeds=[0, 1]", "generations=1")
    again = fake("grid.ecosystem.alpha=[1.0, 0.0, 0.5]", "seeds=[1, 0]", "generations=1")
    assert first.id == again.id
    run(first, open_store(tmp_path / "run"))
    before = sorted(numbers(run(first, open_store(tmp_path / "run"))))
    assert sorted(numbers(run(again, open_store(tmp_path / "run")))) == before


def test_cells_that_train_alike_up_to_zero_share_its_states_however_they_are_measured(fake):
    experiment = fake("ecosystem.alpha=0.5", "grid.metrics.accuracy.items=[3, 6]", "generations=1")
    assert len({cell.start for cell in experiment.cells()}) == 1
    assert len({cell.zero for cell in experiment.cells()}) == 2
    store = MemoryStore()
    updates = []
    real = FakeLearner.update
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FakeLearner, "update", lambda self, *args: updates.append(args[3]) or real(self, *args))
        run(experiment, store)
    assert updates == [0, 1, 1]


def test_a_loss_that_is_not_a_number_is_a_failure(fake, monkeypatch):
    real = FakeLearner.update

    def breaks(self, states, sets, keys, generation):
        made = real(self, states, sets, keys, generation)
        return [state * float("nan") for state in made] if generation == 2 else made

    monkeypatch.setattr(FakeLearner, "update", breaks)
    outcome = run(fake("ecosystem.alpha=0.5", "generations=2"), MemoryStore())
    (failure,) = outcome.failures.values()
    assert (failure["type"], failure["generation"], failure["stage"]) == ("Diverged", 2, "measure")


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("grid.learner=[{kind: fake}, {kind: fake, diverge_at: 9}]", "grid.learner.diverge_at=[1, 2]"), "lies within"),
        (("grid.learner=[{kind: fake}, {kind: fake, diverge_at: 9}]", "learner.diverge_at=3"), "is on the grid"),
        (("grid.ecosystem.alpha=[0.5, .nan]",), "only finite numbers"),
        (("ecosystem.update=accumulate", "grid={}", "ecosystem.alpha=null", "initial_n=5"), "leave initial_n out"),
    ],
)
def test_a_grid_never_says_one_thing_and_runs_another(fake, overrides, words):
    with pytest.raises(InvalidDescription, match=words):
        fake(*overrides).cells()


def test_names_that_look_like_numbers_come_back(fake):
    experiment = fake("name='1e3'", "description='5e3'")
    assert Experiment.from_yaml(experiment.to_yaml()) == experiment


def test_paths_lead_into_short_forms(fake):
    experiment = fake("tasks.warm=math", "tasks.warm.train=50", "metrics.loss=true", "metrics.loss.every=2")
    assert experiment.tasks["warm"].train == 50
    assert experiment.metrics["loss"].every == 2


def test_a_failure_of_an_earlier_try_does_not_outlive_a_finished_cell(fake):
    """A retry that is killed between its last record and the removal of the old failure is finished all the same."""
    store = MemoryStore()
    experiment = fake("ecosystem.alpha=0.5", "generations=1")
    run(experiment, store)
    name = experiment.cells()[0].name
    store.write_document(f"failures/{name}", {"cell": name, "stage": "update", "type": "Diverged", "message": "nan"})
    assert run(experiment, store).failures == {}
