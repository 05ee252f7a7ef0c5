r"""Numeric samples: points in d dimensions, drawn from a known truth.

A truth is a mixture of Gaussians,

.. math:: p(x) = \sum_c \pi_c \, \mathcal N(x; \mu_c, \Sigma_c),

to which the output of a density model can be compared. An item is one point: a table with the single column
``point``, a fixed-size list of d doubles. A model is given nothing except its key, so a prompt is any item.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, model_validator

from crossfeed.errors import InvalidInput
from crossfeed.keys import generator
from crossfeed.protocols import Array
from crossfeed.settings import Frozen, Number, Sequence_, TaskSettings

__all__ = [
    "MOST_DIMENSIONS",
    "POINT",
    "ComponentSettings",
    "GaussianSamplesSettings",
    "MixtureSamplesSettings",
    "Rows",
    "SampleTask",
    "Seed",
    "Truth",
    "point_items",
    "points_of",
]


POINT: Final = "point"
MOST_DIMENSIONS: Final = 100
# An array of so many numbers takes 0.8 GB; a larger one is refused as a mistake.
_MOST_NUMBERS: Final = 100_000_000

Rows = Annotated[int, Field(ge=1, le=_MOST_NUMBERS)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]


def _covariance(value: Any) -> Any:
    """Return a covariance as floats: a number, d numbers, or d rows of d numbers."""
    if isinstance(value, list | tuple):
        rows = [list(row) if isinstance(row, list | tuple) else row for row in value]
        if rows and (
            all(map(_is_number, rows)) or all(isinstance(row, list) and all(map(_is_number, row)) for row in rows)
        ):
            return tuple(tuple(map(float, row)) if isinstance(row, list) else float(row) for row in rows)
    elif _is_number(value):
        return float(value)
    raise ValueError("give a number (times the identity), d numbers (a diagonal), or d rows of d numbers")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


Mean = Annotated[Sequence_[Number], Field(min_length=1, max_length=MOST_DIMENSIONS)]
Numbers = Annotated[list[float], Field(min_length=1)]
Covariance = Annotated[
    float | tuple[float, ...] | tuple[tuple[float, ...], ...],
    BeforeValidator(
        _covariance, json_schema_input_type=float | Numbers | Annotated[list[Numbers], Field(min_length=1)]
    ),
]


class ComponentSettings(Frozen):
    """One Gaussian of a mixture.

    Attributes:
        mean: mu, d numbers.
        covariance: Sigma: a number (times the identity), d numbers (a diagonal), or d rows of d numbers.
        weight: Its weight, relative to the other components'.
    """

    mean: Mean = (0.0,)
    covariance: Covariance = 1.0
    weight: Annotated[Number, Field(gt=0.0, le=1e9)] = 1.0

    @model_validator(mode="after")
    def _is_a_gaussian(self) -> Self:
        matrix = _matrix(self.covariance, len(self.mean))
        if matrix is None or not np.isfinite(matrix).all() or not np.allclose(matrix, matrix.T):
            raise ValueError(
                f"covariance must be a number, {len(self.mean)} numbers or {len(self.mean)} rows of a symmetric matrix "
                f"(the mean has {len(self.mean)} numbers); received {self.covariance}"
            )
        if np.linalg.eigvalsh(matrix)[0] <= 0:
            raise ValueError(f"covariance must be positive definite; received {self.covariance}")
        return self


class _DrawnSettings(TaskSettings):
    """Settings of samples of a known truth.

    Attributes:
        train: Number of training items.
        test: Number of test items.
        seed: Seed of the items; tasks of other names are independent data, except parts of one corpus.
    """

    train: Rows = 1000
    test: Rows = 1000
    seed: Seed = 0

    @property
    def mixture(self) -> tuple[ComponentSettings, ...]:
        """The truth's components."""
        raise NotImplementedError

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        if max(self.train, self.test) * len(self.mixture[0].mean) > _MOST_NUMBERS:
            raise ValueError(f"train and test times the dimension may be at most {_MOST_NUMBERS:,}; give fewer")
        return self

    def build(self, name: str, data_root: Path | None) -> SampleTask:
        """Draw the items; `data_root` is not read."""
        truth = Truth.of(self.mixture, self.seed, self.corpus(name))
        return SampleTask(name, truth.draw(self.train, "train"), truth.draw(self.test, "test"), truth)


class GaussianSamplesSettings(_DrawnSettings):
    """Samples of a Gaussian with a known mean and covariance.

    Attributes:
        mean: mu, d numbers.
        covariance: Sigma: a number (times the identity), d numbers (a diagonal), or d rows of d numbers.
    """

    source: Literal["gaussian"] = "gaussian"
    licence: ClassVar[str] = "apache-2.0"
    mean: Mean = (0.0,)
    covariance: Covariance = 1.0

    @property
    def mixture(self) -> tuple[ComponentSettings, ...]:
        """The Gaussian as the only component."""
        return (ComponentSettings(mean=self.mean, covariance=self.covariance),)


class MixtureSamplesSettings(_DrawnSettings):
    """Samples of a mixture of Gaussians.

    Attributes:
        components: Its Gaussians, all of one dimension.
    """

    source: Literal["mixture"] = "mixture"
    licence: ClassVar[str] = "apache-2.0"
    components: Annotated[Sequence_[ComponentSettings], Field(min_length=1, max_length=1000)]

    @property
    def mixture(self) -> tuple[ComponentSettings, ...]:
        """The components as given."""
        return self.components

    @model_validator(mode="after")
    def _one_dimension(self) -> Self:
        sizes = sorted({len(each.mean) for each in self.components})
        if len(sizes) > 1:
            raise ValueError(f"all components need means of one dimension; received means of {sizes} numbers")
        return self


