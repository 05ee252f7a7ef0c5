r"""Losses of every model on every task's test items.

``loss`` is the paper's loss (Section 6): cross-entropy averaged over tokens of the whole text. With
:math:`\ell_i` the summed loss of test item i and :math:`m_i` its number of terms (tokens),

.. math:: \mathrm{loss} = \sum_i \ell_i \Big/ \sum_i m_i .

``completion_loss`` is the same over the completion alone, given the prompt.

``bits_per_byte`` compares models whose tokenizers differ: with :math:`b_i` the UTF-8 bytes of the text whose tokens are
predicted (all but the first token, which is given),

.. math:: \mathrm{bits\ per\ byte} = \sum_i \ell_i \Big/ \Big(\ln 2 \sum_i b_i\Big) .

``perplexity`` is :math:`\exp(\mathrm{loss})`: among how many equally likely tokens a model chooses.

All come from one pass over the items. A task without a single term (every completion lies beyond the learner's maximum
length) has no such number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Annotated, Final

import numpy as np
from pydantic import Field

from crossfeed.protocols import Measurement, Scores, Snapshot
from crossfeed.settings import Measure, MetricSettings

__all__ = ["DEAD_BAND", "BitsPerByteSettings", "CompletionLossSettings", "LossSettings", "PerplexitySettings"]

DEAD_BAND: Final = 0.1
"""Losses that change by at most this are the same (paper, Table 2)."""

_WORDS: Final = ("better", "worse")


class _OfItems(MetricSettings):
    """Losses of test items.

    Attributes:
        items: Number of test items of each task to measure, at most; None measures all of them.
    """

    items: Annotated[int, Field(ge=1)] | None = None


class LossSettings(_OfItems):
    """Loss over whole items (nats per token for language); metric ``loss``.

    Attributes:
        items: Number of test items of each task to measure, at most; None measures all of them.
        keep_items: Keep the loss of every single test item, for later questions (`crossfeed.Run.item_losses`).
    """

    measures = (
        Measure(
            "loss",
            "Loss",
            DEAD_BAND,
            _WORDS,
            relative=True,
            bounded=True,
            section="loss",
            shown=frozenset({"terminal", "page", "curves", "progress"}),
            finite=True,
            unit=None,
        ),
    )

    keep_items: bool = False

    def keeps_losses(self, generation: int) -> bool:
        """Return True if losses of single items were asked for."""
        return self.keep_items

    def build(self) -> _MeanLoss:
        """Build the metric."""
        return _MeanLoss("loss", self.items, lambda scores: (scores.loss.sum(), scores.size.sum()))


class CompletionLossSettings(_OfItems):
    """Loss over completions alone, given their prompts; metric ``completion_loss``."""

    measures = (
        Measure(
            "completion_loss",
            "Loss of completions alone",
            DEAD_BAND,
            _WORDS,
            relative=True,
            bounded=True,
            section="loss",
            shown=frozenset({"page"}),
            finite=True,
            unit=None,
        ),
    )

    def build(self) -> _MeanLoss:
        """Build the metric."""
        return _MeanLoss(
            "completion_loss", self.items, lambda scores: (scores.completion_loss.sum(), scores.completion_size.sum())
        )


class BitsPerByteSettings(_OfItems):
    """Loss over whole items in bits per byte of text; metric ``bits_per_byte``."""

    measures = (
        Measure(
            "bits_per_byte",
            "Bits a byte of text",
            DEAD_BAND,
            _WORDS,
            relative=True,
            bounded=True,
            section="loss",
            shown=frozenset(),
        ),
    )

    def build(self) -> _MeanLoss:
        """Build the metric."""
        return _MeanLoss("bits_per_byte", self.items, _bits_and_bytes)


class PerplexitySettings(_OfItems):
    """Perplexity, the exponential of the loss over whole items; metric ``perplexity``."""

    measures = (
        Measure(
            "perplexity",
            "Perplexity",
            0.5,
            _WORDS,
            relative=True,
            section="loss",
            shown=frozenset({"page", "curves"}),
            finite=True,
        ),
    )

    def build(self) -> _Perplexity:
        """Build the metric."""
        return _Perplexity(self.items)


def _bits_and_bytes(scores: Scores) -> tuple[float, float]:
    """Return the summed loss in bits and the bytes of text; zeros for items without text."""
    if scores.text_bytes is None:
        return 0.0, 0.0
    return scores.loss.sum() / math.log(2), scores.text_bytes.sum()


@dataclass(frozen=True)
class _MeanLoss:
    """A ratio of sums over test items; `parts` gives numerator and denominator."""

    name: str
    items: int | None
    parts: Callable[[Scores], tuple[float, float]]

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            for entity, scores in zip(snapshot.entities, snapshot.scores(task, self.items), strict=True):
                loss, size = self.parts(scores)
                if size > 0:
                    numbers.append(Measurement(entity, task, self.name, float(loss / size)))
        return numbers


@dataclass(frozen=True)
class _Perplexity:
    """The exponential of the mean loss of test items."""

    items: int | None

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        losses = _MeanLoss("perplexity", self.items, lambda scores: (scores.loss.sum(), scores.size.sum()))
        return [replace(each, value=float(np.exp(each.value))) for each in losses.measure(snapshot)]
