"""The executor whose one worker is this process itself."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any

from crossfeed.executors.request_handler import RequestHandler
from crossfeed.running.session import Session

__all__ = ["SerialExecutor"]


class SerialExecutor:
    """An executor that carries out each request when its reply is waited for."""

    workers = 1

    def __init__(self) -> None:
        self._handler: RequestHandler | None = None
        self._request: Mapping[str, Any] | None = None
        self._replies: deque[dict[str, Any]] = deque()

    def open(self, session: Session) -> None:
        """Handle requests with the run's own session; its progress is shown directly.

        Args:
            session: The session of this process.
        """
        self._handler = RequestHandler(session, lambda message: self._replies.append(dict(message)))

    def submit(self, worker: int, request: Mapping[str, Any]) -> None:
        """Keep a request for `wait`.

        Args:
            worker: 0.
            request: The request.
        """
        self._request = request

    def wait(self) -> tuple[int, dict[str, Any]]:
        """Carry out the request.

        Returns:
            0, and the reply.
        """
        assert self._handler is not None  # noqa: S101 - for the type checker; open comes first
        if self._request is not None:
            request, self._request = self._request, None
            self._handler.handle(request)
        return 0, self._replies.popleft()

    def close(self) -> None:
        """Drop the session."""
        self._handler = None
