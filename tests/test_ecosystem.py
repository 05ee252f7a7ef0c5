"""The description of an ecosystem: what it means, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from crossfeed import Ecosystem, Entity

PAIR = (Entity(name="a", private="x"), Entity(name="b", private="y"))


def test_nothing_is_synthetic_at_generation_zero():
    eco = Ecosystem(entities=PAIR, alpha=0.7, beta=0.2, initial_beta=0.9)
    assert eco.alphas(0).tolist() == [0, 0]
    assert eco.betas(0).tolist() == [0.9, 0.9]
    assert eco.alphas(1).tolist() == [0.7, 0.7]
    assert eco.betas(3).tolist() == [0.2, 0.2]


def test_schedules_hold_by_generation_and_the_last_value_stays():
    eco = Ecosystem(entities=PAIR, alpha=(0.1, 0.2, 0.3), beta=(0.5, 1))
    assert [eco.alphas(t)[0] for t in (1, 2, 3, 9)] == [0.1, 0.2, 0.3, 0.3]
    assert [eco.betas(t)[0] for t in (0, 1, 2, 9)] == [0.5, 0.5, 1, 1]


def test_an_entitys_own_weights_win():
    own = Entity(name="b", private="y", alpha=0.9, beta=(0.1, 0.3), share=3)
    eco = Ecosystem(entities=(PAIR[0], own), alpha=0.5, beta=0.5)
    assert eco.alphas(4).tolist() == [0.5, 0.9]
    assert eco.betas(0).tolist() == [0.5, 0.1]
    assert eco.betas(2).tolist() == [0.5, 0.3]
    assert eco.shares.tolist() == [0.25, 0.75]


def test_update_schemes_mean_what_the_literature_says():
    replace = Ecosystem(entities=PAIR, update="replace")
    assert replace.alphas(5).tolist() == [1, 1]
    assert not replace.accumulates
    accumulate = Ecosystem(entities=PAIR, update="accumulate")
    assert accumulate.alphas(3).tolist() == [0.75, 0.75]
    assert accumulate.accumulates
    assert [accumulate.set_size(10, t) for t in (0, 1, 4)] == [10, 20, 50]
    subsample = Ecosystem(entities=PAIR, alpha="proportional", history="accumulate")
    assert subsample.alphas(3).tolist() == [0.75, 0.75]
    assert subsample.set_size(10, 4) == 10


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"alpha": 1.2}, "alpha"),
        ({"alpha": float("nan")}, "alpha"),
        ({"alpha": True}, "alpha"),
        ({"alpha": "half"}, "alpha"),
        ({"alpha": ()}, "alpha"),
        ({"alpha": None}, "alpha is missing"),
        ({"beta": -0.1}, "beta"),
        ({"entities": ()}, "entities"),
        ({"entities": (PAIR[0], PAIR[0])}, "differ"),
        ({"entities": (Entity(name="a", private="x", share=0),)}, "share above 0"),
        ({"history": "some"}, "history"),
        ({"fresh_fraction": 2}, "fresh_fraction"),
        ({"update": "replace", "alpha": 0.5}, "leave alpha out"),
        ({"update": "accumulate", "alpha": None, "history": "latest"}, "leave history out"),
        ({"unknown": 1}, "unknown"),
    ],
)
def test_impossible_values_are_refused_by_name(changes, word):
    with pytest.raises(ValidationError, match=word):
        Ecosystem(**({"entities": PAIR, "alpha": 0.5} | changes))


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a b", ".hidden", "x" * 65, "é"])
def test_names_that_could_not_be_paths_are_refused(name):
    with pytest.raises(ValidationError, match="name"):
        Entity(name=name, private="x")


def test_no_common_alpha_is_needed_where_every_entity_has_its_own():
    own = (Entity(name="a", private="x", alpha=0.1), Entity(name="b", private="y", alpha=(0.2, 0.4)))
    assert Ecosystem(entities=own).alphas(2).tolist() == [0.1, 0.4]
    assert np.isnan(Ecosystem(entities=own).common_alpha(1))


def test_it_is_a_value():
    eco = Ecosystem(entities=PAIR, alpha=0.5)
    with pytest.raises(ValidationError):
        eco.alpha = 0.1
    assert eco == Ecosystem(entities=PAIR, alpha=0.5)
    assert np.isclose(eco.shares.sum(), 1)
