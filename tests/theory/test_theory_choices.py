"""The best of what is left free: known answers, all of the freedoms, and each entity's own weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ecosystems import random_ecosystem

from crossfeed.errors import InvalidInput
from crossfeed.theory import (
    Criterion,
    LinearEcosystem,
    Weights,
    best_choice,
    nash_points,
    nash_weights,
    objective_value,
    optimal_weights,
    random_features,
)
from crossfeed.theory.fronts import dispersion_front
from crossfeed.theory.objectives import criterion_value
from crossfeed.theory.schedules import best_schedule, schedule_value


@pytest.fixture(scope="module")
def unequal():
    drawn = random_features(entities=3, dimension=6, rank=2, rows=4, seed=0, public_rank=6)
    return LinearEcosystem.from_features(drawn.private, drawn.public, shares=[0.75, 0.125, 0.125])


@pytest.mark.parametrize("ratio", [0.25, 0.5, 1, 2, 4])
def test_the_best_fresh_fraction_of_a_chain_is_the_closed_form(ratio):
    """v = w^2/n + (1 - w)^2 (v + 1/(k n)) is least where k w^2 + w = 1; the golden ratio for k = 1."""
    real, made = 10.0, 10.0 * ratio
    eco = LinearEcosystem([[[made]]], [[1.0]], alpha=1.0, beta=0.5, fresh=[[real]], fresh_fraction=0.5)
    phi = best_choice(eco, ["fresh_fraction"]).weights.fresh_fraction
    weight = phi * real / (phi * real + (1 - phi) * made)
    assert weight == pytest.approx((np.sqrt(1 + 4 * ratio) - 1) / (2 * ratio), abs=1e-6)


@pytest.mark.parametrize(("entities", "wanted"), [(1, 0.618034), (2, 0.5), (5, 0.358258)])
def test_equal_models_on_one_pool_want_less_fresh_data(entities, wanted):
    """K w^2 + w = 1: what K models publish is worth K times the rows of one."""
    grams = np.full((entities, 1, 1), 7.0)
    eco = LinearEcosystem(grams, [[1.0]], alpha=1.0, beta=0.5, fresh=[[7.0]], fresh_fraction=0.1)
    assert best_choice(eco, ["fresh_fraction"]).weights.fresh_fraction == pytest.approx(wanted, abs=1e-6)


def test_own_weights_are_no_worse_than_common_ones_and_selfish_ones(unequal):
    common, own = optimal_weights(unequal), best_choice(unequal, per_entity=True)
    play = nash_points(unequal)
    assert own.value < common.value * (1 - 1e-3)
    assert own.value < play.first.mse.mean() * (1 - 1e-3)
    assert own.value == pytest.approx(objective_value(unequal.with_choice(own.weights)), rel=1e-12)
    assert own.mse == pytest.approx(unequal.with_choice(own.weights).limit().mse)
    rng = np.random.default_rng(0)
    for size in (0.1, 0.01, 1e-3):
        for _ in range(20):
            alpha, beta = (
                np.clip(each + size * rng.standard_normal(3), 0, 1) for each in (own.weights.alpha, own.weights.beta)
            )
            assert objective_value(unequal.with_weights(alpha, beta)) >= own.value * (1 - 1e-12)


@pytest.mark.parametrize("objective", ["mean", "worst", 2])
@pytest.mark.parametrize("seed", range(3))
def test_nothing_nearby_beats_a_choice_of_everything(seed, objective):
    given = random_ecosystem(seed, shares="unequal", fresh=True, other_features=False) | {"public": np.eye(4)}
    eco, criterion = LinearEcosystem(**given), Criterion(objective, dispersion=0.2, fresh=0.5)
    free = ("alpha", "beta", "fresh_fraction", "shares")
    best = best_choice(eco, free, criterion, per_entity=True)
    assert best.value <= criterion_value(eco, criterion)
    assert best.value == pytest.approx(criterion_value(eco.with_choice(best.weights), criterion), rel=1e-9)
    rng = np.random.default_rng(seed)
    for _ in range(30):
        w = best.weights
        alpha, beta = (np.clip(each + 0.01 * rng.standard_normal(3), 0, 1) for each in (w.alpha, w.beta))
        shares = np.clip(w.shares + 0.01 * rng.standard_normal(3), 0, 1)
        moved = Weights(
            alpha, beta, shares / shares.sum(), float(np.clip(w.fresh_fraction + 0.01 * rng.standard_normal(), 0, 1))
        )
        assert criterion_value(eco.with_choice(moved), criterion) >= best.value * (1 - 1e-5)


def test_what_is_not_free_stays(unequal):
    eco = unequal.with_weights(np.array([0.1, 0.2, 0.3]), np.array([0.4, 0.5, 0.6]))
    best = best_choice(eco, ["alpha"], per_entity=True, held=[1]).weights
    assert best.alpha[1] == 0.2
    assert best.alpha[0] != 0.1
    np.testing.assert_array_equal(best.beta, [0.4, 0.5, 0.6])
    np.testing.assert_array_equal(best.shares, [0.75, 0.125, 0.125])


def test_a_price_on_dispersion_brings_models_together(unequal):
    near, far = (best_choice(unequal, objective=Criterion(dispersion=price)) for price in (1.0, -0.2))
    apart = [unequal.with_choice(each.weights).limit().dispersion for each in (near, best_choice(unequal), far)]
    assert apart[0] < apart[1] < apart[2]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"free": ["gamma"]}, "gamma"),
        ({"free": []}, "nothing"),
        ({"held": [3]}, "held"),
        ({"free": ["fresh_fraction"]}, "fresh"),
        ({"objective": Criterion(dispersion=np.inf)}, "prices"),
        ({"objective": 7}, "objective"),
    ],
)
def test_what_cannot_be_chosen_is_refused(unequal, arguments, word):
    with pytest.raises(InvalidInput, match=word):
        best_choice(unequal, **arguments)


def test_weights_that_change_are_no_start(unequal):
    with pytest.raises(InvalidInput, match="constant"):
        best_choice(unequal.with_weights(lambda t: 1 / t, 0.5))


# ----- selfish play


def test_no_reply_from_anywhere_pays_at_a_nash_point(unequal):
    play = nash_points(unequal)
    assert not play.unsettled
    for point in play.points:
        standing = Weights(point.alpha, point.beta, unequal.shares, 0.0)
        for k in range(3):
            for alpha in np.linspace(0, 1, 26):
                for beta in np.linspace(0, 1, 26)[:: 5 if alpha in (0, 1) else 1]:
                    own = np.arange(3) == k
                    moved = replace(
                        standing, alpha=np.where(own, alpha, point.alpha), beta=np.where(own, beta, point.beta)
                    )
                    if own.all() or (alpha, beta) == (0, 1):
                        continue
                    assert objective_value(unequal.with_choice(moved), k) >= point.mse[k] * (1 - 1e-8)


def test_play_that_goes_round_is_told():
    """Each has data in one direction, and wants to read the other's model only if that one does not read its own."""
    private = np.array([np.diag([1.0, 0.05]), np.diag([0.05, 1.0])])
    generated = np.array([np.eye(2)] * 2)
    play = nash_points(LinearEcosystem(private, 0.02 * np.eye(2), generated, sigma_generated=0.0), max_rounds=3)
    assert not play.points
    assert len(play.unsettled) == play.starts == 3
    assert play.first is play.unsettled[0]


