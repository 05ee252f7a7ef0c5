"""Claims: of several processes that share a run, one at a time does a piece of work, without a coordinator.

::

    .claims/<hash>.0001    who does a piece of work: the token of a process (`crossfeed.store.writers`), and its state
    .claims/<hash>.0002    who does it after that

A claim is a file that is created only if it is not there, which every store decides between processes that try at once.
The one with the highest number counts. Its owner alone rewrites it: ``held``, then ``done``, or ``free`` if it gives
the work back. Whoever finds it free, or its owner dead, creates the next one: no claim is taken by overwriting.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from crossfeed.errors import StoreError
from crossfeed.store import lock
from crossfeed.store.files import Files
from crossfeed.store.writers import WRITERS, Writers, is_token

if TYPE_CHECKING:
    from crossfeed.protocols import ClaimState

__all__ = ["BEGIN", "CLAIMS", "Claims"]

CLAIMS: Final = ".claims"
"""The folder of the claims."""

BEGIN: Final = "begin"
"""The claim of a process that begins or ends its part in a run; no other one does so meanwhile."""


class Claims:
    """The claims of one process on the work of a run (see `crossfeed.protocols.Claims`).

    Args:
        files: The run's files.

    Attributes:
        writers: The processes that share the run.
    """

    def __init__(self, files: Files) -> None:
        self.writers = Writers(files)
        self._files = files
        self._forget()

    @property
    def is_shared(self) -> bool:
        """True while this process shares the run with others."""
        return self.writers.token is not None

    def join(self) -> None:
        """Announce this process to those that share the run."""
        self._forget()
        self.writers.join()
        self._list()

    def leave(self, last: Callable[[], None]) -> None:
        """Give back what is claimed and not done.

        Args:
            last: Called if no other process is at work any more; none begins meanwhile.
        """
        if not self.is_shared:
            return
        with suppress(StoreError):  # what cannot be given back is a dead process's, and so free
            for work in list(self._mine):
                self.release(work)
            self._clean_up(last)
        self.writers.leave()
        with suppress(StoreError):
            self.release(BEGIN)
        self._forget()

    def clear(self) -> None:
        """Remove all claims and all traces of processes: none is at work."""
        self._files.remove(CLAIMS)
        self._files.remove(WRITERS)
        self._forget()

    def _clean_up(self, last: Callable[[], None]) -> None:
        """Remove all claims if no other process is at work; does not wait long for one that may have died."""
        until = time.monotonic() + lock.SETTLE
        while (state := self.take(BEGIN)) != "mine" and time.monotonic() < until:
            time.sleep(lock.BEAT / 100)
        if state == "mine" and not self.writers.others(begun=True):
            last()
            self._files.remove(CLAIMS)
            self._forget()

    def take(self, work: str) -> ClaimState:
        """Claim a piece of work, if it is free."""
        self.writers.check()
        while (state := self.look(work)) == "free":
            number = self._numbers[work] + 1
            if self._files.create(_path(work, number), self._content(work, "held")):
                self._mine[work] = self._numbers[work] = number
        return state

    def look(self, work: str) -> ClaimState:
        """Return the state of a piece of work."""
        if work in self._mine:
            return "mine"
        is_first, claim = work not in self._numbers, self._latest(work)
        if claim is None or claim.get("state") == "free":
            return "free"
        if claim.get("state") == "done":
            if is_first:
                self._old[work] = self._numbers[work]
            return self._of_done(work)
        token = _token(claim)
        if token is None:  # half-written, when a machine went down
            alive = self.writers.watched(work, b"")
        elif (alive := self.writers.is_alive(token)) is False:
            self.writers.bury(token)
        return "unknown" if alive is None else "held" if alive else "free"

    def done(self, work: str) -> None:
        """Keep that a piece of work that this process claimed is done."""
        self._rewrite(work, "done")

    def release(self, work: str) -> None:
        """Give a piece of work back that this process claimed."""
        self._rewrite(work, "free")

    @contextmanager
    def alone(self, work: str) -> Iterator[None]:
        """Open a context in which no other process is in one for the same work; waits for it."""
        while self.take(work) != "mine":
            time.sleep(lock.BEAT / 100)
        try:
            yield
        finally:
            self.release(work)

    def owner(self, work: str) -> str | None:
        """Return the process that is at a piece of work, as text."""
        claim = self._latest(work) or {}
        token = _token(claim)
        if claim.get("state") != "held" or token is None or self.writers.is_alive(token) is False:
            return None
        return self.writers.named(token)

    def others(self) -> list[str]:
        """Return the other processes that share the run, as text, sorted."""
        return self.writers.others()

    def _of_done(self, work: str) -> ClaimState:
        """Return the state of work that somebody has done: it is free if that was before this process began.

        Where it was done since, and its results are not seen here, the file system may be late to show them; after a
        while they count as lost.
        """
        if self._numbers[work] == self._old.get(work):
            return "free"
        since = self._done_since.setdefault(work, time.monotonic())
        return "done" if time.monotonic() - since < lock.PATIENCE else "free"

    def _latest(self, work: str) -> dict[str, Any] | None:
        """Read the claim with the highest number; None if there is none."""
        number = self._numbers.get(work) or self._listed.get(_hash(work), 0)
        latest = self._files.read(_path(work, number)) if number else None
        if number and latest is None:  # the last process that left has removed all
            self._list()
            number = self._listed.get(_hash(work), 0)
            latest = self._files.read(_path(work, number)) if number else None
        while (content := self._files.read(_path(work, number + 1))) is not None:
            number, latest = number + 1, content
        self._numbers[work] = number
        return None if latest is None else _parsed(latest)

    def _rewrite(self, work: str, state: str) -> None:
        number = self._mine.pop(work, None)
        if number is not None:
            self._files.write(_path(work, number), self._content(work, state), durable=False)

    def _content(self, work: str, state: str) -> bytes:
        return json.dumps({"work": work, "token": self.writers.token, "state": state}).encode()

    def _list(self) -> None:
        """Find the highest number of each claim; those that are made later are looked for from there."""
        self._listed.clear()
        for work, _, number in (name.partition(".") for name in self._files.names(CLAIMS)):
            if number.isdecimal():
                self._listed[work] = max(int(number), self._listed.get(work, 0))

    def _forget(self) -> None:
        self._listed: dict[str, int] = {}
        self._mine: dict[str, int] = {}
        self._numbers: dict[str, int] = {}
        self._old: dict[str, int] = {}
        self._done_since: dict[str, float] = {}


def _path(work: str, number: int) -> str:
    """Return the path of a claim: work may have names of any length, and a number follows."""
    return f"{CLAIMS}/{_hash(work)}.{number:04d}"


def _hash(work: str) -> str:
    return hashlib.blake2b(work.encode(), digest_size=8).hexdigest()


def _token(claim: dict[str, Any]) -> str | None:
    """Return the token of a claim's owner; None if it is none, for it becomes a part of a path."""
    token = claim.get("token")
    return token if isinstance(token, str) and is_token(token) else None


def _parsed(content: bytes) -> dict[str, Any]:
    try:
        claim = json.loads(content)
    except ValueError:
        return {}
    return claim if isinstance(claim, dict) else {}
