"""Text and numbers for display: made harmless, clipped, and rounded in one way everywhere.

Outputs of models are arbitrary text. In a terminal, a page or a table they may not move the cursor, reorder the line
around them or run as a formula; characters that are removed stay visible as code points.
"""

from __future__ import annotations

import math
import re
import reprlib
import unicodedata
from typing import Any, Final

__all__ = [
    "clip",
    "counted",
    "finite_or_null",
    "first_line",
    "message_line",
    "number",
    "percent",
    "plain",
    "reason",
    "safe_cell",
    "shorten",
    "shown",
    "signed",
    "value_text",
    "word",
]

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Cn", "Co", "Zl", "Zp"})
# Joiners are part of how Persian, Indic scripts and emoji are written, and move nothing.
_KEPT: Final = frozenset("\n\t\u200c\u200d")
# Spreadsheets take a cell that starts with one of these for a formula; the last four are their full-width twins. Where
# lists are separated by semicolons a cell begins anew after each of them, and a line does so after a line break.
_FORMULA: Final = re.compile(r"(^|[;\t\n])([^\S;\t\n]*)(?=[=+\-@\t\uff1d\uff0b\uff0d\uff20])")

_BRIEFLY: Final = reprlib.Repr()
_BRIEFLY.maxlevel, _BRIEFLY.maxstring, _BRIEFLY.maxother = 3, 80, 80


def plain(text: object) -> str:
    """Return text whose control, bidirectional and other invisible characters are replaced by code points."""
    joined = str(text).replace("\r\n", "\n")
    return "".join(c if c in _KEPT or unicodedata.category(c) not in _HIDDEN else f"⟨U+{ord(c):04X}⟩" for c in joined)


def clip(text: object, limit: int) -> str:
    """Return plain text of at most `limit` characters, with the number of characters left out."""
    whole = str(text)
    if len(whole) <= limit:
        return plain(whole)
    return f"{plain(whole[:limit])} … [{len(whole) - limit} more characters]"


def counted(number: int, what: str) -> str:
    """Return a number with what it counts, such as ``1 cell`` or ``3 cells``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def shorten(text: str, limit: int) -> str:
    """Return a label of at most `limit` characters, shortened in the middle, since names differ at their ends."""
    if len(text) <= limit:
        return text
    head = max((limit - 1) // 2, 1)
    tail = max(limit - 1 - head, 0)
    return f"{text[:head]}…{text[len(text) - tail :]}"


def finite_or_null(data: Any) -> Any:
    """Return plain data with None in place of every number that is not finite, since JSON has none."""
    if isinstance(data, dict):
        return {key: finite_or_null(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [finite_or_null(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def safe_cell(value: Any) -> Any:
    """Return a table cell that no spreadsheet reads as a formula; values other than text are unchanged."""
    return _FORMULA.sub(r"\1'\2", plain(value)) if isinstance(value, str) else value


def number(value: float) -> str:
    """Return a loss, rate or similarity with two decimals, or with three digits if it is very small or large."""
    if not math.isfinite(value):
        return str(value)
    return f"{value:.2f}" if value == 0 or 0.0995 <= abs(value) < 1e5 else f"{value:.3g}"


def signed(value: float, digits: int = 2) -> str:
    """Return a change with its sign; a change that rounds to zero has none."""
    text = f"{value:+.{digits}f}"
    return text[1:] if text.strip("+-0.") == "" else text


def percent(value: float, error: float = math.nan) -> str:
    """Return a change in per cent, with its standard error if known; thousands have no decimals."""
    if not math.isfinite(value):
        return ""
    digits = 0 if abs(value) >= 1000 else 1
    return f"{signed(value, digits)} %" if math.isnan(error) else f"{signed(value, digits)} ± {error:.{digits}f} %"


def value_text(value: object) -> str:
    """Return a grid value as text."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value:g}" if number else plain(in_words(value) if isinstance(value, dict | list | tuple) else value)


def in_words(value: Any) -> str:
    """Return a value about as it is written in YAML: a mapping as ``graph: cliques, count: 2``."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {in_words(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_words, value))}]"
    return str(value)


def word(part: object) -> str:
    """Return a key unchanged, or quoted and shortened if it is long or cannot be printed."""
    text = str(part)
    return text if len(text) <= _BRIEFLY.maxstring and text.isprintable() else shown(text)


def shown(value: Any) -> str:
    """Return a value's representation, shortened."""
    return _BRIEFLY.repr(value)


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of its message."""
    kind, text = type(error).__name__, message_line(error)
    return kind if text == kind else f"{kind}: {text}"


def message_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its type where it has none."""
    return str(error).strip().split("\n", 1)[0] or type(error).__name__


def reason(error: BaseException) -> str:
    """Return an error's message, without the system's error numbers and paths."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
