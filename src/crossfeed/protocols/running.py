"""The protocol of the progress that long work reports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Protocol

__all__ = ["Progress"]


class Progress(Protocol):
    """A display of the progress of long work."""

    def stage(
        self, name: str, total: int | None = None, detail: str = ""
    ) -> AbstractContextManager[Callable[[int], None]]:
        """Open a stage of work.

        Args:
            name: ``base``, ``publish``, ``update``, ``measure``, ...
            total: The number of steps, if known.
            detail: The object of the work, such as a cell or a task.

        Returns:
            A context manager that lasts as long as the stage and gives a function ``advance(steps)``.
        """
        ...

    def log(self, text: str) -> None:
        """Log a line worth keeping.

        Args:
            text: The line.
        """
        ...
