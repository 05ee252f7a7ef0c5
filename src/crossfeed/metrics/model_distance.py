r"""Distance between models: the norm of the matrix of their pairwise distances.

With :math:`e_{k,i}` the unit-norm features of what entity k completes for prompt i,

.. math:: D_{kl} = \frac1m \sum_{i=1}^m |e_{k,i} - e_{l,i}| , \qquad
          \mathrm{distance} = \frac{\|D\|_F}{\sqrt{K (K - 1)}} ,

the root mean square over the pairs of models, between 0 (all write the same) and 2. A matrix of distances between
models over a set of prompts is the object of Helm et al. (2024), "Tracking the perspectives of interacting language
models", with Frobenius norms of the differences of feature matrices in it; those are functions of the mean cosine alone
(the metric ``similarity``), hence the mean distance here. Its norm, divided so that ecosystems of different K can be
compared, is our definition.

The mean is over the prompts for which both outputs have text. Pairs without one are left out of the norm; if that
leaves none there is no number. Its model is `crossfeed.protocols.ALL_MODELS`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations
from typing import Annotated

import numpy as np
from pydantic import Field

from crossfeed.metrics.completions import has_text
from crossfeed.protocols import ALL_MODELS, Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["ModelDistanceSettings"]


class ModelDistanceSettings(MetricSettings):
    """Root mean square distance between models' outputs for the same prompts; metric ``model_distance``, from 0 to 2.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    measures = (
        Measure(
            "model_distance",
            "Distance between models",
            TWO_DECIMALS,
            section="similarity",
            shown=frozenset({"page"}),
            pairs=True,
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _ModelDistance:
        """Build the metric."""
        return _ModelDistance(self.items)


@dataclass(frozen=True)
class _ModelDistance:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        if len(snapshot.entities) < 2:
            return []
        distances = {task: self._distances(snapshot, task) for task in snapshot.tasks}
        return [
            Measurement(ALL_MODELS, task, "model_distance", math.sqrt(np.mean(np.square(of_pairs))))
            for task, of_pairs in distances.items()
            if of_pairs
        ]

    def _distances(self, snapshot: Snapshot, task: str) -> list[float]:
        """Return the mean distance of each pair of entities, over the prompts that both answered."""
        written = [has_text(table) for table in snapshot.completions(task, self.items)]
        outputs = list(zip(snapshot.embeddings(task, self.items), written, strict=True))
        return [
            float(np.linalg.norm(one[both] - other[both], axis=1).mean())
            for (one, known), (other, there) in combinations(outputs, 2)
            if (both := known & there).any()
        ]
