"""The executor whose one worker is the process itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from crossfeed.executors.calls import Desk
from crossfeed.running.session import Session

__all__ = ["SerialExecutor"]


class SerialExecutor:
    """Carries out each call when its reply is waited for."""

    workers = 1

    def __init__(self) -> None:
        self._desk: Desk | None = None
        self._call: Mapping[str, Any] | None = None
        self._replies: deque[dict[str, Any]] = deque()

    def open(self, session: Session) -> None:
        """Sit down to work at the run's own session; progress goes straight to where it is shown."""
        self._desk = Desk(session, lambda message: self._replies.append(dict(message)))

    def submit(self, worker: int, call: Mapping[str, Any]) -> None:
        """Keep the call for `wait`."""
        self._call = call

    def wait(self) -> tuple[int, dict[str, Any]]:
        """Do the work."""
        assert self._desk is not None  # noqa: S101 - for the type checker; open comes first
        if self._call is not None:
            call, self._call = self._call, None
            self._desk.answer(call)
        return 0, self._replies.popleft()

    def close(self) -> None:
        """Leave the desk."""
        self._desk = None