def test_play_that_is_stopped_has_no_regret_told(unequal):
    stopped = nash_weights(unequal, max_rounds=1)
    assert not stopped.settled
    assert np.isnan(stopped.regret).all()


# ----- over a horizon


@pytest.mark.parametrize("over", ["last", "mean"])
def test_a_schedule_is_worth_what_its_moments_say(unequal, over):
    best = best_schedule(unequal, 4, over=over)
    steady = best_schedule(unequal, 4, over=over, constant=True)
    own = best_schedule(unequal, 4, over=over, per_entity=True)
    assert own.value <= best.value * (1 + 1e-9)
    assert best.value <= steady.value * (1 + 1e-9)
    assert (steady.alpha[1:] == steady.alpha[1, 0]).all()
    for each in (best, steady, own):
        played = unequal.with_weights(lambda t, each=each: each.alpha[t], lambda t, each=each: each.beta[t])
        mse = played.moments(range(5)).mse
        np.testing.assert_allclose(each.mse, mse, rtol=1e-6)
        assert each.value == pytest.approx(mse[4].mean() if over == "last" else mse[1:].mean(), rel=1e-6)


def test_the_worst_and_the_price_over_a_horizon(unequal):
    mean, worst = best_schedule(unequal, 3), best_schedule(unequal, 3, objective="worst")
    assert worst.mse[3].max() <= mean.mse[3].max() * (1 + 1e-6)
    near = best_schedule(unequal, 3, objective=Criterion(dispersion=1.0))
    assert near.mse[3].mean() > mean.mse[3].mean()


def test_a_long_horizon_of_constant_weights_is_the_limit(unequal):
    best, common = best_schedule(unequal, 200, constant=True), optimal_weights(unequal)
    assert best.value == pytest.approx(common.value, rel=1e-7)
    assert best.alpha[1, 0] == pytest.approx(common.alpha, abs=1e-3)
    weights = replace(Weights.of(unequal.specification), alpha=best.alpha[1], beta=best.beta[1])
    assert schedule_value(unequal, 200, weights) == pytest.approx(best.value)


@pytest.mark.parametrize(
    ("horizon", "over", "word"), [(0, "last", "horizon"), (2, "first", "over"), (1.5, "mean", "horizon")]
)
def test_what_is_no_horizon_is_refused(unequal, horizon, over, word):
    with pytest.raises(InvalidInput, match=word):
        best_schedule(unequal, horizon, over=over)


def test_a_front_has_less_error_than_all_common_weights_of_its_dispersion(unequal):
    front = dispersion_front(unequal)
    assert (np.diff(front.dispersion) > 0).all()
    assert front.error.min() == pytest.approx(optimal_weights(unequal).value, rel=1e-9)
    for alpha in np.linspace(0.05, 0.9, 12):
        for beta in np.linspace(0.05, 0.95, 12):
            limit = unequal.with_weights(alpha, beta).limit()
            if front.dispersion[0] < limit.dispersion < front.dispersion[-1]:
                least = np.interp(limit.dispersion, front.dispersion, front.error)
                assert limit.mse.mean() > least * (1 - 0.02)  # lines between the points are above a convex front
