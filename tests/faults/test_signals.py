"""Workers that are told to end, and workers that stand still while the run that started them is killed."""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from pathlib import Path

import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import read_description
from crossfeed.executors import open_executor
from crossfeed.executors.processes import ProcessExecutor
from crossfeed.store import open_store
from crossfeed.store.inside import PARTIAL
from tests.runs import numbers

from .test_kills import _children, _Hunter, forked

__all__ = ["forked"]  # a fixture

PATIENCE = 120
SHORT = ("generations=12", "n=60", "ecosystem.alpha=0.5", "ecosystem.beta=0.5", "seeds=[0, 1]", "metrics={loss: {}}")


@pytest.fixture(scope="module")
def experiment():
    return Experiment.from_yaml(read_description("fake"), SHORT)


@pytest.fixture(scope="module")
def undisturbed(experiment):
    return numbers(run(experiment, MemoryStore()))


def begin(folder: str) -> None:
    """The run, in a process that is going to be killed."""
    run(
        Experiment.from_yaml(read_description("fake"), SHORT),
        open_store(folder),
        executor=open_executor("processes", 2),
    )


class _Terminator(_Hunter):
    """Tells a random worker to end, as a system does that shuts down."""

    between = (0.0, 1.5)  # these runs are short

    @staticmethod
    def end(process):
        process.terminate()


def test_workers_told_to_end_at_random_moments(experiment, undisturbed, tmp_path):
    left = 4
    for attempt in range(100):
        folder, executor = tmp_path / f"run-{attempt}", ProcessExecutor(2, 1)
        hunter = _Terminator(executor, left)
        hunter.start()
        outcome = run(experiment, open_store(folder), executor=executor)
        hunter.stopped.set()
        hunter.join()
        left = hunter.left
        assert all("signal 15" in failure["message"] for failure in outcome.failures.values())
        if outcome.failures:
            outcome = run(experiment, open_store(folder), retry_failed=True)
        assert not outcome.failures
        assert numbers(outcome) == undisturbed
        if not left:
            break
    assert not left


def test_a_worker_that_stands_still_while_its_run_is_killed_ends_when_it_goes_on(
    experiment, undisturbed, forked, tmp_path
):
    dice, trials, attempts = random.Random(), 0, itertools.count()
    while trials < 3:
        folder = tmp_path / f"run-{next(attempts)}"
        process = forked.Process(target=begin, args=(str(folder),))
        process.start()
        until = time.monotonic() + PATIENCE
        while process.is_alive() and not (folder / "records").is_dir():  # in the middle of its work
            assert time.monotonic() < until
            time.sleep(0.02)
        time.sleep(dice.uniform(0.0, 1.0))
        children = _children(process.pid) if process.is_alive() else []
        stopped = [child for child in children if _sent(child, signal.SIGSTOP) and _stands(child)]
        _sent(process.pid, signal.SIGKILL)
        process.join()
        if not stopped:
            continue  # it was through already
        trials += 1
        assert all(_alive(child) for child in stopped)
        outcome = run(experiment, open_store(folder))  # the lock went with the process that held it
        assert numbers(outcome) == undisturbed
        before = _content(folder)
        for child in stopped:
            _sent(child, signal.SIGCONT)
        until = time.monotonic() + PATIENCE
        while any(_alive(child) for child in stopped):
            assert time.monotonic() < until
            time.sleep(0.02)
        assert _content(folder) == before
        assert numbers(run(experiment, open_store(folder))) == undisturbed
        assert not list(folder.rglob(f"{PARTIAL}*"))


def _sent(process: int, number: int) -> bool:
    try:
        os.kill(process, number)
    except ProcessLookupError:
        return False
    return True


def _stands(process: int) -> bool:
    """Wait until a process stands still; return False for one that was about to end when it was told to stop."""
    until = time.monotonic() + PATIENCE
    while (state := _state(process)) not in {"T", "Z", None}:
        assert time.monotonic() < until
        time.sleep(0.002)
    return state == "T"


def _alive(process: int) -> bool:
    """Return True for a process that has not ended; nobody here waits for orphans, so one that has may be a zombie."""
    return _state(process) not in {"Z", None}


def _state(process: int) -> str | None:
    """Return the letter that the system gives to a process's state, None for one that is gone."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return None


def _content(folder: Path) -> dict[str, bytes]:
    """All files but half-written ones, which a process that ends in mid-write leaves and the next start removes."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path): path.read_bytes() for path in files if not path.name.startswith(PARTIAL)}
