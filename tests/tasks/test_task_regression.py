"""Regression data: the features of the theory, and responses that follow the stated model."""

from __future__ import annotations

import numpy as np
import pytest

from crossfeed.description.reading import validate
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks.regression import RegressionSettings, features_of, responses_of
from crossfeed.theory import random_features


def task(name="p", **settings):
    return validate(RegressionSettings, {"dimension": 4, "rows": 9, **settings}).build(name, None)


def test_features_are_those_of_the_theory():
    theory = random_features(3, 4, 2, 9, seed=5, public_rank=3, public_rows=9)
    for entity in range(3):
        made = task(rank=2, seed=5, entity=entity)
        np.testing.assert_array_equal(made.features, theory.private[entity])
        np.testing.assert_array_equal(features_of(made.train), theory.private[entity])
    np.testing.assert_array_equal(task("public", rank=3, seed=5).features, theory.public)


def test_names_and_seeds_tell_data_apart():
    base = task(replicates=2)
    assert base.content == task(replicates=2).content
    for other in (task("q", replicates=2), task(seed=1, replicates=2), task(replicates=3), task(replicates=2, noise=2)):
        assert other.content != base.content
    assert (task("q").features == task("p").features).all()
    assert not np.isclose(responses_of(task("q").train), responses_of(task("p").train)).any()


def test_more_replicates_leave_the_first_ones_as_they_are():
    for family in ("gaussian", "logistic", "poisson"):
        few, many = (responses_of(task(family=family, replicates=count).train) for count in (3, 8))
        np.testing.assert_array_equal(many[:, :3], few)


@pytest.mark.parametrize("family", ["gaussian", "logistic", "poisson"])
@pytest.mark.parametrize("fresh", [False, True])
def test_responses_follow_the_model(family, fresh):
    made = task(family=family, replicates=20_000, noise=0.5, truth=[0.5, -1, 0.2, 0.4])
    table = made.reserve(3)[1][2] if fresh else made.train
    predictor = made.features @ [0.5, -1, 0.2, 0.4]
    mean, variance = {
        "gaussian": lambda eta: (eta, np.full_like(eta, 0.25)),
        "logistic": lambda eta: (1 / (1 + np.exp(-eta)), 1 / (2 + 2 * np.cosh(eta))),
        "poisson": lambda eta: (np.exp(eta), np.exp(eta)),
    }[family](predictor)
    drawn = responses_of(table)
    assert (np.abs(drawn.mean(axis=1) - mean) < 5 * np.sqrt(variance / 20_000)).all()
    assert (np.abs(drawn.var(axis=1) / variance - 1) < 0.15).all()
    correlation = np.corrcoef(drawn)[~np.eye(9, dtype=bool)]
    assert np.abs(correlation).max() < 6 / np.sqrt(20_000)


def test_test_items_are_the_rows_with_their_mean_response():
    made = task(truth=[1, 2, 3, 4], replicates=3)
    np.testing.assert_array_equal(features_of(made.test), made.features)
    np.testing.assert_allclose(responses_of(made.test), np.tile((made.features @ [1, 2, 3, 4])[:, None], 3))
    assert made.validation.num_rows == 0
    assert made.validation.schema == made.train.schema


def test_fresh_data_are_new_responses_to_the_same_features():
    made = task(replicates=500)
    rest, fresh = made.reserve(2)
    assert rest is made
    assert len(fresh) == 2
    drawn = [responses_of(table).ravel() for table in (made.train, *fresh)]
    assert np.abs(np.corrcoef(drawn)[np.triu_indices(3, 1)]).max() < 6 / np.sqrt(4500)
    for table in fresh:
        np.testing.assert_array_equal(features_of(table), made.features)


def test_truths():
    np.testing.assert_array_equal(task().truth, np.zeros(4))
    drawn = task(truth={"seed": 3, "norm": 2.5}).truth
    assert np.linalg.norm(drawn) == pytest.approx(2.5)
    np.testing.assert_array_equal(task("q", truth={"seed": 3, "norm": 2.5}, seed=9).truth, drawn)
    assert not np.allclose(task(truth={"seed": 4, "norm": 2.5}).truth, drawn)
    with pytest.raises(InvalidInput, match="each of 4 features; received"):
        task(truth=[1, 2])


def test_features_from_a_file(tmp_path):
    X = np.random.default_rng(0).standard_normal((6, 2))
    np.savez(tmp_path / "X.npz", features=X)
    made = RegressionSettings(features=str(tmp_path / "X.npz"), replicates=2).build("p", None)
    np.testing.assert_array_equal(features_of(made.train), X)
    assert responses_of(made.train).shape == (6, 2)


def test_files_that_hold_no_features_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", x=np.eye(2))
    np.savez(tmp_path / "flat.npz", features=np.ones(3))
    np.savez(tmp_path / "nan.npz", features=np.array([[1.0, np.nan]]))
    np.savez(tmp_path / "pickle.npz", features=np.array([[None]]))
    np.save(tmp_path / "single.npy", np.eye(2))
    (tmp_path / "text.npz").write_text("no archive")
    for name, error, words in [
        ("other.npz", InvalidInput, "no array 'features' in it, but x"),
        ("flat.npz", InvalidInput, r"shape \(3,\)"),
        ("nan.npz", InvalidInput, "finite"),
        ("pickle.npz", DataUnavailable, "hold objects"),
        ("single.npy", InvalidInput, "not an .npz file"),
        ("text.npz", DataUnavailable, "is no .npz archive"),
        ("missing.npz", DataUnavailable, "cannot be read"),
    ]:
        with pytest.raises(error, match=words):
            RegressionSettings(features=str(tmp_path / name)).build("p", None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"rows": None}, "give dimension and rows"),
        ({"features": "X.npz"}, "dimension, rows: the file under features says so"),
        ({"rank": 5}, "rank must be at most the dimension"),
        ({"rows": 0}, "rows"),
        ({"noise": -1}, "noise"),
        ({"family": "gamma"}, "family"),
        ({"truth": "one"}, "truth is a list of d numbers"),
        ({"truth": []}, "truth is a list of d numbers"),
        ({"truth": {"size": 3}}, "size"),
        ({"replicates": 0}, "replicates"),
    ],
)
def test_impossible_descriptions_say_what_to_give(settings, words):
    with pytest.raises(InvalidInput, match=words):
        task(**settings)


def test_a_mean_that_cannot_be_counted_is_refused():
    with pytest.raises(InvalidInput, match="give a smaller truth"):
        task(family="poisson", truth=[900, 0, 0, 0])


def test_answers_are_not_graded():
    made = task()
    assert made.grade(made.test, ["1"]) is None
