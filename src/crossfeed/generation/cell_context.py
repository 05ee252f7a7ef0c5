"""What stays the same through a cell's turns, and what of every pool is read: known before anything is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.description.experiment import Cell
from crossfeed.errors import InvalidInput
from crossfeed.generation.curation import Kept, Scrape, Written, humans_kept, synthetic_kept
from crossfeed.generation.mixture import Draws, Passing, Sizes, Source, draw, mixture_weights, pass_rates
from crossfeed.protocols import FRESH, PUBLIC, Filter, Learner, Task

__all__ = ["World", "filters_of", "kept_generations", "publishes", "reserve", "wanted"]


@dataclass(frozen=True)
class World:
    """Everything about a cell that stays the same from turn to turn.

    Attributes:
        cell: The cell.
        learner: What every entity is.
        tasks: Every task by name, private ones first, ``public`` last, without the fresh items.
        fresh: Fresh human items of generations t = 1, 2, ...; empty where none are asked for.
        drawn: Draws made so far, by generation and entity.
        asked: Pool items that someone reads, by generation and author, as far as they were looked up.
        judged: What passes of curated pools, by generation, as far as it is known here.
    """

    cell: Cell
    learner: Learner
    tasks: Mapping[str, Task]
    fresh: tuple[pa.Table, ...]
    drawn: dict[tuple[int, int], Draws] = field(default_factory=dict, compare=False, repr=False)
    asked: dict[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict, compare=False, repr=False)
    judged: dict[int, Kept] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def make(cls, cell: Cell, learner: Learner, tasks: Mapping[str, Task]) -> World:
        """Set fresh data aside (`reserve`); for learners that need none of the data to be built."""
        return cls(cell, learner, *reserve(cell, tasks))

    @property
    def entities(self) -> tuple[str, ...]:
        """The entities' names."""
        return self.cell.experiment.ecosystem.names

    def private(self, entity: int) -> pa.Table:
        """An entity's private training data."""
        return self.tasks[self.cell.experiment.ecosystem.entities[entity].private].train

    @cached_property
    def sizes(self) -> Sizes:
        """How many items each source has."""
        private = tuple(self.private(k).num_rows for k in range(len(self.entities)))
        experiment = self.cell.experiment
        published = experiment.pool_size or experiment.n
        pool = private if published is None else (published,) * len(private)
        fresh = tuple(table.num_rows for table in self.fresh)
        return Sizes(private, self.tasks[PUBLIC].train.num_rows, fresh, pool)

    @cached_property
    def filters(self) -> tuple[Filter, ...]:
        """What curates the pool."""
        return filters_of(self.cell, self.tasks)

    @property
    def judges_items(self) -> bool:
        """Whether items have to be read before it is known what can be drawn."""
        return any(each.reads for each in self.filters)

    def draws(self, generation: int, entity: int) -> Draws:
        """The draws that an entity's update really reads."""
        experiment, place = self.cell.experiment, (generation, entity)
        if place not in self.drawn:
            self.forget_all_but(generation)
            n = self.learner.examples_read(experiment.size(generation), generation, entity)
            passing = self.passing(generation, entity)
            self.drawn[place] = draw(experiment.ecosystem, self.sizes, n, generation, entity, self.cell.seed, passing)
        return self.drawn[place]

    def weights(self, generation: int, entity: int) -> dict[Source, float]:
        """The probability of each source in an entity's training set."""
        passing = self.passing(generation, entity)
        rates = pass_rates(self.sizes, self.entities, passing) if passing else None
        return mixture_weights(self.cell.experiment.ecosystem, generation, entity, rates)

    def passing(self, generation: int, entity: int) -> Passing:
        """What of the pools that history keeps an entity may draw; empty where nothing is curated."""
        if not self.filters or generation == 0:
            return {}
        found = {}
        for born in kept_generations(self, generation):
            kept = self._kept(born)
            for name, flags in zip(self.entities, kept.synthetic, strict=True):
                found[Source(name, born)] = np.flatnonzero(flags[entity])
            if self.fresh:
                found[Source(FRESH, born)] = np.flatnonzero(kept.human)
        return found

    def judge(self, generation: int, synthetic: tuple[NDArray[np.bool_], ...]) -> None:
        """Keep in mind what passes of a generation's pool."""
        fresh = self.sizes.fresh[generation - 1] if self.fresh else 0
        self.judged[generation] = Kept(synthetic, humans_kept(self.filters, self.cell.seed, generation, fresh))

    def scrape(self, generation: int, written: Written | None = None) -> Scrape:
        """A generation's pool as filters see it."""
        shares = self.cell.experiment.ecosystem.shares
        sizes = tuple(size if share > 0 else 0 for size, share in zip(self.sizes.pool, shares, strict=True))
        return Scrape(self.cell.seed, generation, self.entities, shares, sizes, written)

    def _kept(self, born: int) -> Kept:
        if born not in self.judged:
            if not self.judges_items:
                self.judge(born, synthetic_kept(self.filters, self.scrape(born)))
            elif not publishes(self, born):  # nobody draws from it, whatever passes
                self.judge(born, tuple(np.zeros((len(self.entities), 0), dtype=np.bool_) for _ in self.entities))
        return self.judged[born]

    def forget_all_but(self, generation: int) -> None:
        """Drop draws of other generations, unless history accumulates: only then are they asked for again."""
        if not self.cell.experiment.ecosystem.accumulates:
            for kept in (self.drawn, self.asked):
                for place in [place for place in kept if place[0] != generation]:
                    del kept[place]
            for born in [born for born in self.judged if born != generation]:
                del self.judged[born]


