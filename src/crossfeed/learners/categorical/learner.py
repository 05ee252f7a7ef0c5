r"""Categorical distributions as generative models: Wright-Fisher sampling, if they read what they wrote.

With :math:`c_i` the count of symbol i among n items and a prior of a for each of the d symbols,

.. math:: p_i = \frac{c_i + a}{n + d a}, \qquad q_i = p_i^{1/\tau} \Big/ \sum_j p_j^{1/\tau} ,

p is the fitted distribution and q what items are drawn from. One model without a prior that replaces its data by its
own n items loses heterozygosity by the factor 1 - 1/n a generation in expectation (Wright, 1931; Fisher, 1930).

A state is the counts of one entity in R replicates, an array (R, d) of doubles: counts are no whole numbers where
sources are weighed. R times d is at most `crossfeed.tasks.categorical.MOST_NUMBERS`, 0.8 GB for each entity.

With ``reads: draws`` the replicates of a cell share which items are drawn, and with them the number of items from each
author: given the draws, replicates are independent, and an expectation over the draws too takes several seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.keys import address, item_keys, uniforms
from crossfeed.learners.categorical.settings import CategoricalSettings
from crossfeed.learners.numeric import mean_scores
from crossfeed.protocols import Array, LearnerContext, Reading, Scores, TrainingSet
from crossfeed.tasks.categorical import CategoricalTask, symbol_items, symbols_of
from crossfeed.tasks.inverse_transform import InverseTransform, Symbols, symbol_type

__all__ = ["CategoricalLearner", "build"]

_FILE: Final = "counts.npy"
_SIGNS: Final = 256
_BUCKETS: Final = 4
"""Buckets of a table for each symbol, so that few draws need a bisection."""
_MOST_BUCKETS: Final = 2**16
"""Buckets of a table at most: with more, making it costs more than the bisections that it saves. The number does not
depend on what is drawn, nor does an item then depend on the others to the last bit."""
_AT_ONCE: Final = 2**16
"""Draws that are computed together: their numbers stay in a processor's cache."""


def build(settings: CategoricalSettings, context: LearnerContext) -> CategoricalLearner:
    """Build the learner for the tasks of an experiment.

    Args:
        settings: The description.
        context: The cell's tasks.

    Raises:
        InvalidInput: A task has no symbols, or numbers of symbols or replicates differ.
    """
    shapes = {}
    for name, task in context.tasks.items():
        if not isinstance(task, CategoricalTask):
            raise InvalidInput(
                f"task {name!r}: the learner 'categorical' reads symbols; received {type(task).__name__}; give a task "
                "of source: categorical"
            )
        shapes[name] = task.replicates, len(task.truth)
    if len(set(shapes.values())) > 1:
        received = ", ".join(f"{name}: d = {d}, R = {r}" for name, (r, d) in shapes.items())
        raise InvalidInput(f"tasks: all need the same numbers of symbols and of replicates; received {received}")
    return CategoricalLearner(settings.prior, settings.temperature, settings.reads, *next(iter(shapes.values())))


