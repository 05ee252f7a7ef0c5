r"""Loss on the tail: the test items that a model found hardest before it read anything generated.

Forgetting starts with what is rare (Shumailov et al., 2024). With :math:`\ell_{it}` the summed loss of test item i
after generation t, :math:`m_i` its number of terms, and D the share of items whose mean loss :math:`\ell_{i0} / m_i`
was greatest after generation 0 (the worst decile by default),

.. math:: \mathrm{tail\ loss}_t = \sum_{i \in D} \ell_{it} \Big/ \sum_{i \in D} m_i .

D is a model's own, of each task, and stays: the same items are followed. They were chosen for a great loss, part of
which is chance, so without any forgetting the tail loss falls a little towards the mean from generation 1 on: a rise is
a rise in spite of that. Losses of single items of generation 0 are kept for it (`crossfeed.Run.item_losses`). A model
that arrives later has no generation 0, and no number.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.protocols import Measurement, Scores, Snapshot
from crossfeed.settings import Measure, MetricSettings, Number

__all__ = ["TailLossSettings"]


class TailLossSettings(MetricSettings):
    """Loss on the items of greatest loss at generation 0 (nats per token for language); metric ``tail_loss``.

    Attributes:
        share: Share of the test items that is the tail; at least one item.
    """

    measures = (
        Measure(
            "tail_loss",
            "Loss on the hardest items",
            0.1,
            ("better", "worse"),
            relative=True,
            section="loss",
            shown=frozenset({"page", "curves"}),
            unit=None,
        ),
    )

    share: Annotated[Number, Field(gt=0.0, le=1.0)] = 0.1

    def keeps_losses(self, generation: int) -> bool:
        """Return True for generation 0, whose losses choose the items."""
        return generation == 0

    def build(self) -> _TailLoss:
        """Build the metric."""
        return _TailLoss(self.share)


@dataclass(frozen=True)
class _TailLoss:
    share: float

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            now = dict(zip(snapshot.entities, snapshot.scores(task), strict=True))
            first: Mapping[str, Scores] = now if snapshot.generation == 0 else snapshot.scores_at(0, task)
            for entity, scores in now.items():
                if entity in first and len(tail := self._tail(first[entity])):
                    value = float(scores.loss[tail].sum() / scores.size[tail].sum())
                    numbers.append(Measurement(entity, task, "tail_loss", value))
        return numbers

    def _tail(self, scores: Scores) -> NDArray[np.int64]:
        """Return the items of greatest mean loss; those without a single term are in no tail."""
        scored = np.flatnonzero(scores.size > 0)
        worst = np.argsort(-(scores.loss[scored] / scores.size[scored]), kind="stable")
        return scored[worst[: math.ceil(self.share * len(scored))]]
