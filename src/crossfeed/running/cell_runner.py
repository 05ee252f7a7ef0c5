"""The generations of one cell, one after the other; each step is being written when the next one begins.

A step that is in the store is never done again. What is missing is computed from what is there, back to generation 0 if
need be: keys make it the same.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, Final, TypeVar, cast

import pyarrow as pa

from crossfeed.errors import Diverged
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.realised import realised, remember
from crossfeed.generation.turn import complete, compose, measure, publish, update
from crossfeed.keys import address
from crossfeed.protocols import Measurement, RestartingLearner, State, Store, TrainingSet
from crossfeed.records import is_measured, scope_of, state_scope_of, to_table
from crossfeed.running.added import joined_items, joined_records, lacking
from crossfeed.running.growth import added_of
from crossfeed.running.status import StatusProgress
from crossfeed.settings import Measure, measures_of

__all__ = ["CellRunner", "duration"]

_LISTED: Final = 12
"""Numbers that a line of progress lists one by one."""

T = TypeVar("T")


@dataclass
class CellRunner:
    """Runs the generations of one cell.

    Attributes:
        context: The cell.
        store: The store of its steps.
        progress: Reports progress, here and to other processes.
        generation: The generation being worked on.
        stage: The step being worked on.
    """

    context: CellContext
    store: Store
    progress: StatusProgress
    generation: int = 0
    stage: str = "start"
    _latest: tuple[int, list[State]] | None = None
    _zero: list[State] | None = None
    _seconds: dict[str, float] = field(default_factory=dict)
    _first: dict[str, pa.Table] = field(default_factory=dict)
    _whole_pools: set[int] = field(default_factory=set)

    def run(self, until: int | None = None) -> None:
        """Run every generation that is not finished.

        Args:
            until: The last generation to run; default all of them.

        Raises:
            Diverged: A loss is not a finite number.
        """
        last = self.context.cell.experiment.generations if until is None else until
        with self.store.write_behind():
            for generation in range(last + 1):
                self._finish(generation)
            if self._added is not None and until is None:
                self.store.drop_document(added_of(self.context.cell))

    def start(self) -> None:
        """Run what other cells may share: the measured generation 0, and its states.

        Raises:
            Diverged: A loss is not a finite number.
        """
        with self.store.write_behind():
            self._finish(0)
            if self.context.cell.experiment.generations > 0:
                self._states(0)

    def _finish(self, generation: int) -> None:
        if not is_measured(self.store, self.context.cell, generation):
            self._turn(generation)
        elif self._added is not None and generation <= self._added["until"]:
            self._add(generation, self._added["metrics"])

    def _turn(self, generation: int) -> None:
        """Run one generation, from the last step of it that is stored."""
        begun = time.monotonic()
        self.generation, self._seconds = generation, {}
        states = self._states(generation)
        measured = self._timed("measure", lambda: measure(self.context, generation, states, self._stored))
        numbers = list(measured.numbers)
        _check_finite(numbers, self._measures)
        for step, table in (("outputs", measured.outputs), ("losses", measured.losses)):
            if table is not None:
                self.store.write_table(step, self._scope(generation), generation, table)
        numbers += realised(self.context, generation, self._pools)
        timings = [Measurement("", stage, "seconds", seconds) for stage, seconds in self._seconds.items()]
        self.store.write_table("records", self._scope(generation), generation, to_table(generation, numbers + timings))
        self._drop_before(generation)
        self._report(generation, numbers, time.monotonic() - begun)

    @cached_property
    def _added(self) -> dict[str, Any] | None:
        """The ``metrics`` that are still to be measured of generations up to ``until``; None if there are none."""
        return self.store.read_document(added_of(self.context.cell))

    def _add(self, generation: int, names: Sequence[str]) -> None:
        """Measure metrics that a generation lacks, if its models were kept, or are needed anyway."""
        cell, scope = self.context.cell, self._scope(generation)
        last, known = cell.experiment.generations, cell.experiment.metrics
        due = {name: known[name] for name in names if name in known and known[name].is_due(generation, last)}
        records = self.store.read_table("records", scope, generation)
        due = lacking(records, due)
        needed = generation == 0 < last and not is_measured(self.store, cell, 1)
        if not due or not (needed or self.store.has_states(self._state_scope(generation), generation)):
            return
        self.generation, self._seconds = generation, {}
        states = self._states(generation)
        measured = self._timed("measure", lambda: measure(self.context, generation, states, self._stored, due))
        numbers = list(measured.numbers)
        _check_finite(numbers, self._measures)
        for step, table in (("outputs", measured.outputs), ("losses", measured.losses)):
            if table is not None:
                there = self.store.has_table(step, scope, generation)
                before = self.store.read_table(step, scope, generation) if there else None
                self.store.write_table(step, scope, generation, joined_items(before, table))
        self.store.write_table("records", scope, generation, joined_records(records, generation, numbers))

    def _states(self, generation: int) -> list[State]:
        """Return the states after a generation: from memory, from the store, or computed from those before it."""
        if self._latest is None or self._latest[0] != generation:
            scope, entities = self._state_scope(generation), self.context.entities
            if self.store.has_states(scope, generation):
                self.stage = "read states"
                states = self.store.read_states(scope, generation, entities, self.context.learner.load)
            else:
                states = self._compute_states(generation)
            self._latest = generation, states
        return self._latest[1]

    def _compute_states(self, generation: int) -> list[State]:
        before = self._states(generation - 1) if generation > 0 else self._timed("start", self._start)
        in_turn = self.context.cell.experiment.ecosystem.order == "sequential" and generation > 0
        after = self._in_turn(generation, before) if in_turn else self._together(generation, before)
        by_entity, save = dict(zip(self.context.entities, after, strict=True)), self.context.learner.save
        scope = self._state_scope(generation)
        self._timed("store", lambda: self.store.write_states(scope, generation, by_entity, save))
        return after

    def _start(self) -> list[State]:
        return self.context.learner.start(range(len(self.context.entities)))

    def _together(self, generation: int, before: list[State]) -> list[State]:
        """Publish all that is read, then train all whose turn it is."""
        if self.context.selection.publishes(generation):
            self._pool(generation)
        training = self.context.calendar.training(generation)
        remember(self.context, generation, self._pools)
        sets = self._timed("compose", lambda: compose(self.context, generation, self._pools(generation)))
        return self._trained(generation, training, before, sets)

    def _in_turn(self, generation: int, before: list[State]) -> list[State]:
        """Train entities one after the other; each publishes at once, and those after it read that."""
        context, after, early = self.context, list(before), generation + 1
        pools = self._pools(generation, born_until=generation)
        published: list[pa.Table] = []
        for k in context.calendar.training(generation):
            read = pools | ({early: pa.concat_tables(published, promote_options="permissive")} if published else {})
            sets = self._timed("compose", partial(compose, context, generation, read, [k]))
            after = self._trained(generation, [k], after, sets)
            if len(context.selection.requested(early, k)):
                published.append(self._timed("publish", partial(publish, context, early, after, [k])))
        if published and generation < context.cell.experiment.generations:
            pool = pa.concat_tables(published, promote_options="permissive")
            self.store.write_table("pool", self._scope(early), early, pool)
        return after

    def _trained(
        self, generation: int, entities: list[int], before: list[State], sets: list[TrainingSet]
    ) -> list[State]:
        """Return all states after some entities have trained; the others keep theirs."""
        if not entities:
            return before
        begin = self._begin(generation, entities, before)
        trained = self._timed("update", lambda: self._update(generation, entities, begin, sets))
        after = list(before)
        for k, state in zip(entities, trained, strict=True):
            after[k] = state
        return after

    def _begin(self, generation: int, entities: list[int], before: list[State]) -> list[State]:
        """Return the states that updates begin from (`Ecosystem.start`)."""
        ecosystem, seed = self.context.cell.experiment.ecosystem, self.context.cell.seed
        first = [self.context.calendar.stage(generation, k) == 0 for k in entities]
        modes = [
            "previous" if new else ecosystem.start_of(ecosystem.entities[k])
            for k, new in zip(entities, first, strict=True)
        ]
        begin = [before[k] for k in entities]
        for mode in set(modes) - {"previous"}:
            own = [k for k, each in zip(entities, modes, strict=True) if each == mode]
            if mode == "own":
                zero = self._zero_states()
                states = [zero[k] for k in own]
            elif mode == "base":
                states = self.context.learner.start(own)
            else:
                keys = [address(seed, "scratch", generation, self.context.entities[k]) for k in own]
                states = cast(RestartingLearner, self.context.learner).anew(own, keys)
            for k, state in zip(own, states, strict=True):
                begin[entities.index(k)] = state
        return begin

    def _zero_states(self) -> list[State]:
        """Return the states after generation 0, which are remembered."""
        if self._zero is None:
            latest = self._latest
            self._zero = self._states(0)
            self._latest = latest
        return self._zero

    def _update(self, generation: int, entities: list[int], begin: list[State], sets: list[TrainingSet]) -> list[State]:
        try:
            return update(self.context, generation, begin, sets, entities)
        except Diverged as error:  # learners number the entities, people name them
            name = self.context.entities[error.entity] if isinstance(error.entity, int) else error.entity
            raise Diverged(error.message, name) from error

    def _pools(self, generation: int, born_until: int | None = None) -> dict[int, pa.Table]:
        births = self.context.selection.pools_read(generation)
        return {born: self._pool(born) for born in births if born_until is None or born <= born_until}

    def _stored(self, step: str, generation: int) -> pa.Table:
        """Return outputs or losses of an earlier generation; those of the first one, which is read most, are kept."""
        if generation != 0:
            return self.store.read_table(step, self._scope(generation), generation)
        if step not in self._first:
            self._first[step] = self.store.read_table(step, self._scope(0), 0)
        return self._first[step]

    def _pool(self, generation: int) -> pa.Table:
        """Return a pool: stored, or generated from the states before it, also if the stored one is damaged."""
        scope = self._scope(generation)
        if not self.store.has_table("pool", scope, generation):
            before = self._states(generation - 1)
            if self.context.selection.lacks_popularity(generation):
                self.context.selection.recall(self._pools(generation - 1))
            pool = self._timed("publish", lambda: publish(self.context, generation, before))
            self.store.write_table("pool", scope, generation, pool)
            self._whole_pools.add(generation)
        pool = self.store.read_table("pool", scope, generation)
        if generation in self._whole_pools or not self.context.selection.may_grow:
            return pool
        whole = complete(self.context, generation, partial(self._authors, generation), pool)
        self._whole_pools.add(generation)
        if whole is None:
            return pool
        self.store.write_table("pool", scope, generation, whole)
        return whole

    def _authors(self, generation: int, everyone: bool) -> list[State]:
        """Return the states that wrote a pool: of all authors, or at least of those whose texts are still read.

        Where a pool's texts stay until their author's next publication, the author has not been trained since.
        """
        before = generation - 1
        stays = not everyone and not self.context.cell.experiment.ecosystem.accumulates
        if stays and self._latest is not None and not self.store.has_states(self._state_scope(before), before):
            return self._latest[1]
        return self._states(before)

    def _drop_before(self, generation: int) -> None:
        """Drop the states before a measured generation, except those of generation 0, which other cells may need."""
        if self.context.cell.experiment.checkpoints != "all" and generation > 1:
            self.store.drop_states(self._state_scope(generation - 1), generation - 1)

    def _timed(self, stage: str, work: Callable[[], T]) -> T:
        self.stage = stage
        self.progress.report(self.context.cell.name, self.generation, stage)
        begun = time.perf_counter()
        with self.progress.stage(stage, detail=f"{self.context.cell.name} t = {self.generation}:"):
            result = work()
        self._seconds[stage] = self._seconds.get(stage, 0.0) + time.perf_counter() - begun
        return result

    def _report(self, generation: int, numbers: list[Measurement], seconds: float) -> None:
        """Note each model's numbers on every task, and the time that the rest of the cell will take, in one line."""
        listed = [self._listed(metric, numbers) for metric, each in self._measures.items() if "progress" in each.shown]
        last = self.context.cell.experiment.generations
        line = f"{self.context.cell.name} t={generation}/{last}"
        line += f": {'; '.join(filter(None, listed))}" if any(listed) else ""
        if 0 < generation < last:  # generation 0 is no measure of the others
            line += f"; about {duration(seconds * (last - generation))} left in this cell"
        self.progress.log(line)

    def _listed(self, metric: str, numbers: list[Measurement]) -> str:
        """Return a metric's values, or, of many, the mean over own tasks; empty if there are none."""
        own = {entity.name: entity.owned for entity in self.context.cell.experiment.ecosystem.entities}
        measured = [n for n in numbers if n.metric == metric]
        values = [f"{n.model} on {n.task} {n.value:.3f}" for n in measured]
        if len(values) > _LISTED:
            on_own = [n.value for n in measured if n.task in own.get(n.model, ())]
            values = [f"own task {sum(on_own) / len(on_own):.3f} (mean)"] if on_own else []
        return f"{metric} {', '.join(values)}" if values else ""

    @property
    def _measures(self) -> dict[str, Measure]:
        return measures_of(self.context.cell.experiment.metrics)

    def _scope(self, generation: int) -> str:
        return scope_of(self.context.cell, generation)

    def _state_scope(self, generation: int) -> str:
        return state_scope_of(self.context.cell, generation)


def duration(seconds: float) -> str:
    """Format a duration.

    Args:
        seconds: The duration in seconds.

    Returns:
        Text such as ``40 s`` or ``3 min``.
    """
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"


def _check_finite(numbers: list[Measurement], measures: Mapping[str, Measure]) -> None:
    """Raise if training diverged: weights can break in the last step of an update, which no loss of it shows."""
    finite = {metric for metric, measure in measures.items() if measure.finite}
    for n in numbers:
        if n.metric in finite and not math.isfinite(n.value):
            raise Diverged(f"{n.model} on {n.task}: the {n.metric} is {n.value}")
