"""The texts of completions, for metrics that read them; images and numbers have none."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

__all__ = ["completion_texts"]

_TEXT: Final = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


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
