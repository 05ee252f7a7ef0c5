"""Notes on a task's items as a model will read them: what is cut, and where prompt and completion share a token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import pyarrow as pa

from crossfeed.learners.language.settings import LanguageSettings
from crossfeed.learners.language.tokens import Example, ItemTokenizer, text_column
from crossfeed.protocols import Task

__all__ = ["notes_on_items", "texts_of"]

_LOOKED_AT: Final = 20_000
"""Items of a split that are looked at, evenly spaced if there are more."""


def texts_of(task: Task) -> list[str]:
    """Return the texts of a task's training and test items, as far as they are text.

    Args:
        task: The task.
    """
    tables = (task.train, task.test)
    columns = [(text_column(table, "prompt"), text_column(table, "completion")) for table in tables]
    return [prompt + completion for pair in columns for prompt, completion in zip(*pair, strict=True)]


def notes_on_items(tokenizer: ItemTokenizer, task: Task, settings: LanguageSettings) -> Iterator[str]:
    """Note how many of a task's items a model will not read as they are.

    Args:
        tokenizer: The base's tokenizer.
        task: The task.
        settings: The learner's description, with the lengths that it allows.

    Yields:
        A sentence for each split and each thing that happens to some of its items.
    """
    for split, table in (("training", task.train), ("test", task.test)):
        items = _sample(table)
        of = f"of {items.num_rows:,} {split} items"
        if items.num_rows < table.num_rows:
            of += f" (evenly spaced among {table.num_rows:,})"
        examples = tokenizer.examples(items, settings.training.max_length)
        yield from _on_cuts(examples, of, settings.training.max_length)
        yield from _on_joins(examples, of)
        yield from _on_prompts(tokenizer, items, of, settings.generation.max_prompt_tokens)


def _sample(table: pa.Table) -> pa.Table:
    if table.num_rows <= _LOOKED_AT:
        return table
    return table.take(np.linspace(0, table.num_rows - 1, _LOOKED_AT).astype(np.int64))


def _on_cuts(examples: Sequence[Example], of: str, longest: int) -> Iterator[str]:
    cut, lost = sum(each.cut > 0 for each in examples), sum(each.lost for each in examples)
    if cut:
        tail = f"; {lost:,} lose their whole completion, which is neither learned nor measured" if lost else ""
        yield f"{cut:,} {of} are longer than training.max_length ({longest}) and are cut{tail}"


def _on_joins(examples: Sequence[Example], of: str) -> Iterator[str]:
    apart, spanned = (sum(each.join == join for each in examples) for join in ("apart", "spanned"))
    if apart:
        yield (
            f"in {apart:,} {of} a token would span the end of the prompt; their prompt and completion are tokenised "
            "apart, as a model is given the prompt to complete"
        )
    if spanned:
        yield (
            f"in {spanned:,} {of} a token spans the end of the prompt and cannot be split; a model is trained on other "
            "tokens than it is given to complete. Let prompts end in another character"
        )


def _on_prompts(tokenizer: ItemTokenizer, items: pa.Table, of: str, longest: int) -> Iterator[str]:
    cut = int((tokenizer.prompt_lengths(items) > longest).sum())
    if cut:
        yield (
            f"the prompts of {cut:,} {of} are longer than generation.max_prompt_tokens ({longest}); where they are "
            "completed, only their last tokens are read"
        )
