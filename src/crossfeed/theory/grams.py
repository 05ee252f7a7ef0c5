"""Gram matrices of K entities, S_k = X_k' X_k, read in blocks of entities.

Every sum of the theory runs over entities, so no step needs more than one block of Gram matrices at a time. A
source may hold them, hold the features they come from (less memory when rows < dimension), or call a function for
each block, which bounds memory whatever K is.

Source: the Gram matrices are those of the paper, Section 5.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import finite, number_array
from crossfeed.theory.kernels import Array, gram

#: A function (start, stop) -> the Grams (stop - start, d, d), or features (stop - start, n, d), of those entities.
BlockLoader = Callable[[int, int], npt.ArrayLike]
#: One matrix per entity: a stack, a list, a loader of blocks, or a source read before.
PerEntity: TypeAlias = "npt.ArrayLike | Sequence[npt.ArrayLike] | BlockLoader | Grams"

_Result = TypeVar("_Result")

# Half a second-level cache, for the handful of blocks in use at once: larger ones fall out of it, smaller ones pay
# for Python's calls (measured at d = 15, 555 entities a block).
_BLOCK_BYTES = 1_000_000

# glibc gives freed memory back to the system, and every block's temporaries are paged in anew, until an allocation of
# this size (under its limit of 32 MiB) has been freed once; after that blocks are reused. It halves the run time.
_ALLOCATOR_HINT = 30_000_000

# Relative asymmetry and negative eigenvalue that rounding may leave in a given Gram matrix.
_GRAM_TOLERANCE = 1e-8


class Grams:
    """One Gram matrix per entity, read in blocks.

    Args:
        load: a function of slice(start, stop) returning the Grams of these entities, (stop - start, d, d).
        entities: K.
        dimension: d.

    Attributes:
        entities: K.
        dimension: d.
    """

    def __init__(self, load: Callable[[slice], Array], entities: int, dimension: int) -> None:
        self._load = load
        self.entities = entities
        self.dimension = dimension

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

    def all(self) -> Array:
        """Return every Gram matrix at once: only for ecosystems that fit in memory.

        Returns:
            Shape (K, d, d).

        Raises:
            InvalidInput: if a block loader returns another shape, or numbers that are not finite.
        """
        return self.block(slice(0, self.entities))


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


def one_gram(value: object, name: str, dimension: int | None = None) -> Array:
    """Validate one Gram matrix.

    Args:
        value: the matrix, shape (d, d).
        name: the argument's name, for the message.
        dimension: d, if it is already known.

    Returns:
        A float64 array of shape (d, d).

    Raises:
        InvalidInput: if it is not square, of another dimension, not finite, or not positive semi-definite.
    """
    array = number_array(value, name, "a Gram matrix of shape (d, d)")
    side = array.shape[-1] if dimension is None and array.ndim else dimension
    if array.shape != (side, side) or side == 0:
        expected = "(d, d)" if dimension is None else f"({dimension}, {dimension})"
        raise InvalidInput(f"{name} must be a Gram matrix of shape {expected}; received shape {array.shape}")
    matrix = finite(array, name)
    _check_grams(matrix[None], name)
    return matrix


def one_feature_gram(value: object, name: str, dimension: int | None = None) -> Array:
    """Compute the Gram matrix of one feature matrix.

    Args:
        value: the features, shape (n, d).
        name: the argument's name, for the message.
        dimension: d, if it is already known.

    Returns:
        A float64 array of shape (d, d).

    Raises:
        InvalidInput: if it is not a finite matrix with d columns.
    """
    array = number_array(value, name, "features of shape (n, d)")
    if array.ndim != 2 or array.shape[1] == 0 or (dimension is not None and array.shape[1] != dimension):
        columns = "d" if dimension is None else dimension
        raise InvalidInput(f"{name} must be features of shape (n, {columns}); received shape {array.shape}")
    return np.asarray(gram(finite(array, name)[None])[0])


def gram_source(value: object, name: str, entities: int | None, dimension: int) -> Grams:
    """Read one Gram matrix per entity.

    Args:
        value: an array (K, d, d), a loader of blocks, or a source read before.
        name: the argument's name, for the message.
        entities: K, if it is already known; a loader needs it.
        dimension: d.

    Returns:
        The Gram matrices, read in blocks.

    Raises:
        InvalidInput: if the shape does not fit, a matrix is not a Gram matrix, or K is unknown.
    """
    if isinstance(value, Grams):
        return value
    if callable(value):
        return _loaded(value, name, entities, dimension, lambda block: block, rows="d")
    array = number_array(value, name, "Gram matrices of shape (K, d, d)")
    _check_stack(array, name, "Gram matrices", entities, dimension)
    if array.shape[1] != dimension:
        raise InvalidInput(
            f"{name} must be Gram matrices of shape (K, {dimension}, {dimension}); received shape {array.shape} "
            "(features go through LinearEcosystem.from_features)"
        )
    for rows in block_slices(len(array), dimension):
        _check_grams(finite(array[rows], name), name, rows.start)
    return Grams(lambda rows: np.asarray(array[rows], dtype=np.float64), len(array), dimension)


def feature_source(value: object, name: str, entities: int | None, dimension: int) -> Grams:
    """Read one feature matrix per entity.

    Args:
        value: an array (K, n, d), a list of (n_k, d) matrices, or a loader of blocks.
        name: the argument's name, for the message.
        entities: K, if it is already known; a loader needs it.
        dimension: d.

    Returns:
        Their Gram matrices, read in blocks.

    Raises:
        InvalidInput: if the shape does not fit, a number is not finite, or K is unknown.
    """
    if callable(value):
        return _loaded(value, name, entities, dimension, gram, rows="n")
    if isinstance(value, list | tuple):
        matrices = [one_feature_gram(each, f"{name}[{k}]", dimension) for k, each in enumerate(value)]
        return gram_source(np.array(matrices).reshape(-1, dimension, dimension), name, entities, dimension)
    array = number_array(value, name, "features of shape (K, n, d)")
    _check_stack(array, name, "features", entities, dimension)
    for rows in block_slices(len(array), dimension):
        finite(array[rows], name)
    source = Grams(lambda rows: gram(np.asarray(array[rows], dtype=np.float64)), len(array), dimension)
    if array.shape[1] < dimension or isinstance(array, np.memmap):
        return source
    held = np.concatenate([source.block(rows) for rows in block_slices(len(array), dimension)])
    return Grams(lambda rows: held[rows], len(held), dimension)


def _check_stack(array: npt.NDArray[np.generic], name: str, kind: str, entities: int | None, dimension: int) -> None:
    count = "K" if entities is None else entities
    if array.ndim != 3 or array.shape[2] != dimension or len(array) == 0:
        raise InvalidInput(
            f"{name} must be {kind} of shape ({count}, n, {dimension}), one matrix per entity with the public "
            f"data's dimension {dimension}; received shape {array.shape}"
        )
    if entities is not None and len(array) != entities:
        raise InvalidInput(f"{name} must describe {entities} entities; received {len(array)}")


def _loaded(
    loader: Callable[[int, int], object],
    name: str,
    entities: int | None,
    dimension: int,
    to_gram: Callable[[Array], Array],
    rows: str,
) -> Grams:
    if entities is None:
        raise InvalidInput(f"{name} is a function that loads blocks; give entities=K, the number of entities")
    # User functions read files and random generators; one caller at a time keeps them simple to write.
    lock = threading.Lock()

    def load(part: slice) -> Array:
        with lock:
            block = number_array(loader(part.start, part.stop), name, "blocks of matrices")
        inner = dimension if rows == "d" else block.shape[1] if block.ndim == 3 else -1
        if block.shape != (part.stop - part.start, inner, dimension):
            raise InvalidInput(
                f"{name}({part.start}, {part.stop}) must return shape ({part.stop - part.start}, {rows}, "
                f"{dimension}); it returned shape {block.shape}"
            )
        return to_gram(finite(block, name))

    return Grams(load, entities, dimension)


def _check_grams(matrices: Array, name: str, first: int = 0) -> None:
    scale = np.abs(matrices).max(axis=(1, 2))
    skew = np.abs(matrices - matrices.swapaxes(1, 2)).max(axis=(1, 2))
    if (skew > _GRAM_TOLERANCE * scale).any():
        worst = int(np.argmax(skew > _GRAM_TOLERANCE * scale))
        raise InvalidInput(f"{name} must be symmetric; matrix {first + worst} is off by {skew[worst]:.3g}")
    lift = np.maximum(_GRAM_TOLERANCE * scale * matrices.shape[1], np.finfo(float).tiny)
    try:
        np.linalg.cholesky(matrices + lift[:, None, None] * np.eye(matrices.shape[1]))
    except np.linalg.LinAlgError as error:
        lowest = np.linalg.eigvalsh(matrices)[:, 0]
        worst = int(np.argmin(lowest / np.maximum(scale, np.finfo(float).tiny)))
        raise InvalidInput(
            f"{name} must be positive semi-definite, as X'X is; matrix {first + worst} has the eigenvalue "
            f"{lowest[worst]:.3g}"
        ) from error
