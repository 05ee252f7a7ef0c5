"""What is refused, with words that name it; the kernels; and what importing the theory costs."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from ecosystems import random_grams

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem
from crossfeed.theory.graded import inverse_of_sum
from crossfeed.theory.kernels import inverse_lower

EYE = np.eye(3)
TWO = np.array([EYE, EYE])

REFUSED = {
    "private must be Gram matrices of shape .K, 3, 3.; received shape .2, 4, 3.": {"private": np.ones((2, 4, 3))},
    "private must be .*one matrix per entity": {"private": EYE},
    "private must be symmetric; matrix 1": {"private": np.array([EYE, np.triu(np.ones((3, 3)))])},
    "private must be positive semi-definite.*matrix 1": {"private": np.array([EYE, -EYE])},
    "private holds numbers that are not finite": {"private": TWO * np.nan},
    "private must be .*dtype": {"private": np.full((2, 3, 3), "a")},
    "private could not be read|private must be": {"private": [EYE, np.eye(2)]},
    "private is a function.*give entities": {"private": lambda start, stop: TWO[start:stop]},
    "public must be a Gram matrix": {"public": np.ones((3, 2))},
    "public must be a Gram matrix of shape .d, d.; received shape ..": {"public": 1.0},
    "generated must describe 2 entities; received 3": {"generated": np.array([EYE] * 3)},
    "alpha must be a number in .0, 1.*received 1.5": {"alpha": 1.5},
    "alpha must be .*received nan": {"alpha": float("nan")},
    "alpha must be .*received shape .3,": {"alpha": np.array([0.1, 0.2, 0.3])},
    "alpha is a list, which could mean the entities or the generations; give numpy.array": {"alpha": [0.1, 0.2]},
    "beta is a tuple": {"beta": (0.1, 0.2)},
    "alpha must be .*dtype": {"alpha": "half"},
    "beta must be .*received -0.1": {"beta": np.array([0.5, -0.1])},
    "beta.0. must be": {"beta": lambda t: 2.0},
    "initial_beta must be": {"initial_beta": 2},
    "shares must be 2 numbers >= 0 that sum to 1; received a sum of 2": {"shares": [1, 1]},
    "shares must be .*smallest of -1": {"shares": [2, -1]},
    "shares must have shape .2,": {"shares": [1.0]},
    "sigma must be a number >= 0; received -1": {"sigma": -1},
    "sigma_generated must be a number >= 0; received .1": {"sigma_generated": [1, 2]},
    "fresh must be a Gram matrix of shape .3, 3.": {"fresh": np.eye(2), "fresh_fraction": 0.1},
    "fresh_fraction is 0.1 but there is no fresh data": {"fresh_fraction": 0.1},
    "fresh was given without fresh_fraction": {"fresh": EYE},
    "fresh_fraction must be a number": {"fresh": EYE, "fresh_fraction": 1.1},
    "history must be .latest. or .accumulate.; received 'all'": {"history": "all"},
    "truths was given without truth_public": {"truths": np.zeros((2, 3))},
    "truths must have shape .2, 3.; received shape .3,": {"truths": np.zeros(3), "truth_public": np.zeros(3)},
    "truth_public must have shape .3,": {"truth_public": np.zeros(2)},
}


@pytest.mark.parametrize("message", REFUSED)
def test_refused_with_a_word_that_names_it(message):
    with pytest.raises(InvalidInput, match=message):
        LinearEcosystem(**{"private": TWO, "public": EYE} | REFUSED[message])


def test_errors_are_value_errors():
    with pytest.raises(ValueError, match="alpha"):
        LinearEcosystem(TWO, EYE, alpha=2)


@pytest.mark.parametrize("generations", [[], 3, [-1], [1.5], ["a"], [[1]]])
def test_generations_are_whole_numbers(generations):
    with pytest.raises(InvalidInput, match="generations must be"):
        LinearEcosystem(TWO, EYE).moments(generations)


def test_a_schedule_is_checked_when_it_is_used():
    eco = LinearEcosystem(TWO, EYE, alpha=lambda t: t / 2)
    assert eco.moments([2]).mse.shape == (1, 2)
    with pytest.raises(InvalidInput, match=r"alpha\(3\)"):
        eco.moments([3])


@pytest.mark.parametrize("block", [np.ones((2, 3)), np.ones((1, 3, 3)), np.full((2, 3, 3), np.inf)])
def test_blocks_are_checked_when_they_are_loaded(block):
    with pytest.raises(InvalidInput, match="private"):
        LinearEcosystem(lambda start, stop: block, EYE, entities=2).limit()


@pytest.mark.parametrize("features", [np.ones((2, 4)), np.ones((2, 4, 2)), [np.ones(3)], np.full((2, 4, 3), np.nan)])
def test_features_are_checked(features):
    with pytest.raises(InvalidInput, match="private"):
        LinearEcosystem.from_features(features, np.ones((5, 3)))


def test_mspe_and_given_check_their_shapes():
    moments = LinearEcosystem(TWO, EYE).moments([1])
    with pytest.raises(InvalidInput, match="grams"):
        moments.mspe(np.ones((1, 2, 2)))
    with pytest.raises(InvalidInput, match="truths"):
        moments.mspe(TWO, np.zeros((3, 3)))
    with pytest.raises(InvalidInput, match=r"data must have shape \(3, 3\)"):
        moments.given(np.zeros((2, 3)))


def test_mspe_of_given_tasks():
    eco = LinearEcosystem(TWO, EYE, truth_public=[1.0, 0.0, 2.0])
    tasks, targets = random_grams(np.random.default_rng(0), 4, 3, 2), np.random.default_rng(1).standard_normal((4, 3))
    moments = eco.moments([0, 3])
    off = moments.mean[:, :, None] - targets
    wanted = np.einsum("mab,nkba->nkm", tasks, moments.covariance) + np.einsum("nkma,mab,nkmb->nkm", off, tasks, off)
    assert moments.mspe(tasks, targets) == pytest.approx(wanted)
    assert moments.mspe(tasks) == pytest.approx(moments.mspe(tasks, np.tile([1.0, 0.0, 2.0], (4, 1))))


@pytest.mark.parametrize("order", [1, 2, 4, 5, 9, 15, 33])
def test_inverse_of_triangles(order):
    rng = np.random.default_rng(order)
    lower = np.tril(rng.standard_normal((7, order, order)) / order) + np.eye(order)
    assert inverse_lower(lower) @ lower == pytest.approx(np.broadcast_to(np.eye(order), (7, order, order)), abs=1e-10)


@pytest.mark.parametrize("rank", range(1, 6))
def test_pseudo_inverse_of_a_sum(rank):
    """Mixed in one stack: singular, regular and zero matrices; shared parts; weights of any size."""
    rng = np.random.default_rng(rank)
    own, shared = random_grams(rng, 6, 5, rank), random_grams(rng, 1, 5, 1)[0]
    own[0] = random_grams(rng, 1, 5, 5)[0]
    weights = np.array([1.0, 1.0, 1e-6, 1e3, 1.0, 0.0])
    found, singular = inverse_of_sum([(weights, own), (np.array([0.5]), shared)])
    for k in range(6):
        total = weights[k] * own[k] + 0.5 * shared
        assert singular[k] == (np.linalg.matrix_rank(own[k] * (weights[k] > 0) + shared) < 5)
        assert total @ found[k] @ total == pytest.approx(total, rel=1e-6, abs=1e-9)
        assert found[k] @ total @ found[k] == pytest.approx(found[k], rel=1e-6, abs=1e-6)
        onto = total @ found[k]
        assert np.abs(onto - onto.T).max() < 1e-6
    nothing, empty = inverse_of_sum([(np.zeros(1), own)])
    assert not nothing.any()
    assert empty.all()


def test_importing_the_theory_loads_numpy_alone():
    code = "import sys, crossfeed.theory; print(*{name.split('.')[0] for name in sys.modules})"
    loaded = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "numpy" in loaded
    assert not loaded & {"torch", "transformers", "datasets", "ray", "pydantic", "pandas", "matplotlib", "scipy"}
