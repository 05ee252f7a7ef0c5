"""The reward of a right final answer: a task's own scorer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Candidates, RewardContext, Task
from crossfeed.settings import RewardSettings
from crossfeed.tasks.text import right_answers

__all__ = ["AnswerSettings"]


class AnswerSettings(RewardSettings):
    """1 for an item whose final answer is right, as its task grades it, and 0 for another."""

    def build(self, context: RewardContext) -> _Answer:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: A task has training items without an answer.
        """
        for entity, task in context.asked.items():
            if "answer" not in task.train.column_names or task.train.column("answer").null_count:
                raise InvalidInput(
                    f"ecosystem.preference.reward.answer: not every training item of the task {task.name!r}, whose "
                    f"prompts {entity} answers, has an answer to grade; give a task with answers, or another reward"
                )
        return _Answer(context.asked)


@dataclass(frozen=True)
class _Answer:
    asked: Mapping[str, Task]
    personal: bool = False
    least: float = 0.0
    most: float = 1.0

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        completions = candidates.items.column("completion").to_pylist()
        return right_answers(self.asked[candidates.author], candidates.prompts, completions).astype(np.float64)
