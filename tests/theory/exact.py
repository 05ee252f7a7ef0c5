"""The lifted system in as many digits as the weights ask for, from features of whole numbers, whose ranks are exact."""

from __future__ import annotations

from fractions import Fraction

import mpmath as mp
import numpy as np


def independent(rows):
    """Rows that span what all of them span, by elimination in fractions."""
    kept, reduced = [], []
    for row in rows:
        rest = [Fraction(int(x)) for x in row]
        for pivot, other in reduced:
            factor = rest[pivot]
            rest = [x - factor * y for x, y in zip(rest, other, strict=True)]
        pivot = next((i for i, x in enumerate(rest) if x), None)
        if pivot is not None:
            reduced.append((pivot, [x / rest[pivot] for x in rest]))
            kept.append([int(x) for x in row])
    return kept


def pinv(gram, rows):
    """G^+ = B (B'GB)^{-1} B', the columns of B a basis of what the rows span, which is the range of G."""
    basis = independent(rows)
    if not basis:
        return mp.zeros(gram.rows)
    B = mp.matrix(basis).T
    return B * mp.inverse(B.T * gram * B) * B.T


def stacked(blocks):
    """A matrix of blocks."""
    rows, columns = blocks[0][0].rows, blocks[0][0].cols
    whole = mp.zeros(rows * len(blocks), columns * len(blocks[0]))
    for i, line in enumerate(blocks):
        for j, block in enumerate(line):
            whole[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] = block
    return whole


def floats(matrix):
    return np.array(matrix.tolist(), dtype=object).astype(float)


class Exact:
    """K entities with features of whole numbers; equal shares, the newest generation alone, one truth each."""

    def __init__(self, private, public, generated, alpha, beta, truths, truth_public, sigma, sigma_generated):
        self.K, self.d = len(private), len(public[0])
        smallest = min(w for x in (*alpha, *beta) for w in (x, 1.0 - x, 1.0) if w > 0)
        mp.mp.dps = 50 + 4 * int(-np.log10(smallest))
        self.rows = private, public, generated
        self.S = [self._gram(X) for X in private]
        self.public, self.published = self._gram(public), [self._gram(X) for X in generated]
        self.alpha, self.beta = [mp.mpf(x) for x in alpha], [mp.mpf(x) for x in beta]
        self.truths, self.truth_public = truths, truth_public
        self.sigma, self.sigma_generated = mp.mpf(sigma), mp.mpf(sigma_generated)

    def _gram(self, features):
        X = mp.matrix(np.asarray(features, dtype=int).tolist())
        return X.T * X

    def inverse(self, k, start):
        """G_k^+, p_k, q_k and a_k, at generation 0 or later."""
        private, public, generated = self.rows
        a = mp.mpf(0) if start else self.alpha[k]
        p, q = (1 - a) * self.beta[k], (1 - a) * (1 - self.beta[k])
        pool = [row for X in generated for row in X]
        weighed = [(p, self.S[k], private[k]), (q, self.public, public)]
        weighed += [(a / self.K, S, ()) for S in self.published] + [(a, mp.zeros(self.d), pool)]
        gram = sum((w * S for w, S, _ in weighed), mp.zeros(self.d))
        return pinv(gram, [row for w, _, rows in weighed if w for row in rows]), p, q, a

    def step(self, start):
        """P, (Kd, (K + 1)d), and the reading of the pool, (Kd, d)."""
        P, reader = [], []
        for k in range(self.K):
            F, p, q, a = self.inverse(k, start)
            P.append([p * F * self.S[k] if j == k else mp.zeros(self.d) for j in range(self.K)] + [q * F * self.public])
            reader.append([a * F])
        return stacked(P), stacked(reader)

    def moments(self, generations):
        """Mean and covariance, (K, d) and (Kd, Kd), at each of the generations, or in the limit for None."""
        P, reader = self.step(start=False)
        writer = stacked([[S / self.K for S in self.published]])
        noise = self.sigma_generated**2 * sum(self.published, mp.zeros(self.d)) / self.K**2
        Q, N = reader * writer, reader * noise * reader.T
        if generations is None:
            yield self._law(mp.inverse(mp.eye(Q.rows) - Q) * P, _summed(Q, N))
            return
        M, C = self.step(start=True)[0], mp.zeros(Q.rows)
        for t in range(max(generations) + 1):
            if t in generations:
                yield self._law(M, C)
            M, C = P + Q * M, Q * C * Q.T + N

    def lifted_step(self):
        return floats(self.step(start=False)[1] * stacked([[S / self.K for S in self.published]]))

    def _law(self, M, C):
        private, public, _ = self.rows
        data = [*zip(self.S, private, self.truths, strict=True), (self.public, public, self.truth_public)]
        inverses = [pinv(S, X) for S, X, _ in data]
        said = [[F * S * mp.matrix(list(map(mp.mpf, theta)))] for F, (S, _, theta) in zip(inverses, data, strict=True)]
        spread = stacked(
            [[F if i == j else mp.zeros(self.d) for j in range(len(data))] for i, F in enumerate(inverses)]
        )
        covariance = self.sigma**2 * M * spread * M.T + C
        return floats(M * stacked(said)).reshape(self.K, self.d), floats(covariance)


def _summed(Q, N):
    """sum_s Q^s N Q'^s by doubling."""
    total, power = N, Q
    while True:
        term = power * total * power.T
        total += term
        if mp.mnorm(term, 1) <= mp.mpf(10) ** -40 * mp.mnorm(total, 1):
            return total
        power = power * power
