"""Geometric extrapolation of series that it knows exactly, and of those that have no ratio."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed.forecasting.geometric import extrapolated


def test_geometric_series_are_continued_exactly():
    rng = np.random.default_rng(0)
    limit, change, ratio = rng.uniform(1, 3, (2, 3)), rng.standard_normal((2, 3)), rng.uniform(0, 0.95, (2, 3))
    series = np.stack([limit + change * ratio**t for t in range(12)])
    np.testing.assert_allclose(extrapolated(series[:3], 11), series, rtol=1e-12)


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ([2.0, 2.0, 2.0], [2.0, 2.0]),  # constant
        ([2.0, 2.0, 1.5], [1.5, 1.5]),  # no first change, so that no ratio is known
        ([2.0, 1.5, 1.5], [1.5, 1.5]),  # over after one change
        ([2.0, 1.0, 1.5], [1.5, 1.5]),  # back again: a ratio below 0 is none
        ([1.0, 2.0, 4.0], [4 + 2 * 0.95, 4 + 2 * 0.95 + 2 * 0.95**2]),  # faster and faster: a ratio above 0.95 is cut
    ],
)
def test_ratios_that_are_not_believed(given, then):
    np.testing.assert_allclose(extrapolated(np.array(given), 4), [*given, *then], rtol=1e-14)


@pytest.mark.parametrize("generations", [0, 1, 2])
def test_up_to_generation_2_all_is_given(generations):
    losses = np.array([[3.0, 2.0], [2.5, np.nan], [2.4, np.nan]])
    np.testing.assert_array_equal(extrapolated(losses, generations), losses[: generations + 1])


def test_what_is_not_measured_stays_unknown():
    losses = np.array([[3.0, 2.0], [2.5, 2.0], [2.4, np.nan]])
    found = extrapolated(losses, 5)
    assert np.isfinite(found[:, 0]).all()
    assert np.isnan(found[2:, 1]).all()
