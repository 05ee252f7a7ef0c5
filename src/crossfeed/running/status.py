"""The status of a run for other processes: status documents written in its folder, and their reader."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from crossfeed.errors import StoreError
from crossfeed.running.failures import read_failure
from crossfeed.running.left_out import left_out_of, read_left_out
from crossfeed.store.schema import check_document

if TYPE_CHECKING:  # as in `crossfeed.running.failures`
    from crossfeed.protocols import Claims, Progress, SharedStore, Store

__all__ = ["CellStatus", "RunStatus", "StatusProgress", "last_status", "read_status", "start_work_of", "work_of"]

_EVERY: Final = 1.0
"""Seconds between two status documents of one process, at least: they are for people."""

CellState = Literal["finished", "failed", "running", "stopped", "forecast", "waiting"]


class StatusProgress:
    """Progress that is also written to the store from time to time, for other processes: ``status/<cell>``.

    Args:
        store: The store of the run.
        progress: Where progress is shown here.
    """

    def __init__(self, store: Store, progress: Progress) -> None:
        self._store = store
        self._progress = progress
        self._cell = ""
        self._position: dict[str, Any] = {}
        self._written = -_EVERY

    def report(self, cell: str, generation: int, stage: str) -> None:
        """Report a stage of a cell as the work in progress.

        Args:
            cell: The cell's name.
            generation: The generation t.
            stage: ``update``, ``measure``, ...
        """
        self._cell, self._position = cell, {"generation": generation, "stage": stage}
        self._write("")

    def clear(self, cell: str) -> None:
        """Remove the status of a cell that is finished or failed; other documents state that.

        Args:
            cell: The cell's name.
        """
        self._cell = ""
        self._store.drop_document(f"status/{cell}")

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Callable[[int], None]]:
        """Open a stage of the progress that is shown here; see `crossfeed.protocols.Progress.stage`."""
        done = 0
        with self._progress.stage(name, total, detail) as advance_shown:

            def advance(steps: int) -> None:
                nonlocal done
                done += steps
                advance_shown(steps)
                self._write(f"{name} {done}" + (f" of {total}" if total else ""))

            yield advance

    def log(self, text: str) -> None:
        """Log a line in the progress that is shown here; see `crossfeed.protocols.Progress.log`."""
        self._progress.log(text)

    def _write(self, step: str) -> None:
        if not self._cell or time.monotonic() - self._written < _EVERY:
            return
        self._written = time.monotonic()
        here = {"step": step, "process": os.getpid(), "host": platform.node(), "time": time.time()}
        with suppress(StoreError):  # a status is for people; a store that fails is reported by the steps of the run
            self._store.write_document(f"status/{self._cell}", self._position | here, durable=False)


def work_of(cell: str) -> str:
    """Return the name under which a process claims a cell (`crossfeed.protocols.Claims`).

    Args:
        cell: The cell's name.
    """
    return f"cell {cell}"


def start_work_of(start: str) -> str:
    """Return the name under which a process claims a generation 0 that cells share.

    Args:
        start: The hash of what it is made from (`crossfeed.description.experiment.Cell.start`).
    """
    return f"start {start}"


def last_status(store: Store, cell: str) -> dict[str, Any]:
    """Read the position of a cell's last status document.

    Args:
        store: The store of the run.
        cell: The cell's name.

    Returns:
        ``generation`` and ``stage``; empty if there is none.
    """
    status = store.read_document(f"status/{cell}") or {}
    return {key: status[key] for key in ("generation", "stage") if key in status}


@dataclass(frozen=True)
class CellStatus:
    """The status of one cell.

    Attributes:
        cell: Its name.
        state: ``finished``, ``failed``, ``running``, ``stopped`` (begun, no process is at work on it), ``forecast``
            (left out, because its losses are forecast well enough) or ``waiting``.
        reached: Its last measured generation; -1 for none.
        generations: Its last generation T.
        doing: The work in progress, or the last, such as ``update, t = 3, steps 12 of 40``; empty if it is not known.
        seconds: Seconds since its last status document; None if there is none.
        failure: Its failure record, if it failed.
        half_width: If it was left out, half-width of the 80 % bands of its losses, relative to them.
        writer: The process at work on it, if it is running.
    """

    cell: str
    state: CellState
    reached: int
    generations: int
    doing: str
    seconds: float | None
    failure: Mapping[str, Any] | None
    half_width: float | None = None
    writer: str | None = None


@dataclass(frozen=True)
class RunStatus:
    """The status of a run.

    Attributes:
        name: The experiment's name.
        writer: The process at work on it, or the first of several; None if none is.
        cells: Its cells, in their order.
        writers: All processes at work on it: several if they share its cells.
    """

    name: str
    writer: str | None
    cells: tuple[CellStatus, ...]
    writers: tuple[str, ...] = ()

    def count(self, state: str) -> int:
        """Count the cells in a state.

        Args:
            state: A state of `CellStatus`.

        Returns:
            The number of cells.
        """
        return sum(cell.state == state for cell in self.cells)


def read_status(store: Store) -> RunStatus:
    """Read the status of a run.

    Args:
        store: The store of the run; it is only read.

    Returns:
        The status of the run and of each of its cells.

    Raises:
        StoreError: There is no run there, or it cannot be read.
    """
    document = store.read_document("run")
    if document is None:
        raise StoreError(f"{store}: not a crossfeed run (no run.json in it); give the folder that `crossfeed run` made")
    check_document(str(store), document)
    if "name" not in document or "cells" not in document:
        raise StoreError(f"{store}/run.json: damaged: it lists no cells; restore the file from a copy")
    if any("generations" not in cell for cell in document["cells"]):
        raise StoreError(f"{store}: an older crossfeed made this run; `crossfeed show` prints how far it came")
    alone = store.writer()
    claims = cast("SharedStore", store).claims if alone is None and hasattr(store, "claims") else None
    writers = tuple(claims.others()) if claims is not None else () if alone is None else (alone,)
    # Listed first: most cells have none of these, and each would be looked for by itself.
    there = {name for folder in ("failures", "known", "status") for name in store.documents(folder)}
    cells = tuple(_cell_status(store, cell, there, writers, claims) for cell in document["cells"])
    return RunStatus(document["name"], writers[0] if writers else None, cells, writers)


def _writer_of(cell: Mapping[str, Any], writers: tuple[str, ...], claims: Claims | None) -> str | None:
    """Return the process at work on a cell that has a status document; None if none is any more."""
    if not writers or claims is None:
        return writers[0] if writers else None
    return claims.owner(work_of(cell["cell"])) or claims.owner(start_work_of(str(cell.get("start"))))


def _cell_status(
    store: Store, cell: Mapping[str, Any], there: Set[str], writers: tuple[str, ...], claims: Claims | None
) -> CellStatus:
    name, last = cell["cell"], cell["generations"]
    reached = _reached(store, cell)
    failure = read_failure(store, name) if f"failures/{name}" in there else None
    status = _status_document(store, name) if f"status/{name}" in there else None
    known = read_left_out(store, name) if left_out_of(name) in there else None
    documents = {"failed": failure is not None, "left_out": known is not None, "has_status": bool(status)}
    writer = _writer_of(cell, writers, claims) if status and reached < last else None
    state = _state(reached, last, **documents, at_work=writer is not None if status else bool(writers))
    position = (status["stage"], f"t = {status['generation']}", status.get("step", "")) if status else ()
    seconds = max(0.0, time.time() - status["time"]) if status else None
    shown_failure = failure if state == "failed" else None
    half_width = known["half_width"] if known is not None and state == "forecast" else None
    doing = ", ".join(filter(None, position))
    return CellStatus(name, state, reached, last, doing, seconds, shown_failure, half_width, writer)


def _reached(store: Store, cell: Mapping[str, Any]) -> int:
    """Return the last measured generation of a cell; -1 for none."""
    reached = -1
    while reached < cell["generations"] and store.has_table("records", _scope(cell, reached + 1), reached + 1):
        reached += 1
    return reached


def _status_document(store: Store, cell: str) -> dict[str, Any] | None:
    try:
        status = store.read_document(f"status/{cell}")
    except StoreError:  # half-written, when a machine went down
        return None
    return status if status is not None and {"stage", "generation", "time"} <= status.keys() else None


def _state(reached: int, last: int, *, failed: bool, left_out: bool, has_status: bool, at_work: bool) -> CellState:
    if reached == last:
        return "finished"
    if has_status and at_work:
        return "running"  # also if it failed before and is tried again
    if failed:
        return "failed"
    if left_out:
        return "forecast"
    return "stopped" if has_status or (reached > 0 and not at_work) else "waiting"


def _scope(cell: Mapping[str, Any], generation: int) -> str:
    return f"shared/{cell['zero']}" if generation == 0 else str(cell["cell"])
