"""Moments of a network of entities at given generations.

The solver is `crossfeed.theory.channel_path` where few channels carry all that is heard,
`crossfeed.theory.circulant_law` where the network looks the same from every reader, and `crossfeed.theory.lifted_path`
elsewhere.

Reference: paper, Theorems 1 and 2, for one pool in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from crossfeed.theory.accuracy import digits, tell
from crossfeed.theory.channel_path import channel_path
from crossfeed.theory.channels import Channels
from crossfeed.theory.checks import vector
from crossfeed.theory.circulant import Circulant
from crossfeed.theory.circulant_law import CirculantLaw
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.grams import Grams
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.lifted import LARGEST
from crossfeed.theory.lifted_path import LiftedPath
from crossfeed.theory.network_means import is_plain, mean_path
from crossfeed.theory.readouts import Conditional, Moments
from crossfeed.theory.specification import Conditioned, Specified


class NetworkLaw(Protocol):
    """The law of the estimates of a network at n generations, in the solvers' coordinates.

    Attributes:
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.
        there: True where an entity is there, shape (n, K).
    """

    @property
    def inflation(self) -> float:
        """At least one."""
        ...

    @property
    def there(self) -> Mask:
        """Shape (n, K)."""
        ...

    @property
    def mean(self) -> Array:
        """Shape (n, K, d)."""
        ...

    @property
    def covariance(self) -> Array:
        """Shape (n, K, d, d)."""
        ...

    def variance(self) -> Array:
        """Return the traces of the covariances of theta.

        Returns:
            Shape (n, K).
        """
        ...

    def dispersion(self) -> Array:
        """Return the mean over pairs of the squared distance of two estimates of theta.

        Returns:
            Shape (n,).
        """
        ...

    def gain_norms(self) -> Array:
        """Return the norms of the gains on the sources' estimates.

        Returns:
            Shape (n, K, K + 1).
        """
        ...

    def given(self, estimates: Estimates) -> tuple[Array, Array]:
        """Return mean and covariance given the real data's least-squares estimates.

        Args:
            estimates: the estimates of all sources.

        Returns:
            Shapes (n, K, d) and (n, K, d, d).
        """
        ...


class NetworkMoments(Moments):
    """Read-outs of a network.

    Args:
        ecosystem: the ecosystem in question.
        law: the law of its estimates.
    """

    def __init__(self, ecosystem: Specified, law: NetworkLaw) -> None:
        super().__init__(ecosystem)
        self._law = law

    @property
    def digits(self) -> int:
        """Number of decimal digits of these moments that rounding leaves, about."""
        return digits(self.specification, self._law.inflation)

    @cached_property
    def mean(self) -> Array:
        """E theta_tk, shape (n, K, d)."""
        return self._present(self.specification.outside(self._law.mean))

    @cached_property
    def covariance(self) -> Array:
        """Cov theta_tk of each entity, shape (n, K, d, d)."""
        return self._present(self._outside(self._law.covariance))

    @cached_property
    def bias_squared(self) -> Array:
        """|E theta_tk - theta*_k|^2, shape (n, K); zero without a truth, and so is every mean."""
        if not self.specification.truth_given:
            return self._present(np.zeros(self._law.there.shape))
        return self._present(((self.mean - self.specification.truths) ** 2).sum(axis=-1))

    @cached_property
    def variance(self) -> Array:
        """Trace of Cov theta_tk, shape (n, K)."""
        return self._present(self._law.variance())

    @property
    def _errors(self) -> Array:
        return np.stack([self.bias_squared, self.variance], axis=-1)

    def mspe(self, grams: npt.ArrayLike | Grams | None = None, truths: npt.ArrayLike | None = None) -> Array:
        """Return the mean squared prediction error of every entity on every task, E |X_m (theta_tk - theta*_m)|^2.

        Args:
            grams: as `crossfeed.theory.Moments.mspe`.
            truths: as `crossfeed.theory.Moments.mspe`.

        Returns:
            Shape (n, K, M).

        Raises:
            InvalidInput: if a shape does not fit, a number is not finite, or a task's matrix is no Gram matrix.
        """
        tasks, targets = self._tasks(grams, truths)
        mean, covariance = self._law.mean, self._law.covariance
        off = mean[..., None, :] - targets
        bias: Array = np.einsum("nkma,mab,nkmb->nkm", off, tasks, off, optimize=True)
        spread = covariance.reshape(*covariance.shape[:2], -1) @ tasks.reshape(len(tasks), -1).T
        return self._present(bias + spread)

    @cached_property
    def dispersion(self) -> Array:
        """Mean over pairs k != l of E |theta_tk - theta_tl|^2, shape (n,); zero for one entity."""
        return self._law.dispersion()

    def given(self, data: npt.ArrayLike) -> Conditional:
        """Return the law of the estimates given the real data, through the data's own least-squares estimates.

        Args:
            data: as `crossfeed.theory.Moments.given`.

        Returns:
            Conditional mean (n, K, d) and covariance (n, K, d, d).

        Raises:
            InvalidInput: if the shape does not fit or a number is not finite.

        Source: paper, Theorem 1.
        """
        spec = self.specification
        array = vector(data, "data", (spec.entities + 1, spec.dimension))
        mean, covariance = self._law.given(Estimates(spec.inside(array[:-1]), spec.inside(array[-1])))
        return Conditional(self._present(spec.outside(mean)), self._present(self._outside(covariance)))

    @cached_property
    def gain_norms(self) -> Array:
        """Frobenius norms of the blocks of M_t, shape (n, K, K + 1): private sources first, public last."""
        return self._present(self._law.gain_norms())

    def _outside(self, covariance: Array) -> Array:
        coordinates = self.specification.coordinates
        if coordinates is None:
            return covariance
        return coordinates.outward @ covariance @ coordinates.outward.T

    def _present(self, values: Array) -> Array:
        """Numbers of absent entities are none."""
        there = self._law.there
        if there.all():
            return values
        return np.where(there.reshape(there.shape + (1,) * (values.ndim - 2)), values, np.nan)


def network_moments(eco: Specified, generations: Sequence[int]) -> NetworkMoments:
    """Return the moments of a network at given generations.

    Args:
        eco: the ecosystem, with a network.
        generations: n whole numbers >= 0, in any order.

    Returns:
        Read-outs with n as the first axis.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides, or no solver reaches so far.

    Warns:
        IllConditioned: if rounding leaves few digits.

    Source: paper, Theorems 1 and 2.
    """
    spec = eco.specification.conditioned
    assert spec.network is not None  # noqa: S101 - for the type checker; called for networks alone
    path = _path(spec, generations)
    tell(spec, path.inflation)
    return NetworkMoments(eco, path)


def _path(spec: Conditioned, generations: Sequence[int]) -> NetworkLaw:
    channels = Channels.of(spec)
    if channels is not None:
        return channel_path(spec, channels, generations)
    circulant = Circulant.of(spec) if spec.history == "latest" else None
    if circulant is not None:
        return CirculantLaw(circulant, generations)
    large = spec.entities * spec.dimension > LARGEST and spec.history == "latest"
    return mean_path(spec, generations) if large and is_plain(spec) else LiftedPath(spec, generations)
