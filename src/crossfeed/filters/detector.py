r"""A detector of synthetic text with given error rates, whose flagged items are removed, or whose scores weigh.

Each item of the pool is decided independently: a synthetic item is flagged with the probability `recall`, a fresh human
item with the probability `false_alarm`. Items that are not flagged are kept, so that in expectation the human share of
a pool with the fresh fraction :math:`\varphi` becomes

.. math:: \frac{\varphi (1 - f)}{\varphi (1 - f) + (1 - \varphi)(1 - r)} .

Without human items in the pool only the choice of items changes; alpha does not.

A detector has a score before it has a verdict. That of the binormal model (Green and Swets, 1966) is
:math:`z \sim \mathcal N(0, 1)` for a human item and :math:`\mathcal N(d, 1)` for a synthetic one, flagged above
:math:`\Phi^{-1}(1 - f)`, with :math:`d = \Phi^{-1}(r) - \Phi^{-1}(f)`. With ``use: score`` no item is dropped: each
weighs by the probability that it is human, given its score, where both kinds are as frequent,

.. math:: w = \frac{1}{1 + e^{d z - d^2 / 2}} .
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from scipy.special import expit, ndtri

from crossfeed.keys import uniforms
from crossfeed.protocols import PoolView, Task
from crossfeed.settings import FilterSettings, Share

__all__ = ["DetectorSettings"]


class DetectorSettings(FilterSettings):
    """A synthetic-text detector.

    Attributes:
        recall: Share r of synthetic items that it flags.
        false_alarm: Share f of human items that it flags.
        use: ``verdict``: flagged items are dropped. ``score``: items are weighed by the detector's score.
    """

    recall: Share
    false_alarm: Share = 0.0
    use: Literal["verdict", "score"] = "verdict"

    @model_validator(mode="after")
    def _has_scores(self) -> Self:
        if self.use == "score" and not (0 < self.recall < 1 and 0 < self.false_alarm < 1):
            raise ValueError(
                "use: score is of a detector that errs both ways; give recall and false_alarm above 0 and below 1; "
                f"received {self.recall:g} and {self.false_alarm:g}"
            )
        return self

    def build(self, owned: Mapping[str, Task]) -> _Detector | _Scores:
        """Build the filter.

        Args:
            owned: The task that each entity owns, by the entity's name.

        Returns:
            The filter.
        """
        return _Detector(self.recall, self.false_alarm) if self.use == "verdict" else _Scores(self.apart)

    @property
    def apart(self) -> float:
        """Distance d of the scores of synthetic items from those of human ones, in their standard deviations."""
        return float(ndtri(self.recall) - ndtri(self.false_alarm))


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


@dataclass(frozen=True)
class _Scores:
    apart: float
    reads: bool = False

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.float64]]:
        return [self._weight(pool.keys(author), self.apart)[None] for author in range(len(pool.authors))]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.float64]:
        return self._weight(keys, 0.0)

    def _weight(self, keys: NDArray[np.uint64], mean: float) -> NDArray[np.float64]:
        score = mean - ndtri(uniforms(keys))  # so that high scores are those of items that the verdict flags
        return np.asarray(expit(self.apart**2 / 2 - self.apart * score), dtype=np.float64)
