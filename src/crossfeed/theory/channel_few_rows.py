"""Readers of few channels whose data have few rows: sums and variances without a factorization for each of them.

Readers with one row of C hear one and the same, so that their G_k share all but their own rows of data, as those of one
pool do (`crossfeed.theory.few_rows`, whose symbols are used). With M_k = X_k'V_k = S_k G_k^{-1},

    S Z = a M,     S U = q M,     D S~ D' = p^2 H'H,     S~ Cov(m_k, z)'/sigma^2 = p X'H B_k',

B_k = sum_v L_v (l_k (x) I) being what reader k hears of its own messages. Symmetric matrices are summed up over pairs
of channels by their upper triangles.

Reference: as `crossfeed.theory.channels` and `crossfeed.theory.few_rows`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from crossfeed.theory.consensus import Estimates
from crossfeed.theory.few_rows import FewRows, features_of_few_rows, respond_few_rows
from crossfeed.theory.grams import FeatureMatrices, map_blocks
from crossfeed.theory.kernels import ONE_THREAD, Array, transposed
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights

Labels = npt.NDArray[np.intp]

# Kinds of readers up to which a block has many of each.
_KINDS = 64

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class FewRowsSums:
    """Sums over all entities for m channels, of which `crossfeed.theory.channels.Sums` are made.

    Attributes:
        replies: sum of l_k (x) M_k over the readers of each kind, shape (q, m, d, d).
        drive: sum of l_k (x) D_k m_k, shape (m d,).
        spread: over pairs of channels, of D S~ D', shape (m (m + 1) / 2, d, d).
        published: of S, shape (m (m + 1) / 2, d, d).
        inflation: what rounding errors of the G are multiplied by, at most.
    """

    replies: Array
    drive: Array
    spread: Array
    published: Array
    inflation: float


class _Lost(Exception):
    """Digits would be lost this way."""


@dataclass(frozen=True, eq=False)
class FewRowsReaders:
    """Readers of few channels whose data have few rows.

    Attributes:
        spec: the ecosystem's specification.
        said: l, weights of authors in the channels, shape (K, m).
        labels: kind of each reader, shape (K,).
        pools: Gram matrix of what readers of each kind hear, shape (q, d, d).
        weights: those that all have in common.
        features: loader of the private features.
    """

    spec: Conditioned
    said: Array
    labels: Labels
    pools: Array
    weights: SourceWeights
    features: Callable[[slice], FeatureMatrices]

    @classmethod
    def of(
        cls, spec: Conditioned, said: Array, labels: Labels, pools: Array, weights: SourceWeights
    ) -> FewRowsReaders | None:
        """Find out if this way is open.

        Args:
            spec: the ecosystem's specification.
            said: l, weights of authors in the channels, shape (K, m).
            labels: kind of each reader, shape (K,).
            pools: Gram matrix of what readers of each kind hear, shape (q, d, d).
            weights: the lasting weights.

        Returns:
            The readers; None where entities have many rows, weights of their own or are of many kinds.
        """
        features = features_of_few_rows(spec, [weights])
        if features is None or len(pools) > _KINDS:
            return None
        return cls(spec, said, labels, pools, weights, features)

    def sums(self, estimates: Estimates) -> FewRowsSums | None:
        """Sum all entities up.

        Args:
            estimates: the estimates, or truths, of all sources.

        Returns:
            The sums; None where this way is not open.
        """
        spec, said = self.spec, self.said
        d, m = spec.dimension, said.shape[1]
        upper = np.triu_indices(d)

        def of_block(rows: slice) -> tuple[Array, Array, Array, float]:
            replies, drive, inflation = np.zeros((len(self.pools), m, d * d)), np.zeros((m, d)), 1.0
            squares = np.zeros((m * (m + 1) // 2, 2 * len(upper[0])))
            for kind, mine, few in self._groups(rows):
                here = said[mine]
                replies[kind] = summed(here, transposed(few.features) @ few.response).reshape(m, -1)
                labels = _labels(estimates, few.features, mine)
                drive += few.private * (here.T @ np.einsum("bnd,bn->bd", few.reply, labels))
                both = transposed(few.reply) @ few.reply.copy(), transposed(few.features) @ few.features.copy()
                triangles, pairs = np.hstack([each[:, *upper] for each in both]), pairs_of(here)
                for run in _runs(len(mine), squares.size):
                    squares += pairs[run].T @ triangles[run]
                inflation = max(inflation, few.inflation)
            return replies, drive, squares, inflation

        try:
            parts = list(self._blocks(of_block))
        except _Lost:
            return None
        replies, drive, total = (np.sum(each, axis=0) for each in list(zip(*parts, strict=True))[:3])
        inflation = max(part[3] for part in parts)
        spread, published = (_unpacked(each, upper, d) for each in np.split(total, 2, axis=1))
        private = float(self.weights.private[0])
        return FewRowsSums(replies.reshape(-1, m, d, d), drive.ravel(), private**2 * spread, published, inflation)

    def variance(self, covariances: Array, own: Array) -> Array | None:
        """Return the traces of the covariances of the estimates.

        Args:
            covariances: N of each kind, in F (N + ...) F, shape (q, d, d): that of public data and of what is heard.
            own: gains of what readers of each kind hear on the channels' messages, shape (q, m, d, d).

        Returns:
            Shape (K,); None where this way is not open.
        """
        p, a = (float(each[0]) for each in (self.weights.private, self.weights.synthetic))
        sigma, said = self.spec.sigma, self.said

        def of_block(rows: slice) -> Array:
            variance = np.empty(rows.stop - rows.start)
            for kind, mine, few in self._groups(rows):
                b, d = len(mine), self.spec.dimension
                heard = _each(said[mine], own[kind].reshape(-1, d * d)).reshape(b, d, d)
                crossed = (2 * sigma**2 * p**2 * a) * (few.reply @ transposed(heard))
                variance[mine - rows.start] = few.variance((sigma * p) ** 2, covariances[kind], crossed)
            return variance

        try:
            return np.concatenate(list(self._blocks(of_block)))
        except _Lost:
            return None

    def _blocks(self, work: Callable[[slice], _Result]) -> Iterator[_Result]:
        """Apply `work` to blocks whose features, not matrices of order d, fit in cache."""
        rows, d = self.spec.private.rows or 1, self.spec.dimension
        yield from map_blocks(work, self.spec.entities, math.isqrt(rows * d))

    def _groups(self, rows: slice) -> Iterator[tuple[int, Labels, FewRows]]:
        """Numbers and responses of the readers of each kind in a block."""
        X, labels = np.asarray(self.features(rows)), self.labels[rows]
        order = np.argsort(labels, kind="stable")
        kinds, starts = np.unique(labels[order], return_index=True)
        for kind, mine in zip(kinds.tolist(), np.split(order, starts[1:]), strict=True):
            few = respond_few_rows(
                X[mine], self.spec.public, self.pools[kind], self.weights, np.ones(1), self.spec.rounding
            )
            if few is None:
                raise _Lost
            yield kind, rows.start + mine, few


def pairs_of(said: Array) -> Array:
    """Return products of each author's weights in two channels i <= i'.

    Args:
        said: l, shape (b, m).

    Returns:
        Shape (b, m (m + 1) / 2).
    """
    first, second = np.triu_indices(said.shape[1])
    products: Array = said[:, first] * said[:, second]
    return products


def summed(weights: Array, matrices: Array) -> Array:
    """Sum matrices under several weights.

    Args:
        weights: shape (b, w).
        matrices: M_j, shape (b, d, d).

    Returns:
        sum_j weights_ji M_j, shape (w, d, d).
    """
    count, d, _ = matrices.shape
    flat, wide = matrices.reshape(count, d * d), weights.shape[1]
    total = np.zeros((wide, d * d))
    for run in _runs(count, wide * d * d):
        total += weights[run].T @ flat[run]
    return total.reshape(wide, d, d)


def _each(weights: Array, values: Array) -> Array:
    """Weights @ values, (b, n)."""
    out = np.empty((len(weights), values.shape[1]))
    for run in _runs(len(weights), values.size):
        np.matmul(weights[run], values, out=out[run])
    return out


def _runs(count: int, each: int) -> Iterator[slice]:
    """Cut rows into runs that BLAS multiplies by one thread: blocks have a thread each, others would wait."""
    step = max(1, ONE_THREAD // each)
    yield from (slice(start, start + step) for start in range(0, count, step))


def _labels(estimates: Estimates, features: Array, entities: Labels) -> Array:
    if estimates.private.strides[0] == 0:
        same: Array = features @ estimates.private[0]
        return same
    own: Array = np.einsum("bnj,bj->bn", features, estimates.private[entities])
    return own


def _unpacked(triangles: Array, upper: tuple[Labels, Labels], order: int) -> Array:
    """Symmetric matrices from their upper triangles, (w, d, d)."""
    matrices = np.empty((len(triangles), order, order))
    matrices[:, *upper] = triangles
    matrices[:, upper[1], upper[0]] = triangles
    return matrices
