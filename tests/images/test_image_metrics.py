"""Fréchet distance, precision and recall against their definitions."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.linalg import sqrtm

from crossfeed.metrics.frechet import FrechetSettings, frechet_distance
from crossfeed.metrics.manifold import PrecisionRecallSettings, covered


@pytest.fixture
def rng():
    return np.random.default_rng()


@dataclass
class HandMade:
    """A snapshot that gives what it was given."""

    made: list
    real: np.ndarray
    entities: tuple[str, ...] = ("a", "b")
    tasks: dict = field(default_factory=lambda: {"mine": SimpleNamespace()})

    def embeddings(self, task, items):
        return [features[:items] for features in self.made]

    def reference_embeddings(self, task, items):
        return self.real[:items]


def test_the_frechet_distance_is_its_definition(rng):
    first, second = rng.normal(size=(40, 5)), rng.normal(1.0, 2.0, size=(30, 5)) @ rng.normal(size=(5, 5))
    shift = first.mean(axis=0) - second.mean(axis=0)
    one, other = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    expected = shift @ shift + np.trace(one + other - 2 * sqrtm(one @ other).real)
    assert frechet_distance(first, second) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(second, first) == pytest.approx(expected, rel=1e-6)


def test_the_frechet_distance_of_shifted_and_spread_features_is_known(rng):
    features = rng.normal(size=(50, 3))
    assert frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(features, features + np.array([3.0, 0.0, 4.0])) == pytest.approx(25)
    spread = features.var(axis=0, ddof=1).sum()
    centred = features - features.mean(axis=0)
    assert frechet_distance(centred, 3 * centred) == pytest.approx(4 * spread)  # (3 - 1)^2 times the variance
    few = features[:2]  # a singular covariance
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-7)


def test_covered_is_its_definition(rng):
    points, by, k = rng.normal(size=(12, 3)), rng.normal(size=(9, 3)), 2

    def naive(point):
        for place, one in enumerate(by):
            others = sorted(np.linalg.norm(one - other) for row, other in enumerate(by) if row != place)
            if np.linalg.norm(point - one) <= others[k - 1]:
                return True
        return False

    np.testing.assert_array_equal(covered(points, by, k), [naive(point) for point in points])


def test_a_model_that_repeats_itself_has_precision_and_no_recall(rng):
    real = rng.normal(size=(60, 4))
    repeated = real[:1] + 1e-3 * rng.normal(size=(60, 4))
    numbers = PrecisionRecallSettings().build().measure(HandMade([real + 1e-9, repeated], real))
    found = {(one.model, one.metric): one.value for one in numbers}
    assert found["a", "precision"] == found["a", "recall"] == 1
    assert found["b", "precision"] == 1
    assert found["b", "recall"] <= 0.1
    (near, far) = FrechetSettings().build().measure(HandMade([real, repeated], real))
    assert near.value < far.value
    assert (near.metric, near.task, near.model) == ("frechet", "mine", "a")


def test_too_few_items_give_no_number(rng):
    snapshot = HandMade([rng.normal(size=(3, 2))] * 2, rng.normal(size=(3, 2)))
    assert not PrecisionRecallSettings(neighbours=3).build().measure(snapshot)
    assert PrecisionRecallSettings(neighbours=2).build().measure(snapshot)
    snapshot.real = snapshot.real[:1]
    assert not FrechetSettings().build().measure(snapshot)
