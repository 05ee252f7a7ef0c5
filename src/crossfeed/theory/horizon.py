"""Errors over a finite number of generations as functions of weights that change with the generation, with gradients.

The pool's recursions are those of `crossfeed.theory.consensus`: with H_t = (1 - g) I + g A_t,

    W_{t+1,j} = H_t W_tj + g D_tj,    m_{t+1} = H_t m_t + g v_t,    Gamma_{t+1} = H_t Gamma_t H_t' + g^2 N.

Their adjoints run backwards in time. With Q_t, mu_t, U_t and O_tj S~_j those of C_t, m_t, W_t* and W_tj that the errors
read at generation t leave,

    Wbar_tj = (2 sigma^2 Q_t W_tj + O_tj) S~_j + H_t' Wbar_{t+1,j},       mbar_t = mu_t + H_t' mbar_{t+1},
    Gbar_t = Q_t + H_t' Gbar_{t+1} H_t,       Dbar_tj = g (Wbar_{t+1,j} + mbar_{t+1} x_j'),
    Abar_t = g (sum_j Wbar_{t+1,j} W_tj' + Wbar_{t+1,*} W_t*' + mbar_{t+1} m_t' + 2 Gbar_{t+1} H_t Gamma_t),

so that the derivatives in every weight of every generation cost about as much as the errors once more.

Reference: paper, Theorems 1 and 2, for the recursions; Bryson and Ho, Applied Optimal Control (1975), Section 2.2, for
costates of a discrete system. Schedules are not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfeed.theory.answers import (
    Answers,
    Members,
    Mix,
    Pool,
    PulledStep,
    Readout,
    pull_answers,
    pull_errors,
    read_out,
)
from crossfeed.theory.closeness import Closeness
from crossfeed.theory.gradients import Slope, Sums, pull_pool
from crossfeed.theory.kernels import Array, transposed
from crossfeed.theory.pool_path import newest_share
from crossfeed.theory.specification import Conditioned, Specification


@dataclass(frozen=True)
class HorizonSolution:
    """The errors at generations 0 to T under a schedule.

    Attributes:
        specification: the ecosystem's specification; its own alpha and beta are not used.
        alpha: shape (T + 1, K); what it holds for generation 0 is not used.
        beta: shape (T + 1, K).
        answers: all entities, a setting for each generation.
        pool: the pool that each generation reads.
        gains: W, shape (T + 1, K, d, d).
        steps: H_t, shape (T, d, d).
        noise: Gamma_t, shape (T + 1, d, d).
    """

    specification: Conditioned
    alpha: Array
    beta: Array
    answers: Answers
    pool: Pool
    gains: Array
    steps: Array
    noise: Array

    @classmethod
    def of(cls, spec: Specification, alpha: Array, beta: Array) -> HorizonSolution:
        """Walk through the generations.

        Args:
            spec: the ecosystem's specification; its own alpha and beta are not used.
            alpha: synthetic weights of generations 0 to T, shape (T + 1, K); that of generation 0 is not used.
            beta: private shares of the real data, shape (T + 1, K).

        Returns:
            The solution, which holds some fifteen d x d matrices for every entity and generation.

        Raises:
            InvalidInput: if the ecosystem is no single pool that all read in step, or Gram matrices are so near to
                singular ones that rounding decides.
        """
        spec.check_one_pool("the gradient of errors in the weights")
        spec = spec.conditioned
        members, d = Members.read(spec, slice(0, spec.entities)), spec.dimension
        share = np.broadcast_to(spec.shares_of(slice(0, spec.entities)), (spec.entities,))
        alpha = np.where(np.arange(len(alpha))[:, None] == 0, 0.0, alpha)
        answers = Answers.of(members, Mix.of(alpha, beta), share, spec)
        sums, own = Sums.of(answers), answers.own_gain()
        drive = sums.drive + sums.public @ (spec.public @ spec.truth_public_inside)
        drive = drive + spec.fresh_fraction * (spec.fresh_gram @ spec.truth_public_inside)
        gains, public, mean = np.zeros_like(own), np.zeros_like(sums.public), np.zeros_like(drive)
        noise, steps = np.zeros_like(sums.matrix), np.zeros((len(alpha) - 1, d, d))
        for t in range(len(steps)):
            g = newest_share(spec, t + 1)
            steps[t] = (1.0 - g) * np.eye(d) + g * sums.matrix[t]
            gains[t + 1] = steps[t] @ gains[t] + g * own[t]
            public[t + 1] = steps[t] @ public[t] + g * sums.public[t]
            mean[t + 1] = steps[t] @ mean[t] + g * drive[t]
            noise[t + 1] = steps[t] @ noise[t] @ steps[t].T + g**2 * spec.pool_noise
        spread = ((gains @ members.private) @ transposed(gains)).sum(axis=1)
        spread = spread + public @ spec.public @ transposed(public)
        pool = Pool(mean, spec.sigma**2 * spread + noise, public)
        return cls(spec, alpha, beta, answers, pool, gains, steps, noise)

    @cached_property
    def _read(self) -> Readout:
        return read_out(self.answers, self.specification, self.pool, self.gains)

    @property
    def mse(self) -> Array:
        """Errors at generations 0 to T, shape (T + 1, K); infinite where a bias may hide since no truth was given.

        So they are where data of deficient rank are in other coordinates, whose shortest estimate is another one.
        """
        spec = self.specification
        known = (spec.truth_given and spec.coordinates is None) or not self.answers.singular.any()
        mse: Array = self._read.mse if known else np.full(self.alpha.shape, np.inf)
        return mse

    @cached_property
    def closeness(self) -> Closeness:
        """The dispersion of the entities at each generation."""
        return Closeness.of([self.answers], [self._read], self.specification, self.pool)

    def slope(self, weight: Array, dispersion: Array) -> Slope:
        """Return the derivatives of sum_tk c_tk MSE_tk + sum_t c_t dispersion_t.

        Args:
            weight: c_tk, shape (T + 1, K).
            dispersion: c_t, shape (T + 1,).

        Returns:
            Derivatives in the alpha and beta of each generation, shape (T + 1, K), and in shares and the fresh fraction
            as far as each generation's are concerned: sums over the first axis are those of constant ones.
        """
        spec, members = self.specification, self.answers.members
        pulled = pull_errors(self.answers, spec, self.pool, self._read, weight)
        if dispersion.any():
            pulled = pulled.plus(self.closeness.pull(dispersion)[0])
        Q = pulled.pool.covariance
        own = (2.0 * spec.sigma**2 * Q[:, None] @ self.gains + pulled.own) @ members.private
        public = 2.0 * spec.sigma**2 * Q @ self.pool.public @ spec.public + pulled.pool.public
        mean = np.array(np.broadcast_to(pulled.pool.mean, self.pool.mean.shape))
        noise = np.array(Q)
        matrix, shares = np.zeros_like(Q), np.zeros(len(Q))
        for t in reversed(range(len(self.steps))):
            H, g = self.steps[t], newest_share(spec, t + 1)
            matrix[t] = (own[t + 1] @ transposed(self.gains[t])).sum(axis=0) + public[t + 1] @ self.pool.public[t].T
            matrix[t] += np.outer(mean[t + 1], self.pool.mean[t]) + 2.0 * noise[t + 1] @ H @ self.noise[t]
            matrix[t] *= g
            own[t] += H.T @ own[t + 1]
            public[t] += H.T @ public[t + 1]
            mean[t] += H.T @ mean[t + 1]
            noise[t] += H.T @ noise[t + 1] @ H
            shares[t] = g
        later = _later(own), _later(public), _later(mean), _later(noise)
        back = shares[:, None] * later[2]
        step = PulledStep(
            matrix,
            shares[:, None, None] * later[1] + back[:, :, None] * (spec.public @ spec.truth_public_inside),
            shares[:, None, None, None] * later[0] + back[:, None, :, None] * members.moments[:, None, :],
        )
        mixes = pull_answers(self.answers, spec, spec.pool_gram, pulled, step)
        alpha, beta = mixes.mix.pull_back(self.alpha, self.beta)
        in_noise = shares[:, None, None] ** 2 * later[3]
        of_shares, fresh = pull_pool(spec, [self.answers], [mixes], mixes.pool_gram, in_noise)
        fresh = fresh + back @ (spec.fresh_gram @ spec.truth_public_inside)
        started = np.arange(len(alpha))[:, None] > 0
        return Slope(np.where(started, alpha, 0.0), beta, of_shares, fresh)


def _later(values: Array) -> Array:
    """Return each generation's successor, zero after the last."""
    return np.concatenate([values[1:], np.zeros_like(values[:1])])
