r"""A Gaussian with the weighted mean and covariance of its training set.

.. math:: \mu = \sum_i w_i x_i, \qquad \Sigma = \frac{1}{c} \sum_i w_i (x_i - \mu)(x_i - \mu)',

with weights that sum to 1; c = 1 is the maximum-likelihood estimate, and :math:`c = 1 - \sum_i w_i^2` makes the
estimate unbiased for independent points of one Gaussian (with equal weights: division by n - 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from crossfeed.learners.density.family import DensityState, Unfit
from crossfeed.learners.density.learner import DensityLearner
from crossfeed.learners.density.settings import GaussianSettings
from crossfeed.learners.numeric import keyed_normals, predictors
from crossfeed.protocols import Array, LearnerContext

__all__ = ["GaussianDensity", "build"]


def build(settings: GaussianSettings, context: LearnerContext) -> DensityLearner:
    """Build the learner of such densities.

    Args:
        settings: The description.
        context: The cell's tasks.

    Raises:
        InvalidInput: A task has no points, or points of another dimension.
    """
    return DensityLearner.of(GaussianDensity(settings.covariance == "unbiased"), settings, context)


@dataclass(frozen=True)
class GaussianDensity:
    """Gaussian densities; a state is ``mean`` (d,) and ``covariance`` (d, d).

    Attributes:
        unbiased: True for the unbiased estimate of the covariance, False for the maximum-likelihood one.
    """

    unbiased: bool

    def start(self, dimension: int) -> DensityState:
        """Return mean 0 and covariance I.

        Args:
            dimension: d.
        """
        return {"mean": np.zeros(dimension), "covariance": np.eye(dimension)}

    def fit(self, points: Array, weights: Array, before: DensityState | None, key: int) -> DensityState:
        """Return the weighted moments; the state before has no effect.

        Args:
            points: ``(m, d)`` points.
            weights: ``(m,)`` weights that sum to 1.
            before: Not used.
            key: Not used.

        Raises:
            Unfit: The covariance is not positive definite.
        """
        mean = weights @ points
        apart = points - mean
        scale = 1.0 - float(weights @ weights) if self.unbiased else 1.0
        covariance = apart.T @ (weights[:, None] * apart) / max(scale, np.finfo(float).tiny)
        spread = np.linalg.eigvalsh(covariance)
        if not spread[0] > len(spread) * np.finfo(float).eps * spread[-1]:
            raise Unfit(
                f"the covariance of {len(points)} points in {points.shape[1]} dimensions is not positive definite; "
                "give larger training sets, or end before the model has collapsed"
            )
        return {"mean": mean, "covariance": covariance}

    def sample(self, state: DensityState, keys: NDArray[np.uint64]) -> Array:
        """Draw points: the mean plus a root of the covariance times the first d normals of each key's stream.

        Args:
            state: The parameters.
            keys: ``(n,)`` keys.

        Returns:
            ``(n, d)`` points.
        """
        normal = keyed_normals(keys, len(state["mean"]))
        root = np.asarray(np.linalg.cholesky(state["covariance"]), dtype=np.float64)
        return np.asarray(predictors(normal, root) + state["mean"], dtype=np.float64)

    def log_density(self, state: DensityState, points: Array) -> Array:
        """Return the ``(n,)`` log densities of a multivariate normal.

        Args:
            state: The parameters.
            points: ``(n, d)`` points.
        """
        # From its root, since SciPy refuses a nearly singular matrix, and collapse leads there.
        covariance = stats.Covariance.from_cholesky(np.linalg.cholesky(state["covariance"]))
        return np.atleast_1d(stats.multivariate_normal.logpdf(points, state["mean"], covariance))
