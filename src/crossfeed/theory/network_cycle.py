"""One cycle of a network's messages, and what is known of its long run.

Over a cycle of c generations the messages move by p' = H p + D (sources) + (noise of covariance N); H is A, and N its
noise, where everybody trains at every generation.

Reference: paper, Theorem 3, for one pool in step.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from crossfeed.theory.consensus import Estimates
from crossfeed.theory.in_step import InStep
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.lifted import Lifted, Sources, State
from crossfeed.theory.lifted_path import LiftedPath
from crossfeed.theory.network import Timing
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.spectrum import Growth, Inputs, spectral_radius

#: Error of a mean, as a share of the truth, that counts as rounding.
BIAS_TOLERANCE = 1e-7

#: Coordinates from which on matrices are not multiplied and their spectra not computed in full, if anything else does.
LARGE = 600

# Relative error of the largest eigenvalues of larger ones.
_ARNOLDI = 1e-12

# A generation at which one more changes no average.
_LATE = 2**60


class Settled(Protocol):
    """The long run of an ecosystem, beside its moments.

    Attributes:
        full_rank: shape (K,), True where an entity's training set determines its estimate.
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.
    """

    @property
    def full_rank(self) -> Mask:
        """Shape (K,)."""
        ...

    @property
    def inflation(self) -> float:
        """At least one."""
        ...

    def unbiased(self) -> Mask:
        """Tell estimates whose mean is the truth, whatever truth all data follow.

        Returns:
            Shape (K,).
        """
        ...

    def drift_rates(self, drift: Array) -> Array:
        """Return what a drift adds to each entity's variance per generation.

        Args:
            drift: covariance that is added per generation, as `crossfeed.theory.Growth.drift`.

        Returns:
            Shape (K,).
        """
        ...


@dataclass(frozen=True, eq=False)
class Cycle:
    """One cycle of a network's messages, in n = K d numbers.

    Attributes:
        spec: the specification.
        timing: who trains when.
        after: number of generations before the first such cycle.
        first: the cycle's first generation, late enough for averages over all generations to hold still.
        length: number of its generations.
        matrix: H, shape (n, n).
        drive: D, shape (n, (K + 2) d).
        noise: N, shape (n, n).
        inflation: what rounding errors of Gram matrices are multiplied by, at most.
    """

    spec: Conditioned
    timing: Timing
    after: int
    first: int
    length: int
    matrix: Array
    drive: Array
    noise: Array
    inflation: float

    @classmethod
    def of(cls, spec: Conditioned, timing: Timing) -> Cycle:
        """Follow one cycle, after the last arrival and departure.

        Args:
            spec: the specification.
            timing: who trains when.

        Returns:
            The cycle, which ends at a multiple of the clocks' period.

        Raises:
            InvalidInput: if K d is too large, or Gram matrices are so near to singular ones that rounding decides.
        """
        # All that a pool keeps decays alike; how it is averaged over generations is left to the spectrum.
        latest = replace(spec, history="latest")
        steps = Lifted(latest, expected_sources(latest, given=True))
        if timing.in_step and timing.stale == "keep":
            step = InStep.of(latest)
            first = _LATE if spec.history == "accumulate" else 1
            matrix = step.said(np.eye(spec.entities * spec.dimension))
            inflation = float(step.gains.inflation.max())
            return cls(spec, timing, 1, first, 1, matrix, step.drive(), step.noise(), inflation)
        size = spec.entities * spec.dimension
        start = steps.start(extra=size)
        start.gain.reshape(size, -1)[:, -size:] = np.eye(size)
        # A dropped text of generation 0 or of an arrival is out of the clocks' order.
        last = timing.settled + (timing.stale == "drop")
        length = timing.period
        after = last + (1 - last) % length
        first = _LATE if spec.history == "accumulate" else after
        state = start
        for t in range(first, first + length):
            state = steps.generation(state, t)
        state = _without(state, ~timing.there(first))
        gain, noise = state.gain.reshape(size, -1), state.covariance.reshape(size, size)
        return cls(spec, timing, after, first, length, gain[:, -size:], gain[:, :-size], noise, state.inflation)

    @property
    def in_step(self) -> bool:
        """True if everybody trains at every generation, at once."""
        return self.timing.in_step and self.timing.stale == "keep"

    @property
    def renewed(self) -> Array:
        """Probability that an entity trains within the cycle, shape (K,); one for an entity that has left."""
        due = np.sum([self.timing.trains(t) for t in range(self.first, self.first + self.length)], axis=0)
        return np.where(due > 0, 1.0 - (1.0 - self.timing.probability) ** due, 1.0)

    def from_start(self, steps: Lifted) -> State:
        """Return the state before the cycle, from generation 0 on.

        Args:
            steps: the network's steps.

        Returns:
            The state.
        """
        state = steps.start()
        for t in range(self.after):
            state = steps.generation(state, t)
        return state

    def settled(self, steps: Lifted, gain: Array, covariance: Array) -> State:
        """Return a state before the cycle.

        Args:
            steps: the network's steps.
            gain: of the messages on the sources, shape (n, (K + 2) d).
            covariance: of the messages, shape (n, n); or of all that the steps follow.

        Returns:
            The state.
        """
        K, d = self.spec.entities, self.spec.dimension
        start = steps.start()
        start.gain[:, :d] = gain.reshape(K, d, -1)
        if covariance.size == start.covariance.size:
            start.covariance[...] = covariance.reshape(start.covariance.shape)
        else:
            start.covariance[:, :d, :, :d] = covariance.reshape(K, d, K, d)
        return start

    def through(self, steps: Lifted, state: State) -> State:
        """Follow a state through the cycle.

        Args:
            steps: the network's steps.
            state: that before it.

        Returns:
            The state after it.
        """
        for t in range(self.first, self.first + self.length):
            state = steps.generation(state, t)
        return _without(state, ~self.timing.there(self.first))


def _without(state: State, gone: Mask) -> State:
    """Forget what entities that have left said last, which nobody reads."""
    if not gone.any():
        return state
    gain, covariance = state.gain.copy(), state.covariance.copy()
    gain[gone] = covariance[gone] = covariance[:, :, gone] = 0.0
    return replace(state, gain=gain, covariance=covariance)


def largest_eigenvalue(matrix: Array, apply: Callable[[Array], Array] | None = None) -> float:
    """Return the spectral radius, of large matrices by Arnoldi's method.

    Args:
        matrix: A, shape (n, n).
        apply: a faster way to A x; default: the product.

    Returns:
        The largest modulus of an eigenvalue.
    """
    known = None if len(matrix) < LARGE else arnoldi_radius(len(matrix), apply or matrix.dot)
    return spectral_radius(matrix) if known is None else known


def arnoldi_radius(size: int, apply: Callable[[Array], Array]) -> float | None:
    """Return the spectral radius of a linear map by Arnoldi's method.

    Args:
        size: n, the order of the map.
        apply: A x of a vector x, shape (n,).

    Returns:
        The largest modulus of an eigenvalue; None where the method does not converge.

    Reference: Lehoucq, Sorensen and Yang, ARPACK Users' Guide (1998).
    """
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)
    try:
        found = eigs(operator, k=2, v0=np.ones(size), return_eigenvectors=False, tol=_ARNOLDI)
    except ArpackNoConvergence:
        return None
    return float(np.abs(found).max())


def expected_sources(spec: Conditioned, *, given: bool) -> Sources:
    """Return the law of the real data under the truths.

    Args:
        spec: the specification.
        given: True to leave out their covariances.

    Returns:
        The sources.
    """
    estimates = Estimates.expected(spec)
    return Sources.of(spec, estimates.private, estimates.public, given=given)


def per_generation(growth: Growth, length: int) -> Growth:
    """Return a law of growth over cycles as one over generations.

    Args:
        growth: the law over cycles.
        length: number of generations of a cycle.

    Returns:
        The law.
    """
    rate = growth.rate ** (1.0 / length) if growth.law == "geometric" else growth.rate
    return Growth(growth.law, rate, None if growth.drift is None else growth.drift / length)


def inputs_of(cycle: Cycle, start: State) -> Inputs:
    """Return what comes into a cycle's messages.

    Args:
        cycle: the cycle.
        start: the state before it.

    Returns:
        Noise, real data and what the start has put in.
    """
    spec, size = cycle.spec, len(cycle.matrix)
    grams = np.concatenate([spec.private.all(), spec.public[None], spec.fresh_gram[None]])
    traces = np.trace(spec.generated.all(), axis1=1, axis2=2), np.trace(grams, axis1=1, axis2=2)
    held = [
        np.divide(1.0, each, out=np.zeros_like(each), where=each > 0) for each in (traces[1][:-2], traces[1][-2:-1])
    ]
    return Inputs(
        noise=cycle.noise,
        forcing=_spread(cycle.drive, grams),
        initial=_spread(start.gain.reshape(size, -1), grams),
        heard=float((traces[0] ** 2 * (held[0] + held[1])).sum()),
    )


def _spread(gains: Array, covariances: Array) -> Array:
    """Covariance of what has these gains on sources of these covariances, (n, n)."""
    n, d = len(gains), covariances.shape[-1]
    by_source = gains.reshape(n, -1, d).transpose(1, 0, 2)
    told = (by_source @ covariances).transpose(1, 0, 2).reshape(n, -1)
    return told @ gains.T


@dataclass(frozen=True, eq=False)
class SettledNetwork:
    """The long run of a network (`Settled`).

    Attributes:
        cycle: one cycle of its messages.
        path: its estimates at the end of a cycle in the limit, if there is one.
    """

    cycle: Cycle
    path: LiftedPath | None

    @property
    def full_rank(self) -> Mask:
        """Shape (K,), True where an entity's training set determines its estimate."""
        if self.path is not None:
            mask: Mask = ~self.path.singular
            return mask
        steps = Lifted(self.cycle.spec, expected_sources(self.cycle.spec, given=True))
        found: Mask = ~self.cycle.through(steps, steps.start()).singular
        return found

    @property
    def inflation(self) -> float:
        """Factor by which rounding errors of Gram matrices are multiplied, at most."""
        return self.cycle.inflation

    def unbiased(self) -> Mask:
        """Tell estimates whose mean is the truth, whatever truth all data follow.

        Returns:
            Shape (K,).
        """
        assert self.path is not None  # noqa: S101 - for the type checker; asked where there is a limit
        there, full = self.path.there[0], self.full_rank
        if full[there].all() and largest_eigenvalue(self.cycle.matrix) < 1.0 - BIAS_TOLERANCE:
            return np.asarray(there, dtype=np.bool_)
        right: Mask = there & self.path.unbiased(BIAS_TOLERANCE)[0]
        return right

    def drift_rates(self, drift: Array) -> Array:
        """Return what a drift adds to each entity's variance per generation.

        Args:
            drift: covariance that is added to the messages per generation, shape (n, n).

        Returns:
            Shape (K,); nan for an entity that has left.
        """
        cycle = self.cycle
        steps = Lifted(cycle.spec, expected_sources(cycle.spec, given=True))
        none = np.zeros_like(cycle.drive)
        more, less = (
            cycle.through(steps, cycle.settled(steps, none, each)).own_covariance for each in (drift, 0.0 * drift)
        )
        # An estimate that is kept for a while lags behind, but grows as fast.
        rates: Array = np.trace(cycle.spec.outwards(cycle.spec.outwards(more - less).swapaxes(1, 2)), axis1=1, axis2=2)
        rates = rates / cycle.renewed
        return np.where(cycle.timing.there(cycle.first), rates, np.nan)
