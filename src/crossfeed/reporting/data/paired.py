r"""Statistics of paired differences: pure functions of arrays, no I/O.

Two cells of one seed share their random numbers, so a seed's two values are compared with each other. With the
differences :math:`d_1, \dots, d_S` of S seeds, their mean :math:`\bar d` and sample standard deviation s:

.. math:: \mathrm{se} = s / \sqrt S, \qquad t = \bar d / \mathrm{se}, \qquad
          \bar d \pm t_{S-1,\,0.975}\,\mathrm{se}, \qquad d_z = \bar d / s .

t has Student's distribution with S - 1 degrees of freedom if the true difference is zero and differences are normal.
Differences without any spread, as of a count that all seeds changed by one, leave nothing to judge by: they have
neither interval nor p, unless they are zero themselves.

References: Cohen, Statistical Power Analysis for the Behavioral Sciences (2nd ed., 1988), d_z of Section 2.3.5; Hedges,
J. Educ. Stat. 6 (1981) 107-128, the exact correction; Holm, Scand. J. Stat. 6 (1979) 65-70.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, stdtr, stdtrit

__all__ = ["CONFIDENCE", "Paired", "holm", "interval", "paired"]

Floats = NDArray[np.float64]

CONFIDENCE: Final = 0.95
"""Confidence of every interval."""

_ROUNDING: Final = 1e-12  # of the values; what is smaller comes from rounding alone


@dataclass(frozen=True)
class Paired:
    """Statistics of the paired differences of each row, all ``(rows,)``; nan where there are too few pairs for one.

    Attributes:
        seeds: Number of pairs.
        first: Mean of the first values.
        second: Mean of the second values.
        difference: Mean of second minus first.
        se: Its standard error.
        lower: Lower end of its 95 % interval.
        upper: Upper end of its 95 % interval.
        p: Two-sided p-value of the paired t test.
        d_z: Cohen's effect size: the mean difference over the standard deviation of differences.
        g_z: The same with Hedges' exact correction for few pairs; nan for fewer than three.
    """

    seeds: NDArray[np.int64]
    first: Floats
    second: Floats
    difference: Floats
    se: Floats
    lower: Floats
    upper: Floats
    p: Floats
    d_z: Floats
    g_z: Floats


def paired(first: ArrayLike, second: ArrayLike) -> Paired:
    """Compare pairs of values, row by row.

    Args:
        first: ``(rows, S)`` values, one column for each seed; nan where a row lacks the pair.
        second: ``(rows, S)`` values of the same seeds; nan where a row lacks the pair.

    Returns:
        The statistics of second minus first. An infinite value makes its row's mean and all else nan or infinite.
    """
    one, two = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    there = ~(np.isnan(one) | np.isnan(two))
    seeds = there.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        gaps = two - one
        mean, before, after = (_mean(values, there, seeds) for values in (gaps, one, two))
        squares = np.where(there, (gaps - mean[:, None]) ** 2, 0.0).sum(axis=1)
        deviation = np.sqrt(squares / np.where(seeds > 1, seeds - 1, np.nan))
        se = deviation / np.sqrt(seeds)
        scale = np.where(there, np.maximum(np.abs(one), np.abs(two)), 0.0).max(axis=1, initial=0.0)
        constant = se <= _ROUNDING * scale
        none = constant & (np.abs(mean) <= _ROUNDING * scale)
        lower, upper = interval(mean, se, seeds, scale)
        p = 2 * stdtr(seeds - 1, -np.abs(mean / se))
        d_z = np.where(none, 0.0, np.where(constant, np.nan, mean / deviation))
    p = np.where(none, 1.0, np.where(constant | ~np.isfinite(mean), np.nan, p))
    return Paired(seeds, before, after, mean, se, lower, upper, p, d_z, d_z * _hedges(seeds - 1))


def interval(mean: ArrayLike, se: ArrayLike, count: ArrayLike, scale: ArrayLike) -> tuple[Floats, Floats]:
    """Return the 95 % intervals of means, by Student's t.

    Args:
        mean: Means.
        se: Their standard errors.
        count: Numbers of values behind each.
        scale: Sizes of the values whose differences were averaged: what is below their rounding is no spread.

    Returns:
        Lower and upper ends; nan for one value and for values without spread, zero where all values are zero.
    """
    centre, error, size = (np.asarray(each, dtype=float) for each in (mean, se, scale))
    with np.errstate(invalid="ignore"):
        half = stdtrit(np.asarray(count, dtype=float) - 1, (1 + CONFIDENCE) / 2) * error
        constant = error <= _ROUNDING * size
        flat = np.where(np.abs(centre) <= _ROUNDING * size, 0.0, np.nan)
        return np.where(constant, flat, centre - half), np.where(constant, flat, centre + half)


def holm(p: ArrayLike) -> Floats:
    """Adjust p-values for their number, after Holm: all together are wrong at most as often as one alone would be.

    Args:
        p: ``(n,)`` p-values; nan for what was not tested.

    Returns:
        ``(n,)`` adjusted p-values, at most 1; nan where `p` is.
    """
    given = np.asarray(p, dtype=float)
    order = np.argsort(given, kind="stable")  # nan last
    tests = int((~np.isnan(given)).sum())
    factors = tests - np.arange(len(given), dtype=float)
    steps = np.minimum(np.maximum.accumulate(given[order][:tests] * factors[:tests]), 1.0)
    adjusted = np.full(len(given), np.nan)
    adjusted[order[:tests]] = steps
    return adjusted


def _mean(values: Floats, there: NDArray[np.bool_], count: NDArray[np.int64]) -> Floats:
    total: Floats = np.where(there, values, 0.0).sum(axis=1)
    return total / np.where(count > 0, count, np.nan)


def _hedges(freedom: NDArray[Any]) -> Floats:
    """Return J(m), which makes an effect size of m degrees of freedom unbiased; nan below two, where it has no mean."""
    half = np.where(freedom > 1, freedom, np.nan) / 2
    factor: Floats = np.exp(gammaln(half) - gammaln(half - 0.5)) / np.sqrt(half)
    return factor
