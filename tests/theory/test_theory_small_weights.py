"""Weights of any size, down to the smallest number there is, with data of any rank: the exact twin's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

pytest.importorskip("mpmath", reason="the exact twin needs mpmath, which torch brings")

from exact import Exact

from crossfeed.learners.regression.families import least_squares
from crossfeed.learners.regression.replicates import WeightedSource
from crossfeed.theory import LinearEcosystem
from crossfeed.theory.graded import grade
from crossfeed.theory.objectives import objective_value

SMALLEST = 5e-324
SMALL = st.integers(0, 323).map(lambda e: 10.0**-e) | st.integers(0, 1074).map(lambda e: 2.0**-e) | st.just(SMALLEST)
WEIGHTS = SMALL | SMALL.map(lambda w: 1.0 - w) | st.floats(0.0, 1.0)
GENERATIONS = [0, 1, 2, 5]
K, D = 2, 3


def is_clear(grams):
    """Whether every sum of some of the Gram matrices has a rank that stands out: angles are another matter."""
    for chosen in range(1, 2 ** len(grams)):
        values = np.linalg.eigvalsh(sum(S for i, S in enumerate(grams) if chosen >> i & 1))
        if ((values > 1e-12 * values[-1]) & (values < 1e-2 * values[-1])).any():
            return False
    return True


@st.composite
def described(draw):
    """Features of whole numbers, so that ranks are exact, and weights of any size: an ecosystem and its twin."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    rows = [draw(st.integers(1, most)) for most in (2, 3, 3)]
    private, generated = (rng.integers(-3, 4, (K, rows[i], D)) for i in (0, 2))
    public = rng.integers(-3, 4, (rows[1], D))
    alike = [draw(st.booleans()) for _ in range(2)]
    alpha, beta = (np.array(draw(st.lists(WEIGHTS, min_size=K, max_size=K))) for _ in range(2))
    alpha, beta = (np.full(K, w[0]) if same else w for w, same in zip((alpha, beta), alike, strict=True))
    grams = [X.T @ X for X in private]
    assume(is_clear([*grams, public.T @ public, sum(X.T @ X for X in generated)]))
    noise = {"sigma": 1.3, "sigma_generated": draw(st.sampled_from([0.0, 0.7]))}
    truths = {"truths": rng.standard_normal((K, D)), "truth_public": rng.standard_normal(D)}
    twin = Exact(private, public, generated, alpha, beta, **truths, **noise)
    given = (each.astype(np.float64) for each in (private, public, generated))
    return LinearEcosystem.from_features(*given, alpha=alpha, beta=beta, **truths, **noise), twin


def assert_close(found, wanted, tolerance):
    assert np.abs(found - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())


def assert_law(found, at, law, tolerance):
    """Mean, covariance, errors and dispersion of a read-out are those of a lifted mean and covariance."""
    mean, joint = law
    blocks = np.array([joint.reshape(K, D, K, D)[k, :, k] for k in range(K)])
    variance = np.trace(blocks, axis1=1, axis2=2)
    apart = np.kron([1.0, -1.0], np.eye(D))
    assert_close(found.mean[at], mean, tolerance)
    assert_close(found.covariance[at], blocks, tolerance)
    assert_close(found.variance[at], variance, tolerance)
    assert_close(found.mse[at], variance + ((mean - found.ecosystem.truths) ** 2).sum(axis=1), tolerance)
    assert_close(
        np.asarray(found.dispersion)[at],
        np.trace(apart @ joint @ apart.T) + ((mean[0] - mean[1]) ** 2).sum(),
        tolerance,
    )


@settings(max_examples=60, deadline=None)
@given(described())
def test_generations_are_exact_whatever_the_weights(described):
    eco, twin = described
    found = eco.moments(GENERATIONS)
    for at, law in enumerate(twin.moments(GENERATIONS)):
        assert_law(found, at, law, 1e-6)


@settings(max_examples=80, deadline=None)
@given(described())
def test_limits_are_exact_whatever_the_weights(described):
    """Near a radius of one rounding is multiplied by 1 / (1 - radius), and by no power of it."""
    eco, twin = described
    limit = eco.limit()
    radius = np.abs(np.linalg.eigvals(twin.lifted_step())).max()
    assert abs(limit.spectral_radius - radius) < 1e-7
    if radius < 1 - 1e-8:
        assert limit.converges
        (law,) = twin.moments(None)
        assert_law(limit, ..., law, 1e-6 + 1e-11 / (1 - radius))


