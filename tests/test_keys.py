"""Addresses: independent of order and batch, spread evenly, never colliding."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crossfeed.keys import address, generator, item_keys, uniforms


def test_paths_of_a_run_never_collide():
    paths = [
        (seed, purpose, generation, entity)
        for seed in range(10)
        for purpose in ("draw", "update", "publish")
        for generation in range(20)
        for entity in ("a", "b", "ab", "1", "11")
    ]
    assert len({address(*path) for path in paths}) == len(paths)


def test_a_word_is_not_a_number_and_borders_count():
    assert len({address(1), address("1"), address("a", "b"), address("ab"), address("a\x1fstr:b")}) == 5


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 10**6), min_size=1, max_size=50))
def test_an_items_key_does_not_depend_on_the_others(base, items):
    together = item_keys(base, np.array(items))
    alone = [item_keys(base, np.array([item]))[0] for item in items]
    assert together.tolist() == alone


def test_item_keys_are_distinct_and_uniform():
    keys = item_keys(address(0, "publish", 1, "a"), np.arange(100_000))
    assert len(np.unique(keys)) == len(keys)
    # 1e-6: any seed passes, and a generator whose numbers are not uniform does not.
    for salt in range(3):
        assert stats.kstest(uniforms(keys, salt), "uniform").pvalue > 1e-6


def test_salts_are_independent():
    keys = item_keys(7, np.arange(50_000))
    correlation = np.corrcoef(uniforms(keys, 0), uniforms(keys, 1))[0, 1]
    assert abs(correlation) < 5 / np.sqrt(len(keys))


def test_generators_of_one_path_agree_and_of_two_differ():
    assert generator(0, "a").random(4).tolist() == generator(0, "a").random(4).tolist()
    assert generator(0, "a").random(4).tolist() != generator(0, "b").random(4).tolist()
