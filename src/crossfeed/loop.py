"""Running an experiment: cell after cell, turn after turn, each step kept as soon as it is finished.

A step (publish, update, measure) that is in the store is never done again, so a run that was stopped at any moment goes
on from its last finished step to the records that it would have had. A cell that fails becomes a failure record, and
the others go on.
"""

from __future__ import annotations

import os
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from crossfeed.environment import environment
from crossfeed.errors import CrossfeedError, Diverged
from crossfeed.experiment import Cell, Experiment
from crossfeed.generation import World, compose, kept_generations, measure, publish, realised, update
from crossfeed.metrics.projection import project
from crossfeed.mixture import PUBLIC
from crossfeed.progress import Silent
from crossfeed.protocols import Learner, LearnerContext, Measurement, Progress, State, Store, Task
from crossfeed.records import collect, scope_of, to_table
from crossfeed.settings import identity
from crossfeed.store.schema import SCHEMA

T = TypeVar("T")

__all__ = ["Outcome", "default_cache", "run"]


@dataclass(frozen=True)
class Outcome:
    """How a run ended.

    Attributes:
        records: All records (columns: `crossfeed.store.schema`).
        failures: Each failed cell's failure by cell name: ``stage``, ``generation``, ``type``, ``message``.
    """

    records: pa.Table
    failures: dict[str, dict[str, Any]]


def default_cache() -> Path:
    """Where costly things that depend on content alone are shared: ``$CROSSFEED_CACHE`` or ``~/.cache/crossfeed``."""
    given = os.environ.get("CROSSFEED_CACHE")
    if given:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossfeed"


def run(
    experiment: Experiment,
    store: Store,
    *,
    data_root: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
    retry_failed: bool = False,
) -> Outcome:
    """Run an experiment, or go on with it.

    Args:
        experiment: What to run.
        store: Where it lives; what is finished there is not done again.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub.
        cache: Where base models are shared between runs; default `default_cache`.
        progress: Where long work is reported; default nowhere.
        retry_failed: Try cells again that failed before.

    Returns:
        The records and the failures.

    Raises:
        DataUnavailable: A data set cannot be reached.
        StoreMismatch: The store holds another run, or the data changed.
    """
    return _Runner(experiment, store, data_root, cache or default_cache(), progress or Silent()).run(retry_failed)


