r"""Metrics of distributions over symbols, computed from the models themselves, without any sampling.

With p the fitted distribution of a model over d symbols and p* the truth of a task, each a mean over replicates:

``heterozygosity``
    :math:`1 - \sum_i p_i^2`, the probability that two items differ: 0 if the model writes one symbol only. In
    population genetics the expected heterozygosity of a gene (Nei, 1973).

``surviving_symbols``
    The number of symbols with :math:`p_i > 0`. With a prior above 0 none is ever lost.

``entropy``
    :math:`-\sum_i p_i \log p_i` in nats (Shannon, 1948).

``total_variation``
    :math:`\frac12 \sum_i |p_i - p^*_i|`, from 0 to 1: the largest difference of the probabilities of one event.

The first three are of a model alone and stand with the tasks that it owns; the last one is of a model and a task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from crossfeed.protocols import Array, Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings, Place
from crossfeed.tasks.categorical import CategoricalTask

__all__ = ["EntropySettings", "HeterozygositySettings", "SurvivingSymbolsSettings", "TotalVariationSettings"]

_SHOWN: Final[frozenset[Place]] = frozenset({"terminal", "page", "curves"})


class HeterozygositySettings(MetricSettings):
    """Probability that two items of a model differ; metric ``heterozygosity``."""

    measures = (
        Measure("heterozygosity", "Heterozygosity", TWO_DECIMALS, bounded=True, section="similarity", shown=_SHOWN),
    )

    def build(self) -> _OfModel:
        """Build the metric."""
        return _OfModel("heterozygosity", lambda p: 1.0 - np.einsum("rd,rd->r", p, p))


class SurvivingSymbolsSettings(MetricSettings):
    """Number of symbols that a model can still write; metric ``surviving_symbols``."""

    measures = (Measure("surviving_symbols", "Symbols that survive", 0.5, section="similarity", shown=_SHOWN),)

    def build(self) -> _OfModel:
        """Build the metric."""
        return _OfModel("surviving_symbols", lambda p: np.count_nonzero(p, axis=1))


class EntropySettings(MetricSettings):
    """Entropy of a model's distribution over symbols; metric ``entropy``."""

    measures = (Measure("entropy", "Entropy", TWO_DECIMALS, section="similarity", shown=_SHOWN, unit="nats"),)

    def build(self) -> _OfModel:
        """Build the metric."""
        return _OfModel("entropy", _entropy)


class TotalVariationSettings(MetricSettings):
    """Total variation distance of a model from each task's truth; metric ``total_variation``."""

    measures = (
        Measure(
            "total_variation",
            "Distance from the truth (total variation)",
            TWO_DECIMALS,
            ("better", "worse"),
            bounded=True,
            section="quality",
            shown=_SHOWN,
        ),
    )

    def build(self) -> _TotalVariation:
        """Build the metric."""
        return _TotalVariation()


@dataclass(frozen=True)
class _OfModel:
    """A number of each model; `of` gives it for each replicate of ``(R, d)`` probabilities."""

    name: str
    of: Callable[[Array], Array]

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        return [
            Measurement(entity, task, self.name, value)
            for entity, probabilities in zip(snapshot.entities, snapshot.probabilities(), strict=True)
            for value in [float(np.mean(self.of(probabilities)))]
            for task in snapshot.owned[entity]
            if task in snapshot.tasks
        ]


@dataclass(frozen=True)
class _TotalVariation:
    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        fitted = list(zip(snapshot.entities, snapshot.probabilities(), strict=True))
        return [
            Measurement(entity, name, "total_variation", _distance(probabilities, task.truth))
            for name, task in snapshot.tasks.items()
            if isinstance(task, CategoricalTask)
            for entity, probabilities in fitted
        ]


def _distance(probabilities: Array, truth: Array) -> float:
    return float(np.abs(probabilities - truth).sum(axis=1).mean() / 2)


def _entropy(probabilities: Array) -> Array:
    known = np.where(probabilities > 0, probabilities, 1.0)
    entropy: Array = -np.einsum("rd,rd->r", probabilities, np.log(known))
    return entropy
