r"""Regression data with fixed features: the setting of the exact theory, as a task.

Responses of n rows of features X (n x d) follow a generalised linear model with the canonical link,

.. math:: \eta = X\theta^*, \qquad \mathrm{E}\,y = \mu(\eta), \qquad
    \mu(\eta) = \eta \ (\text{gaussian}), \quad 1/(1 + e^{-\eta}) \ (\text{logistic}), \quad
    e^{\eta} \ (\text{poisson}),

a gaussian response with noise of standard deviation sigma (paper, Section 5). R *replicates*, independent data sets
that share their features, are kept side by side: an item is one row of features with its R responses. Columns:
``x``, a fixed-size list of d doubles, and ``y``, a fixed-size list of R doubles.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from crossfeed.cache import expanded
from crossfeed.errors import CrossfeedError, DataUnavailable, InvalidInput
from crossfeed.keys import generator
from crossfeed.protocols import PUBLIC, Array
from crossfeed.schema_rules import all_or_none, exactly_one
from crossfeed.settings import WITH_PART, Frozen, Number, TaskSettings
from crossfeed.theory import random_features

__all__ = [
    "Family",
    "RandomTruth",
    "RegressionSettings",
    "RegressionTask",
    "features_of",
    "mean_response",
    "regression_items",
    "responses_of",
]

Family = Literal["gaussian", "logistic", "poisson"]

_ARRAY: Final = "features"
_BEGINNINGS: Final = (b"PK", b"\x93N")
"""First bytes of numpy's archives and of its single arrays."""
# An array of so many numbers takes 0.8 GB; a larger one is refused as a mistake before it is allocated.
_MOST_NUMBERS: Final = 100_000_000
# Counts above this are no longer whole numbers in double precision.
_LARGEST_MEAN: Final = 2.0**52


class RandomTruth(Frozen):
    """A parameter vector of a uniformly random direction.

    Attributes:
        seed: Seed of the direction.
        norm: Its Euclidean length.
    """

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    norm: Annotated[Number, Field(ge=0.0, le=1e100)] = 1.0

    def draw(self, dimension: int) -> Array:
        """Draw the vector.

        Args:
            dimension: d, its length.

        Returns:
            The vector, shape (d,).
        """
        direction: Array = generator(self.seed, "regression", "truth").standard_normal(dimension)
        return direction * (self.norm / np.linalg.norm(direction))


def _truth(value: Any) -> Any:
    if value is None or isinstance(value, RandomTruth):
        return value
    if isinstance(value, dict):
        return RandomTruth.model_validate(value)
    numbers: Sequence[Any] = value if isinstance(value, list | tuple) and value else [None]
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in numbers):
        raise ValueError("truth is a list of d numbers, a mapping {seed: 0, norm: 1}, or null for the zero vector")
    return tuple(float(each) for each in numbers)


