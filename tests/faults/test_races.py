"""Whole runs that begin at once and need the same base, of which the one that is making it is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from crossfeed import Experiment, MemoryStore, run
from crossfeed.store import open_store
from tests.runs import numbers
from tests.tiny import TINY

pytest.importorskip("torch", reason="language models need the lm extra")

RACERS = 4
ROUNDS = 5
PATIENCE = 180
CHANGES = ("learner.base.scratch.steps=40", "generations=1", "ecosystem.alpha=0.5", "grid={}", "metrics={loss: {}}")


def described(seed: int) -> Experiment:
    return Experiment.from_yaml(TINY, (*CHANGES, f"learner.base.scratch.seed={seed}"))


def begin(folder: str, cache: str, seed: int) -> None:
    run(described(seed), open_store(folder), cache=Path(cache))


def makers(cache: Path) -> set[int]:
    """The processes that hold a lock of the cache; those that wait for it stand behind an arrow."""
    locks = {path.stat().st_ino for path in cache.rglob("*.lock")}
    held = (line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" not in line)
    return {int(words[4]) for words in held if int(words[5].rpartition(":")[2]) in locks}


def parts(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*.part") if path.is_dir()]


@pytest.mark.skipif(not Path("/proc/locks").is_file(), reason="who makes the base is read from /proc/locks")
def test_whole_runs_race_for_one_base_and_its_maker_is_killed(tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["crossfeed.loop", "crossfeed.learners.language.learner", "tests.faults.test_races"])
    dice, killed = random.Random(), 0
    for attempt in range(4 * ROUNDS):
        undisturbed = numbers(run(described(attempt), MemoryStore(), cache=tmp_path / f"alone-{attempt}"))
        cache = tmp_path / f"cache-{attempt}"
        folders = [str(tmp_path / f"run-{attempt}-{i}") for i in range(RACERS)]
        racers = [context.Process(target=begin, args=(folder, str(cache), attempt)) for folder in folders]
        for racer in racers:
            racer.start()
        until = time.monotonic() + PATIENCE
        while not parts(cache) and any(racer.is_alive() for racer in racers):
            assert time.monotonic() < until
            time.sleep(0.005)
        time.sleep(dice.uniform(0.0, 0.1))
        victims = makers(cache) & {racer.pid for racer in racers} if parts(cache) else set()
        if victims:
            os.kill(dice.choice(sorted(victims)), signal.SIGKILL)
        for racer in racers:
            racer.join(PATIENCE)
            assert not racer.is_alive()
        lost = [folder for folder, racer in zip(folders, racers, strict=True) if racer.exitcode == -signal.SIGKILL]
        assert all(racer.exitcode in (0, -signal.SIGKILL) for racer in racers)
        killed += len(lost)
        for folder in lost:
            begin(folder, str(cache), attempt)
        for folder in folders:
            assert numbers(open_store(folder).read_result("records")) == undisturbed
        assert not parts(cache)
        bases = [path for path in (cache / "base").iterdir() if path.is_dir()]
        assert len(bases) == 1, "it was made once, for all"
        if killed >= ROUNDS:
            break
    assert killed >= ROUNDS
