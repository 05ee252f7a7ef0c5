"""Density models: the contract suite, naive twins, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import logsumexp

from crossfeed import Experiment, MemoryStore, open_store, run
from crossfeed.description.reading import validate
from crossfeed.errors import DataUnavailable, Diverged, InvalidDescription, InvalidInput
from crossfeed.generation.turn import compose, publish, update
from crossfeed.keys import item_keys
from crossfeed.learners.density.family import Unfit
from crossfeed.learners.density.gaussian import GaussianDensity
from crossfeed.learners.density.gmm import GaussianMixtureDensity
from crossfeed.learners.density.kde import KernelDensity
from crossfeed.learners.density.learner import weighted_points
from crossfeed.protocols import Part, TrainingSet
from crossfeed.tasks.samples import point_items, points_of
from crossfeed.testing import LearnerContract
from tests.test_generation import context_of

POINTS = """
ecosystem:
  entities: [{name: a, private: p}, {name: b, private: q}]
  beta: 0.5
  alpha: 0.5
learner: LEARNER
tasks:
  p: {source: mixture, components: [{mean: [3, -1]}, {mean: [3, 2], covariance: 0.2}], train: 60, test: 20}
  q: {source: gaussian, mean: [0, -4], covariance: [[2, 0.9], [0.9, 1]], train: 60, test: 20}
