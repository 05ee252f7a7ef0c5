"""Updates that stop early or shrink, against one that takes its steps one by one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ecosystems import ALPHAS, BETAS, SHARES, random_ecosystem, random_grams
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from stepwise import Stepwise

from crossfeed.errors import InvalidInput
from crossfeed.theory import LinearEcosystem, best_choice, landscape, random_features
from crossfeed.theory import modes as modes_of_memory
from crossfeed.theory.influence import influence_shares
from crossfeed.theory.modes import memory_radius

TRAINING = {
    "steps": st.sampled_from([None, 1, 2, 6]),
    "rate": st.floats(0.02, 0.3),
    "ridge": st.sampled_from([0.0, 0.4]),
    "start": st.sampled_from(["previous", "base", "own"]),
}


def trained(description, steps, rate, ridge, start):
    return description | {"steps": steps, "rate": None if steps is None else rate, "ridge": ridge, "start": start}


def ecosystems(alphas, betas, histories):
    return st.builds(
        random_ecosystem,
        seed=st.integers(0, 2**32),
        alpha=st.sampled_from(alphas),
        beta=st.sampled_from(betas),
        K=st.integers(1, 4),
        rank=st.integers(1, 4),
        shares=st.sampled_from(SHARES),
        history=st.sampled_from(histories),
        fresh=st.booleans(),
        own_truths=st.booleans(),
        other_features=st.booleans(),
        other_start=st.booleans(),
    )


ANY = st.builds(trained, ecosystems(ALPHAS, BETAS, ["latest", "accumulate"]), **TRAINING)
CONSTANT = ["0", "0.4", "1", "per entity"]
SETTLED = st.builds(
    trained,
    ecosystems(CONSTANT, ["0", "0.5", "1", "per entity"], ["latest"]),
    **(TRAINING | {"steps": st.sampled_from([1, 2, 6]), "start": st.just("previous")}),
)


def described(alpha="0.4", **changes):
    return random_ecosystem(3, alpha=alpha, K=3, rank=3, shares="unequal", fresh=True) | changes


def dispersion(mean, joint):
    K, d = mean.shape
    total = 0.0
    for k, m in itertools.permutations(range(K), 2):
        apart = np.zeros((d, K * d))
        apart[:, k * d : (k + 1) * d], apart[:, m * d : (m + 1) * d] = np.eye(d), -np.eye(d)
        total += np.trace(apart @ joint @ apart.T) + ((mean[k] - mean[m]) ** 2).sum()
    return total / (K * (K - 1)) if K > 1 else 0.0


def assert_close(found, wanted, tolerance=1e-8):
    assert np.shape(found) == np.shape(wanted)
    assert np.abs(found - wanted).max(initial=0.0) <= tolerance * max(1.0, np.abs(wanted).max(initial=0.0))


def is_stable(description, twin, last):
    """Whether steps are small enough, and ranks are clear."""
    largest = max(np.linalg.eigvalsh(twin.twin.grams(t)).max() for t in range(1, last + 1)) + description["ridge"]
    return twin.twin.is_clear(last) and (description["steps"] is None or description["rate"] * largest < 1.9)


@settings(max_examples=60, deadline=None)
@given(ANY)
def test_every_generation_is_that_of_steps_taken_one_by_one(description):
    twin, times = Stepwise(**description), [3, 0, 5, 1]
    assume(is_stable(description, twin, 5))
    moments = LinearEcosystem(**description).moments(times)
    means, joints = twin.moments(times)
    covariances = np.array([twin.twin.blocks(joint) for joint in joints])
    tasks = random_grams(np.random.default_rng(0), 2, 4, 3)
    off = means - twin.twin.truth_public
    assert_close(moments.mean, means)
    assert_close(moments.covariance, covariances)
    assert_close(moments.variance, np.trace(covariances, axis1=2, axis2=3))
    assert_close(moments.bias_squared, ((means - twin.twin.truths) ** 2).sum(axis=2))
    assert_close(moments.dispersion, [dispersion(*each) for each in zip(means, joints, strict=True)])
    predicted = np.einsum("tka,mab,tkb->tkm", off, tasks, off) + np.einsum("tkab,mab->tkm", covariances, tasks)
    assert_close(moments.mspe(tasks), predicted)


@settings(max_examples=25, deadline=None)
@given(ANY)
def test_the_law_given_the_data_and_influence_are_those_of_steps_taken_one_by_one(description):
    twin = Stepwise(**description)
    assume(is_stable(description, twin, 4))
    eco = LinearEcosystem(**description)
    M = twin.coefficients(4)
    K, d = twin.twin.K, twin.twin.d
    norms = np.sqrt((M.reshape(K, d, K + 1, d) ** 2).sum(axis=(1, 3)))
    assert_close(eco.moments([4]).gain_norms[0], norms, 1e-7)
    assert_close(eco.influence([4]).sum(axis=2), np.ones((1, K)))
    # What real data leave and what noise leaves add up to everything.
    data = np.random.default_rng(1).standard_normal((K + 1, d))
    given_data = eco.moments([4]).given(data)
    spread = M @ twin.twin.real_covariance() @ M.T
    _, joints = twin.moments([4])
    assert_close(given_data.covariance[0] + twin.twin.blocks(spread), twin.twin.blocks(joints[0]))
    silent = Stepwise(**description | {"truths": data[:-1], "truth_public": data[-1], "fresh_fraction": 0.0})
    if not description.get("fresh_fraction"):
        assert_close(given_data.mean, silent.moments([4])[0])


@settings(max_examples=50, deadline=None)
@given(SETTLED)
def test_the_limit_is_what_steps_taken_one_by_one_come_to(description):
    twin = Stepwise(**description)
    assume(is_stable(description, twin, 1))
    limit = LinearEcosystem(**description).limit()
    sizes = np.linalg.eigvals(twin.lifted_step())
    moving = np.abs(sizes[np.abs(sizes - 1) > 1e-9])  # what stays at one is what no data reach
    if limit.growth is not None:
        assert limit.growth.law == "linear"
        return
    assert_close(limit.spectral_radius, moving.max(initial=0.0), 1e-7)
    if limit.spectral_radius > 0.999:
        return
    mean, joint = twin.long_run(limit.spectral_radius)
    covariance = twin.twin.blocks(joint)
    assert_close(limit.mean, mean)
    assert_close(limit.covariance, covariance)
    assert_close(limit.variance, np.trace(covariance, axis1=1, axis2=2))
    assert_close(limit.dispersion, dispersion(mean, joint))
    assert_close(limit.mspe(), limit.mspe(description["private"], limit.ecosystem.truths))


@settings(max_examples=25, deadline=None)
@given(SETTLED)
def test_real_data_leave_what_they_leave_under_full_minimisation(description):
    """The theorem, with the steps of the twin on one side and today's theory of minima on the other."""
    full = LinearEcosystem(**description | {"steps": None, "rate": None})
    twin = Stepwise(**description | {"sigma_generated": 0.0, "fresh_fraction": 0.0, "fresh": None})
    assume(is_stable(description, twin, 1) and not description.get("fresh_fraction"))
    silent = LinearEcosystem(**description | {"steps": None, "rate": None, "sigma_generated": 0.0}).limit()
    limit = LinearEcosystem(**description).limit()
    assume(silent.converges and limit.converges and limit.full_rank.all() and limit.spectral_radius < 0.999)
    mean, joint = twin.long_run(limit.spectral_radius)
    assert_close(silent.mean, mean)
    assert_close(silent.covariance, twin.twin.blocks(joint))
    assert_close(limit.influence, full.limit().influence)
    assert_close(limit.bias_squared, full.limit().bias_squared)


