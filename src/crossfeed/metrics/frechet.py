r"""Fréchet distance between a model's outputs and real items, in the learner's features (Heusel et al., 2017).

With :math:`\mu, \Sigma` the mean and covariance of the features of m completions of test prompts, and
:math:`\mu_*, \Sigma_*` those of the m test items themselves,

.. math:: d^2 = |\mu - \mu_*|^2 + \operatorname{tr}\big(\Sigma + \Sigma_* - 2\,(\Sigma \Sigma_*)^{1/2}\big) .

The features have unit norm, so that the distance lies between 0 and 4. It falls with m even where nothing else changes
(Chong and Forsyth, 2020): compare numbers of equally many items alone. A task of fewer than two items has no number.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import TWO_DECIMALS, Measure, MetricSettings

__all__ = ["FrechetSettings", "frechet_distance"]


class FrechetSettings(MetricSettings):
    """Fréchet distance of completions to the test items; metric ``frechet``, the smaller the better.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
    """

    measures = (
        Measure(
            "frechet",
            "Fréchet distance to real items",
            TWO_DECIMALS,
            ("better", "worse"),
            section="quality",
            shown=frozenset(),
        ),
    )

    items: Annotated[int, Field(ge=2)] = 200

    def build(self) -> _Frechet:
        """Build the metric."""
        return _Frechet(self.items)


@dataclass(frozen=True)
class _Frechet:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            real = snapshot.reference_embeddings(task, self.items)
            if len(real) > 1:
                for entity, made in zip(snapshot.entities, snapshot.embeddings(task, self.items), strict=True):
                    numbers.append(Measurement(entity, task, "frechet", frechet_distance(made, real)))
        return numbers


def frechet_distance(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Return the squared Fréchet distance between the Gaussians of two sets of features.

    Args:
        first: ``(m, dimension)`` features, m at least 2.
        second: ``(n, dimension)`` features, n at least 2.

    Source:
        Heusel et al. (2017), "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium".
    """
    a, b = first.astype(np.float64), second.astype(np.float64)
    # With S = A'A and T = B'B the trace of (S T)^{1/2} is the sum of the singular values of A B': no root is taken of
    # rounding errors, and of fewer items than dimensions the matrix is as small as the items are few.
    inner = np.linalg.svd(_root(a) @ _root(b).T, compute_uv=False).sum()
    shift = a.mean(axis=0) - b.mean(axis=0)
    spread = a.var(axis=0, ddof=1).sum() + b.var(axis=0, ddof=1).sum() - 2 * inner
    return float(shift @ shift + max(spread, 0.0))


def _root(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a matrix A with as few rows as there can be, such that A'A is the covariance of features."""
    scaled: NDArray[np.float64] = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return scaled if len(scaled) <= scaled.shape[1] else np.asarray(np.linalg.qr(scaled, mode="r"))
