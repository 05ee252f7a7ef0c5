r"""Limits of curves and their absence, from a fit of c + b r^t.

With :math:`f_r(t) = (r^t - 1)/(r - 1)` (t itself at r = 1), :math:`c + b f_r(t)` is c + b' r^t for r other than 1, and
passes through the straight line at r = 1 without a jump: r < 1 tends to a limit, r = 1 grows linearly, r > 1
geometrically. For each r the rest is linear least squares; the interval of r holds what the likelihood ratio

.. math:: \mathrm{SSE}(r) \le \mathrm{SSE}(\hat r) \Bigl(1 + \frac{F_{0.95}(1, G - 3)}{G - 3}\Bigr)

does not reject (the profile interval of nonlinear regression; Bates and Watts, 1988, section 6.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fit", "fit_of"]

_RATES: Final = np.linspace(0.0, 1.5, 601)
_PARAMETERS: Final = 3
_FEWEST: Final = _PARAMETERS + 3
_LEVEL: Final = 0.95


@dataclass(frozen=True)
class Fit:
    """A fitted curve.

    Attributes:
        rate: r.
        lower: Lower end of its 95 % interval, at least 0.
        upper: Upper end, at most 1.5.
        limit: What the curve tends to; infinite from r = 1 on.
        rising: True if the fitted curve ends higher than it begins.
    """

    rate: float
    lower: float
    upper: float
    limit: float
    rising: bool


def fit_of(times: NDArray[np.float64], values: NDArray[np.float64]) -> Fit | str:
    """Fit a curve.

    Args:
        times: ``(G,)`` generations, ascending from 0.
        values: ``(G,)`` values.

    Returns:
        The fit, or why there is none.
    """
    points = len(times)
    if points < _FEWEST:
        return f"{points} measured generations; a fit of three parameters and their errors takes at least {_FEWEST}"
    if not np.isfinite(values).all():
        return "not all values are finite"
    if np.ptp(values) == 0:
        return Fit(0.0, 0.0, 0.0, float(values[0]), False)
    from scipy.stats import f

    errors = np.array([_least_squares(rate, times, values)[0] for rate in _RATES])
    best = int(errors.argmin())
    allowed = errors[best] * (1 + f.ppf(_LEVEL, 1, points - _PARAMETERS) / (points - _PARAMETERS))
    # A fit without any error leaves what rounding makes of it.
    inside = np.flatnonzero(errors <= max(allowed, 1e-24 * float((values**2).sum())))
    _, begin, slope = _least_squares(float(_RATES[best]), times, values)
    rate = float(_RATES[best])
    limit = begin + slope / (1 - rate) if rate < 1 else np.inf
    return Fit(rate, float(_RATES[inside[0]]), float(_RATES[inside[-1]]), float(limit), bool(slope > 0))


def _least_squares(rate: float, times: NDArray[np.float64], values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the sum of squared errors, c and b of the best fit at a rate."""
    shape = times if abs(rate - 1) < 1e-9 else (rate**times - 1) / (rate - 1)
    centred, off = shape - shape.mean(), values - values.mean()
    slope = float(centred @ off / (centred @ centred))
    rest = off - slope * centred
    return float(rest @ rest), float(values.mean() - slope * shape.mean()), slope