@pytest.mark.parametrize("start", ["base", "own"])
@pytest.mark.parametrize("history", ["latest", "accumulate"])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_the_limit_of_models_that_begin_anew_is_what_they_come_to(start, history, ridge):
    description = trained(described(history=history), 3, 0.1, ridge, start)
    limit = LinearEcosystem(**description).limit()
    twin = Stepwise(**description)
    if history == "latest":
        mean, joint = twin.long_run(limit.spectral_radius)
        assert_close(limit.mean, mean)
        assert_close(limit.covariance, twin.twin.blocks(joint))
        assert_close(limit.dispersion, dispersion(mean, joint))
    else:
        late = LinearEcosystem(**description).moments([4000])
        assert np.abs(late.mse[0] - limit.mse).max() < 0.01 * limit.mse.max()


@pytest.mark.parametrize("history", ["latest", "accumulate"])
def test_the_limit_under_a_ridge_is_what_generations_come_to(history):
    description = described(history=history, ridge=0.7)
    limit = LinearEcosystem(**description).limit()
    late = LinearEcosystem(**description).moments([4000])
    assert np.abs(late.mse[0] - limit.mse).max() < (1e-9 if history == "latest" else 0.01) * limit.mse.max()
    assert not limit.unbiased.any()
    assert (limit.bias_squared > 1e-6).all()


