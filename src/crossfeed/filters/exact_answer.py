"""A filter that keeps correct answers, as in verified synthetic data.

Prompts are private training items of the author, so the right answer is known: the author's own task grades the
completion (`crossfeed.protocols.Task.grade`). A multiple choice question is answered if the completion begins with the
right option (`crossfeed.tasks.grading.same_text`). Fresh human items are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import PoolView, Task
from crossfeed.settings import FilterSettings
from crossfeed.tasks.grading import same_text

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
            _right(self.owned[name], pool.prompts(author), pool.items(author).column("completion").to_pylist())[None]
            for author, name in enumerate(pool.authors)
        ]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.ones(len(keys), dtype=np.bool_)


def _right(task: Task, prompts: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_]:
    graded = task.grade(prompts, completions)
    if graded is not None:
        return graded
    answers = prompts.column("answer").to_pylist()
    pairs = zip(answers, completions, strict=True)
    return np.array([same_text(answer, completion) for answer, completion in pairs], dtype=np.bool_)
