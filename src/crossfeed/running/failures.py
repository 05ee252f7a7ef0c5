"""Cells that stopped, as records: documents ``failures/<cell>``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # `crossfeed status` is asked often, and must not wait for what describes experiments
    from crossfeed.description.experiment import Cell
    from crossfeed.protocols import Store

__all__ = ["failure_of", "read_failure"]

_FOLDER: Final = "failures"


def failure_of(cell: Cell) -> str:
    """Return the name of a cell's failure record.

    Args:
        cell: The cell.

    Returns:
        The document's name in the store.
    """
    return f"{_FOLDER}/{cell.name}"


def read_failure(store: Store, cell: str) -> dict[str, Any] | None:
    """Read a cell's failure record.

    Args:
        store: The store.
        cell: The cell's name.

    Returns:
        The record, in which at least ``stage``, ``type`` and ``message`` are texts; None if there is none.
    """
    document = store.read_document(f"{_FOLDER}/{cell}")
    return None if document is None else dict.fromkeys(("stage", "type", "message"), "unknown") | document
