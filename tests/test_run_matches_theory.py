"""The loop's own proof: runs of linear models, through the same loop as every other learner, against exact theory.

Each case is a whole experiment, run by `crossfeed.run` and predicted by `crossfeed.exact.prediction` from one
description. The replicates of a run are independent, so sample moments of its states are compared with the exact ones
in standard errors, which theory gives too. Four standard errors would be passed by chance somewhere in so many numbers;
each test allows as many as one of its numbers exceeds once in a million (between five and six and a half), so any seed
passes.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import norm

from crossfeed import MemoryStore, run
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import validate
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from crossfeed.records import state_scope_of

REPLICATES = 4000
GENERATIONS = 3
DIMENSION = 3
SEED = 20
# Nothing is symmetric: a sign, a weight or an entity taken for another must show.
TRUTHS = {"p": [1.0, -2.0, 0.5], "q": [-0.3, 0.8, 1.7], "r": [0.2, 0.4, -1.1], "public": [0.9, 1.3, -0.6]}
ROWS = {"p": 4, "q": 5, "r": 3, "public": 6}

ALPHAS = ("none", "some", "all", "own", "scheduled", "proportional")
BETAS = ("none", "half", "all", "own", "scheduled")
OTHERS = {
    "K": (1, 3),
    "rank": (1, 3),
    "shares": ("equal", "unequal", "dominant"),
    "history": ("latest", "accumulate"),
    "fresh": (0.0, 0.3),
}
VALUES = {"none": 0.0, "some": 0.4, "half": 0.5, "all": 1.0, "proportional": "proportional"}
SHARES = {"equal": (1, 1, 1), "unequal": (1, 3, 0.5), "dominant": (0, 1, 0)}


def fraction_of_product(alpha, beta):
    """A sixth of all combinations of the other settings, another sixth for each alpha and beta."""
    offset = ALPHAS.index(alpha) + BETAS.index(beta)
    for levels in itertools.product(*(range(len(each)) for each in OTHERS.values())):
        if (sum(levels) + offset) % 6 == 0:
            yield {name: OTHERS[name][level] for name, level in zip(OTHERS, levels, strict=True)}


def weights(alpha, beta, K):
    """The ecosystem's and its entities' alpha and beta."""
    own = [{} for _ in range(K)]
    common = {"beta": VALUES.get(beta, 0.3), "alpha": VALUES.get(alpha, 0.7)}
    for name, kind, numbers, lists in (
        ("alpha", alpha, (0.2, 0.9, 0.6), [0.9, 0.3, 0.6]),
        ("beta", beta, (0.8, 0.1, 0.4), [0.2, 0.9, 0.5]),
    ):
        if kind == "own":
            for each, number in zip(own, numbers, strict=False):
                each[name] = number
        if kind == "scheduled":
            common[name] = lists
            own[-1][name] = lists[::-1]
    return common, own


def experiment_of(alpha, beta, K, rank, shares, history, fresh, **changes):
    common, own = weights(alpha, beta, K)
    relative = SHARES[shares] if K > 1 else (1,)
    names = list(TRUTHS)[:K]
    entities = [
        {"name": f"owner-{name}", "private": name, "share": share, **each}
        for name, share, each in zip(names, relative, own, strict=True)
    ]
    data = {
        "ecosystem": {"entities": entities, "history": history, "fresh_fraction": fresh, "initial_beta": 0.7, **common},
        "learner": {"kind": "linear", "noise": 0.5},
        "tasks": {name: task(name, rank, number) for number, name in enumerate(names)},
        "public": task("public", DIMENSION, 0),
        "generations": GENERATIONS,
        "checkpoints": "all",
        "metrics": {},
        "seeds": [SEED],
    }
    return validate(Experiment, changed(data, changes))


def task(name, rank, entity):
    return {
        "source": "regression",
        "dimension": DIMENSION,
        "rows": ROWS[name],
        "rank": rank,
        "entity": entity,
        "seed": SEED,
        "noise": 0.8,
        "replicates": REPLICATES,
        "truth": TRUTHS[name],
    }


def changed(data, changes):
    for section, values in changes.items():
        data = data | {section: data[section] | values if isinstance(values, dict) else values}
    return data


def states_of(experiment):
    """What a run's states were: ``(T + 1, R, K, d)``."""
    store = MemoryStore()
    outcome = run(experiment, store)
    assert not outcome.failures
    (cell,) = experiment.cells()
    names = experiment.ecosystem.names
    generations = [
        store.read_states(state_scope_of(cell, t), t, names, None) for t in range(experiment.generations + 1)
    ]
    return np.stack([np.stack(states, axis=1) for states in generations])


