r"""Share of a task's n-grams that a model has no count of: how much of the language it can no longer write.

With :math:`G` the different n-grams of the task's test items, of the order of the model, and c the model's counts,

.. math:: \mathrm{unseen} = |\{g \in G : c(g) = 0\}| \, / \, |G| .

It is above 0 at generation 0, since no training set holds every n-gram. What is lost from then on is its rise: an
n-gram that no model writes any more does not come back from what models write (Shumailov et al., 2024).
"""

from __future__ import annotations

from dataclasses import dataclass

from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["UnseenNgramsSettings"]


class UnseenNgramsSettings(MetricSettings):
    """Share of the test items' different n-grams that an n-gram model has no count of; metric ``unseen_ngrams``."""

    measures = (
        Measure(
            "unseen_ngrams",
            "N-grams without a count",
            TWO_DECIMALS,
            ("better", "worse"),
            bounded=True,
            section="quality",
            shown=frozenset({"terminal", "page", "curves"}),
        ),
    )

    def build(self) -> _UnseenNgrams:
        """Build the metric."""
        return _UnseenNgrams()


@dataclass(frozen=True)
class _UnseenNgrams:
    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        return [
            Measurement(entity, task, "unseen_ngrams", share)
            for task in snapshot.tasks
            for entity, share in zip(snapshot.entities, snapshot.unseen(task), strict=True)
        ]
