"""Expected distributions and heterozygosity of discrete models: known laws, and a naive twin in standard errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.theory.discrete_twin import simulate

from crossfeed.errors import InvalidInput
from crossfeed.theory.discrete import DiscreteEcosystem
from crossfeed.theory.discrete_limit import limiting_heterozygosity
from crossfeed.theory.discrete_moments import discrete_moments


def ecosystem(K=1, T=20, n=20.0, alpha=1.0, d=7, published=np.inf, rows=np.inf, truths=None, **options):
    alphas = np.full((T + 1, K), alpha)
    alphas[0] = 0
    truth = np.random.default_rng(3).dirichlet(np.ones(d)) if truths is None else truths
    return DiscreteEcosystem(
        truths=np.broadcast_to(truth, (K + 1, d)) if np.ndim(truth) == 1 else truth,
        rows=np.full(K + 1, rows),
        alpha=alphas,
        beta=np.full((T + 1, K), 0.5),
        reads=options.pop("reads", np.full((K, K), 1 / K)),
        published=np.full((T + 1, K), published),
        drawn=None if n is None else np.full((T + 1, K), n),
        **options,
    )


def diversity(eco):
    return discrete_moments(eco).heterozygosity


def test_one_model_alone_loses_one_part_in_n_a_generation():
    eco, t = ecosystem(), np.arange(21)
    H = 1 - (eco.truths[0] ** 2).sum()
    np.testing.assert_allclose(diversity(eco)[:, 0], H * (1 - 1 / 20) ** (t + 1))
    np.testing.assert_allclose(discrete_moments(eco).distribution(20)[0], eco.truths[0])


def test_a_pool_that_is_read_whole_is_a_training_set():
    eco, t = ecosystem(n=None, rows=20.0, published=20.0), np.arange(21)
    H = 1 - (eco.truths[0] ** 2).sum()
    assert discrete_moments(eco).heterozygosity.shape == (21, 1)
    # The private and public data are each read half, so the first step is a sample of 40.
    np.testing.assert_allclose(diversity(eco)[:, 0], H * (1 - 1 / 40) * (1 - 1 / 20) ** t)


def test_equal_models_on_one_pool():
    eco, t = ecosystem(K=4), np.arange(21)
    H = 1 - (eco.truths[0] ** 2).sum()
    np.testing.assert_allclose(diversity(eco), H * np.tile((1 - 1 / 20) * (1 - 1 / 80) ** t, (4, 1)).T)
    assert diversity(eco)[20, 0] / H == pytest.approx(0.7387, abs=5e-5)


def test_readers_of_themselves_alone_are_as_one_model():
    alone = diversity(ecosystem(K=3, reads=np.eye(3)))
    np.testing.assert_allclose(alone, np.repeat(diversity(ecosystem()), 3, axis=1))


def test_diversity_depends_on_the_truth_by_its_own_diversity_alone():
    options = {"K": 2, "T": 3, "alpha": 0.6, "rows": 30.0, "published": 9.0}
    few = np.random.default_rng(1).dirichlet(np.ones(10))
    many = np.random.default_rng(1).dirichlet(np.ones(1_000_000))
    for p in (few, many):
        ratio = diversity(ecosystem(**options, truths=p, d=len(p))) / (1 - (p**2).sum())
        np.testing.assert_allclose(ratio, diversity(ecosystem(**options, truths=np.array([0.5, 0.5]), d=2)) / 0.5)


OPTIONS = {
    "one alone": {"n": 12.0},
    "pools": {"K": 2, "alpha": 0.7, "published": 9.0, "rows": 15.0, "n": 12.0},
    "accumulate": {"K": 2, "alpha": 0.8, "published": 9.0, "rows": 15.0, "n": 12.0, "accumulates": True},
    "everything": {"K": 2, "alpha": 0.8, "published": 9.0, "rows": 15.0, "n": None, "accumulates": True},
    "fresh": {"K": 2, "alpha": 0.9, "published": 9.0, "rows": 15.0, "n": 8.0, "fresh": 0.3, "fresh_rows": 6.0},
    "fresh kept": {"alpha": 1.0, "published": 9.0, "n": 8.0, "fresh": 0.3, "fresh_rows": 6.0, "accumulates": True},
    "prior": {"K": 2, "alpha": 0.8, "published": 9.0, "rows": 15.0, "n": 8.0, "prior": 0.5},
    "network": {
        "K": 3,
        "alpha": 0.8,
        "published": 9.0,
        "rows": 15.0,
        "n": 8.0,
        "reads": np.array([[0, 1, 0], [0.2, 0, 0.8], [0.5, 0.3, 0.2]]),
    },
}


@pytest.mark.parametrize("name", OPTIONS)
def test_moments_are_those_of_many_replicates(name):
    options = {"T": 4, "d": 5} | OPTIONS[name]
    K = options.get("K", 1)
    rng = np.random.default_rng(17)
    eco = ecosystem(**options, truths=rng.dirichlet(np.ones(5), K + 1))
    moments, R = discrete_moments(eco), 4000
    runs = np.array([simulate(eco, rng) for _ in range(R)])
    products = np.einsum("rtjx,rtkx->rtjk", runs, runs)
    error = products.std(axis=0) / np.sqrt(R) + 1e-12
    assert (np.abs(products.mean(axis=0) - moments.products) < 5.5 * error).all()
    expected = np.array([moments.distribution(t) for t in range(5)])
    assert (np.abs(runs.mean(axis=0) - expected) < 5.5 * (runs.std(axis=0) / np.sqrt(R) + 1e-12)).all()
    squares = ((runs[:, :, :, None] - eco.truths) ** 2).sum(axis=-1)
    off = squares.mean(axis=0) - moments.squared_distance(eco.truths)
    assert (np.abs(off) < 5.5 * (squares.std(axis=0) / np.sqrt(R) + 1e-12)).all()
    np.testing.assert_allclose(expected.sum(axis=-1), 1.0)
    assert moments.total_variation(eco.truths).shape == (5, K, K + 1)
    np.testing.assert_allclose(
        moments.total_variation(eco.truths)[3, 0, 1], np.abs(expected[3, 0] - eco.truths[1]).sum() / 2, atol=1e-12
    )


def test_a_prior_alone_leads_to_the_uniform_distribution():
    eco = ecosystem(T=400, n=20.0, prior=1.0)
    np.testing.assert_allclose(discrete_moments(eco).distribution(400)[0], np.full(7, 1 / 7))


@pytest.mark.parametrize("name", ["pools", "fresh", "prior", "network"])
def test_the_limit_is_where_many_generations_lead(name):
    options = OPTIONS[name] | {"T": 600, "d": 5}
    K = options.get("K", 1)
    eco = ecosystem(**options, truths=np.random.default_rng(4).dirichlet(np.ones(5), K + 1))
    np.testing.assert_allclose(limiting_heterozygosity(eco), diversity(eco)[600], rtol=1e-9)


def test_the_limit_of_one_model_by_hand():
    a, n, eco = 0.8, 20, ecosystem(alpha=0.8, T=1)
    square = (eco.truths[0] ** 2).sum()
    # E p'p = x: x = (1 - 1/n) y + 1/n, with y = a^2 x + (1 - a^2) |b|^2 that of what is drawn from.
    x = ((1 - 1 / n) * (1 - a**2) * square + 1 / n) / (1 - (1 - 1 / n) * a**2)
    np.testing.assert_allclose(limiting_heterozygosity(eco), 1 - x)


def test_drift_and_pools_that_keep_all_have_no_limit():
    assert limiting_heterozygosity(ecosystem()) is None
    assert limiting_heterozygosity(ecosystem(alpha=0.5, accumulates=True)) is None
    # One of two reads real data, the other only itself.
    apart = ecosystem(K=2, reads=np.eye(2))
    assert limiting_heterozygosity(replace(apart, alpha=np.where(np.arange(21)[:, None] > 0, [[0.5, 1.0]], 0))) is None
    assert limiting_heterozygosity(ecosystem(alpha=0.5, T=0)) is None
    slow = limiting_heterozygosity(ecosystem(alpha=0.9999, n=1e6, K=3))
    assert slow is not None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"alpha": np.full((3, 1), 0.5)}, "alpha at generation 0"),
        ({"rows": np.full(3, 5.0)}, r"rows has the shape \(3,\); give \(2,\)"),
        ({"truths": np.full((2, 3), 0.5)}, "truths: rows are distributions"),
        ({"reads": np.full((1, 1), 0.5)}, "reads: rows are distributions"),
        ({"beta": np.full((3, 1), 1.5)}, "beta is"),
        ({"prior": -1.0}, "prior is -1; give a pseudocount"),
        ({"prior": 1.0, "drawn": None}, "drawn is None"),
    ],
)
def test_what_is_no_ecosystem_is_refused(changes, words):
    with pytest.raises(InvalidInput, match=words):
        replace(ecosystem(T=2, d=3), **changes)
