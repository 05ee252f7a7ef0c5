"""Running an experiment: cell after cell, each of whose turns is kept as soon as it is finished (`crossfeed.turns`).

A run that was stopped at any moment goes on from its last finished step to the records that it would have had. A cell
that fails becomes a failure record, and the others go on; what is wrong with what was given stops the run.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from crossfeed.environment import environment
from crossfeed.errors import CrossfeedError, Diverged, InvalidInput, StoreMismatch
from crossfeed.experiment import Cell, Experiment
from crossfeed.generation import World, reserve
from crossfeed.mixture import PUBLIC
from crossfeed.progress import Silent
from crossfeed.protocols import Learner, LearnerContext, Progress, Store, Task
from crossfeed.records import collect, collect_projection, scope_of, state_scope_of
from crossfeed.settings import identity
from crossfeed.store.schema import SCHEMA
from crossfeed.turns import Turns, duration

__all__ = ["Outcome", "default_cache", "run"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        records: All records (columns: `crossfeed.store.schema`).
        failures: Each failed cell's failure by cell name: ``stage``, ``generation``, ``type``, ``message``.
    """

    records: pa.Table
    failures: dict[str, dict[str, Any]]


def default_cache() -> Path:
    """Where costly things that depend on content alone are shared: ``$CROSSFEED_CACHE`` or ``~/.cache/crossfeed``."""
    given = os.environ.get("CROSSFEED_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossfeed"


def run(
    experiment: Experiment,
    store: Store,
    *,
    data_root: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Run an experiment, or go on with it.

    Args:
        experiment: What to run.
        store: Where it lives; what is finished there is not done again.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub.
        cache: Where base models are shared between runs; default `default_cache`.
        progress: Where long work is reported; default nowhere.
        retry_failed: Try cells again that failed before.

    Returns:
        The records and the failures.

    Raises:
        DataUnavailable: A data set cannot be reached.
        StoreMismatch: The store holds another run, or the data changed.
    """
    return _Runner(experiment, store, data_root, cache or default_cache(), progress or Silent()).run(retry_failed)


_JOIN_EVERY: Final = 30.0
"""Seconds between two writings of ``records.parquet`` while cells are run: each reads the records of all cells."""


@dataclass(frozen=True)
class _Prepared:
    """A cell with its data: every task without its fresh items, and those."""

    cell: Cell
    tasks: Mapping[str, Task]
    fresh: tuple[pa.Table, ...]


@dataclass
class _Runner:
    experiment: Experiment
    store: Store
    data_root: Path | None
    cache: Path
    progress: Progress
    _tasks: dict[str, Task] = field(default_factory=dict)
    _learner: tuple[str, Learner] | None = None
    _noted: bool = False
    _joined: float = field(default_factory=time.monotonic)

    def run(self, retry_failed: bool) -> Outcome:
        prepared = [self._prepare(cell) for cell in self.experiment.cells()]
        self._begin(prepared)
        try:
            for position, one in enumerate(prepared):
                self._attempt(one, position, len(prepared), retry_failed)
            failures = self._failures()
            self._tidy(keep_starts=bool(failures))
            if "projection" in self.experiment.metrics:
                self._project()
            return Outcome(self._join(), failures)
        except BaseException:
            self._join()  # so that what is finished can be read, whatever stopped the run
            raise
        finally:
            self.store.end()

    def _prepare(self, cell: Cell) -> _Prepared:
        """Load a cell's data, equal descriptions once, and set fresh data aside.

        Raises:
            InvalidInput: There is not enough of it; the message names the cell.
        """
        loaded = {}
        for name, settings in [*cell.experiment.tasks.items(), (PUBLIC, cell.experiment.public)]:
            key = f"{name} {identity(settings)}"
            if key not in self._tasks:
                with self.progress.stage("data", detail=name):
                    self._tasks[key] = settings.build(name, self.data_root)
            loaded[name] = self._tasks[key]
        try:
            return _Prepared(cell, *reserve(cell, loaded))
        except InvalidInput as error:
            raise InvalidInput(f"{cell.name}: {error}") from error

    def _begin(self, prepared: list[_Prepared]) -> None:
        contents: dict[str, dict[str, None]] = {}  # by task, in order and each once: a grid may vary the data
        for one in prepared:
            for name, task in one.tasks.items():
                contents.setdefault(name, {})[task.content] = None
        cells = [one.cell for one in prepared]
        document = {
            "schema": SCHEMA,
            "id": self.experiment.id,
            "name": self.experiment.name,
            "data": {name: "+".join(found) for name, found in contents.items()},
            "cells": [{"cell": c.name, "seed": c.seed, "point": c.point, "zero": c.zero} for c in cells],
        }
        self.store.begin(self.experiment.to_yaml(), document)

    def _attempt(self, one: _Prepared, position: int, total: int, retry_failed: bool) -> None:
        """Run a cell that is not finished; whatever goes wrong in it is kept as its failure record."""
        cell, begun = one.cell, time.monotonic()
        if self._is_finished(cell):
            self.store.drop_document(_failure(cell))  # of an earlier try, if this one was killed right after its end
            return
        known = self.store.read_document(_failure(cell))
        if known is not None and not retry_failed:
            self.progress.note(f"{cell.name}: failed before ({known['message']}); --retry-failed tries again")
            return
        turns: Turns | None = None
        try:
            learner = self._build(one)
            self._note_environment(learner)
            world = World(cell, learner, one.tasks, one.fresh)
            turns = Turns(world, self.store, self.progress, f"cell {position + 1} of {total}")
            turns.run()
            self.store.drop_document(_failure(cell))
        except CrossfeedError as error:
            if not isinstance(error, Diverged):
                raise  # something that was given cannot be used, or the store cannot: nothing of the cell's own
            self._fail(cell, turns, error)
        except Exception as error:  # failure is data: it is recorded, and the sweep goes on
            self._fail(cell, turns, error)
        if time.monotonic() - self._joined > _JOIN_EVERY:
            self._join()
        if position + 1 < total:
            spent = time.monotonic() - begun
            pace = f"took {duration(spent)}; at that pace {duration(spent * (total - position - 1))} for the others"
            self.progress.note(f"cell {position + 1} of {total} {pace}")

    def _is_finished(self, cell: Cell) -> bool:
        generations = range(cell.experiment.generations + 1)
        return all(self.store.has_table("records", scope_of(cell, t), t) for t in generations)

    def _fail(self, cell: Cell, turns: Turns | None, error: Exception) -> None:
        place = {"generation": turns.generation, "stage": turns.stage} if turns else {"stage": "start"}
        failure = place | {
            "cell": cell.name,
            "type": type(error).__name__,
            "message": str(error),
            "traceback": traceback.format_exc(),
        }
        self.store.write_document(_failure(cell), failure)
        self.progress.note(f"{cell.name}: failed at {failure['stage']}: {error}")

    def _failures(self) -> dict[str, dict[str, Any]]:
        found = {cell.name: self.store.read_document(_failure(cell)) for cell in self.experiment.cells()}
        return {name: failure for name, failure in found.items() if failure is not None}

    def _build(self, one: _Prepared) -> Learner:
        """The cell's learner; cells in a row that describe the same one share it."""
        contents = [(name, task.content) for name, task in one.tasks.items()]
        key = f"{one.cell.experiment.learner!r} {one.cell.seed} {contents}"
        if self._learner is None or self._learner[0] != key:
            context = LearnerContext(one.tasks, one.cell.seed, self.cache, self.progress)
            self._learner = key, one.cell.experiment.learner.build(context)
        return self._learner[1]

    def _note_environment(self, learner: Learner) -> None:
        """Write down where this process computes, once, and only if it does.

        Raises:
            StoreMismatch: The run was begun in another precision; numbers of two are not mixed.
        """
        if self._noted:
            return
        described, before = learner.describe(), self.store.read_document("environment") or {}
        precision = before.get("learner", {}).get("precision")
        if precision is not None and precision != described.get("precision"):
            raise StoreMismatch(
                f"this run was begun in {precision}, and this device gives {described.get('precision')}; set "
                "learner.precision, or choose another folder with --out"
            )
        self.store.write_document("environment", environment() | {"learner": described})
        self._noted = True

    def _tidy(self, *, keep_starts: bool) -> None:
        """Forget the states that are not to be kept: of finished cells, and, if no other needs it, generation 0."""
        cells, kept = self.experiment.cells(), self.experiment.checkpoints
        if kept == "all":
            return
        last_at_zero = {cell.start for cell in cells if cell.experiment.generations == 0 and kept == "last"}
        for cell in cells:
            last = cell.experiment.generations
            if self._is_finished(cell):
                for generation in range(1, last + 1 if kept == "none" else last):
                    self.store.drop_states(state_scope_of(cell, generation), generation)
            if not keep_starts and cell.start not in last_at_zero:
                self.store.drop_states(state_scope_of(cell, 0), 0)

    def _join(self) -> pa.Table:
        records = collect(self.store, self.experiment, self.experiment.cells())
        self.store.write_result("records", records)
        self._joined = time.monotonic()
        return records

    def _project(self) -> None:
        projection = collect_projection(self.store, self.experiment.cells())
        if projection is not None:
            self.store.write_result("projection", projection)


def _failure(cell: Cell) -> str:
    return f"failures/{cell.name}"
