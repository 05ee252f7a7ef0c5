"""The reward of longer texts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Candidates, RewardContext
from crossfeed.settings import RewardSettings
from crossfeed.tasks.prose import words_of
from crossfeed.tasks.text import holds_text

__all__ = ["LengthRewardSettings"]


class LengthRewardSettings(RewardSettings):
    """Number of words of the completion; a negative weight prefers shorter ones."""

    def build(self, context: RewardContext) -> _Length:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: A task holds no text.
        """
        for name, task in context.asked.items():
            if not holds_text(task.train):
                raise InvalidInput(
                    f"ecosystem.preference.reward.length: counts words, and what {name} generates is no text; give a "
                    "reward of what it generates, such as distance"
                )
        return _Length()


@dataclass(frozen=True)
class _Length:
    personal: bool = False
    least: float = 0.0
    most: float = float("inf")

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        texts = candidates.items.column("completion").to_pylist()
        return np.array([len(words_of(text or "")) for text in texts], dtype=np.float64)
