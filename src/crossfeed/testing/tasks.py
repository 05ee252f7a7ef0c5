"""The contract of tasks (`crossfeed.protocols.Task`)."""

# ruff: noqa: S101, D102 - tests assert, and their names say what
from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

import pyarrow as pa
import pytest

from crossfeed.description.registry import task_settings
from crossfeed.protocols import Task
from crossfeed.tasks.partition import build_task

__all__ = ["TaskContract"]

_SPLITS = ("train", "validation", "test")


class TaskContract:
    """The contract of tasks.

    Attributes:
        settings: An entry of ``tasks:`` in a description, such as ``{"source": "letters", "train": 40}``.
    """

    settings: ClassVar[Mapping[str, Any]]

    @pytest.fixture(scope="class")
    @classmethod
    def described(cls) -> Mapping[str, Any]:
        """The settings; override it to test several."""
        return cls.settings

    @pytest.fixture(scope="class")
    @classmethod
    def task(cls, described: Mapping[str, Any]) -> Task:
        """The task."""
        return _build(described)

    def test_it_has_its_name_and_items_of_one_kind(self, task: Task) -> None:
        assert task.name == "mine"
        assert task.train.num_rows > 0
        assert task.test.num_rows > 0
        assert task.train.schema == task.validation.schema == task.test.schema

    def test_no_item_is_in_two_splits(self, task: Task) -> None:
        train, validation, test = (_items(getattr(task, split)) for split in _SPLITS)
        assert not train & test
        assert not train & validation
        assert not validation & test

    def test_the_same_description_gives_the_same_data(self, task: Task, described: Mapping[str, Any]) -> None:
        again = _build(described)
        assert again.content == task.content
        for split in _SPLITS:
            assert getattr(again, split).equals(getattr(task, split))

    def test_fresh_items_are_set_aside(self, task: Task) -> None:
        kept, fresh = task.reserve(2)
        assert len(fresh) == 2
        assert all(table.num_rows for table in (kept.train, *fresh))
        parts = [_items(table) for table in (kept.train, *fresh)]
        assert parts[0] <= _items(task.train)
        assert sum(map(len, parts)) == len(set.union(*parts))
        assert kept.test.equals(task.test)

    def test_items_answer_themselves(self, task: Task) -> None:
        if "completion" not in task.test.column_names:
            pytest.skip("its items have no text to grade")
        completions = task.test.column("completion").to_pylist()
        graded = task.grade(task.test, completions)
        if graded is not None:
            assert graded.shape == (task.test.num_rows,)
            assert graded.all()
            empty = task.grade(task.test, [""] * len(completions))
            assert empty is not None
            assert not empty.any()

    def test_parts_are_disjoint_and_make_up_the_whole(self, task: Task, described: Mapping[str, Any]) -> None:
        """Whatever the parts are called: entities own them under names of their own."""
        if task_settings(described["source"]).divides_itself or not hasattr(task, "restricted"):
            pytest.skip("it is not divided into parts")
        whole = _build({**described, "part": "1/1"}, "corpus")
        parts = [_build({**described, "part": f"{i}/3"}, f"mine-{i}") for i in (1, 2, 3)]
        together = sum((_counted(part.train) for part in parts), Counter[str]())
        sizes = [part.train.num_rows for part in parts]
        assert together == _counted(whole.train)
        assert max(sizes) - min(sizes) <= 1
        assert len({part.content for part in (*parts, whole)}) == 4
        for part in parts:
            assert part.name.startswith("mine-")
            assert part.test.equals(whole.test)
            assert part.validation.equals(whole.validation)
            kept, fresh = part.reserve(2)
            assert all(table.num_rows for table in (kept.train, *fresh))


def _build(described: Mapping[str, Any], name: str = "mine") -> Task:
    return build_task(task_settings(described["source"]).model_validate(dict(described)), name, None)


def _items(table: pa.Table) -> set[str]:
    return set(_counted(table))


def _counted(table: pa.Table) -> Counter[str]:
    return Counter(repr(row) for row in table.to_pylist())
