"""Stores of runs: a folder (`open_store`), here or in an object store, or memory (`crossfeed.store.memory`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from crossfeed.display.addresses import masked
from crossfeed.errors import InvalidInput

if TYPE_CHECKING:
    from crossfeed.store.files import Files
    from crossfeed.store.folder import FolderStore

__all__ = ["is_remote", "open_store"]

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)(?:://|::)")
_LOCAL: Final = ("file", "local")


def open_store(location: str | Path, *, worker: bool = False) -> FolderStore:
    """Open a run's folder, to write it (`begin`) or to read it; nothing is created or read yet.

    Args:
        location: A folder, or a URL that fsspec opens: ``s3://bucket/run``, ``gs://...``, ``abfs://...``,
            ``memory://run``, ``file:///folder``.
        worker: True if this process writes to a run that another process began and keeps the lock of.

    Returns:
        The store.

    Raises:
        MissingDependency: The package for this kind of URL is not installed; the message names it.
        InvalidInput: There is no such kind of URL.
    """
    from crossfeed.store.folder import FolderStore

    return FolderStore(_files(location), worker=worker)


def is_remote(location: str | Path) -> bool:
    """Return True if a location is a URL of something else than a folder on this machine.

    Args:
        location: A location of `open_store`.

    Returns:
        False for folders and for URLs such as ``file:///folder``.
    """
    scheme = _URL.match(location) if isinstance(location, str) else None
    return scheme is not None and scheme[1].lower() not in _LOCAL


def _files(location: str | Path) -> Files:
    if is_remote(location):
        from crossfeed.store.remote import RemoteFiles

        return RemoteFiles(str(location))
    from crossfeed.store.local import LocalFiles

    return LocalFiles(_folder(location))


def _folder(location: str | Path) -> Path:
    if isinstance(location, Path) or _URL.match(location) is None:
        return Path(location)
    parts = urlsplit(location)
    if parts.netloc not in ("", "localhost") or not parts.path:
        raise InvalidInput(f"{masked(location)}: give three slashes and an absolute path, such as file:///data/run")
    from urllib.request import url2pathname  # it loads what reads the web

    return Path(url2pathname(parts.path))
