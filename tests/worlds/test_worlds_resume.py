"""Worlds beyond one pool in step: stopped and continued, over several workers, to the same records."""

from __future__ import annotations

import random
import subprocess
import sys
import time

import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.executors import open_executor
from crossfeed.reporting.data.numbers import change
from crossfeed.store import open_store
from tests.runs import numbers
from tests.test_run import _Stopped, stop_after, wait_for
from tests.worlds.test_worlds_loop import BASE

WORLDS = {
    "turns": ("ecosystem.order=sequential", "ecosystem.reads=ring", "ecosystem.prompts=pool"),
    "clocks": (
        "ecosystem.every=2",
        "ecosystem.entities.1.phase=1",
        "ecosystem.entities.2.from=2",
        "ecosystem.entities.3.until=4",
        "ecosystem.start=own",
        "ecosystem.entities.2.start=base",
    ),
    "coins": ("ecosystem.probability=0.5", "ecosystem.stale=drop", "ecosystem.start=scratch", "n={first: 10, add: 4}"),
    "kept": ("ecosystem.history=accumulate", "ecosystem.probability=0.5", "ecosystem.entities.0.private={x: 1, z: 2}"),
    "ranked": ("ecosystem.access={rank: popularity, top: 8}", "ecosystem.every=2", "ecosystem.entities.1.phase=1"),
    "searched": ("ecosystem.access={rank: embedding, top: 4}", "ecosystem.reads=ring", "ecosystem.prompts=pool"),
    "judged": ("ecosystem.curation={loss: {quantile: 0.7}}", "ecosystem.every=2", "ecosystem.reads=star"),
}


def experiment_of(world: str) -> Experiment:
    return Experiment.from_yaml(BASE, WORLDS[world])


@pytest.fixture(scope="module", params=sorted(WORLDS))
def world(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(world):
    return numbers(run(experiment_of(world), MemoryStore()))


@pytest.mark.parametrize("moment", range(0, 30, 3))
def test_a_world_that_is_stopped_goes_on_to_the_same_records(world, undisturbed, tmp_path, monkeypatch, moment):
    stop_after(monkeypatch, moment)
    with pytest.raises(_Stopped):
        run(experiment_of(world), open_store(tmp_path / "run"))
    monkeypatch.undo()
    assert numbers(run(experiment_of(world), open_store(tmp_path / "run"))) == undisturbed


@pytest.mark.parametrize("world_killed", ["turns", "clocks", "ranked"])
def test_a_world_that_is_killed_goes_on_to_the_same_records(world_killed, tmp_path):
    """Kill real processes without warning, several times over one run, then let it finish."""
    experiment = Experiment.from_yaml(BASE, (*WORLDS[world_killed], "generations=40"))
    undisturbed = numbers(run(experiment, MemoryStore()))
    (tmp_path / "experiment.yaml").write_text(experiment.to_yaml())
    command = [sys.executable, "-m", "crossfeed", "run", str(tmp_path / "experiment.yaml"), "--quiet"]
    command += ["--out", str(tmp_path / "run"), "--executor", "serial"]
    chance, killed = random.Random(), 0
    for _ in range(5):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(0, 0.3) if wait_for(tmp_path / "run" / "records", process) else 0)
        if process.poll() is None:
            process.kill()
            killed += 1
        process.wait()
    assert killed >= 1
    assert numbers(run(experiment, open_store(tmp_path / "run"))) == undisturbed


@pytest.mark.parametrize("spread", ["cells", "entities"])
def test_a_world_over_workers_has_the_same_records(world, undisturbed, tmp_path, spread):
    executor = open_executor("processes", 2)
    outcome = run(experiment_of(world), open_store(tmp_path / "run"), executor=executor, spread=spread)
    assert not outcome.failures
    assert numbers(outcome) == undisturbed


def test_those_who_are_not_there_are_not_measured():
    outcome = run(experiment_of("clocks"), MemoryStore())
    losses = [row for row in outcome.records.to_pylist() if row["metric"] == "loss"]
    there = {name: {row["generation"] for row in losses if row["model"] == name} for name in "abcd"}
    assert there == {"a": set(range(7)), "b": set(range(7)), "c": set(range(2, 7)), "d": set(range(5))}


def test_a_change_begins_when_its_model_arrives():
    records = run(experiment_of("clocks"), MemoryStore()).records.to_pandas().assign(point=0)
    changed = change(records, "loss").set_index(["model", "task"])
    of_c = records[(records["metric"] == "loss") & (records["model"] == "c") & (records["task"] == "z")]
    values = of_c.set_index("generation")["value"]
    assert changed.loc[("c", "z"), "initial"] == values[2]
    assert changed.loc[("c", "z"), "final"] == values[6]
