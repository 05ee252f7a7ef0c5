"""Moments at finite generations against the lifted twin, over the whole product of ecosystems."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from ecosystems import ALPHAS, BETAS, SHARES, random_ecosystem, random_grams
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lifted import Lifted

from crossfeed.theory import LinearEcosystem

GENERATIONS = [0, 3, 1, 6, 3]

DESCRIPTIONS = st.builds(
    random_ecosystem,
    seed=st.integers(0, 2**32),
    alpha=st.sampled_from(ALPHAS),
    beta=st.sampled_from(BETAS),
    K=st.integers(1, 4),
    rank=st.integers(1, 4),
    shares=st.sampled_from(SHARES),
    history=st.sampled_from(["latest", "accumulate"]),
    fresh=st.booleans(),
    own_truths=st.booleans(),
    other_features=st.booleans(),
    other_start=st.booleans(),
)


def assert_close(found, wanted, tolerance=1e-8):
    """Relative to the size of what is wanted, never below the size of the problem, which is one."""
    assert found.shape == np.shape(wanted)
    assert np.abs(found - wanted).max() <= tolerance * max(1.0, np.abs(wanted).max())


def twins(description):
    """An ecosystem and its twin; one whose Gram matrices are as good as singular tells rounding errors alone."""
    twin = Lifted(**description)
    assume(twin.is_clear(max(GENERATIONS)))
    return LinearEcosystem(**description), twin


def assert_agrees(eco, twin):
    found = eco.moments(GENERATIONS)
    mean, joint = twin.moments(GENERATIONS)
    covariance = np.array([twin.blocks(each) for each in joint])
    assert_close(found.mean, mean)
    assert_close(found.covariance, covariance)
    variance, off = np.trace(covariance, axis1=2, axis2=3), mean - twin.truths
    assert_close(found.variance, variance)
    assert_close(found.bias_squared, (off**2).sum(axis=2))
    assert_close(found.mse, variance + (off**2).sum(axis=2))
    assert_close(found.dispersion, dispersion(mean, joint))
    assert_close(found.mspe(), mspe(mean, covariance, twin.private, twin.truths))


def dispersion(mean, joint):
    """The mean over pairs, pair by pair."""
    _, K, d = mean.shape
    pairs = list(itertools.permutations(range(K), 2))
    total = np.zeros(len(mean))
    for k, j in pairs:
        difference = np.kron(np.eye(K)[k] - np.eye(K)[j], np.eye(d))
        total += np.trace(difference @ joint @ difference.T, axis1=1, axis2=2) + ((mean[:, k] - mean[:, j]) ** 2).sum(1)
    return total / max(1, len(pairs))


def mspe(mean, covariance, grams, truths):
    off = mean[:, :, None] - truths
    return np.einsum("mab,nkba->nkm", grams, covariance) + np.einsum("nkma,mab,nkmb->nkm", off, grams, off)


@pytest.mark.parametrize("history", ["latest", "accumulate"])
@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize(("alpha", "beta"), list(itertools.product(ALPHAS, BETAS)))
def test_every_weight_history_and_rank(alpha, beta, K, history):
    for rank, shares in itertools.product([2, 4], SHARES):
        fresh = (rank == 4) == (shares == "equal")
        description = random_ecosystem(1, alpha, beta, K, rank, shares=shares, history=history, fresh=fresh)
        assert_agrees(LinearEcosystem(**description), Lifted(**description))


@settings(max_examples=150, deadline=None)
@given(DESCRIPTIONS)
def test_any_ecosystem(description):
    assert_agrees(*twins(description))


@settings(max_examples=60, deadline=None)
@given(DESCRIPTIONS, st.integers(0, 2**32))
def test_theorem_1_given_the_real_data(description, seed):
    eco, twin = twins(description)
    data = np.random.default_rng(seed).standard_normal((eco.entities + 1, eco.dimension))
    found = eco.moments(GENERATIONS).given(data)
    mean, joint = twin.moments(GENERATIONS, data)
    # Data that no truth explains are amplified by the inverse of the smallest eigenvalue, and rounding with them.
    assert_close(found.mean, mean, tolerance=1e-6)
    assert_close(found.covariance, np.array([twin.blocks(each) for each in joint]))
    assert not found.covariance[0].any()


@settings(max_examples=60, deadline=None)
@given(DESCRIPTIONS)
def test_influence_is_the_block_norms_of_the_lifted_map(description):
    eco, twin = twins(description)
    K, d = eco.entities, eco.dimension
    blocks = np.array([M for M, _, _ in twin.propagate(GENERATIONS)]).reshape(-1, K, d, K + 1, d)
    assert_close(eco.moments(GENERATIONS).gain_norms, np.sqrt((blocks**2).sum(axis=(2, 4))))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(["0.4", "1", "per entity", "scheduled"]))
def test_theorem_2_mean(seed, alpha):
    description = random_ecosystem(seed, alpha, K=3, rank=2, d=6, own_truths=False, other_features=False)
    description["generated"] = random_grams(np.random.default_rng(seed), 3, 6, 6)
    twin = Lifted(**description)
    start = twin.gram_inverse(0)
    common = np.tile(description["truth_public"], 3)
    lost = common - start @ np.linalg.pinv(start, rcond=1e-11) @ common
    product = twin.lifted_step(3) @ twin.lifted_step(2) @ twin.lifted_step(1)
    found = LinearEcosystem(**description).moments([3]).mean[0].ravel()
    assert_close(found, common - product @ lost)


def test_features_and_grams_describe_the_same_ecosystem():
    rng = np.random.default_rng(0)
    private, public = rng.standard_normal((5, 3, 6)), rng.standard_normal((8, 6))
    grams = private.swapaxes(1, 2) @ private
    wanted = LinearEcosystem(grams, public.T @ public).moments([0, 4]).mse
    ways = [
        LinearEcosystem.from_features(private, public),
        LinearEcosystem.from_features(list(private), public),
        LinearEcosystem.from_features(lambda start, stop: private[start:stop], public, entities=5),
        LinearEcosystem(lambda start, stop: grams[start:stop], public.T @ public, entities=5),
        LinearEcosystem.from_features(np.repeat(private, 4, axis=1) / 2, public),
    ]
    for eco in ways:
        assert_close(eco.moments([0, 4]).mse, wanted, 1e-12)


def test_unequal_rows():
    rng = np.random.default_rng(1)
    rows = [rng.standard_normal((n, 4)) for n in (1, 3, 9)]
    public = rng.standard_normal((5, 4))
    grams = np.array([X.T @ X for X in rows])
    found = LinearEcosystem.from_features(rows, public).moments([3]).mse
    assert_close(found, LinearEcosystem(grams, public.T @ public).moments([3]).mse, 1e-12)


@pytest.mark.parametrize("alpha", [0.6, lambda t: t / (t + 2)])
def test_many_blocks_give_what_one_block_gives(monkeypatch, alpha):
    """Cut into blocks of 16 the sums, the order of entities and the threads change nothing."""
    description = random_ecosystem(3, K=70, d=4, fresh=True) | {"alpha": alpha}
    one = LinearEcosystem(**description).moments([0, 2, 5])
    wanted = [one.mse, one.dispersion, one.mean, one.mspe(), one.influence, one.given(np.ones((71, 4))).mean]
    monkeypatch.setattr("crossfeed.theory.grams._BLOCK_BYTES", 1)
    many = LinearEcosystem(**description).moments([0, 2, 5])
    found = [many.mse, many.dispersion, many.mean, many.mspe(), many.influence, many.given(np.ones((71, 4))).mean]
    for a, b in zip(found, wanted, strict=True):
        assert_close(a, b, 1e-10)


def test_no_pair_of_entities_is_ever_formed():
    """With K^2 numbers (800 MB) out of reach, the read-outs of K = 10,000 stay within a few copies of the Grams."""
    K, d = 10_000, 3
    private = random_grams(np.random.default_rng(0), K, d, 2)
    eco = LinearEcosystem(private, np.eye(d))
    tracemalloc.start()
    try:
        moments = eco.moments([0, 1, 5])
        read = [moments.mse, moments.dispersion, moments.mean, moments.covariance, eco.limit().mse]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert all(np.isfinite(each).all() for each in read)
    assert peak < 20 * private.nbytes


def test_weights_that_are_small_are_not_absent():
    """Rank is decided by which weights are zero: one at 1e-13 still fixes the directions only it sees."""
    private, public = np.diag([1.0, 0.0])[None], np.diag([0.0, 1.0])
    truth = np.array([2.0, 3.0])
    eco = LinearEcosystem(private, public, alpha=0.0, beta=1 - 1e-13, truth_public=truth)
    assert_close(eco.moments([0]).mean[0, 0], truth)
    absent = LinearEcosystem(private, public, alpha=0.0, beta=1.0, truth_public=truth)
    assert_close(absent.moments([0]).mean[0, 0], np.array([2.0, 0.0]))
