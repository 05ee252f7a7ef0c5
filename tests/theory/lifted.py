"""The naive twin: the paper's lifted Kd x Kd system, propagated densely.

The state at generation t is the pair (theta_t, zbar_t) written as a linear function of everything random: the K + 1
noise vectors of the real data, and a covariance for all noise drawn since. Nothing here knows the reduction.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg


def pinv(matrix):
    """Pseudo-inverse with a rank decision fit for sums of exact Grams."""
    return np.linalg.pinv(matrix, rcond=1e-11, hermitian=True)


class Lifted:
    """Dense formulas for a description given as the constructor arguments of LinearEcosystem (Grams)."""

    def __init__(
        self, private, public, generated=None, alpha=0.5, beta=0.5, initial_beta=None, shares=None, sigma=1.0,
        sigma_generated=None, fresh=None, fresh_fraction=0.0, history="latest", truths=None, truth_public=None,
    ):  # fmt: skip
        self.private, self.public = private, public
        self.K, self.d = private.shape[:2]
        self.generated = private if generated is None else generated
        self.alpha, self.beta, self.initial_beta = alpha, beta, initial_beta
        self.w = np.full(self.K, 1 / self.K) if shares is None else np.asarray(shares)
        self.sigma = sigma
        self.sigma_g = sigma if sigma_generated is None else sigma_generated
        self.phi, self.fresh = fresh_fraction, np.zeros_like(public) if fresh is None else fresh
        self.accumulate = history == "accumulate"
        self.truth_public = np.zeros(self.d) if truth_public is None else truth_public
        self.truths = np.tile(self.truth_public, (self.K, 1)) if truths is None else truths

    def weights(self, t):
        def at(weight):
            return np.broadcast_to(weight(t) if callable(weight) else weight, (self.K,)).astype(float)

        beta = at(self.beta) if t or self.initial_beta is None else at(self.initial_beta)
        alpha = at(self.alpha) if t else np.zeros(self.K)
        return alpha, beta

    def grams(self, t):
        """G_t of each entity, (K, d, d)."""
        alpha, beta = self.weights(t)
        pool = (1 - self.phi) * np.einsum("j,jab->ab", self.w, self.generated) + self.phi * self.fresh
        weights = zip(alpha, beta, self.private, strict=True)
        return np.array([(1 - a) * b * S + (1 - a) * (1 - b) * self.public + a * pool for a, b, S in weights])

    def gram_inverse(self, t):
        """G_t^+ block diagonal, shape (Kd, Kd)."""
        return scipy.linalg.block_diag(*map(pinv, self.grams(t)))

    def is_clear(self, last):
        """Whether each eigenvalue up to a generation is zero or far from it: between them rounding decides on ranks."""
        values = np.linalg.eigvalsh(np.concatenate([self.grams(t) for t in range(last + 1)]))
        relative = np.abs(values) / np.maximum(values[:, -1:], np.finfo(float).tiny)
        return not ((relative > 1e-14) & (relative < 1e-3)).any()

    def real_reader(self, t):
        """P, (Kd, (K+1)d): the real data's own estimates enter here."""
        alpha, beta = self.weights(t)
        own = scipy.linalg.block_diag(*((1 - a) * b * S for a, b, S in zip(alpha, beta, self.private, strict=True)))
        common = np.vstack([(1 - a) * (1 - b) * self.public for a, b in zip(alpha, beta, strict=True)])
        return self.gram_inverse(t) @ np.hstack([own, common])

    def reader(self, t):
        """(Kd, d): how the estimates read the pool moment."""
        alpha, _ = self.weights(t)
        return self.gram_inverse(t) @ np.kron(alpha[:, None], np.eye(self.d))

    def writer(self):
        """(d, Kd): how the estimates write the pool moment."""
        return (1 - self.phi) * np.hstack([w * S for w, S in zip(self.w, self.generated, strict=True)])

    def lifted_step(self, t):
        """Q, (Kd, Kd)."""
        return self.reader(t) @ self.writer()

    def noise(self):
        synthetic = self.sigma_g**2 * (1 - self.phi) ** 2 * np.einsum("j,jab->ab", self.w**2, self.generated)
        return synthetic + (self.sigma * self.phi) ** 2 * self.fresh

    def propagate(self, generations):
        """M_t (Kd, (K+1)d), offset_t (Kd,) from fresh data, C_t (Kd, Kd) at each asked generation."""
        K, d = self.K, self.d
        found = {}
        pool_gain, pool_offset, pool_noise = np.zeros((d, (K + 1) * d)), np.zeros(d), np.zeros((d, d))
        for t in range(max(generations) + 1):
            reader = self.reader(t)
            M, offset, C = (
                self.real_reader(t) + reader @ pool_gain,
                reader @ pool_offset,
                reader @ pool_noise @ reader.T,
            )
            found[t] = (M, offset, C)
            g = 1 / (t + 1) if self.accumulate else 1.0
            writer = self.writer()
            fresh = self.phi * self.fresh @ self.truth_public
            step = (1 - g) * np.eye(d) + g * writer @ reader
            pool_noise = step @ pool_noise @ step.T + g**2 * self.noise()
            pool_gain, pool_offset = (
                (1 - g) * pool_gain + g * writer @ M,
                (1 - g) * pool_offset + g * (writer @ offset + fresh),
            )
        return [found[t] for t in generations]

    def real_covariance(self):
        return self.sigma**2 * scipy.linalg.block_diag(*(pinv(S) for S in [*self.private, self.public]))

    def real_mean(self):
        pairs = zip([*self.private, self.public], [*self.truths, self.truth_public], strict=True)
        return np.concatenate([pinv(S) @ S @ theta for S, theta in pairs])

    def moments(self, generations, data=None):
        """Mean (n, K, d) and the full covariance (n, Kd, Kd); given the real data's estimates if `data` is."""
        means, covariances = [], []
        for M, offset, C in self.propagate(generations):
            said = self.real_mean() if data is None else np.ravel(data)
            means.append((M @ said + offset).reshape(self.K, self.d))
            covariances.append(C if data is not None else M @ self.real_covariance() @ M.T + C)
        return np.array(means), np.array(covariances)

    def limit(self):
        """Theorem 3 by equation (2): M = (I - Q)^-1 P, C by scipy's discrete Lyapunov solver."""
        Q, P = self.lifted_step(1), self.real_reader(1)
        M = np.linalg.solve(np.eye(len(Q)) - Q, P)
        fresh = self.reader(1) @ (self.phi * self.fresh @ self.truth_public)
        mean = M @ self.real_mean() + np.linalg.solve(np.eye(len(Q)) - Q, fresh)
        covariance = M @ self.real_covariance() @ M.T
        if not self.accumulate:
            reader = self.reader(1)
            covariance = covariance + scipy.linalg.solve_discrete_lyapunov(Q, reader @ self.noise() @ reader.T)
        return mean.reshape(self.K, self.d), covariance

    def blocks(self, covariance):
        """Diagonal blocks (K, d, d) of a (Kd, Kd) matrix."""
        cube = covariance.reshape(self.K, self.d, self.K, self.d)
        return np.array([cube[k, :, k] for k in range(self.K)])