@dataclass
class _Runner:
    experiment: Experiment
    store: Store
    data_root: Path | None
    cache: Path
    progress: Progress
    _tasks: dict[str, Task] = field(default_factory=dict)
    _learner: tuple[str, Learner] | None = None

    def run(self, retry_failed: bool) -> Outcome:
        cells = self.experiment.cells()
        tasks = {cell.name: self._load(cell) for cell in cells}
        self._begin(cells, tasks)
        try:
            for position, cell in enumerate(cells):
                begun = time.monotonic()
                worked = self._attempt(cell, tasks[cell.name], f"cell {position + 1} of {len(cells)}", retry_failed)
                left = len(cells) - position - 1
                if worked and left:
                    spent = time.monotonic() - begun
                    pace = f"took {_duration(spent)}; at that pace {_duration(spent * left)} for the others"
                    self.progress.note(f"cell {position + 1} of {len(cells)} {pace}")
        finally:
            records = collect(self.store, self.experiment, cells)
            self.store.write_result("records", records)
        failures = {cell.name: found for cell in cells if (found := self.store.read_document(_failure(cell)))}
        if self.experiment.checkpoints != "all" and not failures:
            for cell in cells:
                if cell.experiment.generations > 0:
                    self.store.drop_states(scope_of(cell, 0), 0)
        if "projection" in self.experiment.metrics:
            self._project(cells)
        return Outcome(records, failures)

    def _load(self, cell: Cell) -> dict[str, Task]:
        """The cell's tasks; equal descriptions are loaded once."""
        loaded = {}
        for name, settings in [*cell.experiment.tasks.items(), (PUBLIC, cell.experiment.public)]:
            key = f"{name} {identity(settings)}"
            if key not in self._tasks:
                with self.progress.stage("data", detail=name):
                    self._tasks[key] = settings.build(name, self.data_root)
            loaded[name] = self._tasks[key]
        return loaded

    def _begin(self, cells: tuple[Cell, ...], tasks: Mapping[str, Mapping[str, Task]]) -> None:
        contents: dict[str, dict[str, None]] = {}  # by task, in order and each once: a grid may vary the data
        for cell in cells:
            for name, task in tasks[cell.name].items():
                contents.setdefault(name, {})[task.content] = None
        data = {name: "+".join(found) for name, found in contents.items()}
        document = {
            "schema": SCHEMA,
            "id": self.experiment.id,
            "name": self.experiment.name,
            "data": data,
            "cells": [{"cell": c.name, "seed": c.seed, "point": c.point, "zero": c.zero} for c in cells],
        }
        self.store.begin(self.experiment.to_yaml(), document)

    def _attempt(self, cell: Cell, tasks: Mapping[str, Task], detail: str, retry_failed: bool) -> bool:
        """Run a cell; whatever goes wrong in it is kept as its failure record. Gives whether there was work to do."""
        known = self.store.read_document(_failure(cell))
        if known is not None and not retry_failed:
            self.progress.note(f"{cell.name}: failed before ({known['message']}); --retry-failed tries again")
            return False
        turns = None
        try:
            learner = self._build(cell, tasks)
            self.store.write_document("environment", environment() | {"learner": learner.describe()})
            turns = _Turns(World.make(cell, learner, tasks), self.store, self.progress, detail)
            worked = turns.run()
            self.store.drop_document(_failure(cell))
            return worked
        except CrossfeedError as error:
            if not isinstance(error, Diverged):
                raise  # something that was given cannot be used, in this cell as in the others
            self._fail(cell, turns, error)
        except Exception as error:  # failure is data: it is recorded, and the sweep goes on
            self._fail(cell, turns, error)
        return True

    def _fail(self, cell: Cell, turns: _Turns | None, error: Exception) -> None:
        place = {"generation": turns.generation, "stage": turns.stage} if turns else {"stage": "start"}
        failure = place | {
            "cell": cell.name,
            "type": type(error).__name__,
            "message": str(error),
            "traceback": traceback.format_exc(),
        }
        self.store.write_document(_failure(cell), failure)
        self.progress.note(f"{cell.name}: failed at {failure['stage']}: {error}")

    def _build(self, cell: Cell, tasks: Mapping[str, Task]) -> Learner:
        """The cell's learner; cells in a row that describe the same one share it."""
        contents = [(name, task.content) for name, task in tasks.items()]
        key = f"{identity(cell.experiment.learner)} {cell.seed} {contents}"
        if self._learner is None or self._learner[0] != key:
            context = LearnerContext(tasks, cell.seed, self.cache, self.progress)
            self._learner = key, cell.experiment.learner.build(context)
        return self._learner[1]

    def _project(self, cells: tuple[Cell, ...]) -> None:
        """PCA of all output embeddings of each seed, jointly."""
        pieces = []
        for seed in self.experiment.seeds:
            tables = [table for cell in cells if cell.seed == seed for table in self._embedded(cell)]
            if tables:
                joined = pa.concat_tables(tables)
                embeddings = np.array(joined.column("embedding").to_pylist(), dtype=np.float32)
                coordinates = project(embeddings)
                joined = joined.drop_columns("embedding")
                for axis, name in enumerate(("x", "y")):
                    joined = joined.append_column(name, pa.array(coordinates[:, axis]))
                pieces.append(joined)
        if pieces:
            self.store.write_result("projection", pa.concat_tables(pieces))

    def _embedded(self, cell: Cell) -> list[pa.Table]:
        tables = []
        for generation in range(cell.experiment.generations + 1):
            scope = scope_of(cell, generation)
            if self.store.has_table("outputs", scope, generation):
                outputs = self.store.read_table("outputs", scope, generation)
                outputs = outputs.filter(pa.compute.is_valid(outputs.column("embedding")))
                outputs = outputs.select(["model", "task", "item", "embedding"])
                rows = outputs.num_rows
                for name, value in (("generation", generation), ("seed", cell.seed), ("cell", cell.name)):
                    outputs = outputs.add_column(0, name, pa.array([value] * rows))
                tables.append(outputs)
        return tables


