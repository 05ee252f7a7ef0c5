"""The literature's workflows: runs of Gaussian and kernel density models against exact moments, and the presets."""

from __future__ import annotations

import importlib.util
import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import read_preset
from crossfeed.errors import InvalidInput
from crossfeed.exact.prediction import predict
from crossfeed.generation.cell_context import CellContext
from crossfeed.generation.turn import compose, publish, update
from crossfeed.records import state_scope_of
from crossfeed.tasks.samples import points_of
from crossfeed.theory.densities import density_moments
from tests.test_generation import context_of


def example(name):
    """A module of examples/; registered, since it has dataclasses."""
    spec = importlib.util.spec_from_file_location(f"examples_{name}", EXAMPLES / f"{name}.py")
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


EXAMPLES = Path(__file__).parents[1] / "examples"
literature = example("literature")
SEED = 0
LOOPS = ("fully synthetic", "synthetic augmentation", "fresh data")


def numbers(moments):
    """Variance within the first model and the squared error of its mean, by generation."""
    K = moments.mean.shape[1]
    return moments.covariance[:, 0, 0, 0], moments.drift(np.zeros((K, 1)))[:, 0, 0, 0]


# Nothing is symmetric: two models with other truths, sizes, weights and shares, and public data of a third kind.
TWO = """
ecosystem:
  entities: [{name: a, private: p, share: 3, alpha: [0.9, 0.4, 0.7]}, {name: b, private: q, beta: 0.8}]
  alpha: 0.6
  beta: 0.3
  initial_beta: 0.6
  fresh_fraction: 0.2
learner: LEARNER
tasks:
  p: {source: gaussian, mean: [1, -2], covariance: [[1, 0.5], [0.5, 2]], train: 12, test: 2}
  q: {source: mixture, components: [{mean: [0, 3]}, {mean: [2, 2]}], train: 9, test: 2}
public: {source: gaussian, mean: [-1, 1], covariance: 0.5, train: 7, test: 2}
generations: 3
metrics: {}
"""
CASES = {
    "gaussian-latest": ("{kind: gaussian, reads: everything}",),
    "gaussian-accumulate": ("{kind: gaussian, reads: everything}", "ecosystem.history=accumulate"),
    "unbiased-accumulate": (
        "{kind: gaussian, covariance: unbiased, reads: everything}",
        *("ecosystem.history=accumulate", "ecosystem.fresh_fraction=0"),
    ),
    "gaussian-draws": ("{kind: gaussian}", "n=8", "pool_size=5"),
    "gaussian-own-n": ("{kind: gaussian}", "n=60", "pool_size=50", "ecosystem.entities.1.n=8"),
    "gaussian-own-n-initial": ("{kind: gaussian}", "n=8", "initial_n=12", "pool_size=7", "ecosystem.entities.0.n=40"),
    "unbiased-draws": ("{kind: gaussian, covariance: unbiased}", "n=8", "pool_size=100000"),
    "kde-draws": ("{kind: kde, bandwidth: 0.5}", "n=8", "pool_size=6", "ecosystem.history=accumulate"),
}
OWN_N = "ecosystem.entities.1.n"
RUNS = 100


def simulated(experiment):
    """Means and covariances of many runs with real data of their own: ``(R, T + 1, K, d[, d])``."""
    means, covariances = [], []
    base = context_of(experiment)
    for seed in range(RUNS):
        cell = replace(base.cell, seed=seed + SEED)
        settings = {**cell.experiment.tasks, "public": cell.experiment.public}
        tasks = {
            name: each.model_copy(update={"seed": seed + SEED}).build(name, None) for name, each in settings.items()
        }
        context = CellContext.create(cell, base.learner, tasks)
        states, pools, path = context.learner.start(range(2)), {}, []
        for generation in range(experiment.generations + 1):
            if context.selection.publishes(generation):
                pools[generation] = publish(context, generation, states)
            states = update(context, generation, states, compose(context, generation, pools))
            path.append([literature.moments_of(state) for state in states])
        means.append([[mean for mean, _ in each] for each in path])
        covariances.append([[covariance for _, covariance in each] for each in path])
    return np.array(means), np.array(covariances)


