"""Random ecosystems over the whole product of what an ecosystem can be."""

from __future__ import annotations

import numpy as np

ALPHAS = ("0", "0.4", "1", "per entity", "scheduled")
BETAS = ("0", "0.5", "1", "per entity", "scheduled")
SHARES = ("equal", "unequal", "dominant")


def random_grams(rng, count, d, rank):
    """Grams of the given rank with eigenvalues in [0.5, 2] on their range."""
    directions = np.linalg.qr(rng.standard_normal((count, d, rank)))[0]
    return (directions * rng.uniform(0.5, 2, (count, 1, rank))) @ directions.swapaxes(1, 2)


def random_ecosystem(
    seed, alpha="0.4", beta="0.5", K=3, rank=2, d=4, shares="equal", history="latest", fresh=False, own_truths=True,
    other_features=True, other_start=False,
):  # fmt: skip
    """Constructor arguments of LinearEcosystem for one random ecosystem of the named kind."""
    rng = np.random.default_rng(seed)
    description = {
        "private": random_grams(rng, K, d, rank),
        "public": random_grams(rng, 1, d, min(d, 3))[0],
        "alpha": _weight(alpha, rng, K),
        "beta": _weight(beta, rng, K),
        "shares": {"equal": None, "unequal": rng.dirichlet(np.ones(K)), "dominant": np.eye(K)[0]}[shares],
        "sigma": 1.3,
        "sigma_generated": 0.7,
        "history": history,
        "truth_public": rng.standard_normal(d),
    }
    if fresh:
        description |= {"fresh": random_grams(rng, 1, d, 2)[0], "fresh_fraction": 0.3}
    if own_truths:
        description["truths"] = rng.standard_normal((K, d))
    if other_features:
        description["generated"] = random_grams(rng, K, d, 3)
    if other_start:
        description["initial_beta"] = rng.uniform(size=K)
    return description


def _weight(kind, rng, K):
    if kind == "per entity":
        return rng.uniform(size=K)
    if kind == "scheduled":
        scale = rng.uniform(0.2, 1, size=K)
        return lambda t: scale * t / (t + 1)
    return float(kind)
