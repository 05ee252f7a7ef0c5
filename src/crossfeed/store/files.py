"""The protocol of a run's files: a folder of this machine (`crossfeed.store.local`) or an object store (`...remote`).

Paths are relative to the run, with slashes. Everything that belongs to a run is written by these few verbs, so that a
new kind of place for runs is an implementation of them and no more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

__all__ = ["Files"]


class Files(Protocol):
    """The files of one run. A verb that fails raises `StoreError`, naming the file and the reason.

    Attributes:
        name: The place as it was given, for messages.
        location: The place for another process; None if no other process can reach it
            (`crossfeed.protocols.Store.location`).
        folder: The folder on this machine; None if it is elsewhere.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above

    @property
    def location(self) -> str | None: ...  # noqa: D102 - see above

    @property
    def folder(self) -> Path | None: ...  # noqa: D102 - see above

    def read(self, path: str) -> bytes | None:
        """Read a file.

        Args:
            path: The file's path.

        Returns:
            Its bytes; None if it is not there.
        """
        ...

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Write a file, whole or not at all.

        Args:
            path: The file's path.
            content: Its bytes.
            durable: True if it has to survive a loss of power.
        """
        ...

    def create(self, path: str, content: bytes) -> bool:
        """Write a small file if there is none: of several processes that try at once, one does.

        Args:
            path: The file's path.
            content: Its bytes.

        Returns:
            True if it was written; False if it is there already.
        """
        ...

    def write_folder(self, path: str, fill: Callable[[Path], None], last: str, seal: Callable[[Path], bytes]) -> None:
        """Write a folder in place of an older one.

        Args:
            path: The folder's path.
            fill: Writes the content into an empty folder of this machine.
            last: The file that marks the folder as whole: it is never there without the others.
            seal: Returns that file's content from the folder that holds all the others.
        """
        ...

    def open_folder(self, path: str) -> AbstractContextManager[Path]:
        """Open a folder for reading.

        Args:
            path: The folder's path.

        Returns:
            A context manager that gives the content as a folder of this machine, for as long as the context lasts.
        """
        ...

    def exists(self, path: str) -> bool:
        """Return True if a file or a folder is there.

        Args:
            path: Its path.

        Returns:
            True if it is there.
        """
        ...

    def names(self, path: str) -> list[str]:
        """List a folder.

        Args:
            path: The folder's path.

        Returns:
            The names of its files and folders, sorted; empty if it is not there.
        """
        ...

    def move(self, path: str, to: str) -> None:
        """Rename a file or folder within its folder, if it is there.

        Args:
            path: Its path.
            to: Its new path.
        """
        ...

    def remove(self, path: str) -> None:
        """Remove a file or folder, if it is there.

        Args:
            path: Its path.
        """
        ...

    def lock(self, *, shared: bool = False) -> None:
        """Keep other processes from writing, until `unlock` or the end of this process.

        Args:
            shared: Keep out only those that do not share the run in the same way.

        Raises:
            StoreError: Another process holds the lock; the message says which, and since when. Or the place cannot be
                written.
        """
        ...

    def unlock(self) -> None:
        """Release the lock, if it is held."""
        ...

    def writer(self) -> str | None:
        """Return the process that holds the lock, as far as can be seen at once.

        Returns:
            Its number, machine and start as text; None if no process does.
        """
        ...

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        ...

    def is_taken(self) -> bool:
        """Return True if there are files that crossfeed did not even begin to write.

        Returns:
            True if the place is not free for a new run.
        """
        ...
