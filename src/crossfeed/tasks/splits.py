"""Tasks assembled from rows: repeats dropped, missing splits cut from train, a seeded shuffle, and caps on sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import pyarrow as pa
from pydantic import Field

from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.keys import generator
from crossfeed.settings import TaskSettings
from crossfeed.tasks.text import SCHEMA, Answers, TextTask

__all__ = ["SPLITS", "Row", "TextSettings", "assemble", "cut", "shuffled", "unique"]

SPLITS: Final = ("train", "validation", "test")
Cap = Annotated[int, Field(ge=1)] | None


@dataclass(frozen=True)
class Row:
    """One item before it is part of a table.

    Attributes:
        prompt: The text that a model is given.
        completion: The right continuation; it starts with a space or a newline.
        answer: The final answer, or None.
        choices: The options of a multiple choice question, or None.
        key: Identity of the item across splits (a question, whatever its explanation); default: the text.
    """

    prompt: str
    completion: str
    answer: str | None = None
    choices: tuple[str, ...] | None = None
    key: str | None = None

    @property
    def text(self) -> str:
        """Prompt and completion."""
        return self.prompt + self.completion

    @property
    def identity(self) -> str:
        """`key`, or the whole text, without regard to case and white space."""
        return " ".join((self.text if self.key is None else self.key).casefold().split())


class TextSettings(TaskSettings):
    """Settings that every text source has: a seed and caps on the sizes of the splits.

    Attributes:
        seed: Seed of the order of each split, of the rows cut from train, and of generated items.
        train: Number of training items; default: all.
        validation: Number of validation items; 0 for none; default: all.
        test: Number of test items; default: all.
    """

    seed: Annotated[int, Field(ge=0)] = 0
    train: Cap = None
    validation: Annotated[int, Field(ge=0)] | None = None
    test: Cap = None

    @property
    def caps(self) -> dict[str, int | None]:
        """The caps by split."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def shuffled(rows: Sequence[Row], seed: int, what: str) -> list[Row]:
    """Return rows in an order that the seed and the word `what` fix."""
    return [rows[place] for place in generator(seed, "tasks", what).permutation(len(rows))]


def cut(
    rows: Mapping[str, Sequence[Row]], seed: int, percent: int = 5, caps: Mapping[str, int | None] | None = None
) -> dict[str, list[Row]]:
    """Give every split rows: what is missing is cut off the end of a shuffled train.

    Args:
        rows: Rows by split; `train` must be there, the others may be missing.
        seed: Fixes the shuffle.
        percent: How much of train each missing split gets, at least one row.
        caps: How many rows a split is to have; a missing one gets as many if that is more.

    Returns:
        Rows by split, all of them there.
    """
    whole = {split: list(rows[split]) for split in SPLITS if split in rows}
    missing = [split for split in ("test", "validation") if split not in whole]
    if missing:
        whole["train"] = shuffled(whole["train"], seed, "cut")
    share = max(1, len(whole["train"]) * percent // 100)
    for split in missing:
        size = max(share, (caps or {}).get(split) or 0)
        whole["train"], whole[split] = whole["train"][:-size], whole["train"][-size:]
    return whole


def unique(rows: Mapping[str, Sequence[Row]]) -> dict[str, list[Row]]:
    """Drop repeats: validation loses the items of test, train those of both, and each split its repeated texts.

    Across splits items are identified by their keys, so that no question is both trained on and tested; within a split
    the same question with other options or another explanation stays.

    Args:
        rows: Rows of all splits.

    Returns:
        The rows that stay.
    """
    seen: set[str] = set()
    kept = {}
    for split in reversed(SPLITS):
        new = {row.text: row for row in reversed(rows[split]) if row.identity not in seen}
        kept[split] = list(reversed(new.values()))
        seen.update(row.identity for row in kept[split])
    return {split: kept[split] for split in SPLITS}


def assemble(
    name: str,
    rows: Mapping[str, Sequence[Row]],
    settings: TextSettings,
    answers: Answers | None,
    percent: int = 5,
    notes: Sequence[str] = (),
) -> TextTask:
    """Make a task: missing splits are cut from train, repeats dropped, each split shuffled and capped.

    Args:
        name: The task's name in the experiment.
        rows: Rows by split.
        settings: The seed and the caps.
        answers: How answers are graded; None where there are none.
        percent: How much of train each missing split gets.
        notes: What is worth saying of the data, such as rows that were left out.

    Raises:
        InvalidInput: A cap is larger than the split.
        DataUnavailable: There is nothing to train on or to test.
    """
    whole = unique(cut(rows, settings.seed, percent, settings.caps))
    tables = {}
    for split in SPLITS:
        order = shuffled(whole[split], settings.seed, split)
        cap = settings.caps[split]
        if cap is not None and cap > len(order):
            raise InvalidInput(
                f"{name}: {split}: {cap} items were requested, but {settings.source} has {len(order)}; "
                f"give at most {len(order)}, or leave {split} out to take all"
            )
        tables[split] = _table(order[:cap])
        if split == "train":
            tables["spare"] = _table(order[len(tables[split]) :])
    for split in ("train", "test"):
        if not tables[split].num_rows:
            why = f" ({'; '.join(notes)})" if notes else ""
            raise DataUnavailable(f"{name}: {settings.source} has no usable {split} items{why}")
    return TextTask(name=name, answers=answers, notes=tuple(notes), **tables)


def _table(rows: Sequence[Row]) -> pa.Table:
    columns = {
        "prompt": [row.prompt for row in rows],
        "completion": [row.completion for row in rows],
        "answer": [row.answer for row in rows],
        "choices": [None if row.choices is None else list(row.choices) for row in rows],
    }
    return pa.table(columns, schema=SCHEMA)
