"""Centred similarity, distance between models and similarity to earlier outputs, against naive loops."""

from __future__ import annotations

import math
from itertools import combinations, permutations

import numpy as np
import pytest
from tests.features import Features, around, measured, unit

from crossfeed import Run, open_store, run
from crossfeed.description.experiment import Experiment
from crossfeed.metrics.centred_similarity import CentredSimilaritySettings
from crossfeed.metrics.model_distance import ModelDistanceSettings
from crossfeed.metrics.self_similarity import SelfSimilaritySettings
from crossfeed.metrics.similarity import SimilaritySettings
from crossfeed.protocols import ALL_MODELS

NAMES = ("a", "b", "c")


@pytest.fixture
def random():
    return np.random.default_rng()


@pytest.fixture
def rows(random):
    return {name: around(random, 12, 5, random.normal(size=5)) for name in NAMES}


def mean_cosine(one, other):
    return np.mean([x @ y / math.sqrt((x @ x) * (y @ y)) for x, y in zip(one, other, strict=True)])


def test_centred_similarity_is_the_cosine_about_the_mean_of_generation_zero(random, rows):
    later = {name: around(random, 12, 5, random.normal(size=5)) for name in NAMES}
    centre = np.concatenate([each.astype(float) for each in rows.values()]).mean(axis=0)
    zero = Features(rows)
    for made, snapshot in ((rows, zero), (later, Features(later, generation=4, past={0: zero}))):
        found = measured(CentredSimilaritySettings(), snapshot)
        for k, l in combinations(NAMES, 2):  # noqa: E741
            wanted = mean_cosine(made[k].astype(float) - centre, made[l].astype(float) - centre)
            assert found.pop((f"{k}+{l}", "centred_similarity")) == pytest.approx(wanted, rel=1e-6)
        assert found == {}


def test_what_all_share_hides_differences_until_it_is_taken_away(random):
    common = np.zeros(6)
    common[0] = 10
    made = {name: around(random, 300, 6, common) for name in "ab"}
    (plain,), (centred,) = (
        measured(settings(items=300), Features(made)).values()
        for settings in (SimilaritySettings, CentredSimilaritySettings)
    )
    assert plain > 0.85
    assert abs(centred) < 5 / math.sqrt(5 * 300)
    # Models that go the same way grow alike, though each is as varied about its mean as before.
    moved = {name: around(random, 300, 6, -common) for name in "ab"}
    later = Features(moved, generation=1, past={0: Features(made)})
    assert next(iter(measured(CentredSimilaritySettings(items=300), later).values())) > 0.95


def test_outputs_at_the_centre_and_without_text_have_no_direction(rows):
    alike = {name: np.repeat(unit([[3, 4]]), 2, axis=0) for name in "ab"}
    assert measured(CentredSimilaritySettings(), Features(alike)) == {}
    texts = {"a": ["", *["text"] * 11], "b": [*["text"] * 11, " "]}
    found = measured(CentredSimilaritySettings(), Features(rows, texts))
    centre = np.concatenate([rows["a"][1:], rows["b"][:-1], rows["c"]]).astype(float).mean(axis=0)
    wanted = mean_cosine(rows["a"][1:-1] - centre, rows["b"][1:-1] - centre)
    assert found["a+b", "centred_similarity"] == pytest.approx(wanted, rel=1e-6)
    silent = {name: [""] * 12 for name in NAMES}
    assert measured(CentredSimilaritySettings(), Features(rows, silent)) == {}


def test_models_that_arrive_later_are_compared_about_the_same_centre(rows):
    first = Features({"a": rows["a"]})
    centre = rows["a"].astype(float).mean(axis=0)
    found = measured(CentredSimilaritySettings(), Features(rows, generation=2, past={0: first}))
    wanted = mean_cosine(rows["b"] - centre, rows["c"] - centre)
    assert found["b+c", "centred_similarity"] == pytest.approx(wanted, rel=1e-6)


def test_distance_is_the_norm_of_the_matrix_of_mean_distances(rows):
    matrix = np.array([[np.mean([math.dist(x, y) for x, y in zip(rows[k], rows[l])]) for l in NAMES] for k in NAMES])  # noqa: B905, E741
    found = measured(ModelDistanceSettings(), Features(rows))
    assert found == {(ALL_MODELS, "model_distance"): pytest.approx(np.linalg.norm(matrix) / math.sqrt(6), rel=1e-6)}
    for names in permutations(NAMES):
        assert measured(ModelDistanceSettings(), Features({name: rows[name] for name in names})) == pytest.approx(found)


