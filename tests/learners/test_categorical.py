"""Categorical models: naive twins, known answers through the loop, and what is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.runs import numbers
from tests.test_run_matches_theory import states_of
from tests.tiny import CATEGORICAL, GLM

from crossfeed import Experiment, MemoryStore, open_executor, open_store, run
from crossfeed.errors import DataUnavailable, InvalidDescription, InvalidInput
from crossfeed.keys import item_keys
from crossfeed.learners.categorical.learner import CategoricalLearner
from crossfeed.protocols import Part, TrainingSet
from crossfeed.records import state_scope_of
from crossfeed.tasks.categorical import symbol_items, symbols_of
from crossfeed.tasks.inverse_transform import symbol_type


def items_of(rows, symbols=4):
    return symbol_items(np.array(rows, dtype=symbol_type(symbols)))


def part_of(rows, weight, source="private"):
    return Part(source, 0, weight, items_of(rows), np.arange(len(rows)))


SETS = TrainingSet((part_of([[0, 1], [0, 3], [2, 3]], 0.25), part_of([[1, 1]], 0.75, "public")))


def test_drawn_items_are_counted():
    [state] = CategoricalLearner(0.0, 1.0, "draws", 2, 4).update([None], [SETS], [0], 0)
    np.testing.assert_array_equal(state, [[2, 1, 1, 0], [0, 2, 0, 2]])


def test_everything_is_the_weighted_mean_of_frequencies():
    learner = CategoricalLearner(0.5, 1.0, "everything", 2, 4)
    [state] = learner.update([None], [SETS], [0], 0)
    mean = 0.25 * np.array([[2, 0, 1, 0], [0, 1, 0, 2]]) / 3 + 0.75 * np.array([[0, 1, 0, 0]] * 2)
    np.testing.assert_allclose(learner.probabilities(state), (4 * mean + 0.5) / (4 + 4 * 0.5))


def test_a_start_is_uniform_whatever_the_prior():
    for prior in (0.0, 3.0):
        learner = CategoricalLearner(prior, 1.0, "draws", 2, 5)
        np.testing.assert_allclose(learner.probabilities(learner.start([0])[0]), 0.2)


def test_losses_are_those_of_the_smoothed_counts_and_infinite_where_a_symbol_is_lost():
    state = np.array([[3.0, 1.0, 0.0, 0.0], [1.0, 1.0, 2.0, 0.0]])
    [[scores]] = CategoricalLearner(1.0, 1.0, "draws", 2, 4).score([state], [items_of([[0, 2], [3, 3]])])
    np.testing.assert_allclose(scores.loss, [-(math.log(4 / 8) + math.log(3 / 8)) / 2, -math.log(1 / 8)])
    [[lost]] = CategoricalLearner(0.0, 1.0, "draws", 2, 4).score([state], [items_of([[0, 0], [2, 2]])])
    assert lost.loss[0] == pytest.approx(-(math.log(3 / 4) + math.log(1 / 4)) / 2)
    assert math.isinf(lost.loss[1])


@pytest.mark.parametrize("temperature", [1.0, 0.7, 1.4, 0.01])
@pytest.mark.parametrize("prior", [0.0, 0.5])
def test_items_are_drawn_from_the_tempered_distribution(temperature, prior):
    state = np.array([[6.0, 3.0, 1.0, 0.0], [1.0, 1.0, 7.0, 1.0]])
    learner, m = CategoricalLearner(prior, temperature, "draws", 2, 4), 40_000
    [made] = learner.generate([state], [items_of([[0, 0]] * m)], [item_keys(3, np.arange(m))])
    for replicate, p in zip(symbols_of(made).T, learner.probabilities(state), strict=True):
        raised = (p / p.max()) ** (1 / temperature)
        truth = raised / raised.sum()
        shares = np.bincount(replicate, minlength=4) / m
        assert (np.abs(shares - truth) <= 5 * np.sqrt(truth * (1 - truth) / m) + 1e-12).all()


def test_replicates_are_independent_and_do_not_depend_on_their_number():
    keys = item_keys(1, np.arange(20_000))
    few, many = (
        symbols_of(CategoricalLearner(0.0, 1.0, "draws", r, 2).generate([np.ones((r, 2))], [None], [keys])[0])
        for r in (2, 90)
    )
    np.testing.assert_array_equal(few, many[:, :2])
    correlation = np.corrcoef(many[:, :4].T)[np.triu_indices(4, 1)]
    assert (np.abs(correlation) < 5 / np.sqrt(len(keys))).all()


def test_features_tell_symbols_apart_by_the_share_that_agrees():
    learner = CategoricalLearner(0.0, 1.0, "draws", 4, 10**6)
    rows = [[1, 2, 3, 4], [1, 2, 3, 4], [1, 2, 30, 40], [4, 3, 2, 1], [999_999, 5, 6, 7]]
    [features] = learner.embed([items_of(rows, 10**6)])
    cosines = features @ features.T
    assert features.shape == (5, 256)
    assert cosines[0, 1] == pytest.approx(1, abs=1e-6)
    off = cosines[np.triu_indices(5, 1)][1:]
    assert (off < 0.9).all()
    assert abs(cosines[0, 2] - 0.5) < 5 / 16
    assert abs(cosines[0, 3]) < 5 / 16  # the same symbols in other replicates are other ones


def test_a_file_that_is_no_state_is_refused(tmp_path):
    learner = CategoricalLearner(0.0, 1.0, "draws", 1, 2)
    (tmp_path / "counts.npy").write_bytes(b"x")
    with pytest.raises(DataUnavailable, match=r"counts.npy cannot be read"):
        learner.load(tmp_path)


ALONE = """
ecosystem: {entities: 1, beta: 1, update: replace}
learner: {kind: categorical, reads: everything}
tasks: {each: {source: categorical, uniform: 6, train: 20, replicates: 3000}}
public: {source: categorical, uniform: 6, replicates: 3000}
generations: 15
metrics: {heterozygosity: {}}
checkpoints: all
"""
FOUR = """
ecosystem: {entities: 4, alpha: 1, beta: 1, initial_beta: 1}
learner: {kind: categorical}
tasks: {each: {source: categorical, uniform: 10, train: 20000, test: 1, replicates: 50}}
public: {source: categorical, uniform: 10, replicates: 50}
n: 20
pool_size: 1000000
generations: 20
metrics: {heterozygosity: {every: 20}}
seeds: SEEDS
"""
SHARPENED = """
ecosystem: {entities: 1, alpha: 1, beta: 1, initial_beta: 1}
learner: {kind: categorical, temperature: 0.9}
tasks: {each: {source: categorical, probabilities: [0.6, 0.3, 0.1], train: 1000000, test: 1, replicates: 40}}
public: {source: categorical, uniform: 3, replicates: 40}
n: 20000
pool_size: 50000000
generations: 3
metrics: {heterozygosity: {}}
checkpoints: all
"""


def values_of(records, metric, generation):
    return [r["value"] for r in records.to_pylist() if (r["metric"], r["generation"]) == (metric, generation)]


def test_one_model_loses_heterozygosity_by_the_factor_of_wright_and_fisher():
    """E H_t = (1 - 1/n)^(t + 1) H*, since the data of generation 0 are n draws themselves."""
    states = states_of(Experiment.from_yaml(ALONE))[:, :, 0] / 20
    heterozygosity = 1 - (states**2).sum(axis=2)
    exact = (1 - 1 / 20) ** np.arange(1, 17) * 5 / 6
    standard = heterozygosity.std(axis=1, ddof=1) / np.sqrt(3000)
    assert (np.abs(heterozygosity.mean(axis=1) - exact) < 5 * standard).all()


def test_four_models_on_one_pool_keep_the_heterozygosity_of_four_times_the_draws():
    """E H_t / H* = (1 - 1/n) (1 - 1/(K n))^t; seeds, since the replicates of one share the authors of their draws."""
    seeds = 24
    records = run(Experiment.from_yaml(FOUR.replace("SEEDS", str([*range(seeds)]))), MemoryStore()).records
    means = np.array(values_of(records, "heterozygosity", 20)).reshape(seeds, 4).mean(axis=1)
    exact = (1 - 1 / 20) * (1 - 1 / 80) ** 20
    assert round(exact, 4) == 0.7387
    assert abs(means.mean() / 0.9 - exact) < 5 * means.std(ddof=1) / 0.9 / np.sqrt(seeds)


def test_a_temperature_sharpens_generation_by_generation():
    """Without noise p_t is p_0^(tau^-t), normalised."""
    states = states_of(Experiment.from_yaml(SHARPENED))[:, :, 0] / 20_000
    for t, exact in ((0, (0.6, 0.3, 0.1)), (3, (0.679327, 0.262509, 0.058164))):
        standard = states[t].std(axis=0, ddof=1) / np.sqrt(40)
        assert (np.abs(states[t].mean(axis=0) - exact) < 5 * standard).all()


def test_metrics_are_those_of_the_states():
    experiment = Experiment.from_yaml(CATEGORICAL, ("checkpoints=all", "learner.prior=0.25", "metrics.entropy={}"))
    store = MemoryStore()
    records = run(experiment, store).records
    (cell,) = experiment.cells()
    counts = np.stack(store.read_states(state_scope_of(cell, 2), 2, ["a", "b"], None))
    p = (counts + 0.25) / (40 + 4 * 0.25)
    np.testing.assert_allclose(values_of(records, "heterozygosity", 2), (1 - (p**2).sum(axis=2)).mean(axis=1))
    np.testing.assert_allclose(values_of(records, "entropy", 2), -(p * np.log(p)).sum(axis=2).mean(axis=1))
    assert values_of(records, "surviving_symbols", 2) == [4.0, 4.0]
    truths = [np.array([5, 2, 2, 1]) / 10, np.array([1, 1, 3, 6]) / 11, np.full(4, 0.25)]
    distances = [np.abs(p[k] - truth).sum(axis=1).mean() / 2 for truth in truths for k in range(2)]
    np.testing.assert_allclose(values_of(records, "total_variation", 2), distances)


def test_symbols_die_out_without_a_prior_and_the_entropy_of_what_is_left_is_finite():
    text = CATEGORICAL.replace("loss: {}, similarity: {}, projection: {}", "entropy: {}").replace("n: 40", "n: 2")
    records = run(Experiment.from_yaml(text, ("learner.prior=0", "generations=30", "ecosystem.alpha=1")), MemoryStore())
    assert not records.failures
    assert all(1 <= value <= 2 for value in values_of(records.records, "surviving_symbols", 30))
    assert all(0 <= value <= math.log(2) for value in values_of(records.records, "entropy", 30))


def test_losses_need_a_prior():
    message = r"metrics: loss: a model of the kind categorical without a prior .* give learner\.prior a value above 0"
    with pytest.raises(InvalidDescription, match=message):
        Experiment.from_yaml(CATEGORICAL, ("learner.prior=0",))
    with pytest.raises(InvalidDescription, match=message):
        Experiment.from_yaml(CATEGORICAL.replace("private: q}", "private: q, learner: {prior: 0}}"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("public={source: categorical, uniform: 5, replicates: 3}",), "public: d = 5, R = 3"),
        (("public={source: categorical, uniform: 4, replicates: 2}",), "public: d = 4, R = 2"),
        (("public={source: gaussian}",), "received SampleTask; give a task of source: categorical"),
    ],
)
def test_tasks_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(InvalidInput, match=message):
        run(Experiment.from_yaml(CATEGORICAL, changes), MemoryStore())


def test_metrics_of_distributions_are_refused_for_learners_without_one():
    with pytest.raises(InvalidInput, match="its learner fits none; give a learner of kind: categorical"):
        run(Experiment.from_yaml(GLM.replace("FAMILY", "logistic"), ("metrics.entropy={}",)), MemoryStore())


WORLDS = {
    "plain": (),
    "accumulated": ("ecosystem.history=accumulate",),
    "curated": ("ecosystem.curation={detector: {recall: 0.5, false_alarm: 0.1}}",),
    "judged by loss": ("ecosystem.curation={loss: {quantile: 0.7, judge: reader}}",),
    "parts": ("tasks.p.part=1/2", "tasks.q.part=2/2", "ecosystem.prompts=pool"),
    "in turn, one tempered": ("ecosystem.order=sequential", "ecosystem.entities.1.learner={temperature: 0.5}"),
}


@pytest.mark.parametrize("world", WORLDS)
def test_a_restart_gives_the_same_numbers(world, tmp_path):
    changes = ("checkpoints=all", *WORLDS[world])
    experiment, where = Experiment.from_yaml(CATEGORICAL, (*changes, "generations=3")), tmp_path / "run"
    whole = run(experiment, MemoryStore())
    assert not whole.failures
    run(Experiment.from_yaml(CATEGORICAL, (*changes, "generations=1")), open_store(str(where)))
    assert numbers(run(experiment, open_store(str(where)))) == numbers(whole)


@pytest.mark.parametrize("spread", ["cells", "entities"])
def test_workers_give_the_same_numbers(tmp_path, spread):
    experiment = Experiment.from_yaml(
        CATEGORICAL, ("seeds=[0, 1]", "metrics={heterozygosity: {}, surviving_symbols: {}}")
    )
    workers = open_executor("processes", 2)
    there = run(experiment, open_store(str(tmp_path / "run")), executor=workers, spread=spread)
    assert not there.failures
    assert numbers(there) == numbers(run(experiment, MemoryStore()))


def test_fresh_items_are_of_the_truth_and_counted_with_the_others():
    """With fresh items alone in the pool, heterozygosity does not fall: E H = (1 - 1/n) H* at every generation."""
    text = FOUR.replace("alpha: 1", "alpha: 1, fresh_fraction: 1")
    text = text.replace("uniform: 10, replicates: 50", "uniform: 10, train: 20000, replicates: 50")
    records = run(Experiment.from_yaml(text.replace("SEEDS", str([*range(12)]))), MemoryStore()).records
    means = np.array(values_of(records, "heterozygosity", 20)).reshape(12, 4).mean(axis=1)
    assert abs(means.mean() - 0.95 * 0.9) < 5 * means.std(ddof=1) / np.sqrt(12)
