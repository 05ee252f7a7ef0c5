"""Rewards against their definitions, on items of the kinds that they are of."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from crossfeed.description.registry import _REWARDS, reward_settings
from crossfeed.generation.seen_items import SeenItems
from crossfeed.protocols import RewardContext, Scores
from crossfeed.tasks.samples import point_items

RNG = np.random.default_rng(0)


class Stub:
    """A learner whose states are numbers: losses fall with them, features are turned by nothing."""

    def score(self, states, tables):
        found = []
        for state in states:
            own = []
            for table in tables:
                size = np.array([len(text.split()) for text in table.column("completion").to_pylist()], dtype=float)
                own.append(Scores(size * state, size, size * state, size))
            found.append(own)
        return found

    def embed(self, tables):
        return [features(table) for table in tables]


def features(table):
    raw = np.array([[len(text), text.count("a"), 1.0] for text in table.column("completion").to_pylist()])
    return (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)


def texts(*completions, answers=None):
    prompts = [f"say {i}:" for i in range(len(completions))]
    return pa.table({"prompt": prompts, "completion": list(completions), "answer": answers or list(completions)})


def task(name, train, **more):
    return SimpleNamespace(name=name, train=train, grade=lambda *_: None, **more)


def seen(items, *, prompts=None, private=None, learner=None, states=(1.0, 2.0), judge="a", author="b", tasks=None):
    real = {"a": texts("an apple", "a pear"), "b": texts("blue")} if private is None else private
    known = tasks or {"p": task("p", real["a"]), "q": task("q", real["b"]), "public": task("public", real["a"])}
    asked = {"a": known["p"], "b": known["q"]}
    context = RewardContext(asked, known, ("a", "b"), lambda name: real[name])
    found = SeenItems(author, items, prompts or items, learner or Stub(), states, context)
    found.judge = judge
    return found, context


def rated(name, candidates, context, **fields):
    return reward_settings(name)(**fields).build(context).of(candidates)


def test_every_reward_is_tested_here_or_where_its_kind_is():
    tested = {"likelihood", "length", "similarity", "distance", "class_probability", "linear", "quadratic", "answer"}
    assert tested | {"symbols"} == set(_REWARDS)


@pytest.mark.parametrize(("under", "loss"), [("judge", 1.0), ("author", 2.0), ("a", 1.0), ("b", 2.0)])
def test_likelihood_is_of_the_named_model(under, loss):
    candidates, context = seen(texts("one", "one two three"))
    np.testing.assert_allclose(rated("likelihood", candidates, context, under=under), [-loss, -loss])
    assert reward_settings("likelihood")(under=under).build(context).personal == (under == "judge")


def test_what_a_model_cannot_write_is_at_the_floor():
    candidates, context = seen(texts("one", ""), states=(1e9, 500.0))
    assert rated("likelihood", candidates, context).tolist() == [-100.0, -100.0]
    assert rated("likelihood", candidates, context, under="b").tolist() == [-100.0, -100.0]


def test_length_counts_words():
    candidates, context = seen(texts("One two, three!", "", "x"))
    assert rated("length", candidates, context).tolist() == [3.0, 0.0, 1.0]


@pytest.mark.parametrize("judge", ["a", "b"])
def test_similarity_is_the_mean_cosine(judge):
    items = texts("banana", "blue sky", "a")
    candidates, context = seen(items, judge=judge)
    for to, real in (("private", context.private(judge)), ("q", context.tasks["q"].train)):
        naive = [[float(x @ y) for y in features(real).astype(float)] for x in features(items).astype(float)]
        np.testing.assert_allclose(rated("similarity", candidates, context, to=to), np.mean(naive, axis=1))


@pytest.mark.parametrize("kind", ["wasserstein", "nearest"])
def test_distance_is_that_of_a_point_mass(kind):
    own, real = RNG.normal(size=(7, 1)), RNG.normal(size=(40, 1))
    candidates, context = seen(point_items(own), private={"a": point_items(real), "b": point_items(own)})
    found = rated("distance", candidates, context, kind=kind)
    for point, reward in zip(own, found, strict=True):
        if kind == "wasserstein":
            assert -reward == pytest.approx(stats.wasserstein_distance(point, real[:, 0]))
        else:
            assert -reward == pytest.approx(np.abs(real[:, 0] - point).min())
    assert (found <= 0).all()


def test_distance_of_what_has_no_coordinates_is_of_features():
    items = texts("banana", "blue sky")
    candidates, context = seen(items)
    near = [
        min(np.linalg.norm(x - y) for y in features(context.private("a")).astype(float))
        for x in features(items).astype(float)
    ]
    np.testing.assert_allclose(rated("distance", candidates, context, kind="nearest"), -np.array(near))


def test_functions_of_points():
    points = RNG.normal(size=(9, 2))
    candidates, context = seen(point_items(points), private={"a": point_items(points), "b": point_items(points)})
    np.testing.assert_allclose(rated("linear", candidates, context, direction=[2, -1]), points @ [2, -1])
    scaled = rated("quadratic", candidates, context, centre=[1, 0], scale=2)
    np.testing.assert_allclose(scaled, -((points - [1, 0]) ** 2).sum(axis=1) / 8)


def test_answers_are_graded():
    candidates, context = seen(texts("Paris", "Rome"), prompts=texts("x", "y", answers=["Paris", "Oslo"]))
    assert rated("answer", candidates, context).tolist() == [1.0, 0.0]


def test_the_class_of_an_image():
    sklearn = pytest.importorskip("sklearn", reason="images are graded by scikit-learn")
    assert sklearn
    from crossfeed.tasks.images import images_of
    from crossfeed.tasks.images_sources import DigitsSettings

    digits = DigitsSettings(test=20).build("p", None)
    tasks = {"p": digits, "q": digits, "public": digits}
    candidates, context = seen(digits.test, private={"a": digits.train, "b": digits.train}, tasks=tasks)
    asked = rated("class_probability", candidates, context)
    seven = rated("class_probability", candidates, context, label="7")
    labels = digits.test.column("answer").to_pylist()
    classifier = digits.classifier()
    probabilities = classifier.probabilities(images_of(digits.test, "test"))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    predicted = np.array(classifier.classes)[probabilities.argmax(axis=1)]
    assert predicted.tolist() == classifier.predict(images_of(digits.test, "test"))
    for row, label in enumerate(labels):
        assert asked[row] == probabilities[row, classifier.classes.index(label)]
        assert seven[row] == probabilities[row, classifier.classes.index("7")]
    assert asked.mean() > 0.8
