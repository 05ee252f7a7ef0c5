"""The protocol of executors. It speaks of sessions: it lives above them, not among the protocols that they keep to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from crossfeed.running.session import Session

__all__ = ["Executor"]


class Executor(Protocol):
    """Workers that carry out requests, each one at a time (`crossfeed.executors.request_handler` lists the requests).

    A request and its replies are mappings of plain data, tables, arrays and bytes. The replies to a request are any
    number of progress messages, and last a ``result``, an ``error``, or ``lost`` if the worker ended.

    Attributes:
        workers: The number of workers.
    """

    @property
    def workers(self) -> int: ...  # noqa: D102 - see above

    def open(self, session: Session) -> None:
        """Start the workers on a run.

        Args:
            session: The main process's own session.

        Raises:
            InvalidInput: The workers cannot see the run, or cannot be started.
        """
        ...

    def submit(self, worker: int, request: Mapping[str, Any]) -> None:
        """Send a request to a worker that has no other.

        Args:
            worker: The worker's number, from 0.
            request: Its ``verb``, and what the verb needs.
        """
        ...

    def wait(self) -> tuple[int, dict[str, Any]]:
        """Wait for the next reply of any worker; one that was lost has been replaced when this returns.

        Returns:
            The worker's number, and its reply: a mapping with ``reply`` (the kind) and what belongs to it.

        Raises:
            CrossfeedError: Lost workers cannot be replaced.
        """
        ...

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        ...
