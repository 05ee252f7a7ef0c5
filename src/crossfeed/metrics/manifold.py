r"""Precision, recall, density and coverage of a model's outputs: realism, and how much of the real items is there.

In the learner's features, a set X of items covers a point y if y is no farther from some :math:`x \in X` than x is from
its k-th nearest neighbour in X. With G the completions of m test prompts and R the m test items themselves,

.. math:: \mathrm{precision} = \frac{|\{g \in G : R \text{ covers } g\}|}{m}, \qquad
          \mathrm{recall} = \frac{|\{r \in R : G \text{ covers } r\}|}{m}

(Kynkäänniemi et al., 2019). One far output widens what G covers, and one far real item what R covers. Naeem et al.
(2020) use the real items' neighbourhoods alone, and count how many of them an output lies in:

.. math:: \mathrm{density} = \frac{1}{k m} \sum_{g \in G} |\{r \in R : |g - r| \le \varrho_k(r)\}|, \qquad
          \mathrm{coverage} = \frac{|\{r \in R : |g - r| \le \varrho_k(r) \text{ for some } g \in G\}|}{m}

with :math:`\varrho_k(r)` the distance of r from its k-th nearest neighbour in R. Density may be above 1; the expected
values for a perfect model are 1 and :math:`1 - 2^{-k}` for large m.

A model that repeats one good item has high precision and density, and neither recall nor coverage. All depend on m:
compare numbers of equally many items alone. A task of k items or fewer has none. An output without text counts as any
other: it lies where the encoder puts the empty text. Distances that equal a radius count, as in the paper's definition
of precision; the authors' package ``prdc`` compares with <, and gives 0 for items that are there k + 1 times or more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["DensityCoverageSettings", "PrecisionRecallSettings", "covered", "radii"]


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


class DensityCoverageSettings(MetricSettings):
    """Density and coverage of completions against the test items; metrics ``density`` and ``coverage``.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
        neighbours: k; Naeem et al. use 5.
    """

    measures = (
        Measure(
            "density",
            "Real neighbourhoods that an output lies in (density)",
            TWO_DECIMALS,
            section="quality",
            shown=frozenset({"page"}),
        ),
        Measure(
            "coverage",
            "Real items with outputs in their neighbourhood (coverage)",
            TWO_DECIMALS,
            bounded=True,
            section="quality",
            shown=frozenset({"page"}),
        ),
    )

    items: Annotated[int, Field(ge=2)] = 200
    neighbours: Annotated[int, Field(ge=1)] = 5

    def build(self) -> _DensityCoverage:
        """Build the metric."""
        return _DensityCoverage(self.items, self.neighbours)


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


@dataclass(frozen=True)
class _DensityCoverage:
    items: int
    neighbours: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            real = snapshot.reference_embeddings(task, self.items)
            if len(real) > self.neighbours:
                around = radii(real, self.neighbours)
                for entity, made in zip(snapshot.entities, snapshot.embeddings(task, self.items), strict=True):
                    within = _distances(made, real) <= around
                    density = float(within.sum(axis=1).mean() / self.neighbours)
                    numbers.append(Measurement(entity, task, "density", density))
                    numbers.append(Measurement(entity, task, "coverage", float(within.any(axis=0).mean())))
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
    return np.asarray((_distances(points, by) <= radii(by, neighbours)).any(axis=1))


def radii(items: NDArray[np.floating], neighbours: int) -> Array:
    """Return ``(m,)`` distances of items to their k-th nearest neighbours among each other.

    Args:
        items: ``(m, dimension)`` features, m greater than k.
        neighbours: k; an item is not its own neighbour.
    """
    return np.partition(_distances(items, items), neighbours, axis=1)[:, neighbours]


def _distances(points: NDArray[np.floating], items: NDArray[np.floating]) -> Array:
    from scipy.spatial.distance import cdist  # takes as long to import as everything else here

    return np.asarray(cdist(points, items))
