"""Runs whose finished cells are packed: killed, damaged, begun by older versions, read meanwhile; the numbers stay."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import shutil
import signal
import threading

import pyarrow.parquet as pq
import pytest

import crossfeed.loop
from crossfeed import Experiment, MemoryStore, Run, run
from crossfeed.description.reading import read_description
from crossfeed.errors import StoreError
from crossfeed.executors import open_executor
from crossfeed.running.status import read_status
from crossfeed.store import open_store
from crossfeed.store.checksum import seal_document
from crossfeed.store.schema import SCHEMA
from tests.runs import numbers

SEEDS = 10
MANY = (
    *("generations=2", "n=20", "ecosystem.alpha=0.5", f"seeds={list(range(SEEDS))}"),
    *("tasks.warm.test=3", "tasks.cold.test=3", "public.test=3", "metrics={loss: {}, similarity: {}}"),
)


@pytest.fixture(scope="module")
def many() -> Experiment:
    """Ten cells of three generations each, whose states and pools are kept."""
    return Experiment.from_yaml(read_description("fake"), MANY)


@pytest.fixture(scope="module")
def undisturbed(many):
    return numbers(run(many, MemoryStore()))


@pytest.fixture(autouse=True)
def _packed_early(monkeypatch):
    """Pack three cells, not 64."""
    monkeypatch.setattr(crossfeed.loop, "TOGETHER", 3)


def files_in(folder, *steps):
    return [path for step in steps for path in sorted((folder / step).rglob("*")) if path.is_file()]


LOOSE = ("records", "outputs", "pool", "checkpoints")


def test_a_run_of_many_cells_is_a_few_files_with_the_same_numbers(many, undisturbed, tmp_path):
    assert numbers(run(many, open_store(tmp_path / "run"))) == undisturbed
    assert not files_in(tmp_path / "run", *LOOSE)
    packs = files_in(tmp_path / "run", "packs")
    assert len(packs) == 2 * 4 * 4  # cells three by three, and one more; four steps; each a table and a document
    opened = Run.load(tmp_path / "run")
    assert (opened.cells["state"] == "finished").all()
    assert all(cell.state == "finished" for cell in read_status(opened.store).cells)
    for cell in many.cells():
        assert set(opened.pool(cell.name, 2)["author"]) == {"warm", "cold"}
        assert not opened.outputs(cell.name, 0).empty
        assert opened.store.has_states(cell.name, 2)
    before = {path: path.read_bytes() for path in packs}
    assert numbers(run(many, open_store(tmp_path / "run"))) == undisturbed
    assert {path: path.read_bytes() for path in files_in(tmp_path / "run", "packs")} == before


def test_other_programs_read_packs(many, undisturbed, tmp_path):
    run(many, open_store(tmp_path / "run"))
    tables = [pq.read_table(path) for path in (tmp_path / "run").glob("packs/records/*.parquet")]
    rows = [row for table in tables for row in table.to_pylist() if row["metric"] != "seconds"]
    values = {(row["scope"], row["generation"], row["model"], row["task"], row["metric"]): row["value"] for row in rows}
    assert len(values) == len(rows) == len(undisturbed)
    zeros = {cell.name: f"shared/{cell.zero}" for cell in many.cells()}
    for number in map(dict, undisturbed):
        scope = number["cell"] if number["generation"] else zeros[number["cell"]]
        assert values[scope, *(number[key] for key in ("generation", "model", "task", "metric"))] == number["value"]


@pytest.mark.parametrize("checkpoints", ["none", "last", "all"])
def test_states_are_kept_as_asked_also_if_that_changes(many, tmp_path, checkpoints):
    def kept(cell):
        return [t for t in range(3) if store.has_states(f"shared/{cell.start}" if t == 0 else cell.name, t)]

    run(many.model_copy(update={"checkpoints": checkpoints}), open_store(tmp_path / "run"))
    store = open_store(tmp_path / "run")
    assert all(kept(cell) == {"none": [], "last": [2], "all": [0, 1, 2]}[checkpoints] for cell in many.cells())
    run(many.model_copy(update={"checkpoints": "none"}), open_store(tmp_path / "run"))
    store = open_store(tmp_path / "run")
    assert not any(kept(cell) for cell in many.cells())
    assert not files_in(tmp_path / "run", "packs/checkpoints")


def test_a_start_that_a_failed_cell_may_need_stays(fake, tmp_path):
    experiment = fake(*MANY[:3], "seeds=[0, 1, 2]", "grid={learner.diverge_at: [2, null]}", "checkpoints=none")
    outcome = run(experiment, open_store(tmp_path / "run"))
    assert len(outcome.failures) == 3
    store = open_store(tmp_path / "run")
    failed = {cell.start for cell in experiment.cells() if cell.name in outcome.failures}
    assert all(store.has_states(f"shared/{start}", 0) for start in failed)
    again = run(experiment, open_store(tmp_path / "run"), retry_failed=True)
    assert numbers(again) == numbers(outcome)


def begin(folder: str) -> None:
    """The run, in a process that is going to be killed."""
    crossfeed.loop.TOGETHER = 3
    run(Experiment.from_yaml(read_description("fake"), MANY), open_store(folder))


def test_kills_at_random_moments(many, undisturbed, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["crossfeed.loop", "crossfeed.learners.fake", "crossfeed.store.folder", __name__])
    folder, dice, killed = tmp_path / "run", random.Random(), 0
    while killed < 15:
        process = context.Process(target=begin, args=(str(folder),))
        process.start()
        process.join(dice.uniform(0.0, 1.5))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            killed += 1
            continue
        assert process.exitcode == 0
        assert numbers(run(many, open_store(folder))) == undisturbed
        folder = tmp_path / f"run-{killed}"  # it came to its end between two kills
    outcome = run(many, open_store(folder))
    assert numbers(outcome) == undisturbed
    assert not outcome.failures
    assert not files_in(folder, *LOOSE)


@pytest.mark.parametrize("number", range(12))
def test_a_damaged_pack_is_named_and_its_cells_are_made_again(number, many, undisturbed, tmp_path):
    chance = random.Random()
    run(many, open_store(tmp_path / "run"))
    step = ("records", "pool", "outputs", "checkpoints")[number % 4]
    target = chance.choice(files_in(tmp_path / "run", f"packs/{step}"))
    before = bytearray(target.read_bytes())
    others = [path for path in files_in(tmp_path / "run", "packs") if path.suffix == target.suffix and path != target]
    way = chance.choice(["cut", "flip", "swap"])
    flipped = bytes(before)
    if way == "flip":
        before[chance.randrange(len(before))] ^= 1 << chance.randrange(8)
        flipped = bytes(before)
    cut, swapped = flipped[: chance.randrange(len(flipped))], chance.choice(others).read_bytes()
    target.write_bytes({"cut": cut, "flip": flipped, "swap": swapped}[way])

    def everything():
        opened = Run.load(tmp_path / "run")
        for cell in many.cells():
            opened.pool(cell.name, 2), opened.outputs(cell.name, 1)
            opened.store.has_states(cell.name, 2)

    with pytest.raises(StoreError, match=target.name):
        everything()
    store = open_store(tmp_path / "run")
    assert numbers(run(many, store)) == undisturbed
    if step == "records":  # of the others nothing is read where all is measured
        assert [target.name in sentence for sentence in store.set_aside] == [True]
        everything()
        assert not files_in(tmp_path / "run", *LOOSE)


def test_a_run_that_an_older_version_began_is_packed_and_gone_on_with(many, undisturbed, tmp_path, monkeypatch):
    with monkeypatch.context() as older:
        older.setattr(crossfeed.loop, "TOGETHER", 100)
        run(many, open_store(tmp_path / "run"))
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    document = {key: value for key, value in document.items() if key != "checksum"}
    (tmp_path / "run" / "run.json").write_bytes(seal_document(document | {"schema": 2}, "run.json"))
    assert numbers(Run.load(tmp_path / "run").store.read_result("records")) == undisturbed
    for cell in many.cells()[4:6]:
        (tmp_path / "run" / "records" / cell.name / "generation-002.parquet").unlink()
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    assert numbers(run(many, open_store(tmp_path / "run"))) == undisturbed
    assert json.loads((tmp_path / "run" / "run.json").read_text())["schema"] == SCHEMA
    assert not files_in(tmp_path / "run", *LOOSE)


def test_what_reads_while_a_run_is_packed_sees_what_was_there(many, undisturbed, tmp_path):
    """A reader that stays open, and one that opens anew each time: what was measured once is there from then on."""
    folder, seen, wrong, done = tmp_path / "run", set(), [], threading.Event()
    places = [(cell.name, t) for cell in many.cells() for t in (1, 2)]

    def look(store):
        before = set(seen)
        found = {place for place in places if store.has_table("records", *place)}
        if not before <= found:
            wrong.append(before - found)
        for place in before:
            store.read_table("records", *place)
        seen.update(found)

    def follow(again):
        store = open_store(folder)
        try:
            while not done.is_set():
                if (folder / "run.json").exists():
                    look(open_store(folder) if again else store)
        except Exception as error:
            wrong.append(error)

    readers = [threading.Thread(target=follow, args=(again,)) for again in (False, True)]
    for reader in readers:
        reader.start()
    try:
        assert numbers(run(many, open_store(folder))) == undisturbed
    finally:
        done.set()
        for reader in readers:
            reader.join()
    assert wrong == []
    look(open_store(folder))
    assert len(seen) == len(places)


def test_cells_that_workers_finish_are_packed(many, undisturbed, tmp_path):
    outcome = run(many, open_store(tmp_path / "run"), executor=open_executor("processes", 2))
    assert numbers(outcome) == undisturbed
    assert not files_in(tmp_path / "run", *LOOSE)
