"""A lock for stores that have none: an object that its owner rewrites periodically, as a heartbeat.

Another process on the same machine is looked up. One elsewhere is watched: as long as its object changes, it is
alive; once the object has not changed for `PATIENCE` seconds of the watcher's own clock, its owner is taken for dead.
No two clocks are ever compared, so one that is wrong or set back neither frees a held lock nor holds a free one.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict
from typing import Any, Final

from crossfeed.errors import StoreError
from crossfeed.store.owner import Owner

__all__ = ["ObjectLock"]

BEAT: Final = 10.0
"""Seconds between two writings of a held lock."""

PATIENCE: Final = 45.0
"""Seconds without one after which an owner that cannot be looked up is taken for dead."""

SETTLE: Final = 2.0
"""Seconds in which two processes that take over a dead owner's lock overwrite each other; the last one holds it."""


class ObjectLock:
    """One process's hold on a run.

    Args:
        fs: An fsspec file system.
        path: The lock's object on it.
        run: The run's name, for messages.
    """

    def __init__(self, fs: Any, path: str, run: str) -> None:
        self._fs, self._path, self._run = fs, path, run
        self._token: str | None = None
        self._taken_by: str | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self) -> None:
        """Take the lock, unless this object holds it.

        Raises:
            StoreError: Another process holds it; the message says which, and since when.
        """
        if self._token is not None:
            return
        token = uuid.uuid4().hex
        while not self._create(token):
            content = self._read()
            if content is None:
                continue  # released in between
            if self._is_alive(content):
                raise StoreError(f"{self._run}: in use by {_named(content)}; wait for it, or stop it first")
            if self._read() == content:
                self._take_over(token)
                break
        self._token, self._taken_by = token, None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, args=(token, self._stop), name="crossfeed-lock", daemon=True)
        self._thread.start()

    def refuse_holder(self) -> None:
        """Check that no process holds the lock, without taking it.

        Raises:
            StoreError: One does.
        """
        content = self._read()
        if content is not None and self._is_alive(content):
            raise StoreError(f"{self._run}: in use by {_named(content)}; wait for it, or stop it first")

    def release(self) -> None:
        """Release the lock, if it is held."""
        if self._token is None:
            return
        token, self._token = self._token, None
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(Exception):  # an object that cannot be removed is a dead owner's, and so free
            if _token(self._read()) == token:
                self._fs.rm_file(self._path)

    def check(self) -> None:
        """Check that no other process took a held lock over, as after a machine that slept.

        Raises:
            StoreError: One did.
        """
        if self._token is not None and self._taken_by is not None:
            raise StoreError(f"{self._run}: this process was silent too long, and {self._taken_by} took the run over")

    def holder(self) -> str | None:
        """Return the process that holds the lock.

        Returns:
            Its number, machine and start as text; None if no process does. An owner that cannot be looked up from here
            counts as alive.
        """
        content = self._read()
        owner = _owner(content)
        if content is None or (owner is not None and owner.is_alive() is False):
            return None
        return _named(content)

    def _create(self, token: str) -> bool:
        """Create the lock if there is none; the store decides between two processes at once."""
        try:
            self._fs.pipe_file(self._path, self._content(token, 0), mode="create")
        except FileExistsError:
            return False
        return True

    def _take_over(self, token: str) -> None:
        self._fs.pipe_file(self._path, self._content(token, 0))
        time.sleep(SETTLE)
        content = self._read()
        if _token(content) != token:
            raise StoreError(f"{self._run}: in use by {_named(content)}; wait for it, or stop it first")

    def _is_alive(self, content: bytes) -> bool:
        owner = _owner(content)
        alive = owner.is_alive() if owner is not None else None
        if alive is not None:
            return alive
        begun = time.monotonic()
        while time.monotonic() - begun < PATIENCE:
            time.sleep(BEAT / 10)
            now = self._read()
            if now != content:
                return now is not None
        return False

    def _beat(self, token: str, stop: threading.Event) -> None:
        beats = 0
        while not stop.wait(BEAT):
            beats += 1
            with suppress(Exception):  # a network that fails for a moment; the next beat may get through
                content = self._read()
                if content is not None and _token(content) != token:
                    self._taken_by = _named(content)
                    return
                self._fs.pipe_file(self._path, self._content(token, beats))

    def _read(self) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(self._path)
        except FileNotFoundError:
            return None
        return content

    @staticmethod
    def _content(token: str, beats: int) -> bytes:
        return json.dumps({"owner": asdict(Owner.this_process()), "token": token, "beats": beats}).encode()


def _parsed(content: bytes | None) -> dict[str, Any]:
    """Parse a lock's content; empty if it is no lock's."""
    try:
        lock = json.loads(content or b"{}")
    except ValueError:
        return {}
    return lock if isinstance(lock, dict) else {}


def _token(content: bytes | None) -> Any:
    return _parsed(content).get("token")


def _owner(content: bytes | None) -> Owner | None:
    with suppress(TypeError, ValueError):
        return Owner(**_parsed(content)["owner"]) if "owner" in _parsed(content) else None
    return None


def _named(content: bytes | None) -> str:
    return str(_owner(content) or "another process")
