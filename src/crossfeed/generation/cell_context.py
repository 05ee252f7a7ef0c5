"""The fixed context of a cell: its description, its learner and its data, known before anything is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.entity import Entity
from crossfeed.description.experiment import Cell
from crossfeed.errors import InvalidInput
from crossfeed.generation.access import RankedAccess
from crossfeed.generation.calendar import Calendar
from crossfeed.generation.choice import Choice
from crossfeed.generation.mixture import Sizes
from crossfeed.generation.pool_selection import PoolSelection
from crossfeed.generation.prompts import Prompts
from crossfeed.generation.shelf import Shelf
from crossfeed.generation.tastes import Tastes, build_tastes
from crossfeed.protocols import PUBLIC, Filter, Learner, RewardContext, Task

__all__ = ["CellContext", "reserve"]


@dataclass(frozen=True)
class CellContext:
    """Everything about a cell that stays the same from generation to generation.

    The context itself is a value. What changes while a cell is run, the draws and what curation keeps of every pool, is
    owned by its `selection`.

    Attributes:
        cell: The cell.
        learner: The model that every entity trains.
        tasks: Every task by name, private ones first, ``public`` last, without the fresh items.
        fresh: Fresh human items of generations t = 1, 2, ...; empty where the ecosystem has none.
    """

    cell: Cell
    learner: Learner
    tasks: Mapping[str, Task]
    fresh: tuple[pa.Table, ...]

    @classmethod
    def create(cls, cell: Cell, learner: Learner, tasks: Mapping[str, Task]) -> CellContext:
        """Create a context from whole tasks, for learners that need none of the data to be built.

        Args:
            cell: The cell.
            learner: The model that every entity trains.
            tasks: Every task by name, fresh items included.

        Returns:
            The context, with fresh data set aside (`reserve`).

        Raises:
            InvalidInput: A task has too few items, or a filter or reward cannot judge its items.
        """
        return cls(cell, learner, *reserve(cell, tasks))

    @property
    def entities(self) -> tuple[str, ...]:
        """The entities' names, in their order."""
        return self.cell.experiment.ecosystem.names

    @cached_property
    def calendar(self) -> Calendar:
        """The calendar of those who are there, train and publish at each generation."""
        return Calendar(self.cell.experiment.ecosystem, self.cell.seed)

    def private(self, entity: int) -> pa.Table:
        """Return an entity's private training data.

        Args:
            entity: The entity's index k.

        Returns:
            The training items of the tasks that the entity owns, behind one another.
        """
        return self._items(tuple(self._owned(entity)))

    def prompts_of(self, entity: int, born: int = 1) -> pa.Table:
        """Return an entity's own prompts.

        Args:
            entity: The entity's index k.
            born: The generation at which they are answered, which matters to tasks that ask anew each time (they have
                a method `prompts_at`).

        Returns:
            Training items, behind one another where they are of several tasks.
        """
        names = tuple(self._asked(entity))
        tasks = [self.tasks[name] for name in names]
        if not any(hasattr(task, "prompts_at") for task in tasks):
            return self._items(names)
        tables = [task.prompts_at(born) if hasattr(task, "prompts_at") else task.train for task in tasks]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")

    def _owned(self, entity: int) -> Mapping[str, float]:
        return self.cell.experiment.ecosystem.entities[entity].owned

    def _asked(self, entity: int) -> Mapping[str, float]:
        """Return the weights of the tasks among whose items an entity's own prompts are."""
        ecosystem = self.cell.experiment.ecosystem
        prompts = ecosystem.prompts_of(ecosystem.entities[entity])
        if isinstance(prompts, dict):
            total = sum(prompts.values())
            return {task: weight / total for task, weight in prompts.items()}
        return {PUBLIC: 1.0} if prompts == "public" else self._owned(entity)

    def _items(self, names: tuple[str, ...]) -> pa.Table:
        if len(names) == 1:
            return self.tasks[names[0]].train
        if names not in self._joined:
            tables = [self.tasks[name].train for name in names]
            self._joined[names] = pa.concat_tables(tables, promote_options="permissive")
        return self._joined[names]

    @cached_property
    def _joined(self) -> dict[tuple[str, ...], pa.Table]:
        """Items of several tasks behind one another, by the tasks' names."""
        return {}

    @cached_property
    def reference_features(self) -> dict[tuple[str, int], NDArray[np.float32]]:
        """Features of test items that metrics compare with, by task and number of items; filled by snapshots."""
        return {}

    def _shelf(self, weights: Mapping[str, float]) -> Shelf:
        return Shelf(tuple(self.tasks[name].train.num_rows for name in weights), tuple(weights.values()))

    @cached_property
    def sizes(self) -> Sizes:
        """The number of items of each source."""
        experiment, everyone = self.cell.experiment, range(len(self.entities))
        private = tuple(self._shelf(self._owned(k)) for k in everyone)
        asked = tuple(self.prompts_of(k).num_rows for k in everyone)
        published = [experiment.published(t) for t in range(1, max(experiment.generations, 1) + 1)]
        pool = tuple(asked if size is None else (size,) * len(private) for size in published)
        fresh = tuple(table.num_rows for table in self.fresh)
        return Sizes(private, self.tasks[PUBLIC].train.num_rows, fresh, pool if len(set(pool)) > 1 else pool[:1])

    @cached_property
    def prompts(self) -> Prompts:
        """The prompts of published items."""
        shelves = [self._shelf(self._asked(k)) for k in range(len(self.entities))]
        return Prompts(self.calendar, shelves, self.sizes, self.learner.reads == "draws")

    @cached_property
    def selection(self) -> PoolSelection:
        """The owner of everything that changes while the cell is run: draws, requested items, curation masks."""
        filters = _filters(self.cell, self.tasks)
        access, choice = self._access(), self._choice()
        return PoolSelection(self.cell.experiment, self.calendar, self.learner, self.sizes, filters, access, choice)

    def _choice(self) -> Choice | None:
        preferences = self.cell.experiment.ecosystem.preferences
        if preferences is None:
            return None
        return Choice(preferences, self.tastes, self.calendar, self.sizes, self.learner, self.fresh)

    @cached_property
    def tastes(self) -> Tastes:
        """The tastes by which entities choose among candidates; none where nobody does."""
        return _tastes(self.cell, self.tasks)

    def _access(self) -> RankedAccess | None:
        settings = self.cell.experiment.ecosystem.access
        if settings is None:
            return None
        private = [self.private(k) for k in range(len(self.entities))]
        queries = list(zip(private, self.sizes.private, strict=True))
        return RankedAccess(settings, self.cell.seed, self.learner, self.entities, queries, self.fresh)


