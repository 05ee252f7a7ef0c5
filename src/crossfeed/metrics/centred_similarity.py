r"""Similarity of the entities' outputs to each other, after the common part of all outputs is taken away.

Features of texts share a direction (everything is English, everything answers the same prompts), so that cosines are
high whatever the models do. With :math:`c` the mean of all models' features at generation 0 on a data set,

.. math:: \mathrm{similarity}(k, l) = \frac1m \sum_{i=1}^m
    \frac{\langle e_{k,i} - c, \; e_{l,i} - c \rangle}{|e_{k,i} - c| \, |e_{l,i} - c|} .

The centre is that of generation 0 at all generations, so that a drift that all models share is seen as one: models
that go the same way grow alike. (Removing the mean of embeddings is the first step of Mu and Viswanath, 2018,
"All-but-the-Top".) The mean is over the prompts for which both outputs have text, as in the metric ``similarity``; an
output at the centre itself has no direction, and its prompt is left out, too. Its model is the pair, ``k+l``.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field

from crossfeed.metrics.completions import has_text
from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["CentredSimilaritySettings"]


class CentredSimilaritySettings(MetricSettings):
    """Cosine between entities' outputs, centred by the mean of generation 0; metric ``centred_similarity``.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    looks_back = True
    measures = (
        Measure(
            "centred_similarity",
            "Centred similarity of outputs",
            TWO_DECIMALS,
            bounded=True,
            section="similarity",
            shown=frozenset({"page", "curves"}),
            pairs=True,
            unit="mean cosine",
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _CentredSimilarity:
        """Build the metric."""
        return _CentredSimilarity(self.items)


@dataclass(frozen=True)
class _CentredSimilarity:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        return [
            Measurement(pair, task, "centred_similarity", cosine)
            for task in snapshot.tasks
            for pair, cosine in self._cosines(snapshot, task).items()
        ]

    def _cosines(self, snapshot: Snapshot, task: str) -> dict[str, float]:
        """Return the mean cosine of each pair of entities; empty if nothing was written at generation 0."""
        # Also of one entity alone: it is kept with the outputs, and others may arrive.
        features, texts = snapshot.embeddings(task, self.items), snapshot.completions(task, self.items)
        centre = self._centre(snapshot, task)
        if centre is None:
            return {}
        directions = {}
        for entity, made, table in zip(snapshot.entities, features, texts, strict=True):
            shifted = made - centre
            length = np.linalg.norm(shifted, axis=1)
            known = has_text(table) & (length > 0)
            directions[entity] = known, shifted / np.where(length > 0, length, 1.0)[:, None]
        cosines = {}
        for (k, (known, own)), (l, (there, others)) in combinations(directions.items(), 2):  # noqa: E741 - the paper's
            both = known & there
            if both.any():
                cosines[f"{k}+{l}"] = float((own[both] * others[both]).sum(axis=1).mean())
        return cosines

    def _centre(self, snapshot: Snapshot, task: str) -> Array | None:
        """Return the ``(dimension,)`` mean feature of all outputs with text at generation 0; None if there are none."""
        if snapshot.generation == 0:
            features = dict(zip(snapshot.entities, snapshot.embeddings(task, self.items), strict=True))
            texts = dict(zip(snapshot.entities, snapshot.completions(task, self.items), strict=True))
        else:
            features = dict(snapshot.embeddings_at(0, task, self.items))
            texts = dict(snapshot.completions_at(0, task, self.items))
        written = [made[has_text(texts[entity])] for entity, made in features.items()]
        rows = np.concatenate(written) if written else np.empty((0, 0))
        return rows.mean(axis=0, dtype=np.float64) if len(rows) else None
