"""A filter that keeps the best of what each author publishes, by a reward: n of 4n candidates, say.

Of an author's m items those of the highest rewards are kept, a number of them or a share; of equal ones, those of the
lowest keys. Whose taste it is, the author's users' or each reader's own, matters to rewards that depend on it
(`crossfeed.rewards`); every reader then keeps a pool of its own. Fresh human items are kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field, model_validator

from crossfeed.description.parts import Rewards
from crossfeed.protocols import PoolView, Reward, RewardContext
from crossfeed.schema_rules import exactly_one
from crossfeed.settings import FilterSettings, Number

__all__ = ["BestSettings"]

_DECIMALS: Final = 6  # as of the rewards of candidates: the last bits of a machine decide nothing


class BestSettings(FilterSettings):
    """Settings of the filter that keeps the best items of each author.

    Attributes:
        reward: The reward: a name, or several by name, which are added up with their weights.
        number: The number of items of each author that are kept.
        share: The share of each author's items that is kept, at least one item, instead of a number.
        judge: Whose taste it is: the ``author``'s, or every ``reader``'s own.
    """

    model_config = ConfigDict(json_schema_extra=exactly_one("number", "share"))

    reward: Rewards
    number: Annotated[int, Field(ge=1)] | None = None
    share: Annotated[Number, Field(gt=0.0, le=1.0)] | None = None
    judge: Literal["author", "reader"] = "author"

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if (self.number is None) == (self.share is None):
            given = "neither" if self.number is None else "both"
            raise ValueError(f"give either number (of items that are kept) or share; received {given}")
        return self

    def build_in(self, context: RewardContext) -> _Best:
        """Build the filter.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: The reward cannot be computed for the items of one of the tasks.
        """
        terms = tuple((each.weight, each.build(context)) for each in self.reward.values())
        return _Best(terms, self.number, self.share, self.judge == "reader")


@dataclass(frozen=True)
class _Best:
    terms: tuple[tuple[float, Reward], ...]
    number: int | None
    share: float | None
    by_reader: bool
    reads: bool = True

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_]]:
        return [self._kept(pool, author) for author in range(len(pool.authors))]

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        return np.ones(len(keys), dtype=np.bool_)

    def _kept(self, pool: PoolView, author: int) -> NDArray[np.bool_]:
        """Return ``(judges, items)`` flags; of each judge's."""
        judges = range(len(pool.authors)) if self.by_reader else [author]
        keys = pool.keys(author)
        kept = np.zeros((len(judges), len(keys)), dtype=np.bool_)
        for row, judge in enumerate(judges if len(keys) else ()):
            seen = pool.candidates(author, judge)
            rewards = np.zeros(len(keys))
            for weight, reward in self.terms:
                rewards += weight * reward.of(seen)
            best = np.lexsort((keys, -np.round(rewards, _DECIMALS)))
            kept[row, best[: self._most(len(keys))]] = True
        return kept

    def _most(self, items: int) -> int:
        return self.number if self.number is not None else max(1, round(float(self.share or 0.0) * items))
