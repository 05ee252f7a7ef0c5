"""The interface of a family of densities: fitted to weighted points, sampled by keys, evaluated at points."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from crossfeed.protocols import Array

__all__ = ["DensityFamily", "DensityState", "Unfit"]

DensityState = Mapping[str, Array]
"""The parameters of one density, by name."""


class Unfit(Exception):
    """A training set that has no fit; the message says why and what to do."""


class DensityFamily(Protocol):
    """A family of densities on R^d; none of its functions changes a state."""

    def start(self, dimension: int) -> DensityState:
        """Return the density before anything is learnt, a standard normal one where the family has one.

        Args:
            dimension: d.
        """
        ...

    def fit(self, points: Array, weights: Array, before: DensityState | None, key: int) -> DensityState:
        """Fit the parameters to weighted points.

        Args:
            points: ``(m, d)`` points.
            weights: ``(m,)`` weights that sum to 1.
            before: The parameters of the previous generation; None at generation 0.
            key: Seeds what is random in fitting.

        Raises:
            Unfit: There is no fit.
        """
        ...

    def sample(self, state: DensityState, keys: NDArray[np.uint64]) -> Array:
        """Draw ``(n, d)`` points; each depends on the state and its own key alone.

        Args:
            state: The parameters.
            keys: ``(n,)`` keys.
        """
        ...

    def log_density(self, state: DensityState, points: Array) -> Array:
        """Return the ``(n,)`` logarithms of the density at points, in nats.

        Args:
            state: The parameters.
            points: ``(n, d)`` points.
        """
        ...
