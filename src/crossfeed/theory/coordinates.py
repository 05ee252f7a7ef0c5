r"""Coordinates in which the data of an ecosystem are of about one size in every direction.

With theta = W phi features X become X W, and estimates of phi are those of theta in other words. Two choices of W keep
digits that the given units would lose:

* scales: W is diagonal, of powers of two, so that nothing is rounded. A column in units of 1e-6 then has a share of
  the trace like any other, and is not taken for rounding; nor is anything out of the range of numbers.
* whitening: with R'R the Gram matrix of all features together, from a QR decomposition of the features, W = R^{-1}.
  An error of 1e-16 in a Gram matrix costs as many digits as its condition number has; one in features costs half of
  them. It needs features: from Gram matrices nothing is won, since their digits are gone.

What is least is the norm of theta in either (`crossfeed.theory.graded.Graded.missed`).

Reference: van der Sluis, Condition numbers and equilibration of matrices, Numer. Math. 14 (1969), for the scales;
Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, Roundoff error analysis of the CholeskyQR2 algorithm, ETNA 44 (2015), for
the preconditioned Gram matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crossfeed.theory.grams import FeatureMatrices, Grams, block_slices
from crossfeed.theory.kernels import Array

# Columns whose sizes are further apart than this are scaled, and sizes out of this range in all.
_UNEVEN = 2.0**10
_RANGE = (2.0**-200, 2.0**200)

# Features whose scaled columns are nearer to dependent ones than this are whitened: their Gram's condition number is
# the inverse of the square.
_DEPENDENT = 1e-3


@dataclass(frozen=True)
class Coordinates:
    """A change of coordinates theta = W phi.

    Attributes:
        outward: W, shape (d, d).
        inward: W^{-1}, shape (d, d).
        condition: condition number of the features that W makes one of; 1 for scales.
    """

    outward: Array
    inward: Array
    condition: float = 1.0


def coordinates(gram: Array, sources: Sequence[Grams]) -> Coordinates | None:
    """Choose coordinates for an ecosystem.

    Args:
        gram: a sum of all its Gram matrices, shape (d, d).
        sources: its Gram matrices.

    Returns:
        The coordinates; None where those given lose nothing.
    """
    sizes = _sizes(gram, sources)
    scales = _scales(sizes)
    chosen = None if scales is None else Coordinates(np.diag(scales), np.diag(1.0 / scales))
    columns = np.where(sizes > 0, sizes, 1.0)
    equal = gram / columns / columns[:, None] if np.isfinite(gram).all() else np.zeros_like(gram)
    if np.linalg.eigvalsh(equal)[0] > len(gram) * _DEPENDENT**2 or any(each.features is None for each in sources):
        return chosen
    return _whitening(columns, sources) or chosen


def _sizes(gram: Array, sources: Sequence[Grams]) -> Array:
    """Return the size of every column of the features, shape (d,); zero for a column of zeros."""
    squares = np.diag(gram)
    known = np.isfinite(squares).all() and squares.max() < _RANGE[1] ** 2 and squares.min() > _RANGE[0] ** 2
    if known or any(each.features is None for each in sources):
        return np.sqrt(squares)
    # The squares may have over- or underflown, so the features themselves are measured.
    sizes = np.zeros(len(gram))
    for block in _features(sources):
        for X in block:
            sizes = np.maximum(sizes, np.abs(X).max(axis=0, initial=0.0))
    return sizes


def _scales(sizes: Array) -> Array | None:
    present = sizes[sizes > 0]
    if not present.size:
        return None
    low, high = present.min(), present.max()
    if high < _UNEVEN * low and low > _RANGE[0] and high < _RANGE[1]:
        return None
    scales: Array = np.exp2(-np.round(np.log2(np.where(sizes > 0, sizes, high))))
    return scales


def _whitening(columns: Array, sources: Sequence[Grams]) -> Coordinates | None:
    d = len(columns)
    triangle: Array = np.zeros((0, d))
    for block in _features(sources):
        triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, *(X / columns for X in block)]), mode="r"))
    _, values, directions = np.linalg.svd(triangle)
    sizes = np.zeros(d)
    sizes[: len(values)] = values
    unit = max(each.unit for each in sources)
    seen = sizes > 16 * np.sqrt(d) * unit * sizes[0]
    if sizes[seen].min(initial=sizes[0]) > _DEPENDENT * sizes[0]:
        return None
    # Directions that no feature has keep their size. Each entity's Gram is about one, and not all of them together.
    scale = np.where(seen, sizes, sizes[0]) / np.sqrt(sum(each.entities for each in sources))
    outward, inward = directions.T / scale / columns[:, None], scale[:, None] * directions * columns
    return Coordinates(outward, inward, float(sizes[0] / sizes[seen].min()))


def _features(sources: Sequence[Grams]) -> Iterator[FeatureMatrices]:
    for each in sources:
        assert each.features is not None  # noqa: S101 - for the type checker; called only where all have features
        for rows in block_slices(each.entities, each.dimension):
            yield each.features(rows)
