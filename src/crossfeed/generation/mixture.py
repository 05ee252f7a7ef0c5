r"""From weights to draws: the item of every position of a training set, by source, before anything is generated.

A training set of entity k at generation t is n i.i.d. draws. One draw is private with probability
:math:`\bar\alpha\beta`, public with :math:`\bar\alpha\bar\beta`, and from the pool with :math:`\alpha`. A pool draw
takes the newest generation (or, when history accumulates, one of the generations 1..t with equal weight), fresh
human data with the fresh fraction :math:`\varphi`, else author j with the share :math:`w_j`; then an item of that
source, uniformly (paper, Section 4).

Draws are a function of (seed, generation, entity) and the description alone. So all of them are known before the run
starts, and only pool items that some training set will hold need to be generated. Where the pool is curated they are
also a function of what passes (`crossfeed.generation.curation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.keys import generator
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC

__all__ = [
    "Draws",
    "PassingItems",
    "Sizes",
    "Source",
    "draw",
    "kept_generations",
    "mixture_weights",
    "pass_rates",
]


@dataclass(frozen=True, order=True)
class Source:
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
        private: Items of each entity's private training data.
        public: Items of the public training data.
        fresh: Fresh human items of each generation t = 1, 2, ... (empty where there are none).
        pool: Items that each entity publishes at each generation.
    """

    private: tuple[int, ...]
    public: int
    fresh: tuple[int, ...]
    pool: tuple[int, ...]


PassingItems = Mapping[Source, NDArray[np.int64]]
"""Indices of the items that pass, for each pool source of a curated pool; empty where nothing is curated."""


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


def kept_generations(ecosystem: Ecosystem, generation: int) -> range:
    """Return the generations whose pools a training set may draw from.

    Args:
        ecosystem: Its history keeps all pools (``accumulate``) or the newest one (``latest``).
        generation: The generation t of the training set.

    Returns:
        1..t or t alone; empty for t = 0.
    """
    return range(1 if ecosystem.accumulates else max(generation, 1), generation + 1)


def mixture_weights(
    ecosystem: Ecosystem, generation: int, entity: int, rates: Mapping[Source, float] | None = None
) -> dict[Source, float]:
    r"""Return the probability of each source in an entity's training set.

    Private :math:`\bar\alpha\beta`, public :math:`\bar\alpha\bar\beta`; for each generation s in the pool,
    :math:`\alpha g_s \varphi` for fresh data and :math:`\alpha g_s (1-\varphi) w_j` for author j, with :math:`g_s` = 1
    for the newest generation (``latest``) or 1/t for each (``accumulate``). Sources of weight 0 are kept.

    Args:
        ecosystem: Gives the weights.
        generation: The generation t.
        entity: The entity's index k.
        rates: Of a curated pool, the share of each pool source's items that passes: pool sources weigh by what passes
            of them, alpha stays; where nothing passes the training set is real data alone.

    Returns:
        Probabilities that sum to 1.
    """
    alpha = float(ecosystem.alphas(generation)[entity])
    beta = float(ecosystem.betas(generation)[entity])
    weights = {Source(PRIVATE): (1 - alpha) * beta, Source(PUBLIC): (1 - alpha) * (1 - beta)}
    if generation == 0:
        return weights
    kept = kept_generations(ecosystem, generation)
    fresh = ecosystem.fresh_fraction
    for born in kept:
        newly = alpha / len(kept)
        if fresh > 0:
            weights[Source(FRESH, born)] = newly * fresh
        for name, share in zip(ecosystem.names, ecosystem.shares, strict=True):
            weights[Source(name, born)] = newly * (1 - fresh) * float(share)
    return weights if rates is None else _curated(weights, rates, alpha, beta)


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
        Shares in [0, 1] by pool source.
    """
    return {source: len(items) / _size_of(source, sizes, names, 0) for source, items in passing.items()}


def draw(
    ecosystem: Ecosystem,
    sizes: Sizes,
    n: int,
    generation: int,
    entity: int,
    seed: int,
    passing: PassingItems | None = None,
) -> Draws:
    """Draw one training set as indices.

    Args:
        ecosystem: Gives the weights.
        sizes: The number of items of each source.
        n: The number of draws; the first m of n draws are the draws for m.
        generation: The generation t.
        entity: The entity's index k.
        seed: The experiment's seed; cells that differ in alpha alone share their random numbers.
        passing: The items of a curated pool that pass; None or empty where nothing is curated.

    Returns:
        The draws, in order.
    """
    passing = passing or {}
    rates = pass_rates(sizes, ecosystem.names, passing) if passing else None
    weights = mixture_weights(ecosystem, generation, entity, rates)
    sources = tuple(weights)
    # One row a draw, so that fewer draws are a prefix of more draws.
    numbers = generator(seed, "draw", generation, ecosystem.names[entity]).random((n, 2))
    source = _categorical(np.array(list(weights.values())), numbers[:, 0])
    sizes_of = [len(passing[s]) if s in passing else _size_of(s, sizes, ecosystem.names, entity) for s in sources]
    counts = np.array(sizes_of, dtype=np.int64)
    index = np.minimum((numbers[:, 1] * counts[source]).astype(np.int64), counts[source] - 1)
    for position, curated in enumerate(passing.get(each) for each in sources):
        if curated is not None:
            here = source == position
            index[here] = curated[index[here]]
    return Draws(sources, source, index)


def _categorical(weights: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """Sample by inverse transform; a source of weight 0 is never returned."""
    positive = np.flatnonzero(weights > 0)
    edges = np.cumsum(weights[positive])
    chosen = np.searchsorted(edges[:-1], uniform * edges[-1], side="right")
    picked: NDArray[np.int64] = positive[chosen]
    return picked


def _size_of(source: Source, sizes: Sizes, names: Sequence[str], entity: int) -> int:
    if source.name == PRIVATE:
        return sizes.private[entity]
    if source.name == PUBLIC:
        return sizes.public
    if source.name == FRESH:
        return sizes.fresh[source.born - 1]
    return sizes.pool[names.index(source.name)]
