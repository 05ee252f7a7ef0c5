"""Quantiles of squared errors: closed forms, simulation in standard errors, and what they are used for."""

from __future__ import annotations

import numpy as np
import pytest
from ecosystems import random_ecosystem
from scipy import stats

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem
from crossfeed.theory.error_quantiles import BANDS, ErrorLaw, replicates


@pytest.mark.parametrize("d", [1, 2, 5, 50, 300])
@pytest.mark.parametrize("bias", [0.0, 0.7])
def test_equal_variances_give_the_chi_square(d, bias):
    law = ErrorLaw.of(np.full((1, d), bias), np.eye(d)[None])
    wanted = stats.chi2.ppf(BANDS, d) if bias == 0 else stats.ncx2.ppf(BANDS, d, d * bias**2)
    np.testing.assert_allclose(law.quantiles(BANDS)[:, 0], wanted, rtol=1e-8)


def test_quantiles_are_those_of_a_simulation():
    """Eigenvalues over six orders of magnitude and biases of all sizes, within five standard errors."""
    rng, number_of_draws = np.random.default_rng(), 200_000
    for d in (1, 3, 12):
        values = 10.0 ** rng.uniform(-6, 0, (6, d))
        bias = rng.standard_normal((6, d)) * 10.0 ** rng.uniform(-3, 1, (6, 1))
        turn = np.linalg.qr(rng.standard_normal((6, d, d)))[0]
        law = ErrorLaw.of((turn @ bias[..., None])[..., 0], (turn * values[:, None]) @ turn.swapaxes(1, 2))
        for i, bands in enumerate(law.quantiles(BANDS).T):
            errors = ((bias[i] + np.sqrt(values[i]) * rng.standard_normal((number_of_draws, d))) ** 2).sum(axis=1)
            for probability, quantile in zip(BANDS, bands, strict=True):
                allowed = 5 * np.sqrt(probability * (1 - probability) / number_of_draws)
                assert (errors < quantile).mean() == pytest.approx(probability, abs=allowed)


def test_low_quantiles_of_nearly_certain_parts_are_found():
    """Seed 32 once gave no mass below the 5 % quantile: far below the mean the contour is inexact."""
    rng = np.random.default_rng(32)
    for d in (1, 3, 12):
        values = 10.0 ** rng.uniform(-6, 0, (6, d))
        bias = rng.standard_normal((6, d)) * 10.0 ** rng.uniform(-3, 1, (6, 1))
        rng.standard_normal((6, d, d))
        law = ErrorLaw.of(bias, np.stack([np.diag(row) for row in values]))
        for i, bands in enumerate(law.quantiles(BANDS).T):
            errors = ((bias[i] + np.sqrt(values[i]) * rng.standard_normal((20_000, d))) ** 2).sum(axis=1)
            np.testing.assert_allclose([(errors < quantile).mean() for quantile in bands], BANDS, atol=0.01)


def test_mean_and_variance_are_those_of_the_law():
    eco = LinearEcosystem(**random_ecosystem(1, other_features=False))
    limit = eco.limit()
    law = ErrorLaw.of(limit.mean - eco.truths, limit.covariance)
    np.testing.assert_allclose(law.mean, limit.mse)
    low, middle, high = law.quantiles(BANDS)
    assert (low < middle).all()
    assert (middle < high).all()
    # Between quantiles the distribution function integrates to the mean: E e = int P(e > x) dx.
    x = np.linspace(0, law.mean + 40 * np.sqrt(law.variance), 40_001)
    np.testing.assert_allclose(np.trapezoid(law.above(x), x, axis=0), law.mean, rtol=1e-3)


def test_an_error_that_is_certain_has_one_quantile():
    law = ErrorLaw.of(np.array([[3.0, 4.0]]), np.zeros((1, 2, 2)))
    np.testing.assert_array_equal(law.quantiles(BANDS)[:, 0], [25.0] * 3)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(InvalidInput, match="bias and covariance"):
        ErrorLaw.of(np.zeros((2, 3)), np.zeros((2, 4, 4)))


def test_replicates_find_a_difference_in_four_of_five_runs():
    rng, gap, deviation = np.random.default_rng(), 0.3, 1.0
    count = replicates((1.0, deviation**2), (1.0 + gap, deviation**2))
    found = [
        stats.ttest_ind(rng.normal(1.0, deviation, int(count)), rng.normal(1.0 + gap, deviation, int(count))).pvalue
        < 0.05
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=5 * 0.02)
    assert replicates((1.0, 1.0), (1.0, 1.0)) == np.inf
