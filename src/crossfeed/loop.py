"""The loop over an experiment's cells, on an executor's workers; each step is stored as soon as it is finished.

A run that was stopped at any moment goes on from its last finished steps to the records that it would have had. A cell
that fails becomes a failure record, and the others go on; inputs that cannot be used stop the run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from crossfeed.cache import default_cache
from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.installed import check_installed
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput
from crossfeed.executors.executor import Executor
from crossfeed.executors.serial import SerialExecutor
from crossfeed.executors.shared_sweep import SharedSweep
from crossfeed.executors.sweep import Spread, Sweep
from crossfeed.executors.worker_pool import WorkerPool
from crossfeed.protocols import Forecaster, Progress, Store
from crossfeed.records import collect, collect_projection, is_measured, scope_of, state_scope_of
from crossfeed.running.beginning import begin_run, keep_inputs
from crossfeed.running.failures import failure_of, read_failure
from crossfeed.running.forecasts import Forecasts
from crossfeed.running.growth import addressed
from crossfeed.running.left_out import left_out_of, read_left_out, spanning_first
from crossfeed.running.session import Session, Setup
from crossfeed.running.shares import Shares, check_share
from crossfeed.running.sittings import begin_sitting
from crossfeed.store.packs import TOGETHER
from crossfeed.tracking.follow import Tracker, followed

__all__ = ["Outcome", "run"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a run.

    Attributes:
        records: All records (columns: `crossfeed.store.schema`).
        failures: Each failed cell's failure by cell name: ``stage``, ``generation``, ``entity``, ``type``, ``message``.
        left_out: The cells that were left out because their losses are forecast well enough, by name: ``half_width`` of
            the 80 % bands, relative to the losses, and the ``threshold`` that it was held to.
        others: Of a shared run, the other processes that are still at work on it, as text; empty if this process was
            the last one.
    """

    records: pa.Table
    failures: dict[str, dict[str, Any]]
    left_out: dict[str, dict[str, Any]] = field(default_factory=dict)
    others: tuple[str, ...] = ()


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
    forecaster: Callable[[Session], Forecaster] | None = None,
    stop_when_known: float | None = None,
    cells: tuple[int, int] | None = None,
) -> Outcome:
    """Run an experiment, or resume it.

    Args:
        experiment: The experiment to run.
        store: The store of the run (`crossfeed.open_store`); steps that are finished in it are not repeated.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub; default none.
        cache: The folder in which base models are shared between runs; default `default_cache`.
        progress: Reports progress; default nothing is reported.
        retry_failed: Try cells again that failed before.
        executor: Does the work (`crossfeed.open_executor`); default this process, one cell after the other. Records are
            the same on every executor.
        spread: ``cells``: every cell on a worker of its own. ``entities``: one cell after the other, its entities over
            all workers. ``auto``: cells, and entities where too few cells are left to keep the workers busy.
        tracker: Shows the numbers while the run goes on (`crossfeed.open_tracker`); default none.
        forecaster: Makes the forecaster of each process from its session; default nothing is forecast. Records are the
            same with one. Workers then run whole cells: learning curves are noted where a cell is trained.
        stop_when_known: A share between 0 and 1: cells whose last losses are forecast to within it are left out; a
            later run without it runs them. Default no cell is left out.
        cells: Share the run with other processes that do the same, here or on other machines that see the store:
            ``(3, 8)`` begins with the third of eight shares of the cells, and goes on with those of other shares that
            no process is at work on. The last process to end brings the records together. Default: this process alone.

    Returns:
        The records, the failures, and what was left out; of a shared run those so far, if others are still at work.

    Raises:
        DataUnavailable: A data set cannot be reached.
        InvalidInput: The data, the executor or the forecaster do not suit the experiment, or an argument is impossible.
        MissingDependency: A part of the experiment is of a package that is not installed.
        StoreMismatch: The store holds another run, or the data changed.
        StoreError: The store cannot be written, or another process writes to it.
    """
    _check_forecast(forecaster, stop_when_known, spread)
    if cells is not None:
        _check_alone(cells, forecaster, tracker)
    check_installed(experiment)
    with followed(progress or Silent(), store, experiment, tracker) as progress_and_tracker:
        setup = Setup(
            addressed(experiment, store), store, data_root, cache or default_cache(), progress_and_tracker, forecaster
        )
        if forecaster is not None:
            spread = "cells"
        return _Run(Session(setup), executor or SerialExecutor(), spread, stop_when_known, cells).run(retry_failed)


