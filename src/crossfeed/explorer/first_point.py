"""The grid point at which a page opens: one that shows something, where the description leaves a choice.

A grid's first values are often alpha = beta = 0, where nothing is fed back and every line is flat; its last ones alpha
= 1, where no real data are left and errors have no limit.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["first_point"]

_SHARES: Final = ("alpha", "beta")


def first_point(grid: Mapping[str, Sequence[Any]]) -> int:
    """Return the position of the grid point to open at.

    Of every field of numbers it has the middle value (the lower of two); of alpha and beta the middle of those strictly
    between 0 and 1, or of those above 0 if there are none; of every other field the first value.

    Args:
        grid: Values by path, as in a description; may be empty.

    Returns:
        The position in the order of the grid, whose last field varies fastest; 0 for an empty grid.
    """
    sizes = [len(values) for values in grid.values()]
    places = [_telling(path, values) for path, values in grid.items()]
    return sum(place * math.prod(sizes[k + 1 :]) for k, place in enumerate(places))


def _telling(path: str, values: Sequence[Any]) -> int:
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return 0
    chosen = list(values)
    if path.rpartition(".")[2] in _SHARES:
        chosen = [value for value in values if 0 < value < 1] or [value for value in values if value > 0] or chosen
    return values.index(sorted(chosen)[(len(chosen) - 1) // 2])
