"""One turn: publish, compose, update, measure. The loop knows no model; whatever learns is behind the protocols."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.experiment import Cell
from crossfeed.keys import address
from crossfeed.mixture import FRESH, PRIVATE, PUBLIC, Draws, Sizes, Source, draw, mixture_weights
from crossfeed.moment import LiveMoment
from crossfeed.pool import items_of, join_pool, requests
from crossfeed.protocols import Learner, Measurement, Part, State, Task, TrainingSet

__all__ = [
    "World",
    "compose",
    "kept_generations",
    "measure",
    "publish",
    "publishes",
    "realised",
    "reserve",
    "update",
]


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
    """

    cell: Cell
    learner: Learner
    tasks: Mapping[str, Task]
    fresh: tuple[pa.Table, ...]
    drawn: dict[tuple[int, int], Draws] = field(default_factory=dict, compare=False, repr=False)
    asked: dict[tuple[int, int], NDArray[np.int64]] = field(default_factory=dict, compare=False, repr=False)

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

    def draws(self, generation: int, entity: int) -> Draws:
        """The draws that an entity's update really reads."""
        experiment, place = self.cell.experiment, (generation, entity)
        if place not in self.drawn:
            self.forget_all_but(generation)
            n = self.learner.consumes(experiment.size(generation), generation)
            self.drawn[place] = draw(experiment.ecosystem, self.sizes, n, generation, entity, self.cell.seed)
        return self.drawn[place]

    def forget_all_but(self, generation: int) -> None:
        """Drop draws of other generations, unless history accumulates: only then are they asked for again."""
        if not self.cell.experiment.ecosystem.accumulates:
            for kept in (self.drawn, self.asked):
                for place in [place for place in kept if place[0] != generation]:
                    del kept[place]


def reserve(cell: Cell, tasks: Mapping[str, Task]) -> tuple[dict[str, Task], tuple[pa.Table, ...]]:
    """Set fresh data aside, if the ecosystem has any, before anything is trained.

    Returns:
        The tasks without their fresh items, and those of generations t = 1, 2, ...

    Raises:
        InvalidInput: A task has too few items.
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
    return kept, fresh


def publishes(world: World, generation: int) -> bool:
    """Whether anything of what could be published at a generation is read by anyone."""
    return generation > 0 and any(len(_wanted(world, generation, j)) for j in range(len(world.entities)))


def publish(world: World, generation: int, states: Sequence[State]) -> pa.Table:
    """Generate what the entities publish: every pool item that some training set, now or later, will hold.

    Args:
        world: The cell.
        generation: A generation t >= 1 that `publishes`.
        states: The entities' states after generation t - 1.

    Returns:
        The pool (columns: `crossfeed.pool`).
    """
    seed, sampled = world.cell.seed, world.learner.reads == "draws"
    asked = [
        requests(seed, generation, name, _wanted(world, generation, j), world.sizes.private[j], sampled=sampled)
        for j, name in enumerate(world.entities)
    ]
    busy = [j for j, request in enumerate(asked) if len(request.items)]  # nobody reads the others
    prompts = [world.private(j).take(pa.array(asked[j].prompt_rows)) for j in busy]
    answers = world.learner.generate([states[j] for j in busy], prompts, [asked[j].keys for j in busy])
    return join_pool(world.cell.name, generation, [world.entities[j] for j in busy], [asked[j] for j in busy], answers)


def compose(world: World, generation: int, pools: Mapping[int, pa.Table]) -> list[TrainingSet]:
    """Each entity's training set.

    Args:
        world: The cell.
        generation: The generation t.
        pools: The pools that history keeps, by generation.
    """
    compose_one = _compose_draws if world.learner.reads == "draws" else _compose_everything
    return [compose_one(world, generation, k, pools) for k in range(len(world.entities))]


def update(world: World, generation: int, states: Sequence[State], sets: Sequence[TrainingSet]) -> list[State]:
    """Train every entity on its set."""
    keys = [address(world.cell.seed, "update", generation, name) for name in world.entities]
    return world.learner.update(states, sets, keys, generation)


def measure(world: World, generation: int, states: Sequence[State]) -> tuple[list[Measurement], pa.Table | None]:
    """All numbers of a generation, and the completions that they were measured on."""
    experiment = world.cell.experiment
    moment = LiveMoment(generation, world.entities, states, world.tasks, world.learner, world.cell.seed)
    numbers: list[Measurement] = []
    for settings in experiment.metrics.values():
        if generation in (0, experiment.generations) or generation % settings.every == 0:
            numbers += settings.build().measure(moment)
    return numbers, moment.outputs()


def realised(world: World, generation: int) -> list[Measurement]:
    """The metric ``drawn``: how many items of each source every training set holds (task = the source)."""
    if world.learner.reads == "everything":
        return []
    numbers = []
    for k, name in enumerate(world.entities):
        draws = world.draws(generation, k)
        counts: dict[str, int] = {}
        for position, source in enumerate(draws.sources):
            counts[source.name] = counts.get(source.name, 0) + int((draws.source == position).sum())
        numbers += [Measurement(name, source, "drawn", float(count)) for source, count in counts.items()]
    return numbers


def kept_generations(world: World, generation: int) -> range:
    """The generations whose pools a training set of this generation may draw from."""
    first = 1 if world.cell.experiment.ecosystem.accumulates else max(generation, 1)
    return range(first, generation + 1)


def _wanted(world: World, generation: int, author: int) -> NDArray[np.int64]:
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
    if world.learner.reads == "everything":
        read = ecosystem.shares[author] > 0 and any(ecosystem.alphas(later).any() for later in readers)
        return np.arange(world.sizes.pool[author] if read and ecosystem.fresh_fraction < 1 else 0)
    source = Source(world.entities[author], generation)
    drawn = [world.draws(later, k).of(source)[1] for later in readers for k in range(len(world.entities))]
    return np.unique(np.concatenate(drawn))


def _compose_draws(world: World, generation: int, entity: int, pools: Mapping[int, pa.Table]) -> TrainingSet:
    draws = world.draws(generation, entity)
    weights = mixture_weights(world.cell.experiment.ecosystem, generation, entity)
    parts = []
    for source in draws.sources:
        positions, index = draws.of(source)
        if len(index):
            items = _lookup(world, entity, source, pools)(index)
            parts.append(Part(source.name, source.born, weights[source], items, positions))
    return TrainingSet(tuple(parts))


def _compose_everything(world: World, generation: int, entity: int, pools: Mapping[int, pa.Table]) -> TrainingSet:
    parts: list[Part] = []
    begin = 0
    for source, weight in mixture_weights(world.cell.experiment.ecosystem, generation, entity).items():
        if weight > 0:
            items = _lookup(world, entity, source, pools)(None)
            positions = np.arange(begin, begin + items.num_rows)
            begin += items.num_rows
            parts.append(Part(source.name, source.born, weight, items, positions))
    return TrainingSet(tuple(parts))


def _lookup(
    world: World, entity: int, source: Source, pools: Mapping[int, pa.Table]
) -> Callable[[NDArray[np.int64] | None], pa.Table]:
    """How to get items (all of them for None) of one source."""
    if source.name not in (PRIVATE, PUBLIC, FRESH):
        return lambda index: items_of(pools, source.name, source.born, index)
    if source.name == PRIVATE:
        table = world.private(entity)
    else:
        table = world.tasks[PUBLIC].train if source.name == PUBLIC else world.fresh[source.born - 1]
    return lambda index: table if index is None else table.take(pa.array(index))
