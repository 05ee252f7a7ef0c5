r"""A curated pool: which published items may be drawn.

Filters (`crossfeed.filters`) judge every item of the pool that a generation publishes, each filter by itself; an
item that any of them rejects is never drawn. A draw from the curated pool is a draw from the pool, given that it
passes: with :math:`v_s` the weight of a pool source s (fresh human data, or an author, of one generation) and
:math:`p_s` the share of its items that pass,

.. math:: \alpha \, \frac{v_s p_s}{\sum_u v_u p_u},

and then one of the source's passing items, uniformly. So draws stay i.i.d., the synthetic share alpha stays what it is,
and a source of which more passes gains. Where nothing passes at all there is no pool to draw from, and the training set
is real data alone, private and public as beta says.

What passes is kept with the pool (column ``passed``: for each entity, in order, whether it keeps the item), so that a
run that is taken up again draws the same items. A filter that decides by keys alone needs no item for that: then items
are generated only if they are drawn, as without curation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.keys import address, item_keys
from crossfeed.protocols import Filter, Learner, Scores, State

__all__ = [
    "PASSED",
    "Kept",
    "Scrape",
    "Written",
    "column_of",
    "curation_keys",
    "flags_of",
    "humans_kept",
    "synthetic_kept",
]

PASSED = "passed"
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Kept:
    """What passes of the pool of one generation.

    Attributes:
        synthetic: ``(K, items)`` for each author: whether entity k keeps an item.
        human: ``(items,)`` whether fresh human items are kept.
    """

    synthetic: tuple[Flags, ...]
    human: Flags


@dataclass(frozen=True)
class Written:
    """What was written for one pool, and what can judge it.

    Attributes:
        prompts: For each author, the private items that its items answer.
        items: For each author, its items.
        learner: What scores.
        states: The entities' states that wrote them.
    """

    prompts: Sequence[pa.Table]
    items: Sequence[pa.Table]
    learner: Learner
    states: Sequence[State]


@dataclass(frozen=True)
class Scrape:
    """The pool of one generation as filters see it (`crossfeed.protocols.Scraped`).

    Attributes:
        seed: The experiment's seed.
        generation: When the items are published.
        authors: The entities' names.
        weights: ``(K,)`` shares of what is published.
        sizes: How many items each author publishes.
        written: What was written; None where no filter reads.
    """

    seed: int
    generation: int
    authors: tuple[str, ...]
    weights: NDArray[np.float64]
    sizes: tuple[int, ...]
    written: Written | None = None

    def keys(self, author: int) -> NDArray[np.uint64]:
        """Keys of an author's items, used for nothing but what filters decide."""
        return curation_keys(self.seed, self.generation, self.authors[author], self.sizes[author])

    def items(self, author: int) -> pa.Table:
        """What an author wrote."""
        return self._read.items[author]

    def prompts(self, author: int) -> pa.Table:
        """The private items that it answers."""
        return self._read.prompts[author]

    def losses(self, judge: int, authors: Sequence[int]) -> list[NDArray[np.float64]]:
        """Mean completion losses under a state."""
        tables = [self._read.items[author] for author in authors]
        scored = iter(self._read.learner.score([self._read.states[judge]], [t for t in tables if t.num_rows])[0])
        return [_mean(next(scored)) if table.num_rows else np.zeros(0) for table in tables]

    @property
    def _read(self) -> Written:
        if self.written is None:
            raise TypeError("a filter that looks at items must say that it reads")
        return self.written


def curation_keys(seed: int, generation: int, source: str, items: int) -> NDArray[np.uint64]:
    """Keys for what filters decide about the items of an author, or the ``fresh`` human ones, of one generation."""
    return item_keys(address(seed, "curate", generation, source), np.arange(items))


def synthetic_kept(filters: Sequence[Filter], scrape: Scrape) -> tuple[Flags, ...]:
    """``(K, items)`` for each author: whether all filters keep an item for entity k."""
    readers = len(scrape.authors)
    kept = [np.ones((readers, size), dtype=np.bool_) for size in scrape.sizes]
    for each in filters:
        for author, flags in enumerate(each.synthetic(scrape)):
            kept[author] &= flags
    return tuple(kept)


def humans_kept(filters: Sequence[Filter], seed: int, generation: int, items: int) -> Flags:
    """``(items,)`` whether all filters keep a fresh human item."""
    kept = np.ones(items, dtype=np.bool_)
    for each in filters:
        kept &= each.human(curation_keys(seed, generation, "fresh", items))
    return kept


def column_of(kept: Sequence[Flags]) -> pa.Array:
    """The flags as a column of a pool: a list over the entities for each item, authors in order."""
    rows = np.concatenate([flags.T for flags in kept])
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def flags_of(pool: pa.Table, authors: Sequence[str]) -> tuple[Flags, ...]:
    """What `column_of` was given; a pool on disk may hold lists of any kind."""
    found = []
    for name in authors:
        column = pool.filter(pc.equal(pool.column("author"), name)).column(PASSED)
        flags = pc.list_flatten(column).to_numpy(zero_copy_only=False).astype(np.bool_)
        found.append(flags.reshape(-1, len(authors)).T)
    return tuple(found)


def _mean(scores: Scores) -> NDArray[np.float64]:
    """Mean completion losses; infinite where there is no term."""
    nothing = np.full_like(scores.completion_loss, np.inf)
    return np.divide(scores.completion_loss, scores.completion_size, out=nothing, where=scores.completion_size > 0)
