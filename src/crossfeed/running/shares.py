"""The cells of a run that several processes share: whose they are, which come next, what has to be waited for.

Cells are not assigned: a process claims one when it is about to run it. Its share, the third of eight say, is where it
begins; after that it goes on with cells of other shares that nobody is at work on, so that the cells of a process that
was lost, or that has not started yet, are run by the others.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Final

from crossfeed.description.experiment import Cell
from crossfeed.errors import InvalidInput
from crossfeed.protocols import Claims, ClaimState
from crossfeed.records import is_measured
from crossfeed.running.session import Session
from crossfeed.running.status import start_work_of, work_of

__all__ = ["Shares", "check_share", "parse_share"]

_SHARE: Final = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
_END: Final = "end of the run"
_PAUSES: Final = (0.1, 0.2, 0.5, 1.0, 2.0)
"""Seconds between two looks for a cell that is free; the last one again and again."""


def check_share(share: tuple[int, int]) -> None:
    """Refuse a share that is none.

    Args:
        share: Its number, from 1, and the number of shares.

    Raises:
        InvalidInput: It is none.
    """
    number, count = share
    if not 1 <= number <= count:
        raise InvalidInput(f"cells = {number}/{count}: give a share such as 3/8, from 1/8 to 8/8")


def parse_share(text: str) -> tuple[int, int]:
    """Parse a share.

    Args:
        text: Its number, from 1, and the number of shares: ``3/8``.

    Returns:
        Both numbers.

    Raises:
        InvalidInput: It is none.
    """
    found = _SHARE.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise InvalidInput(f"--cells {text}: give a share such as 3/8, from 1/8 to 8/8")
    return int(found[1]), int(found[2])


class Shares:
    """One process's part in a run that several share.

    Args:
        session: The process's session.
        claims: Its claims on the run.
        share: The number of its share, from 1, and the number of shares.
    """

    def __init__(self, session: Session, claims: Claims, share: tuple[int, int]) -> None:
        self._session, self._claims, self._share = session, claims, share
        self._cells = session.setup.experiment.cells()

    def in_order(self) -> list[int]:
        """Return the positions of all cells in the order in which this process looks for one.

        Cells that begin with the same generation 0 are neighbours; so few processes wait for the same one.
        """
        starts = list(dict.fromkeys(cell.start for cell in self._cells))
        places = {start: place for place, start in enumerate(starts)}
        order = sorted(range(len(self._cells)), key=lambda position: places[self._cells[position].start])
        number, count = self._share
        begin = (number - 1) * len(order) // count
        return order[begin:] + order[:begin]

    def wait(self, unfinished: Callable[[], Sequence[int]]) -> list[int]:
        """Wait for cells that can be run here.

        Args:
            unfinished: Returns the positions of the cells that are neither finished nor failed now.

        Returns:
            Those that are free; empty if all are finished, or other processes are at work on them.
        """
        looks = 0
        while cells := unfinished():
            states = {position: self._state(self._cells[position]) for position in cells}
            free = [position for position in cells if states[position] in ("free", "mine")]
            if free or all(state == "held" for state in states.values()):
                return free
            time.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
            looks += 1
        return []

    def is_others(self, position: int) -> bool:
        """Return True if another process is at work on a cell.

        Args:
            position: The cell's position in the experiment.
        """
        return self._claims.look(work_of(self._cells[position].name)) in ("held", "unknown")

    def is_done(self, position: int) -> bool:
        """Return True if some process has finished a cell, or failed at it, since this one began.

        Args:
            position: The cell's position in the experiment.
        """
        return self._claims.look(work_of(self._cells[position].name)) == "done"

    def leave_out(self, position: int) -> bool:
        """Claim a cell that is about to be run.

        Args:
            position: The cell's position in the experiment.

        Returns:
            True if it need not be run here: another process has it, or has finished it.
        """
        cell = self._cells[position]
        if self._claims.take(work_of(cell.name)) != "mine":
            return True
        if self._session.is_finished(cell):  # since it was looked for
            self._claims.done(work_of(cell.name))
            return True
        return False

    def done(self, cells: Sequence[int]) -> None:
        """Keep that claimed cells have finished or failed.

        Args:
            cells: Their positions in the experiment.
        """
        for position in cells:
            self._claims.done(work_of(self._cells[position].name))

    def take_start(self, cells: Sequence[int]) -> bool:
        """Claim the generation 0 that cells share.

        Args:
            cells: Positions of cells that differ at most in what is measured at it.

        Returns:
            True if this process is to make it, if it is not there.
        """
        return self._claims.take(start_work_of(self._cells[cells[0]].start)) == "mine"

    def end_start(self, cells: Sequence[int]) -> None:
        """Let go of a generation 0.

        Args:
            cells: The cells of `take_start`.
        """
        start = start_work_of(self._cells[cells[0]].start)
        if all(self._is_begun(self._cells[position]) for position in cells):
            self._claims.done(start)
        else:  # it failed
            self._claims.release(start)

    def take_end(self) -> bool:
        """Claim the end of the run: records are brought together by one process, when all cells are finished."""
        looks = 0
        while (state := self._claims.take(_END)) == "unknown":
            time.sleep(_PAUSES[min(looks, len(_PAUSES) - 1)])
            looks += 1
        return state == "mine"

    def alone(self, work: str) -> AbstractContextManager[None]:
        """Open a context in which no other process is in one for the same work.

        Args:
            work: Its name.

        Returns:
            The context manager.
        """
        return self._claims.alone(work)

    def others(self) -> tuple[str, ...]:
        """Return the other processes at work on the run, as text."""
        return tuple(self._claims.others())

    def _state(self, cell: Cell) -> ClaimState:
        """Return the state of a cell; one that is free waits for its start if another process makes that."""
        state = self._claims.look(work_of(cell.name))
        if state != "free" or self._is_begun(cell):
            return state
        start = self._claims.look(start_work_of(cell.start))
        return "unknown" if start in ("held", "unknown", "done") else "free"

    def _is_begun(self, cell: Cell) -> bool:
        """Return True if a cell's generation 0 is measured: its states are there, or will be found missing."""
        return is_measured(self._session.setup.store, cell, 0)