@pytest.mark.parametrize("case", CASES)
def test_runs_have_the_exact_moments(case):
    learner, *overrides = CASES[case]
    experiment = Experiment.from_yaml(TWO.replace("LEARNER", learner), tuple(overrides))
    exact = literature.expected(experiment)
    means, covariances = simulated(experiment)
    products = means[:, :, :, None, :, None] * means[:, :, None, :, None, :]
    found = []
    for sample, wanted in ((means, exact.mean), (covariances, exact.covariance), (products, exact.products)):
        error = sample.std(axis=0, ddof=1) / np.sqrt(RUNS)
        found.append(((sample.mean(axis=0) - wanted) / error).ravel())
    every = np.abs(np.concatenate(found))
    # As many standard errors as one of these numbers exceeds once in a million times; tails are heavier than normal.
    assert every.max() < 1.15 * norm.isf(1e-6 / 2 / len(every)), case
    # The same theory with another weight is found out.
    wrong = density_moments(replace(literature.exchange_of(experiment), fresh=0.8))
    if experiment.ecosystem.fresh_fraction:
        off = (means.mean(axis=0) - wrong.mean) / means.std(axis=0, ddof=1) * np.sqrt(RUNS)
        assert np.abs(off).max() > 7


def test_an_entity_that_draws_less_loses_more_of_its_variance_and_theory_says_how_much():
    learner, *overrides = CASES["gaussian-own-n"]
    own = Experiment.from_yaml(TWO.replace("LEARNER", learner), tuple(overrides))
    alike = own.model_copy(update={"ecosystem": Experiment.from_yaml(own.to_yaml(), (f"{OWN_N}=null",)).ecosystem})
    exact, common = literature.expected(own), literature.expected(alike)
    # At generation 0 the factor of maximum likelihood is 1 - 1/n: of 8 draws and of 60, of the same data.
    np.testing.assert_allclose(exact.covariance[0, 1] / common.covariance[0, 1], (1 - 1 / 8) / (1 - 1 / 60))
    np.testing.assert_allclose(exact.covariance[0, 0], common.covariance[0, 0])
    # Its mean scatters as theory says for 8 draws (seven standard errors are a factor of 2), not as for 60.
    means, _ = simulated(own)
    scatter = np.array([np.trace(np.cov(means[:, t, 1].T)) for t in range(own.generations + 1)])
    ratio = {name: scatter / _scatter_of_the_second_mean(each) for name, each in (("own", exact), ("common", common))}
    assert ((ratio["own"] > 0.5) & (ratio["own"] < 2)).all()
    assert ratio["common"][1] > 2


def _scatter_of_the_second_mean(exact):
    """The trace of the covariance of the second entity's mean, by generation."""
    own = exact.products[:, 1, 1] - exact.mean[:, 1, :, None] * exact.mean[:, 1, None, :]
    return np.einsum("taa->t", own)


def test_given_the_real_data_collapse_starts_from_them():
    """With one data set, E Sigma_t = (1 - 1/n)^t Sigma_0 and E m_t = m_0, exactly."""
    given = ("grid={ecosystem.update: [replace]}", "generations=3", "metrics={}", "checkpoints=all")
    experiment = Experiment.from_yaml(read_preset("collapse-gaussian"), (*given, f"seeds={list(range(150))}"))
    points = points_of(experiment.tasks["e1"].build("e1", None).train)
    paths = []
    store = MemoryStore()
    assert not run(experiment, store).failures
    for cell in experiment.cells():
        states = [store.read_states(state_scope_of(cell, g), g, ("e1",), None)[0] for g in range(4)]
        paths.append([(state["mean"][0], state["covariance"][0, 0]) for state in states])
    means, variances = np.moveaxis(np.array(paths), 2, 0)
    np.testing.assert_allclose(variances[:, 0], points.var())
    for generation in (1, 2, 3):
        for sample, wanted in (
            (variances[:, generation], points.var() * 0.95**generation),
            (means[:, generation], points.mean()),
        ):
            assert abs(sample.mean() - wanted) < 5.5 * sample.std(ddof=1) / np.sqrt(150)


