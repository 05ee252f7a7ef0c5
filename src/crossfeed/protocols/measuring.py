"""What looks at models and at what they write: metrics and filters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.protocols.items import Measurement, Scores
from crossfeed.protocols.learning import Task

__all__ = ["Filter", "Metric", "Scraped", "Snapshot"]


class Snapshot(Protocol):
    """What metrics see of one generation; everything is computed when first asked for, and then kept.

    Attributes:
        generation: The generation t.
        entities: The entities' names, in the order of the states.
        tasks: Every task by name, private ones first, ``public`` last.
    """

    @property
    def generation(self) -> int: ...  # noqa: D102 - see above

    @property
    def entities(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    @property
    def tasks(self) -> Mapping[str, Task]: ...  # noqa: D102 - see above

    def scores(self, task: str) -> Sequence[Scores]:
        """Each entity's losses on the task's test items."""
        ...

    def score(self, items: pa.Table) -> Sequence[Scores]:
        """Each entity's losses on other items."""
        ...

    def completions(self, task: str, items: int) -> Sequence[pa.Table]:
        """Each entity's completions of the task's first test prompts (at most `items` of them)."""
        ...

    def embeddings(self, task: str, items: int) -> Sequence[NDArray[np.float32]]:
        """``(items, dimension)`` features of each entity's completions."""
        ...

    def reference_embeddings(self, task: str, items: int) -> NDArray[np.float32]:
        """``(items, dimension)`` features of the task's first test items themselves."""
        ...


class Metric(Protocol):
    """Something measured at a generation."""

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        """The numbers."""
        ...


class Scraped(Protocol):
    """What filters see of the pool that is published at one generation.

    Attributes:
        authors: The entities' names.
        weights: ``(K,)`` weight of each author's items in the pool; an author of weight 0 publishes nothing.
    """

    @property
    def authors(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    @property
    def weights(self) -> NDArray[np.float64]: ...  # noqa: D102 - see above

    def keys(self, author: int) -> NDArray[np.uint64]:
        """``(items,)`` keys for what a filter decides at random about an author's items."""
        ...

    def items(self, author: int) -> pa.Table:
        """What an author wrote; only for filters that read."""
        ...

    def prompts(self, author: int) -> pa.Table:
        """The private training items that an author's items answer, in step with them; only for filters that read."""
        ...

    def losses(self, judge: int, authors: Sequence[int]) -> list[NDArray[np.float64]]:
        """``(items,)`` for each author: mean loss of completions under the state of an entity that was published from.

        Infinite for an item without a single term. Only for filters that read.
        """
        ...


class Filter(Protocol):
    """What of a pool is kept.

    Attributes:
        reads: Whether it looks at the items: then every item is generated before any is drawn. A filter that does
            not decides by the items' keys alone, and only items that are drawn are generated.
    """

    @property
    def reads(self) -> bool: ...  # noqa: D102 - see above

    def synthetic(self, pool: Scraped) -> Sequence[NDArray[np.bool_]]:
        """For each author ``(K, items)`` truth values: whether entity k keeps an item; ``(1, items)`` if all agree."""
        ...

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_]:
        """``(items,)`` whether fresh human items are kept; `keys` are for what is decided at random."""
        ...
