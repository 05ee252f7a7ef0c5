"""Keeps what repeats no letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.protocols import PoolView, Task
from crossfeed.settings import FilterSettings


class StutterSettings(FilterSettings):
    """Keep items in whose completion no letter comes twice."""

    def build(self, owned: Mapping[str, Task]) -> Stutter:
        """Make the filter."""
        return Stutter()


@dataclass(frozen=True)
class Stutter:
    """See the module; it `reads`, so every item is written before any is drawn."""

    reads: bool = True

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_]]:
        """Whether each item passes, the same for all entities."""
        return [
            np.array([[_fluent(text) for text in pool.items(author).column("completion").to_pylist()]], dtype=np.bool_)
            for author in range(len(pool.authors))
        ]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """Human items are kept."""
        return np.ones(len(keys), dtype=np.bool_)


def _fluent(text: str) -> bool:
    letters = text.replace(" ", "")
    return len(set(letters)) == len(letters)
