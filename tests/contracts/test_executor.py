"""What every executor keeps to: records do not depend on where they were made. Add new ones to `EXECUTORS`."""

from __future__ import annotations

import pytest
from tests.contracts.test_learner import LEARNERS

from crossfeed import Experiment, MemoryStore, run
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.executors import executor_for, open_executor
from crossfeed.store import open_store
from crossfeed.testing import ExecutorContract

EXECUTORS = {
    "serial": lambda: open_executor("serial"),
    "processes": lambda: open_executor("processes", 2),
    "ray": lambda: open_executor("ray", 2),
}
DESCRIPTIONS = {name: LEARNERS[name] for name in ("fake", "linear", "language")}
MORE = {
    "fake": ("generations=3", "seeds=[0, 1]"),
    "linear": ("seeds=[0, 1]", "grid={ecosystem.alpha: [0, 0.5]}"),
    "language": ("grid={ecosystem.alpha: [0, 0.5, 1]}", "generations=1"),
}


@pytest.fixture(scope="module", params=sorted(EXECUTORS.keys() - {"ray"}))
def kind(request):
    """A kind of executor; Ray has a file of its own, for a worker of its own: it waits most of the time."""
    return request.param


class TestExecutor(ExecutorContract):
    @pytest.fixture
    def executor(self, kind, request):
        given = request.node.callspec.params
        if given.get("described") == "language" and given["spread"] == "cells":
            pytest.skip("auto assigns cells to workers, too")
        return EXECUTORS[kind]()

    @pytest.fixture(scope="class", params=sorted(DESCRIPTIONS))
    @classmethod
    def described(cls, request):
        if request.param == "language":
            pytest.importorskip("torch", reason="the language learner needs the lm extra")
        return Experiment.from_yaml(DESCRIPTIONS[request.param], MORE[request.param])


def test_what_was_given_and_cannot_be_used_stops_the_run_by_name(tmp_path, kind):
    text = LEARNERS["language"].replace("generations: 2", "generations: 0")
    pytest.importorskip("torch", reason="the language learner needs the lm extra")
    experiment = Experiment.from_yaml(text, (f"learner.base={{model: {tmp_path}/nowhere}}",))
    with pytest.raises(DataUnavailable, match="nowhere"):
        run(experiment, open_store(tmp_path / "run"), executor=EXECUTORS[kind]())


def test_a_run_in_memory_has_no_other_workers(fake):
    with pytest.raises(InvalidInput, match="in memory"):
        run(fake(), MemoryStore(), executor=open_executor("processes", 2))


def test_the_executor_suits_the_experiment_and_the_machine():
    small = Experiment.from_yaml(LEARNERS["linear"])
    assert executor_for(small).workers == 1
    assert executor_for(small, "processes", workers=3).workers == 2  # one cell of two entities keeps no more busy
    language = Experiment.from_yaml(LEARNERS["language"], ("learner.device=cpu",))
    assert language.learner.workers(8) == (8, 1)
    assert executor_for(language).workers <= 2  # two cells of two entities keep no more busy
    for wrong in (("serial", 2), ("processes", 0), ("slurm", 1)):
        with pytest.raises(InvalidInput, match=r"serial|at least|slurm"):
            open_executor(*wrong)
    with pytest.raises(InvalidInput, match="ray"):
        executor_for(small, "processes", workers=2, gpus=0.5)
