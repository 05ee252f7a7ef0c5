"""Text tasks: tables of prompts and completions, and the grading of answers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.display.formatting import shown
from crossfeed.errors import InvalidInput
from crossfeed.protocols import Task
from crossfeed.tasks.fresh import set_aside
from crossfeed.tasks.grading import grader_of, number_in, same_text

__all__ = ["SCHEMA", "Answers", "TextTask", "holds_text", "right_answers"]

Answers = str
"""The grading of answers: ``choice`` by the loss of each choice, else as `crossfeed.tasks.grading.grader_of` has it."""

SCHEMA: Final = pa.schema(
    [
        ("prompt", pa.string()),
        ("completion", pa.string()),
        ("answer", pa.string()),
        ("choices", pa.list_(pa.string())),
    ]
)
"""Columns of every split. The text of an item is prompt + completion, and the completion starts with a space or a
newline. `answer` is the final answer, or null. `choices` are the options' texts, or null; `answer` is then one of
them, and a model scores an option as prompt + space + option."""


# Compared by identity: tables have no hash, and two tasks with equal `content` hold equal data anyway.
@dataclass(frozen=True, eq=False)
class TextTask:
    """A data set of texts (the `crossfeed.protocols.Task` protocol).

    No text is in two splits or twice in `train`; sources drop repeats before they build a task.

    Attributes:
        name: Its name in the experiment.
        train: Items of `SCHEMA` that training sets and prompts are drawn from.
        validation: Items for choosing settings.
        test: Items that metrics are measured on.
        spare: Items that a cap leaves out of `train`: no training set draws them from this task. A base may read them.
        answers: How answers are graded; None where there are none.
        notes: Sentences about the data, such as how many rows were left out and why.
        content: A hash of all the splits.
    """

    name: str
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    answers: Answers | None = None
    spare: pa.Table = field(default_factory=SCHEMA.empty_table)
    notes: tuple[str, ...] = ()
    content: str = field(init=False)

    def __post_init__(self) -> None:
        splits = {"train": self.train, "validation": self.validation, "test": self.test}
        every = splits | {"spare": self.spare}
        for split, table in every.items():
            _check_items(f"{self.name}: {split}", table, self.answers)
        _check_disjoint(self.name, every)
        object.__setattr__(self, "content", _content(splits))

    def restricted(self, rows: NDArray[np.int64]) -> TextTask:
        """Return the task with some rows of `train` alone."""
        return replace(self, train=self.train.take(pa.array(rows)))

    def reserve(self, generations: int) -> tuple[TextTask, Sequence[pa.Table]]:
        """Set the last half of `train` aside as fresh data (see `crossfeed.tasks.fresh`)."""
        kept, fresh = set_aside(self.name, self.train, generations)
        return replace(self, train=kept), fresh

    def grade(self, items: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_] | None:
        """Grade completions by their final answers (see `crossfeed.tasks.grading`).

        Args:
            items: Rows of a split.
            completions: One text for each row.

        Returns:
            ``(rows,)`` truth values; None if text cannot be graded: without answers, and for multiple choice, where
            the option of lowest loss is the model's answer.

        Raises:
            InvalidInput: There is not one completion for each row.
        """
        if len(completions) != items.num_rows:
            raise InvalidInput(f"{self.name}: {len(completions)} completions were given for {items.num_rows} items")
        answers = items.column("answer").to_pylist()
        if self.answers in (None, "choice") or None in answers:
            return None
        same = grader_of(self.answers)
        pairs = zip(answers, completions, strict=True)
        return np.array([same(answer, completion) for answer, completion in pairs], dtype=np.bool_)


def holds_text(items: pa.Table) -> bool:
    """Return True if items have prompts and completions that are texts.

    Args:
        items: Items of any task.
    """
    return all(
        name in items.column_names and items.schema.field(name).type in (pa.string(), pa.large_string())
        for name in ("prompt", "completion")
    )


def _check_items(where: str, table: pa.Table, answers: Answers | None) -> None:
    if not table.schema.equals(SCHEMA):
        raise InvalidInput(f"{where}: columns are {table.schema.names}; give exactly {SCHEMA.names} (SCHEMA)")
    if table.column("prompt").null_count or table.column("completion").null_count:
        raise InvalidInput(f"{where}: a prompt or completion is null")
    if not pc.all(pc.match_substring_regex(table.column("completion"), r"^[ \n]"), min_count=0).as_py():
        raise InvalidInput(f"{where}: every completion must start with a space or a newline")
    rows = zip(table.column("answer").to_pylist(), table.column("choices").to_pylist(), strict=True)
    for answer, choices in rows:
        if choices is not None and answer not in choices:
            raise InvalidInput(f"{where}: the answer {shown(answer)} is not among its choices {shown(choices)}")
        if answers == "number" and answer is not None and number_in(answer) is None:
            raise InvalidInput(f"{where}: the answer {shown(answer)} holds no number; grade such answers as `text`")


def _check_disjoint(name: str, splits: dict[str, pa.Table]) -> None:
    owner: dict[str, str] = {}
    for split, table in splits.items():
        joined = pc.binary_join_element_wise(table.column("prompt"), table.column("completion"), "")
        for text in joined.to_pylist():
            first = owner.setdefault(text, split)
            if first != split:
                raise InvalidInput(f"{name}: a text is in both {first} and {split}: {text[:60]!r}")
    trained = sum(split == "train" for split in owner.values())
    if trained != splits["train"].num_rows:
        raise InvalidInput(f"{name}: {splits['train'].num_rows - trained} texts of train are repeats")


def _content(splits: dict[str, pa.Table]) -> str:
    """Return a hash of the values, which does not depend on the tables' layout in memory."""
    digest = hashlib.blake2b(digest_size=16)
    for split, table in splits.items():
        digest.update(json.dumps([split, table.num_rows]).encode())
        for column in SCHEMA.names:
            digest.update(json.dumps(table.column(column).to_pylist()).encode())
    return digest.hexdigest()


def right_answers(task: Task, prompts: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_]:
    """Return which completions have the right final answer: as the task grades them, else by the same text.

    Args:
        task: The task that the prompts are of.
        prompts: Items of it, with an ``answer``.
        completions: One for each of them.

    Returns:
        ``(items,)`` mask.
    """
    graded = task.grade(prompts, completions)
    if graded is not None:
        return graded
    pairs = zip(prompts.column("answer").to_pylist(), completions, strict=True)
    return np.array([same_text(answer, completion) for answer, completion in pairs], dtype=np.bool_)
