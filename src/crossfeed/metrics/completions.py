"""The texts of completions, and their words, for metrics that read them; images and numbers have none."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["completion_texts", "has_text", "words_of"]

_TEXT: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
_WORD: Final = re.compile(r"\w+")


def completion_texts(items: pa.Table) -> list[str] | None:
    """Return the completions of items as text, null as the empty one.

    Args:
        items: Items of any kind.

    Returns:
        ``(items,)`` texts; None if there is no column ``completion`` that holds text.
    """
    if "completion" not in items.column_names:
        return None
    column = items.column("completion")
    if not any(holds(column.type) for holds in _TEXT):
        return None
    return [text or "" for text in column.to_pylist()]


def has_text(items: pa.Table) -> NDArray[np.bool_]:
    """Return which completions hold more than white space.

    Sentence encoders give the empty text a direction of its own: two models that write nothing have the cosine 1.

    Args:
        items: Items of any kind.

    Returns:
        ``(items,)`` truth values; all true where completions are no text.
    """
    texts = completion_texts(items)
    if texts is None:
        return np.ones(items.num_rows, dtype=np.bool_)
    return np.array([bool(text.strip()) for text in texts], dtype=np.bool_)


def words_of(text: str) -> list[str]:
    """Return a text's words: runs of letters and digits of any script, lower-cased.

    Where a language is written without spaces, a run is a word; rouge-score 0.1.2 drops every letter beyond a to z, so
    that a text in another script has none at all.

    Args:
        text: Any text.
    """
    return _WORD.findall(text.lower())