def test_the_linear_preset_is_predicted_for_any_number_of_models():
    for K in (1, 4):
        experiment = Experiment.from_yaml(
            read_preset("collapse-linear"), (f"ecosystem.entities={K}", "tasks.each.entity=0")
        )
        records = predict(experiment).records
        mse = records[records["metric"] == "mse"].groupby(["cell", "generation"])["value"].mean().unstack()
        (replaced,) = [row for name, row in mse.iterrows() if "replace" in name]
        (accumulated,) = [row for name, row in mse.iterrows() if "accumulate" in name]
        pooled = replaced[0] / K
        # Published anew, everyone's noise counts for a K-th; the estimate of generation 1 is already everyone's.
        np.testing.assert_allclose(np.diff(replaced)[1:], pooled)
        if K == 1:
            np.testing.assert_allclose(accumulated / pooled, np.cumsum(1 / np.arange(1, 22) ** 2))
        else:
            assert accumulated[20] / pooled < math.pi**2 / 6


@pytest.mark.parametrize("scheme", literature.SCHEMES)
@pytest.mark.parametrize("model", ["gaussian", "kde", "linear"])
def test_presets_are_the_workflows_that_they_say(model, scheme):
    (workflow,) = [w for w in literature.DENSITIES + literature.LINEAR if w.name == f"{model}, {scheme}"]
    for K in (1, 8):
        experiment = workflow.experiment(K)
        (cell,) = experiment.cells()
        eco = cell.experiment.ecosystem
        assert len(eco.entities) == K
        assert (eco.betas(1) == 1).all()
        np.testing.assert_allclose(eco.alphas(3), 1 if scheme == "replace" else 3 / 4)
        assert eco.accumulates == (scheme != "replace")
        assert (experiment.learner.reading() == "draws") == (scheme == "accumulate-and-subsample")


def test_loops_are_those_of_their_paper():
    cells = Experiment.from_yaml(read_preset("loops-gaussian")).cells()
    found = {(c.experiment.ecosystem.alpha, c.experiment.ecosystem.fresh_fraction) for c in cells}
    assert found == {(1, 0), (0.5, 0), (1, 0.5), (0.5, 0.5)}
    variance = {workflow.name: numbers(literature.expected(workflow.experiment(1))) for workflow in literature.LOOPS}
    kept = [variance[f"gaussian, {name} loop"][0][-1] for name in LOOPS]
    errors = [variance[f"gaussian, {name} loop"][1][-1] for name in LOOPS]
    assert kept[0] < 0.1 < 0.9 < kept[1] < kept[2]  # only without real data does the variance go
    assert errors[0] > errors[1] > variance["gaussian, fresh data loop"][1][0] > errors[2]  # only fresh data are a gain


def test_a_mixture_stays_with_enough_real_data_and_goes_without():
    given = ("seeds=[0, 1, 2]", "generations=25", "metrics={loss: {every: 25}}", "grid.ecosystem.alpha=[0.3, 1]")
    outcome = run(Experiment.from_yaml(read_preset("real-share-gmm"), given), MemoryStore())
    assert not outcome.failures
    rows = [row for row in outcome.records.to_pylist() if row["metric"] == "loss" and row["task"] == "e1"]
    change = {
        alpha: np.mean([row["value"] * (1 if row["generation"] else -1) for row in rows if row["alpha"] == alpha]) * 2
        for alpha in (0.3, 1.0)
    }
    assert abs(change[0.3]) < 0.1
    assert change[1.0] > 1


