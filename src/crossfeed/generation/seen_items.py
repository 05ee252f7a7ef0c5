"""Generated items as rewards see them: with their prompts, their losses, and the features they are compared in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.protocols import PRIVATE, Array, Learner, RewardContext, Scores, State

__all__ = ["SeenItems", "mean_losses"]


@dataclass
class SeenItems:
    """One author's items as rewards see them (see `crossfeed.protocols.Candidates`).

    Attributes:
        author: The author's name.
        items: The items.
        prompts: The items that they answer, in step.
        learner: The learner of the states.
        states: All entities' states that the items are generated at.
        context: The tasks and entities.
        references: Features of real items, computed once for all who share the dictionary.
        judge: The name of the entity whose taste it is.
    """

    author: str
    items: pa.Table
    prompts: pa.Table
    learner: Learner
    states: Sequence[State]
    context: RewardContext
    references: dict[str, Array] = field(default_factory=dict)
    judge: str = ""
    _losses: dict[str, Array] = field(default_factory=dict)
    _features: Array | None = None

    def real(self, source: str) -> pa.Table:
        """Return real training items: the judge's own, or those of a task."""
        return self.context.private(self.judge) if source == PRIVATE else self.context.tasks[source].train

    def losses(self, entity: str) -> Array:
        """Return the ``(items,)`` mean completion losses under an entity's state."""
        if entity not in self._losses:
            state = self.states[self.context.entities.index(entity)]
            self._losses[entity] = mean_losses(self.learner.score([state], [self.items])[0][0])
        return self._losses[entity]

    def features(self) -> Array:
        """Return the ``(items, dimension)`` features."""
        if self._features is None:
            self._features = self.learner.embed([self.items])[0].astype(np.float64)
        return self._features

    def reference(self, source: str) -> Array:
        """Return the ``(rows, dimension)`` features of real training items, computed once for a cell."""
        place = f"{PRIVATE} {self.judge}" if source == PRIVATE else source
        if place not in self.references:
            self.references[place] = self.learner.embed([self.real(source)])[0].astype(np.float64)
        return self.references[place]


def mean_losses(scores: Scores) -> NDArray[np.float64]:
    """Return ``(items,)`` mean completion losses; infinite for an item without a single term.

    Args:
        scores: Losses of the items.
    """
    nothing = np.full_like(scores.completion_loss, np.inf)
    return np.divide(scores.completion_loss, scores.completion_size, out=nothing, where=scores.completion_size > 0)
