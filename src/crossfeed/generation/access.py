r"""Ranked access to the pool: readers draw from what a ranking shows them, not from the pool.

For each draw from the pool a query is drawn from what the reader itself asks, the prompts of its private training
data. All items that it may read are ranked for the query (`crossfeed.generation.ranking`), and one of the first `top`
is drawn, in proportion to its weight in the pool: uniformly where authors have equal shares. If `top` reaches all items
this is the draw from the pool again. Private and public draws, and their number, stay what they are.

So what is *offered*, a source's share of the pool, and what is *exposed*, its share of what is read, are two numbers
(Yu, Kim and Kim, 2026, arXiv 2602.16136), and both are recorded. Their ratio, over all readers, is the *popularity* of
an author at that generation: how often an item of it was read for each time that it would have been read without a
ranking. Items inherit the popularity that their author had when they were published, and keep it as long as they last;
it is 1 for all at generation 1, and stored with the pool (`crossfeed.generation.pool.POPULARITY`), so that a resumed
run ranks alike. Items have to be generated before they can be ranked: all of the pool is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.description.access import Access
from crossfeed.errors import InvalidInput
from crossfeed.generation.mixture import Draws, PassingItems, Source
from crossfeed.generation.pool import POPULARITY, PublishedItems
from crossfeed.generation.ranking import (
    Bm25,
    Scores,
    ScoresOf,
    popularity_scores,
    ranked_draws,
    require_bm25s,
    text_of,
)
from crossfeed.generation.shelf import Shelf
from crossfeed.keys import address, generator, item_keys
from crossfeed.protocols import FRESH, Learner
from crossfeed.tasks.text import holds_text

__all__ = ["Exposure", "RankedAccess", "exposure", "popularities", "popularity_columns"]


@dataclass(frozen=True)
class Exposure:
    """Draws from one source of the pool.

    Attributes:
        read: Number of draws.
        expected: Their expected number without a ranking.
    """

    read: float
    expected: float

    def __add__(self, other: Exposure) -> Exposure:
        return Exposure(self.read + other.read, self.expected + other.expected)


def exposure(draws: Draws, weights: Mapping[Source, float]) -> dict[str, Exposure]:
    """Count what one training set reads of the pool.

    Args:
        draws: The draws.
        weights: Probabilities of its sources without a ranking.

    Returns:
        Counts by author, ``fresh`` for human items; empty if nothing is drawn from the pool.
    """
    pooled = {source: weight for source, weight in weights.items() if source.born > 0}
    counts = np.bincount(draws.source, minlength=len(draws.sources))
    read = {source: int(counts[place]) for place, source in enumerate(draws.sources) if source in pooled}
    total, weight = sum(read.values()), sum(pooled.values())
    found: dict[str, Exposure] = {}
    for source, share in pooled.items() if total else ():
        one = Exposure(read[source], total * share / weight)
        found[source.name] = found.get(source.name, Exposure(0, 0)) + one
    return found


def popularities(exposures: Iterable[Mapping[str, Exposure]]) -> dict[str, float]:
    """Return how much more each source was read than without a ranking, over all readers.

    Args:
        exposures: What each reader read, by source.

    Returns:
        Ratios by source; a source of which nothing was to be read is left out.
    """
    total: dict[str, Exposure] = {}
    for each in exposures:
        for name, one in each.items():
            total[name] = total.get(name, Exposure(0, 0)) + one
    return {name: one.read / one.expected for name, one in total.items() if one.expected > 0}


def popularity_columns(pool: pa.Table, popularity: Mapping[str, float]) -> pa.Table:
    """Return a pool with the popularity that its items have from now on.

    Args:
        pool: The pool, with the column ``author``.
        popularity: By author, ``fresh`` for human items; 1 where it is not known.
    """
    authors = pool.column("author").to_pylist()
    own = pa.array([popularity.get(name, 1.0) for name in authors], pa.float64())
    fresh = pa.array(np.full(len(authors), popularity.get(FRESH, 1.0)))
    for name, column in zip(POPULARITY, (own, fresh), strict=True):
        pool = pool.append_column(name, column)
    return pool


@dataclass(frozen=True)
class _Ranked:
    """All items of the pools that history keeps, source after source.

    Attributes:
        source: ``(N,)`` places of the items' sources in the draws' sources.
        index: ``(N,)`` item indices within the sources.
        keys: ``(N,)`` 64-bit keys.
        popularity: ``(N,)`` popularity.
        tables: The items of each source that has any.
    """

    source: NDArray[np.int64]
    index: NDArray[np.int64]
    keys: NDArray[np.uint64]
    popularity: Scores
    tables: tuple[pa.Table, ...]

    @cached_property
    def index_of_words(self) -> Bm25:
        """The items' texts, indexed once for all readers."""
        return Bm25([text for table in self.tables for text in text_of(table)])


