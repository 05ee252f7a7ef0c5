"""Replicates side by side: the shape of a state, weighted sources, and estimates on disk.

A state is the estimates of one entity in R replicates, an array (R, d). All replicates share their features, so one
factorisation serves them all, and every step is an array operation over replicates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from crossfeed.errors import Diverged, InvalidInput
from crossfeed.protocols import Array, LearnerContext, Reading, TrainingSet
from crossfeed.tasks.regression import Family, RegressionTask, features_of, responses_of

__all__ = [
    "StateShape",
    "WeightedSource",
    "finite_estimates",
    "load_estimates",
    "save_estimates",
    "state_shape",
    "weighted_sources",
]

_FILE: Final = "estimates.npy"


@dataclass(frozen=True)
class StateShape:
    """The shape of a state.

    Attributes:
        replicates: R.
        dimension: d.
    """

    replicates: int
    dimension: int

    def zeros(self) -> Array:
        """Return the ``(R, d)`` state before anything is learnt."""
        return np.zeros((self.replicates, self.dimension))


@dataclass(frozen=True)
class WeightedSource:
    """One source's contribution to a weighted loss.

    Attributes:
        weight: Weight of each of its items.
        features: X, ``(n, d)``.
        responses: Y, ``(n, R)``.
        relative: ``(n,)`` factors of the weight, one for each item; None if all are 1.
    """

    weight: float
    features: Array
    responses: Array
    relative: Array | None = None

    @property
    def moment(self) -> Array:
        """The product X'Y, ``(d, R)``, with relative weights X' diag(w) Y."""
        moment: Array = self._weighed.T @ self.responses
        return moment

    @property
    def gram(self) -> Array:
        """The product X'X, ``(d, d)``, with relative weights X' diag(w) X."""
        gram: Array = self._weighed.T @ self.features
        return gram

    @property
    def rows(self) -> Array:
        """``(n,)`` weights of the items."""
        return np.full(len(self.features), self.weight) if self.relative is None else self.weight * self.relative

    @property
    def _weighed(self) -> Array:
        return self.features if self.relative is None else self.features * self.relative[:, None]


def state_shape(context: LearnerContext, kind: str, family: Family) -> StateShape:
    """Return the shape of the states that fit all tasks of an experiment.

    Args:
        context: The cell's tasks.
        kind: The learner's kind, for messages.
        family: The family of responses that the learner fits.

    Raises:
        InvalidInput: A task is no regression task, its responses are of another family, or shapes differ.
    """
    tasks = {}
    for name, task in context.tasks.items():
        if not isinstance(task, RegressionTask):
            raise InvalidInput(
                f"task {name!r}: the learner {kind!r} reads features and responses; received {type(task).__name__}; "
                "give a task of source: regression"
            )
        if task.family != family:
            raise InvalidInput(
                f"task {name!r}: the learner fits {family} responses; received family: {task.family}; give the task "
                f"family: {family}, or another learner (gaussian: linear; logistic, poisson: glm)"
            )
        tasks[name] = task
    shapes = {name: StateShape(task.replicates, task.features.shape[1]) for name, task in tasks.items()}
    if len(set(shapes.values())) > 1:
        received = ", ".join(f"{name}: d = {s.dimension}, R = {s.replicates}" for name, s in shapes.items())
        raise InvalidInput(f"tasks: all need the same dimension and replicates; received {received}")
    return next(iter(shapes.values()))


def weighted_sources(training: TrainingSet, reads: Reading) -> list[WeightedSource]:
    """Return the terms of a training set's loss: sources with their weights, or drawn items that weigh one each.

    Args:
        training: The training set.
        reads: ``everything`` takes the sources' weights, ``draws`` the weight 1.
    """
    return [
        WeightedSource(
            part.weight if reads == "everything" else 1.0,
            features_of(part.items),
            responses_of(part.items),
            part.relative,
        )
        for part in training.parts
        if part.items.num_rows
    ]


def finite_estimates(estimates: Sequence[Array], generation: int) -> list[Array]:
    """Return the estimates if all are finite numbers.

    Args:
        estimates: ``(R, d)`` estimates of each entity.
        generation: The generation t, for the message.

    Raises:
        Diverged: Some are not; it names the entity by its index.
    """
    for entity, theta in enumerate(estimates):
        if not np.isfinite(theta).all():
            raise Diverged(f"the estimate is no longer a finite number at generation {generation}", entity)
    return list(estimates)


def save_estimates(state: Array, folder: Path) -> None:
    """Write estimates to ``estimates.npy``.

    Args:
        state: ``(R, d)`` estimates.
        folder: An existing folder.
    """
    np.save(folder / _FILE, state, allow_pickle=False)


def load_estimates(folder: Path) -> Array:
    """Read the ``(R, d)`` estimates of ``estimates.npy``.

    Args:
        folder: The folder that it is in.
    """
    estimates: Array = np.load(folder / _FILE, allow_pickle=False)
    return estimates
