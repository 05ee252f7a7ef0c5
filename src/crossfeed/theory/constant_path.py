"""The pool under constant weights, at given generations or in the limit.

With weights u = 0 (generation 0) and u = 1 (after), gains L_t0 = I, L_t1 = 0 at t = 1 and L_{t+1,0} = H_t L_t0,
L_{t+1,1} = H_t L_t1 + g I (see `crossfeed.theory.consensus` for the symbols),

    E zbar_t = sum_u L_tu c_u,     Cov zbar_t = sigma^2 sum_uv L_tu spread_uv L_tv' + Gamma_t,
    C_tj     = sum_u (s p S~ R)_uj L_tu',     Gamma_{t+1} = H_t Gamma_t H_t' + g^2 N,   Gamma_1 = N.

Reference: paper, Theorems 1 and 2, reduced as in `crossfeed.theory.consensus`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

from crossfeed.theory.consensus import Coupling, Estimates, ReducedSystem, carried_spread, reduced_system
from crossfeed.theory.few_rows import few_rows
from crossfeed.theory.kernels import Array, times, transposed
from crossfeed.theory.pool_path import BlockState, FewRowsState, PoolState, newest_share, next_noise, pool_step
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.spectrum import unit_error, without_drift
from crossfeed.theory.weights import SourceWeights

# Gains above this are taken on each entity's data before these are squared, at the price of another pass.
_STEEP = 1e3


@dataclass(frozen=True)
class Gains:
    """The pool as a function of what was published under each of m weights, at n generations.

    Attributes:
        by_weights: L, shape (n, m, d, d).
        noise: Gamma, shape (n, d, d).
        in_force: index of the weights under which the entities respond, shape (n,).
    """

    by_weights: Array
    noise: Array
    in_force: npt.NDArray[np.intp]


def finite_gains(spec: Conditioned, matrix: Array, generations: Sequence[int]) -> Gains:
    """Run L and Gamma up to the last requested generation, O(d^3) each.

    Args:
        spec: the ecosystem's specification.
        matrix: A, shape (d, d).
        generations: n whole numbers >= 0, in any order.

    Returns:
        The gains at these generations, for m = 2 weights: those of generation 0 and those after.
    """
    d = spec.dimension
    zero, identity = np.zeros((d, d)), np.eye(d)
    gain, noise = np.array([identity, zero]), spec.pool_noise
    wanted = set(generations)
    kept = {0: (np.array([zero, zero]), zero), 1: (gain, noise)}
    for t in range(2, max(generations) + 1):
        step = pool_step(spec, matrix, t)
        gain = step @ gain
        gain[1] += newest_share(spec, t) * identity
        noise = next_noise(spec, step, noise, t)
        if t in wanted:
            kept[t] = (gain, noise)
    return Gains(
        by_weights=np.array([kept[t][0] for t in generations]),
        noise=np.array([kept[t][1] for t in generations]),
        in_force=np.array([min(t, 1) for t in generations]),
    )


class ConstantPath:
    """The pool under constant weights, at the requested generations or in the limit.

    Args:
        spec: the ecosystem's specification.
        weights: the m weights.
        reduced: the reduced system under them.
        gains: the pool as a function of what was published under each.

    Attributes:
        weights: the m weights.
        gains: the pool as a function of what was published under each.
        state: the pool at the n generations of `gains`.
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.
    """

    def __init__(
        self, spec: Conditioned, weights: Sequence[SourceWeights], reduced: ReducedSystem, gains: Gains
    ) -> None:
        self._spec, self.weights, self.gains = spec, weights, gains
        self.inflation = reduced.inflation
        L = gains.by_weights
        publics = np.array([coupling.public for coupling in reduced.couplings])
        if np.abs(L).max() > _STEEP:
            spread = np.array([carried_spread(spec, weights, reduced, each) for each in L])
        else:
            beside, m = _beside(L), len(weights) * spec.dimension
            spread = beside @ reduced.spread.swapaxes(1, 2).reshape(m, m) @ transposed(beside)
        self.state = PoolState(
            mean=_driven(L, reduced.couplings),
            covariance=spec.sigma**2 * spread + gains.noise,
            noise=gains.noise,
            public=spec.public @ transposed((L @ publics).sum(axis=1)),
        )

    def walk(self, block: EntityBlock) -> Iterator[BlockState]:
        """Walk one block of entities through the requested generations.

        Args:
            block: the block of b entities.

        Returns:
            Its state at each generation, in the order requested.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        responses = [block.respond(w) for w in self.weights]
        sources = [response.source() for response in responses]
        for i, gains in enumerate(self.gains.by_weights):
            parts = [times(s, gain.T) for s, gain in zip(sources, gains, strict=True)]
            yield BlockState(i, responses[self.gains.in_force[i]], reduce(add, parts))

    def few_rows(self, rows: slice) -> list[FewRowsState] | None:
        """Return one block of entities at the requested generations, where products of few rows give it.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            Its state at each generation; None as `crossfeed.theory.few_rows.few_rows`.
        """
        responses = few_rows(self._spec, rows, self.weights)
        if responses is None:
            return None
        states = []
        for in_force, gains in zip(self.gains.in_force, self.gains.by_weights, strict=True):
            parts = [times(each.carried, gain.T) for each, gain in zip(responses, gains, strict=True)]
            states.append(FewRowsState(responses[in_force], reduce(add, parts)))
        return states

    def mean_given(self, estimates: Estimates) -> Array:
        """Return the pool's mean under given estimates of the real data.

        Args:
            estimates: the least-squares estimates of all sources.

        Returns:
            E zbar at the requested generations, shape (n, d).

        Source: paper, Theorem 1.
        """
        return _driven(self.gains.by_weights, reduced_system(self._spec, self.weights, estimates).couplings)


def _driven(gains: Array, couplings: Sequence[Coupling]) -> Array:
    driven: Array = _beside(gains) @ np.concatenate([coupling.drive for coupling in couplings])
    return driven


def _beside(gains: Array) -> Array:
    """Put the gains on what was published under each of m weights beside each other, shape (n, d, m d)."""
    return gains.swapaxes(1, 2).reshape(len(gains), gains.shape[2], -1)


def constant_path(spec: Conditioned, generations: Sequence[int]) -> ConstantPath:
    """Solve for the pool of an ecosystem with constant weights.

    Args:
        spec: the ecosystem's specification.
        generations: n whole numbers >= 0, in any order.

    Returns:
        The pool at these generations.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
    """
    weights = [spec.weights.at(0), spec.weights.at(1)]
    reduced = reduced_system(spec, weights, Estimates.expected(spec))
    error = unit_error(spec.pool_gram, reduced.couplings[1].inflation, spec.rounding)
    matrix = without_drift(reduced.couplings[1].matrix, error)
    return ConstantPath(spec, weights, reduced, finite_gains(spec, matrix, generations))
