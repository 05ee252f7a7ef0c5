"""The progress of a worker, sent to the process that shows it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

__all__ = ["Emit", "RelayedProgress"]

Emit = Callable[[Mapping[str, Any]], None]
"""Sends one message back to the process that waits for it."""

_EVERY: Final = 0.2
"""Seconds between two messages of one stage of work."""


class RelayedProgress:
    """Progress that is shown by the process that started the run; see `crossfeed.protocols.Progress`.

    Args:
        emit: Sends one message there.
    """

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._numbers = itertools.count()

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Callable[[int], None]]:
        """Open a stage that is shown there; see `crossfeed.protocols.Progress.stage`."""
        number, waiting, sent = next(self._numbers), 0, time.monotonic()

        def advance(steps: int) -> None:
            nonlocal waiting, sent
            waiting += steps
            if time.monotonic() - sent >= _EVERY:
                self._emit({"reply": "steps", "number": number, "steps": waiting})
                waiting, sent = 0, time.monotonic()

        self._emit({"reply": "stage", "number": number, "name": name, "total": total, "detail": detail})
        try:
            yield advance
        finally:
            if waiting:
                self._emit({"reply": "steps", "number": number, "steps": waiting})
            self._emit({"reply": "end", "number": number})

    def log(self, text: str) -> None:
        """Log a line there; see `crossfeed.protocols.Progress.log`."""
        self._emit({"reply": "log", "text": text})
