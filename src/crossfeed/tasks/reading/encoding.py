"""Bytes of files as text: UTF-8 alone, with a message that names the byte where it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from crossfeed.errors import DataUnavailable

__all__ = ["LONGEST_BEGINNING", "check_beginning", "decoded", "decoded_lines"]

LONGEST_BEGINNING: Final = 24
"""Bytes of a file's beginning that `check_beginning` reads."""


def check_beginning(where: str, beginning: bytes) -> None:
    """Refuse files that stand for others, or are text in another encoding, by their first bytes.

    Args:
        where: The file, for messages.
        beginning: Its first bytes.

    Raises:
        DataUnavailable: It is a pointer of Git LFS, or UTF-16.
    """
    if beginning.startswith(b"version https://git-lfs"):
        raise DataUnavailable(
            f"{where}: this is a pointer of Git LFS, not the data; fetch the file itself with `git lfs pull`"
        )
    if beginning.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataUnavailable(f"{where}: the file is UTF-16; save it as UTF-8")


def decoded(where: str, content: bytes, *, first: bool) -> str:
    """Return text from bytes.

    Args:
        where: The place that they come from, for messages.
        content: The bytes.
        first: True where a file begins, so that a mark of byte order is left out.

    Raises:
        DataUnavailable: They are not UTF-8.
    """
    try:
        return content.decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError as error:
        raise DataUnavailable(
            f"{where}: byte {error.start + 1} is {content[error.start]:#04x}, which is not UTF-8; save the file as "
            "UTF-8"
        ) from error


def decoded_lines(where: str, lines: Iterable[bytes]) -> Iterator[str]:
    """Return the lines of a file as text.

    Args:
        where: The file, for messages.
        lines: Its lines.

    Raises:
        DataUnavailable: One is not UTF-8.
    """
    return (decoded(f"{where}, line {number}", line, first=number == 1) for number, line in enumerate(lines, 1))
