"""Writing behind: files are brought to their places while whoever wrote them goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from crossfeed.store.files import Files

__all__ = ["WriteBehind"]

_AHEAD: Final = 8
"""Writes under way at most, some two generations: that much a kill may cost, and be held in memory."""


class WriteBehind:
    """Files of which a thread does the writing, for as long as this is a context; see `crossfeed.store.files.Files`.

    The thread writes one thing after another in the order of the calls: a kill leaves what it would have left without
    it, a little earlier. What is looked at waits for what is being written there. Where a write fails, none after it is
    done, and its error is raised by the next call that writes or waits, or else at the end of the context. However the
    context ends, what was written in it is in its place by then.

    Args:
        files: The files.
    """

    def __init__(self, files: Files) -> None:
        self.name, self.location, self.folder = files.name, files.location, files.folder
        self._files = files
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="crossfeed-writer")
        self._begun: list[tuple[str, Future[None]]] = []
        self._error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._thread.shutdown()
        if error is None:
            self._finish()

    def read(self, path: str) -> bytes | None:
        """Read a file."""
        self._wait_for(path)
        return self._files.read(path)

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Begin to write a file; one that need not last is written here, for whoever looks from elsewhere meanwhile."""
        if durable:
            self._begin(path, lambda: self._files.write(path, content))
        else:
            self._files.write(path, content, durable=False)

    def write_folder(self, path: str, fill: Callable[[Path], None], last: str, seal: Callable[[Path], bytes]) -> None:
        """Fill a folder here, once all before it is written, and begin to seal it and to bring it to its place."""
        empty, full = Future[Path](), Future[None]()

        def handed_over(folder: Path) -> None:
            empty.set_result(folder)
            full.result()

        job = self._begin(path, lambda: self._files.write_folder(path, handed_over, last, seal))
        job.add_done_callback(lambda _: empty.cancel())  # so that nobody waits for a folder that cannot be made
        try:
            fill(empty.result())
        except CancelledError:
            self._finish()
        except BaseException as error:
            full.set_exception(error)
            self._finish()
        else:
            full.set_result(None)

    def open_folder(self, path: str) -> AbstractContextManager[Path]:
        """Open a folder."""
        self._wait_for(path)
        return self._files.open_folder(path)

    def exists(self, path: str) -> bool:
        """Look for a file or folder."""
        self._wait_for(path)
        return self._files.exists(path)

    def names(self, path: str) -> list[str]:
        """List a folder."""
        self._wait_for(path)
        return self._files.names(path)

    def move(self, path: str, to: str) -> None:
        """Rename a file or folder."""
        self._finish()
        self._files.move(path, to)

    def remove(self, path: str) -> None:
        """Begin to remove a file or folder."""
        self._begin(path, lambda: self._files.remove(path))

    def lock(self) -> None:
        """Take the lock."""
        self._files.lock()

    def unlock(self) -> None:
        """Let go of the lock."""
        self._finish()
        self._files.unlock()

    def writer(self) -> str | None:
        """Who holds the lock."""
        return self._files.writer()

    def sweep(self) -> None:
        """Remove what is half-written and will stay so."""
        self._finish()
        self._files.sweep()

    def is_taken(self) -> bool:
        """Look for what is not crossfeed's."""
        self._finish()
        return self._files.is_taken()

    def _begin(self, path: str, work: Callable[[], None]) -> Future[None]:
        if self._error is not None:
            self._finish()
        self._begun = [(where, other) for where, other in self._begun if not other.done()]
        if len(self._begun) >= _AHEAD:
            self._begun[0][1].result()
        job = self._thread.submit(self._do, work)
        self._begun.append((path, job))
        return job

    def _do(self, work: Callable[[], None]) -> None:
        if self._error is not None:
            return
        try:
            work()
        except BaseException as error:  # raised where it is waited for
            self._error = error

    def _wait_for(self, path: str) -> None:
        """Finish, if something is being written at, above or below a path."""
        parts = Path(path).parts
        for where, job in self._begun:
            other = Path(where).parts
            shared = min(len(parts), len(other))
            if not job.done() and parts[:shared] == other[:shared]:
                self._finish()
                return

    def _finish(self) -> None:
        """Wait for all that was begun.

        Raises:
            BaseException: What went wrong in it first.
        """
        for _, job in self._begun:
            job.result()
        self._begun.clear()
        error, self._error = self._error, None
        if error is not None:
            raise error
