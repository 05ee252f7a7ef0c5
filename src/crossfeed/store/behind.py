"""Write-behind: a thread brings files to their places while the caller goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Self

from crossfeed.interrupts import deferred
from crossfeed.store.files import Files

__all__ = ["WriteBehind"]

_AHEAD: Final = 8
"""The greatest number of unfinished writes, some two generations: a kill may cost them, and they are held in memory."""


class WriteBehind:
    """Files that a thread writes, for as long as this context lasts; see `crossfeed.store.files.Files`.

    The thread carries out one write after another in the order of the calls: a kill leaves the state that it would have
    left a little earlier without the thread. A read waits for writes at, above or below its path. Where a write fails,
    none after it is done, and its error is raised by the next call that writes or waits, or else at the end of the
    context. However the context ends, everything written in it is in its place by then. Interrupts wait where the two
    threads meet (`crossfeed.interrupts.deferred`): queues and futures are not made for them.

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
        with deferred():
            self._thread.shutdown()
        if error is None:
            self._finish()

    def read(self, path: str) -> bytes | None:
        """Read a file."""
        self._wait_for(path)
        return self._files.read(path)

    def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Begin to write a file; one that need not be durable is written at once, for other processes to read."""
        if durable:
            self._begin(path, lambda: self._files.write(path, content))
        else:
            self._files.write(path, content, durable=False)

    def create(self, path: str, content: bytes) -> bool:
        """Write a file if there is none."""
        return self._files.create(path, content)

    def write_folder(self, path: str, fill: Callable[[Path], None], last: str, seal: Callable[[Path], bytes]) -> None:
        """Fill a folder in this thread, once all before it is written; begin to seal it and move it to its place."""
        empty, full = Future[Path](), SimpleQueue[BaseException | None]()

        def hand_over(folder: Path) -> None:
            empty.set_result(folder)
            if (error := full.get()) is not None:
                raise error

        try:
            job = self._begin(path, lambda: self._files.write_folder(path, hand_over, last, seal))
            job.add_done_callback(lambda _: empty.cancel())  # ends the wait for a folder that cannot be created
            with deferred():
                folder = empty.result()
            fill(folder)
            full.put(None)
        except BaseException as error:
            full.put(error)  # an interrupt comes at any line: the thread must not wait for what is not filled
            self._finish()
            raise

    def open_folder(self, path: str) -> AbstractContextManager[Path]:
        """Open a folder."""
        self._wait_for(path)
        return self._files.open_folder(path)

    def exists(self, path: str) -> bool:
        """Return True if a file or folder is there."""
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

    def lock(self, *, shared: bool = False) -> None:
        """Take the lock."""
        self._files.lock(shared=shared)

    def unlock(self) -> None:
        """Release the lock."""
        self._finish()
        self._files.unlock()

    def writer(self) -> str | None:
        """Return the process that holds the lock."""
        return self._files.writer()

    def sweep(self) -> None:
        """Remove what a killed process left half-written."""
        self._finish()
        self._files.sweep()

    def is_taken(self) -> bool:
        """Return True if there are files that are not crossfeed's."""
        self._finish()
        return self._files.is_taken()

    def _begin(self, path: str, work: Callable[[], None]) -> Future[None]:
        if self._error is not None:
            self._finish()
        with deferred():
            self._begun = [(at, other) for at, other in self._begun if not other.done()]
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
        except BaseException as error:  # raised by the next call that writes or waits
            self._error = error

    def _wait_for(self, path: str) -> None:
        """Finish, if something is being written at, above or below a path."""
        parts = Path(path).parts
        for at, job in self._begun:
            other = Path(at).parts
            shared = min(len(parts), len(other))
            if not job.done() and parts[:shared] == other[:shared]:
                self._finish()
                return

    def _finish(self) -> None:
        """Wait for all writes.

        Raises:
            BaseException: The first error in one of them.
        """
        with deferred():
            for _, job in self._begun:
                job.result()
            self._begun.clear()
            error, self._error = self._error, None
        if error is not None:
            raise error
