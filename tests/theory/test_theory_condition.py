"""Data in any units and near to dependent ones: digits that are kept, told of, and refused where there are none."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from ecosystems import random_ecosystem
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from lifted import Lifted

pytest.importorskip("mpmath", reason="the exact twin needs mpmath, which torch brings")

from precise import Precise, grams, precise

from crossfeed.errors import IllConditioned, InvalidInput
from crossfeed.theory import LinearEcosystem, pooled_mse
from crossfeed.theory.sources import feature_source

SEEDS = st.integers(0, 2**32)
UNITS = st.integers(-500, 400).map(lambda e: 2.0**e)


def drawn(seed, condition=1.0, K=2, d=4, rows=6):
    """Features of K entities and public ones, whose Gram matrices have about the condition number, turned."""
    rng = np.random.default_rng(seed)
    turn, sizes = np.linalg.qr(rng.standard_normal((d, d)))[0], np.geomspace(1.0, condition**-0.5, d)
    every = (rng.standard_normal((K + 1, rows, d)) * sizes) @ turn.T
    return every[:K], every[K]


def grams_of(features):
    return features.swapaxes(-1, -2) @ features


@settings(max_examples=80, deadline=None)
@given(seed=SEEDS, units=st.lists(st.integers(-40, 40), min_size=4, max_size=4), whole=UNITS, as_grams=st.booleans())
def test_units_of_columns_change_nothing_but_the_units(seed, units, whole, as_grams):
    """Column i in another unit has coefficient i in its inverse; powers of two round nothing."""
    private, public = drawn(seed)
    assume(np.linalg.cond(np.concatenate([*private, public])) < 100)
    assume(not as_grams or 2.0**-200 < whole < 2.0**200)
    scale = np.exp2(units)
    make, seen = (LinearEcosystem, grams_of) if as_grams else (LinearEcosystem.from_features, np.asarray)
    plain = make(seen(private), seen(public)).limit()
    other = make(seen(private * scale * whole), seen(public * scale * whole))
    limit = other.limit()
    assert limit.full_rank.all()
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        back = (limit.covariance * whole) * whole * scale[:, None] * scale
    known = np.isfinite(back) & (limit.covariance != 0)
    assert back[known] == pytest.approx(plain.covariance[known], rel=1e-6, abs=1e-9)
    np.testing.assert_allclose(limit.gain_norms.shape, (2, 3))


def test_a_column_in_small_units_keeps_its_direction():
    private, public = drawn(0)
    small = np.array([1.0, 1.0, 1.0, 1e-6])
    plain, eco = (LinearEcosystem.from_features(private * s, public * s) for s in (np.ones(4), small))
    assert eco.limit().full_rank.all()
    found = eco.limit().covariance[:, 3, 3]
    assert found == pytest.approx(1e12 * plain.limit().covariance[:, 3, 3], rel=1e-9)
    assert eco.limit().mse == pytest.approx(found, rel=1e-6)
    # Nearly all of the error is in that coefficient, and so is the efficiency.
    pooled = np.linalg.inv(grams_of(np.concatenate([*private, public])))[3, 3]
    assert eco.relative_efficiency() == pytest.approx(1e12 * pooled / found, rel=1e-6)


@pytest.mark.parametrize("unit", [1e-160, 1e-170, 1e160])
def test_numbers_out_of_range_are_other_units(unit):
    private, public = drawn(0)
    plain, eco = (LinearEcosystem.from_features(private * u, public * u, truth_public=np.ones(4)) for u in (1.0, unit))
    assert eco.limit().spectral_radius == pytest.approx(plain.limit().spectral_radius, rel=1e-12)
    assert eco.limit().influence == pytest.approx(plain.limit().influence, rel=1e-9)
    assert eco.limit().mean == pytest.approx(plain.limit().mean, rel=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    seed=SEEDS,
    alpha=st.sampled_from(["0", "0.4", "per entity", "scheduled"]),
    beta=st.sampled_from(["0", "0.5", "1", "per entity"]),
    rank=st.integers(1, 4),
    history=st.sampled_from(["latest", "accumulate"]),
    fresh=st.booleans(),
    other_features=st.booleans(),
)
def test_in_other_coordinates_the_least_norm_is_that_of_the_estimates(seed, **kind):
    """Columns in units of 2^-12 are scaled inside; every read-out is that of the lifted system as it was given."""
    description = random_ecosystem(seed, **kind)
    assume(Lifted(**description).is_clear(5))
    scale = np.array([1.0, 2.0**-12, 1.0, 2.0**-6])
    for name in ("private", "public", "generated", "fresh"):
        if name in description:
            description[name] = description[name] * scale * scale[:, None]
    twin, eco = Lifted(**description), LinearEcosystem(**description)
    assert eco.specification.conditioned.coordinates is not None
    found, (means, joints) = eco.moments([0, 1, 5]), twin.moments([0, 1, 5])
    data = np.random.default_rng(seed).standard_normal((4, 4))
    assert found.mean == pytest.approx(means, rel=1e-5, abs=1e-6 * np.abs(means).max())
    blocks = np.array([twin.blocks(joint) for joint in joints])
    assert found.covariance == pytest.approx(blocks, rel=1e-5, abs=1e-6 * np.abs(blocks).max())
    assert found.variance == pytest.approx(np.trace(blocks, axis1=2, axis2=3), rel=1e-5)
    given_data = twin.moments([0, 1, 5], data=data)[0]
    assert found.given(data).mean == pytest.approx(given_data, rel=1e-5, abs=1e-6 * np.abs(given_data).max())
    maps = np.array([M.reshape(3, 4, 4, 4) for M, _, _ in twin.propagate([0, 1, 5])])
    norms = np.sqrt((maps**2).sum(axis=(2, 4)))
    assert found.gain_norms == pytest.approx(norms, rel=1e-5, abs=1e-6 * norms.max())


@settings(max_examples=25, deadline=None)
@given(
    seed=SEEDS,
    condition=st.integers(0, 18).map(lambda e: 10.0**e),
    alpha=st.sampled_from([0.0, 0.5, 0.9]),
    beta=st.sampled_from([0.5, 1.0]),
    own_truths=st.booleans(),
)
def test_features_lose_half_of_the_digits_that_grams_lose(seed, condition, alpha, beta, own_truths):
    private, public = drawn(seed, condition, rows=12)
    assume(np.linalg.cond(private[0]) < 30 * condition**0.5)
    rng = np.random.default_rng(seed)
    truths = {"truths": rng.standard_normal((2, 4)), "truth_public": rng.standard_normal(4)} if own_truths else {}
    mse, dispersion = Precise(grams(private), grams([public])[0], grams(private), alpha, beta, **truths).limit()
    limit = LinearEcosystem.from_features(private, public, alpha=alpha, beta=beta, **truths).limit()
    bound = 1e-9 + 1e-14 * condition**0.5 if condition > 1e8 else 1e-7
    assert limit.mse == pytest.approx(mse, rel=bound)
    assert limit.dispersion == pytest.approx(dispersion, rel=bound)


@pytest.mark.parametrize("condition", [1e2, 1e5, 1e8, 1e10])
@pytest.mark.parametrize("seed", range(3))
def test_grams_lose_the_digits_of_their_condition_once(condition, seed):
    private, public = (grams_of(each) for each in drawn(seed, condition))
    wanted, _ = Precise([precise(S) for S in private], precise(public), [precise(S) for S in private], 0.5, 0.5).limit()
    assert LinearEcosystem(private, public).limit().mse == pytest.approx(wanted, rel=1e-14 * condition)


def test_pooled_errors_and_prediction_errors_keep_their_digits():
    private, public = drawn(5, 1e14)
    eco = LinearEcosystem.from_features(private, public, alpha=0.0, beta=1.0)
    twin = Precise(grams(private), grams([public])[0], grams(private), 0.0, 1.0)
    assert pooled_mse(eco) == pytest.approx(np.full(2, twin.pooled()), rel=1e-8)
    # A model's error on its own features is its number of coefficients, whatever their condition.
    for errors in (eco.limit().mspe(), eco.limit().mspe(feature_source(private, "tasks", None, 4))):
        assert np.diag(errors) == pytest.approx([4.0, 4.0], rel=1e-8)


def test_few_digits_are_told():
    private, public = (grams_of(each) for each in drawn(3, 3e11))
    eco = LinearEcosystem(private, public)
    with pytest.warns(IllConditioned, match=r"about [0-4] digits.*give features"):
        limit = eco.limit()
    with pytest.warns(IllConditioned):
        assert eco.moments([0, 1]).digits == limit.digits < 5
    features = LinearEcosystem.from_features(*drawn(3, 3e11))
    assert features.limit().digits > 9


@pytest.mark.parametrize("condition", [1e13, 1e14])
@pytest.mark.parametrize("seed", range(3))
def test_where_no_digit_is_left_grams_are_refused(condition, seed):
    private, public = (grams_of(each) for each in drawn(seed, condition))
    with pytest.raises(InvalidInput, match=r"rounding decides.*give features"):
        LinearEcosystem(private, public).limit()


@pytest.mark.parametrize("apart", [1e-4, 1e-6, 1e-8, 1e-10])
@pytest.mark.parametrize(("alpha", "beta"), [(0.0, 1.0), (0.9, 1.0), (0.5, 0.5)])
def test_one_entity_of_nearly_dependent_data_is_right_or_refused(apart, alpha, beta):
    """The others' data do not make its own better: never a direction less without a word."""
    private, public = drawn(2, K=1)
    private[0, :, 3] = private[0, :, 2] + apart * private[0, :, 3]
    wanted, _ = Precise(grams(private), grams([public])[0], grams(private), alpha, beta).limit()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IllConditioned)
        try:
            limit = LinearEcosystem.from_features(private, public, alpha=alpha, beta=beta).limit()
        except InvalidInput:
            assert apart < 1e-4
            assert beta == 1.0
            return
    assert limit.mse == pytest.approx(wanted, rel=10.0 ** (1 - limit.digits))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("of", ["grams", "features"])
