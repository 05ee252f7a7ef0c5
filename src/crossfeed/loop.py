"""Running an experiment: cells on an executor's workers, each step kept as soon as it is finished.

A run that was stopped at any moment goes on from its last finished steps to the records that it would have had. A cell
that fails becomes a failure record, and the others go on; what is wrong with what was given stops the run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from crossfeed.cache import default_cache
from crossfeed.description.experiment import Experiment
from crossfeed.display.progress import Silent
from crossfeed.executors.executor import Executor
from crossfeed.executors.serial import SerialExecutor
from crossfeed.executors.sweep import Spread, Sweep
from crossfeed.executors.worker_pool import Crew
from crossfeed.protocols import Progress, Store
from crossfeed.records import collect, collect_projection, failure_of, is_measured, state_scope_of
from crossfeed.running.session import Session, Setup
from crossfeed.store.schema import SCHEMA
from crossfeed.tracking.follow import Tracker, followed

__all__ = ["Outcome", "run"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        records: All records (columns: `crossfeed.store.schema`).
        failures: Each failed cell's failure by cell name: ``stage``, ``generation``, ``entity``, ``type``, ``message``.
    """

    records: pa.Table
    failures: dict[str, dict[str, Any]]


def run(
    experiment: Experiment,
    store: Store,
    *,
    data_root: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
    executor: Executor | None = None,
    spread: Spread = "auto",
    tracker: Tracker | None = None,
) -> Outcome:
    """Run an experiment, or go on with it.

    Args:
        experiment: What to run.
        store: Where it lives; what is finished there is not done again.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub.
        cache: Where base models are shared between runs; default `default_cache`.
        progress: Where long work is reported; default nowhere.
        retry_failed: Try cells again that failed before.
        executor: Where the work is done (`crossfeed.open_executor`); default in this process, one cell after the
            other. Records are the same on every executor.
        spread: ``cells``: every cell on a worker of its own. ``entities``: one cell after the other, its entities over
            all workers. ``auto``: cells, and entities where too few cells are left to keep the workers busy.
        tracker: What shows the numbers while it goes on (`crossfeed.open_tracker`); default none.

    Returns:
        The records and the failures.

    Raises:
        DataUnavailable: A data set cannot be reached.
        StoreMismatch: The store holds another run, or the data changed.
    """
    with followed(progress or Silent(), store, experiment, tracker) as told:
        setup = Setup(experiment, store, data_root, cache or default_cache(), told)
        return _Run(Session(setup), executor or SerialExecutor(), spread).run(retry_failed)


_JOIN_EVERY: Final = 30.0
"""Seconds between two writings of ``records.parquet`` while cells are run, at least: each reads all cells' records."""


@dataclass
class _Run:
    session: Session
    executor: Executor
    spread: Spread
    _joined: float = field(default_factory=time.monotonic)
    _joining: float = 0.0

    def __post_init__(self) -> None:
        setup = self.session.setup
        self._experiment, self._store, self._cells = setup.experiment, setup.store, setup.experiment.cells()

    def run(self, retry_failed: bool) -> Outcome:
        self._begin()
        try:
            for sign in self._store.documents("status"):
                self._store.drop_document(sign)  # of a run that was stopped
            todo = self._unfinished(retry_failed)
            self.session.tell_damage()
            if todo:
                self._tell_what_is_there()
                self._sweep(todo)
            failures = self._failures()
            self._tidy(keep_starts=bool(failures))
            projected = any(each.projected for each in self._experiment.metrics.values())
            if projected and (todo or self._store.read_result("projection") is None):
                self._project()
            records = self._join()
            self.session.tell_damage()
            return Outcome(records, failures)
        except BaseException:
            self._join()  # so that what is finished can be read, whatever stopped the run
            raise
        finally:
            self._store.end()

    def _begin(self) -> None:
        contents: dict[str, dict[str, None]] = {}  # by task, in order and each once: a grid may vary the data
        for position in range(len(self._cells)):
            for name, task in self.session.prepared(position).tasks.items():
                contents.setdefault(name, {})[task.content] = None
        document = {
            "schema": SCHEMA,
            "id": self._experiment.id,
            "name": self._experiment.name,
            "data": {name: "+".join(found) for name, found in contents.items()},
            "cells": [
                {
                    "cell": c.name,
                    "seed": c.seed,
                    "point": c.point,
                    "zero": c.zero,
                    "generations": c.experiment.generations,
                }
                for c in self._cells
            ],
        }
        self._store.begin(self._experiment.to_yaml(), document)

    def _unfinished(self, retry_failed: bool) -> list[int]:
        """Positions of the cells to run."""
        todo = []
        for position, cell in enumerate(self._cells):
            if self.session.is_finished(cell):
                self._store.drop_document(failure_of(cell))  # of an earlier try, if it was killed right after its end
                continue
            known = self._store.read_document(failure_of(cell))
            if known is None or retry_failed:
                todo.append(position)
            else:
                again = f"{cell.name}: failed before ({known['message']}); --retry-failed tries again"
                self.session.setup.progress.note(again)
        return todo

    def _tell_what_is_there(self) -> None:
        found = sum(is_measured(self._store, c, t) for c in self._cells for t in range(c.experiment.generations + 1))
        if found:
            total = sum(cell.experiment.generations + 1 for cell in self._cells)
            self.session.setup.progress.note(f"going on: {found} of {total} generations are there")

    def _sweep(self, todo: Sequence[int]) -> None:
        try:
            self.executor.open(self.session)
            crew = Crew(self.executor, self.session.setup.progress)
            Sweep(self.session, crew, self.spread, self._now_and_then).run(todo)
        finally:
            self.executor.close()

    def _now_and_then(self) -> None:
        if time.monotonic() - self._joined > max(_JOIN_EVERY, 20 * self._joining):
            self._join()

    def _failures(self) -> dict[str, dict[str, Any]]:
        found = {cell.name: self._store.read_document(failure_of(cell)) for cell in self._cells}
        return {name: failure for name, failure in found.items() if failure is not None}

    def _tidy(self, *, keep_starts: bool) -> None:
        """Forget the states that are not to be kept: of finished cells, and, if no other needs it, generation 0."""
        kept = self._experiment.checkpoints
        if kept == "all":
            return
        last_at_zero = {cell.start for cell in self._cells if cell.experiment.generations == 0 and kept == "last"}
        for cell in self._cells:
            last = cell.experiment.generations
            if self.session.is_finished(cell):
                for generation in range(1, last + 1 if kept == "none" else last):
                    self._store.drop_states(state_scope_of(cell, generation), generation)
            if not keep_starts and cell.start not in last_at_zero:
                self._store.drop_states(state_scope_of(cell, 0), 0)

    def _join(self) -> pa.Table:
        begun = time.monotonic()
        records = collect(self._store, self._experiment, self._cells)
        self._store.write_result("records", records)
        self._joined = time.monotonic()
        self._joining = self._joined - begun
        return records

    def _project(self) -> None:
        projection = collect_projection(self._store, self._cells)
        if projection is not None:
            self._store.write_result("projection", projection)
