"""What an executor has to be. It speaks of sessions: it lives above them, not among the protocols that they keep to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from crossfeed.running.session import Session

__all__ = ["Executor"]


class Executor(Protocol):
    """Workers that carry out calls, each one at a time (`crossfeed.executors.calls` lists the calls).

    A call and its replies are mappings of plain data, tables, arrays and bytes. Replies to a call are any number of
    progress messages, and last a ``result``, an ``error``, or ``lost`` if the worker ended.

    Attributes:
        workers: How many there are.
    """

    @property
    def workers(self) -> int: ...  # noqa: D102 - see above

    def open(self, session: Session) -> None:
        """Start the workers on a run.

        Args:
            session: The main process's own (`crossfeed.running.session.Session`).

        Raises:
            InvalidInput: The workers cannot see the run.
        """
        ...

    def submit(self, worker: int, call: Mapping[str, Any]) -> None:
        """Have a worker begin a call; it has no other."""
        ...

    def wait(self) -> tuple[int, dict[str, Any]]:
        """The next reply of any worker, and whose it is; a worker that was lost is there again when this returns."""
        ...

    def close(self) -> None:
        """End the workers, whatever they are doing."""
        ...
