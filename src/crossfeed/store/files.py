"""What a run's files lie on: a folder of this machine (`crossfeed.store.local`) or an object store (`...remote`).

Paths are relative to the run, with slashes. Everything a run consists of is written by these few verbs, so that a
place to keep runs is nothing but an implementation of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

__all__ = ["Files"]


class Files(Protocol):
    """The files of one run. What fails raises `StoreError`, naming the file and why.

    Attributes:
        name: The place as it was given, for messages.
        location: The place as another process finds it; None if none can (`crossfeed.protocols.Store.location`).
        folder: The folder on this machine; None if it is none.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above

    @property
    def location(self) -> str | None: ...  # noqa: D102 - see above

    @property
    def folder(self) -> Path | None: ...  # noqa: D102 - see above

    def read(self, path: str) -> bytes | None:
        """A file's bytes; None if it is not there."""
        ...

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Put a file there, whole or not at all; durable: it survives a loss of power."""
        ...

    def write_folder(self, path: str, fill: Callable[[Path], None], last: str, seal: Callable[[Path], bytes]) -> None:
        """Put a folder there in place of an older one.

        Args:
            path: Where.
            fill: Writes the content into an empty folder of this machine.
            last: The file that says that the folder is whole: it is never there without the others.
            seal: Makes that file's content from the folder that holds all the others.
        """
        ...

    def open_folder(self, path: str) -> AbstractContextManager[Path]:
        """A folder's content as a folder of this machine, for as long as the context lasts; not to be written to."""
        ...

    def exists(self, path: str) -> bool:
        """Whether a file or a folder is there."""
        ...

    def names(self, path: str) -> list[str]:
        """What a folder holds, sorted; nothing if it is not there."""
        ...

    def move(self, path: str, to: str) -> None:
        """Give a file or folder another name in the same folder; nothing happens if it is not there."""
        ...

    def remove(self, path: str) -> None:
        """Remove a file or folder; nothing happens if it is not there."""
        ...

    def lock(self) -> None:
        """Keep other processes from writing, until `unlock` or the end of this process.

        Raises:
            StoreError: Another process holds the lock; the message says which, and since when. Or the place cannot be
                written.
        """
        ...

    def unlock(self) -> None:
        """Let others write; nothing happens if this is not locked."""
        ...

    def writer(self) -> str | None:
        """Which process holds the lock, as far as can be seen at once; None if none does."""
        ...

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        ...

    def is_taken(self) -> bool:
        """Whether something is there that crossfeed did not even begin to write."""
        ...