def test_where_pools_accumulate_memory_leaves_the_limit_of_full_minimisation():
    description = described(history="accumulate")
    steps = LinearEcosystem(**description, steps=2, rate=0.1)
    assert_close(steps.limit().mse, LinearEcosystem(**description).limit().mse)
    far = [np.abs(steps.moments([t]).mse[0] - steps.limit().mse).max() for t in (20, 80)]
    assert far[1] < 0.5 * far[0]


def test_one_step_of_one_over_the_curvature_is_full_minimisation_where_that_is_the_same_in_all_directions():
    one = np.broadcast_to(2.0 * np.eye(3), (2, 3, 3))
    options = {"private": one, "public": one[0], "truth_public": np.ones(3)}
    steps, full = LinearEcosystem(**options, steps=1, rate=0.5), LinearEcosystem(**options)
    assert_close(steps.moments(range(5)).mse, full.moments(range(5)).mse, 1e-12)
    assert_close(steps.limit().covariance, full.limit().covariance, 1e-12)


def test_many_steps_are_full_minimisation():
    description = described()
    steps, full = LinearEcosystem(**description, steps=10**7, rate=0.1), LinearEcosystem(**description)
    assert_close(steps.moments([0, 1, 6]).mse, full.moments([0, 1, 6]).mse)
    assert_close(steps.limit().mse, full.limit().mse)
    assert_close(steps.limit().spectral_radius, full.limit().spectral_radius)


def test_few_steps_a_generation_average_generated_noise():
    """The numbers of docs/theory.md: K = 4, d = 15, private rank 5, beta 1/2, steps of 1/lambda_max."""
    features = random_features(4, 15, 5, 15, 0, 15, 15)
    for alpha, wanted in ((0.5, (0.937, 1.055, 1.133)), (0.9, (1.172, 2.074, 2.579))):
        data = {"private": features.private, "public": features.public, "alpha": alpha, "truth_public": np.zeros(15)}
        full = LinearEcosystem.from_features(**data)
        G = (1 - alpha) / 2 * (full.private.all() + full.public) + alpha * full.pool_gram
        rate = 1 / np.linalg.eigvalsh(G).max()
        few = [LinearEcosystem.from_features(**data, steps=n, rate=rate).limit().mse.mean() for n in (1, 10)]
        assert_close(np.array([*few, full.limit().mse.mean()]), np.array(wanted), 1e-3)


@pytest.mark.parametrize("seed", range(5))
def test_without_real_data_the_variance_grows_by_what_the_limit_states(seed):
    description = random_ecosystem(seed, alpha="1", K=3, rank=3) | {"steps": 2, "rate": 0.15}
    eco = LinearEcosystem(**description)
    limit = eco.limit()
    assert limit.growth.law == "linear"
    late = eco.moments([250, 251]).variance
    assert_close(limit.variance_growth, late[1] - late[0], 1e-6)


def test_steps_settle_where_full_minimisation_overshoots():
    """Published rows that are like nobody's private rows: the fitted minima spiral outwards, small steps inwards."""
    rng = np.random.default_rng(22015)
    rng.integers(2, 5, 2)

    def grams():
        rows = rng.standard_normal((4, int(rng.integers(1, 4)), 3)) * np.exp(rng.normal(0, 2, (4, 1, 1)))
        return rows.swapaxes(1, 2) @ rows

    description = {"private": grams() + 1e-6 * np.eye(3), "public": np.eye(3), "generated": grams(), "beta": 1.0}
    description |= {"shares": rng.dirichlet(np.ones(4)), "alpha": rng.uniform(0.05, 0.999, 4), "initial_beta": 0.5}
    limits = {n: LinearEcosystem(**description, steps=n, rate=0.2, truth_public=np.ones(3)).limit() for n in (1, 10**6)}
    full = LinearEcosystem(**description, truth_public=np.ones(3)).limit()
    assert full.growth.law == limits[10**6].growth.law == "geometric"
    assert limits[1].converges


def test_slow_modes_need_few_frequencies():
    """Steps so small that what is learnt takes a million generations."""
    description = described() | {"steps": 1, "rate": 1e-6}
    limit = LinearEcosystem(**description).limit()
    assert 1e-7 < 1 - limit.spectral_radius < 1e-5
    mean, joint = Stepwise(**description).long_run(limit.spectral_radius)
    assert_close(limit.mean, mean, 1e-6)
    assert_close(limit.covariance, Stepwise(**description).twin.blocks(joint), 1e-6)
    silent = LinearEcosystem(**description | {"sigma_generated": 0.0, "fresh_fraction": 0.0}).limit()
    fresh = LinearEcosystem(**description | {"fresh_fraction": 0.0}).limit()
    noise = np.trace(fresh.covariance - silent.covariance, axis1=1, axis2=2)
    # A step of 1e-6 leaves about so much of one generation's noise.
    assert (noise > 0).all()
    assert noise.max() < 1e-4


