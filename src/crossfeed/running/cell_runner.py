"""The turns of one cell, one after the other; each step is on its way to its place when the next one begins.

A step that is in the store is never done again. What is missing is made from what is there, back to generation 0 if
need be: keys make it the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeVar

import pyarrow as pa

from crossfeed.errors import Diverged
from crossfeed.generation.cell_context import World, kept_generations, publishes
from crossfeed.generation.turn import compose, measure, publish, realised, update
from crossfeed.protocols import Measurement, State, Store, TrainingSet
from crossfeed.records import is_measured, scope_of, state_scope_of, to_table
from crossfeed.running.status import SignsOfLife
from crossfeed.settings import Measure, measures_of

__all__ = ["Turns", "duration"]

_LISTED: Final = 12
"""Numbers that a line of progress lists one by one."""

T = TypeVar("T")


@dataclass
class Turns:
    """One cell on its way.

    Attributes:
        world: The cell.
        store: Where its steps are kept.
        progress: Where it is said how far it is, here and for those who look from elsewhere.
        generation: The generation being worked on.
        stage: The step being worked on.
    """

    world: World
    store: Store
    progress: SignsOfLife
    generation: int = 0
    stage: str = "start"
    _held: tuple[int, list[State]] | None = None
    _seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Do all that is not done.

        Raises:
            Diverged: A loss is not a finite number.
        """
        with self.store.write_behind():
            for generation in range(self.world.cell.experiment.generations + 1):
                self._finish(generation)

    def start(self) -> None:
        """Make what other cells may share: the measured generation 0, and its states.

        Raises:
            Diverged: A loss is not a finite number.
        """
        with self.store.write_behind():
            self._finish(0)
            if self.world.cell.experiment.generations > 0:
                self._states(0)

    def _finish(self, generation: int) -> None:
        if not is_measured(self.store, self.world.cell, generation):
            self._turn(generation)

    def _turn(self, generation: int) -> None:
        """One generation, from whatever of it is finished."""
        begun = time.monotonic()
        self.generation, self._seconds = generation, {}
        states = self._states(generation)
        numbers, outputs = self._timed("measure", lambda: measure(self.world, generation, states))
        _check_finite(numbers, self._measures)
        if outputs is not None:
            self.store.write_table("outputs", self._scope(generation), generation, outputs)
        numbers += realised(self.world, generation, lambda: self._pools(generation))
        timings = [Measurement("", stage, "seconds", spent) for stage, spent in self._seconds.items()]
        self.store.write_table("records", self._scope(generation), generation, to_table(generation, numbers + timings))
        self._drop_before(generation)
        self._report(generation, numbers, time.monotonic() - begun)

    def _states(self, generation: int) -> list[State]:
        """The states after a generation: held, kept, or made from those before it."""
        if self._held is None or self._held[0] != generation:
            scope, entities = self._state_scope(generation), self.world.entities
            if self.store.has_states(scope, generation):
                self.stage = "read states"
                states = self.store.read_states(scope, generation, entities, self.world.learner.load)
            else:
                states = self._make_states(generation)
            self._held = generation, states
        return self._held[1]

    def _make_states(self, generation: int) -> list[State]:
        before = self._states(generation - 1) if generation > 0 else self._timed("start", self._start)
        if publishes(self.world, generation):
            self._pool(generation)
        sets = self._timed("compose", lambda: self._compose(generation))
        states = self._timed("update", lambda: self._update(generation, before, sets))
        saved, save = dict(zip(self.world.entities, states, strict=True)), self.world.learner.save
        where = self._state_scope(generation)
        self._timed("store", lambda: self.store.write_states(where, generation, saved, save))
        return states

    def _start(self) -> list[State]:
        return self.world.learner.start(range(len(self.world.entities)))

    def _update(self, generation: int, before: list[State], sets: list[TrainingSet]) -> list[State]:
        try:
            return update(self.world, generation, before, sets)
        except Diverged as error:  # learners number the entities, people name them
            name = self.world.entities[error.entity] if isinstance(error.entity, int) else error.entity
            raise Diverged(error.message, name) from error

    def _compose(self, generation: int) -> list[TrainingSet]:
        return compose(self.world, generation, self._pools(generation))

    def _pools(self, generation: int) -> dict[int, pa.Table]:
        kept = kept_generations(self.world, generation)
        return {born: self._pool(born) for born in kept if publishes(self.world, born)}

    def _pool(self, generation: int) -> pa.Table:
        """What was published: kept, or made from the states before it, also if an older one turns out to be damaged."""
        scope = self._scope(generation)
        if not self.store.has_table("pool", scope, generation):
            before = self._states(generation - 1)
            pool = self._timed("publish", lambda: publish(self.world, generation, before))
            self.store.write_table("pool", scope, generation, pool)
        return self.store.read_table("pool", scope, generation)

    def _drop_before(self, generation: int) -> None:
        """Once a generation is measured, those before it are not needed; a shared generation 0 may be, by others."""
        if self.world.cell.experiment.checkpoints != "all" and generation > 1:
            self.store.drop_states(self._state_scope(generation - 1), generation - 1)

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        self.stage = stage
        self.progress.sign(self.world.cell.name, self.generation, stage)
        begun = time.perf_counter()
        with self.progress.stage(stage, detail=f"{self.world.cell.name} t = {self.generation}:"):
            result = work()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - begun
        return result

    def _report(self, generation: int, numbers: list[Measurement], seconds: float) -> None:
        """Note each model's numbers on every task, and the time that the rest of the cell will take, in one line."""
        listed = [self._listed(metric, numbers) for metric, each in self._measures.items() if "progress" in each.shown]
        last = self.world.cell.experiment.generations
        line = f"{self.world.cell.name} t={generation}/{last}"
        line += f": {'; '.join(filter(None, listed))}" if any(listed) else ""
        if 0 < generation < last:  # generation 0 is no measure of the others
            line += f"; about {duration(seconds * (last - generation))} left in this cell"
        self.progress.note(line)

    def _listed(self, metric: str, numbers: list[Measurement]) -> str:
        """Return a metric's values, or, of many, the mean over own tasks; empty if there are none."""
        own = {entity.name: entity.private for entity in self.world.cell.experiment.ecosystem.entities}
        measured = [n for n in numbers if n.metric == metric]
        values = [f"{n.model} on {n.task} {n.value:.3f}" for n in measured]
        if len(values) > _LISTED:
            on_own = [n.value for n in measured if own.get(n.model) == n.task]
            values = [f"own task {sum(on_own) / len(on_own):.3f} (mean)"] if on_own else []
        return f"{metric} {', '.join(values)}" if values else ""

    @property
    def _measures(self) -> dict[str, Measure]:
        return measures_of(self.world.cell.experiment.metrics)

    def _scope(self, generation: int) -> str:
        return scope_of(self.world.cell, generation)

    def _state_scope(self, generation: int) -> str:
        return state_scope_of(self.world.cell, generation)


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _check_finite(numbers: list[Measurement], measures: Mapping[str, Measure]) -> None:
    """Raise if training diverged: weights can break in the last step of an update, which no loss of it shows."""
    finite = {metric for metric, measure in measures.items() if measure.finite}
    for n in numbers:
        if n.metric in finite and not math.isfinite(n.value):
            raise Diverged(f"{n.model} on {n.task}: the {n.metric} is {n.value}")
