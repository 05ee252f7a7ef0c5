"""Who reads whom, and when: every option and their combinations against linear forms that know no recursion."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from ecosystems import random_ecosystem
from forms import Forms

from crossfeed.theory import LinearEcosystem

GENERATIONS = [0, 1, 2, 3, 5]


@pytest.fixture(params=range(2))
def seed(request):
    return request.param


def reading(rng, kind, K):
    weights = rng.dirichlet(np.ones(K), K)
    sparse = weights * (rng.uniform(size=(K, K)) < 0.6) + 1e-3 * np.roll(np.eye(K), 1, axis=1)
    sparse /= sparse.sum(axis=1, keepdims=True)
    return {
        "none": None,
        "dense": weights,
        "pair": (rng.dirichlet(np.ones(2), K), weights[:2]),
        "communities": weights[[k % 2 for k in range(K)]],
        "sparse": scipy.sparse.csr_array(sparse),
        "ring": np.roll(np.eye(K), 1, axis=1),
    }[kind]


def timing(rng, kind, K):
    return {
        "in step": {},
        "clocks": {"every": rng.integers(1, 4, K), "phase": rng.integers(0, 4, K)},
        "drop": {"every": rng.integers(1, 3, K), "phase": rng.integers(0, 3, K), "stale": "drop"},
        "sequential": {"order": "sequential"},
        "sequential clocks": {"order": "sequential", "every": rng.integers(1, 3, K), "phase": rng.integers(0, 3, K)},
        "arrivals": {"arrives": np.r_[0, rng.integers(0, 4, K - 1)], "leaves": np.r_[99, rng.integers(4, 7, K - 1)]},
        "arrivals in turn": {"arrives": np.r_[rng.integers(0, 4, K - 1), 0], "order": "sequential", "every": 2},
        "arrivals dropped": {"arrives": np.r_[rng.integers(0, 4, K - 1), 0], "stale": "drop", "every": 2},
    }[kind]


TIMINGS = [
    "in step", "clocks", "drop", "sequential", "sequential clocks", "arrivals", "arrivals in turn", "arrivals dropped",
]  # fmt: skip


def agree(found, wanted, data=None):
    mean, covariance, apart = wanted
    size = max(np.nanmax(np.abs(mean)), 1.0)
    assert found.mean == pytest.approx(mean, abs=1e-10 * size, nan_ok=True)
    assert found.covariance == pytest.approx(covariance, abs=1e-10 * max(np.nanmax(np.abs(covariance)), 1), nan_ok=True)
    assert found.dispersion == pytest.approx(apart, rel=1e-9, abs=1e-10 * size**2)


@pytest.mark.parametrize("kind", ["none", "dense", "pair", "communities", "sparse", "ring"])
@pytest.mark.parametrize("when", TIMINGS)
@pytest.mark.parametrize("weights", ["constant", "own", "scheduled"])
def test_generations_are_those_of_linear_forms(kind, when, weights, seed):
    rng = np.random.default_rng([seed, len(kind), len(when), len(weights)])
    K = int(rng.integers(3, 6))
    alpha, beta = {"constant": ("0.4", "0.5"), "own": ("per entity",) * 2, "scheduled": ("scheduled",) * 2}[weights]
    described = random_ecosystem(
        int(rng.integers(1 << 30)), alpha, beta, K=K, d=3, fresh=bool(rng.integers(2)),
        other_start=bool(rng.integers(2)), rank=int(rng.integers(1, 4)),
        shares="unequal" if kind == "none" else "equal",
    )  # fmt: skip
    described |= {"reads": reading(rng, kind, K)} | timing(rng, when, K)
    agree(LinearEcosystem(**described).moments(GENERATIONS), Forms(**described).moments(GENERATIONS))


@pytest.mark.parametrize("kind", ["dense", "pair", "sparse"])
@pytest.mark.parametrize("fresh", [False, True])
def test_all_generations_are_kept_by_each_reader(kind, fresh, seed):
    rng = np.random.default_rng([seed, len(kind), fresh])
    described = random_ecosystem(int(rng.integers(1 << 30)), "per entity", K=4, d=3, history="accumulate", fresh=fresh)
    described["reads"] = reading(rng, kind, 4)
    agree(LinearEcosystem(**described).moments(GENERATIONS), Forms(**described).moments(GENERATIONS))


@pytest.mark.parametrize("kind", ["none", "dense", "pair"])
@pytest.mark.parametrize("order", ["together", "sequential"])
@pytest.mark.parametrize("other", ["alone", "clocks", "arrivals"])
def test_coins_are_averaged_as_if_every_outcome_were_listed(kind, order, other, seed):
    rng = np.random.default_rng([seed, len(kind), len(order), len(other)])
    K = 3
    described = random_ecosystem(
        int(rng.integers(1 << 30)), "per entity", "per entity", K=K, d=3, fresh=bool(rng.integers(2)),
    )  # fmt: skip
    described |= {"reads": reading(rng, kind, K), "probability": rng.uniform(0.2, 0.9, K), "order": order}
    described |= {"clocks": {"every": [1, 2, 1], "phase": 1}, "arrivals": {"arrives": [0, 1, 2]}}.get(other, {})
    generations = [0, 1, 2, 3]
    agree(LinearEcosystem(**described).moments(generations), Forms(**described).moments(generations))


@pytest.mark.parametrize("order", ["together", "sequential"])
@pytest.mark.parametrize("history", ["latest", "accumulate"])
def test_published_rows_may_change_with_the_generation(order, history, seed):
    rng = np.random.default_rng([seed, len(order), len(history)])
    if order == "sequential" and history == "accumulate":
        pytest.skip("refused")
    described = random_ecosystem(int(rng.integers(1 << 30)), "per entity", K=3, d=3, history=history)
    rows = rng.standard_normal((9, 3, 4, 3))
    grams = rows.swapaxes(2, 3) @ rows
    described |= {"reads": reading(rng, "dense", 3), "order": order, "generated_at": lambda t: grams[t]}
    if history == "latest":
        described |= {"every": [1, 2, 1]}
    agree(LinearEcosystem(**described).moments(GENERATIONS), Forms(**described).moments(GENERATIONS))


def test_the_law_given_the_data(seed):
    rng = np.random.default_rng(seed)
    described = random_ecosystem(int(rng.integers(1 << 30)), K=3, d=3) | {
        "reads": reading(rng, "dense", 3), "probability": 0.6,
    }  # fmt: skip
    data = rng.standard_normal((4, 3))
    found = LinearEcosystem(**described).moments([0, 2, 3]).given(data)
    mean, covariance, _ = Forms(**described, given=data).moments([0, 2, 3])
    assert found.mean == pytest.approx(mean, abs=1e-10)
    assert found.covariance == pytest.approx(covariance, abs=1e-10)
