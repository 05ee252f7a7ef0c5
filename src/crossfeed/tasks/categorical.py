r"""Symbols that are drawn from a known distribution: the simplest data in which tails can be lost.

A truth is d probabilities, given as they are, uniform, or of the law of Zipf and Mandelbrot,

.. math:: p_i \propto (i + b)^{-a}, \qquad i = 1, \dots, d .

R *replicates*, independent data sets, are kept side by side: an item is R symbols, one of each data set, in the single
column ``symbol``, a fixed-size list of R whole numbers from 0 to d - 1 (of 16 bits where these hold them, else 32). A
model is given nothing except its key, so a prompt is any item.

Items are independent draws, and symbols repeat: a row of one split is no row of another, but it can say the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from crossfeed.keys import generator
from crossfeed.protocols import Array
from crossfeed.schema_rules import exactly_one
from crossfeed.settings import WITH_PART, Frozen, NonNegative, Number, Sequence_, TaskSettings, numbers_of
from crossfeed.tasks.inverse_transform import InverseTransform, Symbols, symbol_type

__all__ = [
    "MOST_NUMBERS",
    "SYMBOL",
    "CategoricalTask",
    "CategoricalTaskSettings",
    "ZipfSettings",
    "symbol_items",
    "symbols_of",
]

SYMBOL: Final = "symbol"
MOST_NUMBERS: Final = 100_000_000
"""The most numbers of one array (0.8 GB as doubles); a larger one is refused as a mistake."""
_AT_ONCE: Final = 2**20

Rows = Annotated[int, Field(ge=1, le=MOST_NUMBERS)]
Alphabet = Annotated[int, Field(ge=1, le=MOST_NUMBERS)]


class ZipfSettings(Frozen):
    """Probabilities of the law of Zipf and Mandelbrot, proportional to (i + shift)^-exponent for i = 1, ..., symbols.

    Attributes:
        symbols: d, the number of symbols.
        exponent: a; 0 is uniform.
        shift: b > -1.
    """

    symbols: Alphabet
    exponent: Annotated[Number, Field(ge=0.0, le=100.0)] = 1.0
    shift: Annotated[Number, Field(gt=-1.0, le=1e9)] = 0.0


class CategoricalTaskSettings(TaskSettings):
    """Symbols drawn from a known distribution: give one of ``probabilities``, ``zipf`` and ``uniform``.

    Parts of one corpus (`part`) are every m-th of its draws, so that each is a sample of its own.

    Attributes:
        probabilities: Weights of the d symbols, which are divided by their sum.
        zipf: The law of Zipf and Mandelbrot.
        uniform: d, the number of symbols of one probability.
        train: Number of training items.
        test: Number of test items.
        seed: Seed of the items; tasks of other names are independent data, except parts of one corpus.
        replicates: R, the number of independent data sets.
    """

    model_config = ConfigDict(json_schema_extra=WITH_PART | exactly_one("probabilities", "zipf", "uniform"))

    source: Literal["categorical"] = "categorical"
    licence: ClassVar[str] = "apache-2.0"
    divides_itself: ClassVar[bool] = True
    probabilities: Annotated[Sequence_[NonNegative], Field(min_length=1)] | None = None
    zipf: ZipfSettings | None = None
    uniform: Alphabet | None = None
    train: Rows = 1000
    test: Rows = 1000
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    replicates: Annotated[int, Field(ge=1, le=1_000_000)] = 1

    @model_validator(mode="after")
    def _is_a_distribution(self) -> Self:
        given = [name for name in ("probabilities", "zipf", "uniform") if getattr(self, name) is not None]
        if len(given) != 1:
            received = " and ".join(given) or "none of them"
            raise ValueError(f"give one of probabilities, zipf and uniform; received {received}")
        if self.probabilities is not None and not 0 < sum(self.probabilities) < np.inf:
            raise ValueError(f"probabilities need a positive, finite sum; received {sum(self.probabilities):g}")
        return self

    @model_validator(mode="after")
    def _fits_into_memory(self) -> Self:
        numbers = max(self.train, self.test, self.symbols) * self.replicates
        if numbers > MOST_NUMBERS:
            raise ValueError(
                f"train, test and the number of symbols, each times the replicates, may be at most {MOST_NUMBERS:,}; "
                f"received {numbers:,}; give fewer"
            )
        if self.part is not None and numbers_of(self.part)[1] > self.train:
            raise ValueError(f"part: {self.part} of {self.train} training items; give at most {self.train} parts")
        return self

    @property
    def symbols(self) -> int:
        """The number of symbols d."""
        if self.probabilities is not None:
            return len(self.probabilities)
        return self.zipf.symbols if self.zipf is not None else self.uniform or 0

    @property
    def truth_probabilities(self) -> Array:
        """The truth p, shape (d,), which sums to 1; no data are drawn for it."""
        if self.probabilities is not None:
            weights = np.array(self.probabilities)
        elif self.zipf is not None:
            # Over the largest, so that steep laws stay within the range of doubles.
            weights = ((np.arange(self.symbols) + 1 + self.zipf.shift) / (1 + self.zipf.shift)) ** -self.zipf.exponent
        else:
            weights = np.ones(self.symbols)
        probabilities: Array = weights / weights.sum()
        return probabilities

    def build(self, name: str, data_root: Path | None) -> CategoricalTask:
        """Draw the items; `data_root` is not read."""
        path, truth = (self.seed, "categorical", self.corpus(name)), self.truth_probabilities
        tables = InverseTransform.of_weights(truth[None], len(truth))
        train, test = (
            _drawn(tables, rows, self.replicates, len(truth), *path, split)
            for split, rows in (("train", self.train), ("test", self.test))
        )
        if self.part is not None:
            number, parts = numbers_of(self.part)
            train = train[number - 1 :: parts]
        return CategoricalTask(name, symbol_items(train), symbol_items(test), truth, path)


# Compared by identity: tables have no hash, and two tasks with equal `content` hold equal data anyway.
@dataclass(frozen=True, eq=False)
class CategoricalTask:
    """Symbols to train on and to test (the `crossfeed.protocols.Task` protocol).

    Attributes:
        name: Its name in the experiment.
        train: Training items.
        test: Test items.
        truth: p, shape (d,).
        path: Words and numbers that fix the random numbers.
    """

    name: str
    train: pa.Table
    test: pa.Table
    truth: Array
    path: tuple[int | str, ...]

    @property
    def replicates(self) -> int:
        """R, the number of independent data sets."""
        size: int = self.train.column(SYMBOL).type.list_size
        return size

    @property
    def validation(self) -> pa.Table:
        """An empty table."""
        return self.train.slice(0, 0)

    @property
    def content(self) -> str:
        """A hash of all items, and of the truth that fresh ones are drawn from."""
        digest = hashlib.blake2b(repr(self.path).encode(), digest_size=8)
        for array in (symbols_of(self.train), symbols_of(self.test), self.truth):
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def restricted(self, rows: NDArray[np.int64]) -> CategoricalTask:
        """Return the task with some rows of `train` alone."""
        return replace(self, train=self.train.take(pa.array(rows)))

    def reserve(self, generations: int) -> tuple[CategoricalTask, Sequence[pa.Table]]:
        """Draw fresh items from the truth, as many as training items; the task keeps all its own.

        Args:
            generations: T.

        Returns:
            The task, and items for each generation t = 1, ..., T.
        """
        tables = InverseTransform.of_weights(self.truth[None], len(self.truth))
        size = self.train.num_rows, self.replicates, len(self.truth)
        fresh = [_drawn(tables, *size, *self.path, "fresh", t) for t in range(1, generations + 1)]
        return self, [symbol_items(each) for each in fresh]

    def grade(self, items: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_] | None:
        """Return None: symbols are not graded."""
        return None


def symbol_items(symbols: Symbols) -> pa.Table:
    """Build a table of items.

    Args:
        symbols: Symbols, shape (n, R), of the type of `crossfeed.tasks.inverse_transform.symbol_type`.
    """
    flat = np.ascontiguousarray(symbols).reshape(-1)
    values = pa.Array.from_buffers(pa.from_numpy_dtype(flat.dtype), flat.size, [None, pa.py_buffer(flat)])
    return pa.table({SYMBOL: pa.FixedSizeListArray.from_arrays(values, symbols.shape[1])})


def symbols_of(items: pa.Table) -> Symbols:
    """Return the symbols of items, shape (n, R); read-only if no copy is needed."""
    column = items.column(SYMBOL)
    flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    symbols: Symbols = flat.reshape(items.num_rows, column.type.list_size)
    return symbols


def _drawn(tables: InverseTransform, rows: int, replicates: int, symbols: int, *path: int | str) -> Symbols:
    """Draw symbols (rows, R); the first replicates do not depend on the number of replicates."""
    random, drawn = generator(*path), np.empty(replicates * rows, symbol_type(symbols))
    for begin in range(0, drawn.size, _AT_ONCE):
        end = min(begin + _AT_ONCE, drawn.size)
        drawn[begin:end] = tables.draw(random.random((1, end - begin)))[0]
    return drawn.reshape(replicates, rows).T
