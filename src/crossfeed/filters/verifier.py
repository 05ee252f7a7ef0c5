r"""A verifier of numeric samples that knows the truth, with given error rates.

A point is right if it lies where the truth of its author's own task is dense: in the smallest region that holds the
share `mass` of the truth, :math:`\{x : \log p(x) \ge u\}`. Of the wrong points the share `recall` is removed, of the
right ones the share `false_alarm` (Feng et al., 2025, verify labels in the same way). Fresh human items are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.errors import InvalidInput
from crossfeed.keys import uniforms
from crossfeed.protocols import PoolView, Task
from crossfeed.settings import FilterSettings, Number, Share
from crossfeed.tasks.samples import SampleTask, Truth, points_of

__all__ = ["VerifierSettings"]

_DRAWN: Final = 100_000  # points of the truth that estimate its level
_SALT: Final = 1  # the salt of a point's random number; a detector has the salt 0


class VerifierSettings(FilterSettings):
    """Settings of the filter that keeps right points.

    Attributes:
        mass: Share of the truth that the region of right points holds.
        recall: Share of the wrong points that are removed.
        false_alarm: Share of the right points that are removed.
    """

    mass: Annotated[Number, Field(gt=0.0, lt=1.0)] = 0.99
    recall: Share = 1.0
    false_alarm: Share = 0.0

    def build(self, owned: Mapping[str, Task]) -> _Verifier:
        """Build the filter.

        Args:
            owned: The task that each entity owns, by the entity's name.

        Returns:
            The filter.

        Raises:
            InvalidInput: A task has no known truth.
        """
        truths = {}
        for entity, task in owned.items():
            if not isinstance(task, SampleTask) or task.truth is None:
                raise InvalidInput(
                    f"ecosystem.curation.verifier: the task {task.name!r}, which {entity} owns, has no known truth; "
                    "give a task of source: gaussian or mixture, or another filter, such as loss: {quantile: 0.5}"
                )
            truths[entity] = task.truth
        levels = {entity: _level(truth, self.mass) for entity, truth in truths.items()}
        return _Verifier(truths, levels, self.recall, self.false_alarm)


@dataclass(frozen=True)
class _Verifier:
    truths: Mapping[str, Truth]
    levels: Mapping[str, float]
    recall: float
    false_alarm: float
    reads: bool = True

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_]]:
        return [self._kept(pool, author, name)[None] for author, name in enumerate(pool.authors)]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.ones(len(keys), dtype=np.bool_)

    def _kept(self, pool: PoolView, author: int, name: str) -> NDArray[np.bool_]:
        points = points_of(pool.items(author))
        right = self.truths[name].log_density(points) >= self.levels[name]
        removed = np.where(right, self.false_alarm, self.recall)
        return np.asarray(uniforms(pool.keys(author), _SALT) >= removed, dtype=np.bool_)


def _level(truth: Truth, mass: float) -> float:
    """Return the log density u above which the truth has a share of its mass."""
    drawn = points_of(truth.draw(_DRAWN, "level"))
    return float(np.quantile(truth.log_density(drawn), 1 - mass))
