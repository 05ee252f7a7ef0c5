"""The reward of symbols: a number for each symbol of a discrete distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.errors import InvalidInput
from crossfeed.protocols import Candidates, RewardContext
from crossfeed.settings import Number, RewardSettings, Sequence_

__all__ = ["SymbolsSettings"]

_SYMBOL: Final = "symbol"


class SymbolsSettings(RewardSettings):
    """A number for each symbol.

    Attributes:
        values: The rewards of symbols 0, 1, ..., one for each symbol of the tasks.
    """

    values: Annotated[Sequence_[Number], Field(min_length=1, max_length=1_000_000)]

    def build(self, context: RewardContext) -> _Symbols:
        """Build the reward.

        Args:
            context: The tasks and entities.

        Raises:
            InvalidInput: A task has no symbols, another number of them, or several replicates.
        """
        for name, task in context.asked.items():
            truth = getattr(task, "truth", None)
            if _SYMBOL not in task.train.column_names or truth is None:
                raise InvalidInput(
                    f"ecosystem.preference.reward.symbols: a function of symbols, and what {name} generates are none; "
                    "give tasks of source: categorical, or a reward of what it generates"
                )
            if len(truth) != len(self.values):
                raise InvalidInput(
                    f"ecosystem.preference.reward.symbols.values: {len(self.values)} numbers for the {len(truth)} "
                    f"symbols of the task {task.name!r}; give {len(truth)}"
                )
            if task.train.column(_SYMBOL).type.list_size > 1:
                raise InvalidInput(
                    f"ecosystem.preference.reward.symbols: the task {task.name!r} has replicates side by side, and a "
                    "choice is of one item; give replicates: 1, and more seeds"
                )
        return _Symbols(np.array(self.values))


@dataclass(frozen=True)
class _Symbols:
    values: NDArray[np.float64]
    personal: bool = False

    @property
    def least(self) -> float:
        return float(self.values.min())

    @property
    def most(self) -> float:
        return float(self.values.max())

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        column = candidates.items.column(_SYMBOL).combine_chunks()
        return np.asarray(self.values[column.flatten().to_numpy()], dtype=np.float64)
