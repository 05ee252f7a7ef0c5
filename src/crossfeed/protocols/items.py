"""Values that pass between learners, tasks and metrics: training sets, losses and measurements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "ALL_MODELS",
    "FRESH",
    "PRIVATE",
    "PUBLIC",
    "Array",
    "Measurement",
    "Part",
    "Reading",
    "Scores",
    "State",
    "TrainingSet",
]

PRIVATE: Final = "private"
"""The source of an entity's own real data."""

PUBLIC: Final = "public"
"""The source, and the task, of the real data that all entities share."""

FRESH: Final = "fresh"
"""The source of new human items that are collected together with a pool."""

ALL_MODELS: Final = "all models"
"""The model of a number that is of all models together; no entity's name holds a space."""

Array = NDArray[np.float64]
"""An array of real numbers; docstrings give its shape."""

Reading = Literal["draws", "everything"]
"""The contents of a learner's training sets, see `crossfeed.protocols.Learner.reads`."""

State = Any
"""One entity's parameters at one generation; only its learner looks inside. A state is never changed in place."""


@dataclass(frozen=True)
class Part:
    """The contribution of one source to one training set.

    Attributes:
        source: ``private``, ``public``, ``fresh``, or the name of the synthetic items' author.
        born: The generation at which the items were published; 0 for real data.
        weight: The source's weight in the mixture; the weights of a training set's parts sum to 1.
        items: The source's items: all of them if the learner reads everything, the drawn ones otherwise.
        positions: ``(m,)`` positions of the items in the training set, in step with `items`.
        relative: ``(m,)`` relative weights of the items, of mean 1, where a filter weighs what it does not drop and the
            learner reads everything; None if all items of the source weigh the same.
    """

    source: str
    born: int
    weight: float
    items: pa.Table
    positions: NDArray[np.int64]
    relative: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class TrainingSet:
    """One entity's training set of one generation, by source.

    Attributes:
        parts: The contributions of the sources.
    """

    parts: tuple[Part, ...]

    @property
    def size(self) -> int:
        """The number of items."""
        return sum(part.items.num_rows for part in self.parts)

    @property
    def items(self) -> pa.Table:
        """All items in the order in which they were drawn; columns that a source lacks are null."""
        import pyarrow as pa  # descriptions are read without it

        tables = [part.items for part in self.parts if part.items.num_rows]
        order = np.argsort(np.concatenate([p.positions for p in self.parts if p.items.num_rows]), kind="stable")
        return pa.concat_tables(tables, promote_options="permissive").take(pa.array(order))


@dataclass(frozen=True)
class Scores:
    """Additive losses of n items under one state: a mean loss is ``loss.sum() / size.sum()``.

    Attributes:
        loss: ``(n,)`` summed loss of each item (language: nats over all tokens of prompt and completion).
        size: ``(n,)`` number of terms in each sum (language: tokens predicted).
        completion_loss: ``(n,)`` the same over the completion alone; equal to `loss` where there is no prompt.
        completion_size: ``(n,)`` number of terms in it.
        text_bytes: ``(n,)`` UTF-8 bytes of the text that `loss` is of; None where items are no text.
    """

    loss: NDArray[np.float64]
    size: NDArray[np.float64]
    completion_loss: NDArray[np.float64]
    completion_size: NDArray[np.float64]
    text_bytes: NDArray[np.float64] | None = None

    def first(self, items: int | None) -> Scores:
        """Return the scores of the first items.

        Args:
            items: How many, at most; None is all of them.

        Returns:
            Scores of `items` items, or of all if there are fewer.
        """
        text_bytes = None if self.text_bytes is None else self.text_bytes[:items]
        completion = self.completion_loss[:items], self.completion_size[:items]
        return Scores(self.loss[:items], self.size[:items], *completion, text_bytes)


@dataclass(frozen=True)
class Measurement:
    """One measured number.

    Attributes:
        model: The entity, ``a+b`` for a pair, or `ALL_MODELS`; empty for a number of the run itself.
        task: The task, or the source of items; empty if there is none.
        metric: The name of the measured quantity.
        value: The number.
    """

    model: str
    task: str
    metric: str
    value: float
