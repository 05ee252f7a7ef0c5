"""The specification: the value that solvers take, and the ecosystem that wraps it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest
from ecosystems import random_ecosystem

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem, limiting_mse, pooled_mse, relative_efficiency
from crossfeed.theory.specification import Specification

SCHEDULES = {"alpha", "beta"}


@pytest.fixture
def description():
    return random_ecosystem(1, alpha="per entity", beta="0.5", shares="unequal", fresh=True, other_start=True)


def test_the_ecosystem_shows_every_field_of_its_specification(description):
    eco = LinearEcosystem(**description)
    for name in {field.name for field in fields(Specification)} - {"weights"}:
        assert getattr(eco, name) is getattr(eco.specification, name)
    for name in description.keys() - SCHEDULES - {"initial_beta", "private", "generated"}:
        np.testing.assert_array_equal(getattr(eco, name), description[name])
    for name in SCHEDULES:
        np.testing.assert_array_equal(getattr(eco, name).at(1), np.atleast_1d(description[name]))
    np.testing.assert_array_equal(eco.private.all(), description["private"])
    np.testing.assert_array_equal(eco.generated.all(), description["generated"])


def test_nothing_changes_after_construction(description):
    eco = LinearEcosystem(**description)
    with pytest.raises(FrozenInstanceError):
        eco.specification.sigma = 2.0
    with pytest.raises(AttributeError):
        eco.sigma = 2.0


def test_results_know_the_ecosystem_that_they_are_of(description):
    eco = LinearEcosystem(**description)
    assert eco.limit().ecosystem is eco
    assert eco.moments([1]).ecosystem is eco


def test_methods_and_functions_of_one_name_agree(description):
    eco = LinearEcosystem(**description)
    np.testing.assert_array_equal(eco.relative_efficiency(), relative_efficiency(eco))
    np.testing.assert_array_equal(relative_efficiency(eco), pooled_mse(eco) / limiting_mse(eco))


def test_other_weights_share_the_data_and_what_is_summed_over_it(description):
    eco = LinearEcosystem(**description)
    other = eco.with_weights(0.1, 0.2)
    assert other.private is eco.private
    assert eco.with_weights(0.3, 0.2).pool_gram is other.pool_gram is eco.pool_gram
    np.testing.assert_array_equal(eco.alpha.at(1), description["alpha"])


def test_a_given_start_is_kept_and_needs_no_beta_at_0(description):
    def beta(t):
        return 1.0 / t

    eco = LinearEcosystem(**description | {"beta": beta})
    other = eco.with_weights(0.5, beta)
    for each in (eco, other):
        np.testing.assert_array_equal(each.weights_at(0).private, description["initial_beta"])
    with pytest.raises(InvalidInput, match=r"beta\(0\) failed with ZeroDivisionError.*give initial_beta"):
        LinearEcosystem(**description | {"beta": beta, "initial_beta": None})


def test_without_a_start_generation_0_follows_the_new_beta(description):
    eco = LinearEcosystem(**description | {"initial_beta": None})
    np.testing.assert_array_equal(eco.weights_at(0).private, [0.5])
    np.testing.assert_array_equal(eco.with_weights(0.5, 0.2).weights_at(0).private, [0.2])
