"""Snapshots of a generation for metrics: losses, completions and embeddings, each computed once and only if needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.keys import address, item_keys
from crossfeed.protocols import Array, CountingLearner, DiscreteLearner, Learner, Scores, State, Task

__all__ = ["LiveSnapshot", "Rater", "Stored", "nothing_stored"]

Stored = Callable[[str, int], pa.Table]
"""Reads a table of an earlier generation, given the step (``outputs`` or ``losses``) and the generation."""

_LOSSES: Final = ("loss", "size", "completion_loss", "completion_size")
_ABOUT_OUTPUTS: Final = frozenset({"model", "task", "item", "reference", "embedding"})


def nothing_stored(step: str, generation: int) -> pa.Table:
    """Refuse every table: the past of a snapshot that has none.

    Args:
        step: The step.
        generation: The generation t.

    Raises:
        LookupError: Always.
    """
    raise LookupError(f"no {step} of generation {generation}: this snapshot has no past")


@dataclass(frozen=True)
class Rater:
    """Rates outputs by all tastes.

    Attributes:
        asked: The name of the task whose prompts each entity answers in the pool, by the entity's name.
        rate: Returns ``(items,)`` rewards of an author's answers to prompts, by the name of the entity whose taste it
            is.
    """

    asked: Mapping[str, str]
    rate: Callable[[str, pa.Table, pa.Table], Mapping[str, NDArray[np.float64]]]


@dataclass
class LiveSnapshot:
    """One generation of a run, measured lazily (see `crossfeed.protocols.Snapshot`).

    A completion of test prompt i depends on (seed, task, entity, i) and the weights: generations answer the same
    prompt with the same random numbers, so that what changes between them is the model.

    Attributes:
        generation: The generation t.
        entities: The entities' names.
        states: Their states, in the same order.
        tasks: Every task by name.
        learner: The learner that scores, generates and embeds.
        seed: The experiment's seed.
        owned: Names of the tasks that each entity of the ecosystem owns, by the entity's name.
        stored: Reads tables of earlier generations.
        references: Features of test items by task and number of items, which are the same at every generation: a
            dictionary that is shared, and filled as they are requested.
        corpora: Every task of the ecosystem by name.
        rater: Rates outputs by all tastes; None if nobody has one.
    """

    generation: int
    entities: tuple[str, ...]
    states: Sequence[State]
    tasks: Mapping[str, Task]
    learner: Learner
    seed: int
    owned: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stored: Stored = nothing_stored
    references: dict[tuple[str, int], NDArray[np.float32]] = field(default_factory=dict)
    corpora: Mapping[str, Task] = field(default_factory=dict)
    rater: Rater | None = None
    _scores: dict[int | None, dict[str, list[Scores]]] = field(default_factory=dict)
    _distributions: list[Array] | None = None
    _completions: dict[str, list[pa.Table]] = field(default_factory=dict)
    _embeddings: dict[str, list[NDArray[np.float32]]] = field(default_factory=dict)
    _past: dict[tuple[str, int], pa.Table] = field(default_factory=dict)

    def scores(self, task: str, items: int | None = None) -> Sequence[Scores]:
        """Return each entity's losses on a task's first test items; all tasks are scored in one call."""
        wanted = None if None in self._scores else items
        if wanted not in self._scores:
            tables = [known.test if wanted is None else known.test.slice(0, wanted) for known in self.tasks.values()]
            by_entity = self.learner.score(self.states, tables)
            self._scores[wanted] = dict(zip(self.tasks, map(list, zip(*by_entity, strict=True)), strict=True))
        known = self._scores[wanted][task]
        return known if wanted == items else [scores.first(items) for scores in known]

    def score(self, items: pa.Table) -> Sequence[Scores]:
        """Return each entity's losses on other items."""
        return [tables[0] for tables in self.learner.score(self.states, [items])]

    def probabilities(self) -> Sequence[Array]:
        """Return each entity's ``(R, d)`` distribution over symbols, of learners that fit one."""
        if self._distributions is None:
            if not hasattr(self.learner, "probabilities"):
                raise InvalidInput(
                    "the experiment has a metric of distributions over symbols, and its learner fits none; give a "
                    "learner of kind: categorical, or leave the metric out"
                )
            learner = cast(DiscreteLearner, self.learner)
            self._distributions = [learner.probabilities(state) for state in self.states]
        return self._distributions

    def unseen(self, task: str) -> Sequence[float]:
        """Return each entity's share of unseen n-grams of a task's test items, of learners that count n-grams."""
        if not hasattr(self.learner, "unseen"):
            raise InvalidInput(
                "the experiment has a metric of unseen n-grams, and its learner counts none; give a learner of kind: "
                "ngram, or leave the metric out"
            )
        learner, items = cast(CountingLearner, self.learner), self.tasks[task].test
        return [learner.unseen(state, items) for state in self.states]

    def completions(self, task: str, items: int) -> Sequence[pa.Table]:
        """Return each entity's completions of a task's first test prompts."""
        rows = min(items, self.tasks[task].test.num_rows)
        known = self._completions.get(task)
        done = known[0].num_rows if known else 0
        if done < rows:
            more = self._complete(task, np.arange(done, rows))
            known = [pa.concat_tables(pair) for pair in zip(known, more, strict=True)] if known else more
            self._completions[task] = known
        return [table.slice(0, rows) for table in self._completions[task]]

    def embeddings(self, task: str, items: int) -> Sequence[NDArray[np.float32]]:
        """Return ``(items, dimension)`` features of each entity's completions of a task's first test prompts."""
        tables = self.completions(task, items)
        rows = tables[0].num_rows
        known = self._embeddings.get(task)
        done = len(known[0]) if known else 0
        if done < rows:
            more = self.learner.embed([table.slice(done) for table in tables])
            known = [np.concatenate(pair) for pair in zip(known, more, strict=True)] if known else more
            self._embeddings[task] = known
        return [features[:rows] for features in self._embeddings[task]]

    def reference_embeddings(self, task: str, items: int) -> NDArray[np.float32]:
        """Return ``(items, dimension)`` features of a task's first test items themselves."""
        test = self.tasks[task].test
        place = task, min(items, test.num_rows)
        # Not cut from features of more items: what else is in a batch changes their rounding.
        if place not in self.references:
            self.references[place] = self.learner.embed([test.slice(0, items)])[0]
        return self.references[place]

    def rewards(self, task: str, items: int) -> Mapping[str, Mapping[str, NDArray[np.float64]]]:
        """Return rewards of completions by author and taste."""
        rater = self.rater
        if rater is None:
            return {entity: {} for entity in self.entities}
        own = [entity for entity in self.entities if rater.asked[entity] == task]
        prompts = self.tasks[task].test.slice(0, items)
        outputs = dict(zip(self.entities, self.completions(task, items), strict=True)) if own else {}
        return {entity: rater.rate(entity, outputs[entity], prompts) for entity in own}

    def completions_at(self, generation: int, task: str, items: int) -> Mapping[str, pa.Table]:
        """Return what models completed at an earlier generation, by the entity's name."""
        outputs = self._earlier("outputs", generation)
        own = outputs.select([name for name in outputs.column_names if name not in _ABOUT_OUTPUTS])
        return {entity: own.take(pa.array(rows[:items])) for entity, rows in _by_model(outputs, task).items()}

    def embeddings_at(self, generation: int, task: str, items: int) -> Mapping[str, NDArray[np.float32]]:
        """Return features of what models completed at an earlier generation, by the entity's name."""
        outputs = self._earlier("outputs", generation)
        features: dict[str, NDArray[np.float32]] = {}
        for entity, rows in _by_model(outputs, task).items():
            embedded = outputs.column("embedding").take(pa.array(rows[:items])).combine_chunks()
            if len(embedded) and embedded.null_count == 0:
                features[entity] = embedded.flatten().to_numpy().reshape(len(embedded), -1)
        return features

    def scores_at(self, generation: int, task: str) -> Mapping[str, Scores]:
        """Return losses of a task's test items at an earlier generation, by the entity's name."""
        losses = self._earlier("losses", generation)
        return {
            entity: Scores(*(losses.column(name).to_numpy()[rows] for name in _LOSSES))
            for entity, rows in _by_model(losses, task).items()
        }

    def _earlier(self, step: str, generation: int) -> pa.Table:
        """Return a table of an earlier generation, which is read once for all metrics."""
        place = step, generation
        if place not in self._past:
            self._past[place] = self.stored(step, generation)
        return self._past[place]

    def item_losses(self) -> pa.Table:
        """Return the losses of the single test items that were scored.

        Returns:
            Columns ``model``, ``task``, ``item`` (the row of the test items), ``loss`` and ``size`` (summed loss and
            its number of terms), ``completion_loss`` and ``completion_size``.
        """
        most = max(self._scores, key=lambda items: float("inf") if items is None else items)
        tables = []
        for task, by_entity in self._scores[most].items():
            for entity, scores in zip(self.entities, by_entity, strict=True):
                rows = len(scores.loss)
                columns = {name: pa.array(getattr(scores, name), pa.float64()) for name in _LOSSES}
                place = {"model": pa.array([entity] * rows, pa.string()), "task": pa.array([task] * rows, pa.string())}
                tables.append(pa.table(place | {"item": pa.array(np.arange(rows))} | columns))
        return pa.concat_tables(tables)

    def outputs(self) -> pa.Table | None:
        """Return everything that was completed.

        Returns:
            Columns ``model``, ``task``, ``item``, the own ones of items, ``reference`` (the test item's own completion,
            if it has one) and ``embedding`` (null where nothing was embedded); None if nothing was completed.
        """
        tables = [
            self._output(name, entity, index)
            for name in self._completions
            for index, entity in enumerate(self.entities)
        ]
        return pa.concat_tables(tables, promote_options="permissive") if tables else None

    def _complete(self, task: str, items: NDArray[np.int64]) -> list[pa.Table]:
        prompts = self.tasks[task].test.slice(int(items[0]), len(items))
        keys = [item_keys(address(self.seed, "complete", task, entity), items) for entity in self.entities]
        return self.learner.generate(self.states, [prompts] * len(self.entities), keys)

    def _output(self, task: str, entity: str, index: int) -> pa.Table:
        table = self._completions[task][index]
        rows = table.num_rows
        features = self._embeddings[task][index] if task in self._embeddings else np.empty((0, 0), np.float32)
        missing: list[list[float] | None] = [None] * (rows - len(features))
        columns = {
            "model": pa.array([entity] * rows, pa.string()),
            "task": pa.array([task] * rows, pa.string()),
            "item": pa.array(np.arange(rows)),
            **{name: table.column(name) for name in table.column_names},
            "reference": self._reference(task, rows),
            "embedding": pa.array([*features, *missing], pa.list_(pa.float32())),
        }
        return pa.table(columns)

    def _reference(self, task: str, rows: int) -> pa.Array | pa.ChunkedArray:
        test = self.tasks[task].test
        if "completion" not in test.column_names:
            return pa.nulls(rows, pa.string())
        return test.column("completion").slice(0, rows)


def _by_model(table: pa.Table, task: str) -> dict[str, NDArray[np.int64]]:
    """Return the rows of a task by the model that they are of, in the order of its items."""
    rows = np.flatnonzero(table.column("task").to_numpy() == task)
    rows = rows[np.argsort(table.column("item").to_numpy()[rows], kind="stable")]
    models = table.column("model").to_numpy()[rows]
    return {str(model): rows[models == model] for model in dict.fromkeys(models.tolist())}
