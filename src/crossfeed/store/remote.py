"""A run's files in an object store, or wherever else fsspec reaches: ``s3://``, ``gs://``, ``abfs://``, ``memory://``.

An object is put there by one request, so it is whole or absent. A folder is as many objects, of which the last one
put says that it is whole. The lock is an object that its owner writes anew now and then (`crossfeed.store.lock`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossfeed.errors import InvalidInput, MissingDependency, StoreError, WorkerFailure
from crossfeed.store.lock import ObjectLock

__all__ = ["RemoteFiles"]

_LOCK = ".lock"


class RemoteFiles:
    """The objects below a URL; see `crossfeed.store.files.Files`.

    Args:
        url: Any URL that fsspec opens.

    Raises:
        MissingDependency: fsspec, or its package for this kind of URL, is not installed.
        InvalidInput: There is no such kind of URL.
    """

    folder = None

    def __init__(self, url: str) -> None:
        self.name = url.rstrip("/")
        self._fs, self._root = _open(self.name)
        self._lock = ObjectLock(self._fs, self._at(_LOCK), self.name)

    @property
    def location(self) -> str | None:
        """The URL; objects in memory are seen by this process alone."""
        return None if "memory" in _names_of(self._fs) else self.name

    def read(self, path: str) -> bytes | None:
        """Get an object."""
        with self._doing("read", path):
            try:
                content: bytes = self._fs.cat_file(self._at(path))
            except (FileNotFoundError, NotADirectoryError):
                return None
            return content

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Put an object."""
        self._lock.check()
        with self._doing("written", path):
            self._fs.pipe_file(self._at(path), content)

    def write_folder(self, path: str, fill: Callable[[Path], None], last: str, seal: Callable[[Path], bytes]) -> None:
        """Put all objects of a folder, the last one last."""
        self.remove(path)
        with self._doing("written", path), tempfile.TemporaryDirectory(prefix="crossfeed-") as made:
            fill(Path(made))
            Path(made, last).write_bytes(seal(Path(made)))
            files = [file for file in sorted(Path(made).rglob("*")) if file.is_file()]
            for file in sorted(files, key=lambda file: file.name == last):
                self._fs.put_file(str(file), self._at(f"{path}/{file.relative_to(made).as_posix()}"))

    @contextmanager
    def open_folder(self, path: str) -> Iterator[Path]:
        """A copy of a folder's objects in a temporary folder of this machine."""
        with tempfile.TemporaryDirectory(prefix="crossfeed-") as copy:
            with self._doing("read", path):
                for found in self._below(path):
                    target = Path(copy) / Path(found).relative_to(self._at(path))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._fs.get_file(found, str(target))
            yield Path(copy)

    def exists(self, path: str) -> bool:
        """Look for an object, or for any below a prefix."""
        with self._doing("read", path):
            return bool(self._fs.exists(self._at(path)))

    def names(self, path: str) -> list[str]:
        """List what is below a prefix."""
        with self._doing("read", path):
            try:
                found = self._fs.ls(self._at(path), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted({name.rstrip("/").rpartition("/")[2] for name in found} - {""})

    def move(self, path: str, to: str) -> None:
        """Copy what is there to another name, and remove it."""
        self._lock.check()
        with self._doing("written", path):
            for found in self._below(path):
                self._fs.cp_file(found, self._at(to) + found.removeprefix(self._at(path)))
        self.remove(path)

    def remove(self, path: str) -> None:
        """Remove an object, or all below a prefix."""
        self._lock.check()
        with self._doing("written", path):
            for found in self._below(path):
                with suppress(FileNotFoundError):
                    self._fs.rm_file(found)

    def lock(self) -> None:
        """Take the lock object."""
        with self._doing("written", _LOCK):
            self._lock.take()

    def writer(self) -> str | None:
        """Who holds the lock object."""
        with self._doing("read", _LOCK):
            return self._lock.holder()

    def unlock(self) -> None:
        """Remove the lock object."""
        self._lock.release()

    def sweep(self) -> None:
        """Nothing to remove: half a folder is not taken for one, and is replaced when it is written again."""

    def is_taken(self) -> bool:
        """Whether anything but a lock is below the URL."""
        return any(name != _LOCK for name in self.names(""))

    def _below(self, path: str) -> list[str]:
        """An object, or all below a prefix; sorted, so that what says that a folder is whole is removed first."""
        return sorted(self._fs.find(self._at(path)))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _doing(self, what: str, path: str) -> Iterator[None]:
        """Errors of clients are of all kinds; each becomes one that names the object."""
        try:
            yield
        except (StoreError, WorkerFailure):  # a worker that is lost while it saves is no fault of the place
            raise
        except Exception as error:
            reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise StoreError(f"{self.name}/{path}: cannot be {what} ({reason})") from error


def _open(url: str) -> tuple[Any, str]:
    scheme = url.partition("://")[0]
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{url}: runs at such an address need fsspec and its package for {scheme}: pip install 'crossfeed[remote]'"
        ) from error
    try:
        # Listings are never kept: other processes write here too.
        fs, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise MissingDependency(f"{url}: {str(error).rstrip('.')} (pip install it beside crossfeed)") from error
    except ValueError as error:
        raise InvalidInput(f"{url}: {error}; give a folder, or a URL such as s3://bucket/run") from error
    except Exception as error:  # clients look for credentials and connections when they are made
        raise StoreError(f"{url}: cannot be opened ({str(error) or type(error).__name__})") from error
    return fs, root.rstrip("/")


def _names_of(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