def _filters(cell: Cell, tasks: Mapping[str, Task]) -> tuple[Filter, ...]:
    """Build the filters that a cell's ecosystem curates its pool with."""
    ecosystem = cell.experiment.ecosystem
    asked = {entity.name: _asked_task(ecosystem, entity) for entity in ecosystem.entities}
    several = [name for name, task in asked.items() if task is None]
    if several and ecosystem.curation:
        raise InvalidInput(
            f"ecosystem.curation: filters judge answers to the prompts of one task, and {several[0]} is asked those of "
            "several, or of the pool; leave curation out, or give one task"
        )
    context = _reward_context(cell, tasks)
    filters = tuple(settings.build_in(context) for settings in ecosystem.curation.values())
    if ecosystem.preferences is not None and any(each.reads for each in filters):
        raise InvalidInput(
            "ecosystem.preference: candidates are chosen among as they are generated, and filters that read items "
            "judge published ones; leave one of the two out"
        )
    reading = "curation" if any(each.reads for each in filters) else "access"
    if ecosystem.order == "sequential" and (reading == "curation" or ecosystem.access is not None):
        raise InvalidInput(
            f"ecosystem.{reading}: filters and rankings that read items read the whole pool of a generation, and with "
            f"order: sequential it is read while it is being written; give order: together, or leave {reading} out"
        )
    return filters


def _tastes(cell: Cell, tasks: Mapping[str, Task]) -> Tastes:
    """Build the tastes by which a cell's entities choose among candidates, if they do."""
    ecosystem = cell.experiment.ecosystem
    asked = {entity.name: _asked_task(ecosystem, entity) for entity in ecosystem.entities}
    several = [name for name, task in asked.items() if task is None]
    preferences = ecosystem.preferences or ()
    if several and preferences:
        raise InvalidInput(
            f"ecosystem.preference: candidates are rated as answers to the prompts of one task, and {several[0]} is "
            "asked those of several, or of the pool; leave preference out, or give one task"
        )
    return build_tastes(preferences, _reward_context(cell, tasks))


def _reward_context(cell: Cell, tasks: Mapping[str, Task]) -> RewardContext:
    """Return the tasks and entities as rewards, and filters by rewards, see them."""
    ecosystem = cell.experiment.ecosystem
    asked = {entity.name: _asked_task(ecosystem, entity) for entity in ecosystem.entities}
    known = {name: tasks[task] for name, task in asked.items() if task is not None}
    owned = ecosystem.owned

    def private(name: str) -> pa.Table:
        return pa.concat_tables([tasks[task].train for task in owned[name]], promote_options="permissive")

    return RewardContext(known, tasks, ecosystem.names, private)


def _asked_task(ecosystem: Ecosystem, entity: Entity) -> str | None:
    """Return the task whose prompts an entity answers; None if there are several."""
    prompts = ecosystem.prompts_of(entity)
    tasks = [PUBLIC] if prompts == "public" else list(prompts if isinstance(prompts, dict) else entity.owned)
    return tasks[0] if len(tasks) == 1 and prompts != "pool" else None


def reserve(cell: Cell, tasks: Mapping[str, Task]) -> tuple[dict[str, Task], tuple[pa.Table, ...]]:
    """Set fresh data aside, if the ecosystem has any, before anything is trained; check that data and filters agree.

    Args:
        cell: The cell.
        tasks: Every task by name, private ones and ``public``.

    Returns:
        The tasks without their fresh items, and those of generations t = 1, 2, ...

    Raises:
        InvalidInput: A task has too few items, or a filter or reward cannot judge its items.
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
    _filters(cell, kept)
    _tastes(cell, kept)
    return kept, fresh
