"""Parts of one corpus: which rows they take, Dirichlet shares by label, and what is refused."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from tests.test_generation import context_of

from crossfeed import MemoryStore, predict, run
from crossfeed.description.registry import task_settings
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.settings import NonIid, identity
from crossfeed.tasks.partition import build_task, part_of
from crossfeed.tasks.regression import features_of

MATH = {"source": "math", "train": 1000, "validation": 5, "test": 20}


def built(described, name="mine"):
    return build_task(task_settings(described["source"]).model_validate(described), name, None)


def labelled(labels) -> pa.Table:
    return pa.table({"number": np.arange(len(labels)), "answer": [str(label) for label in labels]})


@pytest.mark.parametrize("non_iid", [None, NonIid(alpha=0.3)])
def test_a_part_follows_from_what_items_say_and_not_from_their_order(non_iid):
    random = np.random.default_rng()
    table = labelled(random.integers(0, 4, 200))
    moved = random.permutation(200)
    for part in ("1/3", "3/3"):
        rows, again = (part_of("mine", each, part, non_iid, 7) for each in (table, table.take(pa.array(moved))))
        assert set(moved[again]) == set(rows)
        assert (np.diff(rows) > 0).all()


def test_parts_have_nothing_to_do_with_the_order_of_the_items():
    """Each half of the rows gives half of a part, up to its sampling without replacement."""
    rows, size = part_of("mine", labelled(np.zeros(4000)), "2/4", None, int(np.random.default_rng().integers(99))), 1000
    assert len(rows) == size
    deviation = np.sqrt(size / 4 * (4000 - size) / 3999)
    assert abs((rows < 2000).sum() - size / 2) < 5 * deviation


def test_labels_have_dirichlet_shares_of_the_parts():
    labels, each, parts, alpha = 300, 200, 4, 0.7
    table = labelled(np.repeat(np.arange(labels), each))
    seed = int(np.random.default_rng().integers(10_000))
    taken = [part_of("mine", table, f"{i + 1}/{parts}", NonIid(alpha=alpha), seed) for i in range(parts)]
    assert sorted(np.concatenate(taken).tolist()) == list(range(labels * each))
    shares = np.array([np.bincount(rows // each, minlength=labels) for rows in taken]) / each
    mean, variance = 1 / parts, (1 / parts) * (1 - 1 / parts) / (parts * alpha + 1)
    squares = (shares - mean) ** 2
    for i in range(parts):
        assert abs(shares[i].mean() - mean) < 5 * np.sqrt(variance / labels)
        # Rounding to whole items moves a share by at most half an item at either end.
        assert abs(squares[i].mean() - variance) < 5 * squares[i].std() / np.sqrt(labels) + 1 / each
    covariance = ((shares[0] - mean) * (shares[1] - mean)).mean()
    assert covariance == pytest.approx(-(mean**2) / (parts * alpha + 1), abs=5 * variance / np.sqrt(labels))


def test_a_great_concentration_gives_parts_that_are_alike():
    table = labelled(np.repeat(np.arange(5), 400))
    rows = part_of("mine", table, "1/4", NonIid(alpha=1e6), 0)
    assert all(abs(count - 100) <= 2 for count in np.bincount(rows // 400))


def test_answers_of_a_task_are_its_labels():
    parts = [built(MATH | {"part": f"{i}/3", "non_iid": {"alpha": 0.1}}) for i in (1, 2, 3)]
    whole = built(MATH)
    assert sum((Counter(part.train.column("prompt").to_pylist()) for part in parts), Counter()) == Counter(
        whole.train.column("prompt").to_pylist()
    )
    assert max(part.train.num_rows for part in parts) - min(part.train.num_rows for part in parts) > 1
    assert all(part.test.equals(whole.test) for part in parts)


def test_parts_of_images_keep_their_size_and_classifier():
    pytest.importorskip("sklearn")
    digits = {"source": "digits", "classes": [0, 1, 7], "per_class": 20, "test": 9}
    iid, skewed = (built(digits | more) for more in ({"part": "1/4"}, {"part": "1/4", "non_iid": {"alpha": 0.1}}))
    assert iid.train.num_rows == 15
    assert Counter(skewed.train.column("answer").to_pylist()) != Counter(iid.train.column("answer").to_pylist())
    assert iid.content != skewed.content


def test_a_part_of_regression_data_is_rows_of_one_matrix():
    described = {"source": "regression", "dimension": 3, "rows": 10, "replicates": 2}
    one, two = built(described | {"part": "1/2"}, "a"), built(described | {"part": "2/2"}, "public")
    together = np.concatenate([features_of(one.train), features_of(two.train)])
    assert {tuple(row) for row in together} == {tuple(row) for row in one.features}
    assert one.reserve(1)[1][0].num_rows == one.train.num_rows == 5
    assert one.test.num_rows == 10
    assert not built(described, "a").train.equals(built(described, "b").train)


def test_a_task_of_ones_own_that_cannot_be_divided_is_refused(monkeypatch):
    from crossfeed.learners.fake import FakeTask

    monkeypatch.delattr(FakeTask, "restricted")
    with pytest.raises(InvalidInput, match=r"source: fake cannot be divided.*FakeTask the method `restricted`"):
        built({"source": "fake", "part": "1/2"})


@pytest.mark.parametrize(
    ("described", "words"),
    [
        ({"part": "1/61"}, ["1/61 of 60", "at most 60"]),
        ({"source": "gaussian", "part": "1/2", "non_iid": {"alpha": 1}}, ["non_iid", "have none", "leave non_iid out"]),
        (
            {"source": "stdlib-docs", "train": 50, "part": "1/2", "non_iid": {"alpha": 1}},
            ["non_iid", "have none", "digits"],
        ),
        (
            {"source": "topic", "number": 1, "part": "1/2", "non_iid": {"alpha": 1}},
            ["different answers", "no labels"],
        ),
    ],
)
def test_what_cannot_be_divided_is_refused(described, words):
    with pytest.raises(InvalidInput) as error:
        built({"source": "fake"} | described)
    for word in words:
        assert word in str(error.value)


def test_a_part_that_is_empty_is_refused():
    """At so small a concentration each of two labels is in one of three parts alone, up to a chance of 1e-6."""
    empty = []
    for number in (1, 2, 3):
        try:
            part_of("mine", labelled([0, 1] * 20), f"{number}/3", NonIid(alpha=1e-9), 0)
        except InvalidInput as error:
            empty.append(str(error))
    assert empty
    assert all("no training item" in message and "greater alpha" in message for message in empty)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("part: 0/4", ["tasks.warm.part", "i/m", "0/4"]),
        ("part: 5/4", ["tasks.warm.part", "1 <= i <= m", "5/4"]),
        ("part: a/b", ["tasks.warm.part", "such as 2/4", "a/b"]),
        ("part: 2", ["tasks.warm.part", "string"]),
        ("non_iid: {alpha: 1}", ["tasks.warm", "part: i/m"]),
        ("part: 1/2, non_iid: {alpha: 0}", ["non_iid.alpha", "greater than 0"]),
        ("part: 1/2, non_iid: {beta: 0}", ["non_iid.beta", "unknown key", "alpha"]),
    ],
)
def test_impossible_parts_are_refused_by_name(fake, given, words):
    with pytest.raises(InvalidDescription) as error:
        fake(f"tasks.warm={{source: fake, {given}}}")
    for word in words:
        assert word in str(error.value)


def test_facts_keep_parts_of_their_own(fake):
    with pytest.raises(InvalidDescription, match="source: facts are its own"):
        fake("tasks.warm={source: facts, part: 1/2, non_iid: {alpha: 1}}")
    first, second = (built({"source": "facts", "train": 100, "part": f"{i}/2"}) for i in (1, 2))
    assert not first.test.equals(second.test)


def test_a_description_without_parts_is_what_it_was():
    settings = task_settings("fake").model_validate({"source": "fake"})
    assert identity(settings) == {"source": "fake"}
    assert identity(settings.model_copy(update={"part": "1/2"})) == {"source": "fake", "part": "1/2"}


def test_entities_learn_from_parts_and_public_data_can_be_one(fake):
    one = "{source: fake, train: 90, part: %d/3}"
    experiment = fake(
        *(f"tasks.warm={one % 1}", f"tasks.cold={one % 2}", f"public={one % 3}"),
        *("ecosystem.alpha=0.5", "ecosystem.fresh_fraction=0.5", "metrics={loss: {}}"),
    )
    assert not run(experiment, MemoryStore()).failures
    assert [shelf.size for shelf in context_of(experiment).sizes.private] == [30, 30]


def test_many_entities_share_a_corpus_in_one_line(fake):
    experiment = fake("ecosystem.entities=4", 'tasks.each={source: fake, train: 90, part: "{k}/{K}"}')
    assert [experiment.tasks[f"e{k}"].part for k in range(1, 5)] == ["1/4", "2/4", "3/4", "4/4"]
    wider = fake("ecosystem.entities=2", 'tasks.each={source: fake, part: "{k}/10"}')
    assert [wider.tasks[name].part for name in ("e1", "e2")] == ["1/10", "2/10"]


def test_exact_theory_refuses_parts():
    from tests.tiny import LINEAR

    from crossfeed import Experiment

    first = next(iter(Experiment.from_yaml(LINEAR).tasks))
    with pytest.raises(InvalidDescription, match="parts of one corpus"):
        predict(Experiment.from_yaml(LINEAR, (f"tasks.{first}.part=1/2",)))
