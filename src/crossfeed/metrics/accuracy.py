r"""Accuracy: the share of test items that a model answers correctly, and what goes with it.

Items with ``choices`` (multiple choice): each choice is scored as the completion of the prompt, and the model's answer
is the one with the lowest loss per token of the completion (as in Brown et al., 2020, with length normalisation), the
end of the text being one of its tokens, as in training; an item whose choices lie beyond the learner's maximum length
is not answered, hence not right. Other items that can be graded: the model completes the prompt, and the final answer
in its text must match exactly
(`crossfeed.protocols.Task.grade`). A task that has neither gives no number.

``calibration: true`` adds, for multiple choice, how far a model's confidence is from its accuracy. With
:math:`p_{ic}` the softmax over an item's choices of minus their losses per token, :math:`\hat c_i` the likeliest choice
and :math:`c_i` the right one, over the m items with a choice that can be scored,

.. math:: \mathrm{calibration\ error} = \sum_{b=1}^{10} \frac{|B_b|}{m}
          \Bigl| \frac{1}{|B_b|} \sum_{i \in B_b} \bigl(1[\hat c_i = c_i] - p_{i \hat c_i}\bigr) \Bigr|, \qquad
          \mathrm{Brier} = \frac1m \sum_{ic} \bigl(p_{ic} - 1[c = c_i]\bigr)^2,

where :math:`B_b` are the items whose confidence :math:`p_{i \hat c_i}` lies in ((b - 1)/10, b/10] (Guo et al., 2017;
Brier, 1950).

``flexible: true`` adds, for items whose answers are numbers, ``flexible_accuracy``: exact match of the last number as
the filter ``flexible-extract`` of lm-evaluation-harness finds it (task gsm8k, version 3).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.protocols import Measurement, Scores, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["AccuracySettings", "Choices", "choices_of", "flexible_number", "loss_per_token"]

_BINS: Final = 10
_FLEXIBLE: Final = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_IGNORED: Final = re.compile(r",|\$|(?s:.*#### )|\.$")
_PLAIN: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?")


class AccuracySettings(MetricSettings):
    """Accuracy on the first test items of each task; metric ``accuracy``, between 0 and 1.

    Attributes:
        items: Number of test items to answer, at most.
        calibration: Add ``calibration_error`` (0 to 1) and ``brier`` (0 to 2) of multiple choice.
        flexible: Add ``flexible_accuracy`` of answers that are numbers.
    """

    measures = (
        Measure("accuracy", "Accuracy", TWO_DECIMALS, bounded=True, section="quality"),
        Measure(
            "flexible_accuracy", "Accuracy by the last number written", TWO_DECIMALS, bounded=True, section="quality"
        ),
        Measure("calibration_error", "Calibration error", TWO_DECIMALS, bounded=True, section="quality"),
        Measure("brier", "Brier score", TWO_DECIMALS, section="quality"),
    )

    items: Annotated[int, Field(ge=1)] = 128
    calibration: bool = False
    flexible: bool = False

    def build(self) -> _Accuracy:
        """Build the metric."""
        return _Accuracy(self.items, calibration=self.calibration, flexible=self.flexible)


@dataclass(frozen=True)
class _Accuracy:
    items: int
    calibration: bool
    flexible: bool

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for name, task in snapshot.tasks.items():
            items = task.test.slice(0, self.items)
            by_metric = self._by_choice(snapshot, items) if _has(items, "choices") else self._by_answer(snapshot, name)
            for metric, values in by_metric.items():
                pairs = zip(snapshot.entities, values, strict=True)
                numbers += [Measurement(entity, name, metric, float(value)) for entity, value in pairs]
        return numbers

    def _by_choice(self, snapshot: Snapshot, items: pa.Table) -> dict[str, list[float]]:
        choices = choices_of(items)
        losses = [loss_per_token(scores) for scores in snapshot.score(choices.table)]
        numbers = {"accuracy": [choices.correct(each).mean() for each in losses]}
        if self.calibration:
            both = [choices.calibration(each) for each in losses]
            if all(len(confidence) for confidence, _, _ in both):
                numbers["calibration_error"] = [_calibration_error(c, right) for c, right, _ in both]
                numbers["brier"] = [squares.mean() for _, _, squares in both]
        return numbers

    def _by_answer(self, snapshot: Snapshot, name: str) -> dict[str, list[float]]:
        """Return the shares of final answers that are right; none where answers are not known or not graded."""
        task = snapshot.tasks[name]
        items = task.test.slice(0, self.items)
        if not _has(items, "answer"):
            return {}
        written = [table.column("completion").to_pylist() for table in snapshot.completions(name, self.items)]
        graded = [marks for texts in written if (marks := task.grade(items, texts)) is not None]
        numbers: dict[str, list[float]] = {"accuracy": [marks.mean() for marks in graded]} if graded else {}
        answers = [_comparable(str(answer)) for answer in items.column("answer").to_pylist()]
        if self.flexible and all(_PLAIN.fullmatch(answer) for answer in answers):
            found = [[flexible_number(text) for text in texts] for texts in written]
            same = [[one == other for one, other in zip(answers, each, strict=True)] for each in found]
            numbers["flexible_accuracy"] = [sum(each) / len(each) for each in same]
        return numbers


def flexible_number(text: str) -> str | None:
    """Return a text's last number as ``flexible-extract`` finds it, made comparable; None if there is none.

    Two or more of the characters ``$0-9.,`` in a row count as a number, as they do there: ``...`` too.

    Args:
        text: What a model wrote.

    Source:
        lm-evaluation-harness, ``tasks/gsm8k/gsm8k.yaml``.
    """
    found = _FLEXIBLE.findall(text)
    return _comparable(next(group for group in found[-1] if group)) if found else None


def _comparable(text: str) -> str:
    return _IGNORED.sub("", text.strip()).lower()


@dataclass(frozen=True)
class Choices:
    """The choices of items, flat, and which of them are right.

    Attributes:
        table: One row a choice: the item's prompt and the choice as its completion.
        owner: ``(choices,)`` the item of each.
        right: ``(choices,)`` True for the right ones.
    """

    table: pa.Table
    owner: NDArray[np.int64]
    right: NDArray[np.bool_]

    def correct(self, loss: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return ``(items,)`` truth values: True where the right choice has the lowest loss per token.

        Args:
            loss: ``(choices,)`` losses per token; infinite where a choice cannot be scored.
        """
        best = self._best(loss)
        return np.asarray(self.right[best] & np.isfinite(loss[best]))

    def calibration(
        self, loss: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
        """Return how sure and how right a model is of the items with a choice that was scored.

        Args:
            loss: ``(choices,)`` losses per token; infinite where a choice cannot be scored.

        Returns:
            The probability of the chosen one, True where it is right, and the squared distance of all probabilities
            from the truth, one for each item.
        """
        starts = np.flatnonzero(np.diff(self.owner, prepend=-1))
        best = self._best(loss)
        answered = np.isfinite(loss[best])
        lowest = np.where(answered, loss[best], 0.0)[self.owner]
        odds = np.exp(lowest - loss)
        probabilities = odds / np.where(answered, np.add.reduceat(odds, starts), 1.0)[self.owner]
        squares = np.add.reduceat((probabilities - self.right) ** 2, starts)
        return probabilities[best][answered], self.right[best][answered], squares[answered]

    def _best(self, loss: NDArray[np.float64]) -> NDArray[np.int64]:
        order = np.lexsort((loss, self.owner))
        return order[np.searchsorted(self.owner[order], np.arange(int(self.owner[-1]) + 1))]


def choices_of(items: pa.Table) -> Choices:
    """Return the choices of items of multiple choice.

    Args:
        items: Items with ``prompt``, ``choices`` and ``answer``.
    """
    choices, right = items.column("choices").to_pylist(), items.column("answer").to_pylist()
    owner = np.repeat(np.arange(len(choices)), [len(options) for options in choices])
    prompts = items.column("prompt").take(pa.array(owner))
    flat = [option for options in choices for option in options]
    table = pa.table({"prompt": prompts, "completion": pa.array([f" {option}" for option in flat], pa.string())})
    is_right = [option == right[item] for option, item in zip(flat, owner.tolist(), strict=True)]
    return Choices(table, owner, np.array(is_right, dtype=np.bool_))


def _calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    bins = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
    return float(np.abs(np.bincount(bins, right - confidence, minlength=_BINS)).sum() / len(confidence))


def loss_per_token(scores: Scores) -> NDArray[np.float64]:
    """Return ``(items,)`` completion losses per token; infinite where a completion has none.

    Args:
        scores: Scores of items.
    """
    nothing = np.full_like(scores.completion_loss, np.inf)
    return np.divide(scores.completion_loss, scores.completion_size, out=nothing, where=scores.completion_size > 0)


def _has(items: pa.Table, column: str) -> bool:
    return column in items.column_names and items.column(column).null_count < items.num_rows
