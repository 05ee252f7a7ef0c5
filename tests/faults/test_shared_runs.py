"""Eight processes run the cells of one folder, killed and told to end at random: no cell is computed twice, none lost.

A generation of a cell counts as computed when its records are in the folder: a process that is killed on the way there
has computed nothing. So each file of records is written exactly once, by whichever process; one whose writing was begun
by a process that was killed in the middle of it may be begun again.
"""

from __future__ import annotations

import collections
import multiprocessing
import os
import random
import signal
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import crossfeed.cli
import crossfeed.loop
import crossfeed.reporting.html
from crossfeed import Experiment, MemoryStore, Run, run
from crossfeed.records import scope_of
from crossfeed.store.local import LocalFiles
from tests.faults.cli import empty_report
from tests.runs import numbers

PROCESSES = 8
GRID = """
name: shared
ecosystem:
  entities: [{name: a, private: a}, {name: b, private: b}]
learner: {kind: linear}
tasks:
  a: &private {source: regression, dimension: 4, rows: 20, entity: 0, replicates: 200}
  b: {<<: *private, entity: 1}
public: {<<: *private, entity: 2}
generations: 15
seeds: [0, 1, 2]
grid:
  ecosystem.alpha: [0, 0.25, 0.5, 0.75]
  ecosystem.beta: [0.2, 0.8]
"""


@pytest.fixture(scope="module")
def experiment():
    found = Experiment.from_yaml(GRID)
    assert len(found.cells()) == 24
    return found


@pytest.fixture(scope="module")
def undisturbed(experiment):
    return numbers(run(experiment, MemoryStore()))


def share(described: str, folder: str, journal: str, part: str, together: int) -> None:
    """The command, in a process that may be killed; it notes when it begins and ends to write records."""
    crossfeed.loop.TOGETHER = together
    write = LocalFiles.write

    def note(event: str, path: str) -> None:
        with Path(journal).open("a", buffering=1) as file:
            file.write(f"{event} {path}\n")

    def noting(self, path, content, *, durable=True):
        if path.startswith("records/"):
            note("begin", path)
        write(self, path, content, durable=durable)
        if path.startswith("records/"):
            note("end", path)

    LocalFiles.write = noting
    crossfeed.reporting.html.write_report = empty_report
    sys.argv = ["crossfeed", "run", described, "--out", folder, "--cells", part, "--quiet"]
    with Path(f"{journal}.{os.getpid()}").open("w") as said:
        sys.stdout = sys.stderr = said
        crossfeed.cli.main()


@pytest.fixture(scope="module")
def forked():
    """Starts processes at once, from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["crossfeed.loop", "crossfeed.cli", "crossfeed.learners.regression.learner", "crossfeed.store.folder", __name__]
    )
    return context


@pytest.mark.parametrize(("kills", "together"), [(20, 64), (10, 3)], ids=["", "packed"])
def test_eight_processes_killed_at_random(experiment, undisturbed, forked, tmp_path, kills, together):
    described = tmp_path / "grid.yaml"
    described.write_text(GRID)
    dice, left, codes = random.Random(), kills, []
    for attempt in range(kills):
        folder, journal = tmp_path / f"run-{attempt}", tmp_path / f"journal-{attempt}"

        def start(number, folder=folder, journal=journal):
            part = f"{number + 1}/{PROCESSES}"
            process = forked.Process(target=share, args=(str(described), str(folder), str(journal), part, together))
            process.start()
            return process

        working = [start(number) for number in range(PROCESSES)]
        killed = 0
        while left and any(process.is_alive() for process in working):
            time.sleep(dice.uniform(0.0, 0.6))
            number = dice.randrange(PROCESSES)
            if not working[number].is_alive():
                continue
            how = dice.choice([signal.SIGKILL, signal.SIGTERM])
            os.kill(working[number].pid, how)
            working[number].join()
            codes.append((how, working[number].exitcode))
            killed += how == signal.SIGKILL
            left -= 1
            working[number] = start(number)
        for process in working:
            process.join()
        assert [process.exitcode for process in working] == [0] * PROCESSES
        check(experiment, undisturbed, folder, journal, killed)
        assert bool(list(folder.glob("records/*/*.parquet"))) == (together > len(experiment.cells()))
        if not left:
            break
    assert not left
    # One that had just begun, and had not said yet what is to become of it, ends by the signal itself.
    assert {code for how, code in codes if how == signal.SIGTERM} <= {0, -signal.SIGTERM}


def check(experiment, undisturbed, folder, journal, killed):
    cells = experiment.cells()
    scopes = {(scope_of(cell, t), t) for cell in cells for t in range(experiment.generations + 1)}
    events = collections.Counter(journal.read_text().splitlines())
    begun = {path: count for (event, path), count in _split(events) if event == "begin"}
    ended = {path: count for (event, path), count in _split(events) if event == "end"}
    # A kill between the writing of the file and the note of it leaves it noted as begun alone.
    assert {path: count for path, count in ended.items() if count != 1} == {}
    assert set(begun) == {f"records/{scope}/generation-{t:03d}.parquet" for scope, t in scopes}
    assert sum(begun.values()) - sum(ended.values()) <= killed
    rows = [row for path in folder.glob("packs/records/*.parquet") for row in pq.read_table(path).to_pylist()]
    packed = collections.Counter(
        (row["scope"], row["generation"], row["model"], row["task"]) for row in rows if row["metric"] == "loss"
    )
    assert not packed or {*packed.values()} == {1}
    found = Run.load(folder)
    assert (found.cells["state"] == "finished").all()
    assert numbers(found.store.read_result("records")) == undisturbed
    left = [path.name for path in folder.rglob(".*") if path.name not in (".checksums.json", ".lock", ".writers")]
    assert left == [".made-from"], left
    assert not list((folder / ".writers").iterdir())


def _split(events):
    return ((tuple(line.split(" ", 1)), count) for line, count in events.items())
