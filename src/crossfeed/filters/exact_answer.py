"""A filter that keeps correct answers, as in verified synthetic data.

Prompts are private training items of the author, so the right answer is known: the author's own task grades the
completion (`crossfeed.protocols.Task.grade`). A multiple choice question is answered if the completion begins with the
right option (`crossfeed.tasks.grading.same_text`). Fresh human items are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import PoolView, Task
from crossfeed.settings import FilterSettings
from crossfeed.tasks.text import right_answers

__all__ = ["ExactAnswerSettings"]


class ExactAnswerSettings(FilterSettings):
    """Settings of the filter that keeps items whose final answer is exactly right."""

    def build(self, owned: Mapping[str, Task]) -> _ExactAnswer:
        """Build the filter.

        Args:
            owned: The task that each entity owns, by the entity's name.

        Returns:
            The filter.

        Raises:
            InvalidInput: A task has training items without an answer.
        """
        for entity, task in owned.items():
            if "answer" not in task.train.column_names or task.train.column("answer").null_count:
                raise InvalidInput(
                    f"ecosystem.curation.exact_answer: not every training item of the task {task.name!r}, which "
                    f"{entity} owns, has an answer to check; give a task with answers, or another filter, such as "
                    "loss: {quantile: 0.5}"
                )
        return _ExactAnswer(owned)


@dataclass(frozen=True)
class _ExactAnswer:
    owned: Mapping[str, Task]
    reads: bool = True

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_]]:
        return [
            right_answers(self.owned[name], pool.prompts(author), pool.items(author).column("completion").to_pylist())[
                None
            ]
            for author, name in enumerate(pool.authors)
        ]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.ones(len(keys), dtype=np.bool_)
