"""CSV and plain text: cells as they are written, lines of prose."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Iterator
from typing import Final

from crossfeed.errors import DataUnavailable
from crossfeed.tasks.reading.encoding import decoded_lines
from crossfeed.tasks.reading.values import Table

__all__ = ["rows_of_csv", "rows_of_prose"]

_DELIMITERS: Final = (",", ";", "\t", "|")
csv.field_size_limit(min(sys.maxsize, 2**31 - 1))


def rows_of_csv(where: str, lines: Iterable[bytes], delimiter: str | None) -> Table:
    """Read a table with a header; an empty cell is a missing value.

    Args:
        where: The file, for messages.
        lines: The file's lines.
        delimiter: What separates cells; None: whichever of ``, ; | tab`` the header has most of.

    Raises:
        DataUnavailable: A row has more or fewer cells than the header, or is not UTF-8; the message names the line.
    """
    texts = decoded_lines(where, lines)
    header_text = next(texts, "")
    if not header_text.strip():
        raise DataUnavailable(f"{where}: the file is empty; its first line names the columns")
    delimiter = delimiter or max(_DELIMITERS, key=header_text.count)

    def whole() -> Iterator[str]:
        yield header_text
        yield from texts

    reader = csv.reader(whole(), delimiter=delimiter, strict=True)
    rows = []
    try:
        header = next(reader)
        repeated = sorted({name for name in header if header.count(name) > 1})
        if repeated:
            raise DataUnavailable(f"{where}: the header names {', '.join(map(repr, repeated))} more than once")
        for cells in reader:
            if not cells:
                continue
            if len(cells) != len(header):
                raise DataUnavailable(
                    f"{where}, line {reader.line_num}: {len(cells)} cells, and the header names {len(header)} columns; "
                    "quote cells that hold the separator"
                )
            rows.append({name: cell or None for name, cell in zip(header, cells, strict=True)})
    except csv.Error as error:
        raise DataUnavailable(f"{where}, line {reader.line_num}: this is no CSV ({error})") from error
    return rows


def rows_of_prose(where: str, lines: Iterable[bytes]) -> Table:
    """Read plain text: each line that is not empty is a row with the one column ``text``.

    Args:
        where: The file, for messages.
        lines: The file's lines.

    Raises:
        DataUnavailable: A line is not UTF-8.
    """
    return [{"text": text} for line in decoded_lines(where, lines) if (text := line.strip())]
