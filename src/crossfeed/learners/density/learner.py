"""The learner of every density model: it reads and publishes points, and saves states as one ``.npz`` file."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import DataUnavailable, Diverged, InvalidInput
from crossfeed.learners.density.family import DensityFamily, DensityState, Unfit
from crossfeed.learners.density.settings import DensitySettings
from crossfeed.learners.numeric import angles, item_weights, mean_scores
from crossfeed.protocols import Array, LearnerContext, Reading, Scores, TrainingSet
from crossfeed.tasks.samples import POINT, point_items, points_of

__all__ = ["DensityLearner", "weighted_points"]

_FILE: Final = "density.npz"


@dataclass(frozen=True)
class DensityLearner:
    """Density models of one family; see `crossfeed.learners.density.settings`.

    Attributes:
        family: The family.
        reads: What training sets hold.
        dimension: Dimension d of the points.
    """

    family: DensityFamily
    reads: Reading
    dimension: int

    @classmethod
    def of(cls, family: DensityFamily, settings: DensitySettings, context: LearnerContext) -> DensityLearner:
        """Build the learner of a family for the tasks of an experiment.

        Args:
            family: The family, with its own settings applied.
            settings: The description that the family comes from.
            context: The cell's tasks.

        Raises:
            InvalidInput: A task has no points, or points of another dimension.
        """
        sizes = {}
        for name, task in context.tasks.items():
            if POINT not in task.train.column_names:
                raise InvalidInput(
                    f"task {name!r}: the learner {settings.kind!r} reads points; received {type(task).__name__}; give "
                    "a task of source: gaussian, mixture or columns"
                )
            sizes[name] = task.train.column(POINT).type.list_size
        if len(set(sizes.values())) > 1:
            received = ", ".join(f"{name}: d = {size}" for name, size in sizes.items())
            raise InvalidInput(f"tasks: all need points of the same dimension; received {received}")
        return cls(family, settings.reading(), next(iter(sizes.values())))

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return n: every drawn point is read.

        Args:
            n: Number of drawn points.
            generation: The generation t.
            entity: The entity's index.
        """
        return n

    def start(self, entities: Sequence[int]) -> list[DensityState]:
        """Return a standard normal density for every entity, as far as the family has one.

        Args:
            entities: Indices of the entities.
        """
        return [self.family.start(self.dimension)] * len(entities)

    def update(
        self, states: Sequence[DensityState], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[DensityState]:
        """Fit a density to each training set.

        Args:
            states: One state for each training set.
            sets: Training sets of points.
            keys: One key for each state; it seeds what is random in fitting.
            generation: The generation t.

        Returns:
            New states in the order of `states`.

        Raises:
            Diverged: A training set has no fit; it names the entity by its index.
        """
        fitted = []
        for entity, (state, training, key) in enumerate(zip(states, sets, keys, strict=True)):
            points, weights = weighted_points(training, self.reads)
            try:
                fitted.append(self.family.fit(points, weights, None if generation == 0 else state, key))
            except Unfit as error:
                raise Diverged(f"generation {generation}: {error}", entity) from error
        return fitted

    def generate(
        self, states: Sequence[DensityState], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Draw points of each density; prompts have no effect.

        Args:
            states: One for each table of prompts.
            prompts: Items; only their number matters.
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of points.
        """
        return [point_items(self.family.sample(state, own)) for state, own in zip(states, keys, strict=True)]

    def score(self, states: Sequence[DensityState], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return negative log-likelihoods in nats, one term for each point.

        Args:
            states: States.
            tables: Tables of points.

        Returns:
            Scores of every state (outer list) on every table (inner list).
        """
        points = [points_of(items) for items in tables]
        return [[mean_scores(-self.family.log_density(state, each)[:, None]) for each in points] for state in states]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return coordinates as angles, see `crossfeed.learners.numeric`.

        Args:
            tables: Tables of points.

        Returns:
            ``(rows, 2d)`` unit-norm features for each table.
        """
        return [angles(points_of(items)) for items in tables]

    def save(self, state: DensityState, folder: Path) -> None:
        """Write the state's arrays as ``density.npz``.

        Args:
            state: Arrays by name.
            folder: An existing empty folder.
        """
        np.savez(folder / _FILE, allow_pickle=False, **state)

    def load(self, folder: Path) -> DensityState:
        """Read the arrays that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: The file cannot be read.
        """
        try:
            # From memory: NumPy leaves a file open that it cannot read.
            with np.load(io.BytesIO((folder / _FILE).read_bytes()), allow_pickle=False) as archive:
                return {name: archive[name] for name in archive}
        except (OSError, EOFError, ValueError, zipfile.BadZipFile) as error:
            raise DataUnavailable(f"{folder}: {_FILE} cannot be read ({error})") from error

    def describe(self) -> dict[str, str]:
        """Return device, precision and dimension, for the run's environment file."""
        return {"device": "cpu", "precision": "float64", "dimension": str(self.dimension)}


def weighted_points(training: TrainingSet, reads: Reading) -> tuple[Array, Array]:
    """Return the points of a training set and their weights.

    Drawn points weigh the same; if everything is read, a source's points share the source's weight.

    Args:
        training: The training set.
        reads: What it holds.

    Returns:
        ``(m, d)`` points, and ``(m,)`` weights that sum to 1.
    """
    if reads == "draws":
        points = points_of(training.items)
        return points, np.full(len(points), 1.0 / len(points))
    parts = [part for part in training.parts if part.items.num_rows]
    weights = np.concatenate([item_weights(part) for part in parts])
    return np.concatenate([points_of(part.items) for part in parts]), weights / weights.sum()
