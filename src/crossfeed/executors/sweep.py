"""Cells on workers: shared starts first, then cells side by side, and the last ones distributed over all workers.

Where the losses of a cell are forecast well enough, it is not handed out at all.

A worker that is lost in mid-cell, for instance killed by the system for want of memory, costs its unfinished step: the
cell goes on from its last finished step on another one. A cell that loses two workers is a failure; the others go on.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from crossfeed.description.experiment import Cell
from crossfeed.errors import WorkerFailure
from crossfeed.executors.assignment import assign, expected_work
from crossfeed.executors.distributed import DistributedLearner
from crossfeed.executors.request_handler import raise_error
from crossfeed.executors.worker_pool import WorkerPool
from crossfeed.records import is_measured, reached, state_scope_of
from crossfeed.running.cell_runner import duration
from crossfeed.running.session import Session
from crossfeed.running.shares import Shares

__all__ = ["Spread", "Sweep"]

Spread = Literal["auto", "cells", "entities"]
"""Values of the argument `spread` of `crossfeed.run`."""

_TRIES: Final = 2


@dataclass
class _Job:
    """Cells that one worker runs, one after the other: several if they start from the same states.

    Attributes:
        cells: Their positions.
        only_start: True to stop when generation 0 is measured.
        starts: Positions of cells whose generation 0 is made by it.
        lost: The workers that were lost at it.
    """

    cells: tuple[int, ...]
    only_start: bool
    starts: tuple[int, ...] = ()
    lost: int = 0


@dataclass
class Sweep:
    """The unfinished cells of a run on the workers of an executor.

    Attributes:
        session: This process's own session.
        workers: The workers.
        spread: ``cells``: a cell to a worker. ``entities``: one cell after the other, distributed over the workers.
            ``auto``: a cell to a worker, but where too few are left to keep all busy, distributed over the workers.
        after_cells: Called with the positions of cells when they have finished or failed.
        leave_out: Called with the position of a cell before it is handed out; True if it need not be run.
        shares: This process's part, if others run cells of the same run at the same time.
    """

    session: Session
    workers: WorkerPool
    spread: Spread
    after_cells: Callable[[Sequence[int]], None]
    leave_out: Callable[[int], bool]
    shares: Shares | None = None
    _finished: int = 0
    _left_out: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def run(self, cells: Sequence[int]) -> None:
        """Run cells to their ends.

        Args:
            cells: Positions of cells in the experiment.

        Raises:
            CrossfeedError: Inputs or the store cannot be used.
        """
        total = len(cells)
        with self.session.setup.progress.stage("cells", total, self.session.setup.experiment.name) as advance:

            def count(cells: Sequence[int]) -> None:
                advance(len(cells))
                self._finished += len(cells)
                self._log_remaining(total - self._left_out)
                self.after_cells(cells)

            def keep(job: _Job) -> bool:
                """Leave out the cells of a job that need not be run; return True if any is left."""
                takes = self._takes_start(job)
                left_out = {cell for cell in job.cells if not takes or self.leave_out(cell)}
                if left_out:
                    advance(len(left_out))
                    self._left_out += len(left_out)
                    job.cells = tuple(cell for cell in job.cells if cell not in left_out)
                if takes and not job.cells:
                    self._end_start(job)
                return bool(job.cells)

            def end(job: _Job) -> None:
                self._end_start(job)
                count(job.cells)

            firsts = [tuple(members[0] for members in measured.values()) for measured in self._unready(cells)]
            starts = [_Job(first, only_start=True, starts=first) for first in firsts]
            self._phase(starts, self._makes_start, self._end_start)
            # Where that failed, cells try it one after the other: two at once would write the same folder.
            unready = self._unready(cells)
            in_turn = [tuple(cell for members in measured.values() for cell in members) for measured in unready]
            waiting = {cell for group in in_turn for cell in group}
            jobs = [_Job((cell,), only_start=False) for cell in cells if cell not in waiting]
            jobs += [_Job(group, only_start=False, starts=group) for group in in_turn]
            self._begun = time.monotonic()  # shared starts are no measure of the cells
            self._phase(jobs, keep, end)

    def _takes_start(self, job: _Job) -> bool:
        """Return True if no other process is at a job's generation 0."""
        return self.shares is None or not job.starts or self.shares.take_start(job.starts)

    def _makes_start(self, job: _Job) -> bool:
        """Return True if a job's generation 0 is to be made here, and not by another process, now or just before."""
        if not self._takes_start(job):
            return False
        if self.shares is not None and self._is_ready(job.starts):
            self._end_start(job)
            return False
        return True

    def _end_start(self, job: _Job) -> None:
        if self.shares is not None and job.starts:
            self.shares.end_start(job.starts)

    def _unready(self, cells: Sequence[int]) -> list[dict[str, list[int]]]:
        """Return the cells of every shared generation 0 that is not stored yet, by what is measured at it."""
        known = self.session.setup.experiment.cells()
        sharing: dict[str, dict[str, list[int]]] = {}
        for position in cells:
            cell = known[position]
            if not self._goes_on(cell):
                sharing.setdefault(cell.start, {}).setdefault(cell.zero, []).append(position)
        unready = [
            measured for measured in sharing.values() if not self._is_ready([own[0] for own in measured.values()])
        ]
        self.session.log_damage()
        # Of several processes each sees some of the cells: what one of them sees once, others may see, too.
        fewest = 2 if self.shares is None else 1
        return [measured for measured in unready if sum(map(len, measured.values())) >= fewest]

    def _goes_on(self, cell: Cell) -> bool:
        """Return True if a cell goes on from later states, so that it does not need those of generation 0."""
        store, ecosystem = self.session.setup.store, cell.experiment.ecosystem
        last = reached(store, cell)
        if last == cell.experiment.generations:
            return True  # only metrics are added
        if "own" in {ecosystem.start_of(entity) for entity in ecosystem.entities}:
            return False
        return last > 0 and store.has_states(state_scope_of(cell, last), last)

    def _is_ready(self, firsts: Sequence[int]) -> bool:
        """Return True if the states that cells start from, and the measurements of their generation 0, are stored."""
        store, known = self.session.setup.store, self.session.setup.experiment.cells()
        has_states = store.has_states(state_scope_of(known[firsts[0]], 0), 0)
        return has_states and all(is_measured(store, known[first], 0) for first in firsts)

    def _phase(self, jobs: Sequence[_Job], keep: Callable[[_Job], bool], done: Callable[[_Job], None]) -> None:
        """Finish jobs that do not wait for each other, those that `keep` keeps; `done` receives each."""
        distributed = self._distributed(jobs)
        self._side_by_side(jobs[: len(jobs) - distributed], keep, done)
        for job in filter(keep, jobs[len(jobs) - distributed :]):
            for cell in job.cells:
                self._over_entities(cell, only_start=job.only_start)
            done(job)

    def _distributed(self, jobs: Sequence[_Job]) -> int:
        """Return how many of the last jobs to run one after the other, each over all workers."""
        workers = self.workers.executor.workers
        if workers == 1 or self.spread == "cells" or (self.shares is not None and self.spread == "auto"):
            return 0
        if self.spread == "entities":
            return len(jobs)
        left = len(jobs) % workers
        entities = len(self.session.setup.experiment.ecosystem.names)
        share = math.ceil(entities / workers) / entities  # of a cell's time on one worker
        return left if left * share < 1 else 0

    def _side_by_side(self, jobs: Sequence[_Job], keep: Callable[[_Job], bool], done: Callable[[_Job], None]) -> None:
        waiting = deque(jobs)
        idle = list(range(self.workers.executor.workers))
        busy: dict[int, _Job] = {}
        while waiting or busy:
            while waiting and idle:
                job = waiting.popleft()
                if not keep(job):
                    continue
                worker = idle.pop(0)
                busy[worker] = job
                request = {"verb": "advance", "cells": list(job.cells), "only_start": job.only_start}
                self.workers.executor.submit(worker, request)
            if not busy:
                return  # all that were waiting are left out
            worker, reply = self.workers.reply()
            if worker not in busy:
                continue  # lost while it had nothing to do, and replaced
            job = busy.pop(worker)
            idle.append(worker)
            if self._is_finished(job, reply):
                done(job)
            else:
                waiting.appendleft(job)

    def _is_finished(self, job: _Job, reply: dict[str, Any]) -> bool:
        """Return True if a job is finished or failed, False if it has to be tried again; raise a worker's error."""
        if reply["reply"] == "error":
            raise_error(reply)
        if reply["reply"] == "lost":
            job.lost += 1
            if job.lost < _TRIES:
                self._log_loss(reply["message"])
                return False
            for cell in job.cells:
                self.session.fail_lost(cell, WorkerFailure(reply["message"], "WorkerLost"))
        return True

    def _over_entities(self, cell: int, *, only_start: bool) -> None:
        prepared = self.session.prepared(cell)
        reads = prepared.cell.experiment.learner.reading()
        owners = assign(expected_work(prepared), self.workers.executor.workers)
        for attempt in range(1, _TRIES + 1):
            try:
                learner = DistributedLearner(self.workers, cell, reads, owners)
                self.session.advance(cell, only_start=only_start, learner=learner)
            except WorkerFailure as error:
                if attempt == _TRIES:
                    self.session.fail_lost(cell, error)
                else:
                    self._log_loss(str(error))
            else:
                return

    def _log_loss(self, message: str) -> None:
        self.session.setup.progress.log(f"a worker was lost, its cell goes on from its last step: {message}")

    def _log_remaining(self, total: int) -> None:
        left = total - self._finished
        if left:
            seconds = time.monotonic() - self._begun
            rest = duration(seconds * left / self._finished)
            self.session.setup.progress.log(f"{self._finished} of {total} cells; about {rest} for the others")
