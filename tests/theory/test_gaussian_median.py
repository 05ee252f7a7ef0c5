"""The law of a Gaussian's log standard deviation: known values and Monte Carlo."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed.errors import InvalidInput
from crossfeed.theory.gaussian_median import LogDeviation


def test_known_falls():
    assert LogDeviation(20).step == pytest.approx(-0.052424, abs=6e-7)
    assert LogDeviation(100, unbiased=True).step == pytest.approx(-0.0050675, abs=6e-8)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("n", [2, 5, 20])
def test_simulated_fits_have_the_mean_variance_and_quantiles(n, unbiased):
    rng, R, T = np.random.default_rng(13), 4000, 12
    law, logs = LogDeviation(n, unbiased), np.zeros(R)
    deviation, mean = np.ones(R), np.zeros(R)
    for _ in range(T):
        points = mean[:, None] + deviation[:, None] * rng.standard_normal((R, n))
        mean, deviation = points.mean(axis=1), points.std(axis=1, ddof=int(unbiased))
    logs = np.log(deviation)
    assert abs(logs.mean() - law.mean(T)) < 5.5 * np.sqrt(T * law.variance / R)
    fourth = ((logs - logs.mean()) ** 4).mean()
    assert abs(logs.var() - T * law.variance) < 5.5 * np.sqrt((fourth - logs.var() ** 2) / R)
    for probability in (0.05, 0.5, 0.95):
        below = (deviation < law.quantile(probability, T)).mean()
        assert abs(below - probability) < law.error(T) + 5.5 * np.sqrt(probability * (1 - probability) / R)


def test_the_error_falls_with_time_and_knows_the_normal_law():
    many = LogDeviation(2000)
    # One term is then nearly normal, whose third absolute moment is 2 sqrt(2 / pi).
    assert many.error(1) == pytest.approx(0.4748 * 2 * np.sqrt(2 / np.pi), rel=1e-2)
    np.testing.assert_allclose(many.error(np.array([4, 100])), many.error(1) / [2, 10])
    # The logarithm of a chi-square with one degree of freedom, by simulation: 5 % is more than its error.
    logs = np.log(np.random.default_rng(3).chisquare(1, 400_000))
    third = (np.abs(logs - logs.mean()) ** 3).mean() / logs.std() ** 3
    assert LogDeviation(2).error(1) == pytest.approx(0.4748 * third, rel=0.05)


def test_one_draw_is_refused():
    with pytest.raises(InvalidInput, match="draws is 1; give at least 2"):
        LogDeviation(1)
