"""The protocol of rewards, by which readers and users choose among candidates, and of the candidates they see."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from crossfeed.protocols.learning import Task

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Candidates", "Reward", "RewardContext"]


@dataclass(frozen=True)
class RewardContext:
    """The context that a reward is built in.

    Attributes:
        asked: The task whose prompts each entity answers, by the entity's name.
        tasks: Every task by name, private ones and ``public``.
        entities: The entities' names, in order.
        private: Returns an entity's private training items, by its name.
    """

    asked: Mapping[str, Task]
    tasks: Mapping[str, Task]
    entities: tuple[str, ...]
    private: Callable[[str], pa.Table]


class Candidates(Protocol):
    """Generated items of one author, as a reward sees them.

    Attributes:
        author: The author's name.
        judge: The name of the entity whose taste it is.
        items: The items.
        prompts: The items that they answer, in step with them.
    """

    @property
    def author(self) -> str: ...  # noqa: D102 - see above

    @property
    def judge(self) -> str: ...  # noqa: D102 - see above

    @property
    def items(self) -> pa.Table: ...  # noqa: D102 - see above

    @property
    def prompts(self) -> pa.Table: ...  # noqa: D102 - see above

    def real(self, source: str) -> pa.Table:
        """Return real training items.

        Args:
            source: ``private``: those of the judge; or the name of a task.

        Returns:
            Training items.
        """
        ...

    def losses(self, entity: str) -> NDArray[np.float64]:
        """Return mean losses of the items' completions under a model as it is when they are generated.

        Args:
            entity: The model's name.

        Returns:
            ``(items,)`` mean loss per term (language: nats per token); infinite for an item without a term.
        """
        ...

    def features(self) -> NDArray[np.float64]:
        """Return the features in which generated items are compared.

        Returns:
            ``(items, dimension)`` features of unit norm.
        """
        ...

    def reference(self, source: str) -> NDArray[np.float64]:
        """Return the features of real training items.

        Args:
            source: See `real`.

        Returns:
            ``(rows, dimension)`` features of unit norm.
        """
        ...


class Reward(Protocol):
    """A number by which items are chosen: the higher, the better.

    Attributes:
        personal: True if it depends on whose taste it is.
        most: The least upper bound of its values that is known; infinite if there is none.
        least: The greatest lower bound that is known.
    """

    @property
    def personal(self) -> bool: ...  # noqa: D102 - see above

    @property
    def most(self) -> float: ...  # noqa: D102 - see above

    @property
    def least(self) -> float: ...  # noqa: D102 - see above

    def of(self, candidates: Candidates) -> NDArray[np.float64]:
        """Return rewards; an item's depends on the item and its prompt, not on the other candidates.

        Args:
            candidates: The items.

        Returns:
            ``(items,)`` finite numbers.
        """
        ...
