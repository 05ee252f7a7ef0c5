"""Gradients of limiting and of finite errors in every weight: against a naive twin by the complex step."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from ecosystems import SHARES, random_ecosystem

from crossfeed.theory import LinearEcosystem, Weights
from crossfeed.theory.choices import Choices
from crossfeed.theory.gradients import LimitModel, settle
from crossfeed.theory.horizon import HorizonSolution
from crossfeed.theory.objectives import Criterion, LimitProblem

STEP = 1e-30


def twin(spec, alpha, beta, shares, fresh):
    """Errors and dispersion by dense formulas that hold for complex numbers: no conjugates, one entity by one."""
    d, K = spec.dimension, spec.entities
    private, generated = spec.private.all(), spec.generated.all()
    p, q = (1 - alpha) * beta, (1 - alpha) * (1 - beta)
    s, V = (1 - fresh) * shares, fresh * spec.fresh_gram
    for k in range(K):
        V = V + s[k] * generated[k]
    inverses = [_inverse(p[k] * private[k] + q[k] * spec.public + alpha[k] * V) for k in range(K)]
    A = sum(s[k] * alpha[k] * generated[k] @ inverses[k] for k in range(K))
    N = (spec.sigma_generated**2 * sum(s[k] ** 2 * generated[k] for k in range(K))) + (
        spec.sigma * fresh
    ) ** 2 * spec.fresh_gram
    L = np.linalg.inv(np.eye(d) - A)
    gains = [s[k] * p[k] * generated[k] @ inverses[k] for k in range(K)]
    public = sum(s[k] * q[k] * generated[k] @ inverses[k] for k in range(K))
    drive = public @ spec.public @ spec.truth_public + fresh * spec.fresh_gram @ spec.truth_public
    drive = drive + sum(gains[k] @ private[k] @ spec.truths[k] for k in range(K))
    noise = np.zeros((d, d))
    if spec.history == "latest":
        noise = np.linalg.solve(np.eye(d * d) - np.kron(A, A), N.ravel()).reshape(d, d)
    # Rows of the lifted gains: estimate k on source j (public last), then on the pool's noise.
    rows = []
    for k in range(K):
        on = [alpha[k] * inverses[k] @ L @ gains[j] + (j == k) * p[k] * inverses[k] for j in range(K)]
        on.append(alpha[k] * inverses[k] @ L @ public + q[k] * inverses[k])
        rows.append(on)
    grams = [*private, spec.public]
    truths = [*spec.truths, spec.truth_public]
    fresh_mean = fresh * spec.fresh_gram @ spec.truth_public
    means = [
        sum(on[j] @ grams[j] @ truths[j] for j in range(K + 1)) + alpha[k] * inverses[k] @ L @ fresh_mean
        for k, on in enumerate(rows)
    ]

    def second(weights):
        """E |sum_k c_k theta_k|^2, centred on nothing."""
        on = [sum(c * rows[k][j] for k, c in enumerate(weights)) for j in range(K + 1)]
        out = sum(c * alpha[k] * inverses[k] for k, c in enumerate(weights))
        mean = sum(c * means[k] for k, c in enumerate(weights))
        variance = spec.sigma**2 * sum(np.trace(on[j] @ grams[j] @ on[j].T) for j in range(K + 1))
        return variance + np.trace(out @ noise @ out.T) + mean @ mean

    unit = np.eye(K)
    mse = np.array(
        [
            second(unit[k]) - means[k] @ means[k] + (means[k] - spec.truths[k]) @ (means[k] - spec.truths[k])
            for k in range(K)
        ]
    )
    pairs = [second(unit[k] - unit[j]) for k in range(K) for j in range(k)]
    return mse, (sum(pairs) / len(pairs) if pairs else 0.0)


def _inverse(matrix):
    """On the range of the real part, which does not depend on the step."""
    values, vectors = np.linalg.eigh(matrix.real)
    inside = vectors[:, values > 1e-9 * values.max()]
    return inside @ np.linalg.inv(inside.T @ matrix @ inside) @ inside.T


@pytest.mark.parametrize("seed", range(24))
def test_the_gradient_is_that_of_a_dense_twin_by_the_complex_step(seed):
    """Private data of rank 2 in 4 dimensions, own truths, no generated noise, fresh data, both histories."""
    rng = np.random.default_rng(seed)
    K = 1 + seed % 4
    given = random_ecosystem(
        seed, K=K, shares=SHARES[seed % 3] if K > 1 else "equal", history=("latest", "accumulate")[seed // 2 % 2],
        fresh=seed % 2 == 0, other_features=seed % 5 == 0,
    )  # fmt: skip
    if seed % 6 == 0:
        given["sigma_generated"] = 0.0
    if seed % 8 == 3:  # rank 3 in all: G is singular for every entity, and the estimates are biased
        given["public"] = np.diag([1.0, 2.0, 0.0, 0.0])
        given["private"] = np.array([np.diag([1.0 + k, 0.0, 0.5, 0.0]) for k in range(K)])
        given.pop("generated", None)
    alpha, beta = rng.uniform(0.1, 0.7, K), rng.uniform(0.1, 0.9, K)
    spec = LinearEcosystem(**given | {"alpha": alpha, "beta": beta}).specification
    base = Weights.of(spec)
    weight, price = rng.uniform(0.2, 1, K), 0.7
    solved = LimitModel(spec).solve(alpha[None], beta[None])
    if not settle(solved.matrix, np.zeros((4, 4)))[1][0]:
        pytest.skip("these entities publish at other features than they hold, and have no limit")
    slope = solved.slope(weight[None], price)
    mse, apart = twin(spec, alpha, beta, base.shares, base.fresh_fraction)
    np.testing.assert_allclose(solved.mse[0], mse, rtol=1e-9)
    np.testing.assert_allclose(solved.closeness().value[0], apart, rtol=1e-9, atol=1e-12)

    def derivative(name, k=None):
        moved = {"alpha": alpha, "beta": beta, "shares": base.shares, "fresh": base.fresh_fraction}
        step = STEP * 1j if k is None else np.where(np.arange(K) == k, STEP * 1j, 0)
        errors, dispersion = twin(spec, **moved | {name: moved[name] + step})
        return ((weight @ errors) + price * dispersion).imag / STEP

    size = abs(weight @ mse) + 1
    for name, found in (("alpha", slope.alpha), ("beta", slope.beta), ("shares", slope.shares)):
        wanted = [derivative(name, k) for k in range(K)]
        np.testing.assert_allclose(found[0], wanted, rtol=1e-8, atol=1e-9 * size)
    if base.fresh_fraction > 0:
        assert slope.fresh_fraction[0] == pytest.approx(derivative("fresh"), rel=1e-8, abs=1e-9 * size)


@pytest.mark.parametrize("free", [("alpha", "beta"), ("alpha", "beta", "fresh_fraction", "shares"), ("shares",)])
@pytest.mark.parametrize("per_entity", [False, True])
@pytest.mark.parametrize("objective", ["mean", "worst", 1])
def test_the_gradient_in_the_coordinates_of_a_choice(free, per_entity, objective):
    rng = np.random.default_rng(7)
    given = random_ecosystem(7, shares="unequal", fresh=True, other_features=False)
    spec = LinearEcosystem(
        **given | {"alpha": rng.uniform(0.2, 0.6, 3), "beta": rng.uniform(0.2, 0.8, 3)}
    ).specification
    choices = Choices.read(Weights.of(spec), free, per_entity=per_entity, held=[2])
    problem = LimitProblem(spec, choices, Criterion(objective, dispersion=0.3, fresh=0.4))
    point = choices.point(choices.base)
    _, slope = problem(point)
    for i in range(choices.size):
        step = np.where(np.arange(choices.size) == i, 1e-5, 0.0)
        wanted = (problem(point + step)[0] - problem(point - step)[0]) / 2e-5
        assert slope[i] == pytest.approx(wanted, rel=1e-5, abs=1e-7)
    assert choices.weights(point).alpha[2] == spec.weights.alpha.at(1)[2]
    assert choices.weights(point).shares.sum() == pytest.approx(1)


def test_settings_of_a_batch_do_not_know_of_each_other():
    """One without a Cholesky factorization and one without a limit are told apart from those beside them."""
    given = random_ecosystem(3, other_features=False) | {"public": np.eye(4)}
    alphas, betas = np.array([0.3, 0.0, 1.0, 0.6]), np.array([0.4, 1.0, 0.5, 0.2])
    wide = [np.repeat(each[:, None], 3, axis=1) for each in (alphas, betas)]
    together = LimitModel(LinearEcosystem(**given).specification).solve(*wide)
    np.testing.assert_array_equal(together.hard, [False, False, True, False])
    np.testing.assert_array_equal(together.answers[0].singular.all(axis=1), [False, True, False, False])
    for i in (0, 1, 3):
        alone = LinearEcosystem(**given | {"alpha": alphas[i], "beta": betas[i]})
        np.testing.assert_allclose(together.mse[i], alone.limit().mse, rtol=1e-10)


def test_other_shares_are_another_ecosystem():
    spec = LinearEcosystem(**random_ecosystem(5, other_features=False)).specification
    weights = replace(Weights.of(spec), shares=np.array([0.2, 0.3, 0.5]))
    given = random_ecosystem(5, other_features=False) | {"shares": [0.2, 0.3, 0.5]}
    np.testing.assert_array_equal(weights.set_in(spec).pool_gram, LinearEcosystem(**given).pool_gram)


@pytest.mark.parametrize("seed", range(6))
def test_the_gradient_over_a_horizon_is_that_of_the_moments(seed):
    rng, K, T = np.random.default_rng(seed), 1 + seed % 3, 4
    given = random_ecosystem(seed, K=K, history=("latest", "accumulate")[seed % 2], fresh=seed % 3 == 0)
    alpha, beta = rng.uniform(0.1, 0.9, (2, T + 1, K))
    weight, price = rng.uniform(0.2, 1, (T + 1, K)), rng.uniform(0, 1, T + 1)

    def moments(alpha, beta, shares=None, fresh=None):
        changed = given | {"shares": given["shares"] if shares is None else shares / shares.sum()}
        if fresh is not None:
            changed |= {"fresh_fraction": fresh}
        eco = LinearEcosystem(**changed | {"alpha": lambda t: alpha[t], "beta": lambda t: beta[t]})
        return eco.moments(range(T + 1))

    def total(*weights):
        found = moments(*weights)
        return (weight * found.mse).sum() + price @ found.dispersion

    spec = LinearEcosystem(**given | {"alpha": 0.5, "beta": 0.5}).specification
    solved = HorizonSolution.of(spec, alpha, beta)
    np.testing.assert_allclose(solved.mse, moments(alpha, beta).mse, rtol=1e-9)
    slope = solved.slope(weight, price)
    for t in range(T + 1):
        for k in range(K):
            step = np.zeros((T + 1, K))
            step[t, k] = 1e-5
            in_alpha = (total(alpha + step, beta) - total(alpha - step, beta)) / 2e-5
            in_beta = (total(alpha, beta + step) - total(alpha, beta - step)) / 2e-5
            assert slope.alpha[t, k] == pytest.approx(in_alpha, rel=1e-5, abs=1e-6)
            assert slope.beta[t, k] == pytest.approx(in_beta, rel=1e-5, abs=1e-6)
    if spec.fresh_fraction:
        moved = [total(alpha, beta, None, spec.fresh_fraction + each) for each in (1e-5, -1e-5)]
        assert slope.fresh_fraction.sum() == pytest.approx((moved[0] - moved[1]) / 2e-5, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("column", [1.0, 1e-6, 1e5])
@pytest.mark.parametrize("near", [1.0, 1e-4])
@pytest.mark.parametrize("seed", range(3))
def test_gradients_hold_in_the_coordinates_that_solvers_choose(seed, near, column):
    """Columns of unlike units are scaled, nearly dependent ones whitened: errors are of theta all the same."""
    rng = np.random.default_rng(seed)
    d, K = 3, 3
    change = np.eye(d)
    change[1, 0], change[1, 1] = 1.0, near  # the first two columns differ by so much
    X = rng.normal(size=(K, 9, d)) @ change * [1.0, 1.0, column]
    P = rng.normal(size=(12, d)) @ change * [1.0, 1.0, column]
    truths = rng.normal(size=(K, d)) / [1.0, 1.0, column]
    eco = LinearEcosystem.from_features(X, P, alpha=0.5, beta=0.5, truths=truths, truth_public=truths[0])
    spec = eco.specification
    assert (spec.conditioned.coordinates is None) == (column == near == 1.0)
    alpha, beta = rng.uniform(0.2, 0.8, (2, K))
    solved = LimitModel(spec).solve(alpha[None], beta[None])
    exact = eco.with_weights(alpha, beta).limit()
    np.testing.assert_allclose(solved.mse[0], exact.mse, rtol=1e-8)
    np.testing.assert_allclose(solved.closeness().value[0], exact.dispersion, rtol=1e-8)
    weight = rng.uniform(0.5, 1.5, K)
    slope = solved.slope(weight[None], 0.3)

    def value(move):
        limit = eco.with_weights(alpha + move[:K], beta + move[K:]).limit()
        return weight @ limit.mse + 0.3 * limit.dispersion

    step = 1e-5
    for i, moved in enumerate(step * np.eye(2 * K)):
        expected = (value(moved) - value(-moved)) / (2 * step)
        found = np.concatenate([slope.alpha[0], slope.beta[0]])[i]
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-5 * value(0 * moved))
