r"""Distinct-n, the variety of a model's completions (Li et al., 2016, "A Diversity-Promoting Objective Function").

.. math:: \text{distinct-}n = \frac{\text{number of different } n\text{-grams}}{\text{number of } n\text{-grams}}

over all completions of a data set's test prompts; words are runs of letters and digits, lower-cased, and n-grams do not
cross from one completion to the next. Metrics ``distinct_1`` and ``distinct_2``; items without text have none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from crossfeed.metrics.completions import completion_texts, words_of
from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["DistinctSettings", "distinct"]


class DistinctSettings(MetricSettings):
    """Distinct-1 and distinct-2 of completions.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    measures = (
        Measure(
            "distinct_1",
            "Distinct words (distinct-1)",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset({"page"}),
        ),
        Measure(
            "distinct_2",
            "Distinct pairs of words (distinct-2)",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset({"page"}),
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Distinct:
        """Build the metric."""
        return _Distinct(self.items)


@dataclass(frozen=True)
class _Distinct:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        return [
            Measurement(entity, task, f"distinct_{n}", distinct(texts, n))
            for task in snapshot.tasks
            for entity, table in zip(snapshot.entities, snapshot.completions(task, self.items), strict=True)
            if (texts := completion_texts(table)) is not None
            for n in (1, 2)
        ]


def distinct(texts: Sequence[str], n: int) -> float:
    """Return the number of different n-grams over the number of all n-grams.

    Args:
        texts: Completions; n-grams do not cross from one to the next.
        n: Words in an n-gram.

    Returns:
        The ratio, between 0 and 1; 0 if there are no n-grams.

    Source:
        Li et al. (2016), "A Diversity-Promoting Objective Function for Neural Conversation Models".
    """
    total, different = 0, set()
    for text in texts:
        words = words_of(text)
        grams = list(zip(*(words[offset:] for offset in range(n)), strict=False))
        total += len(grams)
        different.update(grams)
    return len(different) / total if total else 0.0
