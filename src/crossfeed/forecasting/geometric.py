"""The baseline beside every forecast: what two generations of a cell say of the rest, cell by cell and loss by loss."""

from __future__ import annotations

from typing import Final

import numpy as np

from crossfeed.protocols import Array

__all__ = ["extrapolated"]

_MOST: Final = 0.95
"""The largest ratio of two changes that is believed: at 1 a series never ends."""


def extrapolated(losses: Array, generations: int) -> Array:
    r"""Extrapolate losses geometrically from generations 0, 1 and 2.

    With the changes :math:`\Delta_1, \Delta_2` and their ratio :math:`\rho = \Delta_2/\Delta_1`, cut to [0, 0.95], the
    loss after generation t is :math:`L_2 + \Delta_2 (\rho + ... + \rho^{t-2})`.

    Args:
        losses: ``(3, ...)`` losses after generations 0, 1 and 2.
        generations: The last generation T.

    Returns:
        ``(T + 1, ...)`` losses; the first three are the given ones.
    """
    first, second = losses[1] - losses[0], losses[2] - losses[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.clip(np.where(first == 0, 0.0, second / first), 0.0, _MOST)
    steps = [losses[0], losses[1], losses[2]]
    change = second
    for _ in range(3, generations + 1):
        change = change * ratio
        steps.append(steps[-1] + change)
    return np.stack(steps[: generations + 1])
