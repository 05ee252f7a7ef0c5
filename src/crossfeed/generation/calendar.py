"""The calendar of a cell: who is there at a generation, who trains, and whose texts a reader finds in the pool.

A function of the ecosystem and the seed alone, known before anything is trained. At generation 0 everybody who is there
trains. Later an entity trains at the generations of its clock, with its probability, and at the one at which it
arrives. A model's texts are *born* at the generation after its training, and stay until their author's next texts; with
``stale: drop`` for that one generation. When entities train in turn (``order: sequential``), a reader finds the next
generation's texts of those who trained before it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.keys import generator

__all__ = ["Calendar", "kept_generations"]

Mask = NDArray[np.bool_]


def kept_generations(ecosystem: Ecosystem, generation: int) -> range:
    """Return the generations whose pools a training set may draw from.

    Args:
        ecosystem: Its history keeps all pools (``accumulate``) or the newest one (``latest``).
        generation: The generation t of the training set.

    Returns:
        1..t or t alone; empty for t = 0.
    """
    return range(1 if ecosystem.accumulates else max(generation, 1), generation + 1)


@dataclass(frozen=True)
class Calendar:
    """The calendar of one cell.

    Attributes:
        ecosystem: The ecosystem.
        seed: The cell's seed, which decides when entities with a probability below 1 train.
    """

    ecosystem: Ecosystem
    seed: int

    @cached_property
    def in_step(self) -> bool:
        """True if all entities train and publish together at every generation."""
        return self.ecosystem.in_step

    @cached_property
    def _trained(self) -> list[Mask]:
        """Masks of those who train, by generation, as far as they were asked for."""
        return []

    @cached_property
    def _births(self) -> list[NDArray[np.int64]]:
        """The birth of everybody's newest texts, those that left included, by generation as far as it was asked for."""
        return [np.zeros(len(self.ecosystem.entities), dtype=np.int64)]

    @cached_property
    def _arrivals(self) -> NDArray[np.int64]:
        return np.array([entity.from_ for entity in self.ecosystem.entities])

    @cached_property
    def network(self) -> NDArray[np.float64] | None:
        """``(K, K)`` weights of authors (columns) for readers (rows), or None if everybody reads by the shares."""
        return self.ecosystem.network

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        return self.ecosystem.shares

    def reading(self, entity: int) -> NDArray[np.float64]:
        """Return the weights with which an entity reads the authors.

        Args:
            entity: The entity's index k.

        Returns:
            ``(K,)`` weights that sum to 1.
        """
        return self._shares if self.network is None else self.network[entity]

    def present(self, generation: int) -> Mask:
        """Return who is there.

        Args:
            generation: The generation t.

        Returns:
            ``(K,)`` mask.
        """
        entities = self.ecosystem.entities
        if self.in_step:
            return np.ones(len(entities), dtype=np.bool_)
        return np.array([e.from_ <= generation and (e.until is None or generation <= e.until) for e in entities])

    def trains(self, generation: int) -> Mask:
        """Return who trains.

        Args:
            generation: The generation t.

        Returns:
            ``(K,)`` mask.
        """
        while len(self._trained) <= generation:
            self._trained.append(self._trains(len(self._trained)))
        return self._trained[generation]

    def _trains(self, generation: int) -> Mask:
        eco, due = self.ecosystem, self.present(generation)
        if self.in_step:
            return due
        for k, entity in enumerate(eco.entities):
            if due[k] and generation != entity.from_:
                probability = eco.probability_of(entity)
                due[k] = generation % eco.every_of(entity) == eco.phase_of(entity) and (
                    probability == 1.0 or generator(self.seed, "clock", generation, entity.name).random() < probability
                )
        return due

    def training(self, generation: int) -> list[int]:
        """Return the indices of the entities that train at a generation, in order."""
        return np.flatnonzero(self.trains(generation)).tolist()

    def stage(self, generation: int, entity: int) -> int:
        """Return the generation as an entity's learner counts it: 0 when its first model is trained.

        Args:
            generation: The generation t.
            entity: The entity's index k.
        """
        return 0 if generation == self._arrivals[entity] else generation

    def publishes(self, generation: int) -> Mask:
        """Return whose texts are born at a generation.

        Args:
            generation: The generation t >= 1.

        Returns:
            ``(K,)`` mask.
        """
        return self.trains(generation - 1) & self.present(generation)

    def born(self, generation: int, reader: int) -> NDArray[np.int64]:
        """Return the generation at which the texts that a reader finds in one generation's pool were born.

        Args:
            generation: The generation t >= 1 of the pool.
            reader: The reader's index k.

        Returns:
            ``(K,)`` generations by author; 0 where an author has nothing in the pool.
        """
        born = self._newest(generation)
        if self.ecosystem.order == "sequential":
            before = np.arange(len(born)) < reader
            after = self.trains(generation) & before & self._stays(generation)
            born = np.where(after, generation + 1, born)
        return born

    def _stays(self, generation: int) -> Mask:
        """Return who will be there at the next generation, when what it publishes now is born."""
        return self.present(generation + 1)

    def _newest(self, generation: int) -> NDArray[np.int64]:
        if self.in_step:
            return np.full(len(self.ecosystem.entities), generation)
        while len(self._births) <= generation:
            self._births.append(np.where(self.publishes(len(self._births)), len(self._births), self._births[-1]))
        born = np.where(self.present(generation), self._births[generation], 0)
        return np.where(born == generation, born, 0) if self.ecosystem.stale == "drop" else born

    def readers(self, born: int, last: int) -> list[int]:
        """Return the generations at which somebody may read texts that are born at a generation.

        Args:
            born: The generation of birth.
            last: The last generation T.

        Returns:
            Generations up to T, ascending.
        """
        if self.in_step:
            return list(range(born, (last if self.ecosystem.accumulates else born) + 1))
        first = born - 1 if self.ecosystem.order == "sequential" else born
        if self.ecosystem.accumulates:
            return list(range(max(first, 1), last + 1))
        generations = []
        for generation in range(max(first, 1), last + 1):
            if generation < born or (self._newest(generation) == born).any():
                generations.append(generation)
            else:
                break  # older texts do not come back
        return generations
