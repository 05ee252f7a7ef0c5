r"""What learners of regression tasks share: replicates side by side, keyed noise, weighted parts.

A state is the estimates of one entity in R replicates, an array (R, d). All replicates share their features, so one
factorisation serves them all, and every step is an array operation over replicates.

Outputs are compared through angles: a response y becomes the unit vector :math:`(\cos\arctan y, \sin\arctan y)`, and an
item the R such vectors over :math:`\sqrt R`. Two items have a cosine of 1 exactly where all their responses agree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from crossfeed.errors import Diverged, InvalidInput
from crossfeed.protocols import Array, LearnerContext, Scores, TrainingSet
from crossfeed.tasks.regression import Family, RegressionTask, features_of, responses_of

__all__ = [
    "Reading",
    "Shape",
    "WeightedPart",
    "angles",
    "finite_estimates",
    "keyed_normals",
    "keyed_uniforms",
    "load_estimates",
    "mean_scores",
    "predictors",
    "save_estimates",
    "shape_of",
    "weighted_parts",
]

Reading = Literal["everything", "draws"]
_FILE: Final = "estimates.npy"


@dataclass(frozen=True)
class Shape:
    """The shape of a state.

    Attributes:
        replicates: R.
        dimension: d.
    """

    replicates: int
    dimension: int

    def zeros(self) -> Array:
        """The state before anything is learnt, shape (R, d)."""
        return np.zeros((self.replicates, self.dimension))


@dataclass(frozen=True)
class WeightedPart:
    """One source's part of a weighted loss.

    Attributes:
        weight: What each of its items weighs.
        features: X, shape (n, d).
        responses: Y, shape (n, R).
    """

    weight: float
    features: Array
    responses: Array

    @property
    def moment(self) -> Array:
        """X'Y, shape (d, R)."""
        moment: Array = self.features.T @ self.responses
        return moment


def shape_of(context: LearnerContext, kind: str, family: Family) -> Shape:
    """The shape of the states that fit all tasks of an experiment.

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
    shapes = {name: Shape(task.replicates, task.features.shape[1]) for name, task in tasks.items()}
    if len(set(shapes.values())) > 1:
        received = ", ".join(f"{name}: d = {s.dimension}, R = {s.replicates}" for name, s in shapes.items())
        raise InvalidInput(f"tasks: all need the same dimension and replicates; received {received}")
    return next(iter(shapes.values()))


def weighted_parts(training: TrainingSet, reads: Reading) -> list[WeightedPart]:
    """The parts of a training set's loss: sources with their weights, or drawn items that weigh one each."""
    return [
        WeightedPart(part.weight if reads == "everything" else 1.0, features_of(part.items), responses_of(part.items))
        for part in training.parts
        if part.items.num_rows
    ]


def predictors(features: Array, estimates: Array) -> Array:
    """Linear predictors X theta', shape (n, R); a row does not depend on the other rows, to the last bit."""
    # One product a row: a single matrix product rounds a row differently as its neighbours change.
    rows: Array = np.matmul(features[:, None, :], estimates.T)[:, 0]
    return rows


def keyed_normals(keys: NDArray[np.uint64], replicates: int) -> Array:
    """Standard normals (n, R): row i is the first R of the Philox stream of key i."""
    return _keyed(keys, replicates, lambda random, row: random.standard_normal(out=row))


def keyed_uniforms(keys: NDArray[np.uint64], replicates: int) -> Array:
    """Numbers in [0, 1), shape (n, R): row i is the first R of the Philox stream of key i."""
    return _keyed(keys, replicates, lambda random, row: random.random(out=row))


def _keyed(keys: NDArray[np.uint64], replicates: int, fill: Callable[[np.random.Generator, Array], object]) -> Array:
    """Rows of numbers, as from ``np.random.Generator(np.random.Philox(key=key))`` for each key."""
    rows = np.empty((len(keys), replicates))
    # Setting a generator back to the beginning of another key's stream is faster than making one.
    bits = np.random.Philox(key=0)
    random, beginning = np.random.Generator(bits), bits.state
    for row, key in zip(rows, keys.tolist(), strict=True):
        beginning["state"]["key"][0] = key
        bits.state = beginning
        fill(random, row)
    return rows


def mean_scores(losses: Array) -> Scores:
    """Scores of items from the losses (n, R) of each replicate: their mean, one term an item."""
    loss = losses.mean(axis=1)
    size = np.ones(len(loss))
    return Scores(loss, size, loss, size)


def angles(responses: Array) -> NDArray[np.float32]:
    """Unit-norm features of items, shape (n, 2R); see the module."""
    length = np.sqrt(responses.shape[1] * (1.0 + responses**2))
    return np.concatenate([1.0 / length, responses / length], axis=1).astype(np.float32)


def finite_estimates(estimates: Sequence[Array], generation: int) -> list[Array]:
    """The estimates, if all are finite numbers.

    Raises:
        Diverged: Naming the entity by its index.
    """
    for entity, theta in enumerate(estimates):
        if not np.isfinite(theta).all():
            raise Diverged(f"the estimate is no longer a finite number at generation {generation}", entity)
    return list(estimates)


def save_estimates(state: Array, folder: Path) -> None:
    """Write ``estimates.npy``."""
    np.save(folder / _FILE, state, allow_pickle=False)


def load_estimates(folder: Path) -> Array:
    """Read ``estimates.npy``."""
    estimates: Array = np.load(folder / _FILE, allow_pickle=False)
    return estimates
