"""The contract of executors (`crossfeed.executors.executor.Executor`): records do not depend on the executor."""

# ruff: noqa: S101, D102 - tests assert, and their names say what
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.executors.executor import Executor
from crossfeed.executors.sweep import Spread
from crossfeed.loop import Outcome, run
from crossfeed.store import open_store
from crossfeed.store.memory import MemoryStore

__all__ = ["ExecutorContract"]

Numbers = list[tuple[Any, ...]]


class ExecutorContract:
    """The contract of executors; override the fixture `executor`."""

    @pytest.fixture
    def executor(self) -> Executor:
        """An executor of at least one worker that is not open yet."""
        raise NotImplementedError("override the fixture `executor` so that it gives an executor")

    @pytest.fixture(scope="class")
    @classmethod
    def described(cls) -> Experiment:
        """The experiment; override it to test more than models of single words."""
        return Experiment.from_yaml(read_preset("fake"), ("generations=3", "seeds=[0, 1]"))

    @pytest.fixture(scope="class")
    @classmethod
    def cache(cls, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """The folder of base models."""
        return tmp_path_factory.mktemp("cache")

    @pytest.fixture(scope="class")
    @classmethod
    def undisturbed(cls, described: Experiment, cache: Path) -> Numbers:
        """The records of the experiment in this process."""
        return _numbers(run(described, MemoryStore(), cache=cache))

    @pytest.mark.parametrize("spread", ["auto", "cells", "entities"])
    def test_records_do_not_depend_on_the_executor(
        self,
        described: Experiment,
        undisturbed: Numbers,
        cache: Path,
        tmp_path: Path,
        executor: Executor,
        spread: Spread,
    ) -> None:
        outcome = run(described, open_store(tmp_path / "run"), cache=cache, executor=executor, spread=spread)
        assert not outcome.failures
        assert _numbers(outcome) == undisturbed
        assert not list((tmp_path / "run" / "status").glob("*"))

    @pytest.mark.parametrize("spread", ["cells", "entities"])
    def test_a_failing_cell_is_recorded_alike_and_the_others_go_on(
        self, tmp_path: Path, executor: Executor, spread: Spread
    ) -> None:
        changes = ("ecosystem.alpha=0.5", "grid={learner.diverge_at: [2, null]}", "generations=3")
        experiment = Experiment.from_yaml(read_preset("fake"), changes)
        outcome = run(experiment, open_store(tmp_path / "run"), executor=executor, spread=spread)
        assert len(outcome.failures) == 1, outcome.failures
        (failure,) = outcome.failures.values()
        recorded = {key: failure[key] for key in ("generation", "stage", "entity", "type", "message")}
        assert recorded == {
            "generation": 2,
            "stage": "update",
            "entity": experiment.ecosystem.names[0],
            "type": "Diverged",
            "message": f"entity {experiment.ecosystem.names[0]}: generation 2, step 1: the loss is nan",
        }
        finished = [row for row in outcome.records.to_pylist() if row["cell"] not in outcome.failures]
        assert {row["generation"] for row in finished} == set(range(4))


def _numbers(outcome: Outcome) -> Numbers:
    """Return every record except the timings, in order."""
    return [tuple(row.items()) for row in outcome.records.to_pylist() if row["metric"] != "seconds"]
