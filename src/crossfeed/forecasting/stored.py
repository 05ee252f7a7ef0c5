"""The losses in a run's store: the ecology that a forecast needs, and all observations of one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.errors import InvalidInput
from crossfeed.forecasting.answer import METRICS
from crossfeed.forecasting.ecology import Conditions, Ecology, conditions_of, real_weights
from crossfeed.forecasting.observations import Curve, Observations, Path
from crossfeed.forecasting.tracing import losses_of, measured_on, read_curve
from crossfeed.generation.cell_context import CellContext
from crossfeed.protocols import PUBLIC, Array, Store, TracedLearner
from crossfeed.records import scope_of

__all__ = ["Known", "elsewhere", "keep_known", "read_known"]

_SAMPLE: Final = 256
"""Training items of each task that are counted in tokens."""


@dataclass(frozen=True, eq=False)
class Known:
    """Facts on the cells of one seed that a forecast needs before any is run.

    Attributes:
        cells: The cells of the seed.
        tasks: Names of the tasks; the public one is the last.
        document: What was looked at once: ``base`` (K, Q) losses by metric, ``tokens`` (Q,), ``guess``, ``steps`` (K,)
            of generation 0, and ``later``: those of later generations by the size of the training set, for each entity.
    """

    cells: tuple[Cell, ...]
    tasks: tuple[str, ...]
    document: Mapping[str, Any]

    @property
    def entities(self) -> tuple[str, ...]:
        """The entities' names."""
        return self.cells[0].experiment.ecosystem.names

    @property
    def own(self) -> list[int]:
        """Index of each entity's private task."""
        return [self.tasks.index(next(iter(e.owned))) for e in self.cells[0].experiment.ecosystem.entities]

    def ecology(self, metric: str) -> Ecology:
        """Return what all cells have in common.

        Args:
            metric: ``loss`` or ``completion_loss``.
        """
        return Ecology(
            own=np.array(self.own),
            public=len(self.tasks) - 1,
            tokens=np.array(self.document["tokens"], dtype=np.float64),
            base=np.array(self.document["base"][metric], dtype=np.float64),
            guess=self.document["guess"],
            initial=real_weights(self.cells[0].experiment.ecosystem, self.own, len(self.tasks), 0),
            initial_steps=np.array(self.document["steps"], dtype=np.float64),
            steps=float(self.conditions(self.cells[0]).steps[0].min()),
        )

    def conditions(self, cell: Cell) -> Conditions:
        """Return what a cell trains on.

        Args:
            cell: One of the cells, or a cell like them with other weights.
        """
        later = self.document["later"]
        return conditions_of(
            cell.experiment, self.own, len(self.tasks), lambda t, k: later[k][str(cell.experiment.size(t, k))]
        )

    def reached(self, store: Store, cell: Cell) -> int:
        """Return the last generation up to which all of a cell is measured; 0 also if nothing is.

        Args:
            store: The store of the run.
            cell: The cell.
        """
        generations = range(1, cell.experiment.generations + 1)
        missing = (t for t in generations if not store.has_table("records", scope_of(cell, t), t))
        return next(missing, cell.experiment.generations + 1) - 1

    def observations(
        self,
        store: Store,
        metric: str,
        more: Sequence[Cell] = (),
        only: Mapping[str, int] | None = None,
    ) -> Observations:
        """Collect all losses that are stored.

        Args:
            store: The store of the run.
            metric: ``loss`` or ``completion_loss``.
            more: Cells that are not on the grid; one that is on it is not taken twice.
            only: The last generation to take of each cell, by name; cells that are missing in it are left out. By
                default everything is taken.

        Returns:
            The observations.

        Raises:
            InvalidInput: Generation 0 is not measured yet.
        """
        first = self._losses(store, self.cells[0], 0, metric)
        if first is None:
            raise InvalidInput("generation 0 is not measured yet, and a forecast begins there; run it first")
        curve = read_curve(store, self.cells[0], 0, self.tasks)
        initial = _ended(curve, metric, first)
        paths = []
        for cell in {each.name: each for each in (*more, *self.cells)}.values():
            curves: list[Curve] = []
            last = cell.experiment.generations if only is None else only.get(cell.name, 0)
            for t in range(1, last + 1):
                losses = self._losses(store, cell, t, metric)
                if losses is None:
                    break
                curves.append(_ended(read_curve(store, cell, t, self.tasks), metric, losses))
            if curves:
                paths.append(Path(self.conditions(cell), tuple(curves)))
        return Observations(self.ecology(metric), initial, tuple(paths))

    def _losses(self, store: Store, cell: Cell, generation: int, metric: str) -> Array | None:
        """Return ``(K, Q)`` stored losses, nan where they are not measured; None if there are none."""
        scope = scope_of(cell, generation)
        if not store.has_table("records", scope, generation):
            return None
        table = store.read_table("records", scope, generation)
        columns = (table.column(name).to_pylist() for name in ("model", "task", "metric", "value"))
        losses = np.full((len(self.entities), len(self.tasks)), np.nan)
        for model, task, measured, value in zip(*columns, strict=True):
            if measured == metric and model in self.entities and task in self.tasks:
                losses[self.entities.index(model), self.tasks.index(task)] = value
        return losses if np.isfinite(losses).any() else None


