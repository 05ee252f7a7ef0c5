"""Limiting errors of many settings of the weights at once, and their gradients by the adjoint of the pool's equations.

In the limit the pool obeys, with A = sum_j s_j a_j T_j and L = (I - A)^{-1} (see `crossfeed.theory.answers`),

    W_j = L D_j,   m = L v,   C = sigma^2 L (sum_j D_j S~_j D_j' + D_* S_* D_*') L' + Gamma,   Gamma = A Gamma A' + N.

Let Q, mu and U be the adjoints of C, m and W_* that the entities' errors leave. One more Lyapunov equation, that of the
transposed A, then gives every derivative:

    Y = A' Y A + Q,      Abar = 2 Y A Gamma + L' (2 Q (C - Gamma) + U W_*' + sum_j O_j S~_j W_j') + L' mu m',

and Dbar_j = L' (2 sigma^2 Q W_j + O_j) S~_j + L' mu x_j', where O_j S~_j is the adjoint of W_j as entity j reads it.
All 3K + 1 derivatives together cost about as much as the errors once more.

Settings are marked as hard, and left to `crossfeed.theory.efficiency.limiting_mse`, where a part of a training set is
so light that F loses digits of what it decides, where a bias is not known since no truth was given, and where the
spectral radius cannot be told from one.

Reference: Griewank and Walther, Evaluating Derivatives, 2nd ed. (2008), for the reverse mode; the adjoint of a Lyapunov
equation is the one with the transposed matrix (Gahinet, Laub, Kenney and Hewer, Sensitivity of the stable discrete-time
Lyapunov equation, IEEE Trans. Automat. Control 35 (1990)).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np

from crossfeed.theory.answers import (
    Answers,
    Members,
    Mix,
    Pool,
    Pulled,
    PulledMix,
    PulledStep,
    Readout,
    pull_answers,
    pull_errors,
    read_out,
)
from crossfeed.theory.closeness import Closeness
from crossfeed.theory.grams import block_slices
from crossfeed.theory.kernels import Array, Mask, transposed
from crossfeed.theory.specification import Conditioned, Specification

# A pool whose matrix does not shrink to this norm within so many squarings is hard: it settles later than 2^30 steps.
_SMALL, _SQUARINGS = 0.1, 30


class Slope(NamedTuple):
    """Derivatives of a number with respect to everything that may be chosen, at P settings.

    Attributes:
        alpha: shape (P, b).
        beta: shape (P, b).
        shares: of w, each taken by itself, shape (P, b).
        fresh_fraction: of phi, shape (P,).
    """

    alpha: Array
    beta: Array
    shares: Array
    fresh_fraction: Array


class Sums(NamedTuple):
    """Sums over b entities in the pool's equations.

    Attributes:
        matrix: their part of A, shape (P, d, d).
        public: of D_*, shape (P, d, d).
        spread: of sum_j D_j S~_j D_j', shape (P, d, d).
        drive: of v, shape (P, d).
    """

    matrix: Array
    public: Array
    spread: Array
    drive: Array

    @classmethod
    def of(cls, answers: Answers) -> Sums:
        """Add up entities.

        Args:
            answers: how they answer their data.

        Returns:
            Their sums.
        """
        (_, q, a), T, gains = answers.mix, answers.published, answers.own_gain()
        return cls(
            matrix=_weighted(answers.share * a, T),
            public=_weighted(answers.share * q, T),
            spread=((gains @ answers.members.private) @ transposed(gains)).sum(axis=1),
            drive=(gains @ answers.members.moments[..., None]).sum(axis=1)[..., 0],
        )

    def plus(self, other: Sums) -> Sums:
        """Return the sums of two groups of entities.

        Args:
            other: of the other group.

        Returns:
            Their sum.
        """
        return Sums(*map(add, self, other))


def _weighted(weight: Array, matrices: Array) -> Array:
    P, b, d, _ = matrices.shape
    return (weight[:, None] @ matrices.reshape(P, b, d * d)).reshape(P, d, d)


@dataclass(frozen=True)
class LimitSolution:
    """The limit at P settings of the weights.

    Attributes:
        specification: the ecosystem's specification; its own alpha and beta are not used.
        alpha: synthetic weights, shape (P, b).
        beta: private shares, shape (P, b).
        answers: blocks of entities, b of them together.
        reads: their errors.
        pool: the pool.
        matrix: A, shape (P, d, d).
        lasting: L, shape (P, d, d).
        noise: Gamma, shape (P, d, d).
        hard: settings that are left to a slower way, shape (P,).
    """

    specification: Conditioned
    alpha: Array
    beta: Array
    answers: Sequence[Answers]
    reads: Sequence[Readout]
    pool: Pool
    matrix: Array
    lasting: Array
    noise: Array
    hard: Mask

    @property
    def mse(self) -> Array:
        """Limiting errors, shape (P, b); meaningless at hard settings."""
        return np.concatenate([read.mse for read in self.reads], axis=1)

    def closeness(self) -> Closeness:
        """Return the mean distance between entities, which needs all of them.

        Returns:
            The comparison.
        """
        return Closeness.of(self.answers, self.reads, self.specification, self.pool)

    def slope(self, weight: Array, dispersion: float = 0.0) -> Slope:
        """Return the derivatives of sum_k c_k MSE_k + c dispersion.

        Args:
            weight: c_k, shape (P, b).
            dispersion: c.

        Returns:
            The derivatives.
        """
        spec, edges = self.specification, _edges(self.answers)
        weights = [weight[:, start:stop] for start, stop in edges]
        pulled = [
            pull_errors(each, spec, self.pool, read, c)
            for each, read, c in zip(self.answers, self.reads, weights, strict=True)
        ]
        if dispersion:
            more = self.closeness().pull(dispersion)
            pulled = [left.plus(right) for left, right in zip(pulled, more, strict=True)]
        return self._slope(pulled)

    def _slope(self, pulled: Sequence[Pulled]) -> Slope:
        spec, L = self.specification, transposed(self.lasting)
        mean, Q, U = (reduce(add, parts) for parts in zip(*(each.pool for each in pulled), strict=True))
        noisy = spec.history == "latest"
        Y = settle(transposed(self.matrix), Q)[0] if noisy else np.zeros_like(Q)
        back = (L @ mean[..., None])[..., 0]
        carried = reduce(
            add, ((each.own @ read.carried).sum(axis=1) for each, read in zip(pulled, self.reads, strict=True))
        )
        inner = 2.0 * Q @ (self.pool.covariance - self.noise) + U @ transposed(self.pool.public) + carried
        matrix = 2.0 * Y @ self.matrix @ self.noise + L @ inner + _outer(back, self.pool.mean)
        public = L @ (2.0 * spec.sigma**2 * Q @ self.pool.public @ spec.public + U)
        public = public + _outer(back, spec.public @ spec.truth_public_inside)
        mixes = []
        for answers, read, each in zip(self.answers, self.reads, pulled, strict=True):
            gain = 2.0 * spec.sigma**2 * Q[:, None] @ transposed(read.carried) + each.own @ answers.members.private
            own = L[:, None] @ gain + back[:, None, :, None] * answers.members.moments[..., None, :]
            mixes.append(pull_answers(answers, spec, spec.pool_gram, each, PulledStep(matrix, public, own)))
        return _assembled(self, mixes, Y, back)


def _assembled(solved: LimitSolution, mixes: Sequence[PulledMix], noise: Array, drive: Array) -> Slope:
    """Return the derivatives from adjoints of the weights, N and v."""
    spec = solved.specification
    mix = Mix(*(np.concatenate(parts, axis=1) for parts in zip(*(each.mix for each in mixes), strict=True)))
    pool_gram = reduce(add, (each.pool_gram for each in mixes))
    alpha, beta = mix.pull_back(solved.alpha, solved.beta)
    shares, fresh = pull_pool(spec, solved.answers, mixes, pool_gram, noise)
    return Slope(alpha, beta, shares, fresh + drive @ (spec.fresh_gram @ spec.truth_public_inside))


def pull_pool(
    spec: Conditioned, answers: Sequence[Answers], mixes: Sequence[PulledMix], pool_gram: Array, noise: Array
) -> tuple[Array, Array]:
    """Carry adjoints of s, V and N back to the shares and the fresh fraction.

    Args:
        spec: the ecosystem's specification.
        answers: blocks of entities.
        mixes: their adjoints.
        pool_gram: adjoint of V, shape (P, d, d).
        noise: adjoint of N, shape (P, d, d).

    Returns:
        Adjoints of the shares (P, b) and of the fresh fraction (P,), the latter without what fresh labels teach.
    """
    rest, sigma = 1.0 - spec.fresh_fraction, spec.sigma_generated
    shares, fresh = [], np.zeros(len(noise))
    for each, pulled in zip(answers, mixes, strict=True):
        generated, w = each.members.generated, each.share / rest if rest > 0 else np.zeros_like(each.share)
        in_gram, in_noise = (np.einsum("pij,bij->pb", matrix, generated) for matrix in (pool_gram, noise))
        shares.append(rest * (pulled.share + in_gram) + 2 * sigma**2 * rest**2 * w * in_noise)
        fresh -= ((pulled.share + in_gram) * w + 2 * sigma**2 * rest * w**2 * in_noise).sum(axis=1)
    human = pool_gram + 2 * spec.sigma**2 * spec.fresh_fraction * noise
    return np.concatenate(shares, axis=1), fresh + (human * spec.fresh_gram).sum(axis=(-2, -1))


def _edges(answers: Sequence[Answers]) -> list[tuple[int, int]]:
    ends = np.cumsum([len(each.members) for each in answers]).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _outer(left: Array, right: Array) -> Array:
    product: Array = left[..., :, None] * right[..., None, :]
    return product


class LimitModel:
    """The limiting errors of some entities as functions of their weights, all other things fixed.

    It holds the Gram matrices of these entities in memory, and some twenty d x d matrices for each of them and each
    setting while it computes.

    Args:
        spec: the ecosystem's specification; its own alpha and beta are not used.
        entities: slice(start, stop) of the entities whose weights vary; default: all.
        rest: what all others add to the pool; default: nothing.

    Attributes:
        specification: the specification, in the coordinates that solvers work in.

    Raises:
        InvalidInput: if the ecosystem is no single pool that all read in step.
    """

    def __init__(self, spec: Specification, entities: slice | None = None, rest: Sums | None = None) -> None:
        spec.check_one_pool("the gradient of errors in the weights")
        spec = self.specification = spec.conditioned
        first, last = (0, spec.entities) if entities is None else (entities.start, entities.stop)
        self._rows = [
            slice(first + rows.start, first + rows.stop) for rows in block_slices(last - first, spec.dimension)
        ]
        self._members = [Members.read(spec, rows) for rows in self._rows]
        self._rest = rest

    def solve(self, alpha: Array, beta: Array, specification: Conditioned | None = None) -> LimitSolution:
        """Solve for the limit at P settings.

        Args:
            alpha: synthetic weights of the b entities, shape (P, b).
            beta: their private shares, shape (P, b).
            specification: the same ecosystem with other shares or another fresh fraction; default: as it is.

        Returns:
            The limit.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        spec = self.specification if specification is None else specification
        answers = self.answers(alpha, beta, spec)
        sums = reduce(Sums.plus, map(Sums.of, answers), self._rest or _nothing(len(alpha), spec.dimension))
        sums = sums._replace(drive=sums.drive + sums.public @ (spec.public @ spec.truth_public_inside))
        sums = sums._replace(drive=sums.drive + spec.fresh_fraction * (spec.fresh_gram @ spec.truth_public_inside))
        noise, settled = settle(
            sums.matrix, spec.pool_noise if spec.history == "latest" else np.zeros_like(spec.public)
        )
        hard = ~settled | np.any([each.doubtful(spec).any(axis=1) for each in answers], axis=0)
        matrix = np.where(settled[:, None, None], sums.matrix, 0.0)
        L = np.asarray(np.linalg.inv(np.eye(spec.dimension) - matrix), dtype=np.float64)
        spread = sums.spread + sums.public @ spec.public @ transposed(sums.public)
        pool = Pool(
            mean=(L @ sums.drive[..., None])[..., 0],
            covariance=spec.sigma**2 * L @ spread @ transposed(L) + noise,
            public=L @ sums.public,
        )
        reads = [read_out(each, spec, pool, L[:, None] @ each.own_gain()) for each in answers]
        return LimitSolution(spec, alpha, beta, answers, reads, pool, matrix, L, noise, hard)

    def answers(self, alpha: Array, beta: Array, spec: Conditioned) -> list[Answers]:
        """Return how the entities answer their data, in blocks.

        Args:
            alpha: as in `solve`.
            beta: as in `solve`.
            spec: the ecosystem's specification.

        Returns:
            One block after another.

        Raises:
            InvalidInput: as `solve`.
        """
        first, found = self._rows[0].start, []
        for rows, members in zip(self._rows, self._members, strict=True):
            own = slice(rows.start - first, rows.stop - first)
            mix = Mix.of(alpha[:, own], beta[:, own])
            share = np.broadcast_to(spec.shares_of(rows), (len(members),))
            found.append(Answers.of(members, mix, share, spec))
        return found


