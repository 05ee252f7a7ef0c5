"""Identification: derivatives, recovery of ecosystems that are surrogates themselves, and how sure it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crossfeed.forecasting import identification
from crossfeed.forecasting.identification import _Problem, identify
from crossfeed.forecasting.parameters import layout_of
from tests.forecasting.ecologies import Truth, cell, random_parameters

PROBES = ((1.0, 0.5, 2), (0.0, 1.0, 2))


@pytest.fixture(scope="module")
def truth():
    return Truth(0, PROBES, unowned=False)


@pytest.fixture(scope="module")
def identified(truth):
    return identify(truth.observations)


@pytest.fixture(scope="module")
def unseen(truth):
    places = [(alpha, beta) for alpha in (0.25, 0.5, 0.75) for beta in (0.25, 0.5, 0.75)]
    return [cell(truth.ecology, *place, 4) for place in places]


def moved(losses):
    return np.abs(np.log(losses[1:] / losses[0]))


@pytest.mark.parametrize("seed", range(3))
def test_derivatives_are_those_of_central_differences(seed):
    truth = Truth(seed, ((0.5, 0.5, 2, True), (1.0, 0.5, 1)), unowned=seed != 0)
    layout = layout_of(truth.ecology, truth.observations.first)
    problem = _Problem(truth.observations, layout)
    (x,) = random_parameters(np.random.default_rng(seed), layout)
    step = 1e-5
    ends = [np.stack([problem.residuals(x + sign * step * unit) for unit in np.eye(len(x))]) for sign in (1, -1)]
    differences = ((ends[0] - ends[1]) / (2 * step)).T
    np.testing.assert_allclose(problem.jacobian(x), differences, rtol=1e-5, atol=1e-7)


def test_unseen_cells_of_an_ecosystem_that_is_a_surrogate_are_forecast(truth, identified, unseen):
    """From two paths of two generations, far closer than losses move (of 50 seeds, at most 0.4 % and 9 %)."""
    expected = truth.losses(unseen)
    errors = [np.abs(np.log(f / e))[1:] for f, e in zip(identified.forecast(unseen), expected, strict=True)]
    far = np.concatenate([moved(each).ravel() for each in expected])
    assert far.max() > 0.3
    assert np.median(errors) < 0.02
    assert np.max(errors) < 0.5 * far.max()
    assert identified.misfit < 0.01
    assert identified.observations.count == sum(
        curve.losses.size
        for curve in (
            truth.observations.initial,
            *(curve for path in truth.observations.paths for curve in path.curves),
        )
    )


def test_generation_0_is_forecast_as_it_was_measured(truth, identified, unseen):
    for losses, deviations in zip(identified.forecast(unseen), identified.deviations(unseen), strict=True):
        np.testing.assert_array_equal(losses[0], truth.observations.first)
        np.testing.assert_array_equal(deviations[0], 0)
        assert (deviations[1:] > 0).all()


def test_the_same_cell_among_others_is_forecast_alike(identified, unseen):
    short = unseen[0].until(2)
    together = identified.forecast([*unseen, short])
    (alone,) = identified.forecast([short])
    np.testing.assert_allclose(together[-1], alone, rtol=1e-12)
    np.testing.assert_allclose(together[0][:3], alone, rtol=1e-12)
    assert identified.forecast([]) == []


def test_deviations_are_those_of_a_linear_map_of_the_parameters(identified, unseen):
    """J C J^T, with J from differences of forecasts."""
    some, step = unseen[:2], 1e-5
    deviations = identified.deviations(some)

    def logarithms(parameters):
        return np.log(replace(identified, parameters=parameters).forecast(some))

    units = step * np.eye(len(identified.parameters))
    slopes = [
        (logarithms(identified.parameters + u) - logarithms(identified.parameters - u)) / (2 * step) for u in units
    ]
    variances = np.einsum("i...,ij,j...->...", slopes, identified.covariance, slopes)
    np.testing.assert_allclose(deviations, np.sqrt(variances), rtol=1e-4, atol=1e-9)


def test_the_covariance_is_that_of_the_curvature(truth, identified):
    problem = _Problem(truth.observations, layout_of(truth.ecology, truth.observations.first))
    slopes = problem.jacobian(identified.parameters)
    noise = slopes @ identified.covariance @ slopes.T  # a projection, in units of the noise
    np.testing.assert_allclose(noise @ noise, identification._NOISE**2 * noise, atol=1e-9)
    assert (np.linalg.eigvalsh(identified.covariance) > 0).all()


def test_of_many_parameters_deviations_come_from_directions_at_random(identified, unseen, monkeypatch):
    """A variance from 32 directions has a relative standard error of at most a quarter, its root of an eighth."""
    exact = np.array(identified.deviations(unseen))[:, 1:]
    monkeypatch.setattr(identification, "_EXACT", 0)
    drawn = np.array(identified.deviations(unseen))[:, 1:]
    error = 1 / np.sqrt(2 * identification._DRAWN)
    assert (drawn != exact).any()
    assert np.abs(drawn / exact - 1).max() < 5 * error
    monkeypatch.setattr(identification, "_DRAWN", 25 * identification._DRAWN)
    many = np.array(identified.deviations(unseen[:2]))[:, 1:]
    assert np.abs(many / exact[:2] - 1).max() < error


def hidden(observations, mask):
    """Observations that lack the ``(K, Q)`` losses of a mask, the base's as well."""

    def without(curve):
        return replace(curve, losses=np.where(mask, np.nan, curve.losses))

    ecology = replace(observations.ecology, base=np.where(mask, np.nan, observations.ecology.base))
    paths = [replace(path, curves=tuple(map(without, path.curves))) for path in observations.paths]
    return replace(observations, ecology=ecology, initial=without(observations.initial), paths=tuple(paths))


def test_what_is_not_measured_is_left_out(truth, unseen):
    """Each entity is measured on its own task and the public one, as with measured: own."""
    ecology = truth.ecology
    mask = np.ones(truth.observations.first.shape, dtype=bool)
    mask[np.arange(2), ecology.own] = mask[:, ecology.public] = False
    part = hidden(truth.observations, mask)
    assert part.count == truth.observations.count * (~mask).sum() // mask.size
    identified = identify(part)
    assert np.isfinite(identified.parameters).all()
    assert np.isfinite(identified.covariance).all()
    for losses, deviations, expected in zip(
        identified.forecast(unseen), identified.deviations(unseen), truth.losses(unseen), strict=True
    ):
        np.testing.assert_array_equal(np.isnan(losses), np.broadcast_to(mask, losses.shape))
        assert np.isfinite(deviations[:, ~mask]).all()
        errors = np.abs(np.log(losses / expected))[1:, ~mask]
        assert np.median(errors) < 0.3 * moved(expected)[:, ~mask].max()


def test_generation_0_alone_is_enough_to_begin(truth, unseen):
    """Without a path nothing but what is expected is known of generations t >= 1, and bands say so."""
    alone = identify(replace(truth.observations, paths=()))
    known = identify(truth.observations)
    assert np.median(alone.deviations(unseen)) > 2 * np.median(known.deviations(unseen))
