"""Networks: answers that the literature, or a line of algebra, already gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ecosystems import random_grams

from crossfeed.theory import LinearEcosystem

K = 8
COMPLETE = np.full((K, K), 1 / K)
GRAPHS = {
    "isolated": np.eye(K),
    "ring": np.roll(np.eye(K), 1, axis=1),
    "complete": COMPLETE,
    "two cliques": np.kron(np.eye(2), np.full((4, 4), 1 / 4)),
    "star": np.tile(np.eye(K)[0], (K, 1)),
}


def means(reads, own, sigma_generated=1.0):
    """Entities that estimate one mean (d = 1) from new rows of their own with weight own_k and from what they read.

    An author that knows the truth and publishes as many noisy rows is a source of real rows that are new at each
    generation; every entity with own data has one such source.
    """
    weights = np.zeros((2 * K, 2 * K))
    weights[:K, :K] = (1 - own)[:, None] * reads
    weights[np.arange(K), K + np.arange(K)] = own
    weights[K:, K:] = np.eye(K)
    one = np.ones((2 * K, 1, 1))
    alpha = np.r_[np.ones(K), np.zeros(K)]
    return LinearEcosystem(
        one, [[0.0]], alpha=alpha, beta=1.0, reads=weights, sigma=0.0, sigma_generated=sigma_generated
    )


def error_and_dispersion(eco):
    """Mean MSE of the entities, and their mean squared distance in pairs; sources, which make no error, left out."""
    limit = eco.limit()
    mse = limit.mse[:K]
    among_all = limit.dispersion * (2 * K) * (2 * K - 1) / 2
    return mse.mean(), (among_all - K * mse.sum()) / (K * (K - 1) / 2)


@pytest.mark.parametrize(
    ("graph", "error", "apart"),
    [
        ("isolated", 4.3158, 8.6316), ("ring", 4.3158, 8.6316), ("complete", 0.5482, 0.0200),
        ("two cliques", 1.0864, 1.2502), ("star", 4.3158, 0.0200),
    ],
)  # fmt: skip
def test_who_reads_whom_decides_on_the_error(graph, error, apart):
    """A ring is as bad as being alone; weight 0.1 on own rows, times n."""
    found = error_and_dispersion(means(GRAPHS[graph], np.full(K, 0.1)))
    assert found == pytest.approx((error, apart), abs=6e-5)


@pytest.mark.parametrize(("graph", "error"), [("complete", 0.996), ("ring", 6.5), ("star", 1.542)])
def test_one_entity_with_real_data_serves_all(graph, error):
    eco = means(GRAPHS[graph], np.r_[0.5, np.zeros(K - 1)])
    assert error_and_dispersion(eco)[0] == pytest.approx(error, abs=6e-4)


def test_a_clique_without_real_data_collapses():
    eco = means(GRAPHS["two cliques"], np.r_[0.5, np.zeros(K - 1)])
    # Sources that nobody reads are kept by their own data; nothing real reaches the second clique.
    assert eco.collapses() == ((4, 5, 6, 7),)
    limit = eco.limit()
    assert limit.growth.law == "linear"
    assert limit.spectral_radius == pytest.approx(1.0)
    assert limit.variance_growth[: 2 * K] == pytest.approx(np.r_[np.zeros(4), np.full(4, 1 / 4), np.zeros(K)], abs=1e-9)
    late = eco.moments([300, 400]).variance
    assert (late[1] - late[0]) / 100 == pytest.approx(limit.variance_growth, abs=1e-9)


def test_the_update_simulated():
    """The same update drawn row by row, which knows no theory: it tells which noise the known numbers are of."""
    rng = np.random.default_rng()
    a, reads, runs = 0.9, GRAPHS["complete"], 4000
    theta = rng.standard_normal((runs, K))
    for _ in range(60):
        published = theta + rng.standard_normal((runs, K))
        theta = (1 - a) * rng.standard_normal((runs, K)) + a * published @ reads.T
    errors = (theta**2).mean(axis=1)
    assert errors.mean() == pytest.approx(0.5482, abs=6 * errors.std() / math.sqrt(runs))


@pytest.mark.parametrize("alpha", [0.3, 0.9])
def test_friedkin_and_johnsen(alpha):
    """Equal Grams, no noise of generated data, private data alone: M = (1 - a)(I - a W)^{-1} (x) I."""
    rng = np.random.default_rng(1)
    W = rng.dirichlet(np.ones(5), 5)
    S = np.tile(random_grams(rng, 1, 3, 3), (5, 1, 1))
    eco = LinearEcosystem(S, np.zeros((3, 3)), alpha=alpha, beta=1.0, reads=W, sigma_generated=0.0)
    wanted = (1 - alpha) * np.linalg.inv(np.eye(5) - alpha * W)
    assert eco.limit().gain_norms[:, :5] == pytest.approx(math.sqrt(3) * wanted, rel=1e-10)
    assert eco.limit().influence[:, :5] == pytest.approx(wanted, rel=1e-10)


def test_degroot():
    """At alpha = 1 everybody ends with the mean of the first estimates under the weights' stationary distribution."""
    rng = np.random.default_rng(2)
    W = rng.dirichlet(np.ones(5), 5)
    values, vectors = np.linalg.eig(W.T)
    stationary = np.real(vectors[:, np.argmax(np.real(values))])
    S = np.tile(random_grams(rng, 1, 3, 3), (5, 1, 1))
    eco = LinearEcosystem(S, np.zeros((3, 3)), alpha=1.0, beta=1.0, reads=W, sigma_generated=0.0)
    assert eco.limit().influence[:, :5] == pytest.approx(np.tile(stationary / stationary.sum(), (5, 1)), rel=1e-9)
    assert eco.collapses() == ((0, 1, 2, 3, 4),)


