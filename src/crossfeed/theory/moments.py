"""Exact mean, covariance and errors of every entity's estimate (Theorems 1 and 2), read off the pool's state.

With F = G_tk^+, u_k and C_tk as in `crossfeed.theory.consensus`, and C_* = Cov(X_*'y_*, zbar_t) / sigma^2,

    E theta_tk   = F ( p S~_k theta*_k + q S_* theta*_0 + a E zbar_t ),
    Cov theta_tk = F [ sigma^2 (p^2 S~_k + q^2 S_*) + a^2 Cov zbar_t
                       + sigma^2 a ( p (C_tk + C_tk') + q (C_* + C_*') ) ] F,

for every rank of the Gram matrices. Given the real data (Theorem 1) the estimates th~, th_* replace the truths in the
mean and only the generated labels' noise stays in the covariance, a^2 F Gamma_t F.

Read-outs are computed when first asked for, in one pass over the entities each.

Reference: paper, Theorems 1 and 2 (with C_t's last factor transposed and sigma^2 on the first term, both missing in
print).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import vector
from crossfeed.theory.consensus import EntityBlock, Estimates
from crossfeed.theory.grams import gram_source, map_blocks
from crossfeed.theory.kernels import Array, sandwich, trace_sandwich, transposed, weighted, weighted_sum
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.pool_path import BlockState, PoolPath, ScheduledPath, constant_path

_Result = TypeVar("_Result")


@dataclass(frozen=True)
class Conditional:
    """Gaussian law of the estimates given the real data (Theorem 1).

    Attributes:
        mean: shape (n, K, d); (K, d) in the limit.
        covariance: shape (n, K, d, d); (K, d, d) in the limit.
    """

    mean: Array
    covariance: Array


class Moments:
    """Read-outs at n generations; obtained from `LinearEcosystem.moments`.

    Attributes:
        ecosystem: what was asked about.
        path: the pool along the generations.
    """

    def __init__(self, ecosystem: LinearEcosystem, path: PoolPath) -> None:
        self.ecosystem = ecosystem
        self.path = path

    @cached_property
    def mean(self) -> Array:
        """E theta_tk, shape (n, K, d)."""
        estimates = Estimates.expected(self.ecosystem)
        return self._per_entity(lambda step, rows: _mean(self, step, rows, estimates, self.path.state.mean))

    @cached_property
    def covariance(self) -> Array:
        """Cov theta_tk of each entity, shape (n, K, d, d)."""
        return self._per_entity(lambda step, _: _covariance(self, step))

    @property
    def mse(self) -> Array:
        """E |theta_tk - theta*_k|^2, shape (n, K)."""
        return self.bias_squared + self.variance

    @property
    def bias_squared(self) -> Array:
        """|E theta_tk - theta*_k|^2, shape (n, K)."""
        return self._errors[..., 0]

    @property
    def variance(self) -> Array:
        """Trace of Cov theta_tk, shape (n, K)."""
        return self._errors[..., 1]

    @cached_property
    def _errors(self) -> Array:
        estimates = Estimates.expected(self.ecosystem)

        def errors(step: BlockState, rows: slice) -> Array:
            variance = _variance(self, step)
            if not self.ecosystem.truth_given:  # the truth is zero, and so is every mean
                return np.stack([np.zeros_like(variance), variance], axis=-1)
            mean = _mean(self, step, rows, estimates, self.path.state.mean)
            bias = ((mean - self.ecosystem.truths[rows]) ** 2).sum(axis=1)
            return np.stack([bias, variance], axis=-1)

        return self._per_entity(errors)

    def mspe(self, grams: npt.ArrayLike | None = None, truths: npt.ArrayLike | None = None) -> Array:
        """Mean squared prediction error of every entity on every task, E |X_m (theta_tk - theta*_m)|^2.

        Args:
            grams: X_m'X_m of M tasks, shape (M, d, d); default: every entity's private Gram.
            truths: theta*_m, shape (M, d); default: every entity's truth, or the public truth where `grams` is given.

        Returns:
            Shape (n, K, M).

        Raises:
            InvalidInput: if a shape does not fit.
        """
        tasks, targets = self._tasks(grams, truths)
        flat = tasks.reshape(len(tasks), -1).T
        estimates = Estimates.expected(self.ecosystem)

        def errors(step: BlockState, rows: slice) -> Array:
            covariance = _covariance(self, step)
            off = _mean(self, step, rows, estimates, self.path.state.mean) - targets[:, None]
            bias: Array = ((off @ tasks) * off).sum(axis=2).T
            bias += covariance.reshape(len(covariance), -1) @ flat
            return bias

        return self._per_entity(errors)

    @cached_property
    def dispersion(self) -> Array:
        """Mean over pairs k != l of E |theta_tk - theta_tl|^2, shape (n,); zero for one entity.

        It needs only sum_k E|theta_k|^2 and E|sum_k theta_k|^2, so no pair is ever formed.
        """
        count = len(self.path.state.mean)
        if self.ecosystem.entities == 1:
            return np.zeros(count)
        blocks = self._map(lambda step, rows: _sums(self, step, rows))
        totals = [_total(per_block) for per_block in zip(*blocks, strict=True)]
        return np.array([_mean_over_pairs(self, i, total) for i, total in enumerate(totals)])

    def given(self, data: npt.ArrayLike) -> Conditional:
        """Law of the estimates given the real data, through the data's own least-squares estimates.

        Args:
            data: shape (K + 1, d): X~_k^+ y~_k of every entity, then X_*^+ y_* of the public data.

        Returns:
            Conditional mean (n, K, d) and covariance (n, K, d, d).

        Raises:
            InvalidInput: if the shape does not fit or a number is not finite.

        Source: paper, Theorem 1. Fresh human data, being new at each generation, are not given.
        """
        eco = self.ecosystem
        array = vector(data, "data", (eco.entities + 1, eco.dimension))
        estimates = Estimates(array[:-1], array[-1])
        pool = self.path.mean_given(estimates)
        return Conditional(
            mean=self._per_entity(lambda step, rows: _mean(self, step, rows, estimates, pool)),
            covariance=self._per_entity(lambda step, _: _noise(self, step)),
        )

    @cached_property
    def influence(self) -> Array:
        """Frobenius norms of the blocks of M_t, shape (n, K, K + 1): private sources first, public last."""
        public = self.path.state.public
        carried = self._per_entity(lambda step, _: step.source)
        return self._per_entity(
            lambda step, rows: _block_norms(
                self, step, rows, np.vstack([carried[step.index], public[step.index][None]])
            )
        )

    def _tasks(self, grams: npt.ArrayLike | None, truths: npt.ArrayLike | None) -> tuple[Array, Array]:
        eco = self.ecosystem
        tasks = eco.private.all() if grams is None else gram_source(grams, "grams", None, eco.dimension).all()
        shape = (len(tasks), eco.dimension)
        if truths is not None:
            return tasks, vector(truths, "truths", shape)
        return tasks, eco.truths if grams is None else np.broadcast_to(eco.truth_public, shape)

    def _map(self, read: Callable[[BlockState, slice], _Result]) -> list[list[_Result]]:
        """Apply a read-out to every block and asked generation: a list per block, ordered by generation asked."""
        eco, count = self.ecosystem, len(self.path.state.mean)

        def work(rows: slice) -> list[_Result]:
            found = {step.index: read(step, rows) for step in self.path.steps(EntityBlock.read(eco, rows))}
            return [found[i] for i in range(count)]

        return list(map_blocks(work, eco.entities, eco.dimension))

    def _per_entity(self, read: Callable[[BlockState, slice], Array]) -> Array:
        return np.concatenate([np.array(block) for block in self._map(read)], axis=1)


def trajectory(eco: LinearEcosystem, generations: Sequence[int] | npt.ArrayLike) -> Moments:
    """Moments at the asked generations; the function behind `LinearEcosystem.moments`."""
    asked = _generations(generations)
    return Moments(eco, constant_path(eco, asked) if eco.constant else ScheduledPath(eco, asked))


def _generations(value: Sequence[int] | npt.ArrayLike) -> list[int]:
    message = f"generations must be a list of whole numbers >= 0; received {value!r}"
    try:
        asked = [operator.index(t) for t in np.asarray(value).ravel()]
    except TypeError as error:
        raise InvalidInput(message) from error
    if not asked or min(asked) < 0 or np.ndim(value) != 1:
        raise InvalidInput(message)
    return asked


def _mean(moments: Moments, step: BlockState, rows: slice, estimates: Estimates, pool: Array) -> Array:
    """F (p S~ th~ + q S_* th_* + a z), shape (b, d)."""
    eco, response = moments.ecosystem, step.response
    private = np.einsum("bij,bj->bi", response.private, estimates.private[rows])
    return response.estimate(private, eco.public @ estimates.public, pool[step.index])


def _covariance(moments: Moments, step: BlockState) -> Array:
    """Cov theta, shape (b, d, d)."""
    if step.response.graded:
        return _graded_covariance(moments, step)
    return sandwich(step.response.inverses.pool, _middle(moments, step))


def _variance(moments: Moments, step: BlockState) -> Array:
    """Trace of Cov theta, shape (b,)."""
    if step.response.graded:
        trace: Array = np.trace(_graded_covariance(moments, step), axis1=1, axis2=2)
        return trace
    return trace_sandwich(step.response.inverses.pool, _middle(moments, step))


def _graded_covariance(moments: Moments, step: BlockState) -> Array:
    """Cov theta where every source has an inverse of its own, the weights included."""
    F, state, variance = step.response.inverses, moments.path.state, moments.ecosystem.sigma**2
    to_pool, public, index = transposed(F.pool), moments.ecosystem.public, step.index
    product = F.private @ (step.response.private @ transposed(F.private) + 2 * step.source @ to_pool)
    product += F.public @ (public @ transposed(F.public) + 2 * state.public[index] @ to_pool)
    return variance * (product + transposed(product)) / 2 + sandwich(F.pool, state.covariance[index])


def _middle(moments: Moments, step: BlockState) -> Array:
    """The bracket of Cov theta, up to a skew-symmetric part, shape (b, d, d)."""
    w, state = step.response.weights, moments.path.state
    variance = moments.ecosystem.sigma**2
    shared = (
        weighted(variance * w.public**2, moments.ecosystem.public)
        + weighted(w.synthetic**2, state.covariance[step.index])
        + weighted(2 * variance * w.synthetic * w.public, state.public[step.index])
    )
    own = weighted(variance * w.private**2, step.response.private)
    own += shared
    own += weighted(2 * variance * w.synthetic * w.private, step.source)
    return own


def _noise(moments: Moments, step: BlockState) -> Array:
    """Cov theta given the real data, shape (b, d, d)."""
    response = step.response
    return weighted(
        response.weights.synthetic**2, sandwich(response.inverses.pool, moments.path.state.noise[step.index])
    )


def _block_norms(moments: Moments, step: BlockState, rows: slice, carried: Array) -> Array:
    """Norms of M's rows for one block of entities: a F [C_1' .. C_K' C_*'] plus the entity's own real data.

    |F C_j'|^2 = <F F, C_j' C_j>, so that all blocks but those two cost one matrix product for all entities.
    """
    F, w = step.response.inverses, step.response.weights
    count, width = len(F.pool), carried.shape[-1] ** 2
    places = rows.start + np.arange(count)
    squares = (transposed(F.pool) @ F.pool).reshape(count, width) @ (transposed(carried) @ carried).reshape(-1, width).T
    norms: Array = np.sqrt(np.broadcast_to(w.synthetic**2, (count,))[:, None] * np.maximum(squares, 0.0))
    own = weighted(w.private, F.private @ step.response.private)
    shared = weighted(w.public, F.public @ moments.ecosystem.public)
    own += weighted(w.synthetic, F.pool @ transposed(carried[places]))
    shared += weighted(w.synthetic, F.pool @ transposed(carried[-1:]))
    norms[np.arange(count), places] = np.linalg.norm(own, axis=(1, 2))
    norms[:, -1] = np.linalg.norm(shared, axis=(1, 2))
    return norms


class _Sums(NamedTuple):
    """Sums over entities behind the dispersion, at one generation.

    Attributes:
        squares: sum_k E |theta_k - theta*_0|^2.
        offset: sum_k (E theta_k - theta*_0), shape (d,).
        private: sum_k p_k^2 tr(F_k S~_k F_k').
        public: sum_k q_k F_k, shape (d, d).
        pool: sum_k a_k F_k, shape (d, d).
        cross: sum_k p_k F_k C_k, shape (d, d).
    """

    squares: Array
    offset: Array
    private: Array
    public: Array
    pool: Array
    cross: Array


def _sums(moments: Moments, step: BlockState, rows: slice) -> _Sums:
    eco, response = moments.ecosystem, step.response
    w, F = response.weights, response.inverses
    estimates = Estimates.expected(eco)
    offsets = _mean(moments, step, rows, estimates, moments.path.state.mean) - eco.truth_public
    variance = _variance(moments, step)
    return _Sums(
        squares=variance.sum() + (offsets**2).sum(),
        offset=offsets.sum(axis=0),
        private=(w.private**2 * trace_sandwich(F.private, response.private)).sum(),
        public=weighted_sum(w.public, F.public),
        pool=weighted_sum(w.synthetic, F.pool),
        cross=weighted_sum(w.private, F.private @ step.source),
    )


def _total(parts: Sequence[_Sums]) -> _Sums:
    return _Sums(*(np.sum(values, axis=0) for values in zip(*parts, strict=True)))


def _mean_over_pairs(moments: Moments, index: int, sums: _Sums) -> float:
    """(K sum_k E|theta_k|^2 - E|sum_k theta_k|^2) 2 / (K (K - 1)), with theta*_0 as the origin."""
    eco, state = moments.ecosystem, moments.path.state
    K, public, pool = eco.entities, sums.public, sums.pool
    real = sums.private + np.trace(public @ eco.public @ public.T)
    tied = np.trace((sums.cross + public @ state.public[index]) @ pool.T)
    variance = eco.sigma**2 * (real + 2 * tied) + np.trace(pool @ state.covariance[index] @ pool.T)
    pairs = K * sums.squares - variance - (sums.offset**2).sum()
    return max(0.0, float(2 * pairs / (K * (K - 1))))
