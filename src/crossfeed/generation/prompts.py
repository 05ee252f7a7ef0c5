"""The prompts of published items: a function of the description and the seed, known before anything is generated.

Item i of an author asks what its key says: a row of the author's own shelf (its private items, the public ones, or
those of tasks by weight). Where prompts come from the ``pool``, the item asks what some item asks that the author read
at the generation before: the author by the reading weights, one of its items evenly; and that item's prompt may come
from the pool again. The first models have read no pool, and answer prompts of their private data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.generation.calendar import Calendar
from crossfeed.generation.mixture import Sizes
from crossfeed.generation.shelf import Shelf
from crossfeed.keys import address, item_keys, uniforms

__all__ = ["Prompts", "asks_the_pool"]

_AUTHOR_SALT: Final = 0x61736B
_ITEM_SALT: Final = 0x6974656D

Places = tuple[NDArray[np.int64], NDArray[np.int64]]
"""``(m,)`` indices of the entities on whose shelves prompts stand, and ``(m,)`` their rows there."""


def asks_the_pool(calendar: Calendar) -> bool:
    """Return True if some entity's prompts come from the pool."""
    eco = calendar.ecosystem
    return any(eco.prompts_of(entity) == "pool" for entity in eco.entities)


@dataclass(frozen=True)
class Prompts:
    """The prompts of a cell.

    Attributes:
        calendar: The ecosystem, the seed, and who read what.
        shelves: Each entity's own prompts.
        sizes: The number of items of each source.
        sampled: True if prompts are sampled (with replacement); else item i answers row i.
    """

    calendar: Calendar
    shelves: Sequence[Shelf]
    sizes: Sizes
    sampled: bool

    def keys(self, born: int, author: int, items: NDArray[np.int64]) -> NDArray[np.uint64]:
        """Return the ``(m,)`` keys of some of an author's items."""
        name = self.calendar.ecosystem.names[author]
        return item_keys(address(self.calendar.seed, "publish", born, name), items)

    def places(self, born: int, author: int, items: NDArray[np.int64]) -> Places:
        """Return where the prompts of items stand.

        Args:
            born: The generation at which the items are published.
            author: The author's index j.
            items: ``(m,)`` item indices.

        Returns:
            Entities and rows of their shelves, in the order of `items`.
        """
        eco = self.calendar.ecosystem
        if born > 1 and eco.prompts_of(eco.entities[author]) == "pool":
            read = self.calendar.born(born - 1, author)
            weights = np.where(read > 0, self.calendar.reading(author), 0.0)
            if weights.any():
                return self._of_what_was_read(read, weights, self.keys(born, author, items))
        if not self.sampled:
            return np.full_like(items, author), items % self.shelves[author].size
        rows = self.shelves[author].rows(uniforms(self.keys(born, author, items)))
        return np.full_like(items, author), rows

    def _of_what_was_read(
        self, read: NDArray[np.int64], weights: NDArray[np.float64], keys: NDArray[np.uint64]
    ) -> Places:
        there = np.flatnonzero(weights)
        edges = np.cumsum(weights[there])
        chosen = there[np.searchsorted(edges[:-1], uniforms(keys, _AUTHOR_SALT) * edges[-1], side="right")]
        number = uniforms(keys, _ITEM_SALT)
        owners, rows = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
        for author in np.unique(chosen).tolist():
            here = chosen == author
            born = int(read[author])
            items = (number[here] * self.sizes.published(born)[author]).astype(np.int64)
            owners[here], rows[here] = self.places(born, author, items)
        return owners, rows
