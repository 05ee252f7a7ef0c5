"""Statistics of paired differences against scipy, published values, naive twins and simulations."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from scipy import stats

from crossfeed.reporting.data.item_bootstrap import item_errors
from crossfeed.reporting.data.paired import holm, interval, paired
from crossfeed.reporting.data.power import MOST_SEEDS, POWER, power, seeds_for


def entropy() -> int:
    """Seeds of these tests are new each time: they hold for any."""
    return int(np.random.default_rng().integers(2**32))


@pytest.mark.parametrize("seeds", [2, 3, 10])
def test_statistics_are_those_of_scipys_paired_t_test(seeds):
    rng = np.random.default_rng(entropy())
    first = rng.normal(3, 1, (6, seeds))
    second = first + rng.normal(0.3, 0.4, (6, seeds))
    found, wanted = paired(first, second), stats.ttest_rel(second, first, axis=1)
    ends = wanted.confidence_interval(0.95)
    gaps = second - first
    np.testing.assert_allclose(found.p, wanted.pvalue, rtol=1e-9)
    np.testing.assert_allclose([found.lower, found.upper], [ends.low, ends.high], rtol=1e-9)
    np.testing.assert_allclose(found.se, stats.sem(gaps, axis=1), rtol=1e-9)
    np.testing.assert_allclose(found.d_z, gaps.mean(axis=1) / gaps.std(axis=1, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(found.difference, found.second - found.first, atol=1e-12)
    assert set(found.seeds) == {seeds}


def test_missing_pairs_are_left_out_row_by_row():
    first = np.array([[1.0, 2.0, 4.0], [1.0, np.nan, 4.0], [1.0, 2.0, np.nan]])
    second = np.array([[2.0, 5.0, 5.0], [2.0, 5.0, 5.0], [2.5, np.nan, 1.0]])
    found = paired(first, second)
    assert found.seeds.tolist() == [3, 2, 1]
    alone = paired([[1.0, 4.0]], [[2.0, 5.5]])
    two = paired([[1.0, np.nan, 4.0]], [[2.0, 3.0, 5.5]])
    for name in ("difference", "se", "lower", "upper", "p", "d_z"):
        np.testing.assert_array_equal(getattr(two, name), getattr(alone, name))
    assert found.difference[2] == 1.5
    assert all(math.isnan(getattr(found, name)[2]) for name in ("se", "lower", "upper", "p", "d_z", "g_z"))


def test_identical_values_have_no_difference_and_equal_differences_no_error():
    same = paired([[0.1, 0.2, 0.7]], [[0.1, 0.2, 0.7]])
    assert [getattr(same, name)[0] for name in ("difference", "se", "lower", "upper", "p", "d_z")] == [0, 0, 0, 0, 1, 0]
    shifted = paired([[0.1, 0.2, 0.7]], [[0.4, 0.5, 1.0]])  # by 0.3, which is not the same in binary each time
    assert shifted.difference[0] == pytest.approx(0.3)
    assert all(math.isnan(getattr(shifted, name)[0]) for name in ("lower", "upper", "p", "d_z"))


def test_no_warning_for_what_is_infinite_or_missing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = paired([[1.0, np.inf], [np.nan, np.nan]], [[2.0, np.inf], [1.0, 2.0]])
    assert np.isnan(found.p).all()
    assert found.seeds.tolist() == [1, 0] or np.isnan(found.difference).all()


def test_hedges_correction_is_exact():
    """J(m) for 2, 10 and 50 degrees of freedom: Hedges (1981), Table 1; unbiased is what it makes of an effect size."""
    rng = np.random.default_rng(entropy())
    for freedom, factor in ((2, 0.5642), (10, 0.9228), (50, 0.9849)):
        first = rng.normal(size=(1, freedom + 1))
        found = paired(first, first + rng.normal(1, 1, first.shape))
        assert found.g_z[0] / found.d_z[0] == pytest.approx(factor, abs=1e-4)
    gaps = rng.normal(0.8, 1.0, (20_000, 5))
    sizes = paired(np.zeros_like(gaps), gaps).g_z
    assert abs(sizes.mean() - 0.8) < 5 * sizes.std() / math.sqrt(len(sizes))


def test_intervals_cover_the_true_difference_as_often_as_they_say():
    rng = np.random.default_rng(entropy())
    trials = 4000
    shared = rng.normal(3, 2, (trials, 4))  # what the seeds of both cells have in common
    first, second = (shared + rng.normal(mean, 0.3, shared.shape) for mean in (0.0, 0.25))
    found = paired(first, second)
    covered = int(((found.lower <= 0.25) & (found.upper >= 0.25)).sum())
    low, high = stats.binom.interval(1 - 1e-6, trials, 0.95)
    assert low <= covered <= high


def test_an_interval_of_means_is_that_of_their_values():
    rng = np.random.default_rng(entropy())
    gaps = rng.normal(0.1, 1, (4, 6))
    lower, upper = interval(gaps.mean(axis=1), stats.sem(gaps, axis=1), np.full(4, 6), np.abs(gaps).max(axis=1))
    found = paired(np.zeros_like(gaps), gaps)
    np.testing.assert_allclose([lower, upper], [found.lower, found.upper], rtol=1e-9)
    assert np.isnan(interval(1.0, np.nan, 1, 1.0)).all()


def naive_holm(p: list[float]) -> list[float]:
    """The definition: the largest, over all that are as small or smaller, of p times the number that is left."""
    tested = sorted(each for each in p if not math.isnan(each))
    steps = [(len(tested) - place) * each for place, each in enumerate(tested)]
    return [
        math.nan
        if math.isnan(each)
        else min(1.0, max(s for s, t in zip(steps, tested, strict=True) if t < each or t == each))
        for each in p
    ]


def test_holm_is_the_definition():
    # Holm (1979) as printed by R's p.adjust(c(0.01, 0.02, 0.03, 0.04, 0.05), "holm")
    np.testing.assert_allclose(holm([0.01, 0.02, 0.03, 0.04, 0.05]), [0.05, 0.08, 0.09, 0.09, 0.09])
    np.testing.assert_allclose(holm([0.05, np.nan, 0.01]), [0.05, np.nan, 0.02])
    assert len(holm([])) == 0
    rng = np.random.default_rng(entropy())
    for _ in range(20):
        p = [math.nan if rng.random() < 0.2 else float(rng.random() ** 3) for _ in range(12)]
        np.testing.assert_allclose(holm(p), naive_holm(p), rtol=1e-12)


@pytest.mark.parametrize(("d_z", "seeds"), [(0.2, 199), (0.5, 34), (0.8, 15), (1.0, 10), (-0.5, 34)])
def test_numbers_of_seeds_are_the_tabled_ones(d_z, seeds):
    """G*Power 3.1: two-sided paired t test, 5 %, power 0.8."""
    assert seeds_for([d_z])[0] == seeds


def test_numbers_of_seeds_are_the_first_that_suffice():
    rng = np.random.default_rng(entropy())
    sizes = rng.uniform(0.1, 6, 40)
    needed = seeds_for(sizes)
    assert (power(sizes, needed) >= POWER).all()
    more = needed > 2
    assert (power(sizes[more], needed[more] - 1) < POWER).all()
    np.testing.assert_array_equal(
        seeds_for([0.0, 1e-6, np.nan, np.inf, -np.inf, 1e9]), [np.inf, np.inf, np.nan, 2, 2, 2]
    )
    assert seeds_for([0.03])[0] < MOST_SEEDS
    assert np.isfinite(power(rng.uniform(0, 6, 500), rng.integers(2, 40, 500))).all()


def test_power_is_the_share_of_simulated_tests_that_find_it():
    rng = np.random.default_rng(entropy())
    trials, seeds, size = 4000, 6, 1.2
    gaps = rng.normal(size, 1.0, (trials, seeds))
    found = int((paired(np.zeros_like(gaps), gaps).p < 0.05).sum())
    low, high = stats.binom.interval(1 - 1e-6, trials, float(power(size, seeds)))
    assert low <= found <= high


def test_the_bootstrap_is_the_exact_variance_of_a_mean():
    """With one term an item the loss is a mean, whose bootstrap variance is known: that of the items over n."""
    rng = np.random.default_rng(entropy())
    first, second, ones = rng.gamma(2, 1, (1, 60)), rng.gamma(2, 1, (1, 60)), np.ones((1, 60))
    found = item_errors(first, ones, second, ones, 3, "loss", "t")
    gaps = second - first
    exact = gaps.std() / math.sqrt(60)
    assert found.difference[0] == pytest.approx(gaps.mean())
    # The standard deviation of 1000 normal resamples scatters by 2.2 %.
    assert abs(found.se[0] / exact - 1) < 5 / math.sqrt(2 * 999)
    assert found.lower[0] < found.difference[0] < found.upper[0]


def test_the_bootstrap_of_a_ratio_is_near_its_linearised_variance():
    rng = np.random.default_rng(entropy())
    items = 2000
    sizes = rng.integers(1, 30, (2, items)).astype(float)
    losses = sizes * rng.gamma(4, 0.5, (2, items))
    found = item_errors(losses[:1], sizes[:1], losses[1:], sizes[1:], 0)
    residuals = [
        (each - each.sum() / size.sum() * size) / size.mean() for each, size in zip(losses, sizes, strict=True)
    ]
    exact = (residuals[1] - residuals[0]).std() / math.sqrt(items)
    assert abs(found.se[0] / exact - 1) < 0.15


def test_the_bootstrap_is_paired_and_keyed():
    rng = np.random.default_rng(entropy())
    losses, sizes = rng.gamma(2, 1, (2, 50)), rng.integers(1, 9, (2, 50)).astype(float)
    same = item_errors(losses, sizes, losses, sizes, 1)
    assert same.se.tolist() == same.lower.tolist() == same.upper.tolist() == [0.0, 0.0]
    shifted = item_errors(losses, sizes, losses + 0.2 * sizes, sizes, 1)
    np.testing.assert_allclose([shifted.lower, shifted.upper], 0.2, atol=1e-9)  # each item moved alike: no error
    other = losses[::-1]
    one, again = (item_errors(losses, sizes, other, sizes, 5, "loss") for _ in range(2))
    np.testing.assert_array_equal(one.se, again.se)
    assert (one.se != item_errors(losses, sizes, other, sizes, 6, "loss").se).all()
    alone = item_errors(losses[:1], sizes[:1], other[:1], sizes[:1], 5, "loss")
    assert alone.se[0] == pytest.approx(one.se[0], rel=1e-9), "a pair's error does not depend on the pairs beside it"
