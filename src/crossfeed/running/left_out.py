"""Cells that are left out of a run because their losses are forecast well enough: documents ``known/<cell>``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # as in `crossfeed.running.failures`
    from crossfeed.description.experiment import Cell
    from crossfeed.protocols import Store

__all__ = ["left_out_of", "percent", "read_left_out", "reason", "spanning_first"]


def left_out_of(cell: str) -> str:
    """Return the name of the document that states that a cell was left out.

    Args:
        cell: The cell's name.

    Returns:
        The document's name in the store.
    """
    return f"known/{cell}"


def read_left_out(store: Store, cell: str) -> dict[str, Any] | None:
    """Read how sure the forecast was of a cell that was left out.

    Args:
        store: The store of the run.
        cell: The cell's name.

    Returns:
        ``half_width`` of the 80 % bands, relative to the losses, and the ``threshold`` that it was held to; None if the
        cell was not left out.
    """
    return store.read_document(left_out_of(cell))


def reason(half_width: float) -> str:
    """Return the reason why a cell was left out.

    Args:
        half_width: Half-width of the 80 % bands of its losses, relative to them.

    Returns:
        Text such as ``its losses are forecast to within 2.1 %``.
    """
    return f"its losses are forecast to within {percent(half_width)}"


def percent(share: float) -> str:
    """Format a share as per cent with two digits.

    Args:
        share: The share.

    Returns:
        Text such as ``2.1 %``.
    """
    return f"{100 * share:.2g} %"


def spanning_first(cells: Sequence[Cell]) -> list[int]:
    """Order cells so that the others can be forecast early: corners of the grid's numeric fields, then the middle.

    Within the corners and the middle, all cells of a seed come before those of the next one. A cell whose value of a
    numeric field is null is none of them.

    Args:
        cells: The cells.

    Returns:
        Their positions, each once; those of all other cells are in the order of `cells`.
    """
    from crossfeed.records import is_numeric

    levels: dict[str, list[Any]] = {}
    for path in cells[0].point:
        values = [cell.point[path] for cell in cells]
        known = {value for value in values if value is not None}
        if known and is_numeric(values):
            levels[path] = sorted(known)
    seeds = list(dict.fromkeys(cell.seed for cell in cells))

    def place(position: int) -> tuple[int, int, int]:
        cell = cells[position]
        if all(cell.point[path] in (values[0], values[-1]) for path, values in levels.items()):
            return 0, seeds.index(cell.seed), position
        if all(cell.point[path] == values[(len(values) - 1) // 2] for path, values in levels.items()):
            return 1, seeds.index(cell.seed), position
        return 2, 0, position

    return sorted(range(len(cells)), key=place)
