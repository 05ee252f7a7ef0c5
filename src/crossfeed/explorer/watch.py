"""A run that is looked at while it goes on: read again and again, in a thread of its own, by all tabs together."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, replace
from typing import Final

from crossfeed.display.formatting import plain
from crossfeed.errors import CrossfeedError
from crossfeed.reporting.data.frames import Run
from crossfeed.running.status import RunStatus, read_status
from crossfeed.store import open_store

__all__ = ["Sight", "Watch"]

_EVERY: Final = 2.0
"""Seconds between two looks."""
_LONGEST: Final = 15.0
"""Seconds after which a tab that has not asked again counts as closed."""


@dataclass(frozen=True)
class Sight:
    """State of a run at one reading.

    Attributes:
        run: Its records and what else `Run` has.
        status: How far its cells are.
        problem: Why it could not be read this time; the rest is then from before. Empty if it could.
    """

    run: Run
    status: RunStatus
    problem: str = ""


class Watch:
    """Looks at a run as long as somebody asks what there is to see.

    Args:
        place: The run's folder, or its URL.

    Raises:
        StoreError: There is no run that can be read.
    """

    def __init__(self, place: str) -> None:
        self._place = place
        self._latest = _look(place, None)
        self._asked = -_LONGEST
        self._looking: threading.Thread | None = None

    @property
    def latest(self) -> Sight:
        """The last reading; each access keeps the watch awake."""
        self._asked = time.monotonic()
        if self._looking is None or not self._looking.is_alive():
            self._looking = threading.Thread(target=self._watch, daemon=True)
            self._looking.start()
        return self._latest

    def _watch(self) -> None:
        while time.monotonic() - self._asked < _LONGEST:
            try:
                self._latest = _look(self._place, self._latest)
            except (CrossfeedError, OSError) as error:
                if self._latest.problem != (problem := plain(str(error))):
                    self._latest = replace(self._latest, problem=problem)
            time.sleep(_EVERY)


def _look(place: str, before: Sight | None) -> Sight:
    """Read a run's state, and its records if there are new ones; what has not changed is the same object."""
    status = read_status(open_store(place))
    if before is not None and status == before.status and not before.problem:
        return before
    if before is not None and _progress(status) == _progress(before.status) and not before.problem:
        return replace(before, status=status)
    return Sight(Run.load(place), status)


def _progress(status: RunStatus) -> list[tuple[str, str, int]]:
    """Return the part of a status that changes when there are new records."""
    return [(cell.cell, cell.state, cell.reached) for cell in status.cells]
