"""Worlds beyond one pool in step: runs of linear models, through the loop, against exact theory in standard errors."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import validate
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.exact.linear_ecosystem import linear_ecosystem
from tests.test_run_matches_theory import bound, deviations, states_of

REPLICATES = 3000
SEEDS = 300
TRUTH = [0.9, 1.3, -0.6]
READS = {
    "pool": None,
    "ring": "ring",
    "star": "star",
    "matrix": [[0.2, 0.5, 0.3], [0.1, 0.1, 0.8], [0.6, 0.4, 0.0]],
    "communities": {"communities": {"north": ["p", "q"], "south": ["r"]}, "within": 0.8},
}
TIMES = {
    "in step": {},
    "clocks": {"every": [1, 2, 3], "phase": [0, 1, 0]},
    "in turn": {"order": "sequential"},
    "clocks in turn": {"order": "sequential", "every": [2, 1, 2], "phase": [1, 0, 0]},
    "dropped": {"every": [1, 2, 2], "phase": [0, 0, 1], "stale": "drop"},
    "arrivals": {"from": [0, 2, 0], "until": [None, None, 3]},
}
PROMPTS = {"private": "private", "public": "public", "others": {"p": 1, "r": 1}}


def experiment_of(
    reads="pool", times="in step", prompts="private", fresh=0.0, history="latest", **ecosystem
) -> Experiment:
    said = TIMES[times]
    own = {name: said[name] for name in ("every", "phase", "from", "until") if name in said}
    entities = [
        {"name": name, "private": name, "alpha": alpha, **{field: values[k] for field, values in own.items()}}
        for k, (name, alpha) in enumerate(zip("pqr", (0.3, 0.6, 0.9), strict=True))
    ]
    task = {"source": "regression", "dimension": 3, "seed": 7, "noise": 0.8, "replicates": REPLICATES, "truth": TRUTH}
    common = {name: value for name, value in said.items() if name in ("order", "stale")}
    fields = {"reads": READS[reads], "prompts": PROMPTS[prompts], "fresh_fraction": fresh, "history": history}
    data = {
        "ecosystem": {"entities": entities, "beta": 0.4, "initial_beta": 0.7, **fields, **common, **ecosystem},
        "learner": {"kind": "linear", "noise": 0.5},
        "tasks": {name: task | {"rows": 3 + k, "rank": 3, "entity": k} for k, name in enumerate("pqr")},
        "public": task | {"rows": 6, "rank": 3, "entity": 0},
        "generations": 4,
        "checkpoints": "all",
        "metrics": {},
        "seeds": [5],
    }
    return validate(Experiment, data)


def compared(experiment: Experiment) -> np.ndarray:
    """Deviations in standard errors at generations at which everybody is there, or of those who are."""
    eco = linear_ecosystem(experiment)
    states = states_of(experiment)
    moments = eco.moments(range(experiment.generations + 1))
    there = np.isfinite(moments.variance)
    if there.all():
        return np.abs(deviations(states, eco))
    mean, covariance = moments.mean, moments.covariance
    spread = np.diagonal(covariance, axis1=2, axis2=3)
    off = (states.mean(axis=1) - mean) / np.sqrt(spread / REPLICATES)
    centred = ((states - mean[:, None]) ** 2).sum(axis=3).mean(axis=1)
    squares = np.einsum("tkab,tkba->tk", covariance, covariance)
    noise = (centred - moments.variance) / np.sqrt(2 * squares / REPLICATES)
    return np.abs(np.concatenate([off[there].ravel(), noise[there].ravel()]))


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("reads", READS)
def test_a_run_of_any_world_agrees_with_the_exact_moments(reads, times):
    prompts = list(PROMPTS)[(list(READS).index(reads) + list(TIMES).index(times)) % 3]
    fresh = 0.25 if (list(READS).index(reads) + list(TIMES).index(times)) % 2 else 0.0
    every = compared(experiment_of(reads, times, prompts, fresh))
    assert every.max() < bound(len(every))
    assert (every > 3).mean() < 0.03


def test_networks_that_keep_all_pools_agree_too():
    every = compared(experiment_of("matrix", history="accumulate", prompts="public"))
    assert every.max() < bound(len(every))


@pytest.mark.parametrize("times", ["in step", "clocks", "in turn"])
def test_rows_that_are_drawn_anew_agree_too(times):
    data = experiment_of("matrix", times).model_dump(mode="json")
    for task in data["tasks"].values():
        task["redraw"] = True
    experiment = validate(Experiment, data)
    assert experiment.id != experiment_of("matrix", times).id
    every = compared(experiment)
    assert every.max() < bound(len(every))
    other = np.abs(deviations(states_of(experiment), linear_ecosystem(experiment_of("matrix", times))))
    assert other.max() > bound(len(other))


def test_coins_agree_over_many_seeds(tmp_path):
    """Coins are common to the replicates of a seed, so seeds are the sample: a few replicates of many."""
    data = experiment_of("matrix").model_dump(mode="json")
    data["ecosystem"]["probability"] = 0.5
    data["generations"] = 3
    tasks = data["tasks"] | {"public": data["public"]}
    for number, (name, task) in enumerate(tasks.items()):
        features = np.random.default_rng(number).standard_normal((task["rows"], 3))
        np.savez(tmp_path / f"{name}.npz", features=features)
        task.update(dict.fromkeys(("dimension", "rank", "rows")), features=f"{tmp_path}/{name}.npz", replicates=8)
    moments = linear_ecosystem(validate(Experiment, data)).moments(range(4))
    errors = np.empty((SEEDS, 4, 3))
    for seed in range(SEEDS):
        for task in tasks.values():
            task["seed"] = seed
        states = states_of(validate(Experiment, data | {"seeds": [seed]}))
        errors[seed] = ((states - np.array(TRUTH)) ** 2).sum(axis=3).mean(axis=1)
    off = (errors.mean(axis=0) - moments.mse) / (errors.std(axis=0, ddof=1) / np.sqrt(len(errors)))
    assert np.abs(off).max() < bound(off.size)


def test_a_slip_in_the_world_would_show():
    right = experiment_of("matrix", "clocks")
    states = states_of(right)
    for wrong in (
        experiment_of("ring", "clocks"),
        experiment_of("matrix", "in step"),
        experiment_of("matrix", "clocks", "public"),
    ):
        found = np.abs(deviations(states, linear_ecosystem(wrong)))
        assert found.max() > 2 * bound(len(found))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"probability": 0.5, "stale": "drop"}, ["drop", "probability"]),
        ({"every": 2, "history": "accumulate"}, ["accumulate", "every"]),
    ],
)
def test_what_does_not_close_is_refused_with_the_reason(changes, words):
    with pytest.raises((InvalidDescription, InvalidInput)) as error:
        linear_ecosystem(experiment_of(**changes))
    for word in words:
        assert word in str(error.value)