def test_rounding_of_single_precision_is_no_direction(seed, of):
    rng = np.random.default_rng(seed)
    plane = np.linalg.qr(rng.standard_normal((3, 2)))[0]
    private, public = rng.standard_normal((2, 6, 2)) @ plane.T, rng.standard_normal((6, 2)) @ plane.T
    wanted = LinearEcosystem.from_features(private, public).limit()
    if of == "features":
        eco = LinearEcosystem.from_features(private.astype(np.float32), public.astype(np.float32))
    else:
        eco = LinearEcosystem(grams_of(private).astype(np.float32), grams_of(public).astype(np.float32))
    assert not wanted.full_rank.any()
    assert not eco.limit().full_rank.any()
    assert eco.limit().variance == pytest.approx(wanted.variance, rel=1e-3)


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, K=st.integers(1, 5), d=st.integers(1, 6), rows=st.integers(1, 8), kind=st.sampled_from(["f4", "f8"]))
def test_random_data_are_no_cause_for_words(seed, K, d, rows, kind):
    """Warnings are errors: data of any rank, in either precision, raise none."""
    rng = np.random.default_rng(seed)
    private, public = rng.standard_normal((K, rows, d)).astype(kind), rng.standard_normal((d + 3, d)).astype(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        eco = LinearEcosystem.from_features(private, public)
        assert np.isfinite(eco.limit().mse).all()
        assert np.isfinite(eco.moments([0, 3]).mse).all()
