"""Representations in a notebook: a title, facts and tables, of any value.

Names and texts are not trusted: everything is escaped, and invisible characters are shown as code points.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any, Final

from crossfeed.display.formatting import clip, number, plain, value_text

__all__ = ["Columns", "listed", "page"]

Columns = Mapping[Any, Sequence[object]]
"""A table: its columns by name, all of the same length."""

_ROWS: Final = 24
_LONGEST: Final = 300


def page(title: str, facts: Mapping[str, object], tables: Mapping[str, Columns]) -> str:
    """Return the HTML of a title, facts and tables.

    Args:
        title: The title, in a line of its own.
        facts: Values by name; one without a name is a sentence.
        tables: Tables by caption, each its columns by name; one without a caption stands right below the facts.

    Returns:
        HTML without scripts.
    """
    named = "; ".join(f"{name}: {value}" for name, value in facts.items() if name)
    lines = [str(facts.get("", "")), named]
    parts = [f"<strong>{_text(title)}</strong>", *(f"<div>{_text(line)}</div>" for line in lines if line)]
    for caption, columns in tables.items():
        parts += [f"<div><em>{_text(caption)}</em></div>"] if caption else []
        parts.append(_table(columns))
    return f"<div>{''.join(parts)}</div>"


def listed(values: Sequence[object]) -> str:
    """Return values separated by commas, clipped."""
    return clip(", ".join(map(value_text, values)), _LONGEST)


def _table(columns: Columns) -> str:
    """Return the HTML of a table's first rows."""
    length = max(map(len, columns.values()), default=0)
    rows = zip(*(list(values)[:_ROWS] for values in columns.values()), strict=True)
    head = _row("th", map(plain, columns))
    body = "".join(_row("td", map(_cell, row)) for row in rows)
    more = f"<div>... and {length - _ROWS:,} more rows</div>" if length > _ROWS else ""
    return f'<table class="dataframe"><thead>{head}</thead><tbody>{body}</tbody></table>{more}'


def _row(kind: str, cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{kind}>{escape(cell)}</{kind}>' for cell in cells)}</tr>"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else number(value)  # noqa: PLR0124 - not a number
    return clip(value, _LONGEST)


def _text(text: str) -> str:
    return escape(clip(text, _LONGEST))
