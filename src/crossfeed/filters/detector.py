r"""A detector of synthetic text with given error rates, whose flagged items are removed.

Each item of the pool is decided independently: a synthetic item is flagged with the probability `recall`, a fresh human
item with the probability `false_alarm`. Items that are not flagged are kept, so that in expectation the human share of
a pool with the fresh fraction :math:`\varphi` becomes

.. math:: \frac{\varphi (1 - f)}{\varphi (1 - f) + (1 - \varphi)(1 - r)} .

Without human items in the pool only the choice of items changes; alpha does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from crossfeed.keys import uniforms
from crossfeed.protocols import PoolView, Task
from crossfeed.settings import FilterSettings, Share

__all__ = ["DetectorSettings"]


class DetectorSettings(FilterSettings):
    """A synthetic-text detector.

    Attributes:
        recall: Share r of synthetic items that it flags.
        false_alarm: Share f of human items that it flags.
    """

    recall: Share
    false_alarm: Share = 0.0

    def build(self, owned: Mapping[str, Task]) -> _Detector:
        """Build the filter.

        Args:
            owned: The task that each entity owns, by the entity's name.

        Returns:
            The filter.
        """
        return _Detector(self.recall, self.false_alarm)


@dataclass(frozen=True)
class _Detector:
    recall: float
    false_alarm: float
    reads: bool = False

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_]]:
        return [self._missed(pool.keys(author), self.recall)[None] for author in range(len(pool.authors))]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return self._missed(keys, self.false_alarm)

    def _missed(self, keys: NDArray[np.uint64], flagged: float) -> NDArray[np.bool_]:
        return uniforms(keys) >= flagged
