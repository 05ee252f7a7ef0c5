"""One process at work on a run: its data and learners, each built once, and cells run as far as is requested.

The process that was started by a person has a session, and so has every worker.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.addresses import masked
from crossfeed.environment import environment
from crossfeed.errors import CrossfeedError, Diverged, InvalidInput, StoreMismatch, WorkerFailure
from crossfeed.generation.cell_context import CellContext, reserve
from crossfeed.protocols import PUBLIC, Forecaster, Learner, LearnerContext, Progress, Store, Task
from crossfeed.records import is_measured
from crossfeed.running.cell_runner import CellRunner
from crossfeed.running.failures import failure_of
from crossfeed.running.growth import ADDED, added_of
from crossfeed.running.journal import StoredJournal
from crossfeed.running.sittings import changes, refuse_mixture
from crossfeed.running.status import StatusProgress, last_status
from crossfeed.settings import TaskSettings, identity
from crossfeed.tasks.partition import build_task

__all__ = ["Prepared", "Session", "Setup"]


@dataclass(frozen=True)
class Setup:
    """The inputs of a session.

    Attributes:
        experiment: The experiment that is run.
        store: The store of the run.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub, or None.
        cache: A folder for costly things that depend on content alone.
        progress: Reports progress.
        forecaster: Makes the forecaster of a process from its session; None for none.
    """

    experiment: Experiment
    store: Store
    data_root: Path | None
    cache: Path
    progress: Progress
    forecaster: Callable[[Session], Forecaster] | None = None


@dataclass(frozen=True)
class Prepared:
    """A cell with its data.

    Attributes:
        cell: The cell.
        tasks: Every task by name, without its fresh items.
        fresh: Fresh human items of generations t = 1, 2, ...
    """

    cell: Cell
    tasks: Mapping[str, Task]
    fresh: tuple[pa.Table, ...]


@dataclass
class Session:
    """The work of one process on a run.

    Attributes:
        setup: The inputs.
        journal: Keeps what is to be known of the run's inputs.
    """

    setup: Setup
    _tasks: dict[str, Task] = field(default_factory=dict)
    _prepared: dict[int, Prepared] = field(default_factory=dict)
    _learner: tuple[str, Learner] | None = None
    _environment_written: bool = False
    _damage_logged: int = 0

    def __post_init__(self) -> None:
        self._status = StatusProgress(self.setup.store, self.setup.progress)
        self.journal = StoredJournal(self.setup.store, self.setup.progress)

    @cached_property
    def forecaster(self) -> Forecaster | None:
        """This process's forecaster; None if nothing is forecast."""
        return None if self.setup.forecaster is None else self.setup.forecaster(self)

    def prepared(self, position: int) -> Prepared:
        """Return a cell with its data; equal descriptions are loaded once.

        Args:
            position: The cell's position in the experiment.

        Returns:
            The cell and its data.

        Raises:
            DataUnavailable: A data set cannot be reached.
            InvalidInput: There is not enough of it; the message names the cell.
        """
        if position not in self._prepared:
            self._prepared[position] = self._prepare(self.setup.experiment.cells()[position])
        return self._prepared[position]

    def task(self, name: str, settings: TaskSettings) -> Task:
        """Return a task's data; an equal description is loaded once.

        Args:
            name: The task's name.
            settings: Its description.

        Raises:
            DataUnavailable: The data set cannot be reached.
            InvalidInput: It cannot be used as it is described.
        """
        key = f"{name} {identity(settings)}"
        if key not in self._tasks:
            with self.setup.progress.stage("data", detail=name):
                self._tasks[key] = build_task(settings, name, self.setup.data_root)
        return self._tasks[key]

    def learner(self, position: int) -> Learner:
        """Return a cell's learner; consecutive cells that describe the same one share it.

        Args:
            position: The cell's position in the experiment.

        Returns:
            The learner.
        """
        prepared = self.prepared(position)
        contents = [(name, task.content) for name, task in prepared.tasks.items()]
        settings, seed = prepared.cell.experiment.combined_learner, prepared.cell.seed
        key = f"{settings!r} {seed} {contents}"
        if self._learner is None or self._learner[0] != key:
            context = LearnerContext(prepared.tasks, seed, self.setup.cache, self._status, self.journal)
            self._learner = key, settings.build(context)
        return self._learner[1]

    def advance(self, position: int, *, only_start: bool, learner: Learner | None = None) -> None:
        """Run a cell to its end or through generation 0; an error of the cell's own is stored as its failure.

        Args:
            position: The cell's position in the experiment.
            only_start: Stop when generation 0 is measured.
            learner: The learner to train; default the one that `learner` returns, which the forecaster traces.

        Raises:
            CrossfeedError: The inputs or the store cannot be used, which is no error of the cell's own.
            WorkerFailure: A worker that did a part of it was lost.
        """
        prepared = self.prepared(position)
        runner: CellRunner | None = None
        try:
            runner = self.runner(prepared, learner or self._traced(position))
            if only_start:
                runner.start()
            else:
                runner.run()
                self.setup.store.drop_document(failure_of(prepared.cell))  # of an earlier try
        except Exception as error:
            stops = isinstance(error, CrossfeedError) and not isinstance(error, Diverged | WorkerFailure)
            if stops or (isinstance(error, WorkerFailure) and error.lost):
                raise
            self._fail(prepared.cell, runner, error)  # failure is data: it is recorded, and the sweep goes on
        finally:
            self.log_damage()
        self._status.clear(prepared.cell.name)

    def runner(self, prepared: Prepared, learner: Learner) -> CellRunner:
        """Return the runner of a cell; what this process computes on is stored.

        Args:
            prepared: The cell with its data.
            learner: The learner to train.

        Raises:
            StoreMismatch: The run was begun in another precision, or on another kind of device.
        """
        self._write_environment(learner)
        context = CellContext(prepared.cell, learner, prepared.tasks, prepared.fresh)
        return CellRunner(context, self.setup.store, self._status)

    def log_damage(self) -> None:
        """Log everything that the store found damaged and set aside, each thing once."""
        sentences = self.setup.store.set_aside
        for sentence in sentences[self._damage_logged :]:
            self.setup.progress.log(sentence)
        self._damage_logged = len(sentences)

    def is_finished(self, cell: Cell) -> bool:
        """Return True if all of a cell's generations are measured.

        Args:
            cell: The cell.

        Returns:
            True if nothing of it is left to run.
        """
        generations = range(cell.experiment.generations + 1)
        return all(is_measured(self.setup.store, cell, t) for t in generations) and not (
            self._adds_metrics and self.setup.store.read_document(added_of(cell)) is not None
        )

    @cached_property
    def _adds_metrics(self) -> bool:
        """True if metrics were still to be measured of earlier generations when this process began."""
        return bool(self.setup.store.documents(ADDED))

    def fail_lost(self, position: int, error: WorkerFailure) -> None:
        """Store as a cell's failure that its workers were lost, at the position of its last status.

        Args:
            position: The cell's position in the experiment.
            error: The loss.
        """
        cell = self.setup.experiment.cells()[position]
        self._write_failure(cell, {"stage": "start"} | last_status(self.setup.store, cell.name), error)
        self._status.clear(cell.name)

    def _prepare(self, cell: Cell) -> Prepared:
        described = {**cell.experiment.tasks, PUBLIC: cell.experiment.public}
        tasks = {name: self.task(name, settings) for name, settings in described.items()}
        try:
            return Prepared(cell, *reserve(cell, tasks))
        except InvalidInput as error:
            raise InvalidInput(f"{cell.name}: {error}") from error

    def _traced(self, position: int) -> Learner:
        learner = self.learner(position)
        if self.forecaster is None:
            return learner
        if not hasattr(learner, "trace"):  # see `crossfeed.protocols.TracedLearner`
            kind = self.prepared(position).cell.experiment.learner.kind
            raise InvalidInput(
                f"learner.kind = {kind}: models of this kind have no learning curves to forecast from; run it without "
                "--forecast and --stop-when-known (in Python: without a forecaster)"
            )
        return self.forecaster.traced(learner, position)

    def _write_environment(self, learner: Learner) -> None:
        """Store what this process computes on, once, and only if it computes; note what changed since an earlier one.

        Raises:
            StoreMismatch: The run was begun in another precision, or on another kind of device; numbers of two are not
                mixed.
        """
        if self._environment_written:
            return
        described, before = learner.describe(), self.setup.store.read_document("environment") or {}
        refuse_mixture(before, described)
        now = environment() | {"learner": described}
        changed = changes(before, now) if before else []
        if changed:
            said = "environment: the run went on in another one, so that last digits may differ"
            self.journal.note("environment", [f"{said}: {', '.join(changed)}"])
        self.setup.store.write_document("environment", now)
        self._write_precision(described.get("precision", "exact"))
        self._environment_written = True

    def _write_precision(self, precision: str) -> None:
        """Store a precision under its name: of two workers that begin at once, the later one sees both."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", precision)
        self.setup.store.write_document(f"precision/{name}", {})
        precisions = [document.rpartition("/")[2] for document in self.setup.store.documents("precision")]
        if len(precisions) > 1:
            raise StoreMismatch(
                f"workers of this run compute in {' and '.join(precisions)}: numbers of two precisions are not mixed; "
                "set learner.precision, and choose another folder with --out"
            )

    def _fail(self, cell: Cell, runner: CellRunner | None, error: Exception) -> None:
        place: dict[str, Any] = {"stage": "start"}
        if runner is not None:
            place = {"generation": runner.generation, "stage": runner.stage}
        if isinstance(error, Diverged) and error.entity is not None:
            place["entity"] = error.entity
        self._write_failure(cell, place, error)

    def _write_failure(self, cell: Cell, place: dict[str, Any], error: Exception) -> None:
        kind, trace = type(error).__name__, traceback.format_exc()
        if isinstance(error, WorkerFailure):
            kind, trace = error.kind, error.traceback
        failure = place | {"cell": cell.name, "type": kind, "message": masked(str(error)), "traceback": masked(trace)}
        self.setup.store.write_document(failure_of(cell), failure)
        self.setup.progress.log(f"{cell.name}: failed at {failure['stage']}: {error}")
