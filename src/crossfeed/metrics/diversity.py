r"""Distinct-n: how varied a model's completions are (Li et al., 2016, "A Diversity-Promoting Objective Function").

.. math:: \text{distinct-}n = \frac{\text{number of different } n\text{-grams}}{\text{number of } n\text{-grams}}

over all completions of a data set's test prompts; words are runs of letters and digits, lower-cased, and n-grams do not
cross from one completion to the next. Metrics ``distinct_1`` and ``distinct_2``; items without text have none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pyarrow as pa
from pydantic import Field

from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import MetricSettings

__all__ = ["DistinctSettings", "distinct"]

_WORD = re.compile(r"\w+")


class DistinctSettings(MetricSettings):
    """Distinct-1 and distinct-2 of completions.

    Attributes:
        items: How many test prompts of each data set are completed, at most.
    """

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Distinct:
        """Make the metric."""
        return _Distinct(self.items)


@dataclass(frozen=True)
class _Distinct:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        return [
            Measurement(entity, task, f"distinct_{n}", distinct(table.column("completion").to_pylist(), n))
            for task in snapshot.tasks
            for entity, table in zip(snapshot.entities, snapshot.completions(task, self.items), strict=True)
            if "completion" in table.column_names and pa.types.is_string(table.schema.field("completion").type)
            for n in (1, 2)
        ]


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams over all n-grams of some texts; 0 if there are none."""
    total, different = 0, set()
    for text in texts:
        words = _WORD.findall(text.lower())
        grams = list(zip(*(words[offset:] for offset in range(n)), strict=False))
        total += len(grams)
        different.update(grams)
    return len(different) / total if total else 0.0
