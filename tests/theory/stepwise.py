"""The naive twin of updates that stop early: everything random in one long vector, carried on step by step.

It holds the moments of all real data, the number one (for the truth of fresh data), the estimates, those of generation
0 and the pool. Gradient steps are taken one by one. Nothing here knows a filter, a kernel or a frequency.
"""

from __future__ import annotations

import numpy as np
from lifted import Lifted, pinv


class Stepwise:
    """Dense propagation for the constructor arguments of LinearEcosystem (Grams), steps, ridge and start among them."""

    def __init__(self, steps=None, rate=None, ridge=0.0, start="previous", **description):
        self.twin = Lifted(**description)
        self.steps, self.rate, self.ridge, self.start = steps, rate, ridge, start
        K, d = self.twin.K, self.twin.d
        self.real, self.one = (K + 1) * d, (K + 1) * d
        self.pool = slice(self.real + 1 + 2 * K * d, self.real + 1 + 2 * K * d + d)
        self.size = self.pool.stop

    def source(self, k):
        d = self.twin.d
        return slice(k * d, (k + 1) * d)

    def estimate(self, k, initial=False):
        d, K = self.twin.d, self.twin.K
        start = self.real + 1 + (K * d if initial else 0) + k * d
        return slice(start, start + d)

    def update(self, G):
        """E and F of one update, one step after the other."""
        identity = np.eye(len(G))
        G = G + self.ridge * identity
        if self.steps is None:
            return 0 * G, pinv(G)
        keeps, learns = identity, 0 * G
        for _ in range(self.steps):
            keeps, learns = keeps - self.rate * G @ keeps, learns - self.rate * G @ learns + self.rate * identity
        return keeps, learns

    def first(self):
        """The map from the real data's moments to the estimates of generation 0."""
        twin, A = self.twin, np.eye(self.size)
        _, beta = twin.weights(0)
        for k, G in enumerate(twin.grams(0)):
            F = pinv(G + self.ridge * np.eye(twin.d))
            for rows in (self.estimate(k), self.estimate(k, initial=True)):
                A[rows] = 0
                A[rows, self.source(k)] = beta[k] * F
                A[rows, self.source(twin.K)] = (1 - beta[k]) * F
        return A

    def publish(self, t):
        """The map to the pool of generation t, and the covariance that its noise adds."""
        twin, A, B = self.twin, np.eye(self.size), np.zeros((self.size, self.size))
        g = 1 / t if twin.accumulate else 1.0
        A[self.pool] = 0
        A[self.pool, self.pool] = (1 - g) * np.eye(twin.d)
        for j in range(twin.K):
            A[self.pool, self.estimate(j)] = g * (1 - twin.phi) * twin.w[j] * twin.generated[j]
        A[self.pool, self.one] = g * twin.phi * twin.fresh @ twin.truth_public
        B[self.pool, self.pool] = g**2 * twin.noise()
        return A, B

    def train(self, t):
        twin, A = self.twin, np.eye(self.size)
        alpha, beta = twin.weights(t)
        for k, G in enumerate(twin.grams(t)):
            keeps, learns = self.update(G)
            rows = self.estimate(k)
            A[rows] = 0
            if self.start != "base":
                A[rows, self.estimate(k, initial=self.start == "own")] += keeps
            A[rows, self.source(k)] += (1 - alpha[k]) * beta[k] * learns
            A[rows, self.source(twin.K)] += (1 - alpha[k]) * (1 - beta[k]) * learns
            A[rows, self.pool] += alpha[k] * learns
        return A

    def data(self):
        """Mean and covariance of the vector before anything is learnt."""
        twin = self.twin
        mean, covariance = np.zeros(self.size), np.zeros((self.size, self.size))
        mean[self.one] = 1.0
        pairs = zip([*twin.private, twin.public], [*twin.truths, twin.truth_public], strict=True)
        for k, (S, theta) in enumerate(pairs):
            mean[self.source(k)], covariance[self.source(k), self.source(k)] = S @ theta, twin.sigma**2 * S
        return mean, covariance

    def moments(self, generations):
        """Mean (n, K, d) and the full covariance (n, Kd, Kd)."""
        A = self.first()
        mean, covariance = self.data()
        mean, covariance, found = A @ mean, A @ covariance @ A.T, {}
        for t in range(max(generations) + 1):
            if t:
                A, B = self.publish(t)
                mean, covariance, A = A @ mean, A @ covariance @ A.T + B, self.train(t)
                mean, covariance = A @ mean, A @ covariance @ A.T
            found[t] = self.read(mean, covariance)
        means, covariances = zip(*(found[t] for t in generations), strict=True)
        return np.array(means), np.array(covariances)

    def long_run(self, radius):
        """The same after so many generations of constant weights that the start is forgotten: squares of one's map."""
        A0 = self.first()
        mean, covariance = self.data()
        mean, covariance = A0 @ mean, A0 @ covariance @ A0.T
        publish, B = self.publish(1)
        train = self.train(1)
        step, noise = train @ publish, train @ B @ train.T
        for _ in range(max(1, int(np.ceil(np.log2(-36 / np.log(max(radius, 1e-9))))))):
            noise = noise + step @ noise @ step.T
            step = step @ step
        return self.read(step @ mean, step @ covariance @ step.T + noise)

    def lifted_step(self):
        """Q, (Kd, Kd), of generation 1 with the pool of the newest generation."""
        step = self.train(1) @ self.publish(1)[0]
        rows = slice(self.estimate(0).start, self.estimate(self.twin.K - 1).stop)
        return step[rows, rows]

    def coefficients(self, generation):
        """Gains of the estimates on every source's own estimate, (Kd, (K + 1)d): Theorem 1's M."""
        A = self.first()
        for t in range(1, generation + 1):
            A = self.train(t) @ self.publish(t)[0] @ A
        twin = self.twin
        rows = slice(self.estimate(0).start, self.estimate(twin.K - 1).stop)
        return np.hstack([A[rows, self.source(k)] @ S for k, S in enumerate([*twin.private, twin.public])])

    def read(self, mean, covariance):
        rows = slice(self.estimate(0).start, self.estimate(self.twin.K - 1).stop)
        return mean[rows].reshape(self.twin.K, self.twin.d), covariance[rows, rows]