def deviations(states, eco):
    """How many standard errors every sample moment is from what theory says."""
    T, R, K, _ = states.shape
    moments = eco.moments(range(T))
    mean, covariance = moments.mean, moments.covariance
    spread = np.diagonal(covariance, axis1=2, axis2=3)
    centred = states - mean[:, None]
    products = np.einsum("trka,trkb->tkab", centred, centred) / R
    entry_error = np.sqrt((spread[..., :, None] * spread[..., None, :] + covariance**2) / R)
    squares = np.einsum("tkab,tkba->tk", covariance, covariance)
    bias = mean - eco.truths
    tilt = np.einsum("tka,tkab,tkb->tk", bias, covariance, bias)
    found = [
        scaled(states.mean(axis=1) - mean, np.sqrt(spread / R)),
        scaled(products - covariance, entry_error),
        scaled((centred**2).sum(axis=3).mean(axis=1) - moments.variance, np.sqrt(2 * squares / R)),
        scaled(
            ((states - eco.truths) ** 2).sum(axis=3).mean(axis=1) - moments.mse, np.sqrt((2 * squares + 4 * tilt) / R)
        ),
    ]
    if K > 1:
        pairs = list(itertools.combinations(range(K), 2))
        apart = np.mean([((states[:, :, i] - states[:, :, j]) ** 2).sum(axis=2) for i, j in pairs], axis=0)
        found.append(scaled(apart.mean(axis=1) - moments.dispersion, apart.std(axis=1) / np.sqrt(R)))
    return np.concatenate(found)


def scaled(off, error):
    """Deviations over standard errors; numbers without any spread must agree to rounding."""
    rounding = 1e-8
    return np.where(np.abs(off) < rounding, 0.0, off / np.maximum(error, 1e-12)).ravel()


def bound(count):
    return norm.isf(1e-6 / 2 / count)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_run_agrees_with_the_exact_moments(alpha, beta):
    found = []
    for others in fraction_of_product(alpha, beta):
        experiment = experiment_of(alpha, beta, **others)
        found.append(deviations(states_of(experiment), linear_ecosystem(experiment)))
    every = np.abs(np.concatenate(found))
    assert every.max() < bound(len(every))
    # Not more numbers lie far out than chance puts there.
    assert (every > 3).mean() < 0.03


def test_every_pair_of_settings_is_run_together():
    cases = [
        {"alpha": alpha, "beta": beta, **others}
        for alpha, beta in itertools.product(ALPHAS, BETAS)
        for others in fraction_of_product(alpha, beta)
    ]
    levels = {"alpha": ALPHAS, "beta": BETAS, **OTHERS}
    for one, other in itertools.combinations(levels, 2):
        wanted = set(itertools.product(levels[one], levels[other]))
        assert {(case[one], case[other]) for case in cases} == wanted


@pytest.mark.parametrize("scheme", ["replace", "accumulate"])
@pytest.mark.parametrize("K", [1, 3])
def test_the_schemes_of_the_literature_agree_too(scheme, K):
    experiment = experiment_of("some", "own", K, 3, "unequal", None, 0.0, ecosystem={})
    data = experiment.model_dump(mode="json")
    data["ecosystem"] |= {"update": scheme, "alpha": None, "history": None}
    experiment = validate(Experiment, data)
    found = np.abs(deviations(states_of(experiment), linear_ecosystem(experiment)))
    assert found.max() < bound(len(found))


TRAININGS = {
    "one step": {"steps": 1, "rate": 0.03},
    "seven steps": {"steps": 7, "rate": 0.05},
    "a ridge": {"ridge": 2.0},
    "steps and a ridge": {"steps": 3, "rate": 0.04, "ridge": 0.7},
}


@pytest.mark.parametrize("training", TRAININGS)
@pytest.mark.parametrize("alpha", ["some", "all", "own", "scheduled", "proportional"])
def test_runs_that_stop_early_or_shrink_agree_too(alpha, training):
    found = []
    for beta, rank, history, fresh in (("half", 3, "latest", 0.3), ("own", 1, "accumulate", 0.0)):
        experiment = experiment_of(alpha, beta, 3, rank, "unequal", history, fresh, learner=TRAININGS[training])
        found.append(deviations(states_of(experiment), linear_ecosystem(experiment)))
    every = np.abs(np.concatenate(found))
    assert every.max() < bound(len(every))
    assert (every > 3).mean() < 0.03


BASE = {"alpha": "some", "beta": "own", "K": 3, "rank": 3, "shares": "unequal", "history": "accumulate", "fresh": 0.3}
WRONG = {
    "alpha a little higher": {"ecosystem": {"alpha": 0.45}},
    "beta for its complement": {"beta": "half", "ecosystem": {"beta": 0.5}},
    "equal shares": {"shares": "equal"},
    "latest for accumulate": {"history": "latest"},
    "less fresh data": {"fresh": 0.2},
    "another first beta": {"ecosystem": {"initial_beta": 0.3}},
    "more generated noise": {"learner": {"noise": 2.0}},
    "a ridge that is not there": {"learner": {"ridge": 0.5}},
    "a hundred steps for the minimum": {"learner": {"steps": 100, "rate": 0.01}},
    "a truth's sign": {"public": task("public", DIMENSION, 0) | {"truth": [0.9, -1.3, -0.6]}},
}


@pytest.fixture(scope="module")
def base_states():
    return states_of(experiment_of(**BASE))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_slip_in_any_weight_would_show(base_states, wrong):
    right = np.abs(deviations(base_states, linear_ecosystem(experiment_of(**BASE))))
    slipped = np.abs(deviations(base_states, linear_ecosystem(experiment_of(**(BASE | WRONG[wrong])))))
    assert right.max() < bound(len(right))
    assert slipped.max() > 2 * bound(len(slipped))
