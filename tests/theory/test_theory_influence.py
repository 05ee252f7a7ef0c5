"""Shares of influence against the dense lifted system's own map from the sources' estimates to every entity's mean."""

from __future__ import annotations

import numpy as np
import pytest
from ecosystems import random_ecosystem
from lifted import Lifted

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem, NoLimit
from crossfeed.theory.influence import influence_shares


def naive(description, generation):
    """Move one source's estimate at a time, coordinate by coordinate, and see what every entity's mean does."""
    twin = Lifted(**description)
    K, d = twin.K, twin.d
    shares = np.zeros((K, K + 1))
    still = twin.moments([generation], data=np.zeros((K + 1, d)))[0][0]
    for source in range(K + 1):
        moved = np.zeros(K)
        for coordinate in range(d):
            data = np.zeros((K + 1, d))
            data[source, coordinate] = 1.0
            moved += ((twin.moments([generation], data=data)[0][0] - still) ** 2).sum(axis=1)
        shares[:, source] = np.sqrt(moved)
    return shares / shares.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("generation", [0, 1, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": "per entity", "beta": "scheduled", "shares": "unequal"},
        {"alpha": "scheduled", "history": "accumulate", "fresh": True, "other_start": True},
        {"alpha": "1", "shares": "dominant"},
    ],
    ids=["common", "own weights", "accumulated with fresh data", "replace"],
)
def test_shares_are_what_moving_one_source_at_a_time_shows(options, generation):
    description = random_ecosystem(7, **options)
    found = influence_shares(LinearEcosystem(**description), generation)
    np.testing.assert_allclose(found, naive(description, generation), atol=1e-10)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_limit_is_that_of_late_generations(seed):
    eco = LinearEcosystem(**random_ecosystem(seed))
    np.testing.assert_allclose(influence_shares(eco), influence_shares(eco, 400), atol=1e-8)


def test_at_the_start_nobody_hears_the_others():
    found = influence_shares(LinearEcosystem(**random_ecosystem(3, K=4, beta="0.5")), 0)
    np.testing.assert_array_equal(found[:, :4][~np.eye(4, dtype=bool)], 0.0)
    assert (found[np.arange(4), np.arange(4)] > 0).all()


def test_two_rows_for_one_are_the_same_source():
    description = random_ecosystem(5, other_features=False)
    eco = LinearEcosystem(**description)
    # Every Gram twice as large: each source is copied, and nothing else changes.
    twice = {name: 2 * description[name] for name in ("private", "public")}
    np.testing.assert_allclose(
        influence_shares(LinearEcosystem(**description | twice), 3), influence_shares(eco, 3), atol=1e-12
    )


def test_what_cannot_be_asked_is_refused():
    eco = LinearEcosystem(**random_ecosystem(0, alpha="scheduled"))
    with pytest.raises(InvalidInput):
        influence_shares(eco)
    with pytest.raises(InvalidInput, match="whole numbers >= 0"):
        influence_shares(eco, -1)
    replaced = LinearEcosystem(np.eye(2)[None], np.eye(2), alpha=1.0)
    with pytest.raises(NoLimit):
        influence_shares(replaced)


def test_fresh_data_alone_leave_no_share():
    eco = LinearEcosystem(np.eye(2)[None], np.eye(2), alpha=1.0, fresh=np.eye(2), fresh_fraction=1.0)
    np.testing.assert_array_equal(influence_shares(eco, 1), [[0.0, 0.0]])