def test_arnoldi_finds_the_radius_that_all_eigenvalues_give(monkeypatch):
    rng = np.random.default_rng(0)
    for rate in (0.03, 1e-4):
        private, public = random_grams(rng, 40, 5, 3), random_grams(rng, 1, 5, 5)[0]
        spec = LinearEcosystem(private, public, steps=2, rate=rate).specification.conditioned
        every = memory_radius(spec)
        with monkeypatch.context() as patched:
            patched.setattr(modes_of_memory, "_DENSE", 0)
            assert_close(memory_radius(spec), every, 1e-9)


def test_blocks_of_entities_add_up(monkeypatch):
    rng = np.random.default_rng(0)
    data = {"private": random_grams(rng, 50, 4, 2), "public": random_grams(rng, 1, 4, 4)[0], "truth_public": np.ones(4)}
    whole = LinearEcosystem(**data, steps=2, rate=0.1)
    numbers = whole.moments([3]).mse, whole.limit().mse, whole.limit().dispersion, whole.influence([3])
    monkeypatch.setattr("crossfeed.theory.grams._BLOCK_BYTES", 1)
    blocks = LinearEcosystem(**data, steps=2, rate=0.1)
    others = blocks.moments([3]).mse, blocks.limit().mse, blocks.limit().dispersion, blocks.influence([3])
    for one, other in zip(numbers, others, strict=True):
        assert_close(one, other, 1e-11)


def test_own_start_is_unbiased_where_generation_0_is_and_base_is_not():
    description = described(truths=None)
    del description["truths"]
    description["private"] = random_grams(np.random.default_rng(0), 3, 4, 4)
    options = {"steps": 2, "rate": 0.1}
    own, base, on = (LinearEcosystem(**description, **options, start=s).limit() for s in ("own", "base", "previous"))
    assert own.unbiased.all()
    assert own.bias_squared.max() < 1e-20
    assert on.unbiased.all()
    assert not base.unbiased.any()
    assert base.bias_squared.min() > 1e-4


def test_the_influence_of_the_limit_is_read_from_it():
    eco = LinearEcosystem(**described(), steps=6, rate=0.1)
    assert_close(influence_shares(eco), eco.limit().influence)
    far = 1 + int(np.log(1e-9) / np.log(eco.limit().spectral_radius))
    assert far < 300
    assert_close(eco.influence([far])[0], eco.limit().influence, 1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"steps": 0, "rate": 0.1}, "steps must be a whole number >= 1"),
        ({"steps": 1.5, "rate": 0.1}, "steps must be a whole number >= 1"),
        ({"steps": 2}, "steps and rate belong together"),
        ({"rate": 0.1}, "steps and rate belong together"),
        ({"steps": 2, "rate": 0.0}, "rate must be a number > 0"),
        ({"ridge": -1.0}, "ridge must be a number >= 0"),
        ({"start": "first"}, "start must be"),
    ],
)
def test_training_that_makes_no_sense_is_refused(options, words):
    with pytest.raises(InvalidInput, match=words):
        LinearEcosystem(**described(), **options)


@pytest.mark.parametrize("start", ["previous", "base", "own"])
def test_steps_that_diverge_are_refused_with_the_largest_eigenvalue(start):
    eco = LinearEcosystem(**described(), steps=2, rate=10.0, start=start)
    for ask in (eco.limit, lambda: eco.moments([2])):
        with pytest.raises(InvalidInput, match="lambda_max ="):
            ask()


def test_what_does_not_close_is_refused():
    eco = LinearEcosystem(**described(), steps=2, rate=0.1)
    for ask in (lambda: best_choice(eco), lambda: landscape(eco, [0.3], [0.5])):
        with pytest.raises(InvalidInput, match="leave both out"):
            ask()
    with pytest.raises(InvalidInput, match="a limit needs constant weights"):
        LinearEcosystem(**described("scheduled"), steps=2, rate=0.1).limit()
    silent = LinearEcosystem(**described("1", fresh=None, fresh_fraction=None, sigma_generated=0.0), steps=2, rate=0.1)
    with pytest.raises(InvalidInput, match="what the first generations said"):
        silent.limit()