def _nothing(settings: int, dimension: int) -> Sums:
    square = np.zeros((settings, dimension, dimension))
    return Sums(square, square, square, np.zeros((settings, dimension)))


def settle(matrix: Array, noise: Array) -> tuple[Array, Mask]:
    """Solve X = A X A' + N by doubling, for many A at once.

    Args:
        matrix: A, shape (P, d, d) or (1, d, d).
        noise: N, shape (P, d, d) or (d, d).

    Returns:
        X, shape (P, d, d), and a mask (P,): True where the powers of A were seen to vanish, which ensures a spectral
        radius below one. Elsewhere X means nothing.

    Reference: Smith, Matrix equation XA + BX = C, SIAM J. Appl. Math. 16 (1968).
    """
    total = np.broadcast_to(noise, np.broadcast_shapes(matrix.shape, noise.shape)).copy()
    settled = np.zeros(len(total), dtype=np.bool_)
    open_, power, part = np.arange(len(total)), np.broadcast_to(matrix, total.shape), total
    with np.errstate(over="ignore", invalid="ignore"):
        for _ in range(_SQUARINGS):
            term = power @ part @ transposed(power)
            part = part + term
            done = np.abs(term).max(axis=(1, 2)) <= np.finfo(float).eps / 4 * np.abs(part).max(axis=(1, 2))
            if done.any():
                done &= (power**2).sum(axis=(1, 2)) < _SMALL**2
                total[open_[done]], settled[open_[done]] = part[done], True
                open_, power, part = open_[~done], power[~done], part[~done]
            if not len(open_):
                break
            power = power @ power
    return (total + transposed(total)) / 2, settled
