"""One process at work on a run: its data and learners, each made once, and cells carried as far as is asked.

The process that was started by a person has a session, and so has every worker.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.environment import environment
from crossfeed.errors import CrossfeedError, Diverged, InvalidInput, StoreMismatch, WorkerFailure
from crossfeed.generation.cell_context import World, reserve
from crossfeed.protocols import PUBLIC, Learner, LearnerContext, Progress, Store, Task
from crossfeed.records import failure_of, is_measured
from crossfeed.running.cell_runner import Turns
from crossfeed.running.status import SignsOfLife, place_of
from crossfeed.settings import identity

__all__ = ["Prepared", "Session", "Setup"]


@dataclass(frozen=True)
class Setup:
    """What a session works on.

    Attributes:
        experiment: What is run.
        store: Where it lives.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub, or None.
        cache: A folder for costly things that depend on content alone.
        progress: Where long work is reported.
    """

    experiment: Experiment
    store: Store
    data_root: Path | None
    cache: Path
    progress: Progress


@dataclass(frozen=True)
class Prepared:
    """A cell with its data: every task without its fresh items, and those."""

    cell: Cell
    tasks: Mapping[str, Task]
    fresh: tuple[pa.Table, ...]


@dataclass
class Session:
    """See the module."""

    setup: Setup
    _tasks: dict[str, Task] = field(default_factory=dict)
    _prepared: dict[int, Prepared] = field(default_factory=dict)
    _learner: tuple[str, Learner] | None = None
    _noted: bool = False
    _told: int = 0

    def __post_init__(self) -> None:
        self._signs = SignsOfLife(self.setup.store, self.setup.progress)

    def prepared(self, position: int) -> Prepared:
        """A cell with its data; equal descriptions are loaded once.

        Raises:
            DataUnavailable: A data set cannot be reached.
            InvalidInput: There is not enough of it; the message names the cell.
        """
        if position not in self._prepared:
            self._prepared[position] = self._prepare(self.setup.experiment.cells()[position])
        return self._prepared[position]

    def learner(self, position: int) -> Learner:
        """A cell's learner; cells in a row that describe the same one share it."""
        one = self.prepared(position)
        contents = [(name, task.content) for name, task in one.tasks.items()]
        key = f"{one.cell.experiment.combined_learner!r} {one.cell.seed} {contents}"
        if self._learner is None or self._learner[0] != key:
            context = LearnerContext(one.tasks, one.cell.seed, self.setup.cache, self._signs)
            self._learner = key, one.cell.experiment.combined_learner.build(context)
        return self._learner[1]

    def advance(self, position: int, *, only_start: bool, learner: Learner | None = None) -> None:
        """Carry a cell on, to its end or through generation 0; whatever goes wrong in it is kept as its failure.

        Args:
            position: Which cell.
            only_start: Stop when generation 0 is measured.
            learner: What to train instead of this session's own.

        Raises:
            CrossfeedError: What was given cannot be used, or the store cannot: nothing of the cell's own.
            WorkerFailure: A worker that did a part of it was lost.
        """
        one, store = self.prepared(position), self.setup.store
        turns: Turns | None = None
        try:
            learner = learner or self.learner(position)
            self._note_environment(learner)
            world = World(one.cell, learner, one.tasks, one.fresh)
            turns = Turns(world, store, self._signs)
            if only_start:
                turns.start()
            else:
                turns.run()
                store.drop_document(failure_of(one.cell))  # of an earlier try
        except Exception as error:
            stops = isinstance(error, CrossfeedError) and not isinstance(error, Diverged | WorkerFailure)
            if stops or (isinstance(error, WorkerFailure) and error.lost):
                raise
            self._fail(one.cell, turns, error)  # failure is data: it is recorded, and the sweep goes on
        finally:
            self.tell_damage()
        self._signs.end(one.cell.name)

    def tell_damage(self) -> None:
        """Say what the store found damaged and set aside, each thing once."""
        found = self.setup.store.set_aside
        for sentence in found[self._told :]:
            self.setup.progress.note(sentence)
        self._told = len(found)

    def is_finished(self, cell: Cell) -> bool:
        """Whether all of a cell's generations are measured."""
        generations = range(cell.experiment.generations + 1)
        return all(is_measured(self.setup.store, cell, t) for t in generations)

    def _prepare(self, cell: Cell) -> Prepared:
        loaded = {}
        for name, settings in [*cell.experiment.tasks.items(), (PUBLIC, cell.experiment.public)]:
            key = f"{name} {identity(settings)}"
            if key not in self._tasks:
                with self.setup.progress.stage("data", detail=name):
                    self._tasks[key] = settings.build(name, self.setup.data_root)
            loaded[name] = self._tasks[key]
        try:
            return Prepared(cell, *reserve(cell, loaded))
        except InvalidInput as error:
            raise InvalidInput(f"{cell.name}: {error}") from error

    def _note_environment(self, learner: Learner) -> None:
        """Write down where this process computes, once, and only if it does.

        Raises:
            StoreMismatch: The run was begun in another precision; numbers of two are not mixed.
        """
        if self._noted:
            return
        described, before = learner.describe(), self.setup.store.read_document("environment") or {}
        precision = before.get("learner", {}).get("precision")
        if precision is not None and precision != described.get("precision"):
            raise StoreMismatch(
                f"this run was begun in {precision}, and this device gives {described.get('precision')}; set "
                "learner.precision, or choose another folder with --out"
            )
        self.setup.store.write_document("environment", environment() | {"learner": described})
        # Two workers that begin at once see nothing of each other above: what both leave here, the later one sees.
        name = re.sub(r"[^A-Za-z0-9]+", "-", described.get("precision", "exact"))
        self.setup.store.write_document(f"precision/{name}", {})
        found = [each.rpartition("/")[2] for each in self.setup.store.documents("precision")]
        if len(found) > 1:
            raise StoreMismatch(
                f"workers of this run compute in {' and '.join(found)}: numbers of two precisions are not mixed; set "
                "learner.precision, and choose another folder with --out"
            )
        self._noted = True

    def give_up(self, position: int, error: WorkerFailure) -> None:
        """Keep as a cell's failure that its workers were lost; where it was, its last sign of life says."""
        cell = self.setup.experiment.cells()[position]
        self._write_failure(cell, {"stage": "start"} | place_of(self.setup.store, cell.name), error)
        self._signs.end(cell.name)

    def _fail(self, cell: Cell, turns: Turns | None, error: Exception) -> None:
        place: dict[str, Any] = {"stage": "start"}
        if turns is not None:
            place = {"generation": turns.generation, "stage": turns.stage}
        if isinstance(error, Diverged) and error.entity is not None:
            place["entity"] = error.entity
        self._write_failure(cell, place, error)

    def _write_failure(self, cell: Cell, place: dict[str, Any], error: Exception) -> None:
        kind, trace = type(error).__name__, traceback.format_exc()
        if isinstance(error, WorkerFailure):
            kind, trace = error.kind, error.traceback
        failure = place | {"cell": cell.name, "type": kind, "message": str(error), "traceback": trace}
        self.setup.store.write_document(failure_of(cell), failure)
        self.setup.progress.note(f"{cell.name}: failed at {failure['stage']}: {error}")
