r"""A filter that keeps completions of low loss under a judge, as perplexity filters of web text do.

The judge is the author's own state when it wrote the item, or each reader's own state at that time; then every entity
keeps a pool of its own. An item's loss is the mean over its completion's terms (tokens). It is kept

* below an absolute value: loss at most `at_most`; or
* below a quantile: loss at most the least value u with :math:`\sum_{\ell_i \le u} w_i \ge q`, where :math:`w_i` is
  the item's weight in the pool (the author's share, spread evenly over its items). So the share q of the pool is kept,
  and an author whose items are likelier than others' gains.

Fresh human items are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from crossfeed.protocols import PoolView, Task
from crossfeed.schema_rules import exactly_one
from crossfeed.settings import FilterSettings, Number

__all__ = ["LossFilterSettings", "weighted_quantile"]


Judge = Literal["author", "reader"]
"""The model that scores an item: its author, or every reader for itself."""


class LossFilterSettings(FilterSettings):
    """Settings of the filter that keeps items of low loss.

    Attributes:
        judge: The model that scores an item: its ``author``, or every ``reader`` for itself.
        quantile: The share of the pool that is kept.
        at_most: The greatest loss that is kept (nats a token for language), instead of a quantile.
    """

    model_config = ConfigDict(json_schema_extra=exactly_one("quantile", "at_most"))

    judge: Judge = "author"
    quantile: Annotated[Number, Field(gt=0.0, le=1.0)] | None = None
    at_most: Number | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if (self.quantile is None) == (self.at_most is None):
            given = "neither" if self.quantile is None else "both"
            raise ValueError(f"give either quantile (the share that is kept) or at_most (a loss); received {given}")
        return self

    def build(self, owned: Mapping[str, Task]) -> _LossFilter:
        """Build the filter.

        Args:
            owned: The task that each entity owns, by the entity's name.

        Returns:
            The filter.
        """
        return _LossFilter(self.judge, self.quantile, self.at_most)


@dataclass(frozen=True)
class _LossFilter:
    judge: Judge
    quantile: float | None
    at_most: float | None
    reads: bool = True

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_]]:
        authors = range(len(pool.authors))
        if self.judge == "author":
            judged = [self._kept(pool, [pool.losses(author, [author])[0] for author in authors])]
        else:
            judged = [self._kept(pool, pool.losses(judge, authors)) for judge in authors]
        return [np.stack([by_judge[author] for by_judge in judged]) for author in authors]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.ones(len(keys), dtype=np.bool_)

    def _kept(self, pool: PoolView, losses: Sequence[NDArray[np.float64]]) -> list[NDArray[np.bool_]]:
        """Return the kept items by author, from the losses under one judge."""
        most = self._greatest(pool, losses)
        return [np.isfinite(own) & (own <= most) for own in losses]

    def _greatest(self, pool: PoolView, losses: Sequence[NDArray[np.float64]]) -> float:
        """Return the greatest loss that is kept."""
        if self.quantile is None:
            return float("inf") if self.at_most is None else self.at_most
        spread = [np.full(len(own), w / max(len(own), 1)) for own, w in zip(losses, pool.weights, strict=True)]
        return weighted_quantile(np.concatenate(losses), np.concatenate(spread), self.quantile)


def weighted_quantile(values: NDArray[np.float64], weights: NDArray[np.float64], share: float) -> float:
    """Return the least value at or below which lies at least a share of all the weight.

    Args:
        values: ``(n,)`` values, n >= 1.
        weights: ``(n,)`` weights, not all 0.
        share: A share in (0, 1].

    Returns:
        The quantile.
    """
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    # One rounding error of the running sum must not move the quantile to the next item.
    place = int(np.searchsorted(below, share * below[-1] * (1 - 1e-12)))
    return float(values[order][min(place, len(values) - 1)])
