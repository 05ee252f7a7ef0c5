"""Cells of a run that several processes share, on the workers of one of them, until nothing is left but the others'."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crossfeed.executors.executor import Executor
from crossfeed.executors.sweep import Spread, Sweep
from crossfeed.executors.worker_pool import WorkerPool
from crossfeed.running.failures import failure_of
from crossfeed.running.session import Session
from crossfeed.running.shares import Shares
from crossfeed.running.sittings import begin_sitting

__all__ = ["SharedSweep"]


class SharedSweep:
    """One process's work on a run that several share.

    Args:
        session: The process's session.
        shares: Its part in the run.
        executor: Does the work; opened when there is some.
        spread: See `crossfeed.executors.sweep.Sweep`.
        after_cells: Called with the positions of cells that were finished here.
    """

    def __init__(
        self,
        session: Session,
        shares: Shares,
        executor: Executor,
        spread: Spread,
        after_cells: Callable[[Sequence[int]], None],
    ) -> None:
        self._session, self._shares, self._executor, self._spread = session, shares, executor, spread
        self._after_cells = after_cells
        self._cells = session.setup.experiment.cells()
        self._again: set[int] = set()
        self._workers: WorkerPool | None = None

    def run(self, retry_failed: bool) -> tuple[str, ...]:
        """Run cells while there are some that no other process is at work on.

        Args:
            retry_failed: Try cells again that had failed when this process began.

        Returns:
            The other processes that go on with the rest, as text; empty if nothing is left, and this process is the one
            to end the run.

        Raises:
            CrossfeedError: Inputs or the store cannot be used.
        """
        self._again = self._failed() if retry_failed else set()
        try:
            while True:
                cells = self._shares.wait(self._unfinished)
                if cells:
                    self._sweep(cells)
                elif not self._unfinished() and self._shares.take_end():
                    return ()
                elif others := self._shares.others():
                    return others
        finally:
            self._executor.close()

    def _sweep(self, cells: Sequence[int]) -> None:
        if self._workers is None:
            with self._shares.alone("sitting"):
                begin_sitting(self._session.setup.store)
            self._executor.open(self._session)
            self._workers = WorkerPool(self._executor, self._session.setup.progress)
        shares = self._shares
        Sweep(self._session, self._workers, self._spread, self._after, shares.leave_out, shares).run(cells)

    def _after(self, cells: Sequence[int]) -> None:
        self._shares.done(cells)
        self._again -= {*cells}
        self._after_cells([cell for cell in cells if self._session.is_finished(self._cells[cell])])

    def _unfinished(self) -> list[int]:
        """Return the positions of cells that are neither finished nor failed, here or in other processes."""
        failed = self._failed()
        self._again = {cell for cell in self._again & failed if not self._shares.is_done(cell)}
        return [
            cell
            for cell in self._shares.in_order()
            if not self._session.is_finished(self._cells[cell])
            and (cell not in failed or cell in self._again or self._shares.is_others(cell))
        ]

    def _failed(self) -> set[int]:
        there = {*self._session.setup.store.documents("failures")}
        return {position for position, cell in enumerate(self._cells) if failure_of(cell) in there}
