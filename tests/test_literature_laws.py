"""Exact moments of density models: the literature's laws of one model, and what several models make of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from crossfeed.theory.densities import DensityEcosystem, density_moments

N, T = 10, 30


def exchange(alpha=1.0, accumulates=False, K=1, rows=N, drawn=None, **changes):
    """K equal entities with one-dimensional data of variance 1 and no public data."""
    alphas = np.array([0.0, *(alpha(t) if callable(alpha) else alpha for t in range(1, T + 1))])
    return DensityEcosystem(
        np.zeros((K + 1, 1)),
        np.ones((K + 1, 1, 1)),
        np.full(K + 1, float(rows)),
        np.repeat(alphas[:, None], K, axis=1),
        np.ones((T + 1, K)),
        np.full(K, 1 / K),
        np.full(K, float(rows)),
        accumulates,
        drawn=drawn,
        **changes,
    )


def proportional(t):
    return t / (t + 1)


def numbers(moments):
    """Variance within the first model and the squared error of its mean, by generation."""
    K = moments.mean.shape[1]
    return moments.covariance[:, 0, 0, 0], moments.drift(np.zeros((K, 1)))[:, 0, 0, 0]


t = np.arange(T + 1)


def test_replace_loses_one_part_in_n_of_the_variance_to_the_mean_in_each_generation():
    variance, drift = numbers(density_moments(exchange()))
    np.testing.assert_allclose(variance, (1 - 1 / N) ** (t + 1))
    np.testing.assert_allclose(variance + drift, 1)
    # Drawing n of endless pools is the same process.
    endless = replace(exchange(rows=np.inf), drawn=np.full(T + 1, float(N)))
    np.testing.assert_allclose(numbers(density_moments(endless)), (variance, drift))


def test_an_unbiased_variance_stays_in_expectation_and_the_mean_walks():
    variance, drift = numbers(density_moments(exchange(), unbiased=True))
    np.testing.assert_allclose(variance, 1)
    np.testing.assert_allclose(drift, (t + 1) / N)


def test_accumulate_keeps_a_product_that_does_not_vanish():
    variance, drift = numbers(density_moments(exchange(proportional, True)))
    np.testing.assert_allclose(variance, np.cumprod(1 - 1 / (N * (t + 1) ** 2)))
    np.testing.assert_allclose(variance + drift, 1)
    limit = math.sin(math.pi / math.sqrt(N)) / (math.pi / math.sqrt(N))
    assert limit < variance[-1] < limit + 1 / (N * T)


def test_replace_with_k_models_is_one_model_with_k_times_the_items():
    for K in (2, 8):
        variance, drift = numbers(density_moments(exchange(K=K)))
        one, _ = numbers(density_moments(exchange(rows=K * N)))
        # Generation 1 is the first that reads everyone's items; generation 0 lost a part to every model's own mean.
        np.testing.assert_allclose(variance[1:] / variance[1], one[1:] / one[1])
        np.testing.assert_allclose(variance[2:] / variance[1:-1], 1 - 1 / (K * N))
        assert drift[-1] < numbers(density_moments(exchange()))[1][-1]


def test_kernels_spread_linearly_under_replace_and_with_the_logarithm_under_accumulate():
    h = 0.4
    for alpha, accumulates, grown in ((1.0, False, t + 1), (proportional, True, np.cumsum(1 / (t + 1)))):
        for K in (1, 5):
            variance, drift = numbers(density_moments(exchange(alpha, accumulates, K), bandwidth=h))
            np.testing.assert_allclose(variance + drift, 1 + h**2 * grown)
    variance, _ = numbers(density_moments(exchange(), bandwidth=h))
    expected = [1.0]
    for _ in t:
        expected.append((1 - 1 / N) * expected[-1] + h**2)
    np.testing.assert_allclose(variance, expected[1:])


def test_fresh_data_are_worth_up_to_twice_their_number_and_fixed_data_are_not():
    """An effective number of items n_r (2 - phi), where n_r of n_r / phi are fresh in each generation."""
    many = 10_000
    for phi in (0.2, 0.5, 0.8):
        fresh = exchange(rows=many * (1 - phi), fresh=phi, fresh_rows=many * phi)
        _, drift = numbers(density_moments(fresh))
        assert 1 / drift[-1] == pytest.approx(many * phi * (2 - phi), rel=2e-3)
    for alpha in (0.2, 0.5, 0.8):
        _, drift = numbers(density_moments(exchange(alpha, rows=many)))
        assert (drift[1:] > drift[0]).all()


def test_of_as_many_fresh_as_synthetic_items_the_fresh_ones_best_weigh_the_golden_ratio():
    """He, Xu and Cheng (2025) derive it; it is the least error over all weights."""
    shares = np.linspace(0.55, 0.7, 51)
    many = 10_000
    drift = [numbers(density_moments(exchange(rows=many, fresh=w, fresh_rows=many)))[1][-1] for w in shares]
    assert shares[np.argmin(drift)] == pytest.approx((math.sqrt(5) - 1) / 2, abs=4e-3)
