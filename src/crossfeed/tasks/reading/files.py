"""One file of data, of any kind that people have: Parquet, JSON, JSON lines, CSV, plain text, also compressed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed.display.formatting import message_line, reason
from crossfeed.errors import DataUnavailable
from crossfeed.tasks.reading.delimited import rows_of_csv, rows_of_prose
from crossfeed.tasks.reading.encoding import LONGEST_BEGINNING, check_beginning
from crossfeed.tasks.reading.json_text import rows_of_json, rows_of_json_lines
from crossfeed.tasks.reading.values import Table, rows_of_arrow

__all__ = ["ENDINGS", "ending_of", "read_file"]

_PACKED: Final = {".gz": "gzip", ".zst": "zstd"}
_KINDS: Final = (".parquet", ".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt")
ENDINGS: Final = (".parquet", *(kind + packed for kind in _KINDS[1:] for packed in ("", *_PACKED)))
"""Endings of files that are read, the preferred ones first."""


def ending_of(path: Path) -> str | None:
    """Return which of `ENDINGS` a file's name has, in any case; None if it has none of them."""
    name = path.name.lower()
    return next((ending for ending in ENDINGS if name.endswith(ending)), None)


def read_file(where: str, path: Path) -> Table:
    """Read a file's rows, every value as text.

    Args:
        where: What is read, for messages.
        path: The file.

    Returns:
        Its rows, in order.

    Raises:
        DataUnavailable: It is not there, of no known kind, or broken; the message names the file and the row.
    """
    place = f"{where}: {path}"
    ending = ending_of(path)
    if ending is None:
        raise DataUnavailable(f"{place}: files of data end in {', '.join(_KINDS)}, or one of these with .gz or .zst")
    try:
        with path.open("rb") as raw:  # a pointer is plain text, whatever the file that it stands for is called
            check_beginning(place, raw.read(LONGEST_BEGINNING))
        if ending == ".parquet":
            return _from_parquet(place, path)
        with _opened(path, ending) as stream:
            return _from_text(place, stream, ending)
    except FileNotFoundError as error:
        raise DataUnavailable(f"{where}: there is no file {path}") from error
    except (OSError, EOFError) as error:
        raise DataUnavailable(f"{place} cannot be read ({reason(error)})") from error


def _from_text(where: str, stream: IO[bytes] | _Lines, ending: str) -> Table:
    kind = "." + ending.split(".")[1]
    if kind == ".json":
        rows = rows_of_json(where, stream.read())
    elif kind in (".jsonl", ".ndjson"):
        rows = rows_of_json_lines(where, stream)
    elif kind == ".txt":
        rows = rows_of_prose(where, stream)
    else:
        rows = rows_of_csv(where, stream, "\t" if kind == ".tsv" else None)
    if not rows:
        raise DataUnavailable(f"{where}: the file holds no rows")
    return rows


@contextmanager
def _opened(path: Path, ending: str) -> Iterator[IO[bytes] | _Lines]:
    packed = _PACKED.get("." + ending.rsplit(".", 1)[1])
    with path.open("rb") as raw:
        if packed is None:
            yield raw
        else:
            with pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), packed) as stream:
                yield _Lines(stream)


class _Lines:
    """A compressed stream that can be read whole and line by line, as files can."""

    def __init__(self, stream: pa.NativeFile) -> None:
        self._stream = stream

    def read(self) -> bytes:
        content: bytes = self._stream.read()
        return content

    def __iter__(self) -> Iterator[bytes]:
        rest = b""
        while piece := self._stream.read(1 << 20):
            *lines, rest = (rest + piece).split(b"\n")
            yield from (line + b"\n" for line in lines)
        if rest:
            yield rest


def _from_parquet(where: str, path: Path) -> Table:
    if path.stat().st_size == 0:
        raise DataUnavailable(f"{where}: the file is empty")
    try:
        return rows_of_arrow(pq.read_table(path, partitioning=None))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DataUnavailable(f"{where}: the file is no Parquet that can be read ({message_line(error)})") from error
