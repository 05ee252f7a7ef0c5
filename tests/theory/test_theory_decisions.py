"""Decisions that rounding cannot turn: what is unbiased, how estimates grow, what agrees, what stays as it is."""

from __future__ import annotations

import numpy as np
import pytest
from ecosystems import SHARES, random_ecosystem, random_grams
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from lifted import Lifted

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem, limiting_mse, optimal_weights, pooled_mse, random_features

SEEDS = st.integers(0, 2**32)


def low_rank():
    """Public data of rank one: at beta = 0 most directions are those of generation 0 for ever."""
    drawn = random_features(2, 3, 2, 3, seed=0, public_rank=1)
    return LinearEcosystem.from_features(drawn.private, drawn.public, sigma_generated=0.0)


def test_a_biased_limit_is_no_optimum():
    eco = low_rank()
    best = optimal_weights(eco)
    assert best.value == pytest.approx(1.4715, abs=1e-3)
    assert (best.alpha, best.beta) == pytest.approx((0.860, 0.622), abs=2e-3)
    assert np.isinf(limiting_mse(eco.with_weights(0.4, 0.0))).all()
    assert best.price(limiting_mse(eco).mean()) == pytest.approx(0.046, abs=1e-3)


@settings(max_examples=150, deadline=None)
@given(
    seed=SEEDS,
    alpha=st.sampled_from(["0", "0.4", "1", "per entity"]),
    beta=st.sampled_from(["0", "0.5", "1", "per entity"]),
    rank=st.integers(1, 4),
    shares=st.sampled_from(SHARES),
    history=st.sampled_from(["latest", "accumulate"]),
    fresh=st.booleans(),
    other_features=st.booleans(),
    other_start=st.booleans(),
    noise=st.sampled_from([0.0, 0.7]),
)
def test_what_is_unbiased_has_no_bias_under_any_truth(seed, noise, **kind):
    description = random_ecosystem(seed, own_truths=False, **kind) | {"sigma_generated": noise}
    assume(Lifted(**description).is_clear(1))
    truths = np.random.default_rng(seed + 1).standard_normal((3, 4))
    limits = [LinearEcosystem(**description | {"truth_public": truth}).limit() for truth in truths]
    if not limits[0].converges:
        assert not limits[0].unbiased.any()
        return
    assume(limits[0].spectral_radius < 1 - 1e-6 or limits[0].spectral_radius > 1 - 1e-10)
    biases = np.array([limit.bias_squared for limit in limits]).max(axis=0)
    np.testing.assert_array_equal(limits[0].unbiased, biases < 1e-9)


@pytest.mark.parametrize("private", [np.stack([np.eye(2), 2 * np.eye(2)])])
def test_generation_0_may_be_kept_without_a_bias(private):
    eco = LinearEcosystem(private, np.eye(2), alpha=1.0, beta=1.0, sigma_generated=0.0)
    assert eco.limit().mse == pytest.approx([2 / 3, 2 / 3])
    assert eco.relative_efficiency() == pytest.approx([0.75, 0.75])


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, K=st.integers(1, 4))
def test_where_all_is_unbiased_the_efficiency_is_that_of_the_errors(seed, K):
    rng = np.random.default_rng(seed)
    eco = LinearEcosystem(
        random_grams(rng, K, 3, 3), random_grams(rng, 1, 3, 3)[0], alpha=1.0, beta=1.0, sigma_generated=0.0
    )
    assert eco.relative_efficiency() == pytest.approx(pooled_mse(eco) / eco.limit().mse, rel=1e-12)
    assert (eco.relative_efficiency() > 0).all()


@settings(max_examples=200, deadline=None)
@given(seed=SEEDS, noise=st.sampled_from([0.0, 1.0]))
@example(seed=138, noise=1.0)
@example(seed=161, noise=1.0)
def test_data_that_are_not_heard_force_nothing(seed, noise):
    """Published features see a direction that private data leave free, and nobody else speaks of it."""
    rng = np.random.default_rng(seed)
    eco = LinearEcosystem.from_features(
        rng.standard_normal((1, 2, 3)),
        np.zeros((1, 3)),
        generated=rng.standard_normal((1, 1, 3)),
        initial_beta=0.0,
        sigma_generated=noise,
    )
    assume(np.linalg.cond(eco.private.all()[0] + eco.generated.all()[0]) < 1e7)
    limit = eco.limit()
    assert limit.converges if noise == 0 else limit.growth.law == "linear"


@pytest.mark.parametrize("weight", [1e-3, 1e-5, 1e-7, 1e-8, 1e-9])
@pytest.mark.parametrize("own_truths", [False, True])
@pytest.mark.parametrize("history", ["latest", "accumulate"])
def test_dispersion_keeps_its_digits_near_a_consensus(weight, own_truths, history):
    """Over the real data's weight it tends to a number, as a difference of two estimates over itself does."""
    rng = np.random.default_rng(1)
    private, public = random_grams(rng, 3, 4, 4), random_grams(rng, 1, 4, 4)[0]
    truths = {"truths": rng.standard_normal((3, 4)), "truth_public": np.zeros(4)} if own_truths else {}

    def over_its_order(w):
        eco = LinearEcosystem(private, public, alpha=1.0 - w, history=history, **truths)
        return eco.limit().dispersion / (w if history == "latest" else w**2)

    assert over_its_order(weight) == pytest.approx(over_its_order(1e-6), rel=2e-4 + 200 * weight)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, K=st.integers(2, 5), graded=st.booleans())