@dataclass
class _Turns:
    """The turns of one cell."""

    world: World
    store: Store
    progress: Progress
    detail: str
    generation: int = 0
    stage: str = "start"

    def run(self) -> bool:
        """Do what is not done; gives whether there was any."""
        last = self.world.cell.experiment.generations
        done = [t for t in range(last + 1) if self.store.has_table("records", self._scope(t), t)]
        states: list[State] | None = None
        for generation in range(last + 1):
            self.generation = generation
            if generation not in done:
                begun = time.monotonic()
                states, numbers = self._turn(generation, states)
                self._drop_older(generation)
                self._report(generation, numbers, time.monotonic() - begun)
        if self.world.cell.experiment.checkpoints == "none" and last > 0:
            self.store.drop_states(self._scope(last), last)
        return len(done) <= last

    def _turn(self, generation: int, before: list[State] | None) -> tuple[list[State], list[Measurement]]:
        """One generation, from whatever of it is finished; gives its states and numbers."""
        scope, entities = self._scope(generation), self.world.entities
        seconds: dict[str, float] = {}
        if generation > 0 and not self.store.has_table("pool", scope, generation):
            before = self._timed("publish", seconds, lambda: self._publish(generation, before, seconds))
        if self.store.has_states(scope, generation):
            states = self.store.read_states(scope, generation, entities, self.world.learner.load)
        else:
            before = before if before is not None else self._before(generation, seconds)
            sets = self._timed("compose", seconds, lambda: self._compose(generation))
            states = self._timed("update", seconds, lambda: update(self.world, generation, before, sets))
            saved = dict(zip(entities, states, strict=True))
            save = self.world.learner.save
            self._timed("store", seconds, lambda: self.store.write_states(scope, generation, saved, save))
        numbers, outputs = self._timed("measure", seconds, lambda: measure(self.world, generation, states))
        if outputs is not None:
            self.store.write_table("outputs", scope, generation, outputs)
        numbers += realised(self.world, generation)
        timings = [Measurement("", stage, "seconds", spent) for stage, spent in seconds.items()]
        self.store.write_table("records", scope, generation, to_table(generation, numbers + timings))
        return states, numbers

    def _publish(self, generation: int, before: list[State] | None, seconds: dict[str, float]) -> list[State]:
        before = before if before is not None else self._before(generation, seconds)
        pool = publish(self.world, generation, before)
        self.store.write_table("pool", self._scope(generation), generation, pool)
        return before

    def _compose(self, generation: int) -> Any:
        pools = {
            born: self.store.read_table("pool", self._scope(born), born)
            for born in kept_generations(self.world, generation)
            if born > 0
        }
        return compose(self.world, generation, pools)

    def _before(self, generation: int, seconds: dict[str, float]) -> list[State]:
        """The states that a generation starts from."""
        if generation == 0:
            return self._timed("start", seconds, lambda: self.world.learner.start(len(self.world.entities)))
        earlier = generation - 1
        return self.store.read_states(self._scope(earlier), earlier, self.world.entities, self.world.learner.load)

    def _drop_older(self, generation: int) -> None:
        """Once a generation is measured, the one before it is not needed; a shared generation 0 may be, by others."""
        if self.world.cell.experiment.checkpoints != "all" and generation > 1:
            self.store.drop_states(self._scope(generation - 1), generation - 1)

    def _timed(self, stage: str, seconds: dict[str, float], work: Callable[[], T]) -> T:
        self.stage = stage
        begun = time.perf_counter()
        with self.progress.stage(stage, detail=f"{self.detail}, {self.world.cell.name}, t = {self.generation}:"):
            result = work()
        seconds[stage] = time.perf_counter() - begun
        return result

    def _report(self, generation: int, numbers: list[Measurement], seconds: float) -> None:
        """One line: each model's loss on every task, and the time that the rest of the cell will take."""
        losses = [f"{n.model} on {n.task} {n.value:.3f}" for n in numbers if n.metric == "loss"]
        last = self.world.cell.experiment.generations
        line = f"{self.world.cell.name} t={generation}/{last}"
        line += f": loss {', '.join(losses)}" if losses else ""
        if 0 < generation < last:  # generation 0 is no measure of the others
            line += f"; about {_duration(seconds * (last - generation))} left in this cell"
        self.progress.note(line)

    def _scope(self, generation: int) -> str:
        return scope_of(self.world.cell, generation)


def _failure(cell: Cell) -> str:
    return f"failures/{cell.name}"


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
