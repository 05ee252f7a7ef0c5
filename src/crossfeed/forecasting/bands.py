"""Bands: how far a loss may be from its forecast, as far as the parameters go and where the surrogate itself is wrong.

The curvature of the fit alone is far too sure of itself. What it lacks grows with how far a loss moves from what is
known of it; its size was chosen on the development runs of docs/forecast.md, where it gives bands of 80 % their due.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from crossfeed.protocols import Array

__all__ = ["NORMAL_80", "band_deviation"]

NORMAL_80: Final = 1.2816
"""Standard deviations on either side that hold 80 % of a normal distribution."""

_LEAST: Final = 0.01  # what another draw of the same training sets changes
_MOVED: Final = 0.1  # by how much of its own change a forecast may be wrong
_NEGLECTED: Final = 0.18  # the same where some task gets no real data


def band_deviation(fitted: Array, moved: Array, *, neglects: bool) -> Array:
    """Return standard deviations of the logarithms of losses.

    Args:
        fitted: Standard deviations as far as the parameters go.
        moved: Absolute changes of the logarithms since they were last measured.
        neglects: True if some task gets no real data.
    """
    share = _NEGLECTED if neglects else _MOVED
    deviation: Array = np.sqrt(fitted**2 + _LEAST**2 + (share * moved) ** 2)
    return deviation