def _check_forecast(
    forecaster: Callable[[Session], Forecaster] | None, stop_when_known: float | None, spread: Spread
) -> None:
    if stop_when_known is not None:
        if not 0 < stop_when_known < 1:
            raise InvalidInput(f"stop_when_known = {stop_when_known}: give a share between 0 and 1 (0.03 for 3 %)")
        if forecaster is None:
            raise InvalidInput(f"stop_when_known = {stop_when_known}: give a forecaster, which knows cells, as well")
    if forecaster is not None and spread == "entities":
        raise InvalidInput(
            f"spread = {spread}: a forecast needs the learning curves of cells that one worker runs; give cells or auto"
        )


def _check_alone(
    share: tuple[int, int], forecaster: Callable[[Session], Forecaster] | None, tracker: Tracker | None
) -> None:
    check_share(share)
    wants = "a forecast" if forecaster is not None else "tracking" if tracker is not None else None
    if wants is not None:
        raise InvalidInput(
            f"cells = {share[0]}/{share[1]}: {wants} needs one process that sees all cells; leave one of the two out"
        )


_COLLECT_EVERY: Final = 30.0
"""Seconds between two writings of ``records.parquet`` while cells are run, at least: each reads all cells' records."""


_PACKING: Final = "packing"
"""The claim of a process that packs: of several, each would pack what the others are about to remove."""


