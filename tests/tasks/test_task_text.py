import dataclasses
import pickle

import numpy as np
import pyarrow as pa
import pytest

from crossfeed.errors import InvalidInput
from crossfeed.tasks.text import SCHEMA, TextTask


def table(texts, answers=None, choices=None):
    columns = {
        "prompt": [f"Question: {text}?\nAnswer:" for text in texts],
        "completion": [f" {text}." for text in texts],
        "answer": answers or [None] * len(texts),
        "choices": choices or [None] * len(texts),
    }
    return pa.table(columns, schema=SCHEMA)


def task(train=range(20), validation=(100,), test=(200, 201), **more):
    return TextTask("t", table(train), table(validation), table(test), **more)


def texts(items):
    return [row["prompt"] + row["completion"] for row in items.to_pylist()]


@pytest.mark.parametrize("generations", [1, 2, 3, 7, 10])
def test_reserved_items_are_fresh_once(generations):
    whole = task()
    kept, fresh = whole.reserve(generations)
    assert len(fresh) == generations
    assert len({items.num_rows for items in fresh}) == 1
    assert fresh[0].num_rows == 10 // generations
    parts = [*texts(kept.train), *(text for items in fresh for text in texts(items))]
    assert sorted(parts) == sorted(texts(whole.train))
    assert kept.train.num_rows >= 10
    assert kept.test.equals(whole.test)
    assert kept.content != whole.content
    assert kept.content == whole.reserve(generations)[0].content


@pytest.mark.parametrize("generations", [0, -1, 11])
def test_reserving_what_is_not_there_is_an_error(generations):
    with pytest.raises(InvalidInput, match="give 1 to 10"):
        task().reserve(generations)


def test_content_depends_on_values_alone():
    base = task()
    chunked = dataclasses.replace(base, train=pa.concat_tables([base.train.slice(0, 7), base.train.slice(7)]))
    assert chunked.content == base.content
    assert pickle.loads(pickle.dumps(base)).content == base.content
    assert task(train=range(19)).content != base.content
    assert task(train=range(19, -1, -1)).content != base.content
    assert task(train=range(19), validation=(19, 100)).content != base.content


def test_a_task_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        task().name = "other"


@pytest.mark.parametrize(
    "splits", [{"train": (1, 2), "test": (2,)}, {"validation": (5,)}, {"validation": (200,)}, {"train": (1, 1)}]
)
def test_shared_or_repeated_texts_are_refused(splits):
    with pytest.raises(InvalidInput, match=r"both|repeats"):
        task(**splits)


def test_malformed_tables_are_refused():
    good = table(range(3))
    for bad, message in [
        (good.drop_columns(["choices"]), "columns"),
        (good.set_column(1, SCHEMA.field(1), [["a", " b", " c"]]), "space or a newline"),
        (good.set_column(1, SCHEMA.field(1), [[None, " b", " c"]]), "null"),
        (table([1], ["x"], [["y", "z"]]), "not among its choices"),
    ]:
        with pytest.raises(InvalidInput, match=message):
            TextTask("t", bad, table([]), table([10]))
    with pytest.raises(InvalidInput, match="holds no number"):
        TextTask("t", good, table([]), table([10], ["ten"]), answers="number")


def test_grading_by_kind():
    items = table([200, 201], ["7", "1,000"])
    numbers = TextTask("t", table([1]), table([]), items, answers="number")
    graded = numbers.grade(items, [" so 7", " #### 999"])
    assert graded.dtype == np.bool_
    assert graded.tolist() == [True, False]
    assert numbers.grade(items.slice(0, 0), []).tolist() == []
    words = TextTask("t", table([1]), table([]), items, answers="text")
    assert words.grade(items, [" so 7", " 1,000. Yes"]).tolist() == [False, True]
    with pytest.raises(InvalidInput, match="1 completions were given for 2 items"):
        words.grade(items, [" 7"])


def test_what_text_cannot_grade_is_none():
    assert task().grade(table([200]), [" 200"]) is None
    items = table([200], ["a"], [["a", "b"]])
    assert TextTask("t", table([1]), table([]), items, answers="choice").grade(items, [" a"]) is None
    some = table([200, 201], ["a", None])
    assert TextTask("t", table([1]), table([]), some, answers="text").grade(some, [" a", " b"]) is None
