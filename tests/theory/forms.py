"""The naive twin of networks: every number as a linear form in independent noise, for every outcome of the coins.

An estimate or message is a constant vector and a matrix for each noise vector ever drawn. Nothing is summed up,
reduced or propagated as a covariance, so that this knows no recursion of the theory.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


class Form:
    """constant + sum_i coefficient_i noise_i, all noise independent with known covariances."""

    def __init__(self, constant, terms=None):
        self.constant, self.terms = np.asarray(constant, dtype=float), terms or {}

    def __add__(self, other):
        keys = self.terms.keys() | other.terms.keys()
        zero = np.zeros((len(self.constant),) * 2)
        return Form(
            self.constant + other.constant, {i: self.terms.get(i, zero) + other.terms.get(i, zero) for i in keys}
        )

    def __sub__(self, other):
        return self + (-1.0 * np.eye(len(other.constant))) @ other

    def __rmatmul__(self, matrix):
        return Form(matrix @ self.constant, {i: matrix @ term for i, term in self.terms.items()})

    # numpy must not take the matrix product over.
    __array_ufunc__ = None

    def __mul__(self, weight):
        return Form(weight * self.constant, {i: weight * term for i, term in self.terms.items()})

    def covariance(self, noises):
        return sum((term @ noises[i] @ term.T for i, term in self.terms.items()), np.zeros((len(self.constant),) * 2))


class Forms:
    """One network, given as the constructor arguments of LinearEcosystem (Grams)."""

    def __init__(
        self, private, public, generated=None, alpha=0.5, beta=0.5, initial_beta=None, shares=None, sigma=1.0,
        sigma_generated=None, fresh=None, fresh_fraction=0.0, history="latest", truths=None, truth_public=None,
        reads=None, every=1, phase=0, probability=1.0, stale="keep", order="together", arrives=None, leaves=None,
        generated_at=None, given=None,
    ):  # fmt: skip
        K, d = private.shape[:2]
        self.K, self.d, self.private, self.public = K, d, private, public
        constant = private if generated is None else generated
        self.S = lambda t: constant if generated_at is None or t == 0 else generated_at(t)
        w = np.full(K, 1 / K) if shares is None else np.asarray(shares)
        if reads is None:
            self.W = np.tile(w, (K, 1))
        elif isinstance(reads, tuple):
            self.W = reads[0] @ reads[1]
        else:
            self.W = reads.toarray() if hasattr(reads, "toarray") else np.asarray(reads)
        self.alpha, self.beta, self.initial_beta = alpha, beta, initial_beta
        self.sigma, self.sigma_g = sigma, sigma if sigma_generated is None else sigma_generated
        self.phi, self.fresh = fresh_fraction, np.zeros_like(public) if fresh is None else fresh
        self.accumulate, self.stale, self.order = history == "accumulate", stale, order
        self.every, self.phase, self.probability = (np.broadcast_to(x, (K,)) for x in (every, phase, probability))
        self.arrives = np.zeros(K, int) if arrives is None else np.broadcast_to(arrives, (K,))
        self.leaves = np.full(K, 10**9) if leaves is None else np.broadcast_to(leaves, (K,))
        self.truth_public = np.zeros(d) if truth_public is None else np.asarray(truth_public)
        self.truths = np.tile(self.truth_public, (K, 1)) if truths is None else truths
        self.given = given

    def weights(self, t, k):
        def at(weight):
            return np.broadcast_to(weight(t) if callable(weight) else weight, (self.K,))[k]

        beta = at(self.beta) if t or self.initial_beta is None else np.broadcast_to(self.initial_beta, (self.K,))[k]
        return (at(self.alpha) if t else 0.0), beta

    def there(self, t, k):
        return self.arrives[k] <= t <= self.leaves[k]

    def trains(self, t, k):
        if not self.there(t, k):
            return False
        return t == self.arrives[k] or t % self.every[k] == self.phase[k] % self.every[k]

    def published(self, t, k):
        fresh_enough = self.stale == "keep" or self.trains(t - 1, k)
        return self.arrives[k] < t <= self.leaves[k] and fresh_enough

    def is_uncertain(self, t, k):
        return self.probability[k] < 1 and t > self.arrives[k] and self.trains(t, k)

    def outcomes(self, last):
        """Every outcome of the coins with its probability."""
        thrown = [(t, k) for t in range(1, last + 1) for k in range(self.K) if self.is_uncertain(t, k)]
        for values in itertools.product([True, False], repeat=len(thrown)):
            chances = [
                self.probability[k] if v else 1 - self.probability[k] for (_, k), v in zip(thrown, values, strict=True)
            ]
            yield math.prod(chances), dict(zip(thrown, values, strict=True))

    def run(self, last, coins):
        """Estimates (a list of forms for each generation) and the covariances of all noise."""
        noises, sources = [], []
        grams = [*self.private, self.public]
        truths = [*self.truths, self.truth_public]
        for i, (S, truth) in enumerate(zip(grams, truths, strict=True)):
            noises.append(self.sigma**2 * S)
            sources.append(Form(S @ truth, {i: np.eye(self.d)}) if self.given is None else Form(S @ self.given[i]))

        def noise(covariance):
            noises.append(covariance)
            return Form(np.zeros(self.d), {len(noises) - 1: np.eye(self.d)})

        zero = Form(np.zeros(self.d))
        theta, message, gram = [zero] * self.K, [zero] * self.K, [np.zeros_like(self.public)] * self.K
        old, pools, states = list(message), [], []
        for t in range(last + 1):
            fresh = Form(self.fresh @ self.truth_public) + noise(self.sigma**2 * self.fresh)
            pools.append(fresh)
            if self.accumulate:
                fresh = sum(pools[1:-1], pools[-1]) * (1 / len(pools[1:])) if t else fresh
            now = list(theta)
            if self.order == "together":
                old, olds = list(message), list(gram)
            for k in range(self.K):
                if not self.trains(t, k) or not coins.get((t, k), True):
                    continue
                said, rows = (old, olds) if self.order == "together" else (message, gram)
                alpha, beta = self.weights(t, k)
                heard = [j for j in range(self.K) if self.published(t, j)]
                total = sum(self.W[k, j] for j in heard)
                z, V = fresh * self.phi, self.phi * self.fresh
                if total > 0:
                    for j in heard:
                        z, V = (
                            z + said[j] * ((1 - self.phi) * self.W[k, j] / total),
                            V + (1 - self.phi) * self.W[k, j] / total * rows[j],
                        )
                elif self.phi < 1:
                    alpha = 0.0
                p, q = (1 - alpha) * beta, (1 - alpha) * (1 - beta)
                F = np.linalg.pinv(p * self.private[k] + q * self.public + alpha * V, rcond=1e-11, hermitian=True)
                now[k] = F @ (sources[k] * p + sources[-1] * q + z * alpha)
                when = t + 1
                S = self.S(when)[k]
                new = S @ now[k] + noise(self.sigma_g**2 * S)
                share = 1 / (t + 1) if self.accumulate else 1.0
                message[k] = message[k] * (1 - share) + new * share
                gram[k] = (1 - share) * gram[k] + share * S
            theta = now
            states.append(list(theta))
        return states, noises

    def moments(self, generations):
        """Mean (n, K, d), covariance (n, K, d, d) and dispersion (n,), nan where an entity is absent."""
        last, n = max(generations), len(generations)
        mean, second = np.zeros((n, self.K, self.d)), np.zeros((n, self.K, self.d, self.d))
        apart = np.zeros(n)
        for chance, coins in self.outcomes(last):
            states, noises = self.run(last, coins)
            for i, t in enumerate(generations):
                here = [k for k in range(self.K) if self.there(t, k)]
                for k in range(self.K):
                    form = states[t][k]
                    mean[i, k] += chance * form.constant
                    second[i, k] += chance * (form.covariance(noises) + np.outer(form.constant, form.constant))
                pairs = list(itertools.combinations(here, 2))
                for k, m in pairs:
                    gap = states[t][k] - states[t][m]
                    apart[i] += chance * (np.trace(gap.covariance(noises)) + gap.constant @ gap.constant) / len(pairs)
        covariance = second - mean[..., :, None] * mean[..., None, :]
        for i, t in enumerate(generations):
            for k in range(self.K):
                if not self.there(t, k):
                    mean[i, k], covariance[i, k] = np.nan, np.nan
        return mean, covariance, apart
