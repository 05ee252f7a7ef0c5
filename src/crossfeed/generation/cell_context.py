"""The fixed context of a cell: its description, its learner and its data, known before anything is generated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import pyarrow as pa

from crossfeed.description.experiment import Cell
from crossfeed.errors import InvalidInput
from crossfeed.generation.access import RankedAccess
from crossfeed.generation.mixture import Sizes
from crossfeed.generation.pool_selection import PoolSelection
from crossfeed.protocols import PUBLIC, Filter, Learner, Task

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
            InvalidInput: A task has too few items, or a filter cannot judge its items.
        """
        return cls(cell, learner, *reserve(cell, tasks))

    @property
    def entities(self) -> tuple[str, ...]:
        """The entities' names, in their order."""
        return self.cell.experiment.ecosystem.names

    def private(self, entity: int) -> pa.Table:
        """Return an entity's private training data.

        Args:
            entity: The entity's index k.

        Returns:
            The training items of the entity's private task.
        """
        return self.tasks[self.cell.experiment.ecosystem.entities[entity].private].train

    @cached_property
    def sizes(self) -> Sizes:
        """The number of items of each source."""
        private = tuple(self.private(k).num_rows for k in range(len(self.entities)))
        experiment = self.cell.experiment
        published = experiment.pool_size or experiment.n
        pool = private if published is None else (published,) * len(private)
        fresh = tuple(table.num_rows for table in self.fresh)
        return Sizes(private, self.tasks[PUBLIC].train.num_rows, fresh, pool)

    @cached_property
    def selection(self) -> PoolSelection:
        """The owner of everything that changes while the cell is run: draws, requested items, curation masks."""
        filters = _filters(self.cell, self.tasks)
        return PoolSelection(self.cell.experiment, self.cell.seed, self.learner, self.sizes, filters, self._access())

    def _access(self) -> RankedAccess | None:
        settings = self.cell.experiment.ecosystem.access
        if settings is None:
            return None
        private = [self.private(k) for k in range(len(self.entities))]
        return RankedAccess(settings, self.cell.seed, self.learner, self.entities, private, self.fresh)


def _filters(cell: Cell, tasks: Mapping[str, Task]) -> tuple[Filter, ...]:
    """Build the filters that a cell's ecosystem curates its pool with."""
    ecosystem = cell.experiment.ecosystem
    owned = {entity.name: tasks[entity.private] for entity in ecosystem.entities}
    return tuple(settings.build(owned) for settings in ecosystem.curation.values())


def reserve(cell: Cell, tasks: Mapping[str, Task]) -> tuple[dict[str, Task], tuple[pa.Table, ...]]:
    """Set fresh data aside, if the ecosystem has any, before anything is trained; check that data and filters agree.

    Args:
        cell: The cell.
        tasks: Every task by name, private ones and ``public``.

    Returns:
        The tasks without their fresh items, and those of generations t = 1, 2, ...

    Raises:
        InvalidInput: A task has too few items, or a filter cannot judge its items.
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
    return kept, fresh
