"""The turns of one cell, one after the other, each step kept as soon as it is finished.

A step that is in the store is never done again. What is missing is made from what is there, back to generation 0 if
need be: keys make it the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from crossfeed.errors import Diverged
from crossfeed.generation import World, compose, kept_generations, measure, publish, publishes, realised, update
from crossfeed.protocols import Measurement, Progress, State, Store, TrainingSet
from crossfeed.records import scope_of, state_scope_of, to_table

__all__ = ["Turns", "duration"]

T = TypeVar("T")


@dataclass
class Turns:
    """One cell on its way.

    Attributes:
        world: The cell.
        store: Where its steps are kept.
        progress: Where it is said how far it is.
        detail: Which cell this is, for people.
        generation: The generation being worked on.
        stage: The step being worked on.
    """

    world: World
    store: Store
    progress: Progress
    detail: str
    generation: int = 0
    stage: str = "start"
    _held: tuple[int, list[State]] | None = None
    _seconds: dict[str, float] = field(default_factory=dict)

    def run(self) -> None:
        """Do all that is not done.

        Raises:
            Diverged: A loss is not a finite number.
        """
        last = self.world.cell.experiment.generations
        for generation in range(last + 1):
            if not self.store.has_table("records", self._scope(generation), generation):
                self._turn(generation)

    def _turn(self, generation: int) -> None:
        """One generation, from whatever of it is finished."""
        begun = time.monotonic()
        self.generation, self._seconds = generation, {}
        states = self._states(generation)
        numbers, outputs = self._timed("measure", lambda: measure(self.world, generation, states))
        _check_finite(numbers)
        if outputs is not None:
            self.store.write_table("outputs", self._scope(generation), generation, outputs)
        numbers += realised(self.world, generation)
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
        scope = self._scope(generation)
        if publishes(self.world, generation) and not self.store.has_table("pool", scope, generation):
            pool = self._timed("publish", lambda: publish(self.world, generation, before))
            self.store.write_table("pool", scope, generation, pool)
        sets = self._timed("compose", lambda: self._compose(generation))
        states = self._timed("update", lambda: update(self.world, generation, before, sets))
        saved, save = dict(zip(self.world.entities, states, strict=True)), self.world.learner.save
        where = self._state_scope(generation)
        self._timed("store", lambda: self.store.write_states(where, generation, saved, save))
        return states

    def _start(self) -> list[State]:
        return self.world.learner.start(len(self.world.entities))

    def _compose(self, generation: int) -> list[TrainingSet]:
        pools = {
            born: self.store.read_table("pool", self._scope(born), born)
            for born in kept_generations(self.world, generation)
            if publishes(self.world, born)
        }
        return compose(self.world, generation, pools)

    def _drop_before(self, generation: int) -> None:
        """Once a generation is measured, those before it are not needed; a shared generation 0 may be, by others."""
        if self.world.cell.experiment.checkpoints != "all":
            for older in range(1, generation):
                self.store.drop_states(self._state_scope(older), older)

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        self.stage = stage
        begun = time.perf_counter()
        with self.progress.stage(stage, detail=f"{self.detail}, {self.world.cell.name}, t = {self.generation}:"):
            result = work()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - begun
        return result

    def _report(self, generation: int, numbers: list[Measurement], seconds: float) -> None:
        """One line: each model's loss on every task, and the time that the rest of the cell will take."""
        losses = [f"{n.model} on {n.task} {n.value:.3f}" for n in numbers if n.metric == "loss"]
        last = self.world.cell.experiment.generations
        line = f"{self.world.cell.name} t={generation}/{last}"
        line += f": loss {', '.join(losses)}" if losses else ""
        if 0 < generation < last:  # generation 0 is no measure of the others
            line += f"; about {duration(seconds * (last - generation))} left in this cell"
        self.progress.note(line)

    def _scope(self, generation: int) -> str:
        return scope_of(self.world.cell, generation)

    def _state_scope(self, generation: int) -> str:
        return state_scope_of(self.world.cell, generation)


def duration(seconds: float) -> str:
    """Seconds for people."""
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _check_finite(numbers: list[Measurement]) -> None:
    """Weights can break in the last step of an update, which no loss of that update shows."""
    for n in numbers:
        if n.metric in ("loss", "completion_loss") and not math.isfinite(n.value):
            raise Diverged(f"{n.model} on {n.task}: the {n.metric} is {n.value}")
