"""The expected time and disk of a run, from a few steps of it.

A trial of one cell really trains, writes, scores and stores a little, with the learner's own code
(`LearnerSettings.pilot`); its times are multiplied by how often a run does each. What a trial cannot know is left out:
workers that wait for each other, texts that grow or shrink over generations, what else the machine will be doing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa

from crossfeed.display.progress import Silent
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.snapshot import LiveSnapshot
from crossfeed.generation.turn import compose, rater_of
from crossfeed.protocols import Journal, LearnerContext, State, Task
from crossfeed.running.session import Prepared

__all__ = ["Cost", "Costs", "Trial", "expect"]

T = TypeVar("T")
_ROWS: Final = 2
"""Items of a task that a trial begins with; eight times as many follow until they take long enough."""
_ENOUGH: Final = 1.0
"""Seconds that are long enough to extrapolate from, by two numbers of rows."""
_TOO_LONG: Final = 20.0
"""Seconds after which no second number of rows is tried."""
_TASKS: Final = 3
"""Tasks that a trial measures on."""
_CELLS: Final = 8
"""Cells whose published items are counted, evenly spaced."""


@dataclass(frozen=True)
class Cost:
    """The expected cost of a run.

    Attributes:
        seconds: Seconds of work by stage, all cells together: ``base``, ``start``, ``update``, ``publish``,
            ``measure``, ``store``.
        workers: The number of workers that share all of it but the base.
        bytes: Bytes that stay on disk.
        pilot: Seconds that it took to find this out.
    """

    seconds: dict[str, float]
    workers: int
    bytes: float
    pilot: float

    @property
    def total(self) -> float:
        """Seconds from start to end."""
        base = self.seconds["base"]
        return base + (sum(self.seconds.values()) - base) / self.workers


def expect(prepared: Sequence[Prepared], trial: Trial, workers: int) -> Cost:
    """Return what a run is expected to cost.

    Args:
        prepared: All cells with their data.
        trial: A trial of one of them.
        workers: The number of workers that will do it.

    Returns:
        The cost.
    """
    begun = time.monotonic()
    costs, experiment = trial.costs(), prepared[0].cell.experiment
    entities = len(experiment.ecosystem.names)
    starts, zeros = (len({getattr(each.cell, name) for each in prepared}) for name in ("start", "zero"))
    turns = sum(each.cell.experiment.generations for each in prepared)
    grown = sum(map(_sizes_over_first, prepared))
    items = grown * _published(prepared, trial.folder)
    seconds = {
        "base": costs.base,
        "start": costs.start * starts,
        "update": costs.initial * starts + costs.later * grown,
        "publish": costs.item * items,
        "measure": costs.initial_measure * zeros + costs.measure * turns,
        "store": costs.store * entities * (starts + turns),
    }
    kept = {"last": len(prepared), "all": starts + turns, "none": 0}[experiment.checkpoints]
    size = costs.state_bytes * entities * kept + costs.item_bytes * items + costs.output_bytes * (zeros + turns)
    return Cost(seconds, workers, size, time.monotonic() - begun)


def _sizes_over_first(prepared: Prepared) -> float:
    """Return the sizes of a cell's training sets from generation 1 on, summed, as a multiple of the first of them."""
    experiment = prepared.cell.experiment
    generations, entities = experiment.generations, range(len(experiment.ecosystem.names))
    if experiment.combined_learner.reading() != "draws" or generations == 0:
        return float(generations)
    sizes = [sum(experiment.size(t, k) for k in entities) for t in range(1, generations + 1)]
    return sum(sizes) / sizes[0]


def _published(prepared: Sequence[Prepared], cache: Path) -> float:
    """Return the mean number of items that a cell publishes in a generation."""
    places = np.unique(np.linspace(0, len(prepared) - 1, _CELLS).astype(int))
    counts = []
    for each in (prepared[place] for place in places):
        experiment = each.cell.experiment
        if experiment.generations:
            learner = experiment.combined_learner.build(LearnerContext(each.tasks, each.cell.seed, cache, Silent()))
            selection = CellContext(each.cell, learner, each.tasks, each.fresh).selection
            counts.append(sum(len(selection.requested(1, j)) for j in range(len(experiment.ecosystem.names))))
    return float(np.mean(counts)) if counts else 0.0


