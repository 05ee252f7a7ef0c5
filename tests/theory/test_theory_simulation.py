"""The workflow itself, simulated row by row, against the exact moments in standard errors.

Nothing of the theory is used here: data are drawn, each training set is stacked with its weights, the least-squares
problem is solved by a pseudo-inverse of the stacked rows, and the next generation is labelled by the result.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from crossfeed.theory import LinearEcosystem

REPLICATES = 20_000
GENERATIONS = 4

CASES = {
    "paper": {},
    "alpha 1": {"alpha": 1.0},
    "beta 1": {"alpha": 0.3, "beta": 1.0},
    "own weights": {"alpha": np.array([0.2, 0.9]), "beta": np.array([0.8, 0.3]), "initial_beta": 0.6},
    "shares": {"shares": [0.85, 0.15], "sigma_generated": 0.4},
    "accumulate": {"history": "accumulate", "alpha": 0.8},
    "fresh": {"fresh_fraction": 0.4, "alpha": 0.9},
    "keep everything": {"history": "accumulate", "alpha": lambda t: t / (t + 1), "beta": lambda t: 1 / (t + 1)},
    "fresh, accumulate": {"fresh_fraction": 0.25, "history": "accumulate", "shares": [0.3, 0.7]},
}


def features(rng, rank):
    return {
        "private": rng.standard_normal((2, rank, 3)),
        "generated": rng.standard_normal((2, 4, 3)),
        "public": rng.standard_normal((4, 3)),
        "fresh": rng.standard_normal((5, 3)),
    }


def simulate(rng, X, truths, truth_public, sigma, options):
    """Estimates of shape (GENERATIONS, R, K, d)."""
    K, phi = 2, options.get("fresh_fraction", 0.0)
    shares = options.get("shares", [0.5, 0.5])
    sigma_g = options.get("sigma_generated", sigma)

    def labels(rows, parameters, scale):
        return parameters @ rows.T + scale * rng.standard_normal((REPLICATES, len(rows)))

    y_private = [labels(X["private"][k], truths[k], sigma) for k in range(K)]
    y_public = labels(X["public"], truth_public, sigma)
    states, pools = [], []
    for t in range(GENERATIONS):
        if t:
            drawn = [labels(X["generated"][j], states[-1][:, j], sigma_g) for j in range(K)]
            pools.append(np.hstack([*drawn, labels(X["fresh"], truth_public, sigma)]))
        kept = pools if options.get("history") == "accumulate" else pools[-1:]
        estimates = []
        for k in range(K):
            alpha, beta = (weight(options.get(name, 0.5), t, k) for name, default in (("alpha", 0), ("beta", 0)))
            if t == 0:
                alpha, beta = 0.0, weight(options.get("initial_beta", options.get("beta", 0.5)), 0, k)
            rows = [X["private"][k], X["public"]]
            scale = [(1 - alpha) * beta, (1 - alpha) * (1 - beta)]
            values = [y_private[k], y_public]
            for pool in kept:
                rows += [*X["generated"], X["fresh"]]
                scale += [alpha * (1 - phi) * w / len(kept) for w in shares] + [alpha * phi / len(kept)]
                values.append(pool)
            root = np.sqrt(np.concatenate([np.full(len(r), s) for r, s in zip(rows, scale, strict=True)]))
            design = np.linalg.pinv(root[:, None] * np.vstack(rows), rcond=1e-10)
            estimates.append((np.hstack(values) * root) @ design.T)
        states.append(np.stack(estimates, axis=1))
    return np.array(states)


def weight(value, t, k):
    value = value(t) if callable(value) else value
    return value[k] if np.ndim(value) else value


def deviations(samples, wanted):
    """How many standard errors the mean of samples (R, ...) is from what is wanted; exact agreement counts as 0."""
    error = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
    off = np.abs(samples.mean(axis=0) - wanted)
    return np.where(off > 1e-9, off / np.maximum(error, 1e-12), 0.0).ravel()


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_the_workflow_agrees_with_the_moments(case, rank):
    rng = np.random.default_rng([rank, *case.encode()])
    X, options = features(rng, rank), CASES[case]
    truths, truth_public = rng.standard_normal((2, 3)), rng.standard_normal(3)
    sigma = 0.8
    states = simulate(rng, X, truths, truth_public, sigma, options)
    eco = LinearEcosystem.from_features(
        X["private"], X["public"], X["generated"], X["fresh"] if "fresh_fraction" in options else None,
        sigma=sigma, truths=truths, truth_public=truth_public, **options,
    )  # fmt: skip
    moments = eco.moments(range(GENERATIONS))
    grams = X["private"].swapaxes(1, 2) @ X["private"]
    found = []
    for t, theta in enumerate(states):
        centred = theta - moments.mean[t]
        products = centred[..., :, None] * centred[..., None, :]
        off = theta[:, :, None] - truths
        found += [
            deviations(theta, moments.mean[t]),
            deviations(products, moments.covariance[t]),
            deviations(((theta - truths) ** 2).sum(axis=2), moments.mse[t]),
            deviations(np.einsum("rkma,mab,rkmb->rkm", off, grams, off), moments.mspe()[t]),
            deviations(((theta[:, 0] - theta[:, 1]) ** 2).sum(axis=1), moments.dispersion[t]),
        ]
    every = np.concatenate(found)
    # Four standard errors would be passed by chance somewhere in so many numbers; this bound is, once in a million.
    assert every.max() < norm.isf(1e-6 / 2 / len(every))
