r"""A kernel density estimate with Gaussian kernels, as scikit-learn's ``KernelDensity`` has it.

.. math:: p(x) = \sum_i w_i \, \mathcal N(x; x_i, h^2 I) .

Densities are summed over all points at once. scikit-learn sums over a tree, and loses the tails to rounding: where a
density is about :math:`10^{-18}` its logarithm is wrong by whole nats, and a mean loss with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.special import logsumexp

from crossfeed.keys import uniforms
from crossfeed.learners.density.family import DensityState
from crossfeed.learners.density.learner import DensityLearner
from crossfeed.learners.density.settings import KdeSettings
from crossfeed.learners.numeric import keyed_normals
from crossfeed.protocols import Array, LearnerContext

__all__ = ["KernelDensity", "build"]

_POINT: Final = 1  # the salt of the number that chooses a point; 0 chooses the prompt
_AT_ONCE: Final = 2_000_000  # kernels that are evaluated together, 16 MB


def build(settings: KdeSettings, context: LearnerContext) -> DensityLearner:
    """Build the learner of such densities.

    Args:
        settings: The description.
        context: The cell's tasks.

    Raises:
        InvalidInput: A task has no points, or points of another dimension.
    """
    return DensityLearner.of(KernelDensity(settings.bandwidth), settings, context)


@dataclass(frozen=True)
class KernelDensity:
    """Kernel density estimates; a state is ``points`` (m, d), ``weights`` (m,) and ``bandwidth`` ().

    Attributes:
        bandwidth: h, or the name of a rule for it: ``scott`` or ``silverman``.
    """

    bandwidth: float | str

    def start(self, dimension: int) -> DensityState:
        """Return one kernel of bandwidth 1 at the origin.

        Args:
            dimension: d.
        """
        return {"points": np.zeros((1, dimension)), "weights": np.ones(1), "bandwidth": np.ones(())}

    def fit(self, points: Array, weights: Array, before: DensityState | None, key: int) -> DensityState:
        """Keep the points; the state before has no effect.

        Args:
            points: ``(m, d)`` points.
            weights: ``(m,)`` weights that sum to 1.
            before: Not used.
            key: Not used.
        """
        return {"points": points, "weights": weights, "bandwidth": np.array(self._width(*points.shape))}

    def sample(self, state: DensityState, keys: NDArray[np.uint64]) -> Array:
        """Draw points: the kernel's centre that each key chooses, plus noise of the kernel.

        Args:
            state: The parameters.
            keys: ``(n,)`` keys.

        Returns:
            ``(n, d)`` points.
        """
        edges = np.cumsum(state["weights"])[:-1]
        centres = state["points"][np.searchsorted(edges, uniforms(keys, _POINT), side="right")]
        return np.asarray(centres + state["bandwidth"] * keyed_normals(keys, centres.shape[1]))

    def log_density(self, state: DensityState, points: Array) -> Array:
        """Return the ``(n,)`` log densities of the estimate.

        Args:
            state: The parameters.
            points: ``(n, d)`` points.
        """
        centres, h = state["points"], float(state["bandwidth"])
        pieces = np.array_split(points, max(1, math.ceil(len(points) * len(centres) / _AT_ONCE)))
        sums = [
            logsumexp(cdist(piece, centres, "sqeuclidean") / (-2 * h**2), b=state["weights"], axis=1)
            for piece in pieces
        ]
        constant = points.shape[1] * (math.log(h) + math.log(2 * math.pi) / 2)
        return np.asarray(np.concatenate(sums) - constant, dtype=np.float64)

    def _width(self, m: int, d: int) -> float:
        if not isinstance(self.bandwidth, str):
            return self.bandwidth
        base = m if self.bandwidth == "scott" else m * (d + 2) / 4
        return float(base ** (-1 / (d + 4)))
