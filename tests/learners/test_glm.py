"""The GLM learner against a naive twin: a general optimiser on one replicate's likelihood at a time."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import minimize
from tests.learners.test_linear import context_of
from tests.tiny import GLM

from crossfeed import MemoryStore, run
from crossfeed.description.experiment import Experiment
from crossfeed.errors import Diverged
from crossfeed.generation.turn import compose, update
from crossfeed.keys import item_keys
from crossfeed.learners.regression.families import half_deviance, poisson_quantiles
from crossfeed.learners.regression.newton import maximum_likelihood
from crossfeed.learners.regression.replicates import WeightedSource
from crossfeed.tasks.regression import mean_response, responses_of

FAMILIES = ("logistic", "poisson")


def responses(rng, family, features, theta, replicates):
    mean = mean_response(family, features @ theta)[:, None].repeat(replicates, 1)
    return (rng.random(mean.shape) < mean).astype(float) if family == "logistic" else rng.poisson(mean).astype(float)


def random_parts(seed, family, rank=3, d=3, replicates=5, rows=(60, 40, 60)):
    """Three sources; the first and the last share their features."""
    rng = np.random.default_rng(seed)
    span = rng.standard_normal((rank, d))
    theta = rng.standard_normal(rank) @ span / (span**2).sum()
    first, second = (rng.standard_normal((n, rank)) @ span for n in rows[:2])
    return [
        WeightedSource(weight, features, responses(rng, family, features, theta, replicates))
        for weight, features in ((0.5, first), (0.3, second), (0.2, first))
    ]


def negative_log_likelihood(theta, family, parts, replicate):
    """And its gradient, straight from the definition."""
    value, gradient = 0.0, np.zeros_like(theta)
    for part in parts:
        predictor, y = part.features @ theta, part.responses[:, replicate]
        potential = np.exp(predictor) if family == "poisson" else np.logaddexp(0, predictor)
        value -= part.weight * (y * predictor - potential).sum()
        gradient -= part.weight * part.features.T @ (y - mean_response(family, predictor))
    return value, gradient


@pytest.mark.parametrize("rank", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_every_replicate_is_at_its_maximum(family, rank):
    parts = random_parts([rank, 7], family, rank)
    fit = maximum_likelihood(family, parts, np.zeros((5, 3)))
    assert fit.exists.all()
    for replicate, theta in enumerate(fit.estimates):
        value, gradient = negative_log_likelihood(theta, family, parts, replicate)
        np.testing.assert_allclose(gradient, 0, atol=1e-10)
        found = minimize(
            negative_log_likelihood, np.zeros(3), (family, parts, replicate), jac=True, method="BFGS", tol=1e-9
        )
        assert value <= found.fun + 1e-9
        # Beginning at zero, gradients never leave the span of the features: both have the least norm.
        np.testing.assert_allclose(theta, found.x, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_beginning_changes_nothing_nor_do_other_replicates(family):
    parts = random_parts(11, family)
    cold = maximum_likelihood(family, parts, np.zeros((5, 3))).estimates
    far = np.random.default_rng(0).uniform(-4, 4, (5, 3))
    np.testing.assert_allclose(maximum_likelihood(family, parts, far).estimates, cold, atol=1e-10)
    alone = [WeightedSource(part.weight, part.features, part.responses[:, 2:3]) for part in parts]
    np.testing.assert_allclose(maximum_likelihood(family, alone, far[2:3]).estimates[0], cold[2], atol=1e-10)


def test_a_far_overshooting_step_is_halved():
    features = np.column_stack([np.ones(50), np.linspace(-1, 1, 50)])
    counts = np.random.default_rng(4).poisson(np.exp(features @ [6.0, 3.0]))[:, None].astype(float)
    part = WeightedSource(1.0, features, counts)
    fit = maximum_likelihood("poisson", [part], np.array([[-8.0, 0.0]]))
    assert fit.exists.all()
    np.testing.assert_allclose(features.T @ (np.exp(features @ fit.estimates[0]) - counts[:, 0]), 0, atol=1e-6)


SEPARATED = {
    "by a threshold": ("logistic", np.array([[1.0, -2], [1, -1], [1, 1], [1, 2]]), [0, 0, 1, 1]),
    "all alike": ("logistic", np.array([[1.0, -2], [1, -1], [1, 1], [1, 2]]), [1, 1, 1, 1]),
    "touching": ("logistic", np.array([[1.0, -2], [1, 0], [1, 0], [1, 2], [1, 2]]), [0, 0, 1, 1, 1]),
    "no counts": ("poisson", np.array([[1.0, -2], [1, -1], [1, 1], [1, 2]]), [0, 0, 0, 0]),
    "no counts but one": ("poisson", np.array([[1.0, 0], [0, 1], [0, 1], [0, 1]]), [3, 0, 0, 0]),
}


@pytest.mark.parametrize("case", SEPARATED)
def test_separated_data_have_no_estimate_and_a_ridge_gives_one(case):
    family, features, labels = SEPARATED[case]
    fine = [1, 0, 1, 0, 1][: len(labels)] if family == "logistic" else [1, 2, 1, 1]
    part = WeightedSource(1.0, features, np.array([fine, labels], dtype=float).T)
    fit = maximum_likelihood(family, [part], np.zeros((2, 2)))
    assert fit.exists.tolist() == [True, False]
    ridged = maximum_likelihood(family, [part], np.zeros((2, 2)), ridge=0.1)
    assert ridged.exists.all()
    for theta, y in zip(ridged.estimates, part.responses.T, strict=True):
        slope = features.T @ (y - mean_response(family, features @ theta)) - 0.1 * theta
        np.testing.assert_allclose(slope, 0, atol=1e-10)


def test_separation_ends_the_cell_as_a_record():
    few = GLM.replace("FAMILY", "logistic").replace("rows: 60", "rows: 2")
    outcome = run(Experiment.from_yaml(few), MemoryStore())
    (failure,) = outcome.failures.values()
    assert failure["type"] == "Diverged"
    assert "separated" in failure["message"]
    assert "learner.ridge" in failure["message"]
    assert not run(Experiment.from_yaml(few, ("learner.ridge=0.5",)), MemoryStore()).failures


def test_the_message_of_separation_names_the_entity():
    context = context_of(GLM.replace("FAMILY", "logistic"))
    sets = compose(context, 0, {})
    pieces = [sets[0], compose(context_of(GLM.replace("FAMILY", "logistic").replace("rows: 60", "rows: 2")), 0, {})[1]]
    with pytest.raises(Diverged, match="entity 1: the likelihood of"):
        context.learner.update(context.learner.start(range(2)), pieces, [0, 1], 0)


def test_poisson_quantiles_are_those_of_the_distribution():
    rng = np.random.default_rng(8)
    mean = np.exp(rng.uniform(-6, 6, 4000))
    uniform = rng.random(4000)
    uniform[:3] = [0.0, 1 - 2.0**-53, 0.5]
    counts = poisson_quantiles(uniform, mean)
    below = stats.poisson.cdf(counts - 1, mean)
    assert (stats.poisson.cdf(counts, mean) >= uniform - 1e-14).all()
    assert ((below < uniform + 1e-14) | (counts == 0)).all()
    # At the jumps themselves, where the continuous inverse is a whole number up to rounding.
    steps = np.arange(200.0)
    np.testing.assert_array_equal(
        poisson_quantiles(stats.poisson.cdf(steps, 90.0)[60:120], np.full(60, 90.0)), steps[60:120]
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_generated_responses_follow_the_fitted_model(family):
    context = context_of(GLM.replace("FAMILY", family).replace("replicates: 4", "replicates: 4000"))
    theta = np.tile([0.7, -0.4], (4000, 1))
    prompts = context.private(0)
    drawn = responses_of(context.learner.generate([theta], [prompts], [item_keys(2, np.arange(60))])[0])
    mean = mean_response(family, context.tasks["p"].features @ theta[0])
    variance = mean * (1 - mean) if family == "logistic" else mean
    assert (np.abs(drawn.mean(axis=1) - mean) < 5 * np.sqrt(variance / 4000)).all()
    assert (np.abs(drawn.var(axis=1) / variance - 1) < 0.25).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_the_loss_is_the_divergence_from_the_response(family):
    predictor = np.array([-2.0, 0.3, 1.5])
    mean = mean_response(family, predictor)
    np.testing.assert_allclose(half_deviance(family, mean, predictor), 0, atol=1e-12)
    y = np.array([0.0, 1.0, 1.0])
    if family == "logistic":
        expected = -stats.bernoulli.logpmf(y, mean)
    else:
        expected = stats.poisson.logpmf(y, y) - stats.poisson.logpmf(y, mean)
    np.testing.assert_allclose(half_deviance(family, y, predictor), expected, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
def test_training_brings_the_test_loss_near_zero(family):
    context = context_of(GLM.replace("FAMILY", family).replace("rows: 60", "rows: 2000"), "ecosystem.beta=1")
    states = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    loss = [scores[0].loss.mean() for scores in context.learner.score(states, [context.tasks["p"].test])]
    assert 0 < loss[0] < 0.01 < loss[1]


@pytest.fixture(scope="module")
def universality():
    """The example that makes the table of docs/universality.md."""
    path = Path(__file__).parents[2] / "examples" / "universality.py"
    spec = importlib.util.spec_from_file_location("universality", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.mark.parametrize("entities", [1, 2])
@pytest.mark.parametrize("family", FAMILIES)
def test_large_data_follow_the_linear_theory_of_information_matrices(universality, family, entities):
    row = universality.compare(family, entities, 400, 1000)
    assert (np.abs(row.deviation) < universality.AGREEMENT + 3 * row.error).all()
    assert f"| {family} | {entities} | 400 | " in universality.line(row)
    assert universality.agreeing([row]) in (400, None)


def test_small_logistic_data_do_not(universality):
    row = universality.compare("logistic", 1, 25, 2000)
    assert (row.deviation > universality.AGREEMENT + 3 * row.error).all()
    assert universality.agreeing([row]) is None
    assert universality.compare("logistic", 1, 3, 20).deviation is None
