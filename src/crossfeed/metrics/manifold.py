r"""Precision and recall of a model's outputs (Kynkäänniemi et al., 2019): realism and coverage of the real items.

In the learner's features, a set X of items covers a point y if y is no farther from some :math:`x \in X` than x is from
its k-th nearest neighbour in X. With G the completions of m test prompts and R the m test items themselves,

.. math:: \mathrm{precision} = \frac{|\{g \in G : R \text{ covers } g\}|}{m}, \qquad
          \mathrm{recall} = \frac{|\{r \in R : G \text{ covers } r\}|}{m} .

A model that repeats one good item has high precision and no recall. Both depend on m: compare numbers of equally many
items alone. A task of k items or fewer has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["PrecisionRecallSettings", "covered"]


class PrecisionRecallSettings(MetricSettings):
    """Precision and recall of completions against the test items; metrics ``precision`` and ``recall``, from 0 to 1.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
        neighbours: k.
    """

    measures = (
        Measure(
            "precision",
            "Outputs that lie among real items (precision)",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset(),
        ),
        Measure(
            "recall",
            "Real items that lie among outputs (recall)",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset(),
        ),
    )

    items: Annotated[int, Field(ge=2)] = 200
    neighbours: Annotated[int, Field(ge=1)] = 3

    def build(self) -> _PrecisionRecall:
        """Build the metric."""
        return _PrecisionRecall(self.items, self.neighbours)


@dataclass(frozen=True)
class _PrecisionRecall:
    items: int
    neighbours: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            real = snapshot.reference_embeddings(task, self.items)
            if len(real) > self.neighbours:
                for entity, made in zip(snapshot.entities, snapshot.embeddings(task, self.items), strict=True):
                    for name, points, by in (("precision", made, real), ("recall", real, made)):
                        share = float(covered(points, by, self.neighbours).mean())
                        numbers.append(Measurement(entity, task, name, share))
        return numbers


def covered(points: NDArray[np.floating], by: NDArray[np.floating], neighbours: int) -> NDArray[np.bool_]:
    """Return ``(n,)`` truth values: True for each point that a set of items covers.

    Args:
        points: ``(n, dimension)`` features.
        by: ``(m, dimension)`` features of the items, m greater than k.
        neighbours: k; an item is not its own neighbour.

    Source:
        Kynkäänniemi et al. (2019), equation 1.
    """
    from scipy.spatial.distance import cdist  # takes as long to import as everything else here

    radii = np.partition(cdist(by, by), neighbours, axis=1)[:, neighbours]
    return np.asarray((cdist(points, by) <= radii).any(axis=1))
