"""Each metric against its definition, on moments made by hand."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pytest

from crossfeed import MemoryStore, run
from crossfeed.generation.snapshot import LiveSnapshot
from crossfeed.metrics.accuracy import AccuracySettings
from crossfeed.metrics.diversity import DistinctSettings, distinct
from crossfeed.metrics.loss import CompletionLossSettings, LossSettings
from crossfeed.metrics.projection import project
from crossfeed.metrics.similarity import SimilaritySettings
from crossfeed.protocols import Scores


@dataclass
class HandMade:
    """A snapshot that gives what it was given."""

    entities: tuple[str, ...] = ("a", "b")
    generation: int = 0
    tasks: dict = field(default_factory=dict)
    losses: dict = field(default_factory=dict)
    texts: dict = field(default_factory=dict)
    features: dict = field(default_factory=dict)

    def scores(self, task, items=None):
        return [scores.first(items) for scores in self.losses[task]]

    def score(self, items):
        return [self.losses["choices"](items, k) for k in range(len(self.entities))]

    def completions(self, task, items):
        return [pa.table({"completion": texts[:items]}) for texts in self.texts[task]]

    def embeddings(self, task, items):
        return [features[:items] for features in self.features[task]]


class Graded:
    """A task that compares whole texts."""

    def __init__(self, test, gradable=True):
        self.test, self.gradable = test, gradable

    def grade(self, items, completions):
        if not self.gradable:
            return None
        return np.array([t == a for t, a in zip(completions, items.column("answer").to_pylist(), strict=True)])


def scores(loss, size, completion=None, completion_size=None):
    as_array = [np.array(x, dtype=float) for x in (loss, size, completion or loss, completion_size or size)]
    return Scores(*as_array)


def test_losses_are_averaged_over_tokens_not_items():
    snapshot = HandMade(
        tasks={"x": None}, losses={"x": [scores([10, 2], [4, 2], [6, 1], [1, 1]), scores([3, 3], [1, 2])]}
    )
    whole = {(n.model, n.task, n.metric): n.value for n in LossSettings().build().measure(snapshot)}
    assert whole == {("a", "x", "loss"): 2.0, ("b", "x", "loss"): 2.0}
    part = {n.model: n.value for n in CompletionLossSettings().build().measure(snapshot)}
    assert part == {"a": 3.5, "b": 2.0}


def test_losses_of_the_first_items():
    each = scores([10, 2, 9], [4, 2, 3], [6, 1, 1], [1, 1, 1])
    snapshot = HandMade(entities=("a",), tasks={"x": None}, losses={"x": [each]})
    for metric in (LossSettings, CompletionLossSettings):
        [all_of_them], [two], [many] = (metric(items=n).build().measure(snapshot) for n in (None, 2, 99))
        assert two.value == (12 / 6 if metric is LossSettings else 7 / 2)
        assert many.value == all_of_them.value != two.value


def test_a_snapshot_scores_no_more_items_than_asked_for():
    class Counting:
        def __init__(self):
            self.scored = []

        def score(self, states, tables):
            self.scored.append([table.num_rows for table in tables])
            rows = [list(range(table.num_rows)) for table in tables]
            return [[scores([10 * state + row for row in own], [1] * len(own)) for own in rows] for state in states]

    tables = {name: Graded(pa.table({"prompt": ["p"] * rows})) for name, rows in (("x", 5), ("y", 2))}
    learner = Counting()
    snapshot = LiveSnapshot(0, ("a", "b"), [1, 2], tables, learner, 0)
    assert [list(each.loss) for each in snapshot.scores("x", 3)] == [[10, 11, 12], [20, 21, 22]]
    assert [list(each.loss) for each in snapshot.scores("y", 3)] == [[10, 11], [20, 21]]
    assert learner.scored == [[3, 2]]
    assert [each.loss.size for each in snapshot.scores("x")] == [5, 5]
    assert [list(each.loss) for each in snapshot.scores("x", 1)] == [[10], [20]]
    assert learner.scored == [[3, 2], [5, 2]]


def test_test_items_are_embedded_once_for_all_generations(fake, monkeypatch):
    from crossfeed.learners.fake import FakeLearner

    embedded, embed = [], FakeLearner.embed
    monkeypatch.setattr(FakeLearner, "embed", lambda self, tables: embedded.append(tables) or embed(self, tables))
    metrics = "metrics={frechet: {items: 30}, precision_recall: {items: 30}, density_coverage: {items: 20}}"
    items = [f"{task}.test=40" for task in ("tasks.warm", "tasks.cold", "public")]
    run(fake("generations=3", "grid={ecosystem.alpha: [0.5]}", metrics, *items), MemoryStore())
    # Three tasks with 30 items and with 20, which are not cut from the others: a batch decides on rounding.
    assert sorted(table.num_rows for tables in embedded if len(tables) == 1 for table in tables) == [20] * 3 + [30] * 3


def test_accuracy_of_answers_is_the_share_that_match():
    test = pa.table({"prompt": ["p"] * 4, "answer": ["1", "2", "3", "4"]})
    snapshot = HandMade(tasks={"x": Graded(test)}, texts={"x": [["1", "2", "0", "9"], ["1", "2", "3", "9"]]})
    assert {n.model: n.value for n in AccuracySettings().build().measure(snapshot)} == {"a": 0.5, "b": 0.75}
    assert {n.model: n.value for n in AccuracySettings(items=2).build().measure(snapshot)} == {"a": 1.0, "b": 1.0}


def test_tasks_without_answers_give_no_accuracy():
    nothing = pa.table({"prompt": ["p"], "answer": pa.array([None], pa.string())})
    snapshot = HandMade(tasks={"x": Graded(nothing), "y": Graded(pa.table({"prompt": ["p"]}))})
    assert AccuracySettings().build().measure(snapshot) == []


def test_multiple_choice_takes_the_lowest_loss_a_token():
    test = pa.table(
        {
            "prompt": ["p", "q", "r"],
            "answer": ["long answer", "no", "x"],
            "choices": [["short", "long answer"], ["yes", "no", "maybe"], ["x", "y"]],
        }
    )
    table = {
        "short": (2, 1),
        "long answer": (3, 2),
        "yes": (1, 1),
        "no": (5, 1),
        "maybe": (5, 1),
        "x": (1, 1),
        "y": (2, 1),
    }

    def choose(items, entity):
        rows = [table[text.strip()] for text in items.column("completion").to_pylist()]
        assert items.column("prompt").to_pylist() == ["p", "p", "q", "q", "q", "r", "r"]
        loss, size = zip(*rows, strict=True)
        return scores(loss, size)

    snapshot = HandMade(tasks={"x": Graded(test)}, losses={"choices": choose})
    assert [n.value for n in AccuracySettings().build().measure(snapshot)] == pytest.approx([2 / 3, 2 / 3])


def test_what_lies_beyond_the_maximum_length_is_neither_a_loss_nor_an_answer():
    snapshot = HandMade(entities=("a",), tasks={"x": None}, losses={"x": [scores([4, 2], [2, 2], [0, 0], [0, 0])]})
    snapshot.losses["x"][0].completion_size[:] = 0
    assert [n.value for n in LossSettings().build().measure(snapshot)] == [1.5]
    assert CompletionLossSettings().build().measure(snapshot) == []
    test = pa.table({"prompt": ["p", "q"], "answer": ["x", "x"], "choices": [["x", "y"], ["x", "y"]]})
    snapshot.tasks = {"x": Graded(test)}
    snapshot.losses["choices"] = lambda items, entity: Scores(*np.array([[1, 2, 0, 0], [1, 1, 0, 0]] * 2, dtype=float))
    assert [n.value for n in AccuracySettings().build().measure(snapshot)] == [0.5]


def test_similarity_is_the_mean_cosine_of_same_prompts_for_each_pair():
    a, b, c = (np.array(x, np.float32) for x in ([[1, 0], [0, 1]], [[1, 0], [1, 0]], [[0.6, 0.8], [0, -1]]))
    texts = {"x": [["one", "two"]] * 3}
    snapshot = HandMade(entities=("a", "b", "c"), tasks={"x": None}, features={"x": [a, b, c]}, texts=texts)
    found = {n.model: n.value for n in SimilaritySettings().build().measure(snapshot)}
    assert found == pytest.approx({"a+b": 0.5, "a+c": -0.2, "b+c": 0.3}, abs=1e-6)


def test_outputs_without_text_are_counted_and_out_of_the_similarity():
    one, other = np.array([1, 0], np.float32), np.array([0.6, 0.8], np.float32)
    texts = [["yes", "", "no"], ["yes", " \n", "no"], ["", "", ""]]
    features = [np.stack([one, one, one]), np.stack([one, one, other]), np.stack([one, one, one])]
    snapshot = HandMade(entities=("a", "b", "c"), tasks={"x": None}, texts={"x": texts}, features={"x": features})
    found = {(n.model, n.metric): n.value for n in SimilaritySettings().build().measure(snapshot)}
    assert found == {
        ("a", "empty_outputs"): pytest.approx(1 / 3),
        ("b", "empty_outputs"): pytest.approx(1 / 3),
        ("c", "empty_outputs"): 1.0,
        ("a+b", "similarity"): pytest.approx(0.8),
    }


def test_one_entity_has_no_similarity():
    assert SimilaritySettings().build().measure(HandMade(entities=("a",), tasks={"x": None})) == []


def test_items_without_text_have_no_words():
    @dataclass
    class Kinds(HandMade):
        def completions(self, task, items):
            tables = {
                "points": {"x": [1.0]},
                "images": {"completion": [b"png"]},
                "texts": {"completion": ["one two two"]},
            }
            return [pa.table(tables[task])]

    snapshot = Kinds(entities=("a",), tasks=dict.fromkeys(("points", "images", "texts")))
    found = DistinctSettings().build().measure(snapshot)
    assert {(one.task, one.metric): one.value for one in found} == {
        ("texts", "distinct_1"): pytest.approx(2 / 3),
        ("texts", "distinct_2"): 1.0,
    }


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_completions_are_text_in_whatever_way_they_are_stored(kind):
    @dataclass
    class Stored(HandMade):
        def completions(self, task, items):
            return [pa.table({"completion": pa.array(["one two two", None], kind)})]

    snapshot = Stored(entities=("a",), tasks={"x": None})
    assert [n.value for n in DistinctSettings().build().measure(snapshot)] == pytest.approx([2 / 3, 1.0])


@pytest.mark.parametrize(
    ("texts", "one", "two"),
    [
        (["a b a b"], 2 / 4, 2 / 3),
        (["a b", "a b"], 2 / 4, 1 / 2),
        (["A, a! a?"], 1 / 3, 1 / 2),
        (["", "..."], 0.0, 0.0),
        (["one"], 1.0, 0.0),
    ],
)
def test_distinct_counts_different_ngrams(texts, one, two):
    assert (distinct(texts, 1), distinct(texts, 2)) == pytest.approx((one, two))
    snapshot = HandMade(entities=("a",), tasks={"x": None}, texts={"x": [texts]})
    assert [n.value for n in DistinctSettings().build().measure(snapshot)] == pytest.approx([one, two])


def test_projection_is_the_svds():
    points = np.random.default_rng(0).normal(size=(50, 6)) * [5, 3, 1, 1, 1, 1] + 7
    found = project(points)
    centred = points - points.mean(axis=0)
    u, s, vt = np.linalg.svd(centred, full_matrices=False)
    signs = np.sign([vt[i, np.abs(vt[i]).argmax()] for i in range(2)])
    np.testing.assert_allclose(found, u[:, :2] * s[:2] * signs, atol=1e-9)


def test_metrics_that_are_off_cost_nothing(fake, monkeypatch):
    def forbidden(*_):
        pytest.fail("asked for what no metric needs")

    monkeypatch.setattr("crossfeed.learners.fake.FakeLearner.embed", forbidden)
    off = [f"metrics.{name}=false" for name in ("similarity", "projection")]
    kept = run(fake("generations=2", *off), MemoryStore())
    assert {row["metric"] for row in kept.records.to_pylist()} >= {"accuracy", "distinct_1", "distinct_2"}
    monkeypatch.setattr("crossfeed.learners.fake.FakeLearner.score", forbidden)
    off += [f"metrics.{name}=false" for name in ("loss", "completion_loss", "accuracy", "distinct")]
    none = run(fake("generations=2", "ecosystem.alpha=0", *off), MemoryStore())
    assert {row["metric"] for row in none.records.to_pylist()} == {"drawn", "seconds"}


def test_metrics_are_measured_as_often_as_asked(fake):
    outcome = run(fake("ecosystem.alpha=0.5", "generations=5", "metrics.similarity.every=2"), MemoryStore())
    measured = {row["generation"] for row in outcome.records.to_pylist() if row["metric"] == "similarity"}
    assert measured == {0, 2, 4, 5}


def test_the_projection_holds_every_embedded_output(fake, tmp_path):
    store = MemoryStore()
    run(fake("generations=2"), store)
    rows = store.results["projection"].to_pylist()
    assert len(rows) == 3 * 3 * 2 * 3 * 12  # cells, generations, models, tasks, items
    assert set(rows[0]) == {"cell", "seed", "generation", "model", "task", "item", "x", "y"}
    # What cells share is listed under each of them, and was fitted once.
    once = {
        (row["cell"] if row["generation"] else "", row["generation"], row["model"], row["task"], row["item"]): row["x"]
        for row in rows
    }
    assert np.mean(list(once.values())) == pytest.approx(0, abs=1e-9)
