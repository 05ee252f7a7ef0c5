"""Interrupts (Ctrl-C, SIGTERM) at safe moments: Python raises them between any two steps of the main thread.

Between two steps of the standard library's own queues, locks and futures that can leave another thread waiting for
ever; within a destructor it is printed and forgotten, and the program goes on.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from _thread import interrupt_main
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

__all__ = ["Terminated", "deferred", "raise_again", "terminable"]

_SOON: Final = 0.01
"""Seconds after which an interrupt that was lost is raised again; by then the destructor has ended."""

_ONE: Final = 1.0
"""Seconds within which several SIGTERM are one: schedulers send it to a script and to what it started, and the script
passes it on."""

_NUMBERS: Final = (signal.SIGINT, signal.SIGTERM)

_Handler = Callable[[int, FrameType | None], object]


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C would be (`terminable`)."""


class _Terminator:
    """Raises the first SIGTERM as `Terminated`; a later one ends the process at once, as if it were not handled."""

    def __init__(self) -> None:
        self.first: float | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if self.first is None:
            self.first = now
            raise Terminated
        if now - self.first >= _ONE:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


@contextmanager
def terminable() -> Iterator[None]:
    """Open a context in which SIGTERM interrupts the main thread as Ctrl-C does.

    A second one ends the process at once. Once the first has come, that stays so after the context, to the end of the
    process. In other threads than the main one it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    terminator = _Terminator()
    before = signal.signal(signal.SIGTERM, terminator)
    try:
        yield
    finally:
        if terminator.first is None:
            signal.signal(signal.SIGTERM, before)


@contextmanager
def deferred() -> Iterator[None]:
    """Open a context in which the first interrupt waits for the end; a second one comes through at once.

    In other threads than the main one, which are never interrupted, and where interrupts are ignored or handled
    outside Python, it does nothing.
    """
    before: dict[int, _Handler] = {
        number: handler for number in _NUMBERS if callable(handler := signal.getsignal(number))
    }
    if threading.current_thread() is not threading.main_thread() or not before:
        yield
        return
    waiting: list[tuple[int, FrameType | None, float]] = []

    def wait(number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if waiting and not (number == waiting[0][0] == signal.SIGTERM and now - waiting[0][2] < _ONE):
            before[number](number, frame)
        waiting.append((number, frame, now))

    for number in before:
        signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if waiting:
            number, frame, _ = waiting[0]
            before[number](number, frame)


@contextmanager
def raise_again() -> Iterator[None]:
    """Open a context in which an interrupt that came within a destructor, which cannot raise, comes once more."""
    before = sys.unraisablehook

    def hook(what: UnraisableHookArgs) -> None:
        if issubclass(what.exc_type, KeyboardInterrupt):
            number = signal.SIGINT
            if issubclass(what.exc_type, Terminated):
                number = signal.SIGTERM
                handler = signal.getsignal(number)
                if isinstance(handler, _Terminator):
                    handler.first = None
            # Not from here: whatever a hook raises is dropped like what the destructor raised.
            threading.Timer(_SOON, _interrupt, [number]).start()
        else:
            before(what)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = before


def _interrupt(number: signal.Signals) -> None:
    """Interrupt the main thread, also where it waits for a lock."""
    if hasattr(signal, "pthread_kill") and (main := threading.main_thread().ident) is not None:
        signal.pthread_kill(main, number)
    else:
        interrupt_main(number)
