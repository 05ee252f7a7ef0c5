"""The progress of long work: a live view on a terminal, plain lines in a log file, or nothing."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import TextIO, cast

from rich.console import Console
from rich.progress import (
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from crossfeed.display.addresses import masked
from crossfeed.display.formatting import plain
from crossfeed.display.streams import LossyStream

__all__ = ["LiveProgress", "LogProgress", "Silent", "for_stream"]

Advance = Callable[[int], None]


class Silent:
    """Progress that is not shown."""

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Advance]:
        """Enter a stage; nothing is shown."""
        yield lambda steps: None

    def log(self, text: str) -> None:
        """Drop a note."""


class LogProgress:
    """Plain lines with the time since the start; a long stage reports at most every few seconds.

    A stage is named when it begins, if the last line is a third of that time old.

    Args:
        stream: The stream to write to.
        seconds: The shortest time between two lines of one stage.
    """

    def __init__(self, stream: TextIO, seconds: float = 15.0) -> None:
        self._stream, self._seconds, self._begun = stream, seconds, time.monotonic()
        self._silence, self._written = seconds / 3, self._begun

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Advance]:
        """Enter a stage that reports every few seconds."""
        if time.monotonic() - self._written >= self._silence:
            self.log(f"{detail} {name}")
        done, written = 0, time.monotonic()

        def advance(steps: int) -> None:
            nonlocal done, written
            done += steps
            if time.monotonic() - written >= self._seconds:
                written = time.monotonic()
                self.log(f"{detail} {name}: {done}" + (f" of {total}" if total else ""))

        yield advance

    def log(self, text: str) -> None:
        """Write one line."""
        self._written = time.monotonic()
        elapsed = int(self._written - self._begun)
        with suppress(OSError):  # a log that cannot be written (a closed pipe, a full disk) is no reason to stop
            self._stream.write(f"[{elapsed // 60:3d}:{elapsed % 60:02d}] {plain(masked(text.strip()))}\n")
            self._stream.flush()


class _Counted(ProgressColumn):
    """``12/40`` where the number of steps is known, nothing where it is not."""

    def __init__(self) -> None:
        super().__init__()
        self._counts = MofNCompleteColumn()

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else self._counts.render(task)


class _Left(ProgressColumn):
    """The time left where the number of steps is known, nothing where it is not."""

    def __init__(self) -> None:
        super().__init__()
        self._time = TimeRemainingColumn()

    def render(self, task: Task) -> Text:
        return Text("") if task.total is None else Text("left ") + self._time.render(task)


class LiveProgress:
    """A live line for the running stage under the notes, for terminals.

    Args:
        console: The terminal.
    """

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            SpinnerColumn(),
            TextColumn("{task.fields[detail]}", style="bold"),
            TextColumn("{task.description}"),
            _Counted(),
            TimeElapsedColumn(),
            _Left(),
            console=console,
            transient=True,
        )

    def __enter__(self) -> LiveProgress:
        self._bars.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._bars.stop()

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Advance]:
        """Enter a stage with a bar of its own, removed when it ends."""
        task = self._bars.add_task(name, total=total, detail=detail)
        try:
            yield lambda steps: self._bars.advance(task, steps)
        finally:
            self._bars.remove_task(task)

    def log(self, text: str) -> None:
        """Print a line above the bars; nothing in the text is markup or moves the cursor."""
        self._bars.console.print(Text(plain(masked(text))))


@contextmanager
def _entered(progress: Silent | LogProgress) -> Iterator[Silent | LogProgress]:
    yield progress


def for_stream(
    stream: TextIO = sys.stderr, *, quiet: bool = False
) -> AbstractContextManager[Silent | LogProgress | LiveProgress]:
    """Return the progress that suits a stream.

    Args:
        stream: The stream to write to.
        quiet: Show nothing.

    Returns:
        A context manager: a live view on a terminal, lines elsewhere, nothing if quiet.
    """
    if quiet:
        return _entered(Silent())
    if stream.isatty():  # the console's own test is true of log files under FORCE_COLOR
        return LiveProgress(Console(file=cast(TextIO, LossyStream(stream, pipes=True))))
    return _entered(LogProgress(stream))