public: {source: gaussian, mean: [1, 1], covariance: [0.5, 3], train: 60, test: 20}
n: 40
generations: 2
metrics: {loss: {}, similarity: {}, energy_distance: {}, wasserstein: {}, projection: {}}
"""
EVERYTHING = POINTS.replace("n: 40\n", "")
LEARNERS = {
    "gaussian": POINTS.replace("LEARNER", "{kind: gaussian}"),
    "gaussian-everything": EVERYTHING.replace("LEARNER", "{kind: gaussian, covariance: unbiased, reads: everything}"),
    "gmm": POINTS.replace("LEARNER", "{kind: gmm}"),
    "kde": POINTS.replace("LEARNER", "{kind: kde}"),
    "kde-everything": EVERYTHING.replace("LEARNER", "{kind: kde, bandwidth: 0.4, reads: everything}"),
    "per-entity": POINTS.replace("LEARNER", "{kind: gaussian}").replace(
        "private: q}", "private: q, learner: {kind: kde}}"
    ),
}
SEED = 11
FAMILIES = {"gaussian": GaussianDensity(False), "gmm": GaussianMixtureDensity(3, 50, 1e-6), "kde": KernelDensity(0.5)}


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


class TestDensities(LearnerContract):
    @pytest.fixture(scope="class", params=sorted(LEARNERS))
    @classmethod
    def described(cls, request):
        return LEARNERS[request.param]


def cloud(rng, m=200, d=3):
    spread = rng.standard_normal((d, d))
    return rng.standard_normal((m, d)) @ spread + rng.standard_normal(d)


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("d", [1, 4])
def test_a_gaussian_has_the_weighted_moments_of_its_points(unbiased, d, rng):
    points, raw = cloud(rng, 30, d), rng.uniform(0.2, 2, 30)
    state = GaussianDensity(unbiased).fit(points, raw / raw.sum(), None, 0)
    np.testing.assert_allclose(state["mean"], np.average(points, axis=0, weights=raw))
    naive = np.atleast_2d(np.cov(points.T, aweights=raw, ddof=int(unbiased)))
    np.testing.assert_allclose(state["covariance"], naive)
    equal = GaussianDensity(unbiased).fit(points, np.full(30, 1 / 30), None, 0)
    np.testing.assert_allclose(equal["covariance"], np.atleast_2d(np.cov(points.T, ddof=int(unbiased))))


def naive_log_density(kind, state, points):
    """A sum over the components, one SciPy density each."""
    if kind == "gaussian":
        parts = [(1.0, state["mean"], state["covariance"])]
    elif kind == "gmm":
        parts = zip(state["weights"], state["means"], state["covariances"], strict=True)
    else:
        kernel = state["bandwidth"] ** 2 * np.eye(points.shape[1])
        parts = [(w, x, kernel) for w, x in zip(state["weights"], state["points"], strict=True)]
    logs = [np.log(w) + stats.multivariate_normal(mean, cov).logpdf(points) for w, mean, cov in parts]
    return logsumexp(logs, axis=0)


@pytest.mark.parametrize("d", [1, 2, 10])
@pytest.mark.parametrize("kind", FAMILIES)
def test_densities_are_sums_of_gaussian_ones_and_generated_points_follow_them(kind, d, rng):
    family, points = FAMILIES[kind], cloud(rng, 150, d)
    weights = np.full(150, 1 / 150)
    if kind == "kde":
        weights = rng.dirichlet(np.ones(150))
    state = family.fit(points, weights, None, 7)
    held_out = cloud(rng, 40, d) / 2
    np.testing.assert_allclose(family.log_density(state, held_out), naive_log_density(kind, state, held_out), rtol=1e-6)
    made = family.sample(state, item_keys(int(rng.integers(2**62)), np.arange(4000)))
    # What a density says of its own points has a mean, minus its entropy, that another sample of it shares.
    again = family.sample(state, item_keys(int(rng.integers(2**62)), np.arange(4000)))
    one, other = (family.log_density(state, each) for each in (made, again))
    assert abs(one.mean() - other.mean()) < 5.5 * np.sqrt((one.var() + other.var()) / 4000)
    mean, second = moments(kind, state)
    error = np.sqrt(np.diag(second - np.outer(mean, mean)) / 4000)
    assert (np.abs(made.mean(axis=0) - mean) < 5.5 * error).all()
    squares = made**2
    assert (np.abs(squares.mean(axis=0) - np.diag(second)) < 5.5 * squares.std(axis=0) / np.sqrt(4000)).all()


def moments(kind, state):
    """Mean and second moments of a density, by hand."""
    if kind == "gaussian":
        return state["mean"], state["covariance"] + np.outer(state["mean"], state["mean"])
    if kind == "gmm":
        outer = state["means"][:, :, None] * state["means"][:, None, :]
        return state["weights"] @ state["means"], np.tensordot(state["weights"], state["covariances"] + outer, 1)
    kernel = state["bandwidth"] ** 2 * np.eye(state["points"].shape[1])
    return state["weights"] @ state["points"], kernel + state["points"].T @ (
        state["weights"][:, None] * state["points"]
    )


def test_everything_weighs_sources_and_draws_weigh_items():
    one, other = np.array([[0.0], [2.0]]), np.array([[5.0], [6.0], [7.0], [8.0]])
    parts = [
        Part("private", 0, 0.25, point_items(one), np.array([0, 3])),
        Part("public", 0, 0.75, point_items(other), np.array([1, 2, 4, 5])),
    ]
    points, weights = weighted_points(TrainingSet(tuple(parts)), "everything")
    np.testing.assert_allclose(weights @ points, [0.25 * 1 + 0.75 * 6.5])
    points, weights = weighted_points(TrainingSet(tuple(parts)), "draws")
    np.testing.assert_array_equal(points[:, 0], [0, 5, 6, 2, 7, 8])
    np.testing.assert_allclose(weights, 1 / 6)


def test_a_mixture_starts_from_the_parameters_before_it(rng):
    points = np.concatenate([rng.normal(-5, 1, (80, 1)), rng.normal(5, 1, (80, 1))])
    weights = np.full(160, 1 / 160)
    swapped = {"weights": np.array([0.5, 0.5]), "means": np.array([[4.0], [-4.0]]), "covariances": np.ones((2, 1, 1))}
    fitted = GaussianMixtureDensity(2, 100, 1e-6).fit(points, weights, swapped, 0)
    assert fitted["means"][0, 0] > 4 > -4 > fitted["means"][1, 0]
    found = GaussianMixtureDensity(2, 100, 1e-6).fit(points, weights, None, 0)
    np.testing.assert_allclose(np.sort(found["means"][:, 0]), np.sort(fitted["means"][:, 0]), rtol=1e-3)


@pytest.mark.parametrize("rule", ["scott", "silverman", 0.7])
def test_kernels_are_those_of_scikit_learn(rule, rng):
    neighbors = pytest.importorskip("sklearn.neighbors")
    points, weights = cloud(rng, 50), rng.dirichlet(np.ones(50))
    state = KernelDensity(rule).fit(points, weights, None, 0)
    theirs = neighbors.KernelDensity(bandwidth=rule, leaf_size=50).fit(points, sample_weight=weights)
    assert state["bandwidth"] == pytest.approx(theirs.bandwidth_)
    held_out = cloud(rng, 30)
    np.testing.assert_allclose(
        KernelDensity(rule).log_density(state, held_out), theirs.score_samples(held_out), rtol=1e-9
    )


def test_many_kernels_are_evaluated_piece_by_piece(rng, monkeypatch):
    points, held_out = cloud(rng, 50), cloud(rng, 33)
    state = KernelDensity(0.5).fit(points, np.full(50, 1 / 50), None, 0)
    whole = KernelDensity(0.5).log_density(state, held_out)
    monkeypatch.setattr("crossfeed.learners.density.kde._AT_ONCE", 120)
    np.testing.assert_array_equal(KernelDensity(0.5).log_density(state, held_out), whole)


def test_what_has_no_fit_says_so():
    line = np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]])
    with pytest.raises(Unfit, match="3 points in 2 dimensions"):
        GaussianDensity(False).fit(line, np.full(3, 1 / 3), None, 0)
    with pytest.raises(Unfit, match="larger training sets"):
        GaussianDensity(True).fit(line[:1], np.ones(1), None, 0)
    with pytest.raises(Unfit, match="4 components"):
        GaussianMixtureDensity(4, 10, 1e-6).fit(line, np.full(3, 1 / 3), None, 0)


def test_a_collapse_ends_the_cell_and_names_the_entity():
    context = context_of(Experiment.from_yaml(LEARNERS["gaussian"], ("n=2",)))
    with pytest.raises(Diverged, match="generation 0: the covariance of 2 points") as error:
        update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    assert error.value.entity == 0
    outcome = run(Experiment.from_yaml(LEARNERS["gaussian"], ("n=2",)), MemoryStore())
    (failure,) = outcome.failures.values()
    assert failure["type"] == "Diverged"
    assert "entity a" in failure["message"]


@pytest.mark.parametrize("kind", ["gaussian", "gmm", "kde"])
def test_a_run_on_disk_is_the_run_in_memory(kind, tmp_path):
    experiment = Experiment.from_yaml(LEARNERS[kind])
    rows = [
        [tuple(row.items()) for row in run(experiment, store).records.to_pylist() if row["metric"] != "seconds"]
        for store in (MemoryStore(), open_store(str(tmp_path / "run")))
    ]
    assert rows[0] == rows[1]
    assert {dict(row)["metric"] for row in rows[0]} >= {"loss", "energy_distance", "wasserstein", "similarity"}


def test_states_on_disk_carry_no_code(tmp_path, rng):
    context = context_of(Experiment.from_yaml(LEARNERS["gmm"]))
    (state, _) = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
    context.learner.save(state, tmp_path)
    with np.load(tmp_path / "density.npz", allow_pickle=False) as archive:
        assert set(archive) == {"weights", "means", "covariances"}
    (tmp_path / "density.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataUnavailable, match=r"density\.npz"):
        context.learner.load(tmp_path)


def test_models_learn_each_others_points_through_the_pool():
    for kind in ("gaussian", "gmm", "kde"):
        context = context_of(Experiment.from_yaml(LEARNERS[kind], ("ecosystem.beta=1", "ecosystem.alpha=0.6", "n=200")))
        states = before = update(context, 0, context.learner.start(range(2)), compose(context, 0, {}))
        pool = publish(context, 1, states)
        after = update(context, 1, states, compose(context, 1, {1: pool}))
        for own, others in ((0, "q"), (1, "p")):
            items = context.tasks[others].test
            first, then = (
                context.learner.score([states[own]], [items])[0][0].loss.mean() for states in (before, after)
            )
            assert then < first - 0.5


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("learner={kind: gaussian, covariance: best}", ["learner.covariance", "best"]),
        ("learner={kind: gmm, components: 0}", ["learner.components", "greater than or equal to 1"]),
        ("learner={kind: gmm, reads: everything}", ["learner.reads", "unknown key"]),
        ("learner={kind: kde, bandwidth: 0}", ["learner.bandwidth"]),
        ("learner={kind: kde, bandwidth: wide}", ["learner.bandwidth", "wide"]),
        ("tasks.p={source: gaussian, covariance: -1}", ["tasks.p", "positive definite"]),
        ("tasks.p={source: gaussian, mean: [1, 2], covariance: [1]}", ["tasks.p", "2 numbers"]),
        ("tasks.p={source: gaussian, mean: [1, 2], covariance: [[1, 2], 3]}", ["tasks.p.covariance", "d rows of d"]),
        ("tasks.p={source: gaussian, mean: [1, 2], covariance: [[1, 0.5], [0.4, 1]]}", ["tasks.p", "symmetric"]),
        ("tasks.p={source: mixture, components: []}", ["tasks.p.components"]),
        ("tasks.p={source: mixture, components: [{mean: [1]}, {mean: [1, 2]}]}", ["tasks.p", "[1, 2] numbers"]),
        ("tasks.p={source: gaussian, train: 100000000, mean: [1, 2]}", ["tasks.p", "give fewer"]),
        ("metrics={wasserstein: {directions: 0}}", ["metrics.wasserstein.directions"]),
    ],
)
def test_impossible_descriptions_are_refused_by_name(override, words):
    with pytest.raises(InvalidDescription) as error:
        Experiment.from_yaml(LEARNERS["kde"], (override,))
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("tasks.p={source: math, train: 8, validation: 1, test: 2}", "'p'.*reads points.*gaussian, mixture or columns"),
        ("tasks.p={source: gaussian, mean: [1, 2, 3]}", "same dimension; received p: d = 3, q: d = 2"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(override, words):
    with pytest.raises(InvalidInput, match=words):
        run(Experiment.from_yaml(LEARNERS["kde"], (override,)), MemoryStore())


def test_settings_are_read_back_as_they_were():
    for text in LEARNERS.values():
        experiment = Experiment.from_yaml(text)
        assert Experiment.from_yaml(experiment.to_yaml()) == experiment
    kind = type(experiment.tasks["p"])
    spelled = validate(kind, {"source": "mixture", "components": [{"mean": [1, 2], "covariance": [[2, 0], [0, 1]]}]})
    assert points_of(spelled.build("p", None).train).shape == (1000, 2)
