r"""The reward of what a model finds likely.

It is the mean log-likelihood of a completion's terms (tokens),

.. math:: r(y) = \max\Bigl( \frac{1}{|y|} \sum_{i} \log p(y_i \mid y_{<i}),\; -100 \Bigr) .

The floor stands for completions that the model cannot write at all, and for those without a term.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Candidates, RewardContext
from crossfeed.settings import Name, RewardSettings

__all__ = ["LikelihoodSettings"]

_FLOOR: Final = -100.0


class LikelihoodSettings(RewardSettings):
    """Mean log-likelihood per term of the completion, in nats, at least -100, under a model of the ecosystem.

    Attributes:
        under: The model, as it is when the items are generated: ``judge`` (the model of the entity whose taste it is),
            ``author`` (the item's own), or an entity's name.
    """

    under: Name = "judge"

    def build(self, context: RewardContext) -> _Likelihood:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: There is no such entity.
        """
        if self.under not in ("judge", "author", *context.entities):
            raise InvalidInput(
                f"ecosystem.preference.reward.likelihood.under: {self.under!r} is no entity; give judge, author, or "
                f"one of {', '.join(context.entities)}"
            )
        return _Likelihood(self.under, personal=self.under == "judge")


@dataclass(frozen=True)
class _Likelihood:
    under: str
    personal: bool
    least: float = _FLOOR
    most: float = float("inf")  # a density may be above 1

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        models = {"judge": candidates.judge, "author": candidates.author}
        return np.maximum(-candidates.losses(models.get(self.under, self.under)), _FLOOR)
