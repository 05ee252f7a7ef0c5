"""The reward of images of a class: its probability under the classifier that grades them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Candidates, RewardContext
from crossfeed.settings import RewardSettings
from crossfeed.tasks.images import ImageTask, images_of

__all__ = ["ClassProbabilitySettings"]


class ClassProbabilitySettings(RewardSettings):
    """Probability of a class under the fixed classifier of their task.

    Attributes:
        label: The class's name, such as ``"7"``; default: the class that the prompt asks for.
    """

    label: str | None = None

    def build(self, context: RewardContext) -> _ClassProbability:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: A task has no images, or no such class.
        """
        tasks = {}
        for name, task in context.asked.items():
            if not isinstance(task, ImageTask):
                raise InvalidInput(
                    f"ecosystem.preference.reward.class_probability: what {name} generates are no images; give a "
                    "reward of what it generates"
                )
            tasks[name] = task
        for task in {id(task): task for task in tasks.values()}.values():
            classes = task.classifier().classes
            if self.label is not None and self.label not in classes:
                raise InvalidInput(
                    f"ecosystem.preference.reward.class_probability.label: {self.label!r} is no class of the task "
                    f"{task.name!r}; give one of {', '.join(classes)}"
                )
        return _ClassProbability(self.label, tasks)


@dataclass(frozen=True)
class _ClassProbability:
    label: str | None
    asked: Mapping[str, ImageTask]
    personal: bool = False
    least: float = 0.0
    most: float = 1.0

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        classifier = self.asked[candidates.author].classifier()
        images = images_of(candidates.items, f"items of {candidates.author}")
        rows = candidates.items.num_rows
        labels = [self.label] * rows if self.label is not None else candidates.prompts.column("answer").to_pylist()
        places = [classifier.classes.index(label) for label in labels]
        return np.asarray(classifier.probabilities(images)[np.arange(rows), places], dtype=np.float64)
