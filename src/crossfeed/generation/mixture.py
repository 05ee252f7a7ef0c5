r"""From weights to draws: the item of every position of a training set, by source, before anything is generated.

A training set of entity k at generation t is n i.i.d. draws. One draw is private with probability
:math:`\bar\alpha\beta`, public with :math:`\bar\alpha\bar\beta`, and from the pool with :math:`\alpha`. A pool draw
takes the newest generation (or, when history accumulates, one of the generations 1..t with equal weight), fresh
human data with the fresh fraction :math:`\varphi`, else author j with the share :math:`w_j`, or the reading
weight :math:`W_{kj}` where there is a network; then an item of that source, uniformly (paper, Section 4). Where an
author has nothing in a pool (`crossfeed.generation.calendar`), its weight is dealt to the others in proportion; where
nobody whom the reader reads has anything in any pool, its training set is private and public data alone.

Draws are a function of (seed, generation, entity) and the description alone. So all of them are known before the run
starts, and only pool items that some training set will hold need to be generated. Where the pool is curated they are
also a function of what passes (`crossfeed.generation.curation`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from crossfeed.generation.calendar import Calendar, kept_generations
from crossfeed.generation.shelf import Shelf
from crossfeed.keys import generator
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC

__all__ = [
    "Draws",
    "Passing",
    "PassingItems",
    "Sizes",
    "Source",
    "draw",
    "mixture_weights",
    "pass_rates",
    "passing_of",
]


class Source(NamedTuple):
    """An origin of items: real data or an author, and the generation of publication.

    Attributes:
        name: ``private``, ``public`` or ``fresh``, or the author's name.
        born: The generation of publication; 0 for private and public data.
    """

    name: str
    born: int = 0


@dataclass(frozen=True)
class Sizes:
    """The numbers of items that can be drawn.

    Attributes:
        private: Each entity's private training data.
        public: Items of the public training data.
        fresh: Fresh human items of each generation t = 1, 2, ... (empty where there are none).
        pool: Items that each entity publishes at generations 1, 2, ...; the last entry lasts.
    """

    private: tuple[Shelf, ...]
    public: int
    fresh: tuple[int, ...]
    pool: tuple[tuple[int, ...], ...]

    def published(self, generation: int) -> tuple[int, ...]:
        """Return the number of items that each entity publishes at a generation t >= 1."""
        return self.pool[min(generation, len(self.pool)) - 1]


class Passing(NamedTuple):
    """The items of one source that pass the filters.

    Attributes:
        items: ``(m,)`` indices, ascending.
        weights: ``(m,)`` weights in (0, 1], where a filter weighs what it does not drop; None if all are 1.
    """

    items: NDArray[np.int64]
    weights: NDArray[np.float64] | None = None

    @property
    def total(self) -> float:
        """The sum of the weights."""
        return float(len(self.items)) if self.weights is None else float(self.weights.sum())

    @property
    def relative(self) -> NDArray[np.float64]:
        """``(m,)`` weights of mean 1."""
        if self.weights is None:
            return np.ones(len(self.items))
        return np.asarray(self.weights * (len(self.items) / self.weights.sum()))

    @property
    def effective(self) -> float:
        """The effective sample size (sum of weights)^2 / sum of squared weights (Kish, 1965); 0 of no item."""
        if self.weights is None or not len(self.items):
            return float(len(self.items))
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    def draw(self, uniform: NDArray[np.float64]) -> NDArray[np.int64]:
        """Draw items, each with a probability in proportion to its weight.

        Args:
            uniform: ``(n,)`` numbers in [0, 1).

        Returns:
            ``(n,)`` indices of items.
        """
        if self.weights is None:
            return self.items[np.minimum((uniform * len(self.items)).astype(np.int64), len(self.items) - 1)]
        return self.items[_categorical(self.weights, uniform)]


PassingItems = Mapping[Source, Passing]
"""The items that pass, for each pool source of a curated pool; empty where nothing is curated."""


@dataclass(frozen=True)
class Draws:
    """The draws of one training set, in order.

    Attributes:
        sources: The sources that can be drawn.
        source: ``(n,)`` index into `sources` of each draw.
        index: ``(n,)`` index of the drawn item within its source.
    """

    sources: tuple[Source, ...]
    source: NDArray[np.int64]
    index: NDArray[np.int64]

    def of(self, source: Source) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the draws from one source.

        Args:
            source: The source.

        Returns:
            ``(m,)`` positions in the training set, ascending, and ``(m,)`` item indices in step with them.
        """
        if source not in self.sources:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        positions = np.flatnonzero(self.source == self.sources.index(source))
        return positions, self.index[positions]

    def by_source(self) -> Iterator[tuple[Source, NDArray[np.int64], NDArray[np.int64]]]:
        """Yield every source that is drawn from, in order, with what `of` returns of it: one pass for all of them."""
        order = np.argsort(self.source, kind="stable")
        index, counts = self.index[order], np.bincount(self.source, minlength=len(self.sources))
        end = 0
        for place in np.flatnonzero(counts).tolist():
            begin, end = end, end + int(counts[place])
            yield self.sources[place], order[begin:end], index[begin:end]

    def published(self, generation: int, authors: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the draws of what was published at one generation, in order.

        Args:
            generation: The generation of publication.
            authors: All entities' names, in order.

        Returns:
            ``(m,)`` author's indices j, and ``(m,)`` item indices in step with them.
        """
        first = Source(authors[0], generation)
        begin = self.sources.index(first) if first in self.sources else 0
        if self.sources[begin : begin + len(authors)] == _side_by_side(tuple(authors), generation):
            author = self.source - begin
            here = (author >= 0) & (author < len(authors))
        else:  # where entities publish at generations of their own, or some are not read
            author = _authors(self.sources, generation, tuple(authors))[self.source]
            here = author >= 0
        return author[here], self.index[here]


@lru_cache(maxsize=256)
def _side_by_side(authors: tuple[str, ...], generation: int) -> tuple[Source, ...]:
    """Return the sources of one generation as they stand where all entities are in step."""
    return tuple(Source(name, generation) for name in authors)


@lru_cache(maxsize=256)
def _authors(sources: tuple[Source, ...], generation: int, authors: tuple[str, ...]) -> NDArray[np.int64]:
    """Return the author's index of each source that is of one generation, and -1 for the others."""
    place = {name: j for j, name in enumerate(authors)}
    return np.array([place.get(s.name, -1) if s.born == generation else -1 for s in sources], dtype=np.int64)


def mixture_weights(
    calendar: Calendar, generation: int, entity: int, rates: Mapping[Source, float] | None = None
) -> dict[Source, float]:
    r"""Return the probability of each source in an entity's training set.

    Private :math:`\bar\alpha\beta`, public :math:`\bar\alpha\bar\beta`; for each generation s in the pool,
    :math:`\alpha g_s \varphi` for fresh data and :math:`\alpha g_s (1-\varphi) w_j` for author j (with a network
    :math:`W_{kj}`), with :math:`g_s` = 1 for the newest generation (``latest``) or 1/t for each (``accumulate``).
    Sources of weight 0 are kept where all entities are in step.

    Args:
        calendar: The ecosystem, which gives the weights, and who has published what.
        generation: The generation t.
        entity: The entity's index k.
        rates: Of a curated pool, the share of each pool source's items that passes: pool sources weigh by what passes
            of them, alpha stays; where nothing passes the training set is real data alone.

    Returns:
        Probabilities that sum to 1.
    """
    eco = calendar.ecosystem
    alpha, beta = float(eco.alphas(generation)[entity]), float(eco.betas(generation)[entity])
    of = _weights_in_step if calendar.in_step else _weights_by_birth
    weights = of(calendar, generation, entity, alpha, beta)
    return weights if rates is None or generation == 0 else _curated(weights, rates, alpha, beta)


def _weights_in_step(
    calendar: Calendar, generation: int, entity: int, alpha: float, beta: float
) -> dict[Source, float]:
    eco, fresh = calendar.ecosystem, calendar.ecosystem.fresh_fraction
    kept, reading = kept_generations(eco, generation), calendar.reading(entity)
    values = [(1 - alpha) * beta, (1 - alpha) * (1 - beta)]
    for _ in kept:
        newly = alpha / len(kept)
        values += [newly * fresh] if fresh > 0 else []
        values += (newly * (1 - fresh) * reading).tolist()
    return dict(zip(_sources(eco.names, kept, fresh > 0), values, strict=True))


def _weights_by_birth(
    calendar: Calendar, generation: int, entity: int, alpha: float, beta: float
) -> dict[Source, float]:
    """Return the weights where entities publish at generations of their own; sources of weight 0 are left out."""
    eco, fresh = calendar.ecosystem, calendar.ecosystem.fresh_fraction
    pools = []
    for kept in kept_generations(eco, generation) if generation else ():
        born = calendar.born(kept, entity)
        there = np.where(born > 0, calendar.reading(entity), 0.0)
        if there.any() or fresh == 1:
            pools.append((kept, born, there))
    alpha = alpha if pools else 0.0
    weights = {Source(PRIVATE): (1 - alpha) * beta, Source(PUBLIC): (1 - alpha) * (1 - beta)}
    for kept, born, there in pools:
        newly = alpha / len(pools)
        if fresh > 0:
            weights[Source(FRESH, kept)] = newly * fresh
        for j in np.flatnonzero(there).tolist():
            source = Source(eco.names[j], int(born[j]))
            weights[source] = weights.get(source, 0.0) + newly * (1 - fresh) * float(there[j] / there.sum())
    return weights


@lru_cache(maxsize=64)
def _sources(names: tuple[str, ...], kept: range, fresh: bool) -> tuple[Source, ...]:
    """Return the sources of a training set in order; all entities have the same."""
    pools = [Source(name, born) for born in kept for name in ((FRESH, *names) if fresh else names)]
    return (Source(PRIVATE), Source(PUBLIC), *pools)


def _curated(
    weights: Mapping[Source, float], rates: Mapping[Source, float], alpha: float, beta: float
) -> dict[Source, float]:
    passing = {source: weight * rates[source] for source, weight in weights.items() if source in rates}
    total = sum(passing.values())
    if total == 0:
        return {**dict.fromkeys(weights, 0.0), Source(PRIVATE): beta, Source(PUBLIC): 1 - beta}
    return {source: alpha * passing[source] / total if source in passing else w for source, w in weights.items()}


def pass_rates(sizes: Sizes, names: Sequence[str], passing: PassingItems) -> dict[Source, float]:
    """Return the share of each pool source's items that passes.

    Args:
        sizes: The number of items of each source.
        names: The entities' names, in order.
        passing: The items that pass, by pool source.

    Returns:
        Shares in [0, 1] by pool source: mean weights, where a filter weighs.
    """
    size_of = _by_source(sizes, names, 0)
    return {source: items.total / size_of(source) for source, items in passing.items()}


def passing_of(mask: NDArray[np.bool_] | NDArray[np.float64]) -> Passing:
    """Return the items that pass.

    Args:
        mask: ``(items,)`` flags, or weights: what weighs 0 is dropped.
    """
    items = np.flatnonzero(mask)
    return Passing(items, None if mask.dtype == np.bool_ else mask[items].astype(np.float64))


def draw(
    calendar: Calendar,
    sizes: Sizes,
    n: int,
    generation: int,
    entity: int,
    passing: PassingItems | None = None,
) -> Draws:
    """Draw one training set as indices.

    Args:
        calendar: The ecosystem and the seed; cells that differ in alpha alone share their random numbers.
        sizes: The number of items of each source.
        n: The number of draws; the first m of n draws are the draws for m.
        generation: The generation t.
        entity: The entity's index k.
        passing: The items of a curated pool that pass; None or empty where nothing is curated.

    Returns:
        The draws, in order.
    """
    passing, names = passing or {}, calendar.ecosystem.names
    rates = pass_rates(sizes, names, passing) if passing else None
    weights = mixture_weights(calendar, generation, entity, rates)
    sources = tuple(weights)
    # One row a draw, so that fewer draws are a prefix of more draws.
    numbers = generator(calendar.seed, "draw", generation, names[entity]).random((n, 2))
    source = _categorical(np.array(list(weights.values())), numbers[:, 0])
    size_of = _by_source(sizes, names, entity)
    sizes_of = [len(passing[s].items) if s in passing else size_of(s) for s in sources]
    counts = np.array(sizes_of, dtype=np.int64)
    index = np.minimum((numbers[:, 1] * counts[source]).astype(np.int64), counts[source] - 1)
    if not sizes.private[entity].even:
        own = source == sources.index(Source(PRIVATE))
        index[own] = sizes.private[entity].rows(numbers[own, 1])
    for position, curated in enumerate(passing.get(each) for each in sources):
        if curated is not None:
            here = source == position
            index[here] = curated.draw(numbers[here, 1])
    return Draws(sources, source, index)


def _categorical(weights: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sample by inverse transform; a source of weight 0 is never returned."""
    positive = np.flatnonzero(weights > 0)
    edges = np.cumsum(weights[positive])
    chosen = np.searchsorted(edges[:-1], uniform * edges[-1], side="right")
    picked: NDArray[np.int64] = positive[chosen]
    return picked


def _by_source(sizes: Sizes, names: Sequence[str], entity: int) -> Callable[[Source], int]:
    """Return the number of items of a source as a function of it, for one entity."""
    real = {PRIVATE: sizes.private[entity].size, PUBLIC: sizes.public}
    place = {name: j for j, name in enumerate(names)}

    def size(source: Source) -> int:
        if source.name == FRESH:
            return sizes.fresh[source.born - 1]
        return real[source.name] if source.born == 0 else sizes.published(source.born)[place[source.name]]

    return size
