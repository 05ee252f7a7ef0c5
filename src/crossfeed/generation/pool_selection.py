"""The selection of pool items: which are drawn, which have to be generated, and which curation keeps.

Unless a filter reads items or a ranking orders them, the selection is a function of the description and the seed, known
before anything is generated. If so, whether anything is published is still a function of the ecosystem alone; which
items pass or are shown, and so which are drawn, follows from the published items.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.description.experiment import Experiment
from crossfeed.generation.access import Exposure, RankedAccess, exposure, popularities
from crossfeed.generation.calendar import Calendar, kept_generations
from crossfeed.generation.choice import Choice
from crossfeed.generation.curation import (
    CurationMask,
    GeneratedItems,
    LivePoolView,
    Mask,
    human_mask,
    stored_masks,
    synthetic_masks,
)
from crossfeed.generation.mixture import (
    Draws,
    PassingItems,
    Sizes,
    Source,
    draw,
    mixture_weights,
    pass_rates,
    passing_of,
)
from crossfeed.protocols import FRESH, Filter, Learner

__all__ = ["PoolSelection"]


class PoolSelection:
    """Draws, requested items and curation masks of one cell: the only mutable state of its generations.

    Each is computed when it is first needed and remembered here, and nowhere else. Unless history accumulates or texts
    stay in the pool, those of other generations are forgotten: only pools that last are drawn from again.

    Args:
        experiment: The cell's experiment.
        calendar: Who trains and publishes at each generation, and the cell's seed.
        learner: States what it reads of the draws.
        sizes: The number of items of each source.
        filters: The filters that curate the pool.
        access: The ranking through which the pool is read; None if all of it is open.
        choice: The choice among candidates of what is drawn; None if items are taken as they are.

    Attributes:
        judges_items: True if a filter reads items, so that what passes is stored with them.
        reads_items: True if items have to be generated before it is known which of them are drawn.
        may_grow: True if later generations draw from older pools, so that a longer run draws more of their items.
        choice: The choice among candidates; None if there is none.
    """

    def __init__(
        self,
        experiment: Experiment,
        calendar: Calendar,
        learner: Learner,
        sizes: Sizes,
        filters: tuple[Filter, ...],
        access: RankedAccess | None = None,
        choice: Choice | None = None,
    ) -> None:
        self.judges_items = any(each.reads for each in filters)
        self.reads_items = self.judges_items or access is not None
        self.may_grow = learner.reads == "draws" and (experiment.ecosystem.accumulates or not calendar.in_step)
        self._access, self.choice = access, choice
        self._by_popularity = access is not None and access.settings.rank == "popularity"
        self._popularity: dict[int, dict[str, float]] = {}  # by generation, of each source
        self._experiment, self._calendar, self._learner = experiment, calendar, learner
        self._ecosystem, self._entities = experiment.ecosystem, experiment.ecosystem.names
        self._sizes, self._filters = sizes, filters
        self._draws: dict[tuple[int, int], Draws] = {}  # by generation and entity
        self._requested: dict[int, list[NDArray[np.int64]]] = {}  # by generation, of each author
        self._masks: dict[int, CurationMask] = {}  # by generation

    def draws(self, generation: int, entity: int) -> Draws:
        """Return the draws that an entity's update really reads.

        Args:
            generation: The generation t.
            entity: The entity's index k.

        Returns:
            The first `examples_read` draws of its training set, in order.
        """
        place = (generation, entity)
        if place not in self._draws:
            self._forget_all_except(generation)
            stage = self._calendar.stage(generation, entity)
            n = self._learner.examples_read(self._experiment.size(generation, entity), stage, entity)
            passing = self.passing(generation, entity)
            draws = draw(self._calendar, self._sizes, n, generation, entity, passing)
            if self._access is not None:
                weights = self.weights(generation, entity)
                draws = self._access.ranked(draws, weights, passing, generation, entity)
            self._draws[place] = draws
            self._note_popularity(generation)
        return self._draws[place]

    def kept(self, generation: int, entity: int) -> Draws:
        """Return the draws of an entity with the items that it keeps, where they are chosen among candidates.

        Args:
            generation: The generation t.
            entity: The entity's index k.

        Raises:
            KeyError: The pools that it reads were not recalled.
        """
        draws = self.draws(generation, entity)
        return draws if self.choice is None else self.choice.kept(draws, generation, entity)

    def unseen(self, generation: int) -> Iterable[int]:
        """Return the generations whose readings are still to be seen (`see`) before it is known what is kept.

        Args:
            generation: The generation t.

        Returns:
            Generations below t, ascending; none unless tastes drift.
        """
        return () if self.choice is None else self.choice.unseen(generation)

    def see(self, generation: int) -> None:
        """Let tastes drift by what is read at a generation, whose pools were recalled.

        Args:
            generation: The generation t, the first of the unseen ones.
        """
        if self.choice is not None and self.choice.drifts:
            self.choice.see(generation, {k: self.kept(generation, k) for k in self._calendar.training(generation)})

    def missing_candidates(self, generation: int) -> dict[int, NDArray[np.int64]]:
        """Return the next candidates to be generated, where they are accepted one after the other.

        Args:
            generation: The generation of a pool, whose rewards were recalled.

        Returns:
            Item indices by author's index j; empty once every draw has one.
        """
        if self.choice is None or not self.choice.open_ended:
            return {}
        found: dict[int, list[NDArray[np.int64]]] = {}
        for later in self._calendar.readers(generation, self._experiment.generations):
            for k in self._calendar.training(later):
                authors, items = self.choice.missing(self.draws(later, k), generation, later, k)
                for j in np.unique(authors).tolist():
                    found.setdefault(j, []).append(items[authors == j])
        return {j: np.unique(np.concatenate(items)) for j, items in sorted(found.items())}

    def exposure(self, generation: int, entity: int) -> dict[str, Exposure]:
        """Return what an entity reads of the pool through a ranking.

        Args:
            generation: The generation t.
            entity: The entity's index k.

        Returns:
            Counts by author, ``fresh`` for human items; empty where nothing is ranked or drawn from the pool.
        """
        if self._access is None:
            return {}
        return exposure(self.draws(generation, entity), self.weights(generation, entity))

    def popularity(self, generation: int) -> dict[str, float] | None:
        """Return the popularity with which items are published (see `crossfeed.generation.access`).

        Args:
            generation: The generation t at which they are published.

        Returns:
            By author, ``fresh`` for human items, from what was read at t - 1; None if nothing is ranked by it.
        """
        if not self._by_popularity:
            return None
        if self.lacks_popularity(generation):
            for entity in self._calendar.training(generation - 1):
                self.draws(generation - 1, entity)
        return self._popularity.get(generation - 1, {})

    def lacks_popularity(self, generation: int) -> bool:
        """Return True if the popularity of what is published at a generation follows from draws that are not known.

        Args:
            generation: The generation t.
        """
        return self._by_popularity and generation > 1 and generation - 1 not in self._popularity

    def weights(self, generation: int, entity: int) -> dict[Source, float]:
        """Return the probability of each source in an entity's training set.

        Args:
            generation: The generation t.
            entity: The entity's index k.

        Returns:
            Probabilities that sum to 1; those of pool sources are conditioned on what curation keeps.
        """
        rates = self.pass_rates(generation, entity)
        return mixture_weights(self._calendar, generation, entity, rates or None)

    def passing(self, generation: int, entity: int) -> PassingItems:
        """Return the items of the pools that history keeps which an entity may draw.

        Args:
            generation: The generation t.
            entity: The entity's index k.

        Returns:
            Item indices by pool source; empty where nothing is curated.
        """
        if not self._filters or generation == 0:
            return {}
        passing = {}
        for kept in kept_generations(self._ecosystem, generation):
            for j, (name, born) in enumerate(
                zip(self._entities, self._calendar.born(kept, entity).tolist(), strict=True)
            ):
                if born:
                    passing[Source(name, born)] = passing_of(self.mask(born).synthetic[j][entity])
            if self._sizes.fresh:
                passing[Source(FRESH, kept)] = passing_of(self.mask(kept).human)
        return passing

    def pass_rates(self, generation: int, entity: int) -> dict[Source, float]:
        """Return the share of each pool source's items that passes for an entity.

        Args:
            generation: The generation t.
            entity: The entity's index k.

        Returns:
            Shares in [0, 1] by pool source; empty where nothing is curated.
        """
        return pass_rates(self._sizes, self._entities, self.passing(generation, entity))

    def requested(self, generation: int, author: int) -> NDArray[np.int64]:
        """Return the items of an author that some training set or filter reads.

        Args:
            generation: The generation at which the items are published.
            author: The author's index j.

        Returns:
            ``(m,)`` item indices, ascending; read at this generation or, if history accumulates, at a later one.
        """
        if generation not in self._requested:
            self._forget_all_except(generation)
            self._requested[generation] = self._look_ahead(generation)
        return self._requested[generation][author]

    def publishes(self, generation: int) -> bool:
        """Return True if anything that could be published at a generation is read.

        Args:
            generation: The generation t.

        Returns:
            Where items are read whole (by filters, or by a learner that reads everything), a function of the ecosystem
            alone; else one of the draws.
        """
        return generation > 0 and any(len(self.requested(generation, j)) for j in range(len(self._entities)))

    def pools_read(self, generation: int) -> list[int]:
        """Return the generations whose pools the training sets of a generation may read.

        Args:
            generation: The generation t.

        Returns:
            Generations that history keeps and at which something is published, ascending.
        """
        births: set[int] = set()
        for kept in kept_generations(self._ecosystem, generation):
            if self._calendar.in_step:
                births.add(kept)
            else:
                births.update(*(self._calendar.born(kept, k).tolist() for k in self._calendar.training(generation)))
        return [born for born in sorted(births - {0}) if self.publishes(born)]

    def needs_pools(self, generation: int) -> bool:
        """Return True if the draws of a generation depend on published items that were not judged or recalled yet.

        Args:
            generation: The generation t.

        Returns:
            Always False where no filter reads items, and nothing is ranked or chosen.
        """
        known_beforehand = not self.reads_items and self.choice is None
        return not known_beforehand and any(self._is_unknown(born) for born in self.pools_read(generation))

    def mask(self, generation: int) -> CurationMask:
        """Return which items of one generation's pool pass all filters.

        Args:
            generation: The generation at which the items are published.

        Returns:
            The masks.

        Raises:
            KeyError: A filter reads items, and those of this generation were neither judged nor recalled.
        """
        if generation not in self._masks:
            if not self.judges_items:
                self.judge(generation, None)
            elif not self.publishes(generation):  # nobody draws from it, whatever passes
                nothing = np.zeros((len(self._entities), 0), dtype=np.bool_)
                self._remember(generation, (nothing,) * len(self._entities))
        return self._masks[generation]

    def judge(self, generation: int, generated: GeneratedItems | None) -> CurationMask:
        """Apply the filters to the pool of one generation.

        Args:
            generation: The generation at which the items are published.
            generated: The generated items; None where no filter reads them.

        Returns:
            The masks, which are remembered.
        """
        shares = self._ecosystem.shares
        there = self._calendar.publishes(generation)
        if self._calendar.network is not None:  # what a quantile of the pool weighs: how much each author is read
            shares = self._calendar.network.mean(axis=0)
        published = zip(self._sizes.published(generation), shares, there, strict=True)
        sizes = tuple(size if share > 0 and present else 0 for size, share, present in published)
        view = LivePoolView(self._calendar.seed, generation, self._entities, shares, sizes, generated)
        return self._remember(generation, synthetic_masks(self._filters, view))

    def recall(self, pools: Mapping[int, pa.Table]) -> None:
        """Take the masks, and the items to be ranked, of generations that are not known here from stored pools.

        Args:
            pools: Stored pools by generation.
        """
        if self._access is not None:
            self._access.recall(pools)
        if self.choice is not None:
            self.choice.recall(pools)
        if self.judges_items:
            for born in pools.keys() - self._masks.keys():
                self._remember(born, stored_masks(pools[born], self._entities))

    def _is_unknown(self, born: int) -> bool:
        """Return True if a pool was neither judged nor recalled."""
        return (
            (self.judges_items and born not in self._masks)
            or (self._access is not None and self._access.lacks(born))
            or (self.choice is not None and not self.choice.knows(born))
        )

    def _note_popularity(self, generation: int) -> None:
        """Note what all entities read of each source, once all draws of a generation are known."""
        if not self._by_popularity or generation == 0:
            return
        training = self._calendar.training(generation)
        if all((generation, k) in self._draws for k in training):
            self._popularity[generation] = popularities(self.exposure(generation, k) for k in training)

    def _remember(self, generation: int, synthetic: tuple[Mask, ...]) -> CurationMask:
        fresh = self._sizes.fresh[generation - 1] if generation <= len(self._sizes.fresh) else 0
        human = human_mask(self._filters, self._calendar.seed, generation, fresh)
        self._masks[generation] = CurationMask(synthetic, human)
        return self._masks[generation]

    def _look_ahead(self, generation: int) -> list[NDArray[np.int64]]:
        """Return the items of each author that are read, at this generation or later."""
        readers = self._calendar.readers(generation, self._experiment.generations)
        everyone, sizes = range(len(self._entities)), self._sizes.published(generation)
        if self._learner.reads == "everything" or self.reads_items:
            there = self._calendar.publishes(generation)
            return [np.arange(sizes[j] if there[j] and self._has_weight(j, readers) else 0) for j in everyone]
        most = max(sizes) * (1 if self.choice is None else self.choice.candidates)
        drawn = np.empty(0, np.int64)
        for later in readers:
            training = self._calendar.training(later)
            read = (self._taken(later, k, generation) for k in training)
            drawn = np.unique(np.concatenate([drawn, *(author * most + index for author, index in read)]))
        bounds = np.searchsorted(drawn, np.arange(len(everyone) + 1) * most)
        return [drawn[bounds[j] : bounds[j + 1]] - j * most for j in everyone]

    def _taken(self, generation: int, entity: int, born: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the authors and items that an entity's draws take from one pool, candidates included."""
        draws = self.draws(generation, entity)
        if self.choice is None:
            return draws.published(born, self._entities)
        return self.choice.wanted(draws, born, generation, entity)

    def _has_weight(self, author: int, readers: Sequence[int]) -> bool:
        """Return True if training sets of some generations give weight to what an author publishes."""
        eco = self._ecosystem
        network = self._calendar.network
        reading = eco.shares[author : author + 1] if network is None else network[:, author]
        return eco.fresh_fraction < 1 and any(
            bool(((reading > 0) & (eco.alphas(later) > 0) & self._calendar.trains(later)).any()) for later in readers
        )

    def _forget_all_except(self, generation: int) -> None:
        if self._ecosystem.accumulates:
            return
        if not self._calendar.in_step:  # of texts that stay, only draws that are over are never needed again
            for place in [place for place in self._draws if place[0] < generation - 1]:
                del self._draws[place]
            return
        if self._access is not None:
            self._access.forget_all_except(generation)
        if self.choice is not None:
            self.choice.forget_all_except(generation)
        for place in [place for place in self._draws if place[0] != generation]:
            del self._draws[place]
        for by_generation in (self._requested, self._masks):
            for born in [born for born in by_generation if born != generation]:
                del by_generation[born]