def test_the_best_weight_of_fresh_data():
    """w* = (sqrt(1 + 4 k) - 1) / (2 k) for k = n_synthetic / n_real; the golden ratio at k = 1."""

    def variance(w, k):
        # The pool weighs its rows by (1 - phi) k and phi.
        phi = w * k / (1 - w + w * k)
        eco = LinearEcosystem(
            np.ones((1, 1, 1)), [[0.0]], generated=np.full((1, 1, 1), k), alpha=1.0, fresh=[[1.0]], fresh_fraction=phi
        )
        return eco.limit().variance[0]

    for k in (0.5, 1.0, 3.0):
        best = (math.sqrt(1 + 4 * k) - 1) / (2 * k)
        assert variance(best, k) < min(variance(best - 1e-3, k), variance(best + 1e-3, k))
    assert (math.sqrt(5) - 1) / 2 == pytest.approx(0.618034, abs=1e-6)


def test_the_best_weight_of_fresh_data_in_one_pool():
    """K equal models on one pool with fresh rows in it: K w^2 + w = 1, as their K texts are K times the rows.

    Where each model has new rows of its own, they average out over the models and deserve more.
    """

    def shared(w):
        one = np.ones((K, 1, 1))
        return LinearEcosystem(one, [[0.0]], alpha=1.0, fresh=[[1.0]], fresh_fraction=w).limit().variance[0]

    def own(w):
        return error_and_dispersion(means(COMPLETE, np.full(K, w)))[0]

    best = (math.sqrt(1 + 4 * K) - 1) / (2 * K)
    assert K * best**2 + best == pytest.approx(1.0)
    assert shared(best) < min(shared(best - 1e-3), shared(best + 1e-3))
    assert own(best + 1e-3) < own(best)


@pytest.mark.parametrize(("power", "wanted"), [(1, sum(1 / n for n in range(1, 1001))), (2, 1.6439)])
def test_growing_numbers_of_generated_rows(power, wanted):
    """Replacing by n_t = n_0 (t + 1)^power rows each time: n_0 times the variance is sum 1 / (t + 1)^power."""
    eco = LinearEcosystem(
        np.ones((1, 1, 1)), [[0.0]], alpha=1.0, beta=1.0, generated_at=lambda t: np.full((1, 1, 1), (t + 1.0) ** power)
    )
    assert eco.moments([999]).variance[0, 0] == pytest.approx(wanted, abs=6e-5)
