"""The protocols of metrics and filters, and of what they see: snapshots of models, and views of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from crossfeed.protocols.choosing import Candidates
from crossfeed.protocols.items import Array, Measurement, Scores
from crossfeed.protocols.learning import Task

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

__all__ = ["Filter", "Metric", "PoolView", "Snapshot"]


class Snapshot(Protocol):
    """One generation as metrics see it; everything is computed when it is first needed, and then kept.

    Attributes:
        generation: The generation t.
        entities: The entities' names, in the order of the states.
        tasks: Every task by name, private ones first, ``public`` last.
        owned: Names of the tasks that each entity of the ecosystem owns, by the entity's name.
        corpora: Every task of the ecosystem by name, also those that are not measured here: what training sets hold.
    """

    @property
    def generation(self) -> int: ...  # noqa: D102 - see above

    @property
    def entities(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    @property
    def tasks(self) -> Mapping[str, Task]: ...  # noqa: D102 - see above

    @property
    def owned(self) -> Mapping[str, tuple[str, ...]]: ...  # noqa: D102 - see above

    @property
    def corpora(self) -> Mapping[str, Task]: ...  # noqa: D102 - see above

    def scores(self, task: str, items: int | None = None) -> Sequence[Scores]:
        """Return losses on a task's first test items.

        Args:
            task: The task's name.
            items: The greatest number of items; None is all of them.

        Returns:
            Each entity's losses, in order.
        """
        ...

    def score(self, items: pa.Table) -> Sequence[Scores]:
        """Return losses on other items.

        Args:
            items: Any items that the learner reads.

        Returns:
            Each entity's losses, in order.
        """
        ...

    def probabilities(self) -> Sequence[Array]:
        """Return distributions over symbols, of learners that fit them (`crossfeed.protocols.DiscreteLearner`).

        Returns:
            ``(R, d)`` probabilities of d symbols in R replicates for each entity, in order.

        Raises:
            InvalidInput: The learner fits none.
        """
        ...

    def unseen(self, task: str) -> Sequence[float]:
        """Return shares of unseen n-grams, of learners that count them (`crossfeed.protocols.CountingLearner`).

        Args:
            task: The task's name.

        Returns:
            For each entity, in order, the share of the different n-grams of the task's test items that its model has no
            count of.

        Raises:
            InvalidInput: The learner counts none.
        """
        ...

    def completions(self, task: str, items: int) -> Sequence[pa.Table]:
        """Return completions of a task's first test prompts.

        Args:
            task: The task's name.
            items: The greatest number of prompts.

        Returns:
            Each entity's generated items, in order, in step with the prompts.
        """
        ...

    def embeddings(self, task: str, items: int) -> Sequence[NDArray[np.float32]]:
        """Return features of completions of a task's first test prompts.

        Args:
            task: The task's name.
            items: The greatest number of prompts.

        Returns:
            ``(items, dimension)`` features of unit norm for each entity, in order.
        """
        ...

    def reference_embeddings(self, task: str, items: int) -> NDArray[np.float32]:
        """Return features of a task's first test items themselves.

        Args:
            task: The task's name.
            items: The greatest number of items.

        Returns:
            ``(items, dimension)`` features of unit norm.
        """
        ...

    def rewards(self, task: str, items: int) -> Mapping[str, Mapping[str, NDArray[np.float64]]]:
        """Return rewards of completions of a task's first test prompts, of the models that answer it in the pool.

        Args:
            task: The task's name.
            items: The greatest number of prompts.

        Returns:
            ``(items,)`` rewards by the author's name and by the name of the entity whose taste it is; of each author
            none, if nobody has a taste.
        """
        ...

    def completions_at(self, generation: int, task: str, items: int) -> Mapping[str, pa.Table]:
        """Return what models completed at an earlier generation; for metrics that look back.

        Args:
            generation: A generation before this one, at which the metric was measured
                (`crossfeed.settings.MetricSettings.looks_back`).
            task: The task's name.
            items: The greatest number of prompts.

        Returns:
            Generated items by the entity's name, in step with the prompts; entities that were not there are missing.
        """
        ...

    def embeddings_at(self, generation: int, task: str, items: int) -> Mapping[str, NDArray[np.float32]]:
        """Return features of what models completed at an earlier generation; for metrics that look back.

        Args:
            generation: A generation before this one, at which the metric was measured
                (`crossfeed.settings.MetricSettings.looks_back`).
            task: The task's name.
            items: The greatest number of prompts.

        Returns:
            ``(items, dimension)`` features of unit norm by the entity's name; entities that were not there are missing.
        """
        ...

    def scores_at(self, generation: int, task: str) -> Mapping[str, Scores]:
        """Return losses at an earlier generation; for metrics that look back.

        Args:
            generation: A generation before this one, whose losses of items were kept
                (`crossfeed.settings.MetricSettings.keeps_losses`).
            task: The task's name.

        Returns:
            Losses of all test items of the task that were scored, by the entity's name.
        """
        ...


class Metric(Protocol):
    """A quantity measured at a generation."""

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        """Measure a generation.

        Args:
            snapshot: The generation.

        Returns:
            The numbers, by entity and task.
        """
        ...


class PoolView(Protocol):
    """The pool that is published at one generation, as filters see it.

    Attributes:
        authors: The entities' names.
        weights: ``(K,)`` weight of each author's items in the pool; an author of weight 0 publishes nothing.
    """

    @property
    def authors(self) -> tuple[str, ...]: ...  # noqa: D102 - see above

    @property
    def weights(self) -> NDArray[np.float64]: ...  # noqa: D102 - see above

    def keys(self, author: int) -> NDArray[np.uint64]:
        """Return keys for what a filter decides at random about an author's items.

        Args:
            author: The author's index j.

        Returns:
            ``(items,)`` 64-bit keys.
        """
        ...

    def items(self, author: int) -> pa.Table:
        """Return an author's items; only for filters that read.

        Args:
            author: The author's index j.

        Returns:
            The generated items, in order.
        """
        ...

    def prompts(self, author: int) -> pa.Table:
        """Return the private training items that an author's items answer; only for filters that read.

        Args:
            author: The author's index j.

        Returns:
            Training items of the author's private task, in step with its items.
        """
        ...

    def real(self, source: str) -> Sequence[pa.Table]:
        """Return the real data that entities train on; only for filters that read.

        Args:
            source: ``private`` or ``public``.

        Returns:
            The training items of each entity's private task, in order, or those of the public one alone.
        """
        ...

    def candidates(self, author: int, judge: int) -> Candidates:
        """Return an author's items as rewards see them; only for filters that read.

        Args:
            author: The author's index j.
            judge: The index of the entity whose taste it is.

        Returns:
            The items, with their prompts, losses and features.
        """
        ...

    def losses(self, judge: int, authors: Sequence[int]) -> list[NDArray[np.float64]]:
        """Return mean losses of completions under an entity's state; only for filters that read.

        Args:
            judge: The index of the entity whose state, the one that published at this generation, scores the items.
            authors: The authors' indices j.

        Returns:
            ``(items,)`` mean loss per term (language: nats per token) of each author's items; infinite for an item
            without a single term.
        """
        ...


class Filter(Protocol):
    """A rule for which items of a pool are kept.

    Attributes:
        reads: True if it looks at the items: then every item is generated before any is drawn. A filter that does
            not decides by the items' keys alone, and only items that are drawn are generated.
    """

    @property
    def reads(self) -> bool: ...  # noqa: D102 - see above

    def synthetic(self, pool: PoolView) -> Sequence[NDArray[np.bool_] | NDArray[np.float64]]:
        """Judge the synthetic items of a pool.

        Args:
            pool: The pool.

        Returns:
            For each author a mask ``(K, items)``: row k is true where entity k keeps the item; ``(1, items)`` if all
            agree. Or weights in [0, 1] in place of the mask.
        """
        ...

    def human(self, keys: NDArray[np.uint64]) -> NDArray[np.bool_] | NDArray[np.float64]:
        """Judge fresh human items.

        Args:
            keys: ``(items,)`` 64-bit keys for what is decided at random.

        Returns:
            ``(items,)`` mask, true where an item is kept; or weights in [0, 1].
        """
        ...