def test_distance_runs_from_copies_to_opposites_and_needs_two_models_that_write(rows):
    copies = Features({"a": rows["a"], "b": rows["a"]})
    assert measured(ModelDistanceSettings(), copies) == {(ALL_MODELS, "model_distance"): 0.0}
    opposite = Features({"a": rows["a"], "b": -rows["a"]})
    assert measured(ModelDistanceSettings(), opposite)[ALL_MODELS, "model_distance"] == pytest.approx(2)
    assert measured(ModelDistanceSettings(), Features({"a": rows["a"]})) == {}
    silent = Features(rows, {"a": [""] * 12, "b": [""] * 12})
    assert measured(ModelDistanceSettings(), silent) == {}
    both = Features({"a": rows["a"], "c": rows["c"]})
    quiet = Features(rows, {"b": [""] * 12})
    assert measured(ModelDistanceSettings(), quiet) == measured(ModelDistanceSettings(), both)


@pytest.mark.parametrize(("every", "generation", "previous"), [(1, 5, 4), (2, 4, 2), (2, 5, 4), (3, 2, 0), (7, 3, 0)])
def test_a_model_is_compared_with_itself_at_the_measurement_before(random, rows, every, generation, previous):
    past = {t: Features({name: around(random, 12, 5) for name in NAMES}) for t in range(generation)}
    found = measured(SelfSimilaritySettings(every=every), Features(rows, generation=generation, past=past))
    for name in NAMES:
        for metric, earlier in (("similarity_to_previous", previous), ("similarity_to_initial", 0)):
            wanted = mean_cosine(rows[name].astype(float), past[earlier].made[name].astype(float))
            assert found.pop((name, metric)) == pytest.approx(wanted, abs=1e-6)
    assert found == {}


def test_silence_at_either_end_is_no_similarity_and_newcomers_have_no_past(rows):
    before = Features({"a": rows["b"], "b": rows["a"]}, {"a": ["", *["text"] * 11], "b": [""] * 12})
    now = Features(rows, {"a": [*["text"] * 11, ""]}, generation=1, past={0: before})
    found = measured(SelfSimilaritySettings(), now)
    wanted = mean_cosine(rows["a"][1:-1].astype(float), rows["b"][1:-1].astype(float))
    assert found == {
        ("a", "similarity_to_previous"): pytest.approx(wanted, abs=1e-6),
        ("a", "similarity_to_initial"): pytest.approx(wanted, abs=1e-6),
    }
    assert measured(SelfSimilaritySettings(), before) == {}


DESCRIBED = """
ecosystem: {entities: [{name: a, private: warm}, {name: b, private: cold}, {name: late, private: cold, from: 2}]}
learner: {kind: fake}
tasks: {warm: {source: fake, test: 9}, cold: {source: fake, test: 9}}
public: {source: fake, test: 9}
n: 40
generations: 5
metrics: {loss: {}, self_similarity: {every: 2, items: 7}, centred_similarity: {every: 3}, projection: {}}
grid:
  ecosystem.alpha: [0.2, 0.6]
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kept") / "run"
    run(Experiment.from_yaml(DESCRIBED), open_store(folder))
    return folder


def test_a_run_compares_with_the_outputs_that_it_kept(finished):
    records = Run.load(finished).records
    store, cell = open_store(finished), Experiment.from_yaml(DESCRIBED).cells()[1]
    zero = next((finished / "outputs" / "shared").iterdir()).name

    def outputs(generation, model, task):
        scope = cell.name if generation else f"shared/{zero}"
        rows = store.read_table("outputs", scope, generation).to_pylist()
        own = [row for row in rows if (row["model"], row["task"]) == (model, task)]
        return np.array([row["embedding"] for row in own if row["item"] < 7])

    own = records[(records["cell"] == cell.name) & records["metric"].str.startswith("similarity_to_")]
    assert set(zip(own["metric"], own["model"], own["generation"], strict=True)) == {
        *(("similarity_to_previous", model, t) for model in "ab" for t in (2, 4, 5)),
        *(("similarity_to_initial", model, t) for model in "ab" for t in (2, 4, 5)),
        *(("similarity_to_previous", "late", t) for t in (4, 5)),
    }
    for row in own.to_dict("records"):
        earlier = {2: 0, 4: 2, 5: 4}[row["generation"]] if row["metric"].endswith("previous") else 0
        place = row["model"], row["task"]
        wanted = mean_cosine(outputs(row["generation"], *place), outputs(earlier, *place))
        assert row["value"] == pytest.approx(wanted, abs=1e-6)


def test_a_run_that_goes_on_measures_the_same(finished, tmp_path):
    place = tmp_path / "run"
    run(Experiment.from_yaml(DESCRIBED), open_store(place))
    for path in place.rglob("generation-00[45].parquet"):
        path.unlink()
    (place / "records.parquet").unlink()
    run(Experiment.from_yaml(DESCRIBED), open_store(place))
    whole, again = (Run.load(folder).records for folder in (finished, place))
    kept = [each[each["metric"] != "seconds"].reset_index(drop=True) for each in (whole, again)]
    assert kept[0].equals(kept[1])
    assert set(whole["metric"]) >= {"similarity_to_previous", "similarity_to_initial", "centred_similarity"}
