"""Accuracy: the share of test items that a model answers correctly.

Items with ``choices`` (multiple choice): each choice is scored as the completion of the prompt, and the model's answer
is the one with the lowest loss per token of the completion (as in Brown et al., 2020, with length normalisation), the
end of the text being one of its tokens, as in training; an item whose choices lie beyond the learner's maximum length
is not answered, hence not right. Other items that can be graded: the model completes the prompt, and the final answer
in its text must match exactly
(`crossfeed.protocols.Task.grade`). A task that has neither gives no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.protocols import Measurement, Scores, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["AccuracySettings"]


class AccuracySettings(MetricSettings):
    """Accuracy on the first test items of each task; metric ``accuracy``, between 0 and 1.

    Attributes:
        items: Number of test items to answer, at most.
    """

    measures = (Measure("accuracy", "Accuracy", TWO_DECIMALS, bounded=True, section="quality"),)

    items: Annotated[int, Field(ge=1)] = 128

    def build(self) -> _Accuracy:
        """Build the metric."""
        return _Accuracy(self.items)


@dataclass(frozen=True)
class _Accuracy:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for name, task in snapshot.tasks.items():
            items = task.test.slice(0, self.items)
            correct = _by_choice(snapshot, items) if _has(items, "choices") else self._by_answer(snapshot, name, items)
            if correct is not None:
                rates = zip(snapshot.entities, correct.mean(axis=1), strict=True)
                numbers += [Measurement(entity, name, "accuracy", float(rate)) for entity, rate in rates]
        return numbers

    def _by_answer(self, snapshot: Snapshot, name: str, items: pa.Table) -> NDArray[np.bool_] | None:
        """Return ``(entities, items)`` truth values: True where a final answer is right; None if unknown."""
        if not _has(items, "answer"):
            return None
        task = snapshot.tasks[name]
        graded = [
            task.grade(items, table.column("completion").to_pylist())
            for table in snapshot.completions(name, self.items)
        ]
        known = [marks for marks in graded if marks is not None]
        return np.stack(known) if known else None


def _by_choice(snapshot: Snapshot, items: pa.Table) -> NDArray[np.bool_]:
    """Return ``(entities, items)`` truth values: True where the right choice has the lowest loss per token."""
    choices = items.column("choices").to_pylist()
    right = items.column("answer").to_pylist()
    owner = np.repeat(np.arange(len(choices)), [len(options) for options in choices])
    prompts = items.column("prompt").take(pa.array(owner))
    flat = [option for options in choices for option in options]
    table = pa.table({"prompt": prompts, "completion": pa.array([f" {option}" for option in flat], pa.string())})
    return np.stack([_lowest_is_right(_by_token(scores), owner, flat, right) for scores in snapshot.score(table)])


def _by_token(scores: Scores) -> NDArray[np.float64]:
    """Return ``(items,)`` completion losses per token; infinite where a completion has none."""
    nothing = np.full_like(scores.completion_loss, np.inf)
    return np.divide(scores.completion_loss, scores.completion_size, out=nothing, where=scores.completion_size > 0)


def _lowest_is_right(
    loss: NDArray[np.float64], owner: NDArray[np.int64], flat: list[str], right: list[str]
) -> NDArray[np.bool_]:
    order = np.lexsort((loss, owner))
    best = order[np.searchsorted(owner[order], np.arange(len(right)))]
    chosen = zip(best, right, strict=True)
    return np.array([flat[choice] == answer and bool(np.isfinite(loss[choice])) for choice, answer in chosen])


def _has(items: pa.Table, column: str) -> bool:
    return column in items.column_names and items.column(column).null_count < items.num_rows
