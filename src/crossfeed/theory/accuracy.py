"""Digits that rounding leaves of an answer, and the warning where they are few.

A rounding error of a Gram matrix is multiplied by its condition number; half of the digits of that number are won where
features are given (`crossfeed.theory.coordinates`). Where one entity's data are nearly dependent and the others' are
not, those coordinates do not help, and half as many digits again are lost between the entity and the pool.
docs/theory.md has measured errors.

Reference: Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed. (2002), Theorem 10.6.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from crossfeed.errors import IllConditioned, InvalidInput
from crossfeed.theory.kernels import UNDECIDED
from crossfeed.theory.specification import Conditioned

# Fewer digits than this are told.
_ENOUGH = 5


def digits(spec: Conditioned, inflation: float) -> int:
    """Return how many decimal digits of an answer to rely on.

    Args:
        spec: the specification that was solved.
        inflation: what rounding errors of its Gram matrices are multiplied by, at most
            (`crossfeed.theory.kernels.Inverted`).

    Returns:
        A whole number from 0 to 15.
    """
    condition = max(inflation**1.5, 1.0 if spec.coordinates is None else spec.coordinates.condition)
    return max(0, math.floor(-math.log10(min(condition, 1e16) * np.finfo(np.float64).eps)))


def tell(spec: Conditioned, inflation: float) -> None:
    """Warn where an answer has few digits.

    Args:
        spec: the specification that was solved.
        inflation: as for `digits`.

    Raises:
        InvalidInput: if it has none.
    """
    left = digits(spec, inflation)
    if left == 0:
        raise InvalidInput(UNDECIDED)
    if left < _ENOUGH:
        features = "" if spec.private.features else "give features in place of Gram matrices, or "
        text = (
            f"some data are so near to dependent ones that rounding leaves about {left} digits of the errors; "
            f"{features}leave columns out that the others imply"
        )
        warnings.warn(text, IllConditioned, stacklevel=4)
