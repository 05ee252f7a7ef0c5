"""How far a run is, for those who look at it from elsewhere: signs of life in its folder, and reading them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

from crossfeed.errors import StoreError
from crossfeed.protocols import Progress, Store
from crossfeed.store.schema import check_document

__all__ = ["CellStatus", "RunStatus", "SignsOfLife", "place_of", "read_status"]

_EVERY: Final = 1.0
"""Seconds between two signs of life of one process: they are for people."""


class SignsOfLife:
    """Progress that is also written down now and then, for those who look from elsewhere: ``status/<cell>``.

    Args:
        store: Where the run lives.
        progress: Where progress is shown here.
    """

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._cell = ""
        self._doing: dict[str, Any] = {}
        self._said = -_EVERY

    def sign(self, cell: str, generation: int, stage: str) -> None:
        """Say what is being worked on."""
        self._cell, self._doing = cell, {"generation": generation, "stage": stage}
        self._write("")

    def end(self, cell: str) -> None:
        """The cell is finished, or failed: other documents say so."""
        self._cell = ""
        self._store.drop_document(f"status/{cell}")

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Callable[[int], None]]:
        """A stage of the progress that is shown here."""
        done = 0
        with self._progress.stage(name, total, detail) as advance:

            def told(steps: int) -> None:
                nonlocal done
                done += steps
                advance(steps)
                self._write(f"{name} {done}" + (f" of {total}" if total else ""))

            yield told

    def note(self, text: str) -> None:
        """A line of the progress that is shown here."""
        self._progress.note(text)

    def _write(self, step: str) -> None:
        if not self._cell or time.monotonic() - self._said < _EVERY:
            return
        self._said = time.monotonic()
        here = {"step": step, "process": os.getpid(), "host": platform.node(), "time": time.time()}
        with suppress(StoreError):  # a sign is for people; what matters is written by others, and says so
            self._store.write_document(f"status/{self._cell}", self._doing | here, durable=False)


def place_of(store: Store, cell: str) -> dict[str, Any]:
    """``generation`` and ``stage`` of a cell's last sign of life; empty if there is none."""
    found = store.read_document(f"status/{cell}") or {}
    return {key: found[key] for key in ("generation", "stage") if key in found}


@dataclass(frozen=True)
class CellStatus:
    """How far one cell is.

    Attributes:
        cell: Its name.
        state: ``finished``, ``failed``, ``running``, ``stopped`` (begun, and nobody is at work on it) or ``waiting``.
        reached: Its last measured generation; -1 for none.
        generations: Its last generation T.
        doing: What is or was being worked on, such as ``update, t = 3, steps 12 of 40``; empty if nothing is known.
        seconds: Since its last sign of life; None if there is none.
        failure: Its failure record, if it failed.
    """

    cell: str
    state: Literal["finished", "failed", "running", "stopped", "waiting"]
    reached: int
    generations: int
    doing: str
    seconds: float | None
    failure: Mapping[str, Any] | None


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    Attributes:
        name: The experiment's name.
        writer: Which process is at work on it; None if none is.
        cells: Its cells, in their order.
    """

    name: str
    writer: str | None
    cells: tuple[CellStatus, ...]

    def count(self, state: str) -> int:
        """How many cells are in a state."""
        return sum(cell.state == state for cell in self.cells)


def read_status(store: Store) -> RunStatus:
    """How far a run is.

    Raises:
        StoreError: There is no run there, or it cannot be read.
    """
    document = store.read_document("run")
    if document is None:
        raise StoreError(f"{store}: not a crossfeed run (no run.json in it); give the folder that `crossfeed run` made")
    check_document(str(store), document)
    if any("generations" not in cell for cell in document["cells"]):
        raise StoreError(f"{store.location}: an older crossfeed made this run; `crossfeed show` prints how far it came")
    writer = store.writer()
    cells = tuple(_cell_status(store, cell, at_work=writer is not None) for cell in document["cells"])
    return RunStatus(document["name"], writer, cells)


def _cell_status(store: Store, cell: Mapping[str, Any], *, at_work: bool) -> CellStatus:
    name, last = cell["cell"], cell["generations"]
    reached = -1
    while reached < last and store.has_table("records", _scope(cell, reached + 1), reached + 1):
        reached += 1
    failure = store.read_document(f"failures/{name}")
    try:
        sign = store.read_document(f"status/{name}")
    except StoreError:  # half-written, when a machine went down
        sign = None
    doing = ", ".join(filter(None, (sign["stage"], f"t = {sign['generation']}", sign.get("step", "")))) if sign else ""
    seconds = max(0.0, time.time() - sign["time"]) if sign else None
    state: Literal["finished", "failed", "running", "stopped", "waiting"]
    if reached == last:
        state = "finished"
    elif sign and at_work:
        state = "running"  # also if it failed before and is tried again
    elif failure:
        state = "failed"
    else:
        state = "stopped" if sign or (reached > 0 and not at_work) else "waiting"
    return CellStatus(name, state, reached, last, doing, seconds, failure if state == "failed" else None)


def _scope(cell: Mapping[str, Any], generation: int) -> str:
    return f"shared/{cell['zero']}" if generation == 0 else str(cell["cell"])
