"""The best mixes by a surrogate, against a search over a grid by the same surrogate."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed.forecasting.ecology import conditions_of
from crossfeed.forecasting.identification import identify
from crossfeed.forecasting.mixes import best_common, best_own, mixed, private_losses
from tests.forecasting.ecologies import Truth, cell

GENERATIONS = 3


@pytest.fixture(scope="module")
def identified():
    return identify(Truth(3, ((1.0, 0.5, 1), (0.0, 1.0, 1)), unowned=False).observations)


@pytest.fixture(scope="module")
def own(identified):
    return identified.observations.ecology.own.tolist()


@pytest.fixture(scope="module")
def like(identified):
    return cell(identified.observations.ecology, 0.6, 0.3, GENERATIONS)


@pytest.fixture(scope="module")
def experiment(fake):
    return fake("grid={}", "ecosystem.alpha=0.6", "ecosystem.beta=0.3", f"generations={GENERATIONS}")


@pytest.fixture(scope="module")
def common(identified, like, experiment, own):
    return best_common(identified, like, experiment, own)


def value_of(identified, like, experiment, own, alpha, beta):
    """The mean of the last losses of all models on private tasks, for weights by entity."""
    weights = (np.broadcast_to(each, len(own)) for each in (alpha, beta))
    (losses,) = identified.forecast([mixed(like, experiment, own, *weights)])
    return losses[-1][:, sorted(set(own))].mean()


def test_the_best_common_mix_beats_every_cell_of_a_grid(identified, like, experiment, own, common):
    cells = [(a, b) for a in np.linspace(0, 1, 11) for b in np.linspace(0, 1, 11)]
    values = [value_of(identified, like, experiment, own, *each) for each in cells]
    assert common.value <= min(values) * (1 + 1e-12)
    assert max(values) > 1.02 * min(values)  # there is something to choose


def test_a_best_mix_has_the_value_of_its_weights(identified, like, experiment, own, common):
    assert list(common.alpha) == list(common.beta) == list(experiment.ecosystem.names)
    (alpha,), (beta,) = set(common.alpha.values()), set(common.beta.values())
    assert common.value == pytest.approx(value_of(identified, like, experiment, own, alpha, beta), rel=1e-12)
    assert common.described == pytest.approx(value_of(identified, like, experiment, own, 0.6, 0.3), rel=1e-12)
    assert common.lower < common.value < common.upper
    assert common.lower * common.upper == pytest.approx(common.value**2)


def test_mixes_of_their_own_are_no_worse_than_common_ones(identified, like, experiment, own, common):
    each = best_own(identified, like, experiment, own, common)
    assert each.value <= common.value * (1 + 1e-12)
    alpha, beta = (np.array(list(weights.values())) for weights in (each.alpha, each.beta))
    assert each.value == pytest.approx(value_of(identified, like, experiment, own, alpha, beta), rel=1e-12)
    for k in range(len(own)):  # no entity gains anything for all by a step of its own on the grid that is searched
        for other in np.linspace(0, 1, 6):
            there = np.where(np.arange(len(own)) == k, other, alpha)
            assert each.value <= value_of(identified, like, experiment, own, there, beta) * (1 + 1e-12)


def test_the_best_mix_does_not_depend_on_the_one_that_is_described(identified, experiment, own, common):
    other = cell(identified.observations.ecology, 0.1, 0.9, GENERATIONS)
    again = best_common(identified, other, experiment, own)
    assert (again.alpha, again.beta, again.value) == (common.alpha, common.beta, common.value)
    assert again.described != common.described


@pytest.mark.parametrize("fresh", [0.0, 0.3])
@pytest.mark.parametrize("history", ["latest", "accumulate"])
def test_a_mix_is_that_of_an_ecosystem_with_its_weights(fake, fresh, history):
    alpha, beta = np.array([0.2, 0.7]), np.array([1.0, 0.4])
    overrides = [
        f"ecosystem.entities.{k}.{name}={w[k]}" for k in range(2) for name, w in (("alpha", alpha), ("beta", beta))
    ]
    rest = ("grid={}", "ecosystem.entities.0.share=3", f"ecosystem.fresh_fraction={fresh}", "generations=3")
    history = f"ecosystem.history={history}"
    described = fake(*rest, history, "ecosystem.alpha=[0.9, 0.1]")
    with_weights = fake(*rest, history, *overrides)
    own = [1, 0]
    like, expected = (conditions_of(each, own, 3, lambda t, k: 5.0 * t + k) for each in (described, with_weights))
    found = mixed(like, described, own, alpha, beta)
    for name in ("real", "synthetic", "steps"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-15)
    assert found.accumulates == expected.accumulates == (history == "ecosystem.history=accumulate")


def test_private_losses_are_those_on_owned_tasks():
    losses = np.array([[1.0, 2.0, 3.0, 4.0], [5.0, np.nan, 7.0, 8.0]])
    np.testing.assert_array_equal(private_losses(losses, [1, 0]), [1, 2, 5])
    np.testing.assert_array_equal(private_losses(losses, [2, 2]), [3, 7])
