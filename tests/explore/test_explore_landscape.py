"""The map that is computed in slices is the map that theory computes at once."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed import Experiment
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from crossfeed.explorer import landscape as explored
from crossfeed.explorer.landscape import Survey
from crossfeed.explorer.summary import price
from crossfeed.theory import landscape, optimal_weights

from .test_explore_settings import NUMBERED

CHANGES = ["ecosystem.history=accumulate", "learner.noise=2"]


@pytest.fixture(autouse=True)
def _coarser(monkeypatch):
    monkeypatch.setattr(explored, "SIDES", (3, 5, 9, 17))


def ecosystem(*overrides):
    return linear_ecosystem(Experiment.from_yaml(NUMBERED, overrides))


def finished(eco):
    survey, sides = Survey(eco), []
    while not survey.complete:
        if survey.advance(0.005) and survey.side not in sides:
            sides.append(survey.side)
    return survey, sides


@pytest.mark.parametrize("change", CHANGES)
def test_the_optimum_is_as_good_as_the_librarys(change):
    eco = ecosystem(change)
    survey, sides = finished(eco)
    wanted = optimal_weights(eco)
    alpha, beta, value = survey.best
    assert survey.refined
    assert sides == [3, 5, 9, 17]
    assert value <= wanted.value * (1 + 2e-6)
    assert value == pytest.approx(landscape(eco, [alpha], [beta]).values[0, 0], rel=1e-12)


def test_the_map_is_theorys_at_every_stage():
    eco = ecosystem()
    survey = Survey(eco)
    for side in (3, 5):
        while survey.side < side:
            survey.advance(0.0)
        axis = np.linspace(0.0, 1.0, side)
        found, wanted = survey.landscape(), landscape(eco, axis, axis)
        np.testing.assert_allclose(found.values, wanted.values, rtol=1e-12)
        np.testing.assert_array_equal(found.alphas, wanted.alphas)
        assert survey.best[2] == pytest.approx(wanted.values.min(), rel=1e-12)


def test_a_slice_ends_at_the_latest_with_a_grid():
    survey = Survey(ecosystem())
    assert survey.advance(1000.0)
    assert survey.side == 3


def test_a_map_without_a_finite_error_ends_too():
    eco = linear_ecosystem(
        Experiment.from_yaml(
            NUMBERED.replace(", truth: {seed: 2, norm: 3}", "").replace("rows: 10", "rows: 10, rank: 1"),
            ("ecosystem.entities=1",),
        )
    )
    survey, _ = finished(eco)
    assert not np.isfinite(survey.best[2])
    assert not survey.refined


@pytest.mark.parametrize(
    ("value", "said"), [(1.0, "+0.0 %"), (1.05, "+5.0 %"), (1.5, "+50 %"), (30.0, "×30"), (np.inf, "")]
)
def test_a_price_is_the_excess_over_the_best(value, said):
    assert price(value, 1.0) == said
