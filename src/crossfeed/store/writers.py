"""The processes that share a run: each has a document that it rewrites periodically, and looks at those of the others.

::

    .writers/<token>    a process at work on the run, since when, and the number of times that it was rewritten

A process that is seen from here is looked up by its number and start. Of any other one the document is watched, as in
`crossfeed.store.lock`: while it changes its process is alive; once it has not changed for `lock.PATIENCE` seconds of
the watcher's own clock the process is taken for dead. A process that ends removes its document.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

from crossfeed.errors import StoreError
from crossfeed.store import lock
from crossfeed.store.files import Files
from crossfeed.store.owner import Owner

__all__ = ["WRITERS", "Writers", "is_token"]

WRITERS: Final = ".writers"
"""The folder of the documents."""


_TOKEN: Final = re.compile(r"[0-9a-f]{32}")


def is_token(text: str) -> bool:
    """Return True if a text can be a process's token.

    Args:
        text: The text.
    """
    return _TOKEN.fullmatch(text) is not None


@dataclass
class _Seen:
    """The last content of another process's document, when it was seen first, and whether there was another before."""

    content: bytes
    since: float
    changed: bool


class Writers:
    """The processes that share one run, as one of them sees them.

    Args:
        files: The run's files.

    Attributes:
        token: This process's token; None while it does not share the run.
    """

    def __init__(self, files: Files) -> None:
        self.token: str | None = None
        self._files = files
        self._seen: dict[str, _Seen] = {}
        self._owner = Owner.this_process()
        self._begun = self._lost = False
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def join(self) -> None:
        """Say that this process is there, until `leave`.

        Raises:
            StoreError: The place cannot be written, or does not keep two processes from creating the same file.
        """
        self._begun, self._owner = False, Owner.this_process()
        token, content = uuid.uuid4().hex, self._content(0)
        if not self._files.create(self._at(token), content) or self._files.create(self._at(token), content):
            raise StoreError(
                f"{self._files.name}: this store lets two processes create the same file, so that they cannot share "
                "the cells of a run; choose another place with --out"
            )
        self.token, self._lost, self._stop = token, False, threading.Event()
        self._thread = threading.Thread(
            target=self._beat, args=(token, self._stop), name="crossfeed-writer-beat", daemon=True
        )
        self._thread.start()

    def announce(self) -> None:
        """Say that this process has begun the run, or found it begun."""
        self._begun = True
        if self.token is not None:
            self._files.write(self._at(self.token), self._content(0), durable=False)

    def leave(self) -> None:
        """Remove this process's document."""
        if self.token is None:
            return
        token, self.token = self.token, None
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        with suppress(StoreError):  # one that cannot be removed is a dead process's
            self._files.remove(self._at(token))

    def check(self) -> None:
        """Check that no other process took this one for dead, as after a machine that slept.

        Raises:
            StoreError: One did.
        """
        if self._lost:
            raise StoreError(
                f"{self._files.name}: this process was silent too long, and others took its cells over; the same "
                "command goes on"
            )

    def is_alive(self, token: str) -> bool | None:
        """Return True if a process is at work.

        Args:
            token: Its token.

        Returns:
            False if it has ended; None if that is not known yet: ask again later.
        """
        content = self._files.read(self._at(token))
        if content is None:
            return False
        owner = _owner(_parsed(content))
        alive = None if owner is None else owner.is_alive()
        return self.watched(token, content) if alive is None else alive

    def bury(self, token: str) -> None:
        """Remove the document of a process that is dead; should it only have slept, it will find that out.

        Args:
            token: Its token.
        """
        self._files.remove(self._at(token))

    def others(self, *, begun: bool = False) -> list[str]:
        """Return the other processes at work, as text, sorted.

        Those that cannot be looked up from here, and are not known to be dead, count as at work.

        Args:
            begun: Leave out those that have joined and not begun.
        """
        states = {token: self.is_alive(token) for token in self._others()}
        there = [token for token, alive in states.items() if alive is not False]
        if self.token is not None:
            for token in {*states} - {*there}:
                self.bury(token)
        return sorted(self.named(token) for token in there if not begun or self._read(token).get("begun"))

    def named(self, token: str) -> str:
        """Return a process's number, machine and start as text.

        Args:
            token: Its token.
        """
        return str(_owner(self._read(token)) or "another process")

    def wait_until_known(self) -> list[str]:
        """Return the other processes at work once that is known of each; documents of dead ones are removed."""
        while None in (states := {token: self.is_alive(token) for token in self._others()}).values():
            time.sleep(lock.BEAT / 10)
        for token in (token for token, alive in states.items() if not alive):
            self.bury(token)
        return sorted(self.named(token) for token, alive in states.items() if alive)

    def watched(self, name: str, content: bytes) -> bool | None:
        """Watch something that is rewritten as long as its process is alive.

        Args:
            name: Its name.
            content: Its content now.

        Returns:
            True once it has changed, False once it has not for long; None while neither is known.
        """
        now, seen = time.monotonic(), self._seen.get(name)
        if seen is None or seen.content != content:
            self._seen[name] = seen = _Seen(content, now, changed=seen is not None)
        if now - seen.since >= lock.PATIENCE:
            return False
        return True if seen.changed else None

    def _others(self) -> list[str]:
        return [token for token in self._files.names(WRITERS) if is_token(token) and token != self.token]

    def _beat(self, token: str, stop: threading.Event) -> None:
        beats = 0
        while not stop.wait(lock.BEAT):
            beats += 1
            with suppress(Exception):  # a network that fails for a moment; the next beat may get through
                if self._files.read(self._at(token)) is None:
                    self._lost = True
                    return
                self._files.write(self._at(token), self._content(beats), durable=False)

    def _content(self, beats: int) -> bytes:
        return json.dumps({"owner": asdict(self._owner), "begun": self._begun, "beats": beats}).encode()

    def _read(self, token: str) -> dict[str, Any]:
        return _parsed(self._files.read(self._at(token)) or b"")

    @staticmethod
    def _at(token: str) -> str:
        return f"{WRITERS}/{token}"


def _parsed(content: bytes) -> dict[str, Any]:
    """Parse a document; empty if it is none."""
    with suppress(ValueError):
        document = json.loads(content)
        return document if isinstance(document, dict) else {}
    return {}


def _owner(document: dict[str, Any]) -> Owner | None:
    with suppress(TypeError, KeyError):
        owner = Owner(**document["owner"])
        return owner if isinstance(owner.process, int) else None
    return None