class RankedAccess:
    """The ranking of one cell, and the published items that it ranks.

    Unless history accumulates, the items of other generations are forgotten.

    Args:
        settings: The ranking.
        seed: The cell's seed.
        learner: Gives features.
        names: The entities' names.
        private: Each entity's private training data, which give the queries, and how they are drawn from.
        fresh: Fresh human items of generations t = 1, 2, ...

    Attributes:
        settings: The ranking.

    Raises:
        InvalidInput: BM25 is to rank what is no text.
        MissingDependency: `bm25s` is not installed.
    """

    def __init__(
        self,
        settings: Access,
        seed: int,
        learner: Learner,
        names: Sequence[str],
        private: Sequence[tuple[pa.Table, Shelf]],
        fresh: Sequence[pa.Table],
    ) -> None:
        if settings.rank == "bm25":
            require_bm25s()
            if not all(map(holds_text, (*(table for table, _ in private), *fresh))):
                raise InvalidInput(
                    "ecosystem.access.rank: bm25 ranks texts, and items of this experiment are none; give embedding or "
                    "popularity"
                )
        self.settings = settings
        self._seed, self._learner, self._names = seed, learner, tuple(names)
        self._private, self._shelves = zip(*private, strict=True)
        self._fresh = fresh
        self._pools: dict[int, pa.Table] = {}
        self._features: dict[Source, NDArray[np.float32]] = {}
        self._ranked: tuple[int, dict[tuple[Source, ...], _Ranked]] = 0, {}  # of one generation, by what is read

    def lacks(self, born: int) -> bool:
        """Return True if the items of a pool are not known here.

        Args:
            born: The generation at which they were published.
        """
        return born not in self._pools

    def recall(self, pools: Mapping[int, pa.Table]) -> None:
        """Take published items.

        Args:
            pools: Stored pools by generation.
        """
        self._pools |= pools

    def forget_all_except(self, born: int) -> None:
        """Forget the items of other generations.

        Args:
            born: The generation of publication whose items are kept.
        """
        self._pools = {known: pool for known, pool in self._pools.items() if known == born}
        self._features = {source: known for source, known in self._features.items() if source.born == born}

    def ranked(
        self, draws: Draws, weights: Mapping[Source, float], passing: PassingItems, generation: int, entity: int
    ) -> Draws:
        """Replace the draws from the pool by draws from what the ranking shows.

        Args:
            draws: The draws of a training set without a ranking, in order.
            weights: Probabilities of its sources.
            passing: The items of a curated pool that pass; empty where nothing is curated.
            generation: The generation t.
            entity: The reader's index k.

        Returns:
            The draws; those of real data are as they were.

        Raises:
            KeyError: Published items were not recalled.
        """
        pooled = np.array([source.born > 0 for source in draws.sources])
        here = np.flatnonzero(pooled[draws.source])
        if not len(here):
            return draws
        shelf = self._items(draws.sources, weights, generation)
        # One row a draw, so that fewer draws are a prefix of more draws.
        numbers = generator(self._seed, "access", generation, self._names[entity]).random((len(draws.source), 2))[here]
        rows = self._shelves[entity].rows(numbers[:, 0])
        queries = np.zeros_like(rows) if self.settings.rank == "popularity" else rows
        scores_of = self._scores_of(shelf, draws.sources, entity, queries)
        reading = _reading_weights(shelf, draws.sources, weights, passing)
        drawn = ranked_draws(scores_of, queries, reading, shelf.keys, self.settings.top, numbers[:, 1])
        source, index = draws.source.copy(), draws.index.copy()
        source[here], index[here] = shelf.source[drawn], shelf.index[drawn]
        return replace(draws, source=source, index=index)

    def _items(self, sources: tuple[Source, ...], weights: Mapping[Source, float], generation: int) -> _Ranked:
        """Return all items of the pools that may be read; the same for all readers of the same sources."""
        if self._ranked[0] != generation:
            self._ranked = generation, {}
        known = self._ranked[1]
        if sources not in known:
            born = sorted({source.born for source in sources if source.born > 0})
            published = {t: PublishedItems(self._pools[t], self._names) for t in born if t in self._pools}
            tables = {}
            for place, source in enumerate(sources):
                if source.name == FRESH and source.born > 0:
                    tables[place] = self._fresh[source.born - 1]
                elif source.born in published and source.name in published[source.born].authors:
                    tables[place] = published[source.born].all_of(source.name)
                elif source.born > 0 and weights[source] > 0:
                    raise KeyError(f"items of {source.name} of generation {source.born} were not recalled")
            known[sources] = self._filled(sources, tables)
        return known[sources]

    def _filled(self, sources: Sequence[Source], tables: Mapping[int, pa.Table]) -> _Ranked:
        sizes = [table.num_rows for table in tables.values()]
        index = np.concatenate([np.arange(size) for size in sizes])
        keys = [
            item_keys(address(self._seed, "rank", sources[place].born, sources[place].name), np.arange(size))
            for place, size in zip(tables, sizes, strict=True)
        ]
        by_source = {born: self._popularity(born) for born in {sources[place].born for place in tables}}
        popularity = [by_source[sources[place].born].get(sources[place].name, 1.0) for place in tables]
        return _Ranked(
            np.repeat(list(tables), sizes),
            index,
            np.concatenate(keys),
            np.repeat(popularity, sizes),
            tuple(tables.values()),
        )

    def _popularity(self, born: int) -> dict[str, float]:
        """Return the popularity by source with which the items of a generation were published."""
        pool = self._pools.get(born)
        if self.settings.rank != "popularity" or pool is None:
            return {}
        own, fresh = (pool.column(name).to_pylist() for name in POPULARITY)
        return {FRESH: fresh[0], **dict(zip(pool.column("author").to_pylist(), own, strict=True))}

    def _scores_of(
        self, shelf: _Ranked, sources: Sequence[Source], entity: int, queries: NDArray[np.int64]
    ) -> ScoresOf:
        if self.settings.rank == "popularity":
            scores = popularity_scores(shelf.popularity, shelf.keys)
            return lambda query: scores
        if self.settings.rank == "bm25":
            prompts = self._private[entity].column("prompt")
            return lambda query: shelf.index_of_words.scores(prompts[query].as_py())
        places = np.unique(shelf.source).tolist()
        items = np.concatenate([self._embedded(sources[p], t) for p, t in zip(places, shelf.tables, strict=True)])
        rows = np.unique(queries)
        asked = self._learner.embed([_as_queries(self._private[entity].take(pa.array(rows)))])[0]
        space = items.astype(np.float64)
        # One query at a time, so that no other query is in its rounding.
        return lambda query: space @ asked[np.searchsorted(rows, query)].astype(np.float64)

    def _embedded(self, source: Source, items: pa.Table) -> NDArray[np.float32]:
        """Return the features of a source's items, always computed from all of them together."""
        if source not in self._features:
            self._features[source] = self._learner.embed([items])[0]
        return self._features[source]


def _reading_weights(
    shelf: _Ranked, sources: Sequence[Source], weights: Mapping[Source, float], passing: PassingItems
) -> Scores:
    """Return ``(N,)`` probabilities of the items without a ranking, up to a factor."""
    readable = np.ones(len(shelf.source))
    begins = np.searchsorted(shelf.source, np.arange(len(sources) + 1))
    for place, source in enumerate(sources):
        if source in passing:
            readable[begins[place] : begins[place + 1]] = 0.0
            readable[begins[place] + passing[source].items] = passing[source].relative
    counts = np.bincount(shelf.source, weights=readable, minlength=len(sources))
    each = np.array([weights[source] for source in sources]) / np.where(counts > 0, counts, 1.0)
    return np.asarray(each[shelf.source] * readable)


def _as_queries(items: pa.Table) -> pa.Table:
    """Return items whose prompts stand where outputs are compared; items without text ask for their like."""
    if not holds_text(items):
        return items
    return items.set_column(items.column_names.index("completion"), "completion", items.column("prompt"))
