"""What the shared pool knows at the asked generations: zbar_t's mean and covariance, and its tie to every source.

Two ways lead there (see `crossfeed.theory.consensus` for the symbols).

Constant weights: with settings m = 0 (generation 0) and m = 1 (after), gains L_t0 = I, L_t1 = 0 at t = 1 and
L_{t+1,0} = H_t L_t0, L_{t+1,1} = H_t L_t1 + g I,

    E zbar_t = sum_m L_tm c_m,     Cov zbar_t = sigma^2 sum_mn L_tm spread_mn L_tn' + Gamma_t,
    C_tj     = sum_m (s p S~ R)_mj L_tm',     Gamma_{t+1} = H_t Gamma_t H_t' + g^2 N,   Gamma_1 = N.

Scheduled weights: the recursions are run generation by generation, and C_tj is walked forward block by block.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossfeed.theory.consensus import (
    Coupling,
    EntityBlock,
    Estimates,
    ReducedSystem,
    Response,
    carried_spread,
    coupling_sums,
    reduced_system,
    with_shared_data,
)
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, times_transposed, transposed, weighted_sum
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.weights import SourceWeights

# Gains above this are taken on each entity's data before these are squared, at the price of another pass.
_STEEP = 1e3


@dataclass(frozen=True)
class PoolState:
    """The pool at n generations (all zero at generation 0, when there is none).

    Attributes:
        mean: E zbar, shape (n, d).
        covariance: Cov zbar, shape (n, d, d).
        noise: Gamma, the part of the covariance that stays when the real data are given, shape (n, d, d).
        public: Cov(X_*'y_*, zbar) / sigma^2, shape (n, d, d).
    """

    mean: Array
    covariance: Array
    noise: Array
    public: Array


@dataclass(frozen=True)
class BlockState:
    """One block of entities at one asked generation.

    Attributes:
        index: position of the generation among those asked.
        response: the block's answer at that generation.
        source: C, the covariance of each entity's data with the pool over sigma^2, shape (b, d, d).
    """

    index: int
    response: Response
    source: Array


class PoolPath(Protocol):
    """The pool along the asked generations."""

    state: PoolState

    def steps(self, block: EntityBlock) -> Iterator[BlockState]:
        """Walk one block of entities through the asked generations."""
        ...

    def mean_given(self, estimates: Estimates) -> Array:
        """E zbar at the asked generations when the real data say `estimates`, shape (n, d)."""
        ...


@dataclass(frozen=True)
class Gains:
    """How the pool depends on what was said under each of m settings, at n generations.

    Attributes:
        by_setting: L, shape (n, m, d, d).
        noise: Gamma, shape (n, d, d).
        answers: index of the setting under which the entities answer, shape (n,).
    """

    by_setting: Array
    noise: Array
    answers: npt.NDArray[np.intp]


def newest_share(eco: LinearEcosystem, generation: int) -> float:
    """g_t: the weight of generation t's own data in the pool collected at t >= 1."""
    return 1.0 if eco.history == "latest" else 1.0 / generation


def pool_step(eco: LinearEcosystem, matrix: Array, generation: int) -> Array:
    """H = (1 - g) I + g A, the step that leads to the pool of generation t."""
    g = newest_share(eco, generation)
    return (1.0 - g) * np.eye(eco.dimension) + g * matrix


def next_noise(eco: LinearEcosystem, step: Array, noise: Array, generation: int) -> Array:
    """Gamma of generation t from that of t - 1."""
    propagated: Array = step @ noise @ step.T + newest_share(eco, generation) ** 2 * eco.pool_noise
    return propagated


def finite_gains(eco: LinearEcosystem, matrix: Array, generations: Sequence[int]) -> Gains:
    """Run L and Gamma up to the last asked generation, O(d^3) each."""
    d = eco.dimension
    zero, identity = np.zeros((d, d)), np.eye(d)
    gain, noise = np.array([identity, zero]), eco.pool_noise
    wanted = set(generations)
    kept = {0: (np.array([zero, zero]), zero), 1: (gain, noise)}
    for t in range(2, max(generations) + 1):
        step = pool_step(eco, matrix, t)
        gain = step @ gain
        gain[1] += newest_share(eco, t) * identity
        noise = next_noise(eco, step, noise, t)
        if t in wanted:
            kept[t] = (gain, noise)
    return Gains(
        by_setting=np.array([kept[t][0] for t in generations]),
        noise=np.array([kept[t][1] for t in generations]),
        answers=np.array([min(t, 1) for t in generations]),
    )


class ConstantPath:
    """The pool under constant weights, at the asked generations or in the limit.

    Args:
        eco: the ecosystem.
        weights: the m settings.
        settings: what the pool needs of the entities under each.
        gains: the pool's dependence on them.
    """

    def __init__(
        self, eco: LinearEcosystem, weights: Sequence[SourceWeights], settings: ReducedSystem, gains: Gains
    ) -> None:
        self._eco, self._weights, self._gains = eco, weights, gains
        L = gains.by_setting
        publics = np.array([coupling.public for coupling in settings.couplings])
        if np.abs(L).max() > _STEEP:
            spread = np.array([carried_spread(eco, weights, settings, each) for each in L])
        else:
            spread = np.einsum("nuij,uvjk,nvlk->nil", L, settings.spread, L, optimize=True)
        self.state = PoolState(
            mean=_driven(L, settings.couplings),
            covariance=eco.sigma**2 * spread + gains.noise,
            noise=gains.noise,
            public=eco.public @ transposed((L @ publics).sum(axis=1)),
        )

    def steps(self, block: EntityBlock) -> Iterator[BlockState]:
        """Walk one block of entities through the asked generations."""
        responses = [block.respond(w) for w in self._weights]
        sources = [response.source() for response in responses]
        for i, gains in enumerate(self._gains.by_setting):
            parts = [times_transposed(s, gain) for s, gain in zip(sources, gains, strict=True)]
            yield BlockState(i, responses[self._gains.answers[i]], reduce(add, parts))

    def mean_given(self, estimates: Estimates) -> Array:
        """E zbar at the asked generations when the real data say `estimates`, shape (n, d)."""
        return _driven(self._gains.by_setting, reduced_system(self._eco, self._weights, estimates).couplings)


def _driven(gains: Array, couplings: Sequence[Coupling]) -> Array:
    drives = np.array([coupling.drive for coupling in couplings])
    driven: Array = np.einsum("nmij,mj->ni", gains, drives)
    return driven


def constant_path(eco: LinearEcosystem, generations: Sequence[int]) -> ConstantPath:
    """The pool of an ecosystem with constant weights, at the asked generations."""
    weights = [eco.weights_at(0), eco.weights_at(1)]
    settings = reduced_system(eco, weights, Estimates.expected(eco))
    return ConstantPath(eco, weights, settings, finite_gains(eco, settings.couplings[1].matrix, generations))


class ScheduledPath:
    """The pool under weights that change with the generation, O(T K d^3) for T generations.

    Args:
        eco: the ecosystem.
        generations: the asked generations.
    """

    def __init__(self, eco: LinearEcosystem, generations: Sequence[int]) -> None:
        self._eco = eco
        self._generations = generations
        self._weights = [eco.weights_at(t) for t in range(max(generations) + 1)]
        couplings = self._couplings(Estimates.expected(eco))
        self._steps = [pool_step(eco, c.matrix, t) for t, c in enumerate(couplings, start=1)]
        noise, publics = self._noise_and_public(couplings)
        spread = self._spread() + publics @ eco.public @ transposed(publics)
        at = list(generations)
        self.state = PoolState(
            mean=self._means(couplings)[at],
            covariance=(eco.sigma**2 * spread + noise)[at],
            noise=noise[at],
            public=eco.public @ transposed(publics[at]),
        )

    def steps(self, block: EntityBlock) -> Iterator[BlockState]:
        """Walk one block of entities through the asked generations."""
        asked: dict[int, list[int]] = {}
        for index, t in enumerate(self._generations):
            asked.setdefault(t, []).append(index)
        for t, (response, source) in enumerate(self._walk(block)):
            for index in asked.get(t, ()):
                yield BlockState(index, response, source)

    def mean_given(self, estimates: Estimates) -> Array:
        """E zbar at the asked generations when the real data say `estimates`, shape (n, d)."""
        return self._means(self._couplings(estimates))[list(self._generations)]

    def _couplings(self, estimates: Estimates) -> list[Coupling]:
        """The pool's step after each generation but the last."""
        eco, weights = self._eco, self._weights[:-1]
        if not weights:
            return []

        def sums(rows: slice) -> list[Coupling]:
            block = EntityBlock.read(eco, rows)
            return [coupling_sums(block, block.respond(w), estimates) for w in weights]

        parts = map_blocks(sums, eco.entities, eco.dimension)
        totals = reduce(lambda left, right: list(map(add, left, right)), parts)
        return [with_shared_data(eco, total, estimates) for total in totals]

    def _means(self, couplings: Sequence[Coupling]) -> Array:
        means = [np.zeros(self._eco.dimension)]
        for t, (coupling, step) in enumerate(zip(couplings, self._steps, strict=True), start=1):
            means.append(step @ means[-1] + newest_share(self._eco, t) * coupling.drive)
        return np.array(means)

    def _noise_and_public(self, couplings: Sequence[Coupling]) -> tuple[Array, Array]:
        """Gamma_t and the gain of X_*'y_* in zbar_t, each (T + 1, d, d)."""
        d = self._eco.dimension
        noise, public = [np.zeros((d, d))], [np.zeros((d, d))]
        for t, (coupling, step) in enumerate(zip(couplings, self._steps, strict=True), start=1):
            noise.append(next_noise(self._eco, step, noise[-1], t))
            public.append(step @ public[-1] + newest_share(self._eco, t) * coupling.public)
        return np.array(noise), np.array(public)

    def _walk(self, block: EntityBlock) -> Iterator[tuple[Response, Array]]:
        """Carry C_t through every generation."""
        source = np.zeros_like(block.private)
        for t, weights in enumerate(self._weights, start=1):
            response = block.respond(weights)
            yield response, source
            if t <= len(self._steps):
                g = newest_share(self._eco, t)
                source = times_transposed(source, self._steps[t - 1]) + g * response.source()

    def _spread(self) -> Array:
        """sum_j W_tj S~_j W_tj', W_tj the gain of source j in zbar_t, shape (T + 1, d, d)."""
        eco = self._eco

        def sums(rows: slice) -> Array:
            walk = self._walk(EntityBlock.read(eco, rows))
            return np.array([_spread_terms(response, source) for response, source in walk])

        terms = reduce(add, map_blocks(sums, eco.entities, eco.dimension))
        spread = [np.zeros((eco.dimension, eco.dimension))]
        for t, (step, (cross, own)) in enumerate(zip(self._steps, terms, strict=False), start=1):
            g, forward = newest_share(eco, t), step @ cross
            spread.append(step @ spread[-1] @ step.T + g * (forward + forward.T) + g**2 * own)
        return np.array(spread)


def _spread_terms(response: Response, source: Array) -> tuple[Array, Array]:
    """sum_j W_j S~_j D_j' and sum_j D_j S~_j D_j' over one block, from C_j = S~_j W_j'."""
    cross = weighted_sum(response.gain, transposed(source) @ response.replies.private)
    own = weighted_sum(response.gain, transposed(response.replies.private) @ response.source())
    return cross, own
