"""The drawn items that each step of training reads."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from crossfeed.keys import generator

__all__ = ["rows_of_steps"]


def rows_of_steps(n: int, size: int, steps: int | None, key: int) -> list[NDArray[np.int64]]:
    """Return the items of each step: drawn order first, then passes reshuffled by key.

    Args:
        n: Number of items.
        size: Items in a step.
        steps: Number of steps; None for one pass.
        key: Seeds the reshuffled passes.

    Returns:
        Indices of items, one array for each step.
    """
    total = n if steps is None else steps * size
    if n == 0:
        return []
    order = np.concatenate(list(_passes(n, total, key)))[:total]
    return [order[first : first + size] for first in range(0, total, size)]


def _passes(n: int, total: int, key: int) -> Iterator[NDArray[np.int64]]:
    yield np.arange(n)
    for number in range(1, -(-total // n)):
        yield generator(key, "pass", number).permutation(n)