def test_dispersion_is_the_mean_over_all_pairs(seed, K, graded):
    description = random_ecosystem(seed, K=K, rank=2, alpha="per entity") | ({"beta": 1.0 - 1e-6} if graded else {})
    twin = Lifted(**description)
    assume(twin.is_clear(1) or graded)
    (mean,), (joint,) = twin.moments([3])
    pairs = [(k, j) for k in range(K) for j in range(k)]
    apart = []
    for k, j in pairs:
        gap = np.zeros((4, 4 * K))
        gap[:, 4 * k : 4 * k + 4], gap[:, 4 * j : 4 * j + 4] = np.eye(4), -np.eye(4)
        apart.append(np.trace(gap @ joint @ gap.T) + ((mean[k] - mean[j]) ** 2).sum())
    found = LinearEcosystem(**description).moments([3]).dispersion[0]
    assert found == pytest.approx(np.mean(apart), rel=1e-6 if not graded else 1e-3)


def test_efficiency_where_truths_differ_compares_one_model_for_all():
    private, truths = np.stack([np.eye(2), 2 * np.eye(2)]), np.eye(2)
    alone = {"alpha": 0.0, "beta": 1.0, "truths": truths, "truth_public": [0.5, 0.5]}
    noisy = LinearEcosystem(private, np.eye(2), sigma=0.1, **alone)
    assert noisy.limit().mse == pytest.approx([0.02, 0.01])
    assert noisy.relative_efficiency() == pytest.approx(pooled_mse(noisy) / [0.02, 0.01])
    assert (noisy.relative_efficiency() > 1).all()
    assert np.isinf(LinearEcosystem(private, np.eye(2), sigma=0.0, **alone).relative_efficiency()).all()


def test_without_any_error_nothing_is_lost():
    """Both errors are zero but for rounding, whose ratio says nothing."""
    rows = np.random.default_rng(0).standard_normal((3, 5, 2))
    eco = LinearEcosystem.from_features(rows[:2], rows[2], alpha=0.4, sigma=0.0, truth_public=[0.5, 0.3])
    assert eco.limit().mse == pytest.approx([0, 0], abs=1e-25)
    np.testing.assert_array_equal(eco.relative_efficiency(), [1.0, 1.0])


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    features=st.booleans(),
    schedule=st.booleans(),
    history=st.sampled_from(["latest", "accumulate"]),
    weak=st.floats(1e-4, 1.0),
)
def test_what_is_kept_for_ever_does_not_drift(seed, features, schedule, history, weak):
    """At alpha = 1 without noise every generation repeats the first, whatever the condition number."""
    rng = np.random.default_rng(seed)
    turn, sizes = np.linalg.qr(rng.standard_normal((3, 3)))[0], np.geomspace(1.0, weak, 3)
    private, public = (rng.standard_normal((n, 6, 3)) * sizes @ turn.T for n in (2, 1))
    given = private, public[0]
    if not features:
        given = private.swapaxes(1, 2) @ private, public[0].T @ public[0]
    make = LinearEcosystem.from_features if features else LinearEcosystem
    eco = make(
        *given,
        alpha=(lambda t: 1.0) if schedule else 1.0,
        sigma_generated=0.0,
        truth_public=[1.0, 2.0, 3.0],
        history=history,
    )
    mse = eco.moments([1, 10, 300]).mse
    assert mse[1:] == pytest.approx(np.broadcast_to(mse[0], (2, 2)), rel=1e-9)


@pytest.mark.parametrize("failure", [ZeroDivisionError, IndexError, TypeError])
def test_a_schedule_that_fails_is_named(failure):
    def beta(t):
        raise failure("no")

    with pytest.raises(InvalidInput, match=rf"beta\(0\) failed with {failure.__name__}: no; give initial_beta"):
        LinearEcosystem(np.eye(2)[None], np.eye(2), beta=beta)
    later = LinearEcosystem(np.eye(2)[None], np.eye(2), beta=beta, initial_beta=0.5)
    with pytest.raises(InvalidInput, match=r"beta\(1\) failed"):
        later.moments([2])


def test_fresh_data_are_heard_or_refused():
    data = {"private": np.eye(2)[None], "public": np.eye(2), "fresh": np.eye(2)}
    with pytest.raises(InvalidInput, match="give fresh_fraction"):
        LinearEcosystem(**data)
    assert LinearEcosystem(**data, fresh_fraction=0.0).fresh_fraction == 0.0


def test_influence_is_a_share_under_every_name():
    eco = LinearEcosystem(**random_ecosystem(3))
    found = eco.influence([0, 2])
    np.testing.assert_allclose(found.sum(axis=2), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(found, eco.moments([0, 2]).influence)
    norms = eco.limit().gain_norms
    np.testing.assert_allclose(eco.limit().influence, norms / norms.sum(axis=1, keepdims=True), rtol=1e-12)