@settings(max_examples=60, deadline=None)
@given(described())
def test_whatever_the_weights_there_is_an_answer(described):
    """Numbers or infinity, and no error of numpy's; radii of one and more included."""
    eco, _ = described
    limit = eco.limit()
    assert np.isfinite(limit.mse).all() if limit.converges else limit.growth.law
    assert not np.isnan(limit.variance_growth).any() or limit.growth.law == "oscillating"
    assert objective_value(eco) > 0 or not eco.sigma_generated
    assert (eco.relative_efficiency() >= 0).all()
    assert np.isfinite(eco.influence(GENERATIONS)).all()


@pytest.mark.parametrize("weight", [SMALLEST, 1e-200, 1e-16, 1e-9, 1e-7, 1e-5])
def test_a_small_weight_decides_what_no_other_does(weight):
    """Private data see one direction, public data the other, and what is generated the second, too."""
    private, public, generated = np.diag([1.0, 0.0])[None], np.diag([0.0, 2.0]), np.diag([0.0, 4.0])[None]

    def limit(alpha, beta):
        eco = LinearEcosystem(private, public, generated, alpha, beta, truth_public=[3.0, 5.0])
        return eco.limit()

    assert limit(0.0, weight).mse == pytest.approx([1.0 + 0.5])
    assert limit(0.0, 0.0).mse == pytest.approx([9.0 + 0.5])
    assert limit(0.0, 1.0 - weight).mse == pytest.approx([1.0 + (25.0 if weight < 1e-16 else 0.5)])
    heard = limit(weight, 1.0)  # the second direction from the pool alone: it drifts
    assert heard.growth.law == "linear"
    assert heard.variance_growth == pytest.approx([0.25])
    assert limit(0.0, 1.0).mse == pytest.approx([1.0 + 25.0])


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 2**32),
    st.lists(WEIGHTS, min_size=3, max_size=3),
    st.lists(st.integers(1, 3), min_size=3, max_size=3),
)
def test_gains_are_those_of_exact_arithmetic(seed, weights, rows):
    """c G^+ S of three parts; they project onto the range together."""
    rng = np.random.default_rng(seed)
    features = [rng.integers(-3, 4, (n, 4)) for n in rows]
    grams = [(X.T @ X).astype(np.float64) for X in features]
    assume(is_clear(grams))
    found = grade([(np.array([w]), S[None]) for w, S in zip(weights, grams, strict=True)])
    whole = sum(found.gain(i)[0] @ S for i, S in enumerate(grams))
    present = [S for w, S in zip(weights, grams, strict=True) if w > 0]
    rank = np.linalg.matrix_rank(sum(present)) if present else 0
    assert_close(whole, whole.T, 1e-9)
    assert_close(whole @ whole, whole, 1e-9)
    assert np.trace(whole) == pytest.approx(rank, abs=1e-9)
    assert found.singular[0] == (rank < 4)


def test_weights_whose_squares_have_no_digits_are_weights():
    """Without public data only the ratio of the two other sources' weights counts, 1e-3 here."""
    rng = np.random.default_rng(0)
    private, generated = rng.standard_normal((2, 2, 3)), rng.standard_normal((2, 2, 3))
    tiny, plain = (
        LinearEcosystem.from_features(
            private, np.zeros((1, 3)), generated, alpha=alpha, beta=beta, initial_beta=1.0
        ).moments(GENERATIONS)
        for alpha, beta in ((1e-156, 1e-159), (0.5, 1e-3))
    )
    assert tiny.variance == pytest.approx(plain.variance, rel=1e-9)
    assert tiny.dispersion == pytest.approx(plain.dispersion, rel=1e-9)


def test_a_learner_fits_what_a_small_weight_decides():
    heavy, light = np.array([[3.0, 1.0, 0.0], [1.0, 1.0, 0.0]]), np.array([[1.0, 2.0, 3.0]])
    theta = np.array([1.0, -2.0, 0.5])
    for weight in (SMALLEST, 1e-300, 1e-20, 1e-9, 0.5):
        parts = [WeightedSource(w, X, (X @ theta)[:, None]) for w, X in ((1.0, heavy), (weight, light))]
        assert least_squares(parts)[0] == pytest.approx(theta, abs=1e-12)
