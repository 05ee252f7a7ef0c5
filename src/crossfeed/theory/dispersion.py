r"""Dispersion: how far the estimates are apart, without forming a pair and without cancellation near a consensus.

    (1 / (K (K - 1))) sum_{k != l} E |theta_k - theta_l|^2
        = 2 / (K (K - 1)) ( K sum_k E |delta_k|^2 - E |sum_k delta_k|^2 ),     delta_k = theta_k - reference,

whatever the reference. Estimates that agree have a difference far below their size, so the reference must agree with
them before anything is squared. It is what entity 0 says of the data that all share: with gains p_k F_k on the entity's
own moment, q_k F_k on the public one and a_k F_k on the pool's,

    delta_k = p_k F_k u_k + (q_k F_k - q_0 F_0) u_* + (a_k F_k - a_0 F_0) zbar + (means),

and every gain here vanishes as the entities come to agree.

Reference: the identity is that of a sum of squares about a provisional mean (Chan, Golub and LeVeque, Algorithms for
computing the sample variance, The American Statistician 37 (1983)); the gains are not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from crossfeed.theory.consensus import Estimates
from crossfeed.theory.kernels import Array, times, trace_sandwich, weighted, weighted_sum
from crossfeed.theory.pool_path import BlockState, PoolPath
from crossfeed.theory.specification import Conditioned


class Reference(NamedTuple):
    """The reference at one generation: entity 0's view of the data that all share.

    Attributes:
        mean: E theta_0, shape (d,).
        public: q_0 F_0, shape (d, d).
        pool: a_0 F_0, shape (d, d).
    """

    mean: Array
    public: Array
    pool: Array


class Distances(NamedTuple):
    """Sums over entities of delta_k, at one generation.

    Attributes:
        squares: sum_k E |delta_k|^2.
        offset: sum_k E delta_k, shape (d,).
        private: sum_k p_k^2 tr(F_k S~_k F_k').
        public: sum_k (q_k F_k - q_0 F_0), shape (d, d).
        pool: sum_k (a_k F_k - a_0 F_0), shape (d, d).
        cross: sum_k p_k F_k C_k, shape (d, d).
    """

    squares: Array
    offset: Array
    private: Array
    public: Array
    pool: Array
    cross: Array


def reference(spec: Conditioned, path: PoolPath, block: BlockState, rows: slice) -> Reference:
    """Return what the first entity of a block says of the shared data.

    Args:
        spec: the ecosystem's specification.
        path: the pool along the generations.
        block: the block at one generation.
        rows: its entities.

    Returns:
        The reference.
    """
    return Reference(*(each[0] for each in _readings(spec, path, block, rows)))


def distances(spec: Conditioned, path: PoolPath, block: BlockState, rows: slice, first: Reference) -> Distances:
    """Sum one block's distances to the reference.

    Args:
        spec: the ecosystem's specification.
        path: the pool along the generations.
        block: the block of b entities at one generation.
        rows: its entities.
        first: the reference at that generation.

    Returns:
        The block's sums.
    """
    state, index, response = path.state, block.index, block.response
    mean, public, pool = (each - other for each, other in zip(_readings(spec, path, block, rows), first, strict=True))
    own = weighted(response.weights.private, spec.outwards(response.inverses.private))
    private, cross = trace_sandwich(own, response.private), own @ block.source
    tied = times(public, state.public[index])
    tied += cross
    tied *= 2 * spec.sigma**2
    tied += times(pool, state.covariance[index])
    variance = spec.sigma**2 * (private + trace_sandwich(public, spec.public)) + np.einsum("bij,bij->b", tied, pool)
    ones = np.ones(1)
    return Distances(
        squares=variance.sum() + (mean**2).sum(),
        offset=mean.sum(axis=0),
        private=private.sum(),
        public=weighted_sum(ones, public),
        pool=weighted_sum(ones, pool),
        cross=weighted_sum(ones, cross),
    )


def mean_over_pairs(spec: Conditioned, path: PoolPath, index: int, parts: Sequence[Distances]) -> float:
    """Return the dispersion at one generation.

    Args:
        spec: the ecosystem's specification.
        path: the pool along the generations.
        index: the generation's place among those requested.
        parts: the sums of every block.

    Returns:
        The mean over pairs of E |theta_k - theta_l|^2.
    """
    state, K = path.state, spec.entities
    sums = Distances(*(np.sum(values, axis=0) for values in zip(*parts, strict=True)))
    tied = 2 * spec.sigma**2 * (sums.cross + sums.public @ state.public[index]) + sums.pool @ state.covariance[index]
    real = sums.private + np.trace(sums.public @ spec.public @ sums.public.T)
    together = spec.sigma**2 * real + np.trace(tied @ sums.pool.T) + (sums.offset**2).sum()
    return max(0.0, float(2 * (K * sums.squares - together) / (K * (K - 1))))


def _readings(spec: Conditioned, path: PoolPath, block: BlockState, rows: slice) -> tuple[Array, Array, Array]:
    """Return each entity's mean, (b, d), and its gains on the public and the pool's moment, (b, d, d)."""
    estimates, response = Estimates.expected(spec), block.response
    own = np.einsum("bij,bj->bi", response.private, estimates.private[rows])
    mean = response.estimate(own, spec.public @ estimates.public, path.state.mean[block.index])
    w, F = response.weights, response.inverses
    public, pool = weighted(w.public, F.public), weighted(w.synthetic, F.pool)
    return spec.outside(mean), spec.outwards(public), spec.outwards(pool)