class RegressionSettings(TaskSettings):
    """Regression data, with features that are drawn or read from a file.

    Drawn features are those of `crossfeed.theory.random_features`: the private matrix number `entity` of a seed, and
    for the task named ``public`` the public matrix of the seed. They depend on the seed only; responses depend on
    the seed and on the task's name, so that tasks of one seed are independent data. Parts of one corpus (`part`) are
    rows of one private matrix and its responses, whatever the task's name, ``public`` included.

    Attributes:
        dimension: d, the number of features.
        rank: Rank of the features; default the largest possible.
        rows: n, the number of items.
        entity: Index of the seed's private feature matrix.
        seed: Seed of features and responses.
        features: An ``.npz`` file whose array ``features`` (n, d) is taken instead; ``~`` is the home folder, and a
            relative path starts where the command is run.
        noise: Standard deviation sigma of gaussian responses; other families have none.
        replicates: R, the number of independent data sets.
        truth: theta*: d numbers, ``{seed: 0, norm: 1}`` for a random direction, or null for zero.
        family: Distribution of the responses.
        redraw: True if what is published is labelled at new rows at each generation: Gaussian ones with the second
            moments of the rows trained on, in whose span they lie. By default the rows trained on are labelled.
    """

    model_config = ConfigDict(
        json_schema_extra=WITH_PART | exactly_one("features", "dimension") | all_or_none("dimension", "rows")
    )

    source: Literal["regression"] = "regression"
    dimension: Annotated[int, Field(ge=1, le=10_000)] | None = None
    rank: Annotated[int, Field(ge=1)] | None = None
    rows: Annotated[int, Field(ge=1, le=_MOST_NUMBERS)] | None = None
    entity: Annotated[int, Field(ge=0, le=10_000)] = 0
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    features: Annotated[str, Field(min_length=1)] | None = None
    noise: Annotated[Number, Field(ge=0.0)] = 1.0
    replicates: Annotated[int, Field(ge=1, le=1_000_000)] = 1
    truth: Annotated[
        RandomTruth | tuple[float, ...] | None,
        BeforeValidator(
            _truth, json_schema_input_type=RandomTruth | Annotated[list[float], Field(min_length=1)] | None
        ),
    ] = None
    family: Family = "gaussian"
    redraw: bool = False

    @model_validator(mode="after")
    def _features_from_one_place(self) -> Self:
        if self.features is not None:
            sizes = {"dimension": self.dimension, "rank": self.rank, "rows": self.rows}
            given = [name for name, size in sizes.items() if size is not None]
            if given:
                raise ValueError(f"{', '.join(given)}: the file under features says so; leave it out")
        elif self.dimension is None or self.rows is None:
            raise ValueError("give dimension and rows to draw features, or features: a file to read them from")
        elif self.rank is not None and self.rank > min(self.dimension, self.rows):
            most = f"the dimension ({self.dimension}) and the rows ({self.rows})"
            raise ValueError(f"rank must be at most {most}; received {self.rank}")
        if self.dimension is not None and self.rows is not None:
            features, responses = (self.entity + 1) * self.rows * self.dimension, self.rows * self.replicates
            if max(features, responses) > _MOST_NUMBERS:
                raise ValueError(
                    f"(entity + 1) x rows x dimension are {features:,} features, rows x replicates {responses:,} "
                    f"responses; give smaller ones, at most {_MOST_NUMBERS:,} of each"
                )
        return self

    def build(self, name: str, data_root: Path | None) -> RegressionTask:
        """Draw or read the features and draw the responses; `data_root` is not read.

        Raises:
            DataUnavailable: The file of features cannot be read.
            InvalidInput: The features are no finite matrix, or the truth has another dimension.
        """
        features = self._drawn(name) if self.features is None else _read_features(expanded(self.features))
        return RegressionTask(name, features, self._true(features.shape[1]), self)

    def _drawn(self, name: str) -> Array:
        assert self.dimension is not None  # noqa: S101 - for the type checker; validated on construction
        assert self.rows is not None  # noqa: S101 - as above
        rank = self.rank or min(self.dimension, self.rows)
        drawn = random_features(1, self.dimension, rank, self.rows, self.seed, rank, self.rows, first=self.entity)
        return drawn.public if self.corpus(name) == PUBLIC else np.ascontiguousarray(drawn.private[0])

    def _true(self, dimension: int) -> Array:
        if self.truth is None:
            return np.zeros(dimension)
        if isinstance(self.truth, RandomTruth):
            return self.truth.draw(dimension)
        if len(self.truth) != dimension:
            raise InvalidInput(f"truth must have one number for each of {dimension} features; received {self.truth}")
        return np.array(self.truth)


