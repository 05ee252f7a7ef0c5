"""Random features of a stated rank, to draw whole ecosystems from a few numbers.

Each source sees its own uniformly random r-dimensional subspace of R^d: with V (r x d) orthonormal rows, uniformly
distributed, and Z (n x r) of independent standard normals,

    X = Z V,     E X'X = n V'V.

At r = d the rows are standard normal in R^d. Entity k's features depend on the seed and k alone, not on the number of
entities.

Reference: Stewart, The efficient generation of random orthogonal matrices with an application to condition estimators,
SIAM J. Numer. Anal. 17 (1980): the QR factor of a Gaussian matrix is uniformly distributed.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

_PUBLIC, _PRIVATE = 0, 1


@dataclass(frozen=True)
class Features:
    """Feature matrices of one drawn ecosystem.

    Attributes:
        private: X~, shape (K, n, d).
        public: X_*, shape (n_*, d).
    """

    private: Array
    public: Array


def random_features(
    entities: int,
    dimension: int,
    rank: int,
    rows: int,
    seed: int,
    public_rank: int | None = None,
    public_rows: int | None = None,
    first: int = 0,
) -> Features:
    """Draw private and public features of given ranks.

    Args:
        entities: K.
        dimension: d.
        rank: rank of each private feature matrix.
        rows: rows of each private feature matrix, at least `rank`.
        seed: a whole number >= 0; the same seed gives the same features.
        public_rank: rank of the public features; default: `dimension`.
        public_rows: rows of the public features; default: the larger of `rows` and `public_rank`.
        first: number of the first entity that is drawn, >= 0; the others follow it.

    Returns:
        The features: X~ of shape (K, n, d) and X_* of shape (n_*, d), as `LinearEcosystem.from_features` takes them.

    Raises:
        InvalidInput: if a number is not whole, or a rank is larger than the dimension or the number of rows.
    """
    public_rank = dimension if public_rank is None else public_rank
    public_rows = max(rows, public_rank) if public_rows is None else public_rows
    _check_whole(entities=entities, dimension=dimension, rank=rank, rows=rows, public_rank=public_rank)
    for name, number in {"seed": seed, "first": first}.items():
        if operator.index(number) < 0:
            raise InvalidInput(f"{name} must be a whole number >= 0; received {number}")
    _check_rank("rank", rank, rows, dimension)
    _check_rank("public_rank", public_rank, public_rows, dimension)
    private = np.array([_draw((seed, _PRIVATE, first + k), rows, rank, dimension) for k in range(entities)])
    return Features(private, _draw((seed, _PUBLIC, 0), public_rows, public_rank, dimension))


def _draw(key: tuple[int, int, int], rows: int, rank: int, dimension: int) -> Array:
    seed, *address = key
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=tuple(address)))
    directions, _ = np.linalg.qr(rng.standard_normal((dimension, rank)))
    features: Array = rng.standard_normal((rows, rank)) @ directions.T
    return features


def _check_whole(**numbers: int) -> None:
    for name, number in numbers.items():
        if not isinstance(number, int | np.integer) or number < 1:
            raise InvalidInput(f"{name} must be a whole number >= 1; received {number!r}")


def _check_rank(name: str, rank: int, rows: int, dimension: int) -> None:
    if rank > min(rows, dimension):
        raise InvalidInput(f"{name} must not exceed the rows ({rows}) and the dimension ({dimension}); received {rank}")
