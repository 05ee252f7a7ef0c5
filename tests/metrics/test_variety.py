"""Variety: the Vendi score against its package, and laws of its partition between models."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from pydantic import ValidationError
from tests.features import Features, around, measured

from crossfeed import MemoryStore, run
from crossfeed.metrics.variety import VarietySettings, effective_number, spectrum
from crossfeed.protocols import ALL_MODELS
from crossfeed.settings import identity, is_finite_json

ORDERS = (0, 0.3, 1, 2, 7.5, "inf")
TOGETHER = ("variety_within", "variety_total", "variety_between")


@pytest.fixture
def random():
    return np.random.default_rng()


def vendi(rows, order=1):
    """The definition, word by word: eigenvalues of K / n and their Rényi entropy."""
    rows = rows.astype(float)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    values = np.linalg.eigvalsh(np.array([[x @ y for y in rows] for x in rows]) / len(rows))
    values = values[values > 1e-9]
    if order == "inf":
        return 1 / values.max()
    return np.exp(-(values * np.log(values)).sum() if order == 1 else np.log((values**order).sum()) / (1 - order))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(30, 5), (5, 30), (1, 4), (12, 12)])
def test_it_is_the_definition_whichever_gram_matrix_is_smaller(random, shape, order):
    rows = random.normal(size=shape)
    assert effective_number([spectrum([rows])], order) == pytest.approx(vendi(rows, order), rel=1e-9)


@pytest.mark.parametrize("order", [0.3, 1, 2, 7.5])
def test_it_is_the_packages(random, order):
    package = pytest.importorskip("vendi_score.vendi", reason="needs pip install vendi-score")
    for rows in (around(random, 40, 6), around(random, 40, 6, [3] * 6)):
        known = package.score_dual(rows.astype(float), q=order)
        assert effective_number([spectrum([rows])], order) == pytest.approx(known, rel=1e-9)


@pytest.mark.parametrize("order", ORDERS)
def test_copies_count_once_and_the_length_of_features_not_at_all(random, order):
    row = random.normal(size=(1, 40)) * 1e3
    copies = np.repeat(row, 10, axis=0).astype(np.float32)
    assert effective_number([spectrum([copies])], order) == pytest.approx(1, abs=1e-9)
    four = np.repeat(np.eye(4), 5, axis=0)
    assert effective_number([spectrum([four])], order) == pytest.approx(4)
    assert effective_number([spectrum([7 * four])], order) == pytest.approx(4)


def test_a_greater_order_counts_less(random):
    values = spectrum([around(random, 30, 8, [1] * 8)])
    counted = [effective_number([values], order) for order in (0, 0.5, 0.999999, 1, 1.000001, 2, 1e6, "inf")]
    assert np.all(np.diff(counted) < 1e-6)
    assert counted[2] == pytest.approx(counted[3], rel=1e-4)
    assert counted[-2] == pytest.approx(counted[-1], rel=1e-4)


@pytest.mark.parametrize("order", ORDERS)
def test_between_lies_between_one_and_the_number_of_models(random, order):
    for models in (2, 3, 5):
        made = {f"m{k}": around(random, 20, 7, random.normal(size=7) * 2) for k in range(models)}
        found = measured(VarietySettings(order=order), Features(made))
        within, total, between = (found[ALL_MODELS, name] for name in TOGETHER)
        assert 1 - 1e-9 <= between <= models + 1e-9
        assert total == pytest.approx(within * between)
        own = [found[name, "variety"] for name in made]
        assert min(own) - 1e-9 <= within <= max(own) + 1e-9


@pytest.mark.parametrize("order", ORDERS)
def test_equal_models_are_one_and_orthogonal_ones_are_many(random, order):
    rows = around(random, 30, 6)
    alike = measured(VarietySettings(order=order), Features({"a": rows, "b": rows[::-1], "c": rows}))
    assert alike[ALL_MODELS, "variety_between"] == pytest.approx(1, abs=1e-6)
    blocks = {name: np.zeros((30, 18), np.float32) for name in "abc"}
    for k, block in enumerate(blocks.values()):
        block[:, 6 * k : 6 * k + 6] = rows
    apart = measured(VarietySettings(order=order), Features(blocks))
    assert apart[ALL_MODELS, "variety_between"] == pytest.approx(3, rel=1e-6)


def test_of_order_one_it_is_the_mean_divergence_from_all_together(random):
    """log beta = mean over k of tr rho_k (log rho_k - log rho): relative entropies, by matrix logarithms."""
    made = {name: around(random, 40, 4, random.normal(size=4)) for name in "ab"}
    states = [rows.astype(float).T @ rows.astype(float) / len(rows) for rows in made.values()]

    def logarithm(matrix):
        values, vectors = np.linalg.eigh(matrix)
        return (vectors * np.log(values)) @ vectors.T

    mean = logarithm(sum(states) / 2)
    divergence = np.mean([np.trace(state @ (logarithm(state) - mean)) for state in states])
    found = measured(VarietySettings(), Features(made))
    assert found[ALL_MODELS, "variety_between"] == pytest.approx(np.exp(divergence), rel=1e-5)


def test_the_order_of_models_is_of_no_account(random):
    made = {name: around(random, 15, 9, random.normal(size=9)) for name in "abc"}
    first, *others = (
        measured(VarietySettings(), Features({n: made[n] for n in names})) for names in permutations(made)
    )
    for each in others:
        assert each == pytest.approx(first, rel=1e-9)


def test_outputs_without_text_are_left_out_and_models_without_any(random):
    rows = {name: around(random, 4, 6) for name in "abc"}
    texts = {"a": ["one", "", "two", " \n"], "c": [""] * 4}
    found = measured(VarietySettings(), Features(rows, texts))
    kept = {"a": rows["a"][[0, 2]], "b": rows["b"]}
    assert found == pytest.approx(measured(VarietySettings(), Features(kept)))
    assert found["a", "variety"] == pytest.approx(vendi(kept["a"]))
    # Models count alike, whatever the number of their outputs.
    weighted = [rows.astype(float).T @ rows.astype(float) / len(rows) / 2 for rows in kept.values()]
    values = np.linalg.eigvalsh(sum(weighted))
    values = values[values > 1e-9]
    assert found[ALL_MODELS, "variety_total"] == pytest.approx(np.exp(-(values * np.log(values)).sum()), rel=1e-5)


def test_one_model_has_no_partition_and_none_without_text(random):
    rows = around(random, 5, 3)
    assert set(measured(VarietySettings(), Features({"a": rows}))) == {("a", "variety")}
    silent = {name: [""] * 5 for name in "ab"}
    assert measured(VarietySettings(), Features({"a": rows, "b": rows}, silent)) == {}


def test_items_that_are_no_text_are_compared_by_their_features(random):
    rows = {name: around(random, 9, 4) for name in "ab"}
    assert measured(VarietySettings(), Features(rows, is_text=False)) == measured(VarietySettings(), Features(rows))


@pytest.mark.parametrize("given", ["inf", float("inf"), 0, 2.5])
def test_an_order_is_a_number_or_infinity_and_can_be_written_as_json(given):
    settings = VarietySettings(order=given)
    assert is_finite_json(identity(settings))
    assert VarietySettings.model_validate(settings.model_dump()) == settings
    assert settings.order == ("inf" if given in ("inf", float("inf")) else given)


@pytest.mark.parametrize("given", [-1, float("nan"), float("-inf"), "one", True])
def test_other_orders_are_refused(given):
    with pytest.raises(ValidationError, match="order"):
        VarietySettings(order=given)


def test_the_variety_of_ten_models_of_points_is_measured_in_a_run():
    from crossfeed.description.experiment import Experiment

    described = """
ecosystem: {entities: 10, alpha: 0.5, beta: 0.5}
learner: {kind: gaussian}
tasks: {each: {source: gaussian, mean: [0, 0], test: 20}}
public: {source: gaussian, mean: [0, 0], test: 20}
n: 20
generations: 1
metrics: {loss: {}, variety: {items: 20, order: 2}}
"""
    records = run(Experiment.from_yaml(described), MemoryStore()).records.to_pylist()
    assert {row["metric"] for row in records} >= {"variety", *TOGETHER}
    for row in records:
        if row["metric"] == "variety_between":
            assert row["model"] == ALL_MODELS
            assert 1 <= row["value"] <= 10
            assert (row["alpha"], row["beta"]) == (0.5, 0.5)


@pytest.mark.parametrize("order", [-1, True, float("nan"), [1], "many", None])
def test_an_order_that_is_none_is_refused_in_a_line(order):
    with pytest.raises(ValidationError) as refused:
        VarietySettings(order=order)
    (error,) = refused.value.errors()
    assert error["loc"] == ("order",)
    assert "at least 0, or inf" in error["msg"]
