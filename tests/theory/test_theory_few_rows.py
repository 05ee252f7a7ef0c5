"""Entities with few rows: the same numbers by n x n matrices as by d x d ones, and no loss of digits."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed.theory import LinearEcosystem
from crossfeed.theory.few_rows import few_rows

ENTITIES, ROWS, DIMENSION = 700, 4, 9  # more than one block of entities
RNG = np.random.default_rng(7)
PRIVATE = RNG.standard_normal((ENTITIES, ROWS, DIMENSION))
PUBLIC = RNG.standard_normal((20, DIMENSION))
FRESH = RNG.standard_normal((6, DIMENSION))
OWN_TRUTHS = {"truths": RNG.standard_normal((ENTITIES, DIMENSION)), "truth_public": RNG.standard_normal(DIMENSION)}

ECOSYSTEMS = {
    "as it is": {},
    "accumulating": {"history": "accumulate", "alpha": 0.9},
    "shares and noises": {"shares": RNG.dirichlet(np.ones(ENTITIES)), "sigma": 2.0, "sigma_generated": 0.3},
    "one truth": {"truth_public": RNG.standard_normal(DIMENSION), "initial_beta": 0.8},
    "own truths": OWN_TRUTHS,
    "fresh data": {"fresh_fraction": 0.3, **OWN_TRUTHS},
    "no private data": {"beta": 0.0, "alpha": 0.4},
    "hardly any private data": {"beta": 1e-9, "alpha": 0.4, "initial_beta": 0.5},
}


def by_rows_and_by_grams(options):
    """The same ecosystem of features, and of Gram matrices, which have no rows."""
    fresh = FRESH if "fresh_fraction" in options else None
    grams = PRIVATE.swapaxes(1, 2) @ PRIVATE, PUBLIC.T @ PUBLIC
    return (
        LinearEcosystem.from_features(PRIVATE, PUBLIC, fresh=fresh, **options),
        LinearEcosystem(*grams, fresh=None if fresh is None else fresh.T @ fresh, **options),
    )


def taken(eco, generation=1):
    spec = eco.specification.conditioned
    return few_rows(spec, slice(0, 5), [spec.weights.at(generation)]) is not None


def close(left, right):
    np.testing.assert_allclose(left, right, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("options", ECOSYSTEMS.values(), ids=ECOSYSTEMS.keys())
def test_rows_and_gram_matrices_give_the_same_errors(options):
    rows, grams = by_rows_and_by_grams(options)
    assert taken(rows)
    assert not taken(grams)
    limit, twin = rows.limit(), grams.limit()
    close(limit.spectral_radius, twin.spectral_radius)
    close(limit.variance, twin.variance)
    close(limit.bias_squared, twin.bias_squared)
    assert (limit.full_rank == twin.full_rank).all()
    moments, twins = rows.moments([3, 0, 1, 3]), grams.moments([3, 0, 1, 3])
    close(moments.variance, twins.variance)
    close(moments.bias_squared, twins.bias_squared)


@pytest.mark.parametrize("options", ECOSYSTEMS.values(), ids=ECOSYSTEMS.keys())
def test_errors_of_few_rows_are_those_of_the_covariance(options):
    limit = by_rows_and_by_grams(options)[0].limit()
    close(limit.variance, np.trace(limit.covariance, axis1=1, axis2=2))
    close(limit.bias_squared, ((limit.mean - limit.specification.truths) ** 2).sum(axis=1))


@pytest.mark.parametrize(
    "options",
    [{"alpha": np.linspace(0.1, 0.9, ENTITIES)}, {"generated": PRIVATE[:, ::-1] * 2.0}],
    ids=["own weights", "other rows published"],
)
def test_what_entities_have_for_themselves_leaves_it_to_d_by_d_matrices(options):
    assert not taken(LinearEcosystem.from_features(PRIVATE, PUBLIC, **options))


def test_many_rows_are_left_to_d_by_d_matrices():
    assert not taken(LinearEcosystem.from_features(RNG.standard_normal((9, DIMENSION - 1, DIMENSION)), PUBLIC))


def test_shared_data_that_miss_a_direction_are_left_to_d_by_d_matrices():
    eco = LinearEcosystem.from_features(PRIVATE, PUBLIC[: DIMENSION - 2])
    assert taken(eco, 1)
    assert not taken(eco, 0)
    grams = LinearEcosystem(PRIVATE.swapaxes(1, 2) @ PRIVATE, PUBLIC[: DIMENSION - 2].T @ PUBLIC[: DIMENSION - 2])
    close(eco.moments([0, 2]).variance, grams.moments([0, 2]).variance)


@pytest.mark.parametrize("size", [1e3, 1e6], ids=str)
def test_rows_that_outweigh_the_shared_data_cost_no_digits(size):
    """Where G^{-1} would come out of a difference of larger numbers, it is not taken from there."""
    large = PRIVATE.copy()
    large[::7] *= size
    options = {"shares": np.where(np.arange(ENTITIES) % 7, 1.0, 1e-14)}
    options["shares"] /= options["shares"].sum()
    eco = LinearEcosystem.from_features(large, PUBLIC, alpha=0.2, **options)
    assert not taken(eco)
    grams = LinearEcosystem(large.swapaxes(1, 2) @ large, PUBLIC.T @ PUBLIC, alpha=0.2, **options)
    np.testing.assert_allclose(eco.limit().mse, grams.limit().mse, rtol=1e-9)
