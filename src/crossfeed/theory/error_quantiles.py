"""The law of an entity's squared error: quantiles, and how many replicates tell two laws apart.

Given the features, theta - theta* is Gaussian with bias b and covariance C, so that e = |theta - theta*|^2 is a
generalised chi-square with the cumulant function, over the eigenvalues l_i of C and the components b_i of the bias,

    K(s) = sum_i ( -log(1 - 2 l_i s) / 2 + b_i^2 s / (1 - 2 l_i s) ),      kappa_2 = 2 tr C^2 + 4 b'C b,

    P(e > x) = (1 / 2 pi i) int exp(K(s) - s x) / s ds,

taken along a hyperbola around the branch cut from 1 / (2 max l) to the right, on which the integrand decays: as
exp(-s x), and as a Gaussian where a component is nearly certain. The trapezoid rule in the parameter of the hyperbola,
stretched by a hyperbolic sine, then converges geometrically, and one contour serves every x.

Reference: Imhof, Computing the distribution of quadratic forms in normal variables, Biometrika 48 (1961), for the law;
Weideman and Trefethen, Parabolic and hyperbolic contours for computing the Bromwich integral, Math. Comp. 76 (2007),
for the contour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

#: Probabilities of the quantiles that are shown.
BANDS = (0.05, 0.5, 0.95)

# Nodes of the contour, the end of its parameter, and its asymptotic slope: real over imaginary part.
_NODES, _END, _SLOPE = 320, 12.0, 0.4

# The contour crosses the real axis at this part of the way to the branch point, or of one over the standard deviation.
_CROSSING = 0.5

# Terms of a larger sum than this are those of an x far below anything that occurs.
_TOO_LOW = 20.0

# Points s < 0 at which the lower end of the bracket of a quantile is bounded.
_LEFT = 160

# Halvings of the bracket of a quantile.
_HALVINGS = 42

# Eigenvalues below this part of the whole error are left out, with the part of the bias that they would spread.
_NOTHING = 1e-14


@dataclass(frozen=True)
class ErrorLaw:
    """The laws of n squared errors, each scaled by its mean.

    Attributes:
        mean: E e, shape (n,).
        variance: Var e, shape (n,).
        contour: s at the nodes, shape (n, m).
        exponents: K(s), shape (n, m).
        steps: ds / (2 pi i s), shape (n, m).
        left: numbers s < 0, shape (n, l).
        left_exponents: K(s) there, shape (n, l).
    """

    mean: Array
    variance: Array
    contour: npt.NDArray[np.complex128]
    exponents: npt.NDArray[np.complex128]
    steps: npt.NDArray[np.complex128]
    left: Array
    left_exponents: Array

    @classmethod
    def of(cls, bias: Array, covariance: Array) -> ErrorLaw:
        """Return the laws of |theta - theta*|^2.

        Args:
            bias: E theta - theta*, shape (n, d).
            covariance: Cov theta, shape (n, d, d).

        Returns:
            The laws.

        Raises:
            InvalidInput: if the shapes do not fit.
        """
        if bias.shape != covariance.shape[:-1] or covariance.shape[-1] != bias.shape[-1]:
            raise InvalidInput(
                f"bias and covariance must be (n, d) and (n, d, d); received {bias.shape}, {covariance.shape}"
            )
        values, vectors = np.linalg.eigh(covariance)
        values, square = np.maximum(values, 0.0), (bias[:, None] @ vectors)[:, 0] ** 2
        mean = values.sum(axis=1) + square.sum(axis=1)
        unit = np.where(mean > 0, mean, 1.0)[:, None]
        values_of_one, square_of_one = values / unit, square / unit
        return cls(
            mean,
            (2 * values**2 + 4 * square * values).sum(axis=1),
            *_contour(values_of_one, square_of_one),
            *_left(values_of_one, square_of_one),
        )

    def above(self, values: Array) -> Array:
        """Return P(e > x).

        Far below the mean it is inexact where components are nearly certain; `quantiles` does not ask there.

        Args:
            values: x, shape (m, n): m for each law.

        Returns:
            Shape (m, n).
        """
        scaled = (values / np.where(self.mean > 0, self.mean, 1.0))[..., None]
        with np.errstate(under="ignore", over="ignore", invalid="ignore"):
            terms = self.steps * np.exp(self.exponents - self.contour * scaled)
            far_below = ~(np.abs(terms).sum(axis=-1) < _TOO_LOW)
            beyond = np.clip(np.real(terms).sum(axis=-1), 0.0, 1.0)
        return np.where(far_below, 1.0, beyond)

    def quantiles(self, probabilities: Sequence[float]) -> Array:
        """Return the errors that are undercut with given probabilities.

        Args:
            probabilities: m numbers between 0 and 1.

        Returns:
            Shape (m, n).
        """
        wanted, spread = 1.0 - np.asarray(probabilities)[:, None], np.sqrt(self.variance)
        # P(e < x) <= exp(K(s) - s x) for s < 0 (Chernoff): below this bound the contour, inexact there, is not asked.
        log_p = np.log(np.asarray(probabilities))[:, None, None]
        low = np.maximum(((self.left_exponents - log_p) / self.left).max(axis=-1), 0.0) * self.mean
        high = np.tile(self.mean + 12.0 * spread, (len(wanted), 1))
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            beyond = self.above(middle) > wanted
            low, high = np.where(beyond, middle, low), np.where(beyond, high, middle)
        certain = spread <= _NOTHING * self.mean
        return np.where(certain, self.mean, (low + high) / 2)


ComplexArray = npt.NDArray[np.complex128]


def _contour(values: Array, square: Array) -> tuple[ComplexArray, ComplexArray, ComplexArray]:
    """Return s, K(s) and ds / (2 pi i s) at the nodes, for errors of mean one."""
    deviation = np.sqrt(np.maximum((2 * values**2 + 4 * square * values).sum(axis=1), _NOTHING))
    largest = np.maximum(values.max(axis=1), _NOTHING)
    crossing = _CROSSING * np.minimum(1.0 / deviation, 0.5 / largest)[:, None]
    tau, step = np.linspace(-_END, _END, _NODES, retstep=True)
    y, slope = np.sinh(tau), np.cosh(tau)
    s = crossing * (1.0 + 1j * y + _SLOPE * (slope - 1.0))
    ds = crossing * (1j * slope + _SLOPE * y) * step
    inside = 1.0 - 2.0 * values[:, None, :] * s[..., None]
    K = (-0.5 * np.log(inside) + square[:, None, :] * s[..., None] / inside).sum(axis=-1)
    return s, K, ds / (2j * math.pi * s)


def _left(values: Array, square: Array) -> tuple[Array, Array]:
    """Return numbers s < 0 and K(s) there, for errors of mean one."""
    s = np.tile(-np.logspace(-2, 12, _LEFT), (len(values), 1))
    inside = 1.0 - 2.0 * values[:, None, :] * s[..., None]
    return s, (-0.5 * np.log(inside) + square[:, None, :] * s[..., None] / inside).sum(axis=-1)


def replicates(first: tuple[float, float], second: tuple[float, float], z: float = 2.8) -> float:
    """Return how many replicates of each of two settings tell their mean errors apart.

    Args:
        first: mean and variance of the error in one replicate of the first setting.
        second: likewise.
        z: difference of the means over its standard error that is wanted; 2.8 is found significant at 5 % in four of
            five cases.

    Returns:
        The number, at least 1; infinite where the means are equal.
    """
    gap = abs(first[0] - second[0])
    return math.inf if gap == 0 else max(1.0, math.ceil(z**2 * (first[1] + second[1]) / gap**2))
