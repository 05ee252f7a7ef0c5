"""Answers the literature, or a line of algebra, already gives."""

from __future__ import annotations

import math

import numpy as np
import pytest
from ecosystems import random_grams

from crossfeed.theory import LinearEcosystem


def grams(count=1, d=3, seed=0):
    return random_grams(np.random.default_rng(seed), count, d, d)


def keep_everything(private):
    """All data ever seen, real and generated, with equal weight: alpha_t = t / (t + 1), beta = 1, accumulate."""
    return LinearEcosystem(
        private, np.zeros_like(private[0]), alpha=lambda t: t / (t + 1), beta=1.0, sigma=1.7, history="accumulate"
    )


def test_replace_grows_linearly():
    """One model on its own newest data: variance sigma^2 S^{-1} (t + 1) (Shumailov et al. 2024)."""
    S = grams()
    eco = LinearEcosystem(S, np.zeros((3, 3)), alpha=1.0, beta=1.0, sigma=1.7)
    covariance = eco.moments([0, 1, 2, 10, 100]).covariance[:, 0]
    for t, found in zip([0, 1, 2, 10, 100], covariance, strict=True):
        assert found == pytest.approx(1.7**2 * np.linalg.inv(S[0]) * (t + 1), rel=1e-9)
    assert eco.limit().variance_growth == pytest.approx([1.7**2 * np.trace(np.linalg.inv(S[0]))])


def test_keeping_everything_stops_at_pi_squared_over_six():
    """Variance ratio to generation 0 is sum_{s <= t+1} 1/s^2 (Gerstgrasser et al. 2024; Dey, Donoho 2024)."""
    variance = keep_everything(grams()).moments([0, 1, 5, 300]).variance[:, 0]
    for t, found in zip([0, 1, 5, 300], variance, strict=True):
        assert found / variance[0] == pytest.approx(sum(s**-2.0 for s in range(1, t + 2)), rel=1e-10)
    assert variance[-1] / variance[0] == pytest.approx(math.pi**2 / 6, abs=1 / 300)


@pytest.mark.parametrize("K", [2, 4])
def test_entities_with_equal_features_stop_at_pi_squared_over_six_of_the_pooled_variance(K):
    S = np.tile(grams(), (K, 1, 1))
    pooled = 1.7**2 * np.trace(np.linalg.inv(S.sum(axis=0)))
    t = 400
    ratio = keep_everything(S).moments([t]).variance[0] / pooled
    # Each entity's own data still carry 1/(t+1) of its weight: (K - 1)/(t + 1)^2 above the pooled sum.
    assert ratio == pytest.approx(np.full(K, math.pi**2 / 6), abs=1.1 / t)
    if K == 4:
        assert ratio == pytest.approx(np.full(K, 1.6425), abs=1e-4)


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.9])
def test_equal_features_and_no_public_data(alpha):
    """Each estimate mixes its own with the consensus; synthetic noise adds alpha^2/(K (1 - alpha^2))."""
    K, S = 5, np.tile(grams(), (5, 1, 1))
    unit = np.trace(np.linalg.inv(S[0]))
    shared = 1 - (1 - alpha) ** 2
    real = (1 - alpha) ** 2 + shared / K
    weights = {"alpha": alpha, "beta": 1.0, "sigma_generated": 0.6}
    latest = LinearEcosystem(S, np.zeros((3, 3)), **weights).limit()
    noise = 0.36 * alpha**2 / (1 - alpha**2) / K
    assert latest.spectral_radius == pytest.approx(alpha)
    assert latest.variance == pytest.approx(np.full(K, unit * (real + noise)), rel=1e-10)
    assert latest.dispersion == pytest.approx(2 * (1 - alpha) ** 2 * unit, rel=1e-10)
    accumulated = LinearEcosystem(S, np.zeros((3, 3)), **weights, history="accumulate").limit()
    assert accumulated.variance == pytest.approx(np.full(K, unit * real), rel=1e-10)


def test_relative_efficiency_of_one_entity_with_all_the_data():
    S, public = grams(), grams(seed=1)[0]
    assert LinearEcosystem(S, public, alpha=0.0, beta=0.5).relative_efficiency() == pytest.approx([1.0])
    own = np.trace(np.linalg.inv(S[0] + public)) / np.trace(np.linalg.inv(S[0]))
    assert LinearEcosystem(S, public, alpha=0.0, beta=1.0).relative_efficiency() == pytest.approx([own])
    assert LinearEcosystem(S, public, alpha=1.0).relative_efficiency() == pytest.approx([0.0])
    assert LinearEcosystem(S, public, alpha=0.0, sigma=0.0).relative_efficiency() == pytest.approx([1.0])


def test_relative_efficiency_never_exceeds_one_when_the_truth_is_unknown():
    """Low rank, every corner: an estimate that is biased for some truth counts as worth nothing, not as a bargain."""
    private, public = (
        random_grams(np.random.default_rng(3), 4, 6, 2),
        random_grams(np.random.default_rng(4), 1, 6, 4)[0],
    )
    for alpha in (0.0, 0.5, 1.0):
        for beta in (0.0, 0.5, 1.0):
            efficiency = LinearEcosystem(private, public, alpha=alpha, beta=beta).relative_efficiency()
            assert (efficiency <= 1 + 1e-9).all()
    assert not LinearEcosystem(private, public, alpha=0.0, beta=1.0).relative_efficiency().any()
    known = LinearEcosystem(private, public, alpha=0.0, beta=1.0, truth_public=np.ones(6)).relative_efficiency()
    assert (known > 0).all()


def test_a_dominant_provider_is_classical_self_consumption():
    """With one share of one, its estimate is that of K = 1, and the others' data never matter to it."""
    S, public = grams(3), grams(seed=1)[0]
    many = LinearEcosystem(S, public, alpha=0.7, beta=0.4, shares=[1.0, 0.0, 0.0])
    alone = LinearEcosystem(S[:1], public, alpha=0.7, beta=0.4)
    assert many.moments([0, 1, 9]).covariance[:, 0] == pytest.approx(alone.moments([0, 1, 9]).covariance[:, 0])
    assert many.limit().mse[0] == pytest.approx(alone.limit().mse[0])
    assert not many.influence([9])[0, :, 1:3][~np.eye(3, 2, -1, dtype=bool)].any()


def test_only_fresh_human_data():
    """A pool that is all human and new at each generation: alpha = 1 is plain least squares on it."""
    fresh = grams(seed=5)[0]
    eco = LinearEcosystem(
        grams(2), grams(seed=1)[0], alpha=1.0, fresh=fresh, fresh_fraction=1.0, sigma=1.3, truth_public=[1.0, 2.0, 3.0]
    )
    limit = eco.limit()
    assert limit.variance == pytest.approx(np.full(2, 1.69 * np.trace(np.linalg.inv(fresh))))
    assert limit.bias_squared == pytest.approx(np.zeros(2), abs=1e-12)
    assert limit.dispersion == pytest.approx(0, abs=1e-12)
