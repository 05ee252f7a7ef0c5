"""Exact mean, covariance and errors of every entity's estimate (Theorems 1 and 2), from the pool's state.

With F = G_tk^+, u_k and C_tk as in `crossfeed.theory.consensus`, and C_* = Cov(X_*'y_*, zbar_t) / sigma^2,

    E theta_tk   = F ( p S~_k theta*_k + q S_* theta*_0 + a E zbar_t ),
    Cov theta_tk = F [ sigma^2 (p^2 S~_k + q^2 S_*) + a^2 Cov zbar_t
                       + sigma^2 a ( p (C_tk + C_tk') + q (C_* + C_*') ) ] F,

for every rank of the Gram matrices. Given the real data (Theorem 1) the estimates th~, th_* replace the truths in the
mean and only the generated labels' noise stays in the covariance, a^2 F Gamma_t F.

Read-outs are computed when first read, in one pass over the entities each.

Reference: paper, Theorems 1 and 2 (with C_t's last factor transposed and sigma^2 on the first term, both missing in
print).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.accuracy import digits, tell
from crossfeed.theory.checks import vector
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.constant_path import constant_path
from crossfeed.theory.dispersion import distances, mean_over_pairs, reference
from crossfeed.theory.grams import Grams, map_blocks
from crossfeed.theory.kernels import Array, sandwich, trace_sandwich, transposed, weighted
from crossfeed.theory.memory_path import MemoryPath
from crossfeed.theory.network_moments import network_moments
from crossfeed.theory.pool_path import BlockState, FewRowsState, PoolPath
from crossfeed.theory.readouts import Conditional, Moments
from crossfeed.theory.response import BySource, EntityBlock
from crossfeed.theory.scheduled_path import ScheduledPath
from crossfeed.theory.specification import Conditioned, Specified

_Result = TypeVar("_Result")


class NoiseBeside(Protocol):
    """Noise of zero mean in every entity's estimate, apart from all that the pool's state holds.

    Attributes:
        covariance: shape (K, d, d).
        variance: its traces, shape (K,).
        dispersion: the mean over pairs of E |theta_k - theta_l|^2 that it adds.
    """

    @property
    def covariance(self) -> Array:
        """Covariance of each entity's estimate."""
        ...

    @property
    def variance(self) -> Array:
        """Traces of the covariances."""
        ...

    @property
    def dispersion(self) -> float:
        """The part of the dispersion that it adds."""
        ...


