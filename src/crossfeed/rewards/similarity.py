r"""The reward of being like a reference set.

It is the mean cosine of an item's features with those of m real items,

.. math:: r(x) = \frac1m \sum_i \langle \varphi(x), \varphi(y_i) \rangle .
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import PRIVATE, Candidates, RewardContext
from crossfeed.settings import Name, RewardSettings

__all__ = ["SimilaritySettings"]


class SimilaritySettings(RewardSettings):
    """Mean cosine of the features, in which outputs are compared, with those of real training items.

    Attributes:
        to: The real items: ``private`` (those of the entity whose taste it is), or the name of a task, which no entity
            has to own.
    """

    to: Name = PRIVATE

    def build(self, context: RewardContext) -> _Similarity:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: There is no such task.
        """
        if self.to != PRIVATE and self.to not in context.tasks:
            raise InvalidInput(
                f"ecosystem.preference.reward.similarity.to: {self.to!r} is not under tasks; give private or one of "
                f"{', '.join(context.tasks)}"
            )
        return _Similarity(self.to, personal=self.to == PRIVATE)


@dataclass(frozen=True)
class _Similarity:
    to: str
    personal: bool
    least: float = -1.0
    most: float = 1.0

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        centre = candidates.reference(self.to).mean(axis=0)
        return np.asarray(np.clip(candidates.features() @ centre, -1.0, 1.0))