@dataclass(frozen=True, eq=False)
class Truth:
    """A mixture of Gaussians that samples are drawn from.

    Attributes:
        weights: pi, shape (C,); they sum to 1.
        means: mu, shape (C, d).
        covariances: Sigma, shape (C, d, d).
        path: Words and numbers that fix its random numbers.
    """

    weights: Array
    means: Array
    covariances: Array
    path: tuple[int | str, ...]

    @classmethod
    def of(cls, components: Sequence[ComponentSettings], seed: int, name: str) -> Truth:
        """Build a truth from a description.

        Args:
            components: The Gaussians.
            seed: The task's seed.
            name: The task's name (`crossfeed.settings.TaskSettings.corpus`).

        Returns:
            The mixture, with its weights normalised.
        """
        weights = np.array([each.weight for each in components])
        matrices = [_matrix(each.covariance, len(each.mean)) for each in components]
        means = np.array([each.mean for each in components])
        return cls(weights / weights.sum(), means, np.array(matrices), (seed, "samples", name))

    @property
    def mean(self) -> Array:
        """The mean of the whole mixture, shape (d,)."""
        return np.asarray(self.weights @ self.means)

    @property
    def covariance(self) -> Array:
        """The covariance of the whole mixture, shape (d, d)."""
        apart = self.means - self.mean
        between = apart[:, :, None] * apart[:, None, :]
        return np.asarray(np.tensordot(self.weights, self.covariances + between, 1))

    def log_density(self, points: Array) -> Array:
        """Return the log density.

        Args:
            points: Points, shape (n, d).

        Returns:
            Log densities in nats, shape (n,).
        """
        from scipy.special import logsumexp
        from scipy.stats import multivariate_normal

        parts = [
            multivariate_normal.logpdf(points, mean, covariance).reshape(len(points))
            for mean, covariance in zip(self.means, self.covariances, strict=True)
        ]
        return np.asarray(logsumexp(parts, axis=0, b=self.weights[:, None]))

    def draw(self, rows: int, *path: int | str) -> pa.Table:
        """Draw items.

        Args:
            rows: Number of items.
            *path: Words and numbers that fix the random numbers, with those of the truth.

        Returns:
            A table with the column ``point``.
        """
        random = generator(*self.path, *path)
        which = random.choice(len(self.weights), size=rows, p=self.weights)
        normal = random.standard_normal((rows, self.means.shape[1]))
        roots = np.linalg.cholesky(self.covariances)
        return point_items(self.means[which] + np.einsum("nij,nj->ni", roots[which], normal))


# Compared by identity: tables have no hash, and two tasks with equal `content` hold equal data anyway.
@dataclass(frozen=True, eq=False)
class SampleTask:
    """Points to train on and to test (the `crossfeed.protocols.Task` protocol).

    Attributes:
        name: Its name in the experiment.
        train: Training items.
        test: Test items.
        truth: The mixture that they were drawn from; None for data of a file.
    """

    name: str
    train: pa.Table
    test: pa.Table
    truth: Truth | None = None

    @property
    def validation(self) -> pa.Table:
        """An empty table."""
        return self.train.slice(0, 0)

    @property
    def content(self) -> str:
        """A hash of all points, and of the truth that fresh ones are drawn from."""
        truth = [] if self.truth is None else [self.truth.weights, self.truth.means, self.truth.covariances]
        digest = hashlib.blake2b(repr(None if self.truth is None else self.truth.path).encode(), digest_size=8)
        for array in (points_of(self.train), points_of(self.test), *truth):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def restricted(self, rows: NDArray[np.int64]) -> SampleTask:
        """Return the task with some rows of `train` alone."""
        return replace(self, train=self.train.take(pa.array(rows)))

    def reserve(self, generations: int) -> tuple[SampleTask, Sequence[pa.Table]]:
        """Return fresh points: drawn from the truth, as many as training items; of a file, its second half.

        Args:
            generations: T.

        Returns:
            The task without the fresh points, and items for each generation t = 1, ..., T.

        Raises:
            InvalidInput: A file has too few rows for fresh ones in each generation.
        """
        if self.truth is not None:
            return self, [self.truth.draw(self.train.num_rows, "fresh", t) for t in range(1, generations + 1)]
        kept = self.train.num_rows // 2
        size = (self.train.num_rows - kept) // generations
        if size == 0:
            raise InvalidInput(
                f"{self.name}: half of {self.train.num_rows} rows are too few for fresh ones in each of {generations} "
                "generations; give more rows, or fewer generations"
            )
        fresh = [self.train.slice(kept + t * size, size) for t in range(generations)]
        return SampleTask(self.name, self.train.slice(0, kept), self.test), fresh

    def grade(self, items: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_] | None:
        """Return None: points are not graded."""
        return None


def point_items(points: Array) -> pa.Table:
    """Build a table of items from points, shape (n, d)."""
    flat = np.ascontiguousarray(points, dtype=np.float64).reshape(-1)
    return pa.table({POINT: pa.FixedSizeListArray.from_arrays(pa.array(flat), points.shape[1])})


def points_of(items: pa.Table) -> Array:
    """Return the points of items, shape (n, d); read-only if no copy is needed."""
    column = items.column(POINT)
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    points: Array = flat.reshape(items.num_rows, column.type.list_size)
    return points


def _matrix(covariance: Any, dimension: int) -> Array | None:
    """Return a covariance as a matrix; None if it has another dimension."""
    if isinstance(covariance, float):
        return covariance * np.eye(dimension)
    if not isinstance(covariance[0], tuple):
        return np.diag(covariance) if len(covariance) == dimension else None
    fits = len(covariance) == dimension and all(len(row) == dimension for row in covariance)
    return np.array(covariance) if fits else None
