"""A mixture of Gaussians, fitted by expectation-maximisation (scikit-learn's ``GaussianMixture``)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from crossfeed.keys import uniforms
from crossfeed.learners.density.family import DensityState, Unfit
from crossfeed.learners.density.learner import DensityLearner
from crossfeed.learners.density.settings import GmmSettings
from crossfeed.learners.numeric import keyed_normals
from crossfeed.protocols import Array, LearnerContext

__all__ = ["GaussianMixtureDensity", "build"]

_COMPONENT = 1  # the salt of the number that chooses a component; 0 chose the prompt


def build(settings: GmmSettings, context: LearnerContext) -> DensityLearner:
    """Build the learner of such densities.

    Args:
        settings: The description.
        context: The cell's tasks.

    Raises:
        InvalidInput: A task has no points, or points of another dimension.
    """
    return DensityLearner.of(
        GaussianMixtureDensity(settings.components, settings.iterations, settings.ridge), settings, context
    )


@dataclass(frozen=True)
class GaussianMixtureDensity:
    """Mixtures of Gaussians; a state is ``weights`` (C,), ``means`` (C, d) and ``covariances`` (C, d, d).

    Attributes:
        components: C.
        iterations: Most steps of expectation-maximisation.
        ridge: Added to the diagonals of covariances.
    """

    components: int
    iterations: int
    ridge: float

    def start(self, dimension: int) -> DensityState:
        """Return one component, a standard normal.

        Args:
            dimension: d.
        """
        return {"weights": np.ones(1), "means": np.zeros((1, dimension)), "covariances": np.eye(dimension)[None]}

    def fit(self, points: Array, weights: Array, before: DensityState | None, key: int) -> DensityState:
        """Return the maximum of the likelihood near the parameters before; all points weigh the same.

        Args:
            points: ``(m, d)`` points.
            weights: Not used.
            before: Where the iteration begins; None begins with k-means.
            key: Seeds k-means.

        Raises:
            Unfit: There are fewer points than components, or a covariance is singular.
        """
        first = {} if before is None else _begin(before)
        model = GaussianMixture(
            self.components, max_iter=self.iterations, reg_covar=self.ridge, random_state=key % 2**32, **first
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # the requested number of steps is a fit
                model.fit(points)
        except ValueError as error:
            raise Unfit(
                f"{self.components} components do not fit {len(points)} points ({str(error).splitlines()[0]}); "
                "give larger training sets, fewer components, or a larger learner.ridge"
            ) from error
        return {"weights": model.weights_, "means": model.means_, "covariances": model.covariances_}

    def sample(self, state: DensityState, keys: NDArray[np.uint64]) -> Array:
        """Draw points, each of the component that its key chooses.

        Args:
            state: The parameters.
            keys: ``(n,)`` keys.

        Returns:
            ``(n, d)`` points.
        """
        means, roots = state["means"], np.linalg.cholesky(state["covariances"])
        edges = np.cumsum(state["weights"])[:-1]
        which = np.searchsorted(edges, uniforms(keys, _COMPONENT), side="right")
        normal = keyed_normals(keys, means.shape[1])
        return np.asarray(means[which] + np.einsum("nij,nj->ni", roots[which], normal))

    def log_density(self, state: DensityState, points: Array) -> Array:
        """Return the ``(n,)`` log densities of the mixture.

        Args:
            state: The parameters.
            points: ``(n, d)`` points.
        """
        model = GaussianMixture(len(state["weights"]))
        model.weights_, model.means_, model.covariances_ = state["weights"], state["means"], state["covariances"]
        model.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(state["covariances"])).transpose(0, 2, 1)
        return np.asarray(model.score_samples(points), dtype=np.float64)


def _begin(before: DensityState) -> dict[str, Array]:
    return {
        "weights_init": before["weights"] / before["weights"].sum(),
        "means_init": before["means"],
        "precisions_init": np.linalg.inv(before["covariances"]),
    }
