"""The limit of a large network in step whose long run is a short series (`crossfeed.theory.in_step_series`).

Reference: paper, Theorem 3, for one pool in step.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfeed.theory import source_gains
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.in_step_series import InStepSeries
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.lifted import Sources
from crossfeed.theory.specification import Conditioned


@dataclass(frozen=True, eq=False)
class InStepLimit:
    """The law of the estimates of a network in step in the limit (`crossfeed.theory.network_moments.NetworkLaw`).

    Attributes:
        spec: the specification.
        series: sums of the long run.
    """

    spec: Conditioned
    series: InStepSeries

    @property
    def inflation(self) -> float:
        """Factor by which rounding errors of Gram matrices are multiplied, at most."""
        return float(self.series.step.gains.inflation.max())

    @property
    def there(self) -> Mask:
        """True for all, shape (1, K)."""
        return np.ones((1, self.spec.entities), dtype=np.bool_)

    @property
    def mean(self) -> Array:
        """Shape (1, K, d)."""
        return self._mean(self._sources)

    @cached_property
    def covariance(self) -> Array:
        """Shape (1, K, d, d)."""
        real = source_gains.spread(self.series.gains, self._sources.covariances)
        return (real + self._noise)[None]

    def variance(self) -> Array:
        """Return the traces of the covariances of theta.

        Returns:
            Shape (1, K).
        """
        outwards = self.spec.outwards
        variance: Array = np.trace(outwards(outwards(self.covariance).swapaxes(-1, -2)), axis1=-2, axis2=-1)
        return variance

    def dispersion(self) -> Array:
        """Return the mean over pairs of the squared distance of two estimates of theta.

        Returns:
            Shape (1,).
        """
        K, outwards, gains = self.spec.entities, self.spec.outwards, self.series.gains
        summed = source_gains.spread(gains.sum(axis=0)[None], self._sources.covariances)[0]
        if self._noisy:
            summed = summed + self.series.covariance_of_sum
        together = np.trace(outwards(outwards(summed).T))
        means = self.spec.outside(self.mean[0])
        offset = ((means - means.mean(axis=0)) ** 2).sum()
        apart = 2.0 * (K * self.variance().sum() - together + K * offset) / (K * (K - 1))
        return np.array([max(0.0, float(apart))])

    def gain_norms(self) -> Array:
        """Return the norms of the gains on the sources' estimates.

        Returns:
            Shape (1, K, K + 1).
        """
        return source_gains.gain_norms(self.spec, self.series.gains)[None]

    def given(self, estimates: Estimates) -> tuple[Array, Array]:
        """Return mean and covariance given the real data's least-squares estimates.

        Args:
            estimates: the estimates of all sources.

        Returns:
            Shapes (1, K, d) and (1, K, d, d).
        """
        known = Sources.of(self.spec, estimates.private, estimates.public, given=True)
        return self._mean(known), np.array([self._noise])

    @property
    def full_rank(self) -> Mask:
        """Shape (K,), True where an entity's training set determines its estimate."""
        mask: Mask = ~self.series.step.gains.singular
        return mask

    def unbiased(self, tolerance: float) -> Mask:
        """Tell estimates whose mean is the truth, whatever truth all data follow.

        Args:
            tolerance: share of the truth below which an error counts as rounding.

        Returns:
            Shape (K,).
        """
        return source_gains.unbiased(self.spec, self.series.gains, tolerance)

    def _mean(self, sources: Sources) -> Array:
        mean: Array = self.series.gains @ sources.means.ravel()
        return mean[None]

    @cached_property
    def _sources(self) -> Sources:
        expected = Estimates.expected(self.spec)
        return Sources.of(self.spec, expected.private, expected.public, given=False)

    @property
    def _noisy(self) -> bool:
        """True if noise that is new at each generation lasts; what a pool keeps averages it out."""
        return self.spec.history == "latest"

    @property
    def _noise(self) -> Array:
        return self.series.covariances if self._noisy else np.zeros_like(self.series.covariances)
