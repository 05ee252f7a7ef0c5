"""Metrics of outputs beside real items: MAUVE, density and coverage, against their packages and their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydantic import ValidationError
from tests.features import Features, around, measured, unit

from crossfeed.metrics.manifold import DensityCoverageSettings, PrecisionRecallSettings
from crossfeed.metrics.mauve import MauveSettings, area_under_divergences, shares_of_clusters

pytest.importorskip("sklearn", reason="needs pip install 'crossfeed[measure]'")


@pytest.fixture
def random():
    return np.random.default_rng()


def density_coverage(made, real, k=5):
    found = measured(DensityCoverageSettings(neighbours=k, items=len(made)), Features({"a": made}, real=real))
    return found["a", "density"], found["a", "coverage"]


def test_density_and_coverage_are_the_packages_where_no_distances_are_equal(random, capsys):
    package = pytest.importorskip("prdc", reason="needs pip install prdc")
    made, real = around(random, 60, 5, [1] * 5), around(random, 60, 5)
    for k in (1, 3, 5):
        known = package.compute_prdc(real.astype(float), made.astype(float), k)
        assert density_coverage(made, real, k) == pytest.approx((known["density"], known["coverage"]), abs=1e-9)
        snapshot = Features({"a": made}, real=real)
        ours = measured(PrecisionRecallSettings(neighbours=k), snapshot)
        assert list(ours.values()) == pytest.approx([known["precision"], known["recall"]], abs=1e-9)


def test_density_and_coverage_are_the_definition(random):
    made, real = around(random, 20, 4, [1] * 4), around(random, 20, 4)
    radii = [sorted(math.dist(r, other) for other in real)[3] for r in real]
    within = [[math.dist(g, r) <= radius for r, radius in zip(real, radii, strict=True)] for g in made]
    assert density_coverage(made, real, 3) == pytest.approx((np.sum(within) / 60, np.any(within, axis=0).mean()))


def test_copies_of_the_real_items_are_dense_and_cover_them(random):
    real = around(random, 30, 5)
    density, coverage = density_coverage(real, real)
    assert coverage == 1
    assert density >= 1  # every item, and the neighbours that it is a neighbour of
    often = np.repeat(real[:5], 10, axis=0)
    assert density_coverage(often, often)[1] == 1  # prdc: 0, since no distance is below a radius of 0


def test_a_model_that_repeats_one_good_item_is_dense_and_covers_little(random):
    real = around(random, 200, 3, [2] * 3, 0.3)
    middle = unit([real.mean(axis=0)]).repeat(200, axis=0)
    density, coverage = density_coverage(middle, real, 20)
    assert density > 0.3
    assert coverage == pytest.approx(density * 20 / 200)


def test_a_perfect_model_covers_what_the_paper_says(random):
    """Coverage of two samples of one density is 1 - 2^-k for many items, density 1 (Naeem et al., 2020)."""
    found = np.array(
        [density_coverage(random.normal(size=(400, 2)), random.normal(size=(400, 2)), 3) for _ in range(30)]
    )
    errors = found.std(axis=0, ddof=1) / math.sqrt(len(found))
    # Of m = 400 items the expected coverage is 1 - (m-1)(m-2)(m-3) / ((2m-1)(2m-2)(2m-3)).
    exact = 1 - 399 * 398 * 397 / (799 * 798 * 797)
    assert abs(found.mean(axis=0) - [1, exact] < 6 * errors).all()


def test_few_real_items_have_no_neighbours(random):
    made = around(random, 5, 3)
    assert measured(DensityCoverageSettings(), Features({"a": made}, real=made)) == {}


def same_place(one, other):
    return area_under_divergences(*shares_of_clusters(one, other))


def clusters(random, rows, shares, dimension=12):
    """Points in tight clusters about orthogonal centres, with exact shares."""
    counts = (np.array(shares) * rows).astype(int)
    centres = np.repeat(np.eye(dimension)[: len(shares)], counts, axis=0)
    return unit(centres + 1e-3 * random.normal(size=centres.shape))


def test_mauve_is_the_packages_where_clusters_leave_no_choice(random):
    package = pytest.importorskip("mauve", reason="needs pip install mauve-text")
    for p, q in (
        ([0.5, 0.5], [0.5, 0.5]),
        ([0.8, 0.2], [0.3, 0.7]),
        ([1.0, 0.0], [0.0, 1.0]),
        ([1.0, 0.0], [0.5, 0.5]),
    ):
        made, human = clusters(random, 20, p), clusters(random, 20, q)
        known = package.compute_mauve(made, human)
        assert same_place(made, human) == pytest.approx(known.mauve, abs=1e-9)


def test_the_area_is_the_packages_for_any_shares(random):
    package = pytest.importorskip("mauve.compute_mauve", reason="needs pip install mauve-text")
    auc = pytest.importorskip("sklearn.metrics").auc
    for _ in range(20):
        p, q = (random.dirichlet(np.full(15, 0.3)) * (random.random(15) > 0.3) for _ in range(2))
        p, q = p / p.sum(), q / q.sum()
        x, y = package.get_divergence_curve_for_multinomials(p, q, np.linspace(1e-6, 1 - 1e-6, 25), 5).T
        known = (auc(x[np.argsort(x)], y[np.argsort(x)]) + auc(y[np.argsort(y)], x[np.argsort(y)])) / 2
        assert area_under_divergences(p, q) == pytest.approx(known, abs=1e-9)


def test_mauve_is_one_for_the_same_texts_and_nothing_for_others(random):
    rows = around(random, 200, 10)
    assert same_place(rows, rows) == pytest.approx(1, abs=1e-9)
    centre = np.full(10, 5.0)
    assert same_place(around(random, 200, 10, centre), around(random, 200, 10, -centre)) < 0.01
    halves = same_place(rows[:100], np.concatenate([rows[:100], around(random, 100, 10, centre)]))
    assert 0.01 < halves < 0.9


def test_mauve_does_not_depend_on_threads_or_on_when_it_is_asked(random):
    from threadpoolctl import threadpool_limits

    made, human = around(random, 300, 10), around(random, 300, 10, [0.2] * 10)
    once = same_place(made, human)
    with threadpool_limits(1):
        assert same_place(made, human) == pytest.approx(once, abs=0.05)
    assert same_place(made, human) == once


def test_mauve_says_how_many_texts_it_compares_and_nothing_of_few(random):
    made = {name: around(random, 230, 6) for name in "ab"}
    real = around(random, 230, 6)
    found = measured(MauveSettings(), Features(made, real=real))
    assert {key: value for key, value in found.items() if key[1] == "mauve_texts"} == {
        ("a", "mauve_texts"): 230.0,
        ("b", "mauve_texts"): 230.0,
    }
    assert 0.5 < found["a", "mauve"] <= 1
    fewer = measured(MauveSettings(items=200), Features(made, real=real))
    assert fewer["b", "mauve_texts"] == 200
    few = {name: rows[:199] for name, rows in made.items()}
    assert measured(MauveSettings(), Features(few, real=real[:199])) == {}
    with pytest.raises(ValidationError, match="greater than or equal to 200"):
        MauveSettings(items=199)
