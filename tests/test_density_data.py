"""Numeric samples and the distances between them: known truths, files, and definitions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import csv, parquet
from scipy import stats
from scipy.optimize import linear_sum_assignment
from scipy.special import gammaln

from crossfeed import Experiment, MemoryStore, run
from crossfeed.description.reading import validate
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.metrics.energy import energy_distance
from crossfeed.metrics.wasserstein import sliced_wasserstein
from crossfeed.tasks.columns import ColumnsSettings
from crossfeed.tasks.samples import GaussianSamplesSettings, MixtureSamplesSettings, points_of

MIXTURE = {
    "source": "mixture",
    "components": [
        {"mean": [2, -1], "covariance": [[2, 0.9], [0.9, 1]], "weight": 3},
        {"mean": [-3, 4], "covariance": [0.5, 2]},
    ],
}
SEED = 5


@pytest.fixture
def rng():
    return np.random.default_rng(SEED)


def mixture(name="p", **settings):
    return validate(MixtureSamplesSettings, MIXTURE | settings).build(name, None)


def test_samples_have_the_moments_of_the_truth():
    task = mixture(train=40_000, test=10)
    truth, points = task.truth, points_of(task.train)
    np.testing.assert_allclose(truth.mean, [0.75 * 2 - 0.25 * 3, -0.75 + 1])
    apart = np.array([5, -5])
    within = 0.75 * np.array([[2, 0.9], [0.9, 1]]) + 0.25 * np.diag([0.5, 2])
    np.testing.assert_allclose(truth.covariance, within + 0.75 * 0.25 * np.outer(apart, apart))
    error = np.sqrt(np.diag(truth.covariance) / 40_000)
    assert (np.abs(points.mean(axis=0) - truth.mean) < 5.5 * error).all()
    products = (points - truth.mean)[:, :, None] * (points - truth.mean)[:, None, :]
    assert (np.abs(products.mean(axis=0) - truth.covariance) < 5.5 * products.std(axis=0) / 200).all()


def test_a_gaussian_is_a_mixture_of_one():
    spelled = [
        {"covariance": 2},
        {"covariance": [2, 2]},
        {"covariance": [[2, 0], [0, 2]]},
    ]
    tasks = [
        validate(GaussianSamplesSettings, {"mean": [1, 3], **each}).build("p", None)  # all one data set
        for each in spelled
    ]
    assert len({task.content for task in tasks}) == 1
    one = mixture(components=[{"mean": [1, 3], "covariance": 2, "weight": 7}])
    assert one.content == tasks[0].content


def test_names_and_seeds_tell_data_apart_and_splits_share_nothing():
    base = mixture()
    assert base.content == mixture().content
    for other in (mixture("q"), mixture(seed=1), mixture(train=999), mixture(test=999)):
        assert other.content != base.content
    kept, fresh = base.reserve(3)
    assert kept is base
    assert [table.num_rows for table in fresh] == [1000] * 3
    everything = np.concatenate([points_of(each) for each in (base.train, base.test, *fresh)])
    assert len(np.unique(everything, axis=0)) == len(everything) == 5000
    assert base.validation.num_rows == 0
    assert base.validation.schema == base.train.schema


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_numeric_columns_of_a_file_are_points(ending, tmp_path, rng):
    table = pa.table({"a": rng.standard_normal(50), "b": np.arange(50), "name": ["x"] * 50})
    path = tmp_path / f"data.{ending}"
    (csv.write_csv if ending == "csv" else parquet.write_table)(table, path)
    settings = validate(ColumnsSettings, {"path": str(path), "columns": ["b", "a"], "test": 10})
    task = settings.build("p", None)
    points = np.concatenate([points_of(task.train), points_of(task.test)])
    assert (task.train.num_rows, task.test.num_rows) == (40, 10)
    order = np.argsort(points[:, 0])
    np.testing.assert_array_equal(points[order, 0], np.arange(50))
    np.testing.assert_allclose(points[order, 1], table["a"].to_numpy())
    assert settings.build("p", None).content == task.content
    kept, fresh = task.reserve(4)
    parts = [points_of(each)[:, 0].tolist() for each in (kept.train, *fresh)]
    assert sorted(number for part in parts for number in part) == sorted(points_of(task.train)[:, 0].tolist())
    with pytest.raises(InvalidInput, match="too few for fresh ones"):
        task.reserve(21)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"columns": ["a", "c"]}, InvalidInput, "no column c; it has a, name"),
        ({"columns": ["name"]}, InvalidInput, "name are no numbers"),
        ({"columns": ["a"], "test": 3}, InvalidInput, "at most 2"),
        ({"path": "nowhere.csv"}, DataUnavailable, "cannot be read"),
        ({"path": "points.txt"}, InvalidInput, "received .txt"),
    ],
)
def test_files_that_cannot_be_used_are_refused(changes, error, words, tmp_path):
    path = tmp_path / "data.csv"
    path.write_text("a,name\n1,x\n2,y\n3,z\n")
    with pytest.raises(error, match=words):
        validate(ColumnsSettings, {"path": str(path), **changes}).build("p", None)
    path.write_text("a,name\n1,x\n,y\n3,z\n")
    with pytest.raises(InvalidInput, match="not finite"):
        validate(ColumnsSettings, {"path": str(path), "columns": ["a"], "test": 1}).build("p", None)


@pytest.mark.parametrize("d", [1, 3])
def test_energy_distance_is_its_double_sums(d, rng):
    one, other = rng.standard_normal((30, d)), rng.standard_normal((20, d)) + 0.5

    def mean_distance(a, b):
        return np.mean([[np.linalg.norm(x - y) for y in b] for x in a])

    naive = 2 * mean_distance(one, other) - mean_distance(one, one) - mean_distance(other, other)
    assert energy_distance(one, other) == pytest.approx(np.sqrt(naive))
    assert energy_distance(one, other) == pytest.approx(energy_distance(other, one))
    assert energy_distance(one, one) < 1e-7
    if d == 1:
        assert energy_distance(one, other) == pytest.approx(stats.energy_distance(one[:, 0], other[:, 0]))


def test_in_one_dimension_wasserstein_is_the_cheapest_transport(rng):
    one, other = rng.standard_normal((25, 1)), 2 * rng.standard_normal((25, 1)) + 1
    cost = np.abs(one - other.T)
    assert sliced_wasserstein(one, other, 7) == pytest.approx(cost[linear_sum_assignment(cost)].mean())


def test_sliced_wasserstein_of_a_shift_is_the_mean_length_of_its_shadow(rng):
    d, points = 4, rng.standard_normal((50, 4))
    shift = np.array([3.0, 0, 0, 0])
    # A direction u, uniform on the sphere, has E |u_1| = Gamma(d/2) / (sqrt(pi) Gamma((d+1)/2)) and E u_1^2 = 1/d.
    expected = 3 * np.exp(gammaln(d / 2) - gammaln((d + 1) / 2)) / np.sqrt(np.pi)
    assert sliced_wasserstein(points, points + shift, 4000) == pytest.approx(expected, abs=5 * 3 / np.sqrt(d * 4000))
    assert sliced_wasserstein(points, points, 10) == 0


def test_both_distances_fall_as_a_model_learns_and_text_has_none():
    text = """
ecosystem: {entities: [{name: a, private: p}], alpha: 0, beta: 1}
learner: {kind: kde, bandwidth: 0.3}
tasks: {p: {source: gaussian, mean: [4, 4], train: 400, test: 400}}
public: {source: gaussian, mean: [0, 0], train: 400, test: 400}
n: 400
generations: 0
metrics: {energy_distance: {}, wasserstein: {}}
"""
    rows = run(Experiment.from_yaml(text), MemoryStore()).records.to_pylist()
    found = {(row["metric"], row["task"]): row["value"] for row in rows if row["metric"] not in ("seconds", "drawn")}
    for metric in ("energy_distance", "wasserstein"):
        assert found[metric, "p"] < found[metric, "public"] / 4
    words = Experiment.from_yaml(
        "ecosystem: {entities: [{name: a, private: p}], alpha: 0}\nlearner: {kind: fake}\ntasks: {p: fake}\n"
        "public: fake\nn: 5\ngenerations: 0\nmetrics: {energy_distance: {}, wasserstein: {}}\n"
    )
    measured = {row["metric"] for row in run(words, MemoryStore()).records.to_pylist()}
    assert not measured & {"energy_distance", "wasserstein"}
