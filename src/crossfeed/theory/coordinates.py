r"""Coordinates in which the data of an ecosystem are of about one size in every direction.

With theta = W phi features X become X W, and estimates of phi are those of theta in other words. Two choices of W keep
digits that the given units would lose:

* scales: W is diagonal, of powers of two, so that nothing is rounded. A column in units of 1e-6 then has a share of
  the trace like any other, and is not taken for rounding; nor is anything out of the range of numbers.
* whitening: with V D^2 V' the Gram matrix of all data together, W = V D^{-1}, so that this matrix becomes one. An error
  of 1e-16 in a Gram matrix costs as many digits as its condition number has, once; solving with such matrices would
  cost half as many again. Where features were given D and V are those of their QR decomposition, and Gram matrices are
  formed of X W: errors of features cost half of those digits.

What is least is the norm of theta in either (`crossfeed.theory.graded.Graded.missed`).

Reference: van der Sluis, Condition numbers and equilibration of matrices, Numer. Math. 14 (1969), for the scales;
Yamamoto, Nakatsukasa, Yanagisawa and Fukaya, Roundoff error analysis of the CholeskyQR2 algorithm, ETNA 44 (2015), for
the preconditioned Gram matrix.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.grams import FeatureMatrices, Grams, block_slices
from crossfeed.theory.kernels import UNDECIDED, Array, rank_tolerance

# Columns whose sizes are further apart than this are scaled, and sizes out of this range in all.
_UNEVEN = 2.0**10
_RANGE = (2.0**-200, 2.0**200)

# Features whose scaled columns are nearer to dependent ones than this are whitened: their Gram's condition number is
# the inverse of the square.
_DEPENDENT = 1e-2


@dataclass(frozen=True)
class Coordinates:
    """A change of coordinates theta = W phi.

    Attributes:
        outward: W, shape (d, d).
        inward: W^{-1}, shape (d, d).
        condition: what rounding errors of the data are multiplied by in these coordinates; 1 for scales.
        rounding: size of eigenvalues of a Gram matrix in them, relative to its trace, that may be rounding errors of
            the data.
    """

    outward: Array
    inward: Array
    condition: float = 1.0
    rounding: float = 0.0


def coordinates(totals: Sequence[tuple[Grams, Array]]) -> Coordinates | None:
    """Choose coordinates for an ecosystem.

    Args:
        totals: its sources of Gram matrices, each with a mean over its entities, shape (d, d).

    Returns:
        The coordinates; None where those given lose nothing.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
    """
    sources = [source for source, _ in totals]
    with np.errstate(invalid="ignore"):  # sums of numbers out of range
        sizes = _sizes(sum((total for _, total in totals), np.zeros_like(totals[0][1])), sources)
        columns = np.where(sizes > 0, sizes, 1.0)
        equal = [(source, total / columns / columns[:, None]) for source, total in totals]
        traces = [float(np.trace(total)) for _, total in equal]
    within = np.isfinite(traces).all()
    # Each source counts alike: one of few data is not a weak direction.
    parts = [(source, total, trace or 1.0) for (source, total), trace in zip(equal, traces, strict=True)]
    if within:
        values, directions = np.linalg.eigh(
            sum((total / trace for _, total, trace in parts), np.zeros_like(parts[0][1]))
        )
        if values[0] > _DEPENDENT**2 * values[-1]:
            return _scaled(sizes)
    if all(source.features is not None for source in sources):
        rows = [(source, trace if within else 1.0) for source, _, trace in parts]
        return _whitening(*_singular(columns, rows), columns, sources) or _scaled(sizes)
    if not within:
        return _scaled(sizes)
    return _whitening(_square_roots(values, sources), directions.T, columns, sources) or _scaled(sizes)


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


def _scaled(sizes: Array) -> Coordinates | None:
    present = sizes[sizes > 0]
    if not present.size:
        return None
    low, high = present.min(), present.max()
    if high < _UNEVEN * low and low > _RANGE[0] and high < _RANGE[1]:
        return None
    scales = np.exp2(-np.round(np.log2(np.where(sizes > 0, sizes, high))))
    return Coordinates(np.diag(scales), np.diag(1.0 / scales))


def _singular(columns: Array, rows: Sequence[tuple[Grams, float]]) -> tuple[Array, Array]:
    """Return the singular values of all features together, zero for what is rounding, and their directions in rows."""
    d = len(columns)
    triangle: Array = np.zeros((0, d))
    for source, trace in rows:
        for block in _features([source]):
            scaled = [X / (columns * np.sqrt(trace)) for X in block]
            triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, *scaled]), mode="r"))
    _, values, directions = np.linalg.svd(triangle)
    sizes = np.zeros(d)
    sizes[: len(values)] = values
    noise = 16 * np.sqrt(d) * max(source.unit for source, _ in rows) * sizes[0]
    return np.where(sizes > noise, sizes, 0.0), directions


def _square_roots(values: Array, sources: Sequence[Grams]) -> Array:
    """Return the same from eigenvalues of Gram matrices."""
    noise, trace = max(each.rounding for each in sources), values.sum()
    if ((values > noise * trace) & (values <= rank_tolerance(noise) * trace)).any():
        raise InvalidInput(UNDECIDED)
    roots: Array = np.sqrt(np.where(values > noise * trace, values, 0.0))
    return roots


def _whitening(sizes: Array, directions: Array, columns: Array, sources: Sequence[Grams]) -> Coordinates | None:
    seen = sizes > 0
    least, most = sizes[seen].min(initial=sizes.max()), sizes.max()
    if least > _DEPENDENT * most:
        return None
    # Directions that no feature has keep their size. Each entity's Gram is about one, and not all of them together.
    scale = np.where(seen, sizes, most)
    outward, inward = directions.T / scale / columns[:, None], scale[:, None] * directions * columns
    ratio = float(most / least)
    if all(each.features is not None for each in sources):
        unit = max(each.unit for each in sources)
        return Coordinates(outward, inward, ratio, len(columns) * (2 * unit * ratio) ** 2)
    return Coordinates(outward, inward, ratio**2, max(each.rounding for each in sources) * ratio**2)


def _features(sources: Sequence[Grams]) -> Iterator[FeatureMatrices]:
    for each in sources:
        assert each.features is not None  # noqa: S101 - for the type checker; called only where all have features
        for rows in block_slices(each.entities, each.dimension):
            yield each.features(rows)
