"""Short ways to a network's law, against the way that follows the messages of all authors together."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse
from ecosystems import random_ecosystem

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem, lifted, network_below, network_moments
from crossfeed.theory.channels import Channels, ChannelSystem
from crossfeed.theory.circulant import Circulant, circulant_row
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.network import read_weights

NAMES = "mean", "covariance", "mse", "dispersion", "gain_norms", "influence"


@pytest.fixture(params=range(3))
def seed(request):
    return request.param


def everything(found, data):
    given = found.given(data)
    return [np.asarray(getattr(found, name)) for name in NAMES] + [given.mean, given.covariance]


def agree(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert one == pytest.approx(other, rel=1e-10, abs=1e-10 * max(np.abs(other).max(), 1e-3))


def noted(rng, monkeypatch, eco, short, long):
    """The limit by a short way and by the long one, and the ecosystem's data."""
    data = rng.standard_normal((eco.entities + 1, eco.dimension))
    found = []
    for way in (short, long):
        with monkeypatch.context() as patch:
            way(patch)
            limit = eco.limit()
            assert limit.converges
            found.append((limit, everything(limit, data)))
    return found


@pytest.mark.parametrize("history", ["latest", "accumulate"])
@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("rank", [2, 4])
def test_a_short_series_has_the_limit_of_all_messages(history, fresh, rank, seed, monkeypatch):
    rng = np.random.default_rng([seed, rank, fresh])
    K = 12
    described = random_ecosystem(
        int(rng.integers(1 << 30)), "0.5", "0.5", K=K, d=4, rank=rank, history=history, fresh=fresh
    )
    described |= {"alpha": rng.uniform(0.2, 0.6, K), "reads": rng.dirichlet(np.full(K, 3.0), K)}
    eco = LinearEcosystem(**described)
    (limit, found), (wanted_limit, wanted) = noted(
        rng,
        monkeypatch,
        eco,
        lambda patch: patch.setattr(network_below, "LARGE", 1),
        lambda patch: None,
    )
    assert network_below.limit_below_one(eco.specification.conditioned) is None  # so few entities take the long way
    assert limit.spectral_radius == pytest.approx(wanted_limit.spectral_radius, rel=1e-9)
    assert (limit.unbiased == wanted_limit.unbiased).all()
    assert (limit.full_rank == wanted_limit.full_rank).all()
    agree(found, wanted)


def test_a_series_without_an_early_end_is_left_to_the_long_way(monkeypatch):
    monkeypatch.setattr(network_below, "LARGE", 1)
    K, rng = 40, np.random.default_rng(0)
    ring = np.roll(np.eye(K), 1, axis=1)
    grams = np.array([each.T @ each for each in rng.standard_normal((K, 3, 2))])
    eco = LinearEcosystem(grams, np.eye(2), reads=ring, alpha=0.99)
    assert network_below.limit_below_one(eco.specification.conditioned) is None
    assert eco.limit().converges


