"""The best weights, the price of missing them, and selfish play."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed.errors import InvalidInput
from crossfeed.theory import (
    LinearEcosystem,
    best_reply,
    landscape,
    limiting_mse,
    nash_weights,
    objective_value,
    optimal_weights,
    random_features,
)


@pytest.fixture(scope="module")
def eco():
    drawn = random_features(entities=3, dimension=6, rank=2, rows=4, seed=0, public_rank=6)
    return LinearEcosystem.from_features(drawn.private, drawn.public)


@pytest.mark.parametrize("objective", ["mean", "worst", 1])
def test_no_weights_nearby_or_on_a_fine_grid_beat_the_optimum(eco, objective):
    best = optimal_weights(eco, objective)
    grid = landscape(eco, np.linspace(0, 0.99, 23), np.linspace(0, 1, 23), objective)
    assert best.value <= grid.values.min() * (1 + 1e-6)
    assert best.value == pytest.approx(objective_value(eco.with_weights(best.alpha, best.beta), objective))
    assert (best.price(grid.values) >= -1e-6).all()
    assert best.price(2 * best.value) == pytest.approx(1)


def test_objectives_reduce_the_same_errors(eco):
    mse = limiting_mse(eco)
    assert objective_value(eco, "mean") == pytest.approx(mse.mean())
    assert objective_value(eco, "worst") == mse.max()
    assert objective_value(eco, 2) == mse[2]


def test_one_entity_with_all_the_data_needs_no_pool():
    """Its best is least squares on everything: alpha = 0, beta = 1/2, the pooled variance."""
    rng = np.random.default_rng(1)
    private, public = rng.standard_normal((1, 20, 3)), rng.standard_normal((30, 3))
    best = optimal_weights(LinearEcosystem.from_features(private, public))
    pooled = private[0].T @ private[0] + public.T @ public
    assert best.value == pytest.approx(np.trace(np.linalg.inv(pooled)), rel=1e-9)
    assert best.alpha == pytest.approx(0, abs=1e-4)
    assert best.beta == pytest.approx(0.5, abs=1e-3)


def test_the_landscape_is_infinite_where_there_is_no_limit(eco):
    assert np.isinf(landscape(eco, [1.0], [0.5]).values).all()


def test_at_the_nash_point_nobody_gains_by_moving(eco):
    point = nash_weights(eco)
    assert point.settled
    standing = eco.with_weights(point.alpha, point.beta)
    assert point.mse == pytest.approx(standing.limit().mse)
    for k in range(3):
        for alpha, beta in np.random.default_rng(k).uniform(size=(40, 2)):
            own = np.arange(3) == k
            moved = eco.with_weights(np.where(own, alpha, point.alpha), np.where(own, beta, point.beta))
            assert moved.limit().mse[k] >= point.mse[k] * (1 - 1e-6)


def test_play_that_is_stopped_says_so(eco):
    assert not nash_weights(eco, max_rounds=1).settled


def test_best_reply_moves_only_that_entity(eco):
    alpha, beta = best_reply(eco, 1)
    own = np.arange(3) == 1
    replied = eco.with_weights(np.where(own, alpha, 0.5), np.where(own, beta, 0.5))
    assert replied.limit().mse[1] < eco.limit().mse[1]


def test_undetermined_directions_are_refused():
    private, public = np.diag([1.0, 0.0, 0.0])[None], np.diag([0.0, 1.0, 0.0])
    with pytest.raises(InvalidInput, match="undetermined"):
        optimal_weights(LinearEcosystem(private, public))
    given = LinearEcosystem(private, public, truth_public=np.ones(3))
    assert optimal_weights(given).value >= 1


@pytest.mark.parametrize("objective", ["median", 3, -1, None])
def test_an_unknown_objective_is_refused(eco, objective):
    with pytest.raises(InvalidInput, match="objective"):
        optimal_weights(eco, objective)


def test_random_features():
    drawn = random_features(entities=3, dimension=8, rank=2, rows=5, seed=4, public_rank=3)
    assert drawn.private.shape == (3, 5, 8)
    assert [np.linalg.matrix_rank(X) for X in (*drawn.private, drawn.public)] == [2, 2, 2, 3]
    again = random_features(entities=5, dimension=8, rank=2, rows=5, seed=4, public_rank=3)
    assert (again.private[:3] == drawn.private).all()
    assert (again.public == drawn.public).all()
    assert not np.allclose(random_features(3, 8, 2, 5, seed=5).private, drawn.private)
    np.testing.assert_array_equal(random_features(2, 8, 2, 5, seed=4, first=1).private, drawn.private[1:])


@pytest.mark.parametrize("wrong", [{"rank": 6}, {"rank": 0}, {"entities": 1.5}, {"seed": -1}, {"public_rank": 9}])
def test_random_features_refuses(wrong):
    with pytest.raises(InvalidInput, match=next(iter(wrong))):
        random_features(**{"entities": 2, "dimension": 8, "rank": 2, "rows": 5, "seed": 0} | wrong)


def test_rounding_beside_an_edge_is_no_optimum():
    """Just below beta = 1 the public data decide what private data of rank 5 leave open, whatever they weigh."""
    private = [random_features(1, 15, 5, 15, seed).private[0] for seed in (1, 2, 3, 4)]
    public = random_features(1, 15, 15, 15, 5, public_rows=15).public
    truth = np.random.default_rng(0).standard_normal(15)
    eco = LinearEcosystem.from_features(private, public, truth_public=truth / np.linalg.norm(truth))
    best = optimal_weights(eco)
    assert 0 < best.value <= best.landscape.values.min()
    beside = [objective_value(eco.with_weights(0.5, 1.0 - weight)) for weight in (1e-5, 1e-6, 1e-9, 1e-12, 1e-15)]
    assert beside == pytest.approx([beside[-1]] * 5, rel=2e-3)
    assert beside[2:] == pytest.approx([beside[-1]] * 3, rel=1e-6)


def test_an_optimum_near_an_edge_is_found():
    """A crowd's best beta is nearer to 1 than the grid is wide."""
    private = np.random.default_rng(0).standard_normal((300, 5, 15))
    eco = LinearEcosystem.from_features(private, np.random.default_rng(1).standard_normal((30, 15)))
    best = optimal_weights(eco)
    assert 0.95 < best.beta < 0.99
    assert best.value < eco.with_weights(best.alpha, 1.0).limit().mse.mean() * 0.99
