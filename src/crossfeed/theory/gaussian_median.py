r"""The typical Gaussian model that reads its own samples alone: the law of its log standard deviation.

A Gaussian fitted to n draws of a Gaussian has :math:`\hat\sigma^2 = \kappa\,\sigma^2 \chi^2_{n-1}`, with
:math:`\kappa = 1/n` for maximum likelihood and :math:`1/(n-1)` for the unbiased variance, whatever the mean. So after t
generations

.. math:: \log \sigma_t = \log \sigma_0 + \tfrac12 \sum_{s=1}^t \log(\kappa\,\chi^2_{n-1,s}),

a sum of independent equal terms of mean :math:`\tfrac12 (\log 2\kappa + \psi(\tfrac{n-1}{2}))` and variance
:math:`\tfrac14 \psi'(\tfrac{n-1}{2})`. Its mean falls although :math:`\mathrm E\,\sigma_t^2` does not (unbiased): the
typical model collapses, a few replicates carry the mean. The median of :math:`\sigma_t` is near
:math:`\exp \mathrm E \log \sigma_t`: the distribution function of the standardised sum differs from the normal one by
at most :math:`0.4748\, \rho / \sqrt t` (Berry and Esseen), with :math:`\rho` the third absolute standardised moment of
one term.

Source: the law of sample variances (Cochran); the constant is that of Shevtsova, On the absolute constants in the
Berry-Esseen type inequalities for identically distributed summands, arXiv 1111.6554 (2011).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

__all__ = ["LogDeviation"]

_BERRY_ESSEEN = 0.4748

# Nodes of the integral of a third absolute moment.
_NODES = 20_001


@dataclass(frozen=True)
class LogDeviation:
    """The law of log(sigma_t / sigma_0) of one Gaussian in one dimension that reads its own n newest items alone.

    Attributes:
        draws: n, at least 2.
        unbiased: True for the unbiased variance, False for maximum likelihood.

    Raises:
        InvalidInput: there are fewer than two draws.
    """

    draws: int
    unbiased: bool = False

    def __post_init__(self) -> None:
        if self.draws < 2:
            raise InvalidInput(f"draws is {self.draws}; give at least 2: one draw has no variance")

    @property
    def step(self) -> float:
        """Expected change of log sigma in a generation; negative. Exact."""
        from scipy import special

        free = self.draws - 1
        divisor = free if self.unbiased else self.draws
        return float(np.log(2 / divisor) + special.digamma(free / 2)) / 2

    @property
    def variance(self) -> float:
        """Variance of the change of log sigma in a generation. Exact."""
        from scipy import special

        return float(special.polygamma(1, (self.draws - 1) / 2)) / 4

    def mean(self, generations: Array | int) -> Array:
        """Return E log(sigma_t / sigma_0).

        Args:
            generations: t, of any shape.

        Returns:
            In the shape of t. Exact.
        """
        return np.asarray(self.step * np.asarray(generations))

    def quantile(self, probability: float, generations: Array | int) -> Array:
        """Approximate quantiles of sigma_t / sigma_0 by the normal law of its logarithm.

        Args:
            probability: the probability of a smaller value; 0.5 for the median.
            generations: t, of any shape.

        Returns:
            In the shape of t. An approximation: it is the quantile of a probability that differs by at most `error`.
        """
        from scipy import special

        t = np.asarray(generations, dtype=np.float64)
        return np.asarray(np.exp(self.step * t + special.ndtri(probability) * np.sqrt(self.variance * t)))

    def error(self, generations: Array | int) -> Array:
        """Bound the error of the normal law's probabilities.

        Args:
            generations: t >= 1, of any shape.

        Returns:
            In the shape of t.
        """
        return np.asarray(_BERRY_ESSEEN * self._third / np.sqrt(np.asarray(generations, dtype=np.float64)))

    @cached_property
    def _third(self) -> float:
        """E |Z|^3 of one standardised term."""
        from scipy import special

        shape = (self.draws - 1) / 2
        deviation = np.sqrt(float(special.polygamma(1, shape)))
        # Above, the density falls faster than a normal one; below, as exp(shape x).
        z = np.linspace(-12 - 60 / np.sqrt(shape), 12, _NODES)
        x = special.digamma(shape) + deviation * z
        density = deviation * np.exp(shape * x - np.exp(x) - special.gammaln(shape))
        return float(np.trapezoid(np.abs(z) ** 3 * density, z))