def verified(*curation, mass=0.9, n=2000, generations=3):
    """The last generation's points of an endless kernel density estimate under a filter."""
    given = (f"n={n}", f"pool_size={2 * n}", f"tasks.each.train={n}", f"generations={generations}", "metrics={}")
    overrides = (*given, f"grid={{ecosystem.curation: [{', '.join(curation)}]}}", "checkpoints=all")
    experiment = Experiment.from_yaml(read_preset("verified-kde"), overrides)
    store = MemoryStore()
    assert not run(experiment, store).failures
    return [
        store.read_states(state_scope_of(cell, generations), generations, ("e1",), None)[0]["points"][:, 0]
        for cell in experiment.cells()
    ]


def test_a_verifier_keeps_what_lies_where_the_truth_is_dense():
    edge = norm.ppf(0.95)
    perfect, leaky, wary = verified(
        "{verifier: {mass: 0.9}}", "{verifier: {mass: 0.9, recall: 0.5}}", "{verifier: {mass: 0.9, false_alarm: 0.5}}"
    )
    for points in (perfect, wary):
        assert 0.9 * edge < np.abs(points).max() < 1.02 * edge  # the level is found from draws of the truth
    wrong = (np.abs(leaky) > 1.02 * edge).mean()
    # Densities on a grid: kernels, then the verifier's cut, each time.
    grid = np.linspace(-8, 8, 3201)
    kernel = norm.pdf(grid, scale=0.3)
    density = norm.pdf(grid)
    for _ in range(3):
        density = np.convolve(density, kernel, "same")
        density = np.where(np.abs(grid) > edge, 0.5, 1.0) * density
        density /= density.sum()
    expected = density[np.abs(grid) > 1.02 * edge].sum()
    assert abs(wrong - expected) < 0.04


def test_a_verifier_needs_a_truth_to_know():
    experiment = Experiment.from_yaml(
        "ecosystem: {entities: [{name: a, private: p}], alpha: 1, curation: {verifier: {}}}\nlearner: {kind: fake}\n"
        "tasks: {p: fake}\npublic: fake\nn: 5\ngenerations: 1\n"
    )
    with pytest.raises(InvalidInput, match=r"curation\.verifier.*no known truth"):
        run(experiment, MemoryStore())


def test_authors_that_verify_themselves_lose_their_tails():
    (points,) = verified("{loss: {quantile: 0.9}}", generations=3)
    assert points.var() < 0.75


def test_the_example_draws_its_figures_and_finds_more_models_better(tmp_path, monkeypatch):
    whole = literature.Workflow.experiment

    def short(workflow, entities, replicate=0):
        return whole(workflow, entities, replicate).model_copy(update={"generations": 2})

    monkeypatch.setattr(literature.Workflow, "experiment", short)
    monkeypatch.setattr(literature, "DENSITIES", [replace(literature.DENSITIES[0], runs=2.0)])
    monkeypatch.setattr(literature, "LINEAR", literature.LINEAR[2:])
    monkeypatch.setattr(literature, "LOOPS", literature.LOOPS[2:])
    monkeypatch.setattr(literature, "VERIFIED", literature.VERIFIED[1:2])
    monkeypatch.setattr(literature, "SHARES", (0.5,))
    tables = literature.main(tmp_path, replicates=1, entities=(1, 2))
    for name in ("collapse", "loops", "verified", "real_share"):
        assert (tmp_path / f"literature_{name}.png").read_bytes().startswith(b"\x89PNG")
    row = tables["collapse"]["gaussian, replace", "variance"]
    assert row[2].exact[-1] > row[1].exact[-1] == pytest.approx(0.95**3)
    assert "**0.857** (" in literature.as_markdown(tables["collapse"])


def test_the_logistic_pathway(tmp_path):
    pathway = example("logistic_pathway")
    found = pathway.main(tmp_path, replicates=150, generations=6)
    for K in (1, 4):
        off = found[f"K = {K}: simulated"] - found[f"K = {K}: linear, exact"]
        assert abs(off) < 5.5 * found[f"K = {K}: standard error"]
    assert found["K = 1: linear, exact"] == pytest.approx(sum(1 / s**2 for s in range(1, 8)))
    assert (tmp_path / "logistic_pathway.png").exists()
