r"""Errors of a difference of losses within one seed, from the losses of single test items: a paired bootstrap.

A loss is a ratio of sums, :math:`\sum_i \ell_i / \sum_i m_i` over test items i. Items are drawn with replacement, as
many as there are, the same ones for both cells; the standard deviation of the difference over the resamples is its
standard error, and their 2.5 % and 97.5 % quantiles are its interval. The models stay as they are: the error is that of
the choice of test items, and says nothing on training with another seed.

Reference: Efron and Tibshirani, An Introduction to the Bootstrap (1993), Chapters 6 and 13.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.keys import generator
from crossfeed.reporting.data.paired import CONFIDENCE

__all__ = ["RESAMPLES", "ItemErrors", "item_errors"]

RESAMPLES: Final = 1000
"""Number of resamples."""

_BATCH: Final = 2**22  # counts of items that are in memory at once

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class ItemErrors:
    """Errors of differences, each ``(pairs,)``.

    Attributes:
        difference: Second loss minus first, over all items.
        se: Standard error.
        lower: Lower end of the 95 % interval.
        upper: Upper end of the 95 % interval.
    """

    difference: Floats
    se: Floats
    lower: Floats
    upper: Floats


def item_errors(first: Floats, first_size: Floats, second: Floats, second_size: Floats, *key: int | str) -> ItemErrors:
    """Return bootstrap errors of differences of losses, for several pairs measured on the same items.

    Args:
        first: ``(pairs, n)`` summed loss of each item in the first cell.
        first_size: ``(pairs, n)`` its number of terms there.
        second: ``(pairs, n)`` summed loss in the second cell.
        second_size: ``(pairs, n)`` its number of terms there.
        *key: Address of the random numbers (`crossfeed.keys.generator`): equal keys draw equal items.

    Returns:
        The differences and their errors.
    """
    sums = np.concatenate([first, first_size, second, second_size]).T  # (n, 4 pairs)
    items, rng = len(sums), generator("item bootstrap", *key)
    whole = _differences(sums.sum(axis=0)[None])[0]
    batch = max(_BATCH // items, 1)
    drawn = []
    for begin in range(0, RESAMPLES, batch):
        counts = rng.multinomial(items, np.full(items, 1 / items), size=min(batch, RESAMPLES - begin))
        drawn.append(_differences(counts @ sums))
    resampled = np.concatenate(drawn)
    tail = 100 * (1 - CONFIDENCE) / 2
    lower, upper = np.percentile(resampled, [tail, 100 - tail], axis=0)
    return ItemErrors(whole, resampled.std(axis=0, ddof=1), lower, upper)


def _differences(totals: Floats) -> Floats:
    """Return differences of ratios of totals ``(resamples, 4 pairs)``; nan where a resample has no terms."""
    one, one_size, two, two_size = np.split(totals, 4, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        gap: Floats = two / two_size - one / one_size
    return gap