@dataclass(frozen=True)
class CategoricalLearner:
    """Distributions of R replicates side by side; a state is an array of counts ``(R, d)``, see the module.

    Attributes:
        prior: a.
        temperature: tau.
        reads: What training sets hold.
        replicates: R.
        symbols: d.
    """

    prior: float
    temperature: float
    reads: Reading
    replicates: int
    symbols: int

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return n: every drawn item is read.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return n

    def start(self, entities: Sequence[int]) -> list[Array]:
        """Return a uniform distribution for every entity: a count of 1 for each symbol.

        Args:
            entities: Indices of the entities.

        Returns:
            One ``(R, d)`` array for each entity.
        """
        return [np.ones((self.replicates, self.symbols))] * len(entities)

    def update(
        self, states: Sequence[Array], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[Array]:
        """Count the symbols of each training set anew.

        Args:
            states: ``(R, d)`` counts of each entity, which nothing is taken from.
            sets: One training set for each state.
            keys: One key for each state; nothing is random in counting.
            generation: The generation t.

        Returns:
            New ``(R, d)`` counts in the order of `states`.
        """
        return [self._counted(training) for training in sets]

    def generate(
        self, states: Sequence[Array], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Draw symbols from each distribution; prompts have no effect.

        Args:
            states: ``(R, d)`` counts, one for each table of prompts.
            prompts: Items; only their number matters.
            keys: ``(rows,)`` keys for each table of prompts; replicate r uses the number of salt r + 1.

        Returns:
            Tables of symbols.
        """
        return [symbol_items(self._drawn(state, own)) for state, own in zip(states, keys, strict=True)]

    def score(self, states: Sequence[Array], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return -log p in nats, averaged over replicates; infinite where a symbol is lost in one of them.

        Args:
            states: ``(R, d)`` counts.
            tables: Tables of symbols.

        Returns:
            Scores of every state (outer list) on every table (inner list), one term for each item.
        """
        symbols, rows = [symbols_of(items) for items in tables], np.arange(self.replicates)
        scored = []
        for state in states:
            with np.errstate(divide="ignore"):  # a symbol that is lost
                losses = -np.log(self.probabilities(state))
            scored.append([mean_scores(losses[rows, each]) for each in symbols])
        return scored

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        r"""Return sums over replicates of random vectors, one of 256 signs for each symbol of each replicate.

        The cosine of two items is 1 where all their symbols agree, and otherwise, but for chance of the order 1/16,
        the share of replicates in which they agree; its cost does not grow with d.

        Args:
            tables: Tables of symbols.

        Returns:
            ``(rows, 256)`` unit-norm features for each table.
        """
        return [_signs(symbols_of(items)) for items in tables]

    def save(self, state: Array, folder: Path) -> None:
        """Write the counts as ``counts.npy``.

        Args:
            state: ``(R, d)`` counts.
            folder: An existing empty folder.
        """
        np.save(folder / _FILE, state, allow_pickle=False)

    def load(self, folder: Path) -> Array:
        """Read the ``(R, d)`` counts that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: The file cannot be read.
        """
        try:
            counts: Array = np.load(folder / _FILE, allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise DataUnavailable(f"{folder}: {_FILE} cannot be read ({error})") from error
        return counts

    def probabilities(self, state: Array) -> Array:
        """Return the fitted distribution p; the temperature has no part in it.

        Args:
            state: ``(R, d)`` counts.

        Returns:
            ``(R, d)`` probabilities.
        """
        fitted: Array = (state + self.prior) / (state.sum(axis=1, keepdims=True) + self.symbols * self.prior)
        return fitted

    def describe(self) -> dict[str, str]:
        """Return device, precision and sizes, for the run's environment file."""
        sizes = {"symbols": str(self.symbols), "replicates": str(self.replicates)}
        return {"device": "cpu", "precision": "float64", **sizes}

    def _counted(self, training: TrainingSet) -> Array:
        parts = [part for part in training.parts if part.items.num_rows]
        symbols = [symbols_of(part.items) for part in parts]
        if self.reads == "draws":
            return self._histogram(np.concatenate(symbols)).astype(np.float64)
        total = sum(part.weight for part in parts)
        weighed = [
            self._histogram(each, part.relative) * (training.size * part.weight / (total * len(each)))
            for part, each in zip(parts, symbols, strict=True)
        ]
        return np.asarray(sum(weighed[1:], start=weighed[0]))

    def _histogram(self, symbols: Symbols, relative: Array | None = None) -> NDArray[Any]:
        """Return the ``(R, d)`` counts of symbols ``(n, R)``, or sums of the items' relative weights ``(n,)``."""
        cells = self.replicates * self.symbols
        places = symbols + np.arange(0, cells, self.symbols, dtype=np.int64)
        weights = None if relative is None else np.repeat(relative, self.replicates)
        return np.bincount(places.ravel(), weights, cells).reshape(self.replicates, self.symbols)

    def _drawn(self, state: Array, keys: NDArray[np.uint64]) -> Symbols:
        """Return symbols ``(rows, R)``."""
        tables, drawn = self._tables(state), np.empty((self.replicates, len(keys)), symbol_type(self.symbols))
        step = max(1, _AT_ONCE // max(1, len(keys)))
        for begin in range(0, self.replicates, step):
            salts = np.arange(begin + 1, min(begin + step, self.replicates) + 1, dtype=np.uint64)
            drawn[begin : begin + step] = tables.draw(uniforms(keys, salts[:, None]), begin)
        return drawn.T

    def _tables(self, state: Array) -> InverseTransform:
        """Return tables of q; a model that only counts draws one of the items that it has read."""
        whole = state.astype(np.int64)
        if self.prior == 0 and self.temperature == 1 and (whole == state).all():
            return InverseTransform.of_counts(whole)
        weights = state + self.prior
        if self.temperature != 1:
            weights = (weights / weights.max(axis=1, keepdims=True)) ** (1 / self.temperature)
        return InverseTransform.of_weights(weights, min(_BUCKETS * self.symbols, _MOST_BUCKETS))


def _signs(symbols: Symbols) -> NDArray[np.float32]:
    """Return unit-norm features ``(n, 256)`` of symbols ``(n, R)``."""
    total = np.zeros((len(symbols), _SIGNS), np.float32)
    words = np.arange(_SIGNS // 64, dtype=np.uint64)
    for replicate in range(symbols.shape[1]):
        # Column by column: all at once would take 256 numbers for each symbol.
        keys = item_keys(address("symbol", replicate), symbols[:, replicate])
        numbers = item_keys(0, (keys[:, None] ^ words).ravel())
        bits = np.unpackbits(numbers.view(np.uint8).reshape(len(symbols), -1), axis=1)
        total += 2.0 * bits - 1.0
    norms = np.linalg.norm(total, axis=1, keepdims=True)
    # An even number of vectors can cancel; then all ones stand for nothing.
    features: NDArray[np.float32] = np.where(norms > 0, total, 1.0) / np.where(norms > 0, norms, _SIGNS**0.5)
    return features.astype(np.float32)
