"""What the surrogate is told of a mixture, against the weights that training sets are drawn with."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from crossfeed.forecasting.ecology import conditions_of, real_weights
from crossfeed.generation.calendar import Calendar
from crossfeed.generation.mixture import mixture_weights

shares = st.floats(0, 1).map(lambda each: round(each, 3))
schedules = st.one_of(shares, st.lists(shares, min_size=1, max_size=3).map(tuple))
TASKS = "pqr"  # r has no owner unless it is drawn


@st.composite
def ecosystems(draw):
    K = draw(st.integers(1, 4))
    update = draw(st.sampled_from(["replace", "accumulate", "accumulate-and-subsample"]))
    own_alpha = schedules if update == "accumulate-and-subsample" else st.none()
    entities = [
        {
            "name": f"e{k}",
            "private": draw(st.sampled_from(TASKS)),
            "alpha": draw(st.one_of(st.none(), own_alpha)),
            "beta": draw(st.one_of(st.none(), schedules)),
            "share": draw(st.floats(0, 3)) + (k == 0),
            "reads": draw(st.one_of(st.none(), st.just({"e0": 1.0}), st.just({f"e{K - 1}": 2.0, f"e{k}": 1.0}))),
        }
        for k in range(K)
    ]
    fields = {"entities": entities, "beta": draw(schedules), "update": update}
    if update == "accumulate-and-subsample":
        fields["alpha"] = draw(st.one_of(schedules, st.just("proportional")))
        fields["history"] = draw(st.sampled_from([None, "latest", "accumulate"]))
    fields["initial_beta"] = draw(st.one_of(st.none(), shares))
    fields["fresh_fraction"] = draw(st.one_of(st.just(0.0), shares))
    return Ecosystem.model_validate(fields)


def experiment_of(ecosystem, generations):
    experiment = Experiment.from_yaml(read_description("fake"))
    return experiment.model_copy(update={"ecosystem": ecosystem, "generations": generations})


def expected(ecosystem, own, generation, entity):
    """``(Q,)`` and ``(K,)`` weights, source by source."""
    real, synthetic = np.zeros(len(TASKS) + 1), np.zeros(len(ecosystem.names))
    for source, weight in mixture_weights(Calendar(ecosystem, 0), generation, entity).items():
        if source.name in ecosystem.names:
            synthetic[ecosystem.names.index(source.name)] += weight
        else:
            real[own[entity] if source.name == "private" else len(TASKS)] += weight
    return real, synthetic


@settings(deadline=None, max_examples=150)
@given(ecosystem=ecosystems(), generations=st.integers(1, 5))
def test_conditions_are_the_weights_of_the_draws(ecosystem, generations):
    own = [TASKS.index(entity.private) for entity in ecosystem.entities]
    K, Q = len(own), len(TASKS) + 1
    found = conditions_of(experiment_of(ecosystem, generations), own, Q, lambda t, k: 10.0 * t + k)
    assert found.real.shape == (generations, K, Q)
    assert found.synthetic.shape == (generations, K, K)
    np.testing.assert_allclose(found.real.sum(axis=2) + found.synthetic.sum(axis=2), 1, rtol=1e-12)
    for t in range(1, generations + 1):
        for k in range(K):
            real, synthetic = expected(ecosystem, own, t, k)
            np.testing.assert_allclose(found.real[t - 1, k], real, rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(found.synthetic[t - 1, k], synthetic, rtol=1e-12, atol=1e-15)
            assert found.steps[t - 1, k] == 10 * t + k
    assert found.accumulates == (ecosystem.update == "accumulate" or ecosystem.history == "accumulate")


@settings(deadline=None, max_examples=50)
@given(ecosystem=ecosystems())
def test_generation_0_is_real_data_alone(ecosystem):
    own = [TASKS.index(entity.private) for entity in ecosystem.entities]
    weights = real_weights(ecosystem, own, len(TASKS) + 1, 0)
    for k, beta in enumerate(ecosystem.betas(0)):
        np.testing.assert_allclose(weights[k, [own[k], -1]], [beta, 1 - beta])
    np.testing.assert_allclose(weights.sum(axis=1), 1)


def test_a_cell_without_generations_has_no_conditions(fake):
    experiment = fake("generations=0", "grid={}", "ecosystem.alpha=0.5")
    conditions = conditions_of(experiment, [0, 1], 3, lambda t, k: 1.0)
    assert conditions.generations == 0
    assert conditions.real.shape == (0, 2, 3)


@settings(deadline=None, max_examples=50)
@given(ecosystem=ecosystems(), generations=st.integers(1, 4), until=st.integers(1, 4))
def test_the_first_generations_alone(ecosystem, generations, until):
    own = [TASKS.index(entity.private) for entity in ecosystem.entities]
    long, short = (
        conditions_of(experiment_of(ecosystem, T), own, len(TASKS) + 1, lambda t, k: float(t))
        for T in (generations, min(until, generations))
    )
    kept = long.until(until)
    assert kept.generations == short.generations
    for name in ("real", "synthetic", "steps"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(short, name))


def test_neglect_is_no_real_data_of_an_own_task_or_of_the_public_one(fake):
    def neglects(*overrides):
        experiment = fake("grid={}", "generations=2", *overrides)
        return conditions_of(experiment, [0, 1], 3, lambda t, k: 1.0).neglects(np.array([0, 1]), 2)

    assert not neglects("ecosystem.alpha=0.9", "ecosystem.beta=0.1")
    assert not neglects("ecosystem.alpha=[0, 0.9]", "ecosystem.beta=0.1")
    assert neglects("ecosystem.alpha=1")
    assert neglects("ecosystem.alpha=[0, 1]")  # at some generation
    assert neglects("ecosystem.alpha=0.5", "ecosystem.entities.1.alpha=1")  # of some entity
    assert neglects("ecosystem.alpha=0.5", "ecosystem.beta=0")
    assert neglects("ecosystem.alpha=0.5", "ecosystem.beta=1")
