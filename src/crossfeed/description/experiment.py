"""An experiment: an ecosystem, its entities' learners, their data, and what is measured.

`Experiment` is a frozen value. It is read from and written to YAML, overridden by ``path.to.key=value``, and
expanded over its grid and seeds into `Cell`s. Its content id is a hash of everything that affects results.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, PrivateAttr, field_validator, model_validator

from crossfeed.description.agreement import (
    refuse_absentees,
    refuse_infinite_losses,
    refuse_samples,
    refuse_sizes,
    refuse_starts,
    refuse_unknown_tasks,
)
from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.entity_learners import learners_of
from crossfeed.description.grid import with_first_values
from crossfeed.description.labels import digest, label
from crossfeed.description.many_entities import spell_out
from crossfeed.description.parts import Learner, Metrics, Task
from crossfeed.description.reading import assign, fields_of, override, validate
from crossfeed.description.registry import combined_learner
from crossfeed.description.schedules import SizeSchedule, check_growth, size_at
from crossfeed.description.strict_yaml import dump_yaml, parse_yaml
from crossfeed.display.notebook import Columns, listed, page
from crossfeed.errors import InvalidDescription
from crossfeed.protocols import FRESH, PRIVATE, PUBLIC
from crossfeed.settings import Frozen, LearnerSettings, Name, Sequence_, Size, identity, is_finite_json

__all__ = ["Cell", "Experiment"]

_MOST_CELLS: Final = 100_000


class Experiment(Frozen):
    """The complete description of a run.

    Attributes:
        name: Names the run's folder, together with the content id.
        description: Its purpose, in a sentence or two.
        ecosystem: The entities and the data that each trains on.
        learner: The entities' learner: a kind of generative model and how it is trained.
        tasks: Data sets by name; entities own them, and every entity is measured on all of them.
        public: The public data that all entities share; measured as the task ``public``.
        n: Size of each training set (for learners that read draws): a number, a list over generations, or a rule of
            growth, ``{first: 100, add: 50}`` or ``{first: 100, factor: 1.5}``; an entity may have its own.
        initial_n: Size of the training sets with which first models are trained, at generation 0 or when an entity
            arrives; default n.
        pool_size: Items that each entity publishes at a generation, given as n is; default n.
        generations: Number of generations T after generation 0.
        metrics: Metrics by name.
        measured: Tasks to measure on: ``all``: every entity on every task. ``own``: every entity on its own task and on
            those without an owner, so that the cost grows with the number of entities, not with its square.
        seeds: Seeds; every grid point has a cell for each.
        checkpoints: States kept in the run folder: those of the ``last`` generation, ``all``, ``none``.
        grid: Lists of values for any fields, by dotted path; every combination is a cell.
    """

    no_effect = frozenset({"name", "description", "checkpoints"})

    name: Name = "experiment"
    description: str = ""
    ecosystem: Ecosystem
    learner: Learner
    tasks: Annotated[dict[Name, Task], Field(min_length=1)]
    public: Task
    n: SizeSchedule | None = None
    initial_n: Size | None = None
    pool_size: SizeSchedule | None = None
    generations: Annotated[int, Field(ge=0, le=10_000)]
    metrics: Metrics = Field(default={"loss": True}, validate_default=True)
    measured: Literal["all", "own"] = "all"
    seeds: Annotated[
        Sequence_[Annotated[int, Field(ge=0, lt=2**63)]],
        Field(min_length=1, json_schema_extra={"uniqueItems": True}),
    ] = (0,)
    checkpoints: Annotated[
        str, Field(pattern="^(last|all|none)$", json_schema_extra={"enum": ["last", "all", "none"]})
    ] = "last"
    grid: dict[str, Annotated[Sequence_[Any], Field(min_length=1)]] = Field(default_factory=dict)
    _written_id: str | None = PrivateAttr(None)

    @model_validator(mode="before")
    @classmethod
    def _grid_leads(cls, data: Any) -> Any:
        """Set every field on the grid to its first value, so that it need not be given twice."""
        return spell_out(with_first_values(data))

    @field_validator("grid")
    @classmethod
    def _plain_grid(cls, grid: dict[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
        for path, values in grid.items():
            if not is_finite_json(values):
                raise ValueError(f"{path}: only finite numbers, words, truth values and lists of them")
        return grid

    @field_validator("seeds")
    @classmethod
    def _distinct_seeds(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("seeds must differ: a repeated seed is the same run twice")
        return seeds

    @model_validator(mode="after")
    def _can_be_listed(self) -> Self:
        if self._count > _MOST_CELLS:
            raise ValueError(
                f"grid: with the seeds these are {self._count:,} cells, and a run has at most {_MOST_CELLS:,}"
            )
        return self

    @property
    def _count(self) -> int:
        """Number of cells, also of a grid whose values turn out to be impossible."""
        return math.prod(map(len, self.grid.values())) * len(self.seeds)

    @model_validator(mode="after")
    def _names_agree(self) -> Self:
        for reserved in (PRIVATE, PUBLIC, FRESH):
            if reserved in self.tasks or reserved in self.ecosystem.names:
                raise ValueError(f"{reserved!r} is taken: it names a kind of data; choose another name")
        refuse_unknown_tasks(self.ecosystem, self.tasks)
        _ = self.learners  # refuses impossible ones
        refuse_sizes(
            self.ecosystem, self.learner, {name: getattr(self, name) for name in ("n", "initial_n", "pool_size")}
        )
        if self.learner.reading() == "everything":
            refuse_samples(self.ecosystem)
        own = {f"ecosystem.entities.{k}.n": entity.n for k, entity in enumerate(self.ecosystem.entities)}
        check_growth({"n": self.n, "pool_size": self.pool_size, **own}, self.generations)
        refuse_absentees(self.ecosystem, self.generations)
        refuse_starts(self.ecosystem, self.learners)
        refuse_infinite_losses(self.learners, self.metrics)
        return self

    @cached_property
    def learners(self) -> tuple[LearnerSettings, ...]:
        """Each entity's learner: the common one, with the entity's own fields laid over it."""
        return learners_of(self.learner, self.ecosystem)

    @property
    def ends(self) -> tuple[int, ...]:
        """Last generations of the cells, each once, in ascending order: several where the grid varies them."""
        return tuple(sorted(set(self.grid.get("generations", (self.generations,)))))

    @cached_property
    def combined_learner(self) -> LearnerSettings:
        """One learner for all entities: the common one, or, if some differ, one that tells them apart."""
        return combined_learner(self.learner, dict(zip(self.ecosystem.names, self.learners, strict=True)))

    def __repr__(self) -> str:
        kind, entities = self.learner.kind, len(self.ecosystem.names)
        return f"Experiment({self.name!r}, {kind}, entities: {entities}, cells: {self._count})"

    def _repr_html_(self) -> str:
        facts = {
            "": self.description,
            "learner": self.learner.kind,
            "n": "everything" if self.n is None else str(self.model_dump(include={"n"})["n"]),
            "generations": self.generations,
            "metrics": ", ".join(self.metrics),
            "public": self.public.source,
            "seeds": ", ".join(map(str, self.seeds)),
            "cells": self._count,
        }
        tasks = {"task": list(self.tasks), "source": [task.source for task in self.tasks.values()]}
        tables: dict[str, Columns] = {"Entities": self.ecosystem.columns, "Tasks": tasks}
        if self.grid:
            tables["Grid"] = {"field": list(self.grid), "values": list(map(listed, self.grid.values()))}
        return page(f"Experiment {self.name}", facts, tables)

    @classmethod
    def from_yaml(cls, text: str, overrides: tuple[str, ...] = ()) -> Experiment:
        """Read a description.

        Args:
            text: YAML.
            overrides: ``path.to.key=value`` each, the value in YAML.

        Returns:
            The experiment.

        Raises:
            InvalidDescription: A key is unknown, missing or impossible; the message names each with the value received.
        """
        data = parse_yaml(text)
        for assignment in overrides:
            data = override(data, assignment)
        return validate(cls, data)

    def with_zeros(self, zeros: Mapping[str, str]) -> Experiment:
        """Return the experiment with cells that have the addresses that a run was written with.

        Args:
            zeros: `Cell.zero` by cell, as far as it is known; a metric that was added since would give another one.

        Returns:
            An equal experiment.
        """
        experiment = self.model_copy()
        cells = tuple(replace(cell, written_zero=zeros.get(cell.name, cell.written_zero)) for cell in self.cells())
        vars(experiment)["_cells"] = cells
        return experiment

    def keep_written(self, content_id: str, starts: Mapping[str, Any]) -> None:
        """Keep the ids that a run was written with: which fields of a missing part are in none, only its package knows.

        Args:
            content_id: The run's.
            starts: `Cell.start` by cell, as far as it is known.
        """
        self._written_id = content_id
        # Once their packages are missing, cells are not expanded again.
        vars(self)["_cells"] = tuple(replace(cell, written_start=starts.get(cell.name)) for cell in self.cells())

    def to_yaml(self) -> str:
        """Write the whole description, defaults included.

        Returns:
            YAML that `from_yaml` reads back as an equal experiment.
        """
        return dump_yaml(self.model_dump(mode="json"))

    @cached_property
    def id(self) -> str:
        """A hash of everything that affects results, 12 hexadecimal digits.

        It depends on the cells, not on the spelling or order of the grid. That of a stored run some of whose packages
        are not installed is the one that it was written with.
        """
        return self._written_id or digest(sorted((cell.name, cell.id) for cell in self.cells()))

    def size(self, generation: int, entity: int) -> int:
        """Return the size of an entity's training set at a generation, for learners that read draws.

        Args:
            generation: The generation t >= 0.
            entity: The entity's index k.

        Returns:
            The number of examples.
        """
        assert self.n is not None  # noqa: S101 - for the type checker; validated on construction
        own = self.ecosystem.entities[entity]
        n = size_at(own.n or self.n, generation)
        first = n if self.initial_n is None else self.initial_n
        return first if generation in (0, own.from_) else self.ecosystem.set_size(n, generation)

    def published(self, generation: int) -> int | None:
        """Return the number of items that each entity publishes at a generation.

        Args:
            generation: The generation t >= 1.

        Returns:
            `pool_size`, or n, at that generation; None if neither is given.
        """
        size = self.n if self.pool_size is None else self.pool_size
        return None if size is None else size_at(size, generation)

    def cells(self) -> tuple[Cell, ...]:
        """Expand the grid and the seeds.

        Returns:
            A cell for every point of the grid with every seed.

        Raises:
            InvalidDescription: A grid value is impossible, and the message names its path; or two cells are the same.
        """
        return self._cells

    def refuse_alike(self) -> None:
        """Refuse names that differ in upper and lower case alone: on many disks their folders would be one.

        Checked before a run is begun and not when a description is read, so that older runs stay readable.

        Raises:
            InvalidDescription: Two entities, tasks or cells have such names.
        """
        cells = self.cells()
        entities = [name for cell in cells for name in cell.experiment.ecosystem.names]
        named = {"entities": entities, "tasks": list(self.tasks), "cells": [cell.name for cell in cells]}
        for what, names in named.items():
            first: dict[str, str] = {}
            for name in names:
                twin = first.setdefault(name.casefold(), name)
                if twin != name:
                    raise InvalidDescription(
                        f"{what}: {twin} and {name} differ in upper and lower case alone, and would be one folder on "
                        "many disks; give names that differ in more"
                    )

    @cached_property
    def _cells(self) -> tuple[Cell, ...]:
        base = fields_of(self) | {"grid": {}}  # parts that no cell changes are the same objects in all of them
        cells = []
        for values in itertools.product(*self.grid.values()):
            point = dict(zip(self.grid, values, strict=True))
            for seed in self.seeds:
                data = base | {"seeds": (seed,)}
                for path, value in point.items():
                    data = assign(data, path, value)
                cells.append(Cell(label(point, seed), seed, point, validate(Experiment, data)))
        first: dict[str, str] = {}
        for cell in cells:
            twin = first.setdefault(cell.id, cell.name)
            if twin is not cell.name:
                raise InvalidDescription(
                    f"grid: the cells {twin} and {cell.name} are the same experiment; list each value once, and only "
                    "fields that change results"
                )
        return tuple(cells)


@dataclass(frozen=True)
class Cell:
    """One point of the grid with one seed.

    Attributes:
        name: A readable label, safe as a path.
        seed: The seed.
        point: The grid's values by path.
        experiment: The experiment with these values, this one seed and no grid.
        written_zero: The `zero` that a run was written with, where one is read; it names a folder of that run.
        written_start: The `start` likewise, of a run some of whose packages are not installed.
    """

    name: str
    seed: int
    point: dict[str, Any]
    experiment: Experiment
    written_zero: str | None = None
    written_start: str | None = None

    @cached_property
    def id(self) -> str:
        """A hash of everything that affects the cell's results."""
        return digest(self.content)

    @property
    def content(self) -> dict[str, Any]:
        """Everything that affects the cell's results, as plain data; a field that equals its default is left out."""
        content: dict[str, Any] = identity(self.experiment, ("learner",)) | {"learner": self._learners(identity)}
        ecosystem = content["ecosystem"]
        if self.experiment.ecosystem.reads is not None:  # not as it is spelled: a generator may change with its package
            network = self.experiment.ecosystem.network
            assert network is not None  # noqa: S101 - for the type checker
            ecosystem = ecosystem | {"reads": digest(network.tolist())}
        entities = [{k: v for k, v in each.items() if k != "learner"} for each in ecosystem["entities"]]
        return content | {"ecosystem": ecosystem | {"entities": entities}}  # the learners are complete

    @cached_property
    def start(self) -> str:
        """A hash of everything that affects training at generation 0; cells that agree in it share those states."""
        if self.written_start is not None:
            return self.written_start
        learner = self._learners(lambda each: each.start_identity())
        return digest(self._up_to_zero(without=("metrics", "measured", "learner")) | {"learner": learner})

    @cached_property
    def zero(self) -> str:
        """A hash of everything that affects what is measured at generation 0; cells that agree share the numbers."""
        return self.written_zero or digest(self._up_to_zero() | self._tastes())

    def _tastes(self) -> dict[str, Any]:
        """Return the tastes that models of generation 0 are rated by, if they are: they change no model of it."""
        ecosystem = self.experiment.ecosystem
        if ecosystem.preferences is None or not any(each.rates for each in self.experiment.metrics.values()):
            return {}
        rewards = [
            each and {name: identity(one) for name, one in each.reward.items()} for each in ecosystem.preferences
        ]
        return {"tastes": rewards, "asked": [ecosystem.prompts_of(entity) for entity in ecosystem.entities]}

    def _learners(self, content_of: Callable[[LearnerSettings], Any]) -> Any:
        """Return the common learner's content as plain data, and each entity's if they differ in it."""
        common, own = content_of(self.experiment.learner), [content_of(each) for each in self.experiment.learners]
        return common if all(each == common for each in own) else {"common": common, "entities": own}

    def _up_to_zero(self, without: tuple[str, ...] = ()) -> dict[str, Any]:
        experiment, ecosystem = self.experiment, self.experiment.ecosystem
        content: dict[str, Any] = identity(
            experiment, ("n", "initial_n", "pool_size", "generations", "ecosystem", "learner", *without)
        )
        if "learner" not in without:
            content["learner"] = self._learners(identity)
        content["size"] = self._first_sizes() if experiment.learner.reading() == "draws" else None
        content["ecosystem"] = {
            "entities": [(e.name, e.private, *(["later"] if e.from_ else [])) for e in ecosystem.entities],
            "betas": ecosystem.betas(0).tolist(),
            "reserved": experiment.generations if ecosystem.fresh_fraction > 0 else 0,
        }
        return content

    def _first_sizes(self) -> int | list[int]:
        """Return the size of the training sets of generation 0, or each entity's if they differ in it."""
        sizes = [self.experiment.size(0, k) for k in range(len(self.experiment.ecosystem.entities))]
        return sizes[0] if len(set(sizes)) == 1 else sizes
