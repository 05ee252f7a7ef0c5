"""Gram matrices as users give them, read and checked: matrices, features, lists of either, loaders of blocks.

Source: the Gram matrices are those of the paper, Section 5.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import finite, number_array
from crossfeed.theory.grams import Grams, block_slices, grams_of, rounding_unit
from crossfeed.theory.kernels import Array, gram

#: A function (start, stop) -> the Grams (stop - start, d, d), or features (stop - start, n, d), of those entities.
BlockLoader = Callable[[int, int], npt.ArrayLike]
#: One matrix per entity: a stack, a list, a loader of blocks, or a source read before.
PerEntity: TypeAlias = "npt.ArrayLike | Sequence[npt.ArrayLike] | BlockLoader | Grams"

# Relative asymmetry and negative eigenvalue that rounding may leave in a given Gram matrix of doubles.
_GRAM_TOLERANCE = 1e-8


def one_gram(value: object, name: str, dimension: int | None = None) -> Grams:
    """Validate one Gram matrix.

    Args:
        value: the matrix, shape (d, d), or a source of one matrix that was read before.
        name: the argument's name, for the message.
        dimension: d, if it is already known.

    Returns:
        The matrix, as a source of one entity.

    Raises:
        InvalidInput: if it is not square, of another dimension, not finite, or not positive semi-definite.
    """
    if isinstance(value, Grams):
        return value
    array = number_array(value, name, "a Gram matrix of shape (d, d)")
    side = array.shape[-1] if dimension is None and array.ndim else dimension
    if array.shape != (side, side) or side == 0:
        expected = "(d, d)" if dimension is None else f"({dimension}, {dimension})"
        raise InvalidInput(f"{name} must be a Gram matrix of shape {expected}; received shape {array.shape}")
    matrix = finite(array, name)
    source = Grams(lambda _: matrix[None], 1, len(matrix), held=True, dtype=array.dtype)
    _check_grams(matrix[None], name, source.unit)
    return source


def one_feature_gram(value: object, name: str, dimension: int | None = None) -> Grams:
    """Compute the Gram matrix of one feature matrix.

    Args:
        value: the features, shape (n, d).
        name: the argument's name, for the message.
        dimension: d, if it is already known.

    Returns:
        The Gram matrix, as a source of one entity.

    Raises:
        InvalidInput: if it is not a finite matrix with d columns.
    """
    array = _one_matrix(value, name, dimension)
    features = finite(array, name)[None]
    return Grams(lambda _: gram(features), 1, features.shape[2], lambda _: features, dtype=array.dtype).kept()


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
        return _loaded(value, name, entities, dimension, features=False)
    array = number_array(value, name, "Gram matrices of shape (K, d, d)")
    _check_stack(array, name, "Gram matrices", entities, dimension)
    if array.shape[1] != dimension:
        raise InvalidInput(
            f"{name} must be Gram matrices of shape (K, {dimension}, {dimension}); received shape {array.shape} "
            "(features go through LinearEcosystem.from_features)"
        )

    def load(rows: slice) -> Array:
        return np.asarray(array[rows], dtype=np.float64)

    source = Grams(load, len(array), dimension, held=True, dtype=array.dtype)
    for rows in block_slices(len(array), dimension):
        _check_grams(finite(array[rows], name), name, source.unit, rows.start)
    return source


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
        return _loaded(value, name, entities, dimension, features=True)
    if isinstance(value, list | tuple):
        return _listed([_one_matrix(each, f"{name}[{k}]", dimension) for k, each in enumerate(value)], name, entities)
    array = number_array(value, name, "features of shape (K, n, d)")
    _check_stack(array, name, "features", entities, dimension)
    for rows in block_slices(len(array), dimension):
        finite(array[rows], name)

    def features(rows: slice) -> Array:
        return np.asarray(array[rows], dtype=np.float64)

    source = Grams(
        lambda rows: gram(features(rows)), len(array), dimension, features, rows=array.shape[1], dtype=array.dtype
    )
    return source if array.shape[1] < dimension or isinstance(array, np.memmap) else source.kept()


def _listed(matrices: Sequence[npt.NDArray[np.generic]], name: str, entities: int | None) -> Grams:
    if not matrices or (entities is not None and len(matrices) != entities):
        wanted = "at least one matrix" if entities is None else f"{entities} entities"
        raise InvalidInput(f"{name} must describe {wanted}; received {len(matrices)}")
    features = [finite(matrix, f"{name}[{k}]") for k, matrix in enumerate(matrices)]
    # The least exact of them decides: one rounded to a shorter type may have any direction at its rounding error.
    dtype = max((matrix.dtype for matrix in matrices), key=rounding_unit)
    count, dimension = len(features), features[0].shape[1]
    return Grams(
        lambda rows: grams_of(features[rows]), count, dimension, lambda rows: features[rows], dtype=dtype
    ).kept()


def _one_matrix(value: object, name: str, dimension: int | None) -> npt.NDArray[np.generic]:
    array = number_array(value, name, "features of shape (n, d)")
    if array.ndim != 2 or array.shape[1] == 0 or (dimension is not None and array.shape[1] != dimension):
        columns = "d" if dimension is None else dimension
        raise InvalidInput(f"{name} must be features of shape (n, {columns}); received shape {array.shape}")
    return array


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
    loader: Callable[[int, int], object], name: str, entities: int | None, dimension: int, *, features: bool
) -> Grams:
    if entities is None:
        raise InvalidInput(f"{name} is a function that loads blocks; give entities=K, the number of entities")
    # User functions read files and random generators; one caller at a time keeps them simple to write.
    lock = threading.Lock()
    dtypes: list[np.dtype[Any]] = [np.dtype(np.float64)]  # of the newest block: there is none before the first is read

    def load(part: slice) -> Array:
        with lock:
            block = number_array(loader(part.start, part.stop), name, "blocks of matrices")
            dtypes[0] = block.dtype
        rows = "n" if features else "d"
        inner = dimension if not features else block.shape[1] if block.ndim == 3 else -1
        if block.shape != (part.stop - part.start, inner, dimension):
            raise InvalidInput(
                f"{name}({part.start}, {part.stop}) must return shape ({part.stop - part.start}, {rows}, "
                f"{dimension}); it returned shape {block.shape}"
            )
        return finite(block, name)

    def dtype() -> np.dtype[Any]:
        return dtypes[0]

    if features:
        return Grams(lambda part: gram(load(part)), entities, dimension, load, dtype=dtype)
    return Grams(load, entities, dimension, dtype=dtype)


def _check_grams(matrices: Array, name: str, unit: float, first: int = 0) -> None:
    tolerance = max(_GRAM_TOLERANCE, 8 * unit)
    scale = np.abs(matrices).max(axis=(1, 2))
    skew = np.abs(matrices - matrices.swapaxes(1, 2)).max(axis=(1, 2))
    if (skew > tolerance * scale).any():
        worst = int(np.argmax(skew > tolerance * scale))
        raise InvalidInput(f"{name} must be symmetric; matrix {first + worst} is off by {skew[worst]:.3g}")
    lift = np.maximum(tolerance * scale * matrices.shape[1], np.finfo(float).tiny)
    try:
        np.linalg.cholesky(matrices + lift[:, None, None] * np.eye(matrices.shape[1]))
    except np.linalg.LinAlgError as error:
        lowest = np.linalg.eigvalsh(matrices)[:, 0]
        worst = int(np.argmin(lowest / np.maximum(scale, np.finfo(float).tiny)))
        raise InvalidInput(
            f"{name} must be positive semi-definite, as X'X is; matrix {first + worst} has the eigenvalue "
            f"{lowest[worst]:.3g}"
        ) from error
