r"""Rewards of points: linear and quadratic functions of the space.

.. math:: r(x) = \langle a, x \rangle, \qquad r(x) = -\frac{|x - c|^2}{2 s^2} .

A Gaussian density that many candidates of it are curated by stays a Gaussian under either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Candidates, RewardContext
from crossfeed.settings import Number, RewardSettings, Sequence_
from crossfeed.tasks.samples import MOST_DIMENSIONS, POINT, points_of

__all__ = ["LinearRewardSettings", "QuadraticRewardSettings"]

Point = Annotated[Sequence_[Number], Field(min_length=1, max_length=MOST_DIMENSIONS)]


class LinearRewardSettings(RewardSettings):
    """A linear function of points.

    Attributes:
        direction: a, d numbers.
    """

    direction: Point

    def build(self, context: RewardContext) -> _Linear:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: A task has no points, or points of another dimension.
        """
        _check_dimension(context, "linear.direction", len(self.direction))
        return _Linear(np.array(self.direction))


class QuadraticRewardSettings(RewardSettings):
    """Minus half the squared distance of points to a centre, in units of a scale.

    Attributes:
        centre: c, d numbers.
        scale: s.
    """

    centre: Point
    scale: Annotated[Number, Field(gt=0.0)] = 1.0

    def build(self, context: RewardContext) -> _Quadratic:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: A task has no points, or points of another dimension.
        """
        _check_dimension(context, "quadratic.centre", len(self.centre))
        return _Quadratic(np.array(self.centre), self.scale)


def _check_dimension(context: RewardContext, field: str, given: int) -> None:
    for name, task in context.asked.items():
        if POINT not in task.train.column_names:
            raise InvalidInput(
                f"ecosystem.preference.reward.{field}: a function of points, and what {name} generates are none; give "
                "a reward of what it generates"
            )
        dimension = task.train.column(POINT).type.list_size
        if dimension != given:
            raise InvalidInput(
                f"ecosystem.preference.reward.{field}: {given} numbers for points of {dimension}; give {dimension}"
            )


@dataclass(frozen=True)
class _Linear:
    direction: NDArray[np.float64]
    personal: bool = False
    least: float = float("-inf")
    most: float = float("inf")

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        return np.asarray((points_of(candidates.items) * self.direction).sum(axis=1))


@dataclass(frozen=True)
class _Quadratic:
    centre: NDArray[np.float64]
    scale: float
    personal: bool = False
    least: float = float("-inf")
    most: float = 0.0

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        apart = (points_of(candidates.items) - self.centre) / self.scale
        return np.asarray(-0.5 * (apart**2).sum(axis=1))
