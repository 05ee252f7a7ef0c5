"""Interrupts (Ctrl-C) at safe moments: Python raises `KeyboardInterrupt` between any two steps of the main thread.

Between two steps of the standard library's own queues, locks and futures that can leave another thread waiting for
ever; within a destructor it is printed and forgotten, and the program goes on.
"""

from __future__ import annotations

import signal
import sys
import threading
from _thread import interrupt_main
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["deferred", "raise_again"]

_SOON: Final = 0.01
"""Seconds after which an interrupt that was lost is raised again; by then the destructor has ended."""


@contextmanager
def deferred() -> Iterator[None]:
    """Open a context in which the first interrupt waits for the end; a second one comes through at once.

    In other threads than the main one, which are never interrupted, and where interrupts are ignored or handled
    outside Python, it does nothing.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    waiting: list[FrameType | None] = []

    def wait(number: int, frame: FrameType | None) -> None:
        if waiting:
            before(number, frame)
        waiting.append(frame)

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if waiting:
            before(signal.SIGINT, waiting[0])


@contextmanager
def raise_again() -> Iterator[None]:
    """Open a context in which an interrupt that came within a destructor, which cannot raise, comes once more."""
    before = sys.unraisablehook

    def hook(what: UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            # Not from here: whatever a hook raises is dropped like what the destructor raised.
            threading.Timer(_SOON, _interrupt).start()
        else:
            before(what)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt() -> None:
    """Interrupt the main thread, also where it waits for a lock."""
    if hasattr(signal, "pthread_kill") and (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, signal.SIGINT)
    else:
        interrupt_main()