class PoolMoments(Moments):
    """Read-outs of entities that all read one pool in step.

    Args:
        ecosystem: the ecosystem in question.
        path: the pool along the generations.
        beside: noise that the pool's state does not hold; None for none.

    Attributes:
        ecosystem: the ecosystem whose moments these are.
        specification: its specification, in the coordinates that solvers work in.
        path: the pool along the generations.
    """

    def __init__(self, ecosystem: Specified, path: PoolPath, beside: NoiseBeside | None = None) -> None:
        super().__init__(ecosystem)
        self._beside = beside
        self.path = path

    @property
    def digits(self) -> int:
        """Number of decimal digits of these moments that rounding leaves, about."""
        return digits(self.specification, self.path.inflation)

    @cached_property
    def mean(self) -> Array:
        """E theta_tk, shape (n, K, d)."""
        estimates = Estimates.expected(self.specification)
        pool, spec = self.path.state.mean, self.specification
        return self._per_entity(lambda block, rows: spec.outside(_mean(self, block, rows, estimates, pool)))

    @cached_property
    def covariance(self) -> Array:
        """Cov theta_tk of each entity, shape (n, K, d, d)."""
        covariance = self._per_entity(lambda block, _: _covariance(self, block, self.specification.outwards))
        return covariance if self._beside is None else covariance + self._beside.covariance

    @property
    def variance(self) -> Array:
        """Trace of Cov theta_tk, shape (n, K)."""
        variance = self._errors[..., 1]
        return variance if self._beside is None else variance + self._beside.variance

    @cached_property
    def _errors(self) -> Array:
        estimates = Estimates.expected(self.specification)

        def errors(block: BlockState, rows: slice) -> Array:
            variance = _variance(self, block)
            if not self.specification.truth_given:  # the truth is zero, and so is every mean
                return np.stack([np.zeros_like(variance), variance], axis=-1)
            mean = self.specification.outside(_mean(self, block, rows, estimates, self.path.state.mean))
            bias = ((mean - self.specification.truths[rows]) ** 2).sum(axis=1)
            return np.stack([bias, variance], axis=-1)

        def of_block(rows: slice) -> Array:
            few = self.path.few_rows(rows)
            if few is None:
                return np.array(self._read_block(rows, errors))
            return np.array([_few_rows_errors(self, i, state, rows, estimates) for i, state in enumerate(few)])

        spec = self.specification
        return np.concatenate(list(map_blocks(of_block, spec.entities, spec.dimension)), axis=1)

    def mspe(self, grams: npt.ArrayLike | Grams | None = None, truths: npt.ArrayLike | None = None) -> Array:
        """Return the mean squared prediction error of every entity on every task, E |X_m (theta_tk - theta*_m)|^2.

        Args:
            grams: X_m'X_m of M tasks, shape (M, d, d), or `crossfeed.theory.sources.feature_source` of their features;
                default: every entity's private Gram.
            truths: theta*_m, shape (M, d); default: every entity's truth, or the public truth where `grams` is given.

        Returns:
            Shape (n, K, M).

        Raises:
            InvalidInput: if a shape does not fit, a number is not finite, or a task's matrix is no Gram matrix.
        """
        tasks, targets = self._tasks(grams, truths)
        # In the solvers' coordinates, where strong directions of a task do not drown in the variance of weak ones.
        flat = tasks.reshape(len(tasks), -1).T
        estimates = Estimates.expected(self.specification)

        def errors(block: BlockState, rows: slice) -> Array:
            covariance = _covariance(self, block, lambda gains: gains)
            off = _mean(self, block, rows, estimates, self.path.state.mean) - targets[:, None]
            bias: Array = ((off @ tasks) * off).sum(axis=2).T
            bias += covariance.reshape(len(covariance), -1) @ flat
            return bias

        found = self._per_entity(errors)
        return found if self._beside is None else found + self._beside.covariance.reshape(-1, len(flat)) @ flat

    @cached_property
    def dispersion(self) -> Array:
        """Mean over pairs k != l of E |theta_tk - theta_tl|^2, shape (n,); zero for one entity.

        See `crossfeed.theory.dispersion`.
        """
        count = len(self.path.state.mean)
        if self.specification.entities == 1:
            return np.zeros(count)
        first = self._read_block(slice(0, 1), lambda block, rows: reference(self.specification, self.path, block, rows))
        blocks = self._map(
            lambda block, rows: distances(self.specification, self.path, block, rows, first[block.index])
        )
        beside = 0.0 if self._beside is None else self._beside.dispersion
        return beside + np.array(
            [
                mean_over_pairs(self.specification, self.path, i, parts)
                for i, parts in enumerate(zip(*blocks, strict=True))
            ]
        )

    def given(self, data: npt.ArrayLike) -> Conditional:
        """Return the law of the estimates given the real data, through the data's own least-squares estimates.

        Args:
            data: shape (K + 1, d): X~_k^+ y~_k of every entity, then X_*^+ y_* of the public data.

        Returns:
            Conditional mean (n, K, d) and covariance (n, K, d, d).

        Raises:
            InvalidInput: if the shape does not fit or a number is not finite.

        Source: paper, Theorem 1. Fresh human data, being new at each generation, are not among the given data.
        """
        spec = self.specification
        array = vector(data, "data", (spec.entities + 1, spec.dimension))
        estimates = Estimates(spec.inside(array[:-1]), spec.inside(array[-1]))
        pool = self.path.mean_given(estimates)
        noise = self._per_entity(lambda block, _: _noise(self, block))
        return Conditional(
            mean=self._per_entity(lambda block, rows: spec.outside(_mean(self, block, rows, estimates, pool))),
            covariance=noise if self._beside is None else noise + self._beside.covariance,
        )

    @cached_property
    def gain_norms(self) -> Array:
        """Frobenius norms of the blocks of M_t, shape (n, K, K + 1): private sources first, public last."""
        public, inward = self.path.state.public, self.specification.inwards
        carried = self._per_entity(lambda block, _: block.source)
        return self._per_entity(
            lambda block, rows: _block_norms(
                self, block, rows, inward(np.vstack([carried[block.index], public[block.index][None]]))
            )
        )

    def _map(self, read: Callable[[BlockState, slice], _Result]) -> list[list[_Result]]:
        """Apply a read-out to every block and requested generation: a list per block, in the order requested."""
        spec = self.specification
        return list(map_blocks(lambda rows: self._read_block(rows, read), spec.entities, spec.dimension))

    def _read_block(self, rows: slice, read: Callable[[BlockState, slice], _Result]) -> list[_Result]:
        block = EntityBlock.read(self.specification, rows)
        results = {state.index: read(state, rows) for state in self.path.walk(block)}
        return [results[i] for i in range(len(self.path.state.mean))]

    def _per_entity(self, read: Callable[[BlockState, slice], Array]) -> Array:
        return np.concatenate([np.array(block) for block in self._map(read)], axis=1)


