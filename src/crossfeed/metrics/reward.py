r"""Rewards of what models generate, by the tastes that choose among candidates (`crossfeed.description.preference`).

The m answers :math:`y_i` of model j to the first test prompts of the data set whose prompts it answers in the pool have

.. math:: R_{jk} = \frac1m \sum_i r_k(y_i)

by the taste of entity k, as it was at first: a taste that drifts is measured by what it was. ``reward`` is
:math:`R_{jj}`, by the model's own taste; ``reward_by_another`` is :math:`R_{jk}` of the pair ``j+k``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Measurement, Snapshot
from crossfeed.settings import Measure, MetricSettings

__all__ = ["RewardMetricSettings"]


class RewardMetricSettings(MetricSettings):
    """Mean reward of outputs by each entity's taste; needs `ecosystem.preference`.

    Attributes:
        items: Number of test prompts to complete, at most.
    """

    measures = (
        Measure(
            "reward",
            "Reward by the own taste",
            section="quality",
            shown=frozenset({"terminal", "page", "curves"}),
        ),
        Measure(
            "reward_by_another",
            "Reward by another's taste",
            section="quality",
            shown=frozenset({"page"}),
            pairs=True,
        ),
    )

    rates = True

    items: Annotated[int, Field(ge=1)] = 200

    def build(self) -> _Reward:
        """Build the metric."""
        return _Reward(self.items)


@dataclass(frozen=True)
class _Reward:
    items: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        numbers = []
        for task in snapshot.tasks:
            for author, by_taste in snapshot.rewards(task, self.items).items():
                if not by_taste:
                    raise InvalidInput(
                        "metrics.reward: nobody has a taste; give ecosystem.preference, or leave the metric out"
                    )
                for judge, rewards in by_taste.items():
                    if judge == author:
                        numbers.append(Measurement(author, task, "reward", float(rewards.mean())))
                    else:
                        pair = f"{author}+{judge}"
                        numbers.append(Measurement(pair, task, "reward_by_another", float(rewards.mean())))
        return numbers
