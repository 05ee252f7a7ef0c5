"""Curation by choice: the operator against enumeration, published and known values, fixed points."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from crossfeed.errors import InvalidInput
from crossfeed.theory.curation import CuratedEcosystem, Taste, shannon_entropy
from crossfeed.theory.tempering import tempered, tempered_path

REWARDS, START = np.array([0.0, 0.5, 1.0]), np.array([0.6, 0.3, 0.1])


def enumerated(p, taste):
    """Every tuple of candidates, one by one."""
    found = np.zeros(len(p))
    for candidates in itertools.product(range(len(p)), repeat=int(taste.candidates)):
        drawn, rewards = list(candidates), taste.rewards[list(candidates)]
        if taste.rule == "luce":
            weight = np.exp(rewards / taste.temperature)
        else:
            weight = (rewards == rewards.max()).astype(float)
        np.add.at(found, drawn, np.prod(p[drawn]) * weight / weight.sum())
    return found


@pytest.mark.parametrize("rule", ["luce", "best"])
@pytest.mark.parametrize("k", [1, 2, 3, 6])
@pytest.mark.parametrize("temperature", [0.02, 0.3, 1.0, 50.0])
def test_what_is_kept_is_what_enumeration_keeps(rule, k, temperature):
    rng = np.random.default_rng(7)
    p = rng.dirichlet(np.full(5, 0.5))
    p[2] = 0
    taste = Taste(np.array([0.3, -1.0, 2.0, 0.3, 0.8]), k, rule, temperature)
    np.testing.assert_allclose(taste.chosen(p / p.sum()), enumerated(p / p.sum(), taste), rtol=1e-10, atol=1e-300)


def test_of_two_candidates_the_rule_is_that_of_bradley_and_terry():
    """For k = 2 the sum over pairs is explicit, also for ten thousand symbols."""
    rng = np.random.default_rng(2)
    p, r = rng.dirichlet(np.ones(10_000)), rng.normal(size=10_000)
    some = np.arange(0, 10_000, 997)
    wins = 1 / (1 + np.exp(r - r[some][:, None]))
    np.testing.assert_allclose(Taste(r, 2).chosen(p)[some], 2 * p[some] * (wins @ p), rtol=1e-11)


def test_many_candidates_tend_to_the_tilted_distribution_as_one_over_their_number():
    limit = Taste(REWARDS, np.inf).chosen(START)
    np.testing.assert_allclose(limit, START * np.exp(REWARDS) / (START @ np.exp(REWARDS)))
    near = [np.abs(Taste(REWARDS, k).chosen(START) - limit).max() for k in (100, 1000, 10**6)]
    assert near[0] / near[1] == pytest.approx(10, rel=0.02)
    assert near[2] < 1e-6


def test_the_best_of_many_is_the_best():
    np.testing.assert_allclose(Taste(REWARDS, np.inf, "best").chosen(START), [0, 0, 1])
    np.testing.assert_allclose(Taste(np.array([1.0, 0.0, 1.0]), np.inf, "best").chosen(START), [6 / 7, 0, 1 / 7])
    np.testing.assert_allclose(Taste(REWARDS, 4, "luce", 1e-3).chosen(START), Taste(REWARDS, 4, "best").chosen(START))


def alone(taste, T, eta=0.0):
    alpha = np.full((T + 1, 1), 1 - eta)
    alpha[0] = 0
    return CuratedEcosystem(
        truths=np.stack([START, START]),
        alpha=alpha,
        beta=np.ones((T + 1, 1)),
        reads=np.eye(1),
        curated=np.ones((1, 1)),
        tastes=[[taste]],
    )


@pytest.mark.parametrize(
    ("k", "rewards"),
    [
        (2, {1: 0.303443, 5: 0.569225, 10: 0.845332, 20: 0.988808, 50: 0.999998}),
        (4, {1: 0.338535, 5: 0.751102, 10: 0.961271, 20: 0.999250, 50: 1.0}),
    ],
)
def test_rewards_of_one_model_over_generations(k, rewards):
    path = alone(Taste(REWARDS, k), 50).path()[:, 0]
    for t, value in rewards.items():
        assert path[t] @ REWARDS == pytest.approx(value, abs=6e-7)
    assert (np.diff(path @ REWARDS) > 0).all()
    assert shannon_entropy(path)[0] == pytest.approx(-(START * np.log(START)).sum())
    assert shannon_entropy(path)[50] < 1e-4
    assert shannon_entropy(np.array([1.0, 0.0])) == 0


@pytest.mark.parametrize(
    ("eta", "point"),
    [
        (0.2, (0.558377, 0.312266, 0.129357)),
        (0.5, (0.428969, 0.297434, 0.273597)),
        (0.9, (0.094258, 0.074856, 0.830886)),
    ],
)
def test_fixed_points_with_a_reference(eta, point):
    """The share `eta` is chosen, and the rest is the reference, which is where the model began."""
    rest = alone(Taste(REWARDS, np.inf), 1, 1 - eta).fixed_point()
    np.testing.assert_allclose(rest[0], point, atol=6e-7)


TASTES = [Taste(REWARDS, np.inf), Taste(REWARDS[::-1].copy(), np.inf)]


def two_tastes(cross, judge="author", **options):
    return CuratedEcosystem(
        truths=np.full((3, 3), 1 / 3),
        alpha=np.array([[0.0, 0.0], [0.5, 0.5]]),
        beta=np.zeros((2, 2)),
        reads=np.array([[1 - cross, cross], [cross, 1 - cross]]),
        curated=np.ones((2, 2)),
        tastes=[TASTES, TASTES] if judge == "author" else [[taste] * 2 for taste in TASTES],
        **options,
    )


@pytest.mark.parametrize(("cross", "reward"), [(0, 0.6394), (0.25, 0.5531), (0.5, 0.5), (0.75, 0.4667), (1, 0.4447)])
def test_what_is_published_by_an_opposite_taste_works_against_ones_own(cross, reward):
    rest = two_tastes(cross).fixed_point()
    np.testing.assert_allclose([rest[0] @ REWARDS, rest[1] @ REWARDS[::-1]], [reward, reward], atol=5.1e-5)
    np.testing.assert_allclose(rest[0], rest[1][::-1])
    # A reader that chooses by its own taste gains whatever it reads.
    assert two_tastes(cross, "reader").fixed_point()[0] @ REWARDS > 0.5 + 1e-3


def test_readers_choose_from_each_author():
    eco, items = two_tastes(0.3, "reader"), np.array([[0.2, 0.5, 0.3], [0.6, 0.3, 0.1]])
    by_hand = [0.7 * TASTES[0].chosen(items[0]) + 0.3 * TASTES[0].chosen(items[1])]
    by_hand += [0.3 * TASTES[1].chosen(items[0]) + 0.7 * TASTES[1].chosen(items[1])]
    np.testing.assert_allclose(eco.fit(1, eco.read(items)), 0.5 / 3 + 0.5 * np.array(by_hand))


def test_parts_that_are_chosen_fresh_data_a_prior_and_a_pool_that_keeps_all():
    eco = replace(
        two_tastes(0.3),
        alpha=np.array([[0.0, 0.0], [0.5, 0.6], [0.7, 0.8]]),
        beta=np.full((3, 2), 0.4),
        truths=np.random.default_rng(1).dirichlet(np.ones(3), 3),
        curated=np.array([[0.5, 0.2], [0.0, 1.0]]),
        accumulates=True,
        fresh=0.25,
        temperature=0.8,
        kept=np.full((3, 2), 0.9),
    )
    path, pools = eco.path(), []
    for t in range(3):
        if t > 0:
            items = tempered(path[t - 1], 0.8)
            chosen = np.stack([TASTES[j].chosen(items[j]) for j in range(2)])
            pools.append(
                [
                    sum(
                        eco.reads[k, j] * ((1 - eco.curated[k, j]) * items[j] + eco.curated[k, j] * chosen[j])
                        for j in range(2)
                    )
                    for k in range(2)
                ]
            )
        for k in range(2):
            mixed = 0.4 * eco.truths[k] + 0.6 * eco.truths[2]
            if t > 0:
                pool = 0.75 * np.mean([each[k] for each in pools], axis=0) + 0.25 * eco.truths[2]
                mixed = (1 - eco.alpha[t, k]) * mixed + eco.alpha[t, k] * pool
            np.testing.assert_allclose(path[t, k], 0.9 * mixed + 0.1 / 3)


def test_without_curation_a_model_keeps_its_truth():
    np.testing.assert_allclose(alone(Taste(REWARDS, 1), 5).path()[5, 0], START)


def test_a_point_that_is_never_reached_is_none():
    assert alone(Taste(REWARDS, 2), 1).fixed_point(longest=5) is None


def test_generation_at_a_temperature():
    path = tempered_path(START, 0.9, 3)
    np.testing.assert_allclose(path[3], [0.679327, 0.262509, 0.058164], atol=6e-7)
    p = START
    for t in range(1, 4):
        p = tempered(p, 0.9)
        np.testing.assert_allclose(path[t], p)
    np.testing.assert_allclose(tempered_path(np.array([0.4, 0.4, 0.2]), 0.5, 5000)[-1], [0.5, 0.5, 0])
    np.testing.assert_allclose(tempered_path(np.array([0.7, 0.3, 0.0]), 2.0, 60)[-1], [0.5, 0.5, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Taste(REWARDS, 0), "candidates is 0"),
        (lambda: Taste(REWARDS, 2.5), "candidates is 2.5"),
        (lambda: Taste(REWARDS, temperature=0.0), "temperature is 0"),
        (lambda: Taste(np.array([0.0, np.inf])), "one finite number"),
        (lambda: Taste(REWARDS).chosen(np.ones(2) / 2), "give equal ones"),
        (lambda: replace(two_tastes(0.5), curated=np.ones((3, 3))), r"curated has the shape \(3, 3\)"),
        (lambda: replace(two_tastes(0.5), tastes=[TASTES]), r"tastes has the shape \(1, 2\)"),
        (lambda: tempered_path(START, -1.0, 2), "temperature is -1"),
    ],
)
def test_what_is_no_taste_is_refused(make, words):
    with pytest.raises(InvalidInput, match=words):
        make()