@dataclass
class _Run:
    session: Session
    executor: Executor
    spread: Spread
    stop_when_known: float | None
    share: tuple[int, int] | None
    _collected: float = field(default_factory=time.monotonic)
    _collecting: float = 0.0
    _unsettled: list[Cell] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._forecasts = Forecasts(self.session, self.stop_when_known)
        setup = self.session.setup
        self._experiment, self._store, self._cells = setup.experiment, setup.store, setup.experiment.cells()
        self._open = dict(enumerate(self._cells))  # those that are not finished

    def run(self, retry_failed: bool) -> Outcome:
        shares = begin_run(self.session, self.share)
        try:
            keep_inputs(self.session)
            if shares is not None and (others := self._run_shares(shares, retry_failed)):
                records = collect(self._store, self._experiment, self._cells)
                return Outcome(records, self._failures(), others=others)
            for status in self._store.documents("status"):
                self._store.drop_document(status)  # of a run that was stopped
            self._unsettled.clear()
            unfinished = self._unfinished(retry_failed and shares is None)
            self.session.log_damage()
            if unfinished:
                self._log_resumed()
                self._sweep(unfinished)
            failures, left_out = self._failures(), self._left_out()
            with nullcontext() if shares is None else shares.alone(_PACKING):
                self._settle()
            projected = any(each.projected for each in self._experiment.metrics.values())
            if projected and (unfinished or shares is not None or self._store.read_result("projection") is None):
                self._project()
            records = self._collect()
            self.session.log_damage()
            return Outcome(records, failures, left_out)
        except BaseException:
            if shares is None:
                self._collect()  # so that finished steps can be read, whatever stopped the run
            raise
        finally:
            self._store.end()

    def _unfinished(self, retry_failed: bool) -> list[int]:
        """Return the positions of the cells to run, in the order in which to run them."""
        unfinished = []
        every = range(len(self._cells)) if self.stop_when_known is None else spanning_first(self._cells)
        for position, cell in ((position, self._cells[position]) for position in every):
            if self.session.is_finished(cell):
                self._store.drop_document(failure_of(cell))  # of an earlier try, if it was killed right after its end
                self._unsettled.append(self._open.pop(position))
                continue
            if self._forecasts.stays_out(cell):
                continue
            failure = read_failure(self._store, cell.name)
            if failure is None or retry_failed:
                unfinished.append(position)
            else:
                self._log(f"{cell.name}: failed before ({failure['message']}); --retry-failed tries again")
        return unfinished

    def _log_resumed(self) -> None:
        measured = sum(is_measured(self._store, c, t) for c in self._cells for t in range(c.experiment.generations + 1))
        if measured:
            total = sum(cell.experiment.generations + 1 for cell in self._cells)
            self._log(f"going on: {measured} of {total} generations are there")

    def _log(self, text: str) -> None:
        self.session.setup.progress.log(text)

    def _sweep(self, cells: Sequence[int]) -> None:
        begin_sitting(self._store)
        try:
            self.executor.open(self.session)
            workers = WorkerPool(self.executor, self.session.setup.progress)
            self._forecasts.begin()
            Sweep(self.session, workers, self.spread, self._after_cells, self._forecasts.leave_out).run(cells)
            self._forecasts.end()
        finally:
            self.executor.close()

    def _run_shares(self, shares: Shares, retry_failed: bool) -> tuple[str, ...]:
        """Run cells of a shared run; return the other processes that go on with the rest, none if nothing is left."""
        self._log_resumed()

        def settle(cells: Sequence[int]) -> None:
            """Pack cells that this process has finished while others are at work: what they share stays."""
            self._unsettled += [self._cells[position] for position in cells]
            if len(self._unsettled) >= TOGETHER:
                settled, self._unsettled = self._unsettled, []
                with shares.alone(_PACKING):
                    self._drop_own_states(settled)
                    self._store.pack([cell.name for cell in settled])

        return SharedSweep(self.session, shares, self.executor, self.spread, settle).run(retry_failed)

    def _after_cells(self, cells: Sequence[int]) -> None:
        for position in cells:
            if self.session.is_finished(self._cells[position]):
                self._unsettled.append(self._open.pop(position))
        if len(self._unsettled) >= TOGETHER:
            self._settle()
        if time.monotonic() - self._collected > max(_COLLECT_EVERY, 20 * self._collecting):
            self._collect()
        self._forecasts.after(cells)

    def _failures(self) -> dict[str, dict[str, Any]]:
        there = set(self._store.documents("failures"))
        named = (cell.name for cell in self._cells if failure_of(cell) in there)
        documents = {name: read_failure(self._store, name) for name in named}
        return {name: failure for name, failure in documents.items() if failure is not None}

    def _left_out(self) -> dict[str, dict[str, Any]]:
        there = set(self._store.documents("known"))
        named = (cell.name for cell in self._cells if left_out_of(cell.name) in there)
        documents = {name: read_left_out(self._store, name) for name in named}
        return {name: document for name, document in documents.items() if document is not None}

    def _settle(self) -> None:
        """Leave of cells that finished what is kept, in few files if the run has many cells."""
        settled, self._unsettled = self._unsettled, []
        self._drop_states(settled)
        if len(self._cells) >= TOGETHER:
            needed = {scope for cell in self._open.values() for scope in (scope_of(cell, 0), state_scope_of(cell, 0))}
            shared = {scope for cell in settled for scope in (scope_of(cell, 0), state_scope_of(cell, 0))}
            self._store.pack([*sorted(shared - needed), *(cell.name for cell in settled)])

    def _drop_states(self, settled: Sequence[Cell]) -> None:
        """Drop the states of finished cells that are not to be kept, and generation 0 if no other cell needs it."""
        kept = self._experiment.checkpoints
        if kept == "all":
            return
        needed = {cell.start for cell in self._open.values()}  # these may be tried later, also if they failed
        if kept == "last":
            needed |= {cell.start for cell in self._cells if cell.experiment.generations == 0}
        self._drop_own_states(settled)
        for start in dict.fromkeys(cell.start for cell in settled if cell.start not in needed):
            self._store.drop_states(f"shared/{start}", 0)

    def _drop_own_states(self, settled: Sequence[Cell]) -> None:
        """Drop the states of finished cells that are not to be kept, from generation 1 on."""
        kept = self._experiment.checkpoints
        for cell in settled if kept != "all" else ():
            last = cell.experiment.generations
            for generation in range(1, last + 1 if kept == "none" else last):
                self._store.drop_states(state_scope_of(cell, generation), generation)

    def _collect(self) -> pa.Table:
        begun = time.monotonic()
        records = collect(self._store, self._experiment, self._cells)
        self._store.write_result("records", records)
        self._collected = time.monotonic()
        self._collecting = self._collected - begun
        return records

    def _project(self) -> None:
        projection = collect_projection(self._store, self._cells)
        if projection is not None:
            self._store.write_result("projection", projection)
