"""Gram matrices of K entities, S_k = X_k' X_k, read in blocks of entities.

Every sum of the theory runs over entities, so no step needs more than one block of Gram matrices at a time. A
source may hold them, hold the features they come from (less memory when rows < dimension), or call a function for
each block, which bounds memory whatever K is.

Source: the Gram matrices are those of the paper, Section 5.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from crossfeed.theory.kernels import (
    Array,
    Mask,
    directions_of,
    gram,
    rank_tolerance,
    summed_products,
    transposed,
    weighted_sum,
)

#: Features of a run of entities: a stack (b, n, d), or a list of b matrices (n_k, d).
FeatureMatrices: TypeAlias = "Array | list[Array]"

_Result = TypeVar("_Result")

# Half a second-level cache, for the handful of blocks in use at once: larger ones fall out of it, smaller ones pay
# for Python's calls (measured at d = 15, 555 entities a block).
_BLOCK_BYTES = 1_000_000

# glibc gives freed memory back to the system, and every block's temporaries are paged in anew, until an allocation of
# this size (under its limit of 32 MiB) has been freed once; after that blocks are reused. It halves the run time.
_ALLOCATOR_HINT = 30_000_000


class Grams:
    """One Gram matrix per entity, read in blocks.

    Args:
        load: a function of slice(start, stop) returning the Grams of these entities, (stop - start, d, d).
        entities: K.
        dimension: d.
        features: a function of slice(start, stop) returning the features of these entities, (stop - start, n, d) or
            a list of (n_k, d); None where Gram matrices were given.
        rows: n, where the features are held as one stack and the Grams are not.
        held: True if the Grams lie in memory.
        dtype: type of the numbers that were given, or a function that returns it.

    Attributes:
        entities: K.
        dimension: d.
        features: as given.
        rows: as given.
    """

    def __init__(
        self,
        load: Callable[[slice], Array],
        entities: int,
        dimension: int,
        features: Callable[[slice], FeatureMatrices] | None = None,
        *,
        rows: int | None = None,
        held: bool = False,
        dtype: npt.DTypeLike | Callable[[], npt.DTypeLike] = np.float64,
    ) -> None:
        self._load = load
        self.entities = entities
        self.dimension = dimension
        self.features = features
        self.rows = rows
        self._held = held
        self._dtype = dtype

    @property
    def unit(self) -> float:
        """Rounding unit of the numbers that were given, and no less than that of a double."""
        given = np.dtype(self._dtype() if callable(self._dtype) else self._dtype)
        return max(rounding_unit(given), rounding_unit(np.dtype(np.float64)))

    @property
    def rounding(self) -> float:
        """Size of eigenvalues, relative to the trace, that may be rounding errors: the Gram's, or of what was given.

        Errors of features enter their Gram as squares.
        """
        own = self.unit if self.features is None else self.unit**2 / 2
        return self.dimension * 8 * max(own, rounding_unit(np.dtype(np.float64)))

    @cached_property
    def obscured(self) -> Mask:
        """Entities whose features have directions that are lost among the rounding errors of their Gram, shape (K,)."""
        features = self.features
        if features is None:
            return np.zeros(self.entities, dtype=np.bool_)

        def masks(rows: slice) -> Mask:
            values, given = np.linalg.eigvalsh(self.block(rows)), features(rows)
            seen = (values > rank_tolerance(self.rounding) * values.sum(axis=1, keepdims=True)).sum(axis=1)
            stacks = [given] if isinstance(given, np.ndarray) else [X[None] for X in given]
            most = np.concatenate([np.full(len(X), min(X.shape[1:])) for X in stacks])
            if (seen == most).all():
                return np.zeros(len(seen), dtype=np.bool_)
            held = np.concatenate([(directions_of(X, self.unit) > 0).sum(axis=1) for X in stacks])
            lost: Mask = held > seen
            return lost

        return np.concatenate([masks(rows) for rows in block_slices(self.entities, self.dimension)])

    def seen_in(self, outward: Array) -> Grams:
        """Return the Gram matrices of the features X W, which multiply phi where theta = W phi.

        Args:
            outward: W, shape (d, d).

        Returns:
            W'S W, formed from the features where they were given.
        """
        features = self.features

        def transformed(rows: slice) -> FeatureMatrices:
            assert features is not None  # noqa: S101 - for the type checker; called only where there are features
            given = features(rows)
            return given @ outward if isinstance(given, np.ndarray) else [X @ outward for X in given]

        def load(rows: slice) -> Array:
            if features is not None:
                return grams_of(transformed(rows))
            seen = outward.T @ self.block(rows) @ outward
            # A factorization reads one triangle, products read both: what differs by rounding would not cancel.
            return (seen + transposed(seen)) / 2

        source = Grams(
            load, self.entities, self.dimension, None if features is None else transformed, dtype=self._dtype
        )
        return source.kept() if self._held else source

    def kept(self) -> Grams:
        """Return the same Gram matrices, held in memory.

        Returns:
            Grams whose blocks are views of one array.
        """
        held = np.concatenate([self.block(rows) for rows in block_slices(self.entities, self.dimension)])
        return Grams(lambda rows: held[rows], len(held), self.dimension, self.features, held=True, dtype=self._dtype)

    def block(self, rows: slice) -> Array:
        """Return the Gram matrices of a run of entities.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            Array of shape (stop - start, d, d).

        Raises:
            InvalidInput: if a block loader returns another shape, or numbers that are not finite.
        """
        return self._load(rows)

    def sum(self, rows: slice) -> Array:
        """Return the sum of the Gram matrices of a run of entities.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            Shape (d, d).

        Raises:
            InvalidInput: as `block`.
        """
        if self.rows is None or self.features is None:
            return weighted_sum(np.ones(1), self.block(rows))
        features = np.asarray(self.features(rows))
        return summed_products(features, features)

    def all(self) -> Array:
        """Return every Gram matrix at once: only for ecosystems that fit in memory.

        Returns:
            Shape (K, d, d).

        Raises:
            InvalidInput: if a block loader returns another shape, or numbers that are not finite.
        """
        return self.block(slice(0, self.entities))


@cache
def rounding_unit(dtype: np.dtype[Any]) -> float:
    """Return the relative distance between numbers of a type.

    Args:
        dtype: a real type.

    Returns:
        The distance; zero for whole numbers.
    """
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 0.0


def grams_of(features: FeatureMatrices) -> Array:
    """Compute the Gram matrices of feature matrices.

    Args:
        features: b matrices, a stack (b, n, d) or a list of (n_k, d).

    Returns:
        X'X, shape (b, d, d).
    """
    if isinstance(features, np.ndarray):
        return gram(features)
    return np.concatenate([gram(X[None]) for X in features])


def block_slices(entities: int, dimension: int) -> list[slice]:
    """Cut the entities 0..K-1 into runs whose d x d matrices fit in cache.

    Args:
        entities: K.
        dimension: d.

    Returns:
        Slices of entity numbers, in order.
    """
    size = max(16, _BLOCK_BYTES // (8 * dimension**2))
    return [slice(start, min(start + size, entities)) for start in range(0, entities, size)]


@cache
def _keep_freed_memory() -> None:
    np.empty(_ALLOCATOR_HINT, dtype=np.uint8)


def map_blocks(work: Callable[[slice], _Result], entities: int, dimension: int) -> Iterator[_Result]:
    """Apply `work` to every block of entities, on as many threads as there are cores, in order.

    The results come in the order of the blocks, so sums over them do not depend on the number of threads.

    Args:
        work: a function of slice(start, stop) of entity numbers.
        entities: K.
        dimension: d.

    Returns:
        One result per block.
    """
    _keep_freed_memory()
    blocks = block_slices(entities, dimension)
    if len(blocks) == 1:
        yield work(blocks[0])
        return
    with ThreadPoolExecutor(min(os.cpu_count() or 1, len(blocks))) as pool:
        yield from pool.map(work, blocks)
