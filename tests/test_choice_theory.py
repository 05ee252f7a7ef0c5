"""Choice among candidates in a run of discrete models against the iterated operator, in standard errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from crossfeed import Experiment, MemoryStore, predict, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import InvalidDescription
from crossfeed.exact.curated import curated_ecosystem
from crossfeed.records import state_scope_of

N = 30_000
TWO = f"""
ecosystem:
  entities:
    - {{name: up, private: ups}}
    - {{name: down, private: downs}}
  alpha: 0.7
  beta: 0.8
learner: {{kind: categorical}}
tasks:
  ups: {{source: categorical, probabilities: [0.6, 0.3, 0.1], train: 200000, test: 10}}
  downs: {{source: categorical, probabilities: [0.2, 0.3, 0.5], train: 200000, test: 10}}
public: {{source: categorical, uniform: 3, train: 200000, test: 10}}
n: {N}
pool_size: 100000000
generations: 2
checkpoints: all
metrics: {{reward: {{items: 10}}}}
"""


def preference(values, **fields):
    told = ", ".join(f"{name}: {value}" for name, value in fields.items())
    return f"{{reward: {{symbols: {{values: {values}}}}}, {told}}}"


def models(experiment):
    """Every model's distribution at each generation."""
    store, (cell,) = MemoryStore(), experiment.cells()
    run(experiment, store)
    names = experiment.ecosystem.names
    states = [store.read_states(state_scope_of(cell, t), t, names, None) for t in range(experiment.generations + 1)]
    counts = np.array([[state[0] for state in each] for each in states])
    return counts / counts.sum(axis=-1, keepdims=True)


OPTIONS = [
    {"best_of": best_of, "rule": rule, "judge": judge, "own": own, "others": others}
    for (best_of, rule), judge, (own, others) in itertools.product(
        [(2, "luce"), (5, "luce"), ("inf", "luce"), (3, "best")], ["author", "reader"], [(1, 1), (0.4, 1), (1, 0)]
    )
]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda each: "-".join(map(str, each.values())))
def test_a_run_follows_the_operator(options):
    tempered = {} if options["rule"] == "best" else {"temperature": 0.5}
    experiment = Experiment.from_yaml(
        TWO,
        (
            f"ecosystem.preference={preference([0, 0.5, 1], **options, **tempered)}",
            f"ecosystem.entities.1.preference={preference([1, 0.2, 0], **options, **tempered)}",
            "ecosystem.reads={graph: complete, self: 0.3}",
        ),
    )
    expected = curated_ecosystem(experiment).path().distributions
    # What n draws add at a generation, the operator carries on to the next: at alpha = 0.7 at most threefold.
    errors = np.sqrt(expected * (1 - expected) / N) * np.array([1.0, 1.5, 3.0])[:, None, None]
    assert (np.abs(models(experiment) - expected) < 5.5 * errors).all()


def test_tastes_of_their_own_have_candidates_of_their_own():
    experiment = Experiment.from_yaml(
        TWO,
        (
            f"ecosystem.preference={preference([0, 0.5, 1], best_of=8, rule='best')}",
            f"ecosystem.entities.1.preference={preference([1, 0, 0], best_of=2, temperature=0.3, others=0.5)}",
        ),
    )
    expected = curated_ecosystem(experiment).path().distributions
    errors = np.sqrt(expected * (1 - expected) / N) * np.array([1.0, 2.0, 6.0])[:, None, None]
    assert (np.abs(models(experiment) - expected) < 5.5 * errors).all()


def test_opposite_tastes_backfire_beyond_one_half():
    experiment = Experiment.from_yaml(read_preset("opposite-tastes-symbols"), ("seeds=[0]",))
    limit = predict(experiment).limit
    rewards = limit[(limit["metric"] == "reward") & (limit["model"] == "up")]["value"].to_numpy()
    np.testing.assert_allclose(rewards, [0.6394, 0.5531, 0.5, 0.4667, 0.4447], atol=5e-5)


def test_one_model_climbs_as_published():
    """Luce's rule among two and four candidates, alone, all of it synthetic: E r at t = 1, 5, 10, 20, 50."""
    for best_of, known in (
        (2, [0.303443, 0.569225, 0.845332, 0.988808, 0.999998]),
        (4, [0.338535, 0.751102, 0.961271, 0.999250, 1.0]),
    ):
        experiment = Experiment.from_yaml(
            TWO,
            (
                "ecosystem.entities=[{name: up, private: ups}]",
                *("ecosystem.alpha=1", "ecosystem.beta=1", "generations=50"),
                f"ecosystem.preference={preference([0, 0.5, 1], best_of=best_of)}",
            ),
        )
        records = predict(experiment).records
        rewards = records[(records["metric"] == "reward") & records["generation"].isin([1, 5, 10, 20, 50])]
        np.testing.assert_allclose(rewards["value"], known, atol=1e-6)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ((f"ecosystem.preference={preference([0, 1, 2], best_of=2, drift=0.1)}",), "give drift: 0"),
        (("ecosystem.preference={reward: {likelihood: {}}, best_of: 2}",), "received likelihood"),
        ((f"ecosystem.preference={preference([0, 1], best_of=2)}",), "give 3 numbers"),
        ((f"ecosystem.preference={preference([0, 1, 2], best_of=2)}", "ecosystem.history=accumulate"), "newest pool"),
        ((f"ecosystem.preference={preference([0, 1, 2], best_of=2)}", "learner.prior=1"), "give prior: 0"),
        (
            (
                f"ecosystem.preference={preference([0, 1, 2], best_of=2)}",
                f"ecosystem.entities.0.preference={preference([0, 1, 2], best_of=2, judge='reader')}",
            ),
            "give one of them for all",
        ),
    ],
)
def test_what_theory_of_choice_does_not_know(changes, words):
    with pytest.raises(InvalidDescription, match=words):
        predict(Experiment.from_yaml(TWO, changes))
