"""Streams whose reader may go away: what cannot be written is lost, and nothing else is."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Final, TextIO

__all__ = ["LossyStream", "open_standard_streams"]

_STANDARD: Final = 3
"""Standard input, output and errors are the first three descriptors."""


class LossyStream:
    """A text stream that drops everything from the first write on that fails.

    Writes fail when a terminal was closed, a disk is full, or the descriptor was closed by another part of the program.

    Args:
        stream: The stream itself.
        pipes: True to drop, too, what a closed pipe does not take; otherwise that is raised, as a reader who has seen
            enough is to end the command.

    Attributes:
        lost: The error of the first write that failed; None if all was written.
    """

    def __init__(self, stream: TextIO, *, pipes: bool) -> None:
        self._stream = stream
        self._pipes = pipes
        self.lost: Exception | None = None

    def write(self, text: str) -> int:
        """Write text, or drop it."""
        self._try(self._stream.write, text)
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        """Write lines, or drop them."""
        self.write("".join(lines))

    def flush(self) -> None:
        """Hand on what is buffered, or drop it."""
        self._try(self._stream.flush)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _try(self, work: Any, *arguments: str) -> None:
        if self.lost is not None:
            return
        try:
            work(*arguments)
        except UnicodeError:  # also a ValueError; the text is at fault, and not the stream
            raise
        except (OSError, ValueError) as error:
            if isinstance(error, BrokenPipeError) and not self._pipes:
                raise
            self.lost = error
            self._let_go()

    def _let_go(self) -> None:
        """Have Python's last flush, when it ends, go nowhere instead of failing once more."""
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)


def open_standard_streams() -> None:
    """Open those of the standard descriptors that are closed, so that no file of a run gets one of their numbers.

    What a library prints there would be written into that file.
    """
    for descriptor in range(_STANDARD):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this one
