"""Entities with learners of their own (sizes, bases, tokenizers or training differ) behind one learner.

Entities with equal descriptions form a group with its own learner; a state knows its group, and every verb is passed on
group by group. Items are published as tables, so that a pool holds text, which each entity reads with its own
tokenizer. Outputs of all entities are embedded by the experiment's common learner, so that similarities are comparable.

Losses per token of different tokenizers cannot be compared with each other; `bits_per_byte` can.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, TypeVar, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import SerializeAsAny

from crossfeed.errors import DataUnavailable, Diverged
from crossfeed.protocols import (
    Array,
    CountingLearner,
    DiscreteLearner,
    Learner,
    LearnerContext,
    Observer,
    OutsideModel,
    Reading,
    RestartingLearner,
    Scores,
    State,
    TracedLearner,
    TrainingSet,
)
from crossfeed.settings import LearnerSettings, Pilot

__all__ = ["PerEntityLearner", "PerEntitySettings", "build"]

T = TypeVar("T")
_FILE: Final = "learner.json"


class PerEntitySettings(LearnerSettings):
    """The learners of all entities; composed from an experiment, never written in a description.

    Attributes:
        common: The experiment's learner.
        entities: Each entity's learner, by name and in order.
    """

    builder: ClassVar[str] = "crossfeed.learners.per_entity:build"

    kind: Literal["per-entity"]
    common: SerializeAsAny[LearnerSettings]
    entities: dict[str, SerializeAsAny[LearnerSettings]]

    @property
    def finite_losses(self) -> bool:
        """True if no entity's model can have an infinite loss."""
        return all(each.finite_losses for each in self.entities.values())

    def reading(self) -> Reading:
        """Return what training sets hold, the same for all entities."""
        return self.common.reading()

    def workers(self, cores: int) -> tuple[int, int]:
        """Return the common learner's number of processes and threads.

        Args:
            cores: Cores of this machine.
        """
        return self.common.workers(cores)

    def pilot(self, initial_n: int, n: int) -> Pilot:
        """Return all entities' pilots together; times are means over the entities.

        Args:
            initial_n: Size of the training sets of generation 0.
            n: Size of the training sets of later generations.
        """
        pilots = {name: each.pilot(initial_n, n) for name, each in self.entities.items()}
        common = self.common.pilot(initial_n, n).settings
        entities = {name: each.settings for name, each in pilots.items()}
        settings = self.model_copy(update={"common": common, "entities": entities})
        times = np.mean([[each.base, each.initial, each.later] for each in pilots.values()], axis=0)
        return Pilot(settings, *map(float, times))

    def models(self) -> list[OutsideModel]:
        """Return the models from outside of all entities, each once."""
        settings = [self.common, *self.entities.values()]
        return list({model.name: model for each in settings for model in each.models()}.values())


def build(settings: PerEntitySettings, context: LearnerContext) -> PerEntityLearner:
    """Build one learner for each group of entities that are described alike.

    Args:
        settings: The common learner and each entity's own.
        context: The cell's tasks, seed, cache folder and progress display.

    Raises:
        MissingDependency: A package that one of the learners needs is not installed.
        InvalidInput: One of the learners cannot read a task's items.
    """
    kinds: list[LearnerSettings] = []  # settings may hold mappings, which have no hash
    for each in settings.entities.values():
        if each not in kinds:
            kinds.append(each)
    learners = [each.build(context) for each in kinds]
    embedder = learners[kinds.index(settings.common)] if settings.common in kinds else settings.common.build(context)
    groups = tuple(kinds.index(each) for each in settings.entities.values())
    return PerEntityLearner(tuple(learners), groups, tuple(settings.entities), embedder)


@dataclass(frozen=True)
class Member:
    """A state and its group.

    Attributes:
        group: Index of the group's learner.
        state: The state of that learner.
    """

    group: int
    state: State


@dataclass(frozen=True)
class _OfGroup:
    """An observer as a group's learner sees it: states are of all entities, numbered as they are without groups."""

    observer: Observer
    group: int
    places: Sequence[int]

    def marks(self, entity: int, steps: int) -> Collection[int]:
        return self.observer.marks(self.places[entity], steps)

    def show(self, entity: int, step: int, state: State) -> None:
        self.observer.show(self.places[entity], step, Member(self.group, state))


