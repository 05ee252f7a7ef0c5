r"""JSON as it was written: numbers keep their digits, ``"1969-07-20"`` stays a string, and every row its own keys.

Readers that make a table first have to give each column one type, and change what does not fit. Nothing here has types:
a row is a mapping from its own keys to texts, lists and mappings of texts.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final

from crossfeed.display.formatting import shown
from crossfeed.errors import DataUnavailable
from crossfeed.tasks.reading.encoding import decoded
from crossfeed.tasks.reading.values import Table

__all__ = ["rows_of_json", "rows_of_json_lines"]


class _Text(json.JSONDecoder):
    """Python's decoder with every scalar as text; NaN is a missing value."""

    def __init__(self) -> None:
        super().__init__(parse_float=str, parse_int=str, parse_constant=_constant)


def _constant(name: str) -> str | None:
    return None if name == "NaN" else name


_DECODER: Final = _Text()


def rows_of_json_lines(where: str, lines: Iterable[bytes]) -> Table:
    """Read JSON lines: an object a line, empty lines between them allowed.

    Args:
        where: The file, for messages.
        lines: The file's lines.

    Raises:
        DataUnavailable: A line is no JSON object, or not UTF-8; the message names the row.
    """
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            value = _DECODER.decode(line.decode())
        except (ValueError, RecursionError):  # whatever is the matter, or an empty line, or a mark of byte order
            value = _with_care(f"{where}, line {number}", line, first=number == 1)
            if value is None:
                continue
        if type(value) is not dict:
            raise DataUnavailable(f"{where}, line {number}: {_no_object(value)}")
        if b"true" in line or b"false" in line:
            _spell(value)
        if b"\\u" in line:  # half a character can only be written as an escape
            _check_characters(f"{where}, line {number}", value)
        rows.append(value)
    return rows


def rows_of_json(where: str, content: bytes) -> Table:
    """Read a JSON file: an array of objects, an object with one such array in it, or JSON lines.

    Args:
        where: The file, for messages.
        content: The file's bytes.

    Raises:
        DataUnavailable: It is none of these; the message names the place.
    """
    text = decoded(where, content, first=True)
    try:
        value = _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError) as error:
        lines = [line for line in content.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith(b"{") for line in lines[:2]):
            return rows_of_json_lines(where, content.splitlines())
        raise DataUnavailable(f"{where}: {_problem(error)}") from error
    arrays = list(_arrays(value))
    if len(arrays) != 1:
        inside = f"an object with the keys {shown(sorted(value))}" if isinstance(value, dict) else shown(value)
        raise DataUnavailable(
            f"{where}: the file holds {inside}; give an array of objects, [{{...}}, {{...}}], or an object a line "
            "(pandas: to_json(path, orient='records', lines=True))"
        )
    for number, row in enumerate(arrays[0], 1):
        if not isinstance(row, dict):
            raise DataUnavailable(f"{where}, row {number}: {_no_object(row)}")
        _spell(row)
        _check_characters(f"{where}, row {number}", row)
    return arrays[0]


def _arrays(value: Any) -> Iterator[list[Any]]:
    """The array itself, or arrays of objects among an object's values."""
    if isinstance(value, list):
        yield value
    elif isinstance(value, dict):
        yield from (each for each in value.values() if isinstance(each, list) and each and isinstance(each[0], dict))


def _with_care(where: str, line: bytes, *, first: bool) -> Any:
    """Read a line again that could not be read at once; None for an empty line."""
    text = decoded(where, line, first=first).strip("\r\n")
    if not text.strip():
        return None
    try:
        return _DECODER.decode(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DataUnavailable(f"{where}: {_problem(error)}; received {shown(text.strip())}") from error


def _problem(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        place = f"line {error.lineno}, column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        problem = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        return f"this is no JSON ({problem} at {place})"
    return "this is nested too deep to be read"


def _spell(value: Any) -> None:
    """Put JSON's truth values into words, in place; numbers are text already."""
    for place, each in value.items() if isinstance(value, dict) else enumerate(value):
        if each is True or each is False:
            value[place] = "true" if each else "false"
        elif isinstance(each, dict | list):
            _spell(each)


def _no_object(value: Any) -> str:
    return f'a row is an object, {{"column": value, ...}}; received {shown(value)}'


def _check_characters(where: str, value: Any) -> None:
    """Refuse half a character (a surrogate alone), which no file can keep."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += [*each.keys(), *each.values()]
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str) and any("\ud800" <= character <= "\udfff" for character in each):
            raise DataUnavailable(
                f"{where}: {shown(each)} holds half a character (a surrogate alone), which no file can keep; write the "
                "whole character"
            )
