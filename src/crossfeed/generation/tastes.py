"""The tastes of a cell, and the rewards by them of generated items, which are stored with the pool.

Entities that prefer the same have one taste, unless a reward depends on whose it is (its private data, its own model).
Rewards are rounded to `DECIMALS`, so that the last bits of a machine, or of other items in a batch, decide nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.description.preference import Preference
from crossfeed.generation.seen_items import SeenItems
from crossfeed.protocols import Array, Learner, Reward, RewardContext, State

__all__ = ["REWARD", "TasteOf", "Tastes", "build_tastes", "reward_column", "rewards_of"]

REWARD: Final = "reward"
"""The column of a stored pool with the rewards of its items, a list over the tastes."""

DECIMALS: Final = 6


@dataclass(frozen=True)
class TasteOf:
    """One taste.

    Attributes:
        owner: The index k of the first entity whose taste it is.
        terms: Weights and rewards, which are added up.
    """

    owner: int
    terms: tuple[tuple[float, Reward], ...]

    @property
    def most(self) -> float:
        """The least upper bound of the reward that is known."""
        return sum(weight * (reward.most if weight > 0 else reward.least) for weight, reward in self.terms if weight)


@dataclass(frozen=True)
class Tastes:
    """The tastes of a cell.

    Attributes:
        tastes: The distinct tastes.
        of: Each entity's taste, as its place among them; None for one that takes items as they are.
        context: The tasks and entities.
    """

    tastes: tuple[TasteOf, ...]
    of: tuple[int | None, ...]
    context: RewardContext
    _references: dict[str, Array] = field(default_factory=dict)

    def rewards(
        self, author: str, items: pa.Table, prompts: pa.Table, learner: Learner, states: Sequence[State]
    ) -> Array:
        """Return the rewards of one author's items.

        Args:
            author: The author's name.
            items: Generated items.
            prompts: The items that they answer, in step.
            learner: The learner of the states.
            states: All entities' states that the items are generated at.

        Returns:
            ``(items, tastes)`` rewards.
        """
        found: Array = np.zeros((items.num_rows, len(self.tastes)))
        seen = SeenItems(author, items, prompts, learner, states, self.context, self._references)
        for place, taste in enumerate(self.tastes if items.num_rows else ()):
            seen.judge = self.context.entities[taste.owner]
            for weight, reward in taste.terms:
                found[:, place] += weight * reward.of(seen)
        return np.asarray(np.round(found, DECIMALS), dtype=np.float64)


def build_tastes(preferences: Sequence[Preference | None], context: RewardContext) -> Tastes:
    """Build the tastes of a cell.

    Args:
        preferences: Each entity's choice, in order.
        context: The tasks and entities.

    Raises:
        InvalidInput: A reward cannot be computed for what is generated.
    """
    places: dict[str, int] = {}
    tastes: list[TasteOf] = []
    of: list[int | None] = []
    for k, preference in enumerate(preferences):
        if preference is None:
            of.append(None)
            continue
        terms = tuple((each.weight, each.build(context)) for each in preference.reward.values())
        key = repr(preference.reward) + (f" of {k}" if any(reward.personal for _, reward in terms) else "")
        if key not in places:
            places[key] = len(tastes)
            tastes.append(TasteOf(k, terms))
        of.append(places[key])
    return Tastes(tuple(tastes), tuple(of), context)


def reward_column(rewards: Array) -> pa.Array:
    """Return ``(rows, tastes)`` rewards as a column of a stored pool."""
    return pa.FixedSizeListArray.from_arrays(pa.array(rewards.reshape(-1)), rewards.shape[1])


def rewards_of(pool: pa.Table) -> Array:
    """Return the ``(rows, tastes)`` rewards of a stored pool; its column may hold lists of any kind."""
    flat = pc.list_flatten(pool.column(REWARD)).to_numpy()
    rewards: NDArray[np.float64] = flat.reshape(pool.num_rows, -1)
    return rewards