@dataclass(frozen=True)
class PerEntityLearner:
    """A learner for each group of entities, see the module.

    Attributes:
        learners: Each group's learner.
        groups: Each entity's group.
        names: The entities' names.
        embedder: The learner that embeds outputs.
    """

    learners: tuple[Learner, ...]
    groups: tuple[int, ...]
    names: tuple[str, ...]
    embedder: Learner

    @property
    def reads(self) -> Reading:
        """The content of training sets, the same for all entities."""
        return self.learners[0].reads

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return the number of drawn items that the entity's own learner reads, at most n.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return self.learners[self.groups[entity]].examples_read(n, generation, entity)

    def training_steps(self, n: int, generation: int, entity: int) -> int:
        """Return the number of steps of an update by the entity's own learner.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return cast("TracedLearner", self.learners[self.groups[entity]]).training_steps(n, generation, entity)

    @property
    def guess(self) -> float | None:
        """The largest of the learners' losses of a uniform guess; None if one of them has none."""
        guesses = [cast("TracedLearner", learner).guess for learner in self.learners]
        known = [guess for guess in guesses if guess is not None]
        return max(known) if len(known) == len(guesses) else None

    def start(self, entities: Sequence[int]) -> list[Member]:
        """Return the base of each entity's group.

        Args:
            entities: Indices of the entities.
        """

        def started(learner: Learner, places: list[int]) -> list[State]:
            return learner.start([entities[place] for place in places])

        groups = [self.groups[entity] for entity in entities]
        return [Member(*each) for each in zip(groups, self._by_group(groups, started), strict=True)]

    def anew(self, entities: Sequence[int], keys: Sequence[int]) -> list[Member]:
        """Return a new base of each entity's group.

        Args:
            entities: Indices of the entities.
            keys: One key for each.
        """

        def made(learner: Learner, places: list[int]) -> list[State]:
            own = [entities[place] for place in places], [keys[place] for place in places]
            return cast(RestartingLearner, learner).anew(*own)

        groups = [self.groups[entity] for entity in entities]
        return [Member(*each) for each in zip(groups, self._by_group(groups, made), strict=True)]

    def update(
        self, states: Sequence[Member], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[Member]:
        """Train each state by its own learner.

        Args:
            states: One state for each training set.
            sets: Training sets.
            keys: One key for each state.
            generation: The generation t.

        Returns:
            New states in the order of `states`.

        Raises:
            Diverged: A loss is no longer finite; it names the entity by its index among `states`.
        """
        return self._updated(states, sets, keys, lambda learner, places, *given: learner.update(*given, generation))

    @property
    def trace(self) -> Callable[..., list[Member]]:
        """Training as `update` does, which shows states from within: `crossfeed.protocols.TracedLearner.trace`.

        Raises:
            AttributeError: One of the learners does not train in steps.
        """
        if not all(hasattr(learner, "trace") for learner in self.learners):
            raise AttributeError("trace: one of the learners does not train in steps")
        return self._trace

    def _trace(
        self,
        states: Sequence[Member],
        sets: Sequence[TrainingSet],
        keys: Sequence[int],
        generation: int,
        observer: Observer,
    ) -> list[Member]:
        def traced(learner: TracedLearner, places: list[int], *given: Any) -> list[State]:
            own, drawn, seeds = given
            return learner.trace(own, drawn, seeds, generation, _OfGroup(observer, states[places[0]].group, places))

        return self._updated(states, sets, keys, traced)

    def _updated(
        self, states: Sequence[Member], sets: Sequence[TrainingSet], keys: Sequence[int], train: Callable[..., Any]
    ) -> list[Member]:
        """Return states trained by `train`, which is given a learner, its entities' places, states, sets and keys."""

        def updated(learner: Learner, places: list[int]) -> list[State]:
            own = [states[k].state for k in places]
            try:
                trained: list[State] = train(learner, places, own, [sets[k] for k in places], [keys[k] for k in places])
            except Diverged as error:
                entity = places[error.entity] if isinstance(error.entity, int) else error.entity
                raise Diverged(error.message, entity) from error
            return trained

        groups = [each.group for each in states]
        return [Member(*each) for each in zip(groups, self._by_group(groups, updated), strict=True)]

    def generate(
        self, states: Sequence[Member], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Complete prompts, each table by its state's own learner.

        Args:
            states: One for each table of prompts.
            prompts: Items of a task.
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of items in the order of `states`.
        """

        def written(learner: Learner, places: list[int]) -> list[pa.Table]:
            own = [states[k].state for k in places]
            return learner.generate(own, [prompts[k] for k in places], [keys[k] for k in places])

        return self._by_group([each.group for each in states], written)

    def score(self, states: Sequence[Member], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return losses in the units of each state's own learner.

        Args:
            states: States.
            tables: Tables of items.

        Returns:
            Scores of every state (outer list) on every table (inner list).
        """

        def scored(learner: Learner, places: list[int]) -> list[list[Scores]]:
            return learner.score([states[k].state for k in places], tables)

        return self._by_group([each.group for each in states], scored)

    @property
    def probabilities(self) -> Callable[[Member], Array]:
        """Distributions over symbols by each state's own learner: `crossfeed.protocols.DiscreteLearner.probabilities`.

        Raises:
            AttributeError: One of the learners fits none.
        """
        if not all(hasattr(learner, "probabilities") for learner in self.learners):
            raise AttributeError("probabilities: one of the learners fits no distribution over symbols")
        return lambda state: cast(DiscreteLearner, self.learners[state.group]).probabilities(state.state)

    @property
    def unseen(self) -> Callable[[Member, pa.Table], float]:
        """Shares of unseen n-grams by each state's own learner: `crossfeed.protocols.CountingLearner.unseen`.

        Raises:
            AttributeError: One of the learners counts none.
        """
        if not all(hasattr(learner, "unseen") for learner in self.learners):
            raise AttributeError("unseen: one of the learners counts no n-grams")
        return lambda state, items: cast(CountingLearner, self.learners[state.group]).unseen(state.state, items)

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return features computed by the common learner.

        Args:
            tables: Tables of items.

        Returns:
            ``(rows, dimension)`` unit-norm features for each table.
        """
        return self.embedder.embed(tables)

    def save(self, state: Member, folder: Path) -> None:
        """Write the state by its own learner, and the number of that learner as ``learner.json``.

        Args:
            state: A state.
            folder: An existing empty folder.
        """
        self.learners[state.group].save(state.state, folder)
        (folder / _FILE).write_text(json.dumps({"learner": state.group}))

    def load(self, folder: Path) -> Member:
        """Read a state that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: It does not name the learner that wrote it.
        """
        try:
            group = json.loads((folder / _FILE).read_text())["learner"]
            learner = self.learners[group]
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise DataUnavailable(f"{folder}: {_FILE} does not name one of {len(self.learners)} learners") from error
        return Member(group, learner.load(folder))

    def describe(self) -> dict[str, str]:
        """Return the learners' device, precision and so on; by entity where they differ."""
        described = [learner.describe() for learner in self.learners]
        keys = dict.fromkeys(key for each in described for key in each)
        return {key: self._merged([each.get(key, "none") for each in described]) for key in keys}

    def _merged(self, values: Sequence[str]) -> str:
        if len(set(values)) == 1:
            return values[0]
        named = zip(self.names, self.groups, strict=True)
        return "; ".join(f"{name}: {values[group]}" for name, group in named)

    def _by_group(self, groups: Sequence[int], work: Callable[[Learner, list[int]], Sequence[T]]) -> list[T]:
        """Call `work` with each group's learner and its indices, and return the results in order."""
        done: dict[int, T] = {}
        for group in dict.fromkeys(groups):
            places = [place for place, each in enumerate(groups) if each == group]
            done.update(zip(places, work(self.learners[group], places), strict=True))
        return [done[place] for place in range(len(groups))]
