"""Power of the paired t test, by the noncentral t distribution: how many seeds a difference would take.

Reference: Cohen, Statistical Power Analysis for the Behavioral Sciences (2nd ed., 1988), Chapter 2.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import nct
from scipy.stats import t as student

from crossfeed.reporting.data.paired import CONFIDENCE

__all__ = ["MOST_SEEDS", "POWER", "power", "seeds_for"]

Floats = NDArray[np.float64]

POWER: Final = 0.8
"""Probability with which `seeds_for` finds a difference."""

MOST_SEEDS: Final = 10_000
"""Numbers of seeds beyond this are given as infinite."""

_LARGEST: Final = 100.0  # an effect of this size is found with two seeds, so larger ones are, too


def power(d_z: ArrayLike, seeds: ArrayLike) -> Floats:
    r"""Return the probability that a paired t test at the 5 % level finds a difference, on either side.

    With S seeds the statistic has the noncentral t distribution with S - 1 degrees of freedom and noncentrality
    :math:`d_z \sqrt S`.

    Args:
        d_z: True mean difference over the standard deviation of differences.
        seeds: Number of pairs S, at least 2.

    Returns:
        The probabilities.
    """
    effect, pairs = np.abs(np.asarray(d_z, dtype=float)), np.asarray(seeds, dtype=float)
    critical = student.ppf((1 + CONFIDENCE) / 2, pairs - 1)
    shift = effect * np.sqrt(pairs)
    # The lower tail is the upper one of the opposite shift; scipy's cdf far below the mean may be nan.
    tails = nct.sf(critical, pairs - 1, shift) + nct.sf(critical, pairs - 1, -shift)
    return np.asarray(tails, dtype=float)


def seeds_for(d_z: ArrayLike) -> Floats:
    """Return the fewest seeds with which a paired t test at the 5 % level finds a difference four times in five.

    Args:
        d_z: ``(rows,)`` true mean difference over the standard deviation of differences.

    Returns:
        ``(rows,)`` numbers of seeds, at least 2; infinite beyond `MOST_SEEDS`, nan where `d_z` is.
    """
    effect = np.asarray(d_z, dtype=float)
    needed = np.where(np.isnan(effect), np.nan, np.inf)
    known = np.flatnonzero(~np.isnan(effect))
    sizes = np.minimum(np.abs(effect[known]), _LARGEST)
    # From two upwards, doubling: far beyond the number sought the noncentral t distribution is slow and inexact.
    few, enough = np.ones(len(known), dtype=int), np.full(len(known), 2)
    while (short := (enough <= MOST_SEEDS) & (_found(sizes, enough, enough <= MOST_SEEDS) < POWER)).any():
        few, enough = np.where(short, enough, few), np.where(short, 2 * enough, enough)
    while (wide := (enough - few > 1) & (few < MOST_SEEDS)).any():  # power rises with seeds: a bisection
        middle = (few + enough) // 2
        above = _found(sizes, middle, wide) >= POWER
        few, enough = np.where(wide & ~above, middle, few), np.where(wide & above, middle, enough)
    needed[known] = np.where(enough <= MOST_SEEDS, enough, np.inf)
    return needed


def _found(sizes: Floats, seeds: NDArray[np.int64], asked: NDArray[np.bool_]) -> Floats:
    """Return the power where it is asked for, else nan."""
    found = np.full(len(sizes), np.nan)
    found[asked] = power(sizes[asked], seeds[asked])
    return found
