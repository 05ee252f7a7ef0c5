"""The limit of the ecosystem (Theorem 3), Lemma 1's condition, and growth where there is no limit.

With constant weights and the spectral radius of A (that of the lifted Q) below one, the estimates' law converges; its
read-outs are those of `crossfeed.theory.moments` with the pool in its long-run state. Theorem 3's full-rank assumption
is not needed for convergence: where G_k is singular the limit is that of the minimum-norm estimates, with their bias.

With history "accumulate" synthetic noise averages out, and the condition is that every eigenvalue of A has real part
below one. The boundary is treated in `crossfeed.theory.spectrum`.

Reference: paper, Theorem 3 (the fixed point is M = P + QM; its proof prints P + MQ) and Lemma 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from crossfeed.errors import CrossfeedError, InvalidInput
from crossfeed.theory.accuracy import digits, tell
from crossfeed.theory.consensus import Estimates, ReducedSystem, reduced_system
from crossfeed.theory.constant_path import ConstantPath, Gains
from crossfeed.theory.grams import Grams, map_blocks
from crossfeed.theory.kernels import Array, Mask, trace_sandwich
from crossfeed.theory.memory_limit import memory_long_run
from crossfeed.theory.memory_noise import MemoryNoise
from crossfeed.theory.modes import memory_radius
from crossfeed.theory.moments import PoolMoments
from crossfeed.theory.network_cycle import Settled
from crossfeed.theory.network_limit import network_limit
from crossfeed.theory.readouts import Conditional, Moments
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Conditioned, Specified
from crossfeed.theory.spectrum import (
    Growth,
    Inputs,
    Stationary,
    boundary,
    settles,
    spectral_radius,
    stationary,
    unit_error,
    unit_tolerance,
)
from crossfeed.theory.unbiased import right_on_average, unbiased_entities
from crossfeed.theory.weights import SourceWeights

# Relative misfit under which generated Grams count as a mix of private and public ones.
_LEMMA_TOLERANCE = 1e-7


@dataclass(frozen=True, eq=False)
class _SettledPool:
    """The long run of one pool that all read in step (`crossfeed.theory.network_cycle.Settled`)."""

    spec: Conditioned
    reduced: ReducedSystem
    tolerance: float
    path: ConstantPath | None

    @property
    def full_rank(self) -> Mask:
        mask: Mask = ~self.reduced.singular[-1]
        return mask

    @property
    def inflation(self) -> float:
        return self.reduced.inflation

    def unbiased(self) -> Mask:
        assert self.path is not None  # noqa: S101 - for the type checker; asked where there is a limit
        gains = self.path.gains.by_weights[0]
        if not self.spec.training.is_full:
            return right_on_average(self.spec, self.path.weights, gains, self.tolerance)
        return unbiased_entities(self.spec, self.path.weights, gains, self.reduced.singular, self.tolerance)

    def drift_rates(self, drift: Array) -> Array:
        return _read_drift(self.spec, drift)


class NoLimit(CrossfeedError):
    """A number was read from a limit that does not exist; the message names the law of growth."""


class Limit:
    """The limit t -> infinity; obtained from `LinearEcosystem.limit`.

    Reading a number from a limit that does not exist raises `NoLimit`; read `converges` first.

    Where entities train by clocks (`every`), it is that of the generations that are multiples of the clocks' common
    period; the law of an entity's estimate at other generations may differ.

    Args:
        ecosystem: the ecosystem in question.
        radius: the spectral radius.
        outcome: the moments in the limit, or the growth.
        settled: what else is known of the long run.

    Attributes:
        ecosystem: the ecosystem whose limit this is.
        specification: its specification, in the coordinates that solvers work in.
        spectral_radius: of the lifted Q, per generation (`crossfeed.theory.modes` where models remember); below one
            ensures a limit. Where coins decide who trains, the square root of that of the second moments' map.
            Eigenvalues within 1e-10 of one (1e-7 at most, where the pool's Gram matrix is ill-conditioned) count as
            one.
        growth: the law by which the estimates grow; None where the limit exists.
        full_rank: shape (K,), True where G_k has full rank, as Theorem 3 assumes: below a spectral radius of one such
            an estimate is unbiased whatever the common truth, unless an entity it learns from is not (`unbiased`).
        digits: how many decimal digits of its numbers rounding leaves, about; near a spectral radius of one fewer.
    """

    def __init__(
        self,
        ecosystem: Specified,
        radius: float,
        outcome: Moments | Growth,
        settled: Settled,
    ) -> None:
        self.ecosystem = ecosystem
        self.specification = ecosystem.specification.conditioned
        self.spectral_radius = radius
        self.full_rank: Mask = settled.full_rank
        self.digits = digits(self.specification, settled.inflation)
        self.growth = outcome if isinstance(outcome, Growth) else None
        self._outcome = outcome
        self._settled = settled

    @property
    def converges(self) -> bool:
        """True if the mean and covariance of every entity's estimate have a finite limit."""
        return self.growth is None

    @cached_property
    def unbiased(self) -> Mask:
        """Entities whose limiting mean is the truth, whatever truth all data have in common; shape (K,).

        False for all where there is no limit. See `crossfeed.theory.unbiased`.
        """
        if self.growth is not None:
            return np.zeros(self.specification.entities, dtype=np.bool_)
        return self._settled.unbiased()

    @cached_property
    def variance_growth(self) -> Array:
        """Limit of each entity's increase in variance per generation, shape (K,).

        Zero where the limit exists, a finite rate under linear growth, infinite under geometric and quadratic growth,
        and nan where the law gives none (bounded oscillation, or growth slowed by accumulation).
        """
        K = self.specification.entities
        if self.growth is None:
            return np.zeros(K)
        if self.growth.drift is None:
            unbounded = self.growth.law in ("geometric", "quadratic")
            return np.full(K, np.inf if unbounded else np.nan)
        return self._settled.drift_rates(self.growth.drift)

    @property
    def mean(self) -> Array:
        """Limit of E theta_tk, shape (K, d)."""
        return _only(self._moments.mean)

    @property
    def covariance(self) -> Array:
        """Limit of Cov theta_tk, shape (K, d, d)."""
        return _only(self._moments.covariance)

    @property
    def mse(self) -> Array:
        """Limit of E |theta_tk - theta*_k|^2, shape (K,)."""
        return _only(self._moments.mse)

    @property
    def bias_squared(self) -> Array:
        """Limit of |E theta_tk - theta*_k|^2, shape (K,)."""
        return _only(self._moments.bias_squared)

    @property
    def variance(self) -> Array:
        """Limit of the trace of Cov theta_tk, shape (K,)."""
        return _only(self._moments.variance)

    @property
    def dispersion(self) -> float:
        """Limit of the mean over pairs of E |theta_tk - theta_tl|^2."""
        return float(self._moments.dispersion[0])

    @property
    def influence(self) -> Array:
        """Share of each entity's expected prediction that comes from each source, shape (K, K + 1), public last."""
        return _only(self._moments.influence)

    @property
    def gain_norms(self) -> Array:
        """Frobenius norms of the blocks of lim M_t, shape (K, K + 1): private sources first, public last."""
        return _only(self._moments.gain_norms)

    def mspe(self, grams: npt.ArrayLike | Grams | None = None, truths: npt.ArrayLike | None = None) -> Array:
        """Return the limit of the mean squared prediction errors of every entity on every task.

        Args:
            grams: X_m'X_m of M tasks, shape (M, d, d), or `crossfeed.theory.sources.feature_source` of their features;
                default: every entity's private Gram.
            truths: theta*_m, shape (M, d); default: every entity's truth, or the public truth where `grams` is given.

        Returns:
            Shape (K, M).

        Raises:
            InvalidInput: if a shape does not fit, a number is not finite, or a task's matrix is no Gram matrix.
            NoLimit: if there is no limit.
        """
        return _only(self._moments.mspe(grams, truths))

    def given(self, data: npt.ArrayLike) -> Conditional:
        """Return the limit of the estimates' law given the real data.

        Args:
            data: shape (K + 1, d): X~_k^+ y~_k of every entity, then X_*^+ y_* of the public data.

        Returns:
            Conditional mean (K, d) and covariance (K, d, d).

        Raises:
            InvalidInput: if the shape does not fit or a number is not finite.
            NoLimit: if there is no limit.

        Source: paper, Theorems 1 and 3.
        """
        conditional = self._moments.given(data)
        return Conditional(_only(conditional.mean), _only(conditional.covariance))

    @property
    def _moments(self) -> Moments:
        if isinstance(self._outcome, Growth):
            raise NoLimit(
                f"the estimates have no limit: spectral radius {self.spectral_radius:.6g}, {self._outcome.law} growth "
                f"at rate {self._outcome.rate:.6g}; read .growth and .variance_growth, or .moments(generations)"
            )
        return self._outcome


def _only(stack: Array) -> Array:
    entry: Array = stack[0]
    return entry


def limit_of(eco: Specified) -> Limit:
    """Solve for the limit; the function behind `LinearEcosystem.limit`.

    Args:
        eco: a `LinearEcosystem` with constant weights.

    Returns:
        The limit, or the growth where there is none.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation, or numbers overflow.

    Warns:
        IllConditioned: if rounding leaves few digits.

    Source: paper, Theorem 3.
    """
    spec = eco.specification.conditioned
    if not spec.weights.constant:
        raise InvalidInput(
            "a limit needs constant weights, and alpha or beta is a function of the generation; give numbers, or "
            "read .moments([t]) at a large t"
        )
    if spec.network is not None:
        radius, outcome, settled = network_limit(eco)
        return Limit(eco, radius, outcome, settled)
    accumulate, estimates = spec.history == "accumulate", Estimates.expected(spec)
    weights = [spec.weights.at(1)]
    reduced = reduced_system(spec, weights, estimates)
    matrix = reduced.couplings[0].matrix
    _check_finite(matrix)
    tell(spec, reduced.inflation)
    error = unit_error(spec.pool_gram, reduced.inflation, spec.rounding)
    tolerance = unit_tolerance(error)
    long_run: Stationary | Growth
    beside: MemoryNoise | None = None
    radius = memory_radius(spec) if spec.training.remembers and not accumulate else spectral_radius(matrix)
    if spec.training.remembers:
        inputs = _inputs(spec, reduced_system(spec, [spec.weights.at(0), *weights], estimates))
        long_run = memory_long_run(spec, matrix, inputs, radius, tolerance)
        if not accumulate and isinstance(long_run, Stationary):
            beside = MemoryNoise(spec, radius)
    elif settles(matrix, accumulate, tolerance):
        long_run = stationary(matrix, spec.pool_noise, accumulate)
    else:
        # On the boundary the pool may keep generation 0 for ever, so its weights are needed too.
        weights.insert(0, spec.weights.at(0))
        reduced = reduced_system(spec, weights, estimates)
        long_run = boundary(matrix, _inputs(spec, reduced), accumulate, tolerance)
    if isinstance(long_run, Growth):
        return Limit(eco, radius, long_run, _SettledPool(spec, reduced, tolerance, None))
    path = _settled_path(spec, weights, reduced, long_run)
    return Limit(eco, radius, PoolMoments(eco, path, beside), _SettledPool(spec, reduced, tolerance, path))


def _check_finite(matrix: Array) -> None:
    if not np.isfinite(matrix).all():
        raise InvalidInput(
            "private, public and generated features are of sizes so far apart that numbers overflow; give features of "
            "about one scale"
        )


def _inputs(spec: Conditioned, reduced: ReducedSystem) -> Inputs:
    forcing = reduced.spread[1, 1] + spec.fresh_fraction * spec.fresh_gram
    return Inputs(noise=spec.pool_noise, forcing=forcing, initial=reduced.spread[0, 0], heard=_heard_in_full(spec))


def _heard_in_full(spec: Conditioned) -> float:
    """Return the size of sum_j s_j^2 S_j S^+ S_j, S the real data that author j may fit: what real data could say."""
    public = np.trace(spec.public)

    def sums(rows: slice) -> float:
        private, published = (np.trace(S, axis1=1, axis2=2) for S in spec.grams_of(rows))
        each = np.divide(1.0, private, out=np.zeros_like(private), where=private > 0) + (
            1.0 / public if public else 0.0
        )
        return float((spec.shares_of(rows) ** 2 * published**2 * each).sum())

    return sum(map_blocks(sums, spec.entities, spec.dimension), 0.0)


def _settled_path(
    spec: Conditioned, weights: list[SourceWeights], reduced: ReducedSystem, long_run: Stationary
) -> ConstantPath:
    gains = [long_run.lasting] if len(weights) == 1 else [long_run.initial, long_run.lasting]
    limit = Gains(np.array([gains]), long_run.noise[None], np.array([len(weights) - 1]))
    return ConstantPath(spec, weights, reduced, limit)


def _read_drift(spec: Conditioned, drift: Array) -> Array:
    def rates(rows: slice) -> Array:
        response = EntityBlock.read(spec, rows).respond(spec.weights.at(1))
        return response.weights.synthetic**2 * trace_sandwich(spec.outwards(response.inverses.pool), drift)

    return np.concatenate(list(map_blocks(rates, spec.entities, spec.dimension)))


def lemma_1(eco: Specified) -> float | None:
    """Return the largest lambda for which generated Grams are proportional to lambda S~_k + (1 - lambda) S_*.

    With one, the spectral radius is below one for all common alpha < 1 and 0 < beta <= lambda (fresh data and unequal
    shares included: the proof never uses that they are equal). beta = 0 is not covered: public data that miss a
    direction then leave an eigenvalue one.

    Args:
        eco: a `LinearEcosystem`.

    Returns:
        lambda in (0, 1], or None where the Grams are no such mix.

    Raises:
        InvalidInput: if the ecosystem is no single pool that all read in step.

    Source: paper, Lemma 1.
    """
    eco.specification.check_one_pool("Lemma 1")
    spec = eco.specification.conditioned

    def products(rows: slice) -> Array:
        private, generated = spec.grams_of(rows)
        terms = [private, np.broadcast_to(spec.public, private.shape), generated]
        return np.array([[np.vdot(left, right) for right in terms] for left in terms])

    table = sum(map_blocks(products, spec.entities, spec.dimension), np.zeros((3, 3)))
    private_alone = np.array([table[0, 2] / table[0, 0] if table[0, 0] > 0 else 0.0, 0.0])
    both = np.linalg.lstsq(table[:2, :2], table[:2, 2], rcond=None)[0]
    for mix in (private_alone, both):
        misfit = table[2, 2] - 2 * mix @ table[:2, 2] + mix @ table[:2, :2] @ mix
        if misfit <= _LEMMA_TOLERANCE**2 * table[2, 2] and mix[0] > 0 and mix[1] >= 0:
            return float(mix[0] / mix.sum())
    return None
