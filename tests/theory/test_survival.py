"""Survival of symbols: the exact chain, its bounds, published values, and simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.theory.discrete_twin import simulate
from tests.theory.test_discrete_moments import OPTIONS, ecosystem

from crossfeed.errors import InvalidInput
from crossfeed.theory.survival import expected_survivors, survival
from crossfeed.theory.wright_fisher import CountChain, diffusion_absorption_time, feller_survival

PUBLISHED = {  # Suresh, Thangaraj, Khandavally (2024): samples in all, lower bound
    (0.001, 10_000): {5: 0.9559, 10: 0.8214, 20: 0.6001, 50: 0.3187},
    (0.01, 100): {5: 0.2681, 10: 0.1582, 20: 0.0876, 50: 0.0376},
}
#: p_i proportional to (i + a)^-b, i = 1, ..., 1,000, and n = 10,000 draws: expected survivors, at least.
ZIPF = {
    (1, 2.7): {1: 68.05, 5: 43.74, 10: 34.82, 20: 27.26, 50: 19.34},
    (2, 5): {1: 18.16, 5: 13.87, 10: 12.04, 20: 10.31, 50: 8.27},
}


def alone(p, n, T):
    """One model that reads its own items alone."""
    return ecosystem(T=T, n=float(n), truths=p, d=len(p))


def zipf(a, b, d=1000):
    p = (np.arange(1, d + 1) + a) ** -float(b)
    return p / p.sum()


@pytest.mark.parametrize(("case", "values"), PUBLISHED.items())
def test_published_lower_bounds_of_one_symbol(case, values):
    p, n = case
    for samples, value in values.items():
        bounds = survival(alone(np.array([p, 1 - p]), n, samples - 1), samples - 1)
        assert bounds.lower[0, 0] == pytest.approx(value, abs=5.1e-5)
        assert bounds.lower[0, 0] <= bounds.upper[0, 0]


@pytest.mark.parametrize(("case", "values"), ZIPF.items())
def test_published_lower_bounds_of_zipf_and_simulation_beside_them(case, values):
    p, n, R = zipf(*case), 10_000, 30
    rng = np.random.default_rng(5)
    models, survivors = np.tile(p, (R, 1)), {}
    for samples in range(1, 51):
        models = rng.multinomial(n, models) / n
        survivors[samples] = (models > 0).sum(axis=1)
    for samples, value in values.items():
        bounds = survival(alone(p, n, samples - 1), samples - 1)
        assert bounds.lower.sum() == pytest.approx(value, abs=0.0051)
        mean, error = survivors[samples].mean(), survivors[samples].std(ddof=1) / np.sqrt(R)
        assert bounds.lower.sum() - 5.5 * error < mean < bounds.upper.sum() + 5.5 * error
        assert mean == pytest.approx(value, rel=0.05, abs=6 * error)


@pytest.mark.parametrize(("p", "n"), [(0.001, 1000), (0.01, 100), (0.1, 50), (0.5, 20), (0.02, 2000)])
def test_the_exact_chain_lies_between_the_bounds(p, n):
    exact = CountChain(n).survival(np.array([p]), 30)[:, 0]
    for t in (0, 1, 4, 10, 30):
        bounds = survival(alone(np.array([p, 1 - p]), n, 30), t)
        assert bounds.lower[0, 0] - 1e-12 <= exact[t] <= bounds.upper[0, 0] + 1e-12
    if n >= 1000:
        assert bounds.upper[0, 0] - bounds.lower[0, 0] < 0.05


def test_the_chain_is_a_matrix_power():
    chain, p = CountChain(6), np.array([0.3, 0.05])
    state = np.array([[_choose(6, x) * q**x * (1 - q) ** (6 - x) for x in range(7)] for q in p])
    step = np.array([[_choose(6, y) * (x / 6) ** y * (1 - x / 6) ** (6 - y) for y in range(7)] for x in range(7)])
    np.testing.assert_allclose(chain.transitions(), step, atol=1e-14)
    found = chain.survival(p, 5)
    for t in range(6):
        np.testing.assert_allclose(found[t], 1 - (state @ np.linalg.matrix_power(step, t))[:, 0], atol=1e-13)
        np.testing.assert_allclose(
            chain.absorbed(0.3, 5)[t], (state @ np.linalg.matrix_power(step, t))[0, [0, -1]], atol=1e-13
        )
    assert chain.absorbed(0.3, 400)[-1] == pytest.approx([0.7, 0.3])


def _choose(n, k):
    return float(np.prod([(n - i) / (i + 1) for i in range(k)]))


@pytest.mark.parametrize(
    "chain",
    [
        CountChain(10),
        CountChain(10, models=3),
        CountChain(10, pool=6),
        CountChain(10, alpha=0.7),
        CountChain(10, models=3, alpha=0.7),
        CountChain(10, pool=6, alpha=0.7),
    ],
    ids=repr,
)
def test_survival_is_that_of_many_replicates(chain):
    R, p, rng = 3000, np.array([0.02, 0.1, 0.1, 0.3, 0.48]), np.random.default_rng(23)
    pool = np.inf if chain.pool is None else float(chain.pool)
    eco = ecosystem(K=chain.models, T=6, n=10.0, alpha=chain.alpha, d=5, truths=p, published=pool)
    held = np.array([(simulate(eco, rng) > 0)[:, 0] for _ in range(R)])
    exact = chain.survival(p, 6)
    error = np.sqrt(np.maximum(exact * (1 - exact), 1 / R) / R)
    assert (np.abs(held.mean(axis=0) - exact) < 5.5 * error).all()
    bounds = expected_survivors(eco)
    assert (bounds.lower[:, 0] <= exact.sum(axis=1) + 1e-12).all()
    assert (exact.sum(axis=1) <= bounds.upper[:, 0] + 1e-12).all()


@pytest.mark.parametrize("name", sorted(OPTIONS.keys() - {"prior"}))
def test_expected_survivors_of_every_option_lie_between_the_bounds(name):
    options, R, rng = {"T": 4, "d": 12} | OPTIONS[name], 1000, np.random.default_rng(29)
    K = options.get("K", 1)
    eco = ecosystem(**options, truths=rng.dirichlet(np.full(12, 0.4), K + 1))
    held = np.array([(simulate(eco, rng) > 0).sum(axis=-1) for _ in range(R)])
    mean, error = held.mean(axis=0), held.std(axis=0) / np.sqrt(R)
    bounds = expected_survivors(eco)
    assert (bounds.lower < mean + 5.5 * error + 1e-9).all()
    assert (bounds.upper > mean - 5.5 * error - 1e-9).all()
    assert (bounds.upper < 12.000001).all()
    assert (bounds.lower[0] > 0.6 * mean[0]).all()


@pytest.mark.parametrize("n", [None, 30.0])
def test_bounds_from_two_finite_data_sets(n):
    options, R, rng = {"T": 8, "d": 20, "n": n, "rows": 25.0, "published": 30.0}, 2000, np.random.default_rng(31)
    eco = ecosystem(**options, truths=rng.dirichlet(np.full(20, 0.4)))
    held = np.array([(simulate(eco, rng) > 0).sum(axis=-1) for _ in range(R)])
    mean, error = held.mean(axis=0), held.std(axis=0) / np.sqrt(R)
    bounds = expected_survivors(eco)
    assert (bounds.lower < mean + 5.5 * error).all()
    assert (bounds.upper > mean - 5.5 * error).all()
    # Drift is seen from above, too: by Jensen alone nothing would be lost after the first generation.
    assert bounds.upper[8, 0] < bounds.upper[0, 0] - 1


@pytest.mark.parametrize("chain", [CountChain(10, pool=6), CountChain(10, pool=6, alpha=0.7)], ids=repr)
def test_survival_with_a_finite_data_set(chain):
    R, p, rng = 3000, np.array([0.02, 0.1, 0.1, 0.3, 0.48]), np.random.default_rng(37)
    eco = ecosystem(T=6, n=10.0, alpha=chain.alpha, d=5, truths=p, published=6.0, rows=8.0)
    eco = replace(eco, beta=np.ones((7, 1)))
    held = np.array([(simulate(eco, rng) > 0)[:, 0] for _ in range(R)])
    exact = chain.survival(p, 6, rows=8)
    error = np.sqrt(np.maximum(exact * (1 - exact), 1 / R) / R)
    assert (np.abs(held.mean(axis=0) - exact) < 5.5 * error).all()
    assert (np.abs(chain.survival(p, 6) - exact) > 2 * error).any()


def test_absorption_takes_as_long_as_diffusion_says_where_draws_are_many():
    errors = []
    for n in (50, 100, 200):
        exact = CountChain(n).absorption_time()[n // 2]
        errors.append(diffusion_absorption_time(0.5, n) / exact - 1)
    assert 0 < errors[2] < errors[1] < errors[0] < 0.03
    assert 2.5 < errors[0] / errors[2] < 4.5


def test_two_draws_are_absorbed_as_by_hand():
    """From one copy of two: absorbed with probability 1/2 at each step, so two generations on average."""
    np.testing.assert_allclose(CountChain(2).absorption_time(), [0, 2, 0])


def test_feller_survival_is_near_the_chains():
    exact = CountChain(2000).survival(np.array([0.002]), 49)[49, 0]
    assert feller_survival(0.002, 2000, 50) == pytest.approx(exact, rel=0.05)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: CountChain(0), "give numbers of at least 1"),
        (lambda: CountChain(10, alpha=1.2), r"a share in \[0, 1\]"),
        (lambda: CountChain(10, models=2, pool=5), "pool is 5 for 2 models; leave it out"),
        (lambda: CountChain(5000), "5,000 draws in all; give at most 4,096"),
        (lambda: CountChain(10, alpha=0.5).absorption_time(), "alpha is 0.5; give 1"),
        (lambda: expected_survivors(ecosystem(prior=1.0)), "prior is 1, so that every symbol survives"),
    ],
)
def test_what_has_no_chain_or_bound_is_refused(make, words):
    with pytest.raises(InvalidInput, match=words):
        make()
