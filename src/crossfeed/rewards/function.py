"""Rewards that another package registers as a plain function, under the entry-point group ``crossfeed.rewards``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Candidates, RewardContext
from crossfeed.settings import RewardSettings

__all__ = ["function_reward"]

Function = Callable[[pa.Table, pa.Table], Any]
"""Returns ``(items,)`` finite numbers for items, and the prompts that they answer."""


def function_reward(name: str, function: Function) -> type[RewardSettings]:
    """Return settings, without fields of their own, of a reward that is a function.

    Args:
        name: Its name in descriptions.
        function: Takes a table of items, and one of the prompts that they answer, in step.
    """

    class FunctionSettings(RewardSettings):
        __doc__ = function.__doc__ or f"The function {name} of items and prompts."
        called: ClassVar[str] = name

        def build(self, context: RewardContext) -> _Function:
            """Build the reward."""
            return _Function(name, function)

    return FunctionSettings


@dataclass(frozen=True)
class _Function:
    name: str
    function: Function
    personal: bool = False
    least: float = float("-inf")
    most: float = float("inf")

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        try:
            rewards = np.asarray(self.function(candidates.items, candidates.prompts), dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInput(f"the reward {self.name!r} failed: {error}") from error
        if rewards.shape != (candidates.items.num_rows,) or not np.isfinite(rewards).all():
            raise InvalidInput(
                f"the reward {self.name!r}: gave numbers of the shape {rewards.shape}, or some that are not finite; it "
                f"has to give ({candidates.items.num_rows},) finite numbers"
            )
        return rewards