def filters_of(cell: Cell, tasks: Mapping[str, Task]) -> tuple[Filter, ...]:
    """The filters that a cell's ecosystem curates its pool with.

    Raises:
        InvalidInput: One cannot judge what is written for one of the tasks.
    """
    ecosystem = cell.experiment.ecosystem
    owned = {entity.name: tasks[entity.private] for entity in ecosystem.entities}
    return tuple(settings.build(owned) for settings in ecosystem.curation.values())


def reserve(cell: Cell, tasks: Mapping[str, Task]) -> tuple[dict[str, Task], tuple[pa.Table, ...]]:
    """Set fresh data aside, if the ecosystem has any, before anything is trained; and see that data and filters agree.

    Returns:
        The tasks without their fresh items, and those of generations t = 1, 2, ...

    Raises:
        InvalidInput: A task has too few items, or a filter cannot judge what is written for it.
    """
    kept = dict(tasks)
    fresh: tuple[pa.Table, ...] = ()
    if cell.experiment.ecosystem.fresh_fraction > 0 and cell.experiment.generations > 0:
        kept[PUBLIC], reserved = tasks[PUBLIC].reserve(cell.experiment.generations)
        fresh = tuple(reserved)
    for name, task in kept.items():
        if task.train.num_rows == 0 or task.test.num_rows == 0:
            raise InvalidInput(f"task {name!r} has no training or no test items left; give it more data")
    if not all(table.num_rows for table in fresh):
        raise InvalidInput("the public data are too few for fresh items in every generation; give more of them")
    filters_of(cell, kept)
    return kept, fresh


def publishes(world: World, generation: int) -> bool:
    """Whether anything of what could be published at a generation is read by anyone."""
    return generation > 0 and any(len(wanted(world, generation, j)) for j in range(len(world.entities)))


def kept_generations(world: World, generation: int) -> range:
    """The generations whose pools a training set of this generation may draw from."""
    first = 1 if world.cell.experiment.ecosystem.accumulates else max(generation, 1)
    return range(first, generation + 1)


def wanted(world: World, generation: int, author: int) -> NDArray[np.int64]:
    """Which items of an author's are read by anyone, at this generation or, if history accumulates, later."""
    place = (generation, author)
    if place not in world.asked:
        world.forget_all_but(generation)
        world.asked[place] = _look_ahead(world, generation, author)
    return world.asked[place]


def _look_ahead(world: World, generation: int, author: int) -> NDArray[np.int64]:
    ecosystem = world.cell.experiment.ecosystem
    last = world.cell.experiment.generations if ecosystem.accumulates else generation
    readers = range(generation, last + 1)
    if world.learner.reads == "everything" or world.judges_items:
        read = ecosystem.shares[author] > 0 and any(ecosystem.alphas(later).any() for later in readers)
        return np.arange(world.sizes.pool[author] if read and ecosystem.fresh_fraction < 1 else 0)
    source = Source(world.entities[author], generation)
    drawn = [world.draws(later, k).of(source)[1] for later in readers for k in range(len(world.entities))]
    return np.unique(np.concatenate(drawn))