@dataclass
class Costs:
    """Seconds and bytes of single things.

    Attributes:
        base: Seconds to make a base.
        start: Seconds to start all entities.
        initial: Seconds of all entities' updates in generation 0.
        later: Seconds of all entities' updates in a later one.
        item: Seconds to write an item.
        item_bytes: Its bytes.
        initial_measure: Seconds of all measurements in generation 0.
        measure: Seconds of the measurements in a later generation, in the mean: some metrics are not due in each.
        output_bytes: Bytes of the outputs that they keep.
        store: Seconds to store a state.
        state_bytes: Its bytes.
    """

    base: float = 0.0
    start: float = 0.0
    initial: float = 0.0
    later: float = 0.0
    item: float = 0.0
    item_bytes: float = 0.0
    initial_measure: float = 0.0
    measure: float = 0.0
    output_bytes: float = 0.0
    store: float = 0.0
    state_bytes: float = 0.0


@dataclass
class _Timed(Silent):
    """Progress that measures how long each stage takes."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str, total: int | None = None, detail: str = "") -> Iterator[Callable[[int], None]]:
        begun = time.perf_counter()
        yield lambda steps: None
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


@dataclass(frozen=True)
class _Few:
    """A task of which metrics see few test items."""

    task: Task
    rows: int

    def __getattr__(self, name: str) -> Any:
        return getattr(self.task, name)

    @property
    def test(self) -> pa.Table:
        return self.task.test.slice(0, self.rows)


class Trial:
    """A few steps of one cell.

    Args:
        prepared: The cell and its data.
        folder: An empty folder.
        journal: Takes what the learner notes on its inputs.

    Attributes:
        folder: The same folder.
    """

    def __init__(self, prepared: Prepared, folder: Path, journal: Journal) -> None:
        experiment = prepared.cell.experiment
        self._drawn = experiment.combined_learner.reading() == "draws"
        sizes = (experiment.size(0, 0), experiment.size(1, 0)) if self._drawn else (0, 0)
        self._pilot, self._progress, self.folder = experiment.combined_learner.pilot(*sizes), _Timed(), folder
        inside = LearnerContext(prepared.tasks, prepared.cell.seed, folder, self._progress, journal)
        self._context = CellContext(prepared.cell, self._pilot.settings.build(inside), prepared.tasks, prepared.fresh)

    def spelled(self, task: str, items: int) -> list[str]:
        """Return the first training items of a task as the model reads them; nothing if its kind cannot show that.

        Args:
            task: The task's name.
            items: The number of items.
        """
        spell = getattr(self._context.learner, "spelled", None)
        return [] if spell is None else spell(self._context.tasks[task].train.slice(0, items))

    def costs(self) -> Costs:
        """Take the steps, and return the seconds and bytes of each thing."""
        costs, context = Costs(), self._context
        everyone = range(len(context.entities))
        states, took = _timed(lambda: context.learner.start(everyone))
        base = self._progress.seconds.get("base", 0.0)
        costs.base, costs.start = base * self._pilot.base, took - base
        states = self._update(costs, states)
        self._publish(costs, states)
        self._measure(costs, states)
        self._store(costs, states[0])
        return costs

    def _update(self, costs: Costs, before: Sequence[State]) -> list[State]:
        """Train two entities, after a first time in which libraries set up what later ones find."""
        context, trained = self._context, range(min(2, len(before)))
        sets, composed = _timed(lambda: compose(context, 0, {}))
        few, keys = [sets[k] for k in trained], list(trained)
        context.learner.update([before[k] for k in trained], few, keys, 0)
        states, initial = _timed(lambda: context.learner.update([before[k] for k in trained], few, keys, 0))
        _, later = _timed(lambda: context.learner.update(states, few, keys, 1))
        share = len(before) / len(trained)
        costs.initial = initial * self._pilot.initial * share + composed
        costs.later = later * self._pilot.later * share + composed
        return states

    def _publish(self, costs: Costs, states: Sequence[State]) -> None:
        context = self._context
        prompts = context.prompts_of(0)
        written = [0]

        def write(rows: int) -> None:
            wanted = np.arange(rows)
            given = prompts.take(pa.array(context.prompts.places(1, 0, wanted)[1]))
            (items,) = context.learner.generate([states[0]], [given], [context.prompts.keys(1, 0, wanted)])
            written[0] = items.nbytes // rows

        most = context.sizes.published(1)[0]
        levels = list(_levels(write, most if self._drawn else prompts.num_rows, whole=not self._drawn))
        costs.item, costs.item_bytes = _extrapolated(levels, most) / most, written[0]

    def _measure(self, costs: Costs, states: Sequence[State]) -> None:
        """Measure two entities on some items of some tasks; a first measurement loads what metrics need."""
        context = self._context
        names = list(context.tasks)
        chosen = [names[place] for place in np.unique(np.linspace(0, len(names) - 1, _TASKS).astype(int))]
        metrics, last = list(context.cell.experiment.metrics.values()), context.cell.experiment.generations
        taken: list[tuple[int, list[float]]] = []
        outputs: list[pa.Table | None] = [None]

        def measure(rows: int) -> None:
            snapshot = self._snapshot(states, chosen, rows)
            taken.append((rows, [_timed(partial(metric.build().measure, snapshot))[1] for metric in metrics]))
            outputs[0] = snapshot.outputs()

        measure(1)
        taken.clear()
        most = max(context.tasks[name].test.num_rows for name in names)
        list(_levels(measure, most, whole=not self._drawn))
        pairs = self._pairs_measured() / (len(states) * len(chosen))
        mean = float(np.mean([context.tasks[name].test.num_rows for name in names]))
        for place, metric in enumerate(metrics):
            cap = min(getattr(metric, "items", None) or mean, mean)
            levels = [(min(rows, cap), spent[place]) for rows, spent in taken]
            seconds = pairs * _extrapolated(levels, cap)
            due = [metric.is_due(t, last) for t in range(1, last + 1)]
            costs.initial_measure += seconds
            costs.measure += seconds * (sum(due) / len(due) if due else 0.0)
        costs.output_bytes = 0.0 if outputs[0] is None else outputs[0].nbytes * pairs

    def _pairs_measured(self) -> float:
        """Return the number of pairs of an entity and a task that are measured in a generation."""
        tasks, entities = len(self._context.tasks), len(self._context.entities)
        return entities * tasks if self._context.cell.experiment.measured == "all" else 2 * entities

    def _snapshot(self, states: Sequence[State], names: Sequence[str], rows: int | None) -> LiveSnapshot:
        context = self._context
        tasks = {name: context.tasks[name] for name in names}
        few: Mapping[str, Task] = tasks if rows is None else {name: _Few(task, rows) for name, task in tasks.items()}
        entities, owned = context.entities[: len(states)], context.cell.experiment.ecosystem.owned
        whole = [*states, *[states[0]] * (len(context.entities) - len(states))]  # judges may be others
        rater = rater_of(context, whole)
        return LiveSnapshot(0, entities, states, few, context.learner, 0, owned, corpora=context.tasks, rater=rater)

    def _store(self, costs: Costs, state: State) -> None:
        place = self.folder / "state"
        place.mkdir()
        _, costs.store = _timed(lambda: self._context.learner.save(state, place))
        costs.state_bytes = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())


def _levels(work: Callable[[int], None], most: int, *, whole: bool) -> Iterator[tuple[float, float]]:
    """Do work on more and more rows until it takes long enough, and yield rows and seconds of each time."""
    rows = most if whole else min(_ROWS, most)
    while True:
        _, took = _timed(partial(work, rows))
        yield rows, took
        if rows == most or took > (_TOO_LONG if rows == _ROWS else _ENOUGH):
            return
        rows = min(8 * rows, most)


def _extrapolated(levels: Sequence[tuple[float, float]], most: float) -> float:
    """Return the seconds of `most` rows, by the line through the last two numbers of rows that were tried."""
    (rows, took), fewer = levels[-1], [level for level in levels[:-1] if level[0] < levels[-1][0]]
    if not fewer:
        return took * most / rows
    slope = max(0.0, (took - fewer[-1][1]) / (rows - fewer[-1][0]))
    return took + slope * (most - rows)


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    begun = time.perf_counter()
    result = work()
    return result, time.perf_counter() - begun