def trajectory(eco: Specified, generations: Sequence[int] | npt.ArrayLike) -> Moments:
    """Return the moments at the requested generations; the function behind `LinearEcosystem.moments`.

    Args:
        eco: a `LinearEcosystem`.
        generations: n whole numbers >= 0, in any order.

    Returns:
        Read-outs with n as the first axis.

    Raises:
        InvalidInput: if `generations` is empty or holds anything but whole numbers >= 0.

    Warns:
        IllConditioned: if rounding leaves few digits.

    Source: paper, Theorems 1 and 2.
    """
    spec, times = eco.specification.conditioned, _generations(generations)
    if spec.network is not None:
        return network_moments(eco, times)
    path = _path(spec, times)
    tell(spec, path.inflation)
    return PoolMoments(eco, path)


def _path(spec: Conditioned, generations: Sequence[int]) -> PoolPath:
    if spec.training.remembers:
        return MemoryPath(spec, generations)
    return constant_path(spec, generations) if spec.weights.constant else ScheduledPath(spec, generations)


def _generations(value: Sequence[int] | npt.ArrayLike) -> list[int]:
    message = f"generations must be a list of whole numbers >= 0; received {value!r}"
    try:
        times = [operator.index(t) for t in np.asarray(value).ravel()]
    except TypeError as error:
        raise InvalidInput(message) from error
    if not times or min(times) < 0 or np.ndim(value) != 1:
        raise InvalidInput(message)
    return times


def _mean(moments: PoolMoments, block: BlockState, rows: slice, estimates: Estimates, pool: Array) -> Array:
    """F (p S~ th~ + q S_* th_* + a z), shape (b, d)."""
    spec, response = moments.specification, block.response
    private = np.einsum("bij,bj->bi", response.private, estimates.private[rows])
    return response.estimate(private, spec.public @ estimates.public, pool[block.index])


def _covariance(moments: PoolMoments, block: BlockState, seen: Callable[[Array], Array]) -> Array:
    """Covariance of the estimates, of which `seen` takes the gains to where they are looked at; shape (b, d, d)."""
    if block.response.graded:
        return _graded_covariance(moments, block, seen)
    return sandwich(seen(block.response.inverses.pool), _middle(moments, block))


def _variance(moments: PoolMoments, block: BlockState) -> Array:
    """Trace of Cov theta, shape (b,)."""
    outwards = moments.specification.outwards
    if block.response.graded:
        trace: Array = np.trace(_graded_covariance(moments, block, outwards), axis1=1, axis2=2)
        return trace
    return trace_sandwich(outwards(block.response.inverses.pool), _middle(moments, block))