# Compared by identity: arrays have no hash, and two tasks with equal `content` hold equal data anyway.
@dataclass(frozen=True, eq=False)
class RegressionTask:
    """R data sets on one matrix of features (the `crossfeed.protocols.Task` protocol).

    The test items are the training rows again, with the mean response E y in place of a drawn one: what is measured is
    the error of the prediction itself, and a mean squared error of E |X (theta - theta*)|^2 / n (paper, Section 5).

    Attributes:
        name: Its name in the experiment.
        features: X, shape (n, d).
        truth: theta*, shape (d,).
        settings: Its description.
        rows: Rows of X that are trained on; None for all.
        train: These rows with R drawn responses each.
        validation: Empty.
        test: The features with the mean response, R times.
        content: A hash of the features, the truth and the responses.
    """

    name: str
    features: Array
    truth: Array
    settings: RegressionSettings
    rows: NDArray[np.int64] | None = None
    train: pa.Table = field(init=False)
    validation: pa.Table = field(init=False)
    test: pa.Table = field(init=False)
    content: str = field(init=False)

    def __post_init__(self) -> None:
        if not (self._mean < _LARGEST_MEAN).all():
            raise InvalidInput(
                f"{self.name}: under this truth a mean response is {self._mean.max():.3g}; give a smaller truth"
            )
        drawn = self._responses("train", 0)
        train = self._trained(drawn)
        object.__setattr__(self, "train", train)
        object.__setattr__(self, "validation", train.slice(0, 0))
        object.__setattr__(
            self, "test", regression_items(self.features, np.repeat(self._mean[:, None], self.replicates, 1))
        )
        digest = hashlib.blake2b(repr((self.features.shape, drawn.shape)).encode(), digest_size=8)
        for array in (self.features, self.truth, self._mean, drawn, *([] if self.rows is None else [self.rows])):
            digest.update(np.ascontiguousarray(array).tobytes())
        object.__setattr__(self, "content", digest.hexdigest())

    @property
    def noise(self) -> float:
        """Standard deviation sigma of gaussian responses."""
        return self.settings.noise

    @property
    def family(self) -> Family:
        """Distribution of the responses."""
        return self.settings.family

    @property
    def replicates(self) -> int:
        """R, the number of independent data sets."""
        return self.settings.replicates

    def restricted(self, rows: NDArray[np.int64]) -> RegressionTask:
        """Return the task with some rows of `train` alone."""
        return replace(self, rows=rows)

    def rows_at(self, generation: int) -> Array:
        """Return the rows that are labelled for others at a generation.

        Args:
            generation: The generation t >= 1 of publication.

        Returns:
            X_t, shape (n, d): the rows trained on; or, if they are drawn anew, Z X / sqrt(n) with a Gaussian (n, n)
            matrix Z of the seed, the task and t, so that E X_t'X_t = X'X.
        """
        trained = self.features if self.rows is None else self.features[self.rows]
        if not self.settings.redraw:
            return trained
        n = len(trained)
        random = generator(self.settings.seed, "regression", self.settings.corpus(self.name), "rows", generation)
        redrawn: Array = random.standard_normal((n, n)) @ trained / np.sqrt(n)
        return redrawn

    def prompts_at(self, generation: int) -> pa.Table:
        """Return the items that are answered for others at a generation, see `rows_at`; responses are 0.

        Args:
            generation: The generation t >= 1 of publication.
        """
        if not self.settings.redraw:
            return self.train
        rows = self.rows_at(generation)
        return regression_items(rows, np.zeros((len(rows), self.replicates)))

    def reserve(self, generations: int) -> tuple[RegressionTask, Sequence[pa.Table]]:
        """Draw fresh data: the features trained on, with newly drawn responses; the task keeps all its items.

        In the theory's notation S_F = S_*.

        Args:
            generations: T.

        Returns:
            The task, and items for each generation t = 1, ..., T.
        """
        fresh = [self._trained(self._responses("fresh", t)) for t in range(1, generations + 1)]
        return self, fresh

    def grade(self, items: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_] | None:
        """Return None: numbers are not graded."""
        return None

    def _trained(self, responses: Array) -> pa.Table:
        """Return the items to train on, from the responses of all rows."""
        items = regression_items(self.features, responses)
        return items if self.rows is None else items.take(pa.array(self.rows))

    @property
    def _mean(self) -> Array:
        return mean_response(self.family, self.features @ self.truth)

    def _responses(self, split: str, generation: int) -> Array:
        """Draw responses (n, R); the first replicates do not depend on the number of replicates."""
        random = generator(self.settings.seed, "regression", self.settings.corpus(self.name), split, generation)
        shape = (self.replicates, len(self.features))
        if self.family == "gaussian":
            drawn = self._mean + self.noise * random.standard_normal(shape)
        elif self.family == "logistic":
            drawn = (random.random(shape) < self._mean).astype(np.float64)
        else:
            drawn = random.poisson(self._mean, shape).astype(np.float64)
        return np.ascontiguousarray(drawn.T)


