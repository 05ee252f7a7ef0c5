"""Symbols drawn from a known distribution: the truth, the draws, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from crossfeed.keys import item_keys, uniforms
from crossfeed.tasks.categorical import CategoricalTaskSettings, symbol_items, symbols_of
from crossfeed.tasks.inverse_transform import InverseTransform, symbol_type


def described(**fields):
    return CategoricalTaskSettings.model_validate(fields)


def test_truths_are_normalised():
    np.testing.assert_allclose(described(probabilities=[3, 0, 1]).truth_probabilities, [0.75, 0, 0.25])
    np.testing.assert_allclose(described(uniform=5).truth_probabilities, 0.2)
    naive = np.array([(i + 2.7) ** -1.1 for i in range(1, 8)])
    zipf = described(zipf={"symbols": 7, "exponent": 1.1, "shift": 2.7})
    np.testing.assert_allclose(zipf.truth_probabilities, naive / naive.sum())
    steep = described(zipf={"symbols": 50, "exponent": 100, "shift": 1e9}).truth_probabilities
    assert np.isfinite(steep).all()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "one of probabilities, zipf and uniform; received none"),
        ({"uniform": 2, "probabilities": [1]}, "received probabilities and uniform"),
        ({"probabilities": [0, 0]}, "positive, finite sum; received 0"),
        ({"probabilities": [1, -1]}, "greater than or equal to 0"),
        ({"zipf": {"symbols": 3, "shift": -1}}, "greater than -1"),
        ({"uniform": 10_000, "replicates": 20_000}, "received 200,000,000"),
        ({"uniform": 2, "train": 3, "part": "1/4"}, "at most 3 parts"),
        ({"uniform": 2, "part": "1/2", "non_iid": {"alpha": 1}}, "parts of source: categorical are its own"),
    ],
)
def test_impossible_descriptions_are_refused(fields, message):
    with pytest.raises(ValidationError, match=message):
        described(**fields)


def test_draws_follow_the_truth():
    """Counts of each symbol within five standard errors, in both splits and in fresh items, which differ."""
    settings = described(probabilities=[6, 0, 3, 1], train=20_000, test=10_000, replicates=3)
    task = settings.build("a", None)
    _, fresh = task.reserve(2)
    tables = [symbols_of(table) for table in (task.train, task.test, *fresh)]
    truth = settings.truth_probabilities
    for drawn in tables:
        for replicate in drawn.T:
            shares = np.bincount(replicate, minlength=4) / len(replicate)
            assert (np.abs(shares - truth) <= 5 * np.sqrt(truth * (1 - truth) / len(replicate))).all()
    assert len({tuple(drawn[:50].ravel()) for drawn in tables}) == len(tables)


def test_the_first_replicates_do_not_depend_on_their_number():
    few, many = (described(uniform=1000, train=50, replicates=r).build("a", None) for r in (2, 5))
    np.testing.assert_array_equal(symbols_of(few.train), symbols_of(many.train)[:, :2])


def test_parts_are_every_mth_draw_whatever_their_names():
    whole = described(uniform=1000, train=20, part="1/1").build("x", None)
    parts = [described(uniform=1000, train=20, part=f"{i}/3").build(f"n{i}", None) for i in (1, 2, 3)]
    for i, part in enumerate(parts):
        np.testing.assert_array_equal(symbols_of(part.train), symbols_of(whole.train)[i::3])
        assert part.test.equals(whole.test)
    other = described(uniform=1000, train=20).build("x", None)
    assert not other.train.equals(whole.train)


def test_restricted_keeps_some_rows():
    task = described(uniform=1000, train=20).build("x", None)
    some = task.restricted(np.array([3, 5]))
    np.testing.assert_array_equal(symbols_of(some.train), symbols_of(task.train)[[3, 5]])
    assert some.content != task.content


def test_a_million_symbols():
    task = described(zipf={"symbols": 1_000_000, "exponent": 1.0, "shift": 2.7}, train=100_000, test=10).build(
        "x", None
    )
    symbols = symbols_of(task.train)
    assert symbols.dtype == np.int32
    # The mass of the first thousand symbols, in standard errors.
    share, mass = (symbols < 1000).mean(), task.truth[:1000].sum()
    assert abs(share - mass) < 5 * np.sqrt(mass * (1 - mass) / len(symbols))


def test_symbols_survive_the_table():
    symbols = np.arange(12, dtype=symbol_type(12)).reshape(4, 3)
    np.testing.assert_array_equal(symbols_of(symbol_items(symbols)), symbols)
    assert symbol_type(2**15) is np.int16
    assert symbol_type(2**15 + 1) is np.int32


@pytest.mark.parametrize("buckets", [1, 2, 7, 64, 5000])
@pytest.mark.parametrize("sparse", [0.0, 0.9])
def test_tables_invert_the_distribution_function(buckets, sparse):
    """The naive twin: the first symbol whose cumulative weight lies beyond the number, one at a time."""
    rng = np.random.default_rng(3)
    weights = rng.exponential(size=(4, 60)) ** 3 * (rng.random((4, 60)) >= sparse)
    weights[:, 30] += 0.1
    tables = InverseTransform.of_weights(weights, buckets)
    uniform = uniforms(item_keys(5, np.arange(2000)), np.arange(3, dtype=np.uint64)[:, None])
    drawn = tables.draw(uniform, begin=1)
    for row in range(3):
        edges = np.cumsum(weights[row + 1])
        naive = np.searchsorted(edges, uniform[row] * edges[-1], side="right")
        np.testing.assert_array_equal(drawn[row], naive)


def test_the_ends_of_the_unit_interval_draw_symbols_that_have_weight():
    weights = np.array([[0.0, 0.1, 0.0, 0.2, 0.0], [0.0, 3.0, 1.0, 0.0, 0.0]])
    ends = np.array([[0.0, 1 - 2.0**-53]] * 2)
    for buckets in (1, 3, 10, 49):
        drawn = InverseTransform.of_weights(weights, buckets).draw(ends)
        np.testing.assert_array_equal(drawn, [[1, 3], [1, 2]])
    counts = InverseTransform.of_counts(np.array([[0, 1, 0, 2], [2, 0, 1, 0]]))
    np.testing.assert_array_equal(counts.draw(ends), [[1, 3], [0, 2]])


def test_counts_and_weights_draw_alike():
    counts = np.random.default_rng(0).multinomial(100, np.full(20, 0.05), size=3)
    uniform = uniforms(item_keys(9, np.arange(500)), np.arange(3, dtype=np.uint64)[:, None])
    by_counts = InverseTransform.of_counts(counts).draw(uniform)
    np.testing.assert_array_equal(by_counts, InverseTransform.of_weights(counts.astype(float), 100).draw(uniform))
