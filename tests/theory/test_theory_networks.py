"""Who reads whom, and when: every option and their combinations against linear forms that know no recursion."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse
from ecosystems import random_ecosystem
from forms import Forms

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem, lemma_1, optimal_weights
from crossfeed.theory.channels import Channels

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


def channelled(rng, seed, kind, timed, history="latest", **options):
    """A network that few channels carry."""
    K, r = 14, 2
    described = random_ecosystem(seed, "per entity", "per entity", K=K, d=3, history=history, fresh=seed % 2 == 0)
    heard = np.eye(r)[rng.integers(0, r, K)] if kind == "communities" else rng.dirichlet(np.ones(r), K)
    described["reads"] = heard, rng.dirichlet(np.ones(K), r)
    if timed:
        described |= {"every": rng.choice([1, 2], K), "phase": rng.integers(0, 2, K)}
    return described | options


def everything(found):
    names = "mean", "covariance", "mse", "bias_squared", "dispersion", "gain_norms", "influence"
    return [np.asarray(getattr(found, name)) for name in names]


def same(found, wanted, rel=1e-9):
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=rel, abs=1e-10 * max(np.nanmax(np.abs(other)), 1.0), nan_ok=True)


@pytest.mark.parametrize("kind", ["communities", "mixed"])
@pytest.mark.parametrize(("timed", "history"), [(False, "latest"), (False, "accumulate"), (True, "latest")])
def test_few_channels_are_what_all_messages_are(kind, timed, history, seed, monkeypatch):
    rng = np.random.default_rng([seed, len(kind), timed])
    described = channelled(rng, seed, kind, timed, history)
    eco, data = LinearEcosystem(**described), rng.standard_normal((15, 3))
    assert Channels.of(eco.specification) is not None
    for generations in ([0, 1, 2, 3, 6], [5], [2]):
        found = eco.moments(generations)
        with monkeypatch.context() as patch:
            patch.setattr(Channels, "of", lambda spec: None)
            wanted = eco.moments(generations)
        same(everything(found), everything(wanted))
        same([found.mspe()], [wanted.mspe()])
        same(
            [found.given(data).mean, found.given(data).covariance],
            [wanted.given(data).mean, wanted.given(data).covariance],
        )


@pytest.mark.parametrize("kind", ["communities", "mixed"])
@pytest.mark.parametrize(("timed", "history"), [(False, "latest"), (False, "accumulate"), (True, "latest")])
@pytest.mark.parametrize("options", [{}, {"alpha": 1.0}, {"alpha": 1.0, "sigma_generated": 0.0}])
def test_limits_of_few_channels_are_those_of_all_messages(kind, timed, history, options, seed, monkeypatch):
    rng = np.random.default_rng([seed, len(kind), timed])
    eco = LinearEcosystem(**channelled(rng, seed, kind, timed, history, **options))
    found = eco.limit()
    with monkeypatch.context() as patch:
        patch.setattr(Channels, "of", lambda spec: None)
        wanted = eco.limit()
    assert found.spectral_radius == pytest.approx(wanted.spectral_radius, rel=1e-9)
    assert (found.unbiased == wanted.unbiased).all()
    assert (found.full_rank == wanted.full_rank).all()
    if wanted.growth is None:
        same(everything(found), everything(wanted))
    else:
        assert (found.growth.law, found.growth.rate) == (wanted.growth.law, pytest.approx(wanted.growth.rate))
        assert found.variance_growth == pytest.approx(wanted.variance_growth, rel=1e-6, nan_ok=True)


LIMITS = {
    "dense": {},
    "fresh": {"fresh_fraction": 0.2},
    "clocks": {"every": [1, 2, 3, 1], "phase": [0, 1, 1, 0]},
    "dropped": {"every": 2, "phase": [0, 1, 0, 1], "stale": "drop", "fresh_fraction": 0.2},
    "in turn": {"order": "sequential", "fresh_fraction": 0.1},
    "arrivals": {"arrives": [0, 3, 1, 0], "leaves": [10**9, 10**9, 5, 10**9], "every": 2},
    "coins": {"probability": [0.5, 0.9, 1.0, 0.6]},
    "coins in turn": {"probability": 0.7, "order": "sequential", "every": [1, 2, 1, 1]},
    "coins and arrivals": {"probability": 0.7, "arrives": [0, 2, 1, 0], "leaves": [10**9, 10**9, 7, 10**9]},
}


@pytest.mark.parametrize("case", LIMITS)
def test_late_generations_reach_the_limit(case, seed):
    rng = np.random.default_rng([seed, *case.encode()])
    described = random_ecosystem(
        int(rng.integers(1 << 30)),
        "0.4",
        "0.5",
        K=4,
        d=3,
        rank=3,
        other_features=False,
        fresh="fresh_fraction" in LIMITS[case],
    )
    eco = LinearEcosystem(**described | {"reads": reading(rng, "dense", 4)} | LIMITS[case])
    limit, late = eco.limit(), eco.moments([120])
    assert limit.converges
    assert limit.spectral_radius < 1
    same(everything(limit), [value[0] for value in everything(late)], rel=1e-7)
    data = rng.standard_normal((5, 3))
    same([limit.given(data).covariance], [late.given(data).covariance[0]])
    gone = np.asarray(LIMITS[case].get("leaves", [10**9] * 4)) < 10**9
    assert (limit.unbiased == ~gone).all()
    assert (np.isnan(eco.relative_efficiency()) == gone).all()


@pytest.mark.parametrize("case", ["dense", "clocks", "in turn", "coins", "arrivals"])
def test_growth_is_that_of_late_generations(case, seed):
    rng = np.random.default_rng([seed, *case.encode()])
    described = random_ecosystem(int(rng.integers(1 << 30)), "1", "0.5", K=4, d=3, rank=3, other_features=False)
    options = {name: value for name, value in LIMITS[case].items() if name != "fresh_fraction"}
    eco = LinearEcosystem(**described | {"reads": reading(rng, "dense", 4)} | options)
    limit = eco.limit()
    assert limit.growth.law == "linear"
    late = eco.moments([120, 180]).variance
    there = ~np.isnan(limit.variance_growth)
    assert limit.variance_growth[there] == pytest.approx((late[1] - late[0])[there] / 60, rel=1e-5)
    alive = tuple(int(k) for k in np.flatnonzero(there))
    assert eco.collapses() == (alive,)


def test_limit_is_the_lyapunov_equation_of_the_lifted_system(seed):
    rng = np.random.default_rng(seed)
    described = random_ecosystem(int(rng.integers(1 << 30)), "per entity", "per entity", K=4, d=3, rank=3)
    W, S, sigma_g = reading(rng, "dense", 4), described["generated"], described["sigma_generated"]
    alpha, beta = described["alpha"], described["beta"]
    V = np.tensordot(W, S, axes=1)
    at = lambda x: x[:, None, None]  # noqa: E731
    F = np.linalg.inv(
        at((1 - alpha) * beta) * described["private"]
        + at((1 - alpha) * (1 - beta)) * described["public"]
        + at(alpha) * V
    )
    Q = np.einsum("kxy,kj,jyz->kxjz", at(alpha) * F, W, S).reshape(12, 12)
    reader = np.einsum("kxy,kj->kxjy", at(alpha) * F, W).reshape(12, 12)
    noise = scipy.linalg.solve_discrete_lyapunov(Q, sigma_g**2 * reader @ scipy.linalg.block_diag(*S) @ reader.T)
    limit = LinearEcosystem(**described, reads=W).limit()
    assert limit.spectral_radius == pytest.approx(np.abs(np.linalg.eigvals(Q)).max(), rel=1e-9)
    if limit.converges:
        found = limit.given(np.zeros((5, 3))).covariance
        assert found == pytest.approx(np.array([noise.reshape(4, 3, 4, 3)[k, :, k] for k in range(4)]), rel=1e-8)


REFUSED = {
    "both": ({"reads": np.eye(3), "shares": [0.2, 0.3, 0.5]}, "reads and shares"),
    "rows": ({"reads": np.full((3, 3), 0.3)}, "sum to one"),
    "negative": ({"reads": [[1.5, -0.5, 0], [0, 1, 0], [0, 0, 1]]}, "not negative"),
    "shape": ({"reads": np.eye(2)}, "shape"),
    "pair": ({"reads": (np.eye(3), np.eye(3), 1)}, "pair"),
    "every": ({"every": 0}, "every"),
    "phase": ({"phase": 0.5}, "phase"),
    "probability": ({"probability": 0.0}, "probability"),
    "stale": ({"stale": "old"}, "stale"),
    "order": ({"order": "random"}, "order"),
    "nobody first": ({"arrives": [1, 2, 3]}, "arrives"),
    "gone before": ({"arrives": [0, 3, 0], "leaves": [9, 2, 9]}, "leaves"),
    "coins dropped": ({"stale": "drop", "probability": 0.5}, "does not close"),
    "turns dropped": ({"stale": "drop", "order": "sequential"}, "never reach"),
    "kept generations": ({"history": "accumulate", "every": 2}, "accumulate"),
    "rows not a function": ({"generated_at": np.ones((3, 3, 3))}, "generated_at"),
    "rows and coins": ({"generated_at": lambda t: np.ones((3, 3, 3)), "probability": 0.5}, "does not close"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_close_is_refused(case):
    options, told = REFUSED[case]
    with pytest.raises(InvalidInput, match=told):
        LinearEcosystem(**random_ecosystem(0) | options)


def test_a_limit_needs_rows_that_stay():
    eco = LinearEcosystem(**random_ecosystem(0), generated_at=lambda t: np.tile(np.eye(4), (3, 1, 1)))
    with pytest.raises(InvalidInput, match="generated_at"):
        eco.limit()


def test_too_many_messages_are_refused():
    K = 4001
    ring = scipy.sparse.eye_array(K, format="csr")[np.roll(np.arange(K), 1)]
    with pytest.raises(InvalidInput, match="K d is 4001"):
        _ = LinearEcosystem(np.arange(1.0, K + 1)[:, None, None], [[1.0]], reads=ring).moments([1]).mse


def test_what_is_known_of_one_pool_alone_is_refused():
    eco = LinearEcosystem(**random_ecosystem(0), reads=np.roll(np.eye(3), 1, axis=1))
    for ask in (lemma_1, optimal_weights):
        with pytest.raises(InvalidInput, match="one pool that all read in step"):
            ask(eco)


@pytest.mark.parametrize(
    "reads",
    [np.eye(3), (np.eye(3), np.eye(3)), scipy.sparse.eye_array(3, format="csr")],
    ids=["matrix", "pair", "sparse"],
)
def test_collapses_are_readers_that_nothing_real_reaches(reads):
    described = random_ecosystem(0) | {"reads": reads}
    assert LinearEcosystem(**described | {"alpha": np.array([1.0, 0.3, 1.0])}).collapses() == ((0,), (2,))
    assert LinearEcosystem(**described | {"alpha": 0.3}).collapses() == ()
    fresh = {"fresh": np.eye(4), "fresh_fraction": 0.1}
    assert LinearEcosystem(**described | {"alpha": 1.0} | fresh).collapses() == ()
    assert LinearEcosystem(**random_ecosystem(0) | {"alpha": 1.0}).collapses() == ((0, 1, 2),)
    scheduled = LinearEcosystem(**described | {"alpha": lambda t: 1.0})
    with pytest.raises(InvalidInput, match="constant weights"):
        scheduled.collapses()
