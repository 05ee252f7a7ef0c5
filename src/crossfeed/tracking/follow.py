"""Following a run: whatever is newly kept in its store is handed to a tracker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, Protocol

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.formatting import clip
from crossfeed.errors import CrossfeedError
from crossfeed.protocols import Progress, Store
from crossfeed.records import scope_of

__all__ = ["Tracker", "followed"]

_EVERY: Final = 1.0
"""Seconds between two looks at the store, at least; a slow store is looked at for a twentieth of the time."""

_FAILURES: Final = (Exception, SystemExit)
"""Errors that are a tracker's failure: some packages end the process where they cannot go on."""

_LONGEST: Final = 300
"""Characters of a failure's message."""


class Tracker(Protocol):
    """A display of numbers over generations, one curve for each cell.

    Whatever a verb raises ends the tracking, in one line of the log, and nothing else.
    """

    def begin(self, experiment: Experiment) -> None:
        """Begin to show a run; called once, before anything else. What can fail at a start fails here.

        Args:
            experiment: The experiment that is run.
        """
        ...

    def logged(self, cell: Cell) -> int:
        """Return the last generation of a cell that was logged, by this process or an earlier one.

        Args:
            cell: The cell.

        Returns:
            The generation; -1 for none.
        """
        ...

    def log(self, cell: Cell, generation: int, numbers: Mapping[str, float]) -> None:
        """Log the numbers of a generation, all of them or none.

        Args:
            cell: The cell.
            generation: The generation; those of a cell come in order.
            numbers: The numbers by name, ``metric/model on task``.
        """
        ...

    def end(self) -> None:
        """Close the tracker; the run is finished, or was stopped."""
        ...


@contextmanager
def followed(progress: Progress, store: Store, experiment: Experiment, tracker: Tracker | None) -> Iterator[Progress]:
    """Yield progress that passes newly stored numbers to a tracker at every note; without a tracker, the given one.

    Every generation that is finished is said so, on all executors, so no thread and no timer is needed.

    Args:
        progress: Where progress is shown.
        store: Where the run is stored.
        experiment: The experiment.
        tracker: The tracker; None for none.
    """
    if tracker is None:
        yield progress
        return
    following = _Followed(progress, store, experiment, tracker)
    try:
        yield following
    finally:
        following.end()


class _Followed:
    def __init__(self, progress: Progress, store: Store, experiment: Experiment, tracker: Tracker) -> None:
        self._progress, self._store, self._experiment, self._tracker = progress, store, experiment, tracker
        self._next: dict[str, int] = {}
        self._looked, self._took = -_EVERY, 0.0
        self._begun = self._failed = False

    def stage(
        self, name: str, total: int | None = None, detail: str = ""
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Return a stage of the progress that is shown."""
        return self._progress.stage(name, total, detail)

    def log(self, text: str) -> None:
        """Pass a line on to the progress that is shown, and look for new numbers."""
        self._progress.log(text)
        if time.monotonic() - self._looked > max(_EVERY, 20 * self._took):
            self._guarded(self._look)

    def end(self) -> None:
        """Hand on what is left, and close the tracker."""
        self._guarded(self._look)
        if not self._begun:
            return
        if self._failed:  # that was said; what is open is closed all the same
            with suppress(*_FAILURES):
                self._tracker.end()
        self._guarded(self._tracker.end)

    def _guarded(self, work: Callable[[], None]) -> None:
        """Call the tracker; if it fails, the run goes on without it."""
        if self._failed:
            return
        try:
            work()
        except _FAILURES as error:
            self._failed = True
            self._progress.log(f"tracking stopped ({_one_line(error)}); the run goes on, and its records are kept")

    def _look(self) -> None:
        begun = time.monotonic()
        if not self._is_this_run():
            return
        if not self._begun:
            self._begun = True
            self._tracker.begin(self._experiment)
        for cell in self._experiment.cells():
            self._look_at(cell)
        self._looked = time.monotonic()
        self._took = self._looked - begun

    def _is_this_run(self) -> bool:
        """Return True if the store was begun for this run: until then it may hold another one."""
        return self._begun or (self._store.read_document("run") or {}).get("id") == self._experiment.id

    def _look_at(self, cell: Cell) -> None:
        if cell.name not in self._next:
            self._next[cell.name] = self._tracker.logged(cell) + 1
        while (generation := self._next[cell.name]) <= cell.experiment.generations:
            scope = scope_of(cell, generation)
            if not self._store.has_table("records", scope, generation):
                return
            rows = self._store.read_table("records", scope, generation).to_pylist()
            self._tracker.log(cell, generation, {_name(row): row["value"] for row in rows})
            self._next[cell.name] = generation + 1


def _name(row: Mapping[str, str]) -> str:
    """Return ``loss/math on facts``; what is of no model or no task is named by the other."""
    return f"{row['metric']}/{' on '.join(part for part in (row['model'], row['task']) if part)}"


def _one_line(error: BaseException) -> str:
    """Return an error in one line: crossfeed's own message as it is, any other with the name of its type."""
    text = clip(" ".join(str(error).split()), _LONGEST)
    return text if isinstance(error, CrossfeedError) else ": ".join(filter(None, (type(error).__name__, text)))
