"""Cells on workers: what several share is made first, cells run side by side, and the last ones over all workers.

A worker that is lost in mid-cell, killed by the system for want of memory for instance, costs what it had in hand: the
cell goes on from its last finished step on another one. A cell that loses two workers is a failure; the others go on.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from crossfeed.errors import WorkerFailure
from crossfeed.executors.assignment import deal, expected_work
from crossfeed.executors.calls import raise_error
from crossfeed.executors.distributed import SpreadLearner
from crossfeed.executors.worker_pool import Crew
from crossfeed.records import is_measured, state_scope_of
from crossfeed.running.cell_runner import duration
from crossfeed.running.session import Session

__all__ = ["Spread", "Sweep"]

Spread = Literal["auto", "cells", "entities"]

_TRIES: Final = 2


@dataclass
class _Job:
    """Cells that one worker carries on, one after the other: several if they start from the same states."""

    cells: tuple[int, ...]
    only_start: bool
    lost: int = 0


@dataclass
class Sweep:
    """The unfinished cells of a run on the workers of an executor.

    Attributes:
        session: This process's own session.
        crew: The workers.
        spread: ``cells``: a cell to a worker. ``entities``: one cell after the other, its entities over the workers.
            ``auto``: a cell to a worker, but where too few are left to keep all busy, entities over the workers.
        now_and_then: Called after every cell.
    """

    session: Session
    crew: Crew
    spread: Spread
    now_and_then: Callable[[], None]
    _finished: int = 0
    _begun: float = field(default_factory=time.monotonic)

    def run(self, cells: Sequence[int]) -> None:
        """Carry cells to their ends.

        Args:
            cells: Positions of cells in the experiment.

        Raises:
            CrossfeedError: What was given cannot be used, or the store cannot.
        """
        total = len(cells)
        with self.session.setup.progress.stage("cells", total, self.session.setup.experiment.name) as advance:

            def count(cells: int) -> None:
                advance(cells)
                self._finished += cells
                self._tell(total)
                self.now_and_then()

            starts = [[members[0] for members in measured.values()] for measured in self._unready(cells)]
            self._phase([_Job(tuple(firsts), only_start=True) for firsts in starts], lambda cells: None)
            # Where that failed, cells try it one after the other: two at once would write the same folder.
            apart = [[cell for members in measured.values() for cell in members] for measured in self._unready(cells)]
            waiting = {cell for group in apart for cell in group}
            groups = [[cell] for cell in cells if cell not in waiting] + apart
            self._begun = time.monotonic()  # what they share is no measure of them
            self._phase([_Job(tuple(group), only_start=False) for group in groups], count)

    def _unready(self, cells: Sequence[int]) -> list[dict[str, list[int]]]:
        """Cells that share a generation 0 which is not there yet: for each one, cells by what is measured at it."""
        known = self.session.setup.experiment.cells()
        store = self.session.setup.store
        sharing: dict[str, dict[str, list[int]]] = {}
        for position in cells:
            cell = known[position]
            sharing.setdefault(cell.start, {}).setdefault(cell.zero, []).append(position)
        found = []
        for measured in sharing.values():
            ready = store.has_states(state_scope_of(known[next(iter(measured.values()))[0]], 0), 0) and all(
                is_measured(store, known[members[0]], 0) for members in measured.values()
            )
            if not ready and sum(map(len, measured.values())) > 1:
                found.append(measured)
        self.session.tell_damage()
        return found

    def _phase(self, jobs: Sequence[_Job], done: Callable[[int], None]) -> None:
        """Finish some jobs that do not wait for each other; `done` is told of how many cells each was."""
        apart = self._apart(jobs)
        self._side_by_side(jobs[: len(jobs) - apart], done)
        for job in jobs[len(jobs) - apart :]:
            for cell in job.cells:
                self._over_entities(cell, only_start=job.only_start)
            done(len(job.cells))

    def _apart(self, jobs: Sequence[_Job]) -> int:
        """How many of the last jobs to run one after the other, each over all workers."""
        workers = self.crew.executor.workers
        if workers == 1 or self.spread == "cells":
            return 0
        if self.spread == "entities":
            return len(jobs)
        left = len(jobs) % workers
        entities = len(self.session.setup.experiment.ecosystem.names)
        share = math.ceil(entities / workers) / entities  # of a cell's time on one worker
        return left if left * share < 1 else 0

    def _side_by_side(self, jobs: Sequence[_Job], done: Callable[[int], None]) -> None:
        waiting = deque(jobs)
        idle = list(range(self.crew.executor.workers))
        busy: dict[int, _Job] = {}
        while waiting or busy:
            while waiting and idle:
                worker, job = idle.pop(0), waiting.popleft()
                busy[worker] = job
                call = {"call": "advance", "cells": list(job.cells), "only_start": job.only_start}
                self.crew.executor.submit(worker, call)
            worker, reply = self.crew.reply()
            if worker not in busy:
                continue  # lost while it had nothing to do, and there again
            job = busy.pop(worker)
            idle.append(worker)
            if reply["reply"] == "error":
                raise_error(reply)
            if reply["reply"] == "lost":
                job.lost += 1
                if job.lost < _TRIES:
                    self._note_loss(reply["message"])
                    waiting.appendleft(job)
                    continue
                for cell in job.cells:
                    self.session.give_up(cell, WorkerFailure(reply["message"], "WorkerLost"))
            done(len(job.cells))

    def _over_entities(self, cell: int, *, only_start: bool) -> None:
        one = self.session.prepared(cell)
        reads = one.cell.experiment.learner.reading()
        owners = deal(expected_work(one), self.crew.executor.workers)
        for attempt in range(1, _TRIES + 1):
            try:
                learner = SpreadLearner(self.crew, cell, reads, owners)
                self.session.advance(cell, only_start=only_start, learner=learner)
            except WorkerFailure as error:
                if attempt == _TRIES:
                    self.session.give_up(cell, error)
                else:
                    self._note_loss(str(error))
            else:
                return

    def _note_loss(self, message: str) -> None:
        self.session.setup.progress.note(f"a worker was lost, its cell goes on from its last step: {message}")

    def _tell(self, total: int) -> None:
        left = total - self._finished
        if left:
            spent = time.monotonic() - self._begun
            rest = duration(spent * left / self._finished)
            self.session.setup.progress.note(f"{self._finished} of {total} cells; about {rest} for the others")
