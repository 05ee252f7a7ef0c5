"""A naive twin of the theory of discrete models: dense distributions, sampled as the text says."""

from __future__ import annotations

import numpy as np


def sampled(rng, size, p):
    """Relative frequencies of `size` draws from p; p itself where the size is infinite."""
    if np.isinf(size):
        return p
    return rng.multinomial(int(size), p / p.sum()) / size


def simulate(eco, rng):
    """Models of one replicate, shape (T + 1, K, d)."""
    K, d = eco.entities, eco.symbols
    real = [sampled(rng, n, p) for n, p in zip(eco.rows, eco.truths, strict=True)]
    items, fresh, models = {}, {}, []
    for t in range(eco.generations + 1):
        if t > 0:
            items[t] = [sampled(rng, eco.published[t, j], models[-1][j]) for j in range(K)]
            fresh[t] = sampled(rng, eco.fresh_rows, eco.truths[-1])
        held = list(range(1, t + 1)) if eco.accumulates else [t] * (t > 0)
        now = []
        for k in range(K):
            alpha, beta = eco.alpha[t, k], eco.beta[t, k]
            q = (1 - alpha) * (beta * real[k] + (1 - beta) * real[-1])
            for s in held:
                read = sum(w * f for w, f in zip(eco.reads[k], items[s], strict=True))
                q = q + alpha / len(held) * ((1 - eco.fresh) * read + eco.fresh * fresh[s])
            if eco.drawn is not None:
                n = eco.drawn[t, k]
                counts = n * sampled(rng, n, q)
                q = (counts + eco.prior) / (n + d * eco.prior)
            now.append(q)
        models.append(np.array(now))
    return np.array(models)
