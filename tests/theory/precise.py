"""The limit in sixty digits, from the very numbers of features or Gram matrices, where every G_k has full rank."""

from __future__ import annotations

import mpmath as mp
import numpy as np

DIGITS = 60


def precise(matrix):
    """The matrix in sixty digits, without rounding."""
    return mp.matrix(np.asarray(matrix, dtype=np.float64).tolist())


def grams(features):
    """X'X of every matrix, in sixty digits."""
    return [X.T * X for X in map(precise, features)]


class Precise:
    """Equal shares, common or own weights, one truth each, the newest generation alone.

    Gram matrices are given in sixty digits (`grams`, `precise`).
    """

    def __init__(self, private, public, generated, alpha, beta, sigma=1.0, sigma_generated=1.0, truths=None,
                 truth_public=None):  # fmt: skip
        mp.mp.dps = DIGITS
        self.K, self.d = len(private), public.rows
        self.private, self.public, self.generated = private, public, generated
        self.alpha, self.beta = ([mp.mpf(float(x)) for x in np.broadcast_to(w, self.K)] for w in (alpha, beta))
        self.sigma, self.sigma_generated = mp.mpf(sigma), mp.mpf(sigma_generated)
        self.truth_public = mp.zeros(self.d, 1) if truth_public is None else precise(np.reshape(truth_public, (-1, 1)))
        self.truths = [self.truth_public] * self.K
        if truths is not None:
            self.truths = [precise(np.reshape(theta, (-1, 1))) for theta in truths]

    def limit(self):
        """MSE of every entity and the dispersion in the limit, as doubles: (K,) and one number.

        The pool's moment has the gains L on each source's moment, and the noise N of its own.
        """
        K, d, eye = self.K, self.d, mp.eye(self.d)
        pool = sum(self.generated, mp.zeros(d)) / K
        weights = [((1 - a) * b, (1 - a) * (1 - b), a) for a, b in zip(self.alpha, self.beta, strict=True)]
        inverses = [
            mp.inverse(p * S + q * self.public + a * pool)
            for (p, q, a), S in zip(weights, self.private, strict=True)
        ]  # fmt: skip
        said = [S * F / K for S, F in zip(self.generated, inverses, strict=True)]
        step = sum((a * D for (_, _, a), D in zip(weights, said, strict=True)), mp.zeros(d))
        settle = mp.inverse(eye - step)
        gains = [settle * p * D for (p, _, _), D in zip(weights, said, strict=True)]
        gains.append(settle * sum((q * D for (_, q, _), D in zip(weights, said, strict=True)), mp.zeros(d)))
        noise = _summed(step, self.sigma_generated**2 * sum(self.generated, mp.zeros(d)) / K**2)
        sources, truths = [*self.private, self.public], [*self.truths, self.truth_public]
        estimates = []  # gains of theta_k on the moment of every source, then on the pool's noise
        for k, ((p, q, a), F) in enumerate(zip(weights, inverses, strict=True)):
            direct = {k: p, K: q}
            on_data = [F * (direct.get(j, 0) * eye + a * L) for j, L in enumerate(gains)]
            estimates.append([*on_data, a * F])
        spreads = [*(self.sigma**2 * S for S in sources), noise]
        means = [
            sum((M * S * theta for M, S, theta in zip(row[:-1], sources, truths, strict=True)), mp.zeros(d, 1))
            for row in estimates
        ]  # fmt: skip
        mse = [
            _square(mean - theta) + _trace(row, spreads)
            for mean, theta, row in zip(means, truths[:K], estimates, strict=True)
        ]
        pairs = [(k, j) for k in range(K) for j in range(k)]
        apart = [
            _square(means[k] - means[j])
            + _trace([x - y for x, y in zip(estimates[k], estimates[j], strict=True)], spreads)
            for k, j in pairs
        ]  # fmt: skip
        return np.array([float(x) for x in mse]), float(sum(apart) / max(1, len(pairs)))

    def pooled(self):
        """MSE of least squares on all real data, (K,); one truth for all."""
        inverse = mp.inverse(sum(self.private, self.public.copy()))
        return float(self.sigma**2 * sum(inverse[i, i] for i in range(self.d)))


def _trace(gains, spreads):
    products = (M * S * M.T for M, S in zip(gains, spreads, strict=True))
    return sum(product[i, i] for product in products for i in range(product.rows))


def _square(vector):
    return sum(x * x for x in vector)


def _summed(step, noise):
    """sum_s A^s N A'^s by doubling."""
    total, power = noise, step
    while True:
        term = power * total * power.T
        total += term
        if mp.mnorm(term, 1) <= mp.mpf(10) ** -50 * mp.mnorm(total, 1):
            return total
        power = power * power