def _few_rows_errors(moments: PoolMoments, index: int, few: FewRowsState, rows: slice, estimates: Estimates) -> Array:
    """Squared bias and variance of entities with few rows, shape (b, 2)."""
    spec, state, response = moments.specification, moments.path.state, few.response
    human, (p, q, a) = spec.sigma**2, (response.private, response.public, response.synthetic)
    shared = human * q * (q * spec.public + 2 * a * state.public[index]) + a**2 * state.covariance[index]
    variance = response.variance(human * p**2, shared, 2 * human * a * p * few.source)
    if not spec.truth_given:
        return np.stack([np.zeros_like(variance), variance], axis=-1)
    labels = estimates.labels(response.features, rows)
    mean = response.estimate(labels, spec.public @ estimates.public, state.mean[index])
    return np.stack([((mean - spec.truths[rows]) ** 2).sum(axis=1), variance], axis=-1)


def _graded_covariance(moments: PoolMoments, block: BlockState, seen: Callable[[Array], Array]) -> Array:
    """The covariance where every source has an inverse of its own, the weights included."""
    F, state, variance = (
        BySource(*map(seen, block.response.inverses)),
        moments.path.state,
        moments.specification.sigma**2,
    )
    to_pool, public, index = transposed(F.pool), moments.specification.public, block.index
    product = F.private @ (block.response.private @ transposed(F.private) + 2 * block.source @ to_pool)
    product += F.public @ (public @ transposed(F.public) + 2 * state.public[index] @ to_pool)
    return variance * (product + transposed(product)) / 2 + sandwich(F.pool, state.covariance[index])


def _middle(moments: PoolMoments, block: BlockState) -> Array:
    """The bracket of Cov theta, up to a skew-symmetric part, shape (b, d, d)."""
    w, state = block.response.weights, moments.path.state
    variance = moments.specification.sigma**2
    shared = (
        weighted(variance * w.public**2, moments.specification.public)
        + weighted(w.synthetic**2, state.covariance[block.index])
        + weighted(2 * variance * w.synthetic * w.public, state.public[block.index])
    )
    own = weighted(variance * w.private**2, block.response.private)
    own += shared
    own += weighted(2 * variance * w.synthetic * w.private, block.source)
    return own


def _noise(moments: PoolMoments, block: BlockState) -> Array:
    """Cov theta given the real data, shape (b, d, d)."""
    response, noise = block.response, moments.path.state.noise[block.index]
    return weighted(
        response.weights.synthetic**2, sandwich(moments.specification.outwards(response.inverses.pool), noise)
    )


def _block_norms(moments: PoolMoments, block: BlockState, rows: slice, carried: Array) -> Array:
    """Norms of M's rows for one block of entities: a F [C_1' .. C_K' C_*'] plus the entity's own real data.

    All blocks but those two come from `_squared_norms`.
    """
    spec, w = moments.specification, block.response.weights
    F = BySource(*map(spec.outwards, block.response.inverses))
    # Squares of gains in units that are far from one may be no numbers.
    unit = float(np.abs(F.pool).max(initial=0.0)) or 1.0
    pool, told = F.pool / unit, carried * unit
    count = len(F.pool)
    places = rows.start + np.arange(count)
    squares = _squared_norms(pool, told)
    norms: Array = np.sqrt(np.broadcast_to(w.synthetic**2, (count,))[:, None] * np.maximum(squares, 0.0))
    own = weighted(w.private, F.private @ transposed(spec.inwards(block.response.private)))
    shared = weighted(w.public, F.public @ spec.inwards(spec.public).T)
    own += weighted(w.synthetic, F.pool @ transposed(carried[places]))
    shared += weighted(w.synthetic, F.pool @ transposed(carried[-1:]))
    norms[np.arange(count), places] = np.linalg.norm(own, axis=(1, 2))
    norms[:, -1] = np.linalg.norm(shared, axis=(1, 2))
    return norms


def _squared_norms(pool: Array, told: Array) -> Array:
    """Return |F_k C_j'|^2 for every pair, shape (b, K + 1).

    Where the pool has d numbers it is <F F, C_j' C_j>: one matrix product for all pairs. Where it has those of many
    generations, the products F_k C_j' are the smaller matrices.
    """
    count, d, width = pool.shape
    if width == d:
        return (transposed(pool) @ pool).reshape(count, -1) @ (transposed(told) @ told).reshape(-1, d * d).T
    rows = told.reshape(-1, width)
    return np.array([((rows @ each.T) ** 2).reshape(len(told), -1).sum(axis=1) for each in pool])
