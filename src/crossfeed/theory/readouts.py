"""Moments and errors of every entity's estimate: the numbers that are read out, however they were solved for.

One pool that all read in step is solved by `crossfeed.theory.moments`, everything else by
`crossfeed.theory.network_moments`.

Reference: paper, Theorems 1 and 2.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossfeed.theory.checks import vector
from crossfeed.theory.grams import Grams
from crossfeed.theory.kernels import Array
from crossfeed.theory.sources import gram_source
from crossfeed.theory.specification import Specified


@dataclass(frozen=True)
class Conditional:
    """Law of the estimates given the real data (paper, Theorem 1): Gaussian, unless coins decide who trains.

    Attributes:
        mean: shape (n, K, d); (K, d) in the limit.
        covariance: shape (n, K, d, d); (K, d, d) in the limit.
    """

    mean: Array
    covariance: Array


class Moments(ABC):
    """Read-outs at n generations; obtained from `LinearEcosystem.moments`.

    Numbers of an entity that is not there, before it arrives or after it left, are nan.

    Args:
        ecosystem: the ecosystem in question.

    Attributes:
        ecosystem: the ecosystem whose moments these are.
        specification: its specification, in the coordinates that solvers work in.
    """

    def __init__(self, ecosystem: Specified) -> None:
        self.ecosystem = ecosystem
        self.specification = ecosystem.specification.conditioned

    @property
    @abstractmethod
    def digits(self) -> int:
        """Number of decimal digits of these moments that rounding leaves, about."""

    @property
    @abstractmethod
    def mean(self) -> Array:
        """E theta_tk, shape (n, K, d)."""

    @property
    @abstractmethod
    def covariance(self) -> Array:
        """Cov theta_tk of each entity, shape (n, K, d, d)."""

    @property
    def mse(self) -> Array:
        """E |theta_tk - theta*_k|^2, shape (n, K)."""
        return self.bias_squared + self.variance

    @property
    def bias_squared(self) -> Array:
        """|E theta_tk - theta*_k|^2, shape (n, K)."""
        return self._errors[..., 0]

    @property
    def variance(self) -> Array:
        """Trace of Cov theta_tk, shape (n, K)."""
        return self._errors[..., 1]

    @property
    @abstractmethod
    def _errors(self) -> Array:
        """Squared bias and variance, shape (n, K, 2)."""

    @abstractmethod
    def mspe(self, grams: npt.ArrayLike | Grams | None = None, truths: npt.ArrayLike | None = None) -> Array:
        """Return the mean squared prediction error of every entity on every task, E |X_m (theta_tk - theta*_m)|^2.

        Args:
            grams: X_m'X_m of M tasks, shape (M, d, d), or `crossfeed.theory.sources.feature_source` of their features;
                default: every entity's private Gram.
            truths: theta*_m, shape (M, d); default: every entity's truth, or the public truth where `grams` is given.

        Returns:
            Shape (n, K, M).

        Raises:
            InvalidInput: if a shape does not fit, a number is not finite, or a task's matrix is no Gram matrix.
        """

    @property
    @abstractmethod
    def dispersion(self) -> Array:
        """Mean over pairs k != l of E |theta_tk - theta_tl|^2, shape (n,); zero for one entity.

        See `crossfeed.theory.dispersion`.
        """

    @abstractmethod
    def given(self, data: npt.ArrayLike) -> Conditional:
        """Return the law of the estimates given the real data, through the data's own least-squares estimates.

        Args:
            data: shape (K + 1, d): X~_k^+ y~_k of every entity, then X_*^+ y_* of the public data.

        Returns:
            Conditional mean (n, K, d) and covariance (n, K, d, d).

        Raises:
            InvalidInput: if the shape does not fit or a number is not finite.

        Source: paper, Theorem 1. Fresh human data, being new at each generation, are not among the given data.
        """

    @property
    def influence(self) -> Array:
        """Share of each entity's expected prediction that comes from each source, shape (n, K, K + 1).

        Private sources first, public last; see `crossfeed.theory.influence`.
        """
        whole = self.gain_norms.sum(axis=2, keepdims=True)
        shares: Array = np.divide(self.gain_norms, whole, out=np.zeros_like(self.gain_norms), where=whole > 0)
        return shares

    @property
    @abstractmethod
    def gain_norms(self) -> Array:
        """Frobenius norms of the blocks of M_t, shape (n, K, K + 1): private sources first, public last."""

    def _tasks(self, grams: npt.ArrayLike | Grams | None, truths: npt.ArrayLike | None) -> tuple[Array, Array]:
        """Grams and truths of tasks, in the solvers' coordinates."""
        spec = self.specification
        source = None if grams is None else gram_source(grams, "grams", None, spec.dimension)
        if source is None:
            tasks = spec.private.all()
        else:
            tasks = source.all() if spec.coordinates is None else source.seen_in(spec.coordinates.outward).all()
        shape = (len(tasks), spec.dimension)
        if truths is not None:
            return tasks, spec.inside(vector(truths, "truths", shape))
        return tasks, spec.truths_inside if grams is None else np.broadcast_to(spec.inside(spec.truth_public), shape)
