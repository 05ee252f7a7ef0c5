"""Memory and file handles do not grow with the number of generations.

What is counted is exact where it can be: Python's own allocations, Arrow's, live tensors and open files. All that the
system says of a process's memory is noise of the allocator's, so that it is not asked.
"""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa
import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.learners.fake import FakeLearner
from crossfeed.loop import run
from crossfeed.store import open_store
from tests.tiny import TINY

_FILES = 3
_BEFORE = 4
_BYTES = 300_000
"""Far less than one set of draws, pool or table of each generation in between would take."""


@dataclass(frozen=True)
class Use:
    """What is in use at one moment.

    Attributes:
        files: Open file handles.
        python: Bytes that Python allocated and did not free.
        arrow: Bytes of live Arrow tables.
        tensors: Live tensors.
    """

    files: int
    python: int
    arrow: int
    tensors: int


def use() -> Use:
    gc.collect()
    tensors = sum(type(one).__name__ in ("Tensor", "Parameter") for one in gc.get_objects())
    files = len(os.listdir("/proc/self/fd"))
    return Use(files, traced(), pa.total_allocated_bytes(), tensors)


def traced() -> int:
    return tracemalloc.get_traced_memory()[0]


def make_room() -> None:
    """Let Python's table of interned strings grow now, so that it does not between two moments of measuring.

    Every part of a path goes in and out of that table. When it is full, in which all tests that ran before have a part,
    another takes its place: megabytes at once, and nothing is deducted for one that is older than the tracing. Right
    after that it has room for as many strings as it holds.
    """
    interned: list[list[str]] = [[]]  # in one list, which grows by leaps itself, the leap would not be seen
    leap = 0
    while leap < _BYTES:
        if len(interned[-1]) == 1000:
            interned.append([])
        before = traced()
        interned[-1].append(sys.intern(f"room {len(interned)} {len(interned[-1])}"))
        leap = traced() - before


@pytest.fixture
def trace(monkeypatch) -> Callable[..., dict[int, Use]]:
    """Run an experiment and note what is in use when some generations are about to be updated."""
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list a process's open files")

    def follow(learner: type, experiment: Experiment, folder, moments: tuple[int, ...]) -> dict[int, Use]:
        found: dict[int, Use] = {}
        update, store = learner.update, open_store(folder)

        def noting(self, states, sets, keys, generation):
            # Tracing takes four times the run's own time; all that a generation holds is new after two of them.
            if generation == moments[0] - _BEFORE:
                tracemalloc.start()
            if generation in moments:
                store._files._finish()  # nothing is counted while another thread writes
                if not found:
                    make_room()
                found[generation] = use()
            return update(self, states, sets, keys, generation)

        monkeypatch.setattr(learner, "update", noting)
        try:
            outcome = run(experiment, store)
        finally:
            tracemalloc.stop()
        assert not outcome.failures
        assert set(found) == set(moments)
        return found

    return follow


def check_level(early: Use, late: Use) -> None:
    assert late.files <= early.files + _FILES
    assert late.python <= early.python + _BYTES
    assert late.arrow <= early.arrow + _BYTES
    assert late.tensors <= early.tensors


def test_a_hundred_and_fifty_generations_take_no_more_than_thirty(tmp_path, trace):
    overrides = (
        *("ecosystem.alpha=0.5", "generations=150", "n=300", "metrics.projection=false"),
        *("tasks.warm.test=4", "tasks.cold.test=4", "public.test=4"),
    )
    experiment = Experiment.from_yaml(read_preset("fake"), overrides)
    found = trace(FakeLearner, experiment, tmp_path / "run", (30, 150))
    check_level(found[30], found[150])
    assert len(list((tmp_path / "run").glob("checkpoints/*/generation-*"))) <= 2


def test_twenty_generations_of_a_language_model_take_no_more_than_five(tmp_path, trace):
    pytest.importorskip("torch")
    from crossfeed.learners.language.learner import LanguageLearner

    overrides = (
        "ecosystem.alpha=0.5",
        "generations=20",
        "n=8",
        "metrics={loss: {}}",
        "learner.generation.max_new_tokens=2",
    )
    experiment = Experiment.from_yaml(TINY, overrides)
    found = trace(LanguageLearner, experiment, tmp_path / "run", (5, 20))
    check_level(found[5], found[20])
    assert found[20].tensors > 10


def test_a_leak_would_be_seen(tmp_path, trace, monkeypatch):
    """Tables, files or arrays that each generation left behind are above the slack."""
    kept: list[object] = []
    update = FakeLearner.update

    def leaking(self, states, sets, keys, generation):
        kept.append([part.items for one in sets for part in one.parts])
        kept.append((tmp_path / "run" / "run.json").open())
        return update(self, states, sets, keys, generation)

    monkeypatch.setattr(FakeLearner, "update", leaking)
    overrides = ("ecosystem.alpha=0.5", "generations=40", "n=500", "metrics={loss: {}}")
    experiment = Experiment.from_yaml(read_preset("fake"), overrides)
    found = trace(FakeLearner, experiment, tmp_path / "run", (10, 40))
    assert found[40].files >= found[10].files + 30
    assert found[40].arrow > found[10].arrow + _BYTES
    for one in kept:
        if not isinstance(one, list):
            one.close()
