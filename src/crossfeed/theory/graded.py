r"""Sums of Gram matrices whose weights differ by any number of orders of magnitude.

The estimate of least norm under G = sum_i c_i S_i depends on a moment y in range(S_i) of source i by the gain

    c_i G^+ y,

which is bounded whatever the weights: as c_i -> 0 it tends to the estimate from y alone in the directions that no
heavier source sees. Formed from G itself the gain is lost: in a direction that a source of weight 1e-9 decides, the
rounding errors of heavier sources are multiplied by 1e9, and the square of that in a variance. Here a basis follows the
ranges instead. Order the sources by weight, heaviest first; level l of the basis spans what source l adds to the ranges
of the heavier ones. A source has nothing in the levels of lighter ones, which is imposed, so that the graded matrix

    B_kl = sum_{i >= max(k, l)} c_i (U_k' S_i U_l)

holds sums of numbers of one size each. Its Cholesky factorization, heaviest level first, is as accurate as if every
level were scaled to one (Demmel: rounding errors of L are those of the matrix scaled to a diagonal of ones).

A gain depends on the ratio r of a weight to the next heavier one as 1 + O(r), so that smaller ratios than `_FAINTEST`,
which is far below rounding, are replaced by it: nothing can over- or underflow, down to the smallest number there is.

Reference: Demmel, On floating point errors in Cholesky, LAPACK Working Note 14 (1989), for the factorization; levels of
sources are not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import (
    UNDECIDED,
    Array,
    Mask,
    WeightedGram,
    definite_inverse,
    inverse_lower,
    rank_tolerance,
    selected,
    transposed,
    weighted,
)

# Binary logarithm of the smallest ratio of two weights that follow each other in size.
_FAINTEST = -100.0

# Binary logarithms of the sizes of G for which both G and its inverse are numbers.
_SCALES = (-500.0, 500.0)


@dataclass(frozen=True)
class Graded:
    """A stack of G = sum_i c_i S_i, factored level by level: on the basis Z, B = L L' and F = Y'Y with Y = L^{-1}.

    Attributes:
        basis: Z, shape (b, d, d), orthogonal; its columns are ordered by level.
        level: shape (b, d), level of each column; the number of parts where none reaches.
        factor: Y, shape (b, d, d), of the parts scaled to a trace of one; zero where none reaches.
        place: shape (parts, b), each part's place in the order of weights.
        weight: shape (parts, b), each part's weight in B over its trace.
        scale: shape (b,), binary logarithm of the heaviest part's weight in G times its trace.
        inflation: shape (b,), largest c (B^{-1})_ii, c the weight of the level: what rounding errors are multiplied by.
        outward: W, where the norm that is least among estimates phi is that of W phi; None: the identity.
    """

    basis: Array
    level: npt.NDArray[np.intp]
    factor: Array
    place: npt.NDArray[np.intp]
    weight: Array
    scale: Array
    inflation: Array
    outward: Array | None

    @property
    def singular(self) -> Mask:
        """True where G is singular, shape (b,)."""
        singular: Mask = (self.level == len(self.place)).any(axis=1)
        return singular

    @cached_property
    def missed(self) -> Array:
        """Map from a parameter to the part that an estimate of least norm misses, shape (b, d, d).

        It is the projection onto the directions that no part sees, along those that are orthogonal to them (in the
        norm that is least).
        """
        unseen = self.level == len(self.place)
        directions = self.basis * unseen[:, None, :]
        if self.outward is None:
            return np.asarray(directions @ transposed(directions))
        along: Array = np.zeros_like(directions)
        for k in np.flatnonzero(unseen.any(axis=1)):
            basis = self.basis[k][:, unseen[k]]
            along[k] = basis @ np.linalg.lstsq(self.outward @ basis, self.outward, rcond=None)[0]
        return along

    def gain(self, part: int) -> Array:
        """Return c_i G^+ as it acts on the range of S_i.

        Args:
            part: i, the part's position among those that were factored.

        Returns:
            Shape (b, d, d).
        """
        within = self.factor * (self.level <= self.place[part][:, None])[:, None, :]
        return weighted(self.weight[part], self._read(within))

    def inverse(self) -> Array:
        """Return the pseudo-inverses.

        Returns:
            G^+, shape (b, d, d).
        """
        inverse = self._read(self.factor)
        if self.outward is not None:
            inverse = inverse - inverse @ transposed(self.missed)
        return weighted(np.exp2(-self.scale), inverse)

    def _read(self, factor: Array) -> Array:
        inverse: Array = self.basis @ (transposed(self.factor) @ factor) @ transposed(self.basis)
        return inverse if self.outward is None else inverse - self.missed @ inverse


def grade(parts: Sequence[WeightedGram], rounding: float | None = None, outward: Array | None = None) -> Graded:
    """Factor a sum of weighted Gram matrices.

    Args:
        parts: pairs (c, S): c of shape (b,) or (1,), not negative; S of shape (b, d, d) or (d, d), the first one of
            shape (b, d, d).
        rounding: eigenvalues of an S_i, relative to its trace, that may be rounding errors; default: those of doubles.
        outward: W, shape (d, d), where the norm that is least among estimates phi is that of W phi; default: identity.

    Returns:
        The factored sums.

    Raises:
        InvalidInput: if the Gram matrices are so near to singular ones that rounding decides.
    """
    count, d, _ = parts[0][1].shape
    noise = 8 * d * float(np.finfo(np.float64).eps) if rounding is None else rounding
    stacks = np.array([np.broadcast_to(S, (count, d, d)) for _, S in parts])
    traces = np.trace(stacks, axis1=2, axis2=3)
    weights = np.array([np.broadcast_to(c, (count,)) for c, _ in parts])
    present = (weights > 0) & (traces > 0)
    unit = np.where(present, 1.0 / np.where(present, traces, 1.0), 0.0)
    logs = np.where(
        present, np.log2(np.where(present, weights, 1.0)) + np.log2(np.where(present, traces, 1.0)), -np.inf
    )
    order = np.argsort(-logs, axis=0, kind="stable")
    place = np.argsort(order, axis=0, kind="stable")
    heights = _heights(np.take_along_axis(logs, order, axis=0))
    ordered = np.take_along_axis(stacks * unit[:, :, None, None], order[:, :, None, None], axis=0)
    basis, level = _levels(ordered, noise)
    factor, inflation = _factor(basis, level, ordered, np.exp2(heights))
    weight = np.exp2(np.take_along_axis(heights, place, axis=0)) * unit
    scale = np.clip(logs.max(axis=0), *_SCALES)
    return Graded(basis, level, factor, place, weight, scale, inflation, outward)


def pseudo_inverse(matrices: Array, rounding: float | None = None, outward: Array | None = None) -> Array:
    """Invert a stack of positive semi-definite matrices on their ranges.

    Args:
        matrices: shape (b, d, d).
        rounding: as for `grade`.
        outward: as for `grade`.

    Returns:
        Pseudo-inverses, shape (b, d, d).

    Raises:
        InvalidInput: if the matrices are so near to singular ones of another rank that rounding decides.
    """
    return inverse_of_sum([(np.ones(1), matrices)], rounding, outward)[0]


def inverse_of_sum(
    parts: Sequence[WeightedGram], rounding: float | None = None, outward: Array | None = None
) -> tuple[Array, Mask]:
    """Invert G = sum_i c_i S_i on its range, for a stack of weighted positive semi-definite parts.

    Args:
        parts: pairs (c, S): c of shape (b,) or (1,), not negative; S of shape (b, d, d) or (d, d), the first one of
            shape (b, d, d).
        rounding: as for `grade`.
        outward: as for `grade`.

    Returns:
        G^+ of shape (b, d, d), and a mask of shape (b,): True where G is singular (rank decided by the parts'
        ranges, whatever their weights).

    Raises:
        InvalidInput: if the Gram matrices are so near to singular ones that rounding decides.
    """
    inverse, suspects, _ = definite_inverse(parts, rounding or 0.0)
    singular = np.zeros(len(inverse), dtype=np.bool_)
    if suspects.any():
        factored = grade(selected(parts, suspects), rounding, outward)
        inverse[suspects], singular[suspects] = factored.inverse(), factored.singular
    return inverse, singular


def _heights(logs: Array) -> Array:
    """Return binary logarithms of the weights relative to the heaviest, in order; steps are cut at the faintest."""
    steps = np.zeros_like(logs)
    known = np.isfinite(logs[1:])
    steps[1:][known] = np.maximum((logs[1:] - np.where(known, logs[:-1], 0.0))[known], _FAINTEST)
    heights: Array = np.cumsum(steps, axis=0)
    return heights


def _levels(ordered: Array, noise: float) -> tuple[Array, npt.NDArray[np.intp]]:
    """Return Z and the level of each of its columns, in order of level."""
    none, count, d, _ = ordered.shape
    basis, level = np.broadcast_to(np.eye(d), (count, d, d)), np.full((count, d), none)
    for place, part in enumerate(ordered):
        free = level == none
        if not (free.any() and part.any()):
            continue
        inside = (transposed(basis) @ part @ basis) * (free[:, :, None] & free[:, None, :])
        # A taken direction keeps its level as an eigenvalue, apart from all others.
        inside[:, np.arange(d), np.arange(d)] -= np.where(free, 0.0, 1.0 + level)
        values, vectors = np.linalg.eigh(inside)
        basis = basis @ vectors
        taken = np.where(values < -0.5, np.rint(-values) - 1, none).astype(np.intp)
        seen = values > rank_tolerance(noise)
        if ((values > noise) & ~seen).any():
            raise InvalidInput(UNDECIDED)
        level = np.where(seen, place, taken)
    order = np.argsort(level, axis=1, kind="stable")
    return np.take_along_axis(basis, order[:, None, :], axis=2), np.take_along_axis(level, order, axis=1)


def _factor(basis: Array, level: npt.NDArray[np.intp], ordered: Array, weights: Array) -> tuple[Array, Array]:
    """Return Y = L^{-1} of the graded matrix B, and what rounding errors are multiplied by in it."""
    reached = level < len(ordered)
    total = np.zeros_like(basis)
    for place, (weight, part) in enumerate(zip(weights, ordered, strict=True)):
        within = level <= place
        inside = (transposed(basis) @ part @ basis) * (within[:, :, None] & within[:, None, :])
        total += weighted(weight, inside)
    order = np.arange(basis.shape[1])
    total[:, order, order] += ~reached
    try:
        lower = np.asarray(np.linalg.cholesky(total), dtype=np.float64)
    except np.linalg.LinAlgError as error:
        raise InvalidInput(UNDECIDED) from error
    factor = inverse_lower(lower)
    # Parts have a trace of one: what rounds in a direction is the heaviest part that sees it.
    heaviest = np.where(reached, np.take_along_axis(weights.T, np.minimum(level, len(ordered) - 1), axis=1), 0.0)
    return factor * reached[:, :, None], (heaviest * (factor**2).sum(axis=1)).max(axis=1)
