"""Learning curves of a run: losses on the way through an update, kept as documents of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, cast

import numpy as np

from crossfeed.description.experiment import Cell
from crossfeed.errors import InvalidInput
from crossfeed.forecasting.answer import METRICS
from crossfeed.protocols import Array, Learner, Scores, State, Store, Task, TracedLearner, TrainingSet
from crossfeed.records import state_scope_of

__all__ = ["TracingLearner", "losses_of", "measured_on", "read_curve", "traced"]

INITIAL_MARKS: Final = (0.02, 0.07, 0.2, 0.32, 0.5, 0.75, 1.0)
"""Shares of the training steps of generation 0 at which models are looked at."""

MARKS: Final = (0.125, 0.25, 0.5, 1.0)
"""The same of later generations."""


def traced(learner: Learner, kind: str) -> TracedLearner:
    """Return a learner as one that can be looked at on the way.

    Args:
        learner: The learner.
        kind: Its kind, for the message.

    Raises:
        InvalidInput: It does not train in steps.
    """
    if not hasattr(learner, "trace"):
        raise InvalidInput(
            f"learner {kind}: it does not train in steps that can be looked at, which a forecast is identified from; "
            "forecast learners of the kinds language, images or captions; `crossfeed predict` is exact for linear ones"
        )
    return cast(TracedLearner, learner)


def losses_of(scores: Scores) -> dict[str, float]:
    """Return the mean losses of a task's items, by metric.

    Args:
        scores: The items' losses.
    """
    pairs = (scores.loss, scores.size), (scores.completion_loss, scores.completion_size)
    means = (float(loss.sum() / size.sum()) if size.sum() else float("nan") for loss, size in pairs)
    return dict(zip(METRICS, means, strict=True))


def measured_on(cell: Cell, tasks: Sequence[str]) -> list[list[int]]:
    """Return the positions of the tasks that each entity is measured on.

    Args:
        cell: The cell.
        tasks: All tasks' names.
    """
    entities = cell.experiment.ecosystem.entities
    owned = cell.experiment.ecosystem.owned_tasks
    everything = cell.experiment.measured == "all"
    return [
        [at for at, name in enumerate(tasks) if everything or name not in owned or name in entity.owned]
        for entity in entities
    ]


@dataclass
class TracingLearner:
    """A learner that keeps the learning curves of a cell; states and all else are those of the learner itself.

    Attributes:
        learner: The learner.
        cell: The cell.
        tasks: Every task by name, as in `crossfeed.generation.cell_context.CellContext`.
        store: Where curves are kept.
        last: The last generation that is looked at on the way; None for all.
    """

    learner: TracedLearner
    cell: Cell
    tasks: Mapping[str, Task]
    store: Store
    last: int | None = None

    def update(
        self, states: Sequence[State], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[State]:
        """Train as the learner does, and keep the losses on the way.

        Args:
            states: The states to train.
            sets: Their training sets.
            keys: Their keys.
            generation: The generation t.

        Returns:
            The trained states.

        Raises:
            Diverged: A loss is no longer finite.
        """
        if self.last is not None and generation > self.last:
            return self.learner.update(states, sets, keys, generation)
        observer = _Observer(self, INITIAL_MARKS if generation == 0 else MARKS)
        trained = self.learner.trace(states, sets, keys, generation, observer)
        document = {
            "entities": list(self.cell.experiment.ecosystem.names),
            "tasks": list(self.tasks),
            "steps": [observer.steps.get(k, 0) for k in range(len(states))],
            "marks": list(observer.shares),
            **{metric: observer.table(metric) for metric in METRICS},
        }
        self.store.write_document(_name(self.cell, generation), document)
        return trained

    def losses(self, entity: int, state: State) -> dict[int, dict[str, float]]:
        """Return a state's losses by the position of the task.

        Args:
            entity: The entity's index, which decides what is measured.
            state: The state.
        """
        tasks = list(self.tasks)
        places = measured_on(self.cell, tasks)[entity]
        (scores,) = self.learner.score([state], [self.tasks[tasks[at]].test for at in places])
        return {at: losses_of(each) for at, each in zip(places, scores, strict=True)}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.learner, name)


@dataclass
class _Observer:
    """Scores the states that are shown, and lets go of them.

    Attributes:
        tracing: The learner.
        shares: Shares of an update's steps at which states are wanted.
        steps: The steps of each entity's update.
    """

    tracing: TracingLearner
    shares: Sequence[float]
    steps: dict[int, int] = field(default_factory=dict)
    _losses: dict[tuple[int, int], dict[int, dict[str, float]]] = field(default_factory=dict)

    def marks(self, entity: int, steps: int) -> list[int]:
        self.steps[entity] = steps
        return [self._step(entity, share) for share in self.shares]

    def show(self, entity: int, step: int, state: State) -> None:
        self._losses[entity, step] = self.tracing.losses(entity, state)

    def table(self, metric: str) -> list[list[list[float | None]]]:
        """Return losses by mark, entity and task; None where they are not measured."""
        entities, tasks = self.tracing.cell.experiment.ecosystem.names, range(len(self.tracing.tasks))

        def loss(share: float, entity: int, task: int) -> float | None:
            known = self._losses.get((entity, self._step(entity, share)), {}).get(task)
            return known[metric] if known is not None and np.isfinite(known[metric]) else None

        return [[[loss(share, k, s) for s in tasks] for k in range(len(entities))] for share in self.shares]

    def _step(self, entity: int, share: float) -> int:
        return max(1, round(share * self.steps.get(entity, 0)))


def _name(cell: Cell, generation: int) -> str:
    """Return the name of the document that keeps a curve."""
    return f"curves/{state_scope_of(cell, generation)}/{generation:03d}"


def read_curve(store: Store, cell: Cell, generation: int, tasks: Sequence[str]) -> Mapping[str, Array] | None:
    """Read a curve of a run.

    Args:
        store: The store of the run.
        cell: The cell.
        generation: The generation t.
        tasks: The tasks' names, in the order that the curve must have.

    Returns:
        ``marks`` (M,), ``steps`` (K,), and for each metric ``(M, K, Q)`` losses, nan where they are not measured; None
        if there is no such curve, or one of other tasks.
    """
    document = store.read_document(_name(cell, generation))
    if document is None or document.get("tasks") != list(tasks):
        return None
    entities = len(cell.experiment.ecosystem.names)
    try:
        curve = {name: np.array(document[name], dtype=np.float64) for name in ("marks", "steps", *METRICS)}
    except (KeyError, TypeError, ValueError):  # whoever made the folder may have written anything
        return None
    shape = curve["marks"].size, entities, len(tasks)
    fits = curve["marks"].ndim == 1 and curve["steps"].shape == (entities,)
    fits = fits and all(curve[metric].shape == shape for metric in METRICS)
    return curve if fits else None
