r"""Losses of every model on every task's test items.

``loss`` is the paper's loss (Section 6): cross-entropy averaged over tokens of the whole text. With
:math:`\ell_i` the summed loss of test item i and :math:`m_i` its number of terms (tokens),

.. math:: \mathrm{loss} = \sum_i \ell_i \Big/ \sum_i m_i .

``completion_loss`` is the same over the completion alone, given the prompt. Both come from one pass over the items.
A task without a single term (every completion lies beyond the learner's maximum length) has no such number.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from crossfeed.protocols import Measurement, Moment, Scores
from crossfeed.settings import MetricSettings

__all__ = ["CompletionLossSettings", "LossSettings"]


class LossSettings(MetricSettings):
    """The loss over whole items (nats a token for language); metric ``loss``."""

    def build(self) -> _MeanLoss:
        """Make the metric."""
        return _MeanLoss("loss", lambda scores: (scores.loss.sum(), scores.size.sum()))


class CompletionLossSettings(MetricSettings):
    """The loss over completions alone, given their prompts; metric ``completion_loss``."""

    def build(self) -> _MeanLoss:
        """Make the metric."""
        return _MeanLoss("completion_loss", lambda scores: (scores.completion_loss.sum(), scores.completion_size.sum()))


@dataclass(frozen=True)
class _MeanLoss:
    name: str
    parts: Callable[[Scores], tuple[float, float]]

    def measure(self, moment: Moment) -> list[Measurement]:
        numbers = []
        for task in moment.tasks:
            for entity, scores in zip(moment.entities, moment.scores(task), strict=True):
                loss, size = self.parts(scores)
                if size > 0:
                    numbers.append(Measurement(entity, task, self.name, float(loss / size)))
        return numbers