def circulant(rng, kind, K):
    row = rng.dirichlet(np.ones(K))
    if kind == "sparse":
        row[rng.choice(K - 1, K // 2, replace=False) + 1] = 0.0
        row /= row.sum()
    dense = np.array([np.roll(row, k) for k in range(K)])
    return {
        "dense": dense, "sparse": scipy.sparse.csr_array(dense), "pair": (dense, np.eye(K)),
        "ring": np.roll(np.eye(K), 1, axis=1),
    }[kind]  # fmt: skip


def alike(rng, seed, K, **options):
    """An ecosystem of entities with equal Gram matrices."""
    described = random_ecosystem(seed, "0.6", "0.4", K=K, d=3, **options)
    for name in ("private", "generated"):
        described[name] = np.repeat(described[name][:1], K, axis=0)
    return described | {"truths": rng.standard_normal((K, 3)), "initial_beta": 0.9}


@pytest.mark.parametrize("kind", ["dense", "sparse", "pair", "ring"])
@pytest.mark.parametrize("K", [5, 8])
@pytest.mark.parametrize("options", [{}, {"fresh": True}, {"rank": 2}, {"history": "accumulate", "fresh": True}])
def test_readers_alike_have_the_law_of_all_messages(kind, K, options, seed, monkeypatch):
    rng = np.random.default_rng([seed, K, len(kind)])
    described = alike(rng, int(rng.integers(1 << 30)), K, **options) | {"reads": circulant(rng, kind, K)}
    eco = LinearEcosystem(**described)
    assert Circulant.of(eco.specification.conditioned) is not None

    def long(patch):
        patch.setattr(Circulant, "of", lambda spec: None)

    (limit, found), (wanted_limit, wanted) = noted(rng, monkeypatch, eco, lambda patch: None, long)
    assert limit.spectral_radius == pytest.approx(wanted_limit.spectral_radius, rel=1e-9)
    assert (limit.unbiased == wanted_limit.unbiased).all()
    agree(found, wanted)
    data = rng.standard_normal((K + 1, 3))
    found = everything(eco.moments([0, 1, 2, 6]), data)
    with monkeypatch.context() as patch:
        long(patch)
        agree(found, everything(eco.moments([0, 1, 2, 6]), data))


def test_one_generation_after_another_at_a_weight_of_one(seed, monkeypatch):
    rng = np.random.default_rng(seed)
    described = alike(rng, seed, 6) | {"reads": circulant(rng, "dense", 6), "alpha": 1.0}
    eco, data = LinearEcosystem(**described), rng.standard_normal((7, 3))
    found = everything(eco.moments([1, 40]), data)
    assert eco.limit().growth.law == "linear"
    monkeypatch.setattr(Circulant, "of", lambda spec: None)
    agree(found, everything(eco.moments([1, 40]), data))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"alpha": np.linspace(0.2, 0.6, 5)}, "weights"),
        ({"private": np.arange(1.0, 6)[:, None, None] * np.eye(3)}, "data"),
        ({"reads": np.random.default_rng(0).dirichlet(np.ones(5), 5)}, "readers"),
        ({"every": 2}, "clocks"),
        ({"beta": lambda t: 0.5}, "a schedule"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_differs_between_readers_is_seen(changed, why):
    rng = np.random.default_rng(0)
    described = alike(rng, 0, 5) | {"reads": circulant(rng, "dense", 5)}
    assert Circulant.of(LinearEcosystem(**described).specification.conditioned) is not None
    described |= {"generated": changed.get("private", described["generated"])} | changed
    assert Circulant.of(LinearEcosystem(**described).specification.conditioned) is None, why


def test_the_row_of_a_sparse_circulant_has_each_author_once():
    K = 6
    readers, steps = np.repeat(np.arange(K), 3), np.tile([1, 1, 4], K)
    twice = scipy.sparse.coo_array((np.tile([0.25, 0.25, 0.5], K), (readers, (readers + steps) % K)), shape=(K, K))
    assert circulant_row(read_weights(twice, K)) == pytest.approx([0, 0.5, 0, 0, 0.5, 0])
    moved = scipy.sparse.csr_array(np.roll(np.eye(K), 1, axis=1)[[0, 1, 2, 3, 5, 4]])
    assert circulant_row(read_weights(moved, K)) is None


def test_a_ring_of_a_hundred_thousand_has_the_error_of_one_far_smaller():
    """A ring's messages forget after some dozens of places, so that its length does not matter."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((8, 3))
    errors, apart = [], []
    for K in (100, 100_000):
        k = np.arange(K)
        ring = scipy.sparse.csr_array((np.ones(K), (k, (k + 1) % K)), shape=(K, K))
        eco = LinearEcosystem(np.broadcast_to(rows.T @ rows, (K, 3, 3)), np.eye(3), reads=ring, alpha=0.4)
        limit = eco.limit()
        errors.append(limit.mse[[0, -1]])
        apart.append(limit.dispersion * (K - 1) / K)
    assert errors[1] == pytest.approx(errors[0], rel=1e-10)
    assert limit.covariance.strides[0] == 0
    with pytest.raises(InvalidInput, match="K is 100000"):
        _ = limit.gain_norms


@pytest.mark.parametrize("fresh", [False, True])
def test_means_of_too_many_messages_are_those_of_few(fresh, seed, monkeypatch):
    rng = np.random.default_rng([seed, fresh])
    K = 9
    described = random_ecosystem(seed, "0.6", "0.4", K=K, d=3, fresh=fresh, other_start=True)
    weights = rng.dirichlet(np.ones(K), K) * (rng.uniform(size=(K, K)) < 0.5) + np.eye(K)
    described |= {"reads": scipy.sparse.csr_array(weights / weights.sum(axis=1, keepdims=True))}
    eco = LinearEcosystem(**described)
    wanted, path = eco.limit(), eco.moments([3, 0, 1])
    monkeypatch.setattr(network_below, "LARGE", 1)
    for module in (network_below, network_moments, lifted):
        monkeypatch.setattr(module, "LARGEST", 1)
    found = eco.limit()
    assert found.spectral_radius == pytest.approx(wanted.spectral_radius, rel=1e-9)
    assert (found.unbiased == wanted.unbiased).all()
    agree([found.mean, found.bias_squared], [wanted.mean, wanted.bias_squared])
    later = eco.moments([3, 0, 1])
    agree([later.mean, later.bias_squared], [path.mean, path.bias_squared])
    data = rng.standard_normal((K + 1, 3))
    for ask in (
        lambda: found.variance, lambda: found.mse, lambda: found.covariance, lambda: found.dispersion,
        lambda: found.influence, lambda: found.given(data), lambda: later.mse,
    ):  # fmt: skip
        with pytest.raises(InvalidInput, match=r"K d is 27.* only means"):
            ask()


def communities(rng, options, K=150, rows=2, d=6):
    """Communities whose data have few rows, given as features and as Gram matrices."""
    features, public, fresh = (rng.standard_normal(shape) for shape in ((K, rows, d), (9, d), (4, d)))
    described = {
        "reads": (np.eye(3)[rng.integers(0, 3, K)], rng.dirichlet(np.full(K, 0.5), 3)),
        "sigma": 1.3, "sigma_generated": 0.7, "truth_public": rng.standard_normal(d),
    } | options  # fmt: skip
    if described.pop("own", False):
        described["truths"] = rng.standard_normal((K, d))
    given = {} if "fresh_fraction" not in options else {"fresh": fresh}
    squares = {} if not given else {"fresh": fresh.T @ fresh}
    return (
        LinearEcosystem.from_features(features, public, **described, **given),
        LinearEcosystem(features.swapaxes(1, 2) @ features, public.T @ public, **described, **squares),
    )


@pytest.mark.parametrize(
    "options",
    [{}, {"own": True}, {"fresh_fraction": 0.2, "own": True}, {"history": "accumulate"}, {"alpha": 0.9, "beta": 0.2}],
    ids=str,
)
def test_communities_of_few_rows_have_the_errors_of_their_gram_matrices(options, seed):
    features, grams = communities(np.random.default_rng(seed), options)
    spec = features.specification.conditioned
    few = ChannelSystem(spec, Channels.of(spec)).few_rows
    assert few.sums(Estimates.expected(spec)) is not None
    data = np.random.default_rng(seed).standard_normal((151, 6))
    found, wanted = features.limit(), grams.limit()
    assert found.spectral_radius == pytest.approx(wanted.spectral_radius, rel=1e-10)
    assert (found.unbiased == wanted.unbiased).all()
    agree([found.variance, *everything(found, data)], [wanted.variance, *everything(wanted, data)])
    generations = [0, 1, 3]
    agree(everything(features.moments(generations), data), everything(grams.moments(generations), data))
    agree([features.moments([4]).variance], [grams.moments([4]).variance])


@pytest.mark.parametrize(
    "options",
    [{"alpha": np.linspace(0.3, 0.5, 150)}, {"every": 2, "phase": np.arange(150) % 2}, {"beta": 1.0, "alpha": 1e-9}],
    ids=["own weights", "clocks", "few digits"],
)
def test_where_few_rows_are_no_help_the_other_way_is_taken(options, seed):
    features, grams = communities(np.random.default_rng(seed), options)
    agree([features.limit().variance], [grams.limit().variance])