def mean_response(family: Family, predictor: Array) -> Array:
    """Return the mean response mu(eta), element by element.

    Args:
        family: Distribution of the response.
        predictor: Linear predictors eta, of any shape.

    Returns:
        Means of the same shape.
    """
    if family == "gaussian":
        return predictor
    with np.errstate(over="ignore"):  # to infinity, as it should
        mean: Array = np.exp(predictor) if family == "poisson" else 1.0 / (1.0 + np.exp(-predictor))
    return mean


def regression_items(features: Array, responses: Array) -> pa.Table:
    """Build items.

    Args:
        features: X, shape (n, d).
        responses: y, shape (n, R).

    Returns:
        A table with the columns ``x`` and ``y``.
    """
    return pa.table({"x": _column(features), "y": _column(responses)})


def features_of(items: pa.Table) -> Array:
    """Return the features of items, shape (n, d); read-only if no copy is needed."""
    return _matrix(items, "x")


def responses_of(items: pa.Table) -> Array:
    """Return the responses of items, shape (n, R); read-only if no copy is needed."""
    return _matrix(items, "y")


def _column(matrix: Array) -> pa.Array:
    flat = np.ascontiguousarray(matrix, dtype=np.float64).reshape(-1)
    # Reading the buffer directly spares loading pandas, which `pa.array` does.
    values = pa.Array.from_buffers(pa.float64(), flat.size, [None, pa.py_buffer(flat)])
    return pa.FixedSizeListArray.from_arrays(values, matrix.shape[1])


def _matrix(items: pa.Table, name: str) -> Array:
    column = items.column(name)
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    matrix: Array = flat.reshape(items.num_rows, column.type.list_size)
    return matrix


def _read_features(path: Path) -> Array:
    features = _load_array(path)
    usable = features.dtype.kind in "fiu" and features.ndim == 2 and features.size > 0
    if not usable or not np.isfinite(features).all():
        raise InvalidInput(
            f"{path}: features must be a matrix of finite numbers, shape (n, d); received shape {features.shape} of "
            f"{features.dtype}"
        )
    return np.ascontiguousarray(features, dtype=np.float64)


def _load_array(path: Path) -> NDArray[Any]:
    wanted = f"write it with numpy.savez(path, {_ARRAY}=X)"
    try:
        with path.open("rb") as file:
            beginning = file.read(2)
        if beginning not in _BEGINNINGS:  # numpy takes everything else for pickled objects
            raise DataUnavailable(f"{path}: the file is no .npz archive; {wanted}")
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InvalidInput(f"{path}: received a single array, not an .npz file; {wanted}")
        with archive:
            if _ARRAY not in archive:
                names = ", ".join(archive) or "nothing"
                raise InvalidInput(f"{path}: there is no array {_ARRAY!r} in it, but {names}; {wanted}")
            array: NDArray[Any] = archive[_ARRAY]
    except (OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataUnavailable(f"{path}: features cannot be read ({error}); {wanted}") from error
    except ValueError as error:
        if isinstance(error, CrossfeedError):
            raise
        raise DataUnavailable(f"{path}: features hold objects, not numbers; {wanted}") from error
    return array