def _ended(curve: Mapping[str, Array] | None, metric: str, losses: Array) -> Curve:
    """Return a curve that ends with losses as they are in the records, or their end alone."""
    if curve is None:
        return Curve(np.ones(1), losses[None])
    before = curve["marks"] < 1
    return Curve(np.append(curve["marks"][before], 1.0), np.concatenate([curve[metric][before], losses[None]]))


def keep_known(context: CellContext, learner: TracedLearner, cells: Sequence[Cell], store: Store) -> None:
    """Look at what a forecast has to know before any cell is run, unless the store has it, and keep it there.

    Args:
        context: A cell of the seed.
        learner: Its learner.
        cells: All cells of the seed.
        store: The store of the run.
    """
    experiment, tasks = context.cell.experiment, list(context.tasks)
    if _is_whole(store.read_document(_name(context.cell)), cells, tasks):
        return
    entities = range(len(context.entities))
    base: dict[str, list[list[float | None]]] = {m: [[None] * len(tasks) for _ in entities] for m in METRICS}
    states = learner.start(entities)
    for k, places in enumerate(measured_on(context.cell, tasks)):
        (scores,) = learner.score([states[k]], [context.tasks[tasks[at]].test for at in places])
        for at, each in zip(places, scores, strict=True):
            for metric, loss in losses_of(each).items():
                base[metric][k][at] = loss if np.isfinite(loss) else None
    samples = [task.train.slice(0, _SAMPLE) for task in context.tasks.values()]
    (scores,) = learner.score([states[0]], samples)
    tokens = [float(max(each.size.mean(), 1.0)) for each in scores]

    def steps(size: int, generation: int, k: int) -> int:
        return learner.training_steps(learner.examples_read(size, generation, k), generation, k)

    sizes = [{cell.experiment.size(t, k) for cell in cells for t in _with_zero(cell)} for k in entities]
    document = {
        "tasks": tasks,
        "base": base,
        "tokens": tokens,
        "guess": learner.guess,
        "steps": [steps(experiment.size(0, k), 0, k) for k in entities],
        "later": [{str(size): steps(size, 1, k) for size in sorted(sizes[k])} for k in entities],
    }
    store.write_document(_name(context.cell), document)


def read_known(store: Store, experiment: Experiment, seed: int) -> Known | None:
    """Return what `keep_known` kept.

    Args:
        store: The store of the run.
        experiment: The experiment.
        seed: The seed.

    Returns:
        What is known; None if it was not looked at yet.
    """
    cells = tuple(cell for cell in experiment.cells() if cell.seed == seed)
    document, tasks = store.read_document(_name(cells[0])), [*experiment.tasks, PUBLIC]
    if document is None or not _is_whole(document, cells, tasks):
        return None
    return Known(cells, tuple(tasks), document)


def _is_whole(document: Mapping[str, Any] | None, cells: Sequence[Cell], tasks: Sequence[str]) -> bool:
    """Return True if a document holds all that `Known` reads: whoever made the folder may have written anything."""
    if document is None or document.get("tasks") != list(tasks):
        return False
    entities = range(len(cells[0].experiment.ecosystem.names))
    sizes = [(k, cell.experiment.size(t, k)) for cell in cells for t in _with_zero(cell) for k in entities]
    expected = {"tokens": (len(tasks),), "steps": (len(entities),)}
    try:
        shapes = {name: np.array(document[name], dtype=np.float64).shape for name in expected}
        base = {np.array(document["base"][metric], dtype=np.float64).shape for metric in METRICS}
        counts = [float(document["later"][k][str(size)]) for k, size in sizes]
        guess = document["guess"] is None or float(document["guess"]) > 0
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return False
    return shapes == expected and base == {(len(entities), len(tasks))} and min(counts) > 0 and guess


def _with_zero(cell: Cell) -> range:
    """Return the generations whose sizes of training sets are looked up.

    Those of generation 0 are as well: where sets grow, probes that the grid lacks keep that size.
    """
    return range(cell.experiment.generations + 1)


def _name(cell: Cell) -> str:
    return f"curves/shared/{cell.start}/known"


def elsewhere(cell: Cell, name: str, experiment: Experiment) -> Cell:
    """Return a cell with other weights that begins as another does, from the states of its generation 0.

    Args:
        cell: The other cell.
        name: The new one's name.
        experiment: Its experiment.
    """
    return replace(cell, name=name, point={}, experiment=experiment, written_zero=cell.zero, written_start=cell.start)
