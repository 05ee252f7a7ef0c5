r"""Similarity of the entities' outputs: the paper's measure of homogenization (Section 6, Table 3).

All entities complete the same test prompts of a data set; completions are embedded as unit vectors
:math:`e_{k,i}` (sentence embeddings for text). For each pair of entities,

.. math:: \mathrm{similarity}(k, l) = \frac1m \sum_{i=1}^m \langle e_{k,i}, e_{l,i} \rangle,

over the m prompts for which both outputs have text: sentence encoders give two empty texts the similarity 1. Its model
is the pair, ``k+l``; its task is the data set. The share of a model's outputs without text is the metric
``empty_outputs``, which is recorded where there are any.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

from pydantic import Field

from crossfeed.metrics.completions import has_text
from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["SimilaritySettings"]


class SimilaritySettings(MetricSettings):
    """Cosine similarity between entities' outputs; metric ``similarity``, between -1 and 1.

    Attributes:
        items: Number of test prompts of each data set to complete, at most (the paper uses 200).
    """

    measures = (
        Measure(
            "similarity",
            "Similarity of outputs",
            TWO_DECIMALS,
            bounded=True,
            section="similarity",
            shown=frozenset({"terminal", "page", "curves"}),
            pairs=True,
            unit="mean cosine",
        ),
        Measure(
            "empty_outputs",
            "Share of outputs without text",
            TWO_DECIMALS,
            bounded=True,
            section="similarity",
            shown=frozenset({"page"}),
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Similarity:
        """Build the metric."""
        return _Similarity(self.items)


@dataclass(frozen=True)
class _Similarity:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        if len(snapshot.entities) < 2:
            return []
        numbers = []
        for task in snapshot.tasks:
            features = snapshot.embeddings(task, self.items)
            written = [has_text(table) for table in snapshot.completions(task, self.items)]
            for entity, own in zip(snapshot.entities, written, strict=True):
                if not own.all():
                    numbers.append(Measurement(entity, task, "empty_outputs", float(1 - own.mean())))
            for k, l in combinations(range(len(snapshot.entities)), 2):  # noqa: E741 - the paper's letter
                both = written[k] & written[l]
                if both.any():
                    pair = f"{snapshot.entities[k]}+{snapshot.entities[l]}"
                    cosine = float((features[k][both] * features[l][both]).sum(axis=1).mean())
                    numbers.append(Measurement(pair, task, "similarity", cosine))
        return numbers
