"""A run's files in an object store, or on another file system of fsspec: ``s3://``, ``gs://``, ``abfs://``, ``memory://``.

An object is put there by one request, so it is whole or absent. A folder is several objects, of which the last one put
marks it as whole. The lock is an object that its owner rewrites periodically (`crossfeed.store.lock`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from crossfeed.display.addresses import credentials, masked
from crossfeed.display.formatting import reason
from crossfeed.errors import InvalidInput, MissingDependency, StoreError, WorkerFailure
from crossfeed.store.claims import CLAIMS
from crossfeed.store.lock import ObjectLock
from crossfeed.store.writers import WRITERS

__all__ = ["RemoteFiles"]

_LOCK = ".lock"
_CREATING = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
"""Kinds of stores whose clients create an object only if there is none, by one request."""


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
        self._url = url.rstrip("/")
        self.name = masked(self._url)
        self._fs, self._root = _open(self._url)
        self._lock = ObjectLock(self._fs, self._at(_LOCK), self.name)

    @property
    def location(self) -> str | None:
        """The URL; None in memory, which this process alone sees."""
        return None if "memory" in _names_of(self._fs) else self._url

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

    def create(self, path: str, content: bytes) -> bool:
        """Put an object if there is none; the store decides between processes that try at once.

        Raises:
            StoreError: It is one whose client only looks first whether there is one, and then puts it.
        """
        if not {*_names_of(self._fs)} & _CREATING:
            raise StoreError(
                f"{self.name}: this kind of store does not decide between two processes that create the same file, so "
                "that they cannot share the cells of a run; give a folder, s3://, gs:// or abfs://"
            )
        with self._doing("written", path):
            try:
                self._fs.pipe_file(self._at(path), content, mode="create")
            except FileExistsError:
                return False
            return True

    def write_folder(self, path: str, fill: Callable[[Path], None], last: str, seal: Callable[[Path], bytes]) -> None:
        """Put all objects of a folder, the last one last."""
        self.remove(path)
        with self._doing("written", path), tempfile.TemporaryDirectory(prefix="crossfeed-") as local:
            fill(Path(local))
            Path(local, last).write_bytes(seal(Path(local)))
            files = [file for file in sorted(Path(local).rglob("*")) if file.is_file()]
            for file in sorted(files, key=lambda file: file.name == last):
                self._fs.put_file(str(file), self._at(f"{path}/{file.relative_to(local).as_posix()}"))

    @contextmanager
    def open_folder(self, path: str) -> Iterator[Path]:
        """Copy a folder's objects to a temporary folder of this machine."""
        with tempfile.TemporaryDirectory(prefix="crossfeed-") as copy:
            with self._doing("read", path):
                for name in self._below(path):
                    target = Path(copy) / Path(name).relative_to(self._at(path))
                    target.parent.mkdir(parents=True, exist_ok=True)
                    self._fs.get_file(name, str(target))
            yield Path(copy)

    def exists(self, path: str) -> bool:
        """Return True if there is an object, or any below a prefix."""
        with self._doing("read", path):
            return bool(self._fs.exists(self._at(path)))

    def names(self, path: str) -> list[str]:
        """List the names below a prefix."""
        with self._doing("read", path):
            try:
                names = self._fs.ls(self._at(path), detail=False)
            except (FileNotFoundError, NotADirectoryError):
                return []
            return sorted({name.rstrip("/").rpartition("/")[2] for name in names} - {""})

    def move(self, path: str, to: str) -> None:
        """Copy objects to another name, and remove them."""
        self._lock.check()
        with self._doing("written", path):
            for name in self._below(path):
                self._fs.cp_file(name, self._at(to) + name.removeprefix(self._at(path)))
        self.remove(path)

    def remove(self, path: str) -> None:
        """Remove an object, or all below a prefix."""
        self._lock.check()
        with self._doing("written", path):
            for name in self._below(path):
                with suppress(FileNotFoundError):
                    self._fs.rm_file(name)

    def lock(self, *, shared: bool = False) -> None:
        """Take the lock object; those that share a run have none, and see by the others' documents who is there."""
        with self._doing("written", _LOCK):
            if shared:
                self._lock.refuse_holder()
            else:
                self._lock.take()

    def writer(self) -> str | None:
        """Return the process that holds the lock object."""
        with self._doing("read", _LOCK):
            return self._lock.holder()

    def unlock(self) -> None:
        """Remove the lock object."""
        self._lock.release()

    def sweep(self) -> None:
        """Do nothing: half a folder is not taken for one, and is replaced when it is written again."""

    def is_taken(self) -> bool:
        """Return True if anything except a lock is below the URL."""
        return bool({*self.names("")} - {_LOCK, CLAIMS, WRITERS})

    def _below(self, path: str) -> list[str]:
        """Return an object, or all below a prefix; sorted, so that the mark of a whole folder is removed first."""
        return sorted(self._fs.find(self._at(path)))

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root

    @contextmanager
    def _doing(self, what: str, path: str) -> Iterator[None]:
        """Convert any error of a client to one that names the object."""
        try:
            yield
        except (StoreError, WorkerFailure):  # a worker that is lost while it saves is no fault of the files
            raise
        except Exception as error:
            raise StoreError(f"{self.name}/{path}: cannot be {what} ({_told(error, self._url)})") from error


def _open(url: str) -> tuple[Any, str]:
    scheme, name = url.partition("://")[0], masked(url)
    try:
        from fsspec.core import url_to_fs
    except ModuleNotFoundError as error:
        raise MissingDependency(
            f"{name}: runs at such an address need fsspec and its package for {scheme}: pip install 'crossfeed[remote]'"
        ) from error
    try:
        # Listings are never cached: other processes write here too.
        fs, root = url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        raise MissingDependency(f"{name}: {_told(error, url).rstrip('.')} (pip install it beside crossfeed)") from error
    except ValueError as error:
        raise InvalidInput(f"{name}: {_told(error, url)}; give a folder, or a URL such as s3://bucket/run") from error
    except Exception as error:  # clients look for credentials and connections when they are created
        raise StoreError(f"{name}: cannot be opened ({_told(error, url)})") from error
    return fs, root.rstrip("/")


def _told(error: Exception, url: str) -> str:
    """Return a client's message without the credentials of the URL that it was given, in whatever form it has them."""
    text = masked(reason(error))
    for secret in credentials(url):
        text = text.replace(secret, "***")
    return text


def _names_of(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)
