r"""Similarity of a model's outputs to its own earlier ones, for the same prompts.

With :math:`e_{k,i}(t)` the unit-norm features of what entity k completes for prompt i at generation t,

.. math:: \mathrm{similarity}_k(t, s) = \frac1m \sum_{i=1}^m \langle e_{k,i}(t), e_{k,i}(s) \rangle .

``similarity_to_previous`` has for s the generation measured before t (with ``every: n`` the last multiple of n before
it), ``similarity_to_initial`` generation 0. Generations answer a prompt with the same random numbers, so that a model
that does not change has the value 1. Prompts to which it wrote no text at t or at s are left out, since encoders give
two empty texts the similarity 1; without any prompt left there is no number. Generation 0 has none, nor has a model at
its first one; a model that was not there at generation 0 has no similarity to it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from crossfeed.metrics.completions import has_text
from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["SelfSimilaritySettings"]


class SelfSimilaritySettings(MetricSettings):
    """Cosine of each model's outputs with its own earlier ones, between -1 and 1.

    Metrics ``similarity_to_previous`` and ``similarity_to_initial``.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    looks_back = True
    measures = (
        Measure(
            "similarity_to_previous",
            "Similarity to own outputs one measurement before",
            TWO_DECIMALS,
            bounded=True,
            section="similarity",
            shown=frozenset({"page"}),
            unit="mean cosine",
        ),
        Measure(
            "similarity_to_initial",
            "Similarity to own outputs at generation 0",
            TWO_DECIMALS,
            bounded=True,
            section="similarity",
            shown=frozenset({"page"}),
            unit="mean cosine",
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _SelfSimilarity:
        """Build the metric."""
        return _SelfSimilarity(self.items, self.every)


@dataclass(frozen=True)
class _SelfSimilarity:
    items: int
    every: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        if snapshot.generation == 0:
            for task in snapshot.tasks:
                snapshot.embeddings(task, self.items)  # kept with the outputs, for later generations
            return []
        previous = (snapshot.generation - 1) // self.every * self.every
        compared = {"similarity_to_previous": previous, "similarity_to_initial": 0}
        return [
            Measurement(entity, task, name, cosine)
            for name, earlier in compared.items()
            for task in snapshot.tasks
            for entity, cosine in self._cosines(snapshot, task, earlier)
        ]

    def _cosines(self, snapshot: Snapshot, task: str, earlier: int) -> Iterator[tuple[str, float]]:
        """Yield each entity's mean cosine with its own outputs of an earlier generation."""
        texts = snapshot.completions_at(earlier, task, self.items)
        features = snapshot.embeddings_at(earlier, task, self.items)
        now = zip(
            snapshot.entities,
            snapshot.completions(task, self.items),
            snapshot.embeddings(task, self.items),
            strict=True,
        )
        for entity, table, made in now:
            if entity in features:
                both = has_text(table) & has_text(texts[entity])
                if both.any():
                    yield entity, float((made[both] * features[entity][both]).sum(axis=1).mean())
