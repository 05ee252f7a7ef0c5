"""A run's files in a folder of this machine.

Every write goes to a temporary name beside its target and is moved into place, so that a kill at any moment leaves
each file or folder whole or absent. Links in the folder are refused (`crossfeed.store.inside`). The lock is the
system's own: it ends with its process, however that ends.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import FileIO
from pathlib import Path

from crossfeed.errors import StoreError, WorkerFailure
from crossfeed.store.claims import CLAIMS
from crossfeed.store.inside import PARTIAL, inside, open_inside, partial_of, read_inside, refuse_links
from crossfeed.store.owner import Owner
from crossfeed.store.writers import WRITERS

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no advisory locks of this kind; there a run is not locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["LocalFiles"]

_LOCK = ".lock"
_TRIES = 20
_SHARED = b"processes that share its cells (`crossfeed status` lists them; --cells 1/1 joins them)"


class LocalFiles:
    """The files in a folder; see `crossfeed.store.files.Files`.

    Args:
        folder: The run's folder; created by `lock` if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = str(folder)
        self._lock: FileIO | None = None
        self._place: tuple[int, int] | None = None

    @property
    def location(self) -> str:
        """The folder's absolute path."""
        return str(self.folder.absolute())

    def read(self, path: str) -> bytes | None:
        """Read a file."""
        try:
            return read_inside(self.folder, path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.folder / path}: cannot be read ({_reason(error)})") from error

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Write a file."""
        with self._into(path, durable=durable) as partial, partial.open("xb") as file:
            file.write(content)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file if there is none."""
        target = inside(self.folder, path)
        tries = 0
        with self._changing(path):
            while True:
                partial, tries = partial_of(target), tries + 1
                target.parent.mkdir(parents=True, exist_ok=True)
                try:
                    with partial.open("xb") as file:
                        file.write(content)
                    return _linked(partial, target)
                except FileNotFoundError:  # who begins the run alone sweeps what looks half-written, and empty folders
                    if tries == _TRIES:
                        raise
                finally:
                    _discard(partial)

    def write_folder(self, path: str, fill: Callable[[Path], None], last: str, seal: Callable[[Path], bytes]) -> None:
        """Write a folder; it is moved into place whole."""
        with self._into(path, durable=True) as partial:
            partial.mkdir()
            fill(partial)
            (partial / last).write_bytes(seal(partial))
            self.remove(path)

    def open_folder(self, path: str) -> AbstractContextManager[Path]:
        """Open a folder: the folder itself."""
        folder = inside(self.folder, path)
        refuse_links(folder)
        return nullcontext(folder)

    def exists(self, path: str) -> bool:
        """Return True if a file or folder is there."""
        return inside(self.folder, path).exists()

    def names(self, path: str) -> list[str]:
        """List a folder."""
        try:
            return sorted(os.listdir(inside(self.folder, path)))
        except (FileNotFoundError, NotADirectoryError):
            return []
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.folder / path}: cannot be read ({_reason(error)})") from error

    def move(self, path: str, to: str) -> None:
        """Rename a file or folder."""
        with self._changing(path), suppress(FileNotFoundError):
            inside(self.folder, path).rename(inside(self.folder, to))

    def remove(self, path: str) -> None:
        """Remove a file or folder."""
        target = inside(self.folder, path)
        with self._changing(path):
            if target.is_dir():
                doomed = partial_of(target)
                with suppress(FileNotFoundError):
                    target.rename(doomed)  # so that a kill never leaves half a folder under its name
                    shutil.rmtree(doomed)
            else:
                target.unlink(missing_ok=True)

    def lock(self, *, shared: bool = False) -> None:
        """Take the system's lock on the file ``.lock``: an exclusive one, or one that those who share a run have."""
        if self._lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            refuse_links(self.folder)
            handle = self._open_lock()
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{self.folder}: cannot be written ({_reason(error)}); choose another with --out"
            ) from error
        try:
            self._take(handle, shared=shared)
        except BaseException:
            handle.close()
            raise
        self._lock = handle

    def unlock(self) -> None:
        """Release the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = self._place = None

    def writer(self) -> str | None:
        """Return the process that holds the system's lock."""
        with suppress(OSError), FileIO(open_inside(self.folder, _LOCK, os.O_RDONLY), "r") as handle:
            try:
                if fcntl is not None:
                    fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return _holder(handle.read())
        return None

    def sweep(self) -> None:
        """Remove temporary files and folders."""
        for leftover in list(self.folder.rglob(f"{PARTIAL}*")):
            _discard(leftover)

    def is_taken(self) -> bool:
        """Return True if there is a file, or a folder with anything except temporary files in it."""
        if self.folder.exists() and not self.folder.is_dir():
            return True
        return any(not name.startswith((PARTIAL, _LOCK, CLAIMS, WRITERS)) for name in self.names(""))

    def _open_lock(self) -> FileIO:
        handle = FileIO(open_inside(self.folder, _LOCK, os.O_RDWR | os.O_CREAT | os.O_APPEND), "a+")
        if os.fstat(handle.fileno()).st_nlink > 1:  # what is written to it would be written to its other name too
            handle.close()
            raise StoreError(f"{self.folder / _LOCK}: is a file with a second name; remove it")
        return handle

    def _take(self, handle: FileIO, *, shared: bool) -> None:
        try:
            _flock(handle, shared=shared)
        except BlockingIOError as error:
            handle.seek(0)
            owner = _holder(handle.read())
            raise StoreError(f"{self.folder}: in use by {owner}; wait for it, or stop it first") from error
        except OSError as error:
            raise StoreError(
                f"{self.folder}: its file system gives no locks ({_reason(error)}), so that two processes could write "
                "at once; mount it with locks (NFS: without nolock), or choose another folder with --out"
            ) from error
        with suppress(OSError):  # the owner's name is for messages; on a full disk the lock holds without
            handle.truncate(0)
            handle.write(_SHARED if shared else str(Owner.this_process()).encode())

    @contextmanager
    def _into(self, path: str, *, durable: bool) -> Iterator[Path]:
        """Give a temporary path beside the target that takes its place if the block ends without an error."""
        target = inside(self.folder, path)
        partial = partial_of(target)
        with self._changing(path):
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                yield partial
                if durable:
                    _flush(partial)
                os.replace(partial, target)
            except BaseException:
                _discard(partial)
                raise

    def _check_place(self) -> None:
        """Check that the folder is still the one that this process began to write, by its lock.

        Raises:
            StoreError: It was moved, removed or replaced; written on, it would be made again without what was in it.
        """
        try:
            about = os.stat(self.folder / _LOCK) if self._lock is None else os.fstat(self._lock.fileno())
            if self._place is None:
                self._place = about.st_dev, about.st_ino
            about = os.stat(self.folder / _LOCK)
            gone = self._place != (about.st_dev, about.st_ino)
        except FileNotFoundError:
            gone = self._place is not None or self._lock is not None
        except OSError:
            return  # the write itself says what is wrong
        if gone:
            raise StoreError(
                f"{self.folder}: was moved or removed while it was written (its {_LOCK} is gone); what was finished is "
                "where it is now: move it back and type the run's command again, or give its new place with --out"
            )

    @contextmanager
    def _changing(self, path: str) -> Iterator[None]:
        self._check_place()
        try:
            yield
        except (StoreError, WorkerFailure):  # a worker that is lost while it saves is no fault of the files
            raise
        except Exception as error:  # libraries that write files have errors of their own for a full disk
            where = self.folder / path
            raise StoreError(
                f"{where}: cannot be written ({_reason(error)}); what was finished before is kept"
            ) from error


def _linked(partial: Path, target: Path) -> bool:
    """Give a file a second name if nothing has that name, so that it is never there without its content."""
    try:
        os.link(partial, target)
    except FileExistsError:
        return partial.stat().st_nlink > 1  # NFS repeats a request whose answer was lost
    except FileNotFoundError:
        raise
    except OSError:  # a file system without second names; a kill may leave an empty file
        content = partial.read_bytes()
        try:
            with target.open("xb") as file:
                file.write(content)
        except FileExistsError:
            return False
    return True


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _flush(path: Path) -> None:
    """Flush files to the disk, before they get their names."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def _discard(path: Path) -> None:
    """Remove a half-written file or folder; where that fails, the next run will."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _flock(handle: FileIO, *, shared: bool) -> None:
    """Take the system's lock; a second try outlasts processes that only look whether it is taken."""
    for patience in (0.05, 0.2, 0.0):
        try:
            if fcntl is not None:
                fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            if not patience:
                raise
            time.sleep(patience)
        else:
            return


def _holder(content: bytes) -> str:
    return content.decode("utf-8", errors="replace").strip() or "another process"
