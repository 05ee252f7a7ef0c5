r"""The reward of being near to real data: minus a distance of an item x to m real items y.

``nearest`` is the least distance, :math:`\min_i |x - y_i|`; ``wasserstein`` the 1-Wasserstein distance of the point x
to their distribution, which for a single point is the mean distance, :math:`\frac1m \sum_i |x - y_i|`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from crossfeed.protocols import PRIVATE, Candidates, RewardContext
from crossfeed.settings import RewardSettings
from crossfeed.tasks.samples import POINT, points_of

__all__ = ["DistanceSettings"]

_BLOCK: Final = 4_000_000  # distances that are held at once


class DistanceSettings(RewardSettings):
    """Minus the distance to the real training data of the entity whose taste it is.

    Points are compared as they are, other items by the features in which outputs are compared.

    Attributes:
        kind: ``wasserstein``: the mean distance to all of them. ``nearest``: that to the nearest one.
    """

    kind: Literal["wasserstein", "nearest"] = "wasserstein"

    def build(self, context: RewardContext) -> _Distance:
        """Build the reward.

        Args:
            context: The tasks and entities.
        """
        return _Distance(self.kind)


@dataclass(frozen=True)
class _Distance:
    kind: str
    personal: bool = True
    least: float = float("-inf")
    most: float = 0.0

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        if POINT in candidates.items.column_names:
            items, real = points_of(candidates.items), points_of(candidates.real(PRIVATE))
        else:
            items, real = candidates.features(), candidates.reference(PRIVATE)
        step = max(1, _BLOCK // len(real))
        near = []
        for begin in range(0, len(items), step):
            apart = cdist(items[begin : begin + step], real)
            near.append(apart.mean(axis=1) if self.kind == "wasserstein" else apart.min(axis=1))
        return -np.concatenate(near) if near else np.zeros(0)
