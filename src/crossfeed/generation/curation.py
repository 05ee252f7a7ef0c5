r"""Curation of the pool: the published items that may be drawn.

Filters (`crossfeed.filters`) judge every item of the pool that a generation publishes, each filter by itself; an
item that any of them rejects is never drawn. A draw from the curated pool is a draw from the pool, given that it
passes: with :math:`v_s` the weight of a pool source s (fresh human data, or an author, of one generation) and
:math:`p_s` the share of its items that pass,

.. math:: \alpha \, \frac{v_s p_s}{\sum_u v_u p_u},

and then one of the source's passing items, uniformly. So draws stay i.i.d., the synthetic share alpha stays what it is,
and a source of which more passes gains. Where nothing passes at all there is no pool to draw from, and the training set
is real data alone, private and public as beta says.

A filter may weigh items instead, by a detector's score say: then :math:`p_s` is the mean weight of a source's items,
and one of them is drawn in proportion to its weight. What learns from everything weighs each item's loss by it.

What passes is stored with the pool (column ``passed``: for each entity, in order, true if it keeps the item), so that a
resumed run draws the same items. A filter that decides by keys alone needs no item for that: then items are generated
only if they are drawn, as without curation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.generation.seen_items import SeenItems, mean_losses
from crossfeed.keys import address, item_keys
from crossfeed.protocols import Candidates, Filter, Learner, RewardContext, State

__all__ = [
    "PASSED",
    "CurationMask",
    "GeneratedItems",
    "LivePoolView",
    "Mask",
    "human_mask",
    "mask_column",
    "stored_masks",
    "synthetic_masks",
]

PASSED = "passed"
"""The column of a stored pool that holds the masks."""

Mask = NDArray[np.bool_] | NDArray[np.float64]
"""True where an item is kept; or weights in [0, 1], where a filter weighs what it does not drop."""


@dataclass(frozen=True)
class CurationMask:
    """The items of one generation's pool that pass all filters.

    Attributes:
        synthetic: For each author a mask ``(K, items)``: row k is true where entity k keeps the item; or weights.
        human: ``(items,)`` mask of the fresh human items, or weights.
    """

    synthetic: tuple[Mask, ...]
    human: Mask


@dataclass(frozen=True)
class GeneratedItems:
    """The generated items of one pool, and the model states that can score them.

    Attributes:
        prompts: For each author, the private items that its items answer.
        items: For each author, its items.
        learner: The learner of the states.
        states: The entities' states that generated the items.
        real: Tables of real training items, by ``private`` (one for each entity) and ``public`` (one).
        context: The tasks and entities, for rewards.
    """

    prompts: Sequence[pa.Table]
    items: Sequence[pa.Table]
    learner: Learner
    states: Sequence[State]
    real: Mapping[str, Sequence[pa.Table]]
    context: RewardContext


@dataclass(frozen=True)
class LivePoolView:
    """The pool of one generation of a run as filters see it (see `crossfeed.protocols.PoolView`).

    Attributes:
        seed: The experiment's seed.
        generation: The generation at which the items are published.
        authors: The entities' names.
        weights: ``(K,)`` shares of what is published.
        sizes: The number of items that each author publishes.
        generated: The items; None where no filter reads them.
    """

    seed: int
    generation: int
    authors: tuple[str, ...]
    weights: NDArray[np.float64]
    sizes: tuple[int, ...]
    generated: GeneratedItems | None = None

    def keys(self, author: int) -> NDArray[np.uint64]:
        """Return the ``(items,)`` keys of an author's items, used for nothing except what filters decide."""
        return _curation_keys(self.seed, self.generation, self.authors[author], self.sizes[author])

    def items(self, author: int) -> pa.Table:
        """Return the items of an author."""
        return self._read.items[author]

    def prompts(self, author: int) -> pa.Table:
        """Return the private items that an author's items answer."""
        return self._read.prompts[author]

    def real(self, source: str) -> Sequence[pa.Table]:
        """Return the real training items of a source."""
        return self._read.real[source]

    def candidates(self, author: int, judge: int) -> Candidates:
        """Return an author's items as rewards see them."""
        read, name = self._read, self.authors[author]
        seen = SeenItems(name, read.items[author], read.prompts[author], read.learner, read.states, read.context)
        seen.judge = self.authors[judge]
        return seen

    def losses(self, judge: int, authors: Sequence[int]) -> list[NDArray[np.float64]]:
        """Return the ``(items,)`` mean completion losses of some authors' items under one entity's state."""
        tables = [self._read.items[author] for author in authors]
        scored = iter(self._read.learner.score([self._read.states[judge]], [t for t in tables if t.num_rows])[0])
        return [mean_losses(next(scored)) if table.num_rows else np.zeros(0) for table in tables]

    @property
    def _read(self) -> GeneratedItems:
        if self.generated is None:
            raise TypeError("a filter that looks at items must say that it reads")
        return self.generated


def _curation_keys(seed: int, generation: int, source: str, items: int) -> NDArray[np.uint64]:
    """Derive keys for decisions of filters on an author's items, or on the ``fresh`` human ones, of one generation."""
    return item_keys(address(seed, "curate", generation, source), np.arange(items))


def synthetic_masks(filters: Sequence[Filter], view: LivePoolView) -> tuple[Mask, ...]:
    """Apply filters to the synthetic items of a pool.

    Args:
        filters: The filters; an item has to pass all of them.
        view: The pool.

    Returns:
        For each author a mask ``(K, items)``: row k is true where entity k keeps the item.
    """
    readers = len(view.authors)
    masks: list[Mask] = [np.ones((readers, size), dtype=np.bool_) for size in view.sizes]
    for each in filters:
        for author, flags in enumerate(each.synthetic(view)):
            masks[author] = masks[author] * flags  # of flags it is their conjunction
    return tuple(masks)


def human_mask(filters: Sequence[Filter], seed: int, generation: int, items: int) -> Mask:
    """Apply filters to the fresh human items of a pool.

    Args:
        filters: The filters; an item has to pass all of them.
        seed: The experiment's seed.
        generation: The generation at which the items are published.
        items: The number of items.

    Returns:
        ``(items,)`` mask.
    """
    mask: Mask = np.ones(items, dtype=np.bool_)
    for each in filters:
        mask = mask * each.human(_curation_keys(seed, generation, "fresh", items))
    return mask


def mask_column(masks: Sequence[Mask]) -> pa.Array:
    """Convert masks to a column of a stored pool.

    Args:
        masks: For each author, in order, a mask ``(K, items)``.

    Returns:
        For each item, authors in order, a list over the K entities.
    """
    rows = np.concatenate([mask.T for mask in masks])
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


def stored_masks(pool: pa.Table, authors: Sequence[str]) -> tuple[Mask, ...]:
    """Read the masks of a stored pool, the inverse of `mask_column`.

    Args:
        pool: The pool; on disk its column ``passed`` may hold lists of any kind.
        authors: The entities' names, in order.

    Returns:
        For each author a mask ``(K, items)``.
    """
    masks = []
    for name in authors:
        column = pool.filter(pc.equal(pool.column("author"), name)).column(PASSED)
        flags = pc.list_flatten(column).to_numpy(zero_copy_only=False)
        flags = flags.astype(np.float64 if flags.dtype.kind == "f" else np.bool_)
        masks.append(flags.reshape(-1, len(authors)).T)
    return tuple(masks)
