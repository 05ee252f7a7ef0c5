"""N-gram models as generative models: counted anew from the drawn texts at every update; see `ngram.counts`."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.keys import item_keys
from crossfeed.learners.ngram.counts import NgramCounts, OrderCounts, Sampler, counted, distinct_places, framed
from crossfeed.learners.ngram.settings import NgramSettings
from crossfeed.learners.ngram.units import Integers, Texts, Vocabulary, column_of, text_of, vocabulary_of
from crossfeed.protocols import Array, LearnerContext, Reading, Scores, TrainingSet
from crossfeed.tasks.text import holds_text

__all__ = ["NgramLearner", "build"]

_FILE: Final = "counts.npz"
_FEATURES: Final = 512


def build(settings: NgramSettings, context: LearnerContext) -> NgramLearner:
    """Build the learner, whose vocabulary is that of all data of its tasks.

    Args:
        settings: The description.
        context: The cell's tasks.

    Raises:
        InvalidInput: The items of a task are no texts.
    """
    texts = []
    for name, task in context.tasks.items():
        if not holds_text(task.train):
            raise InvalidInput(
                f"task {name!r}: the learner 'ngram' reads texts; received {type(task).__name__}; give a task with "
                "texts, such as source: facts, bookcorpus or files"
            )
        texts += [text_of(items) for items in (task.train, task.validation, task.test)]
    return NgramLearner(settings, vocabulary_of(settings.unit, texts))


@dataclass(frozen=True)
class NgramLearner:
    """N-gram models of one order.

    Attributes:
        settings: The description.
        vocabulary: The units of all data.
    """

    settings: NgramSettings
    vocabulary: Vocabulary

    reads: Reading = "draws"

    @property
    def _symbols(self) -> int:
        return self.vocabulary.written + 1

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return n: every drawn text is read.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return n

    def start(self, entities: Sequence[int]) -> list[NgramCounts]:
        """Return the counts of nothing for every entity: a uniform distribution over the vocabulary.

        Args:
            entities: Indices of the entities.
        """
        return [NgramCounts.empty(self._symbols, self.settings.order)] * len(entities)

    def update(
        self, states: Sequence[NgramCounts], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[NgramCounts]:
        """Count the n-grams of each training set anew.

        Args:
            states: States, which nothing is taken from.
            sets: Training sets of texts.
            keys: One key for each state; nothing is random in counting.
            generation: The generation t.

        Returns:
            New states in the order of `sets`.
        """
        framed_sets = (self._framed(text_of(training.items)) for training in sets)
        return [counted(units, self._symbols, self.settings.order) for units in framed_sets]

    def generate(
        self, states: Sequence[NgramCounts], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Write on after prompts, unit by unit, until a text ends or is `max_length` units long.

        Args:
            states: One for each table of prompts.
            prompts: Items with a ``prompt``.
            keys: ``(rows,)`` keys for each table of prompts; every position of an item has numbers of its own.

        Returns:
            Tables of ``prompt``, ``completion`` and ``finished``.
        """
        return [self._written(*each) for each in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[NgramCounts], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return -log p in nats, summed over the units of each text and its end.

        Args:
            states: States.
            tables: Tables of texts.

        Returns:
            Scores of every state (outer list) on every table (inner list).
        """
        read, prior = [_Read.of(self.vocabulary, items) for items in tables], self.settings.prior
        return [[each.scores(state.probabilities(each.units, prior)) for each in read] for state in states]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return how often completions hold each unit, units being dealt to 512 features by their keys.

        Args:
            tables: Tables of texts.

        Returns:
            ``(rows, 512)`` unit-norm features for each table; all completions without a unit have the same.
        """
        return [_bags(self.vocabulary.encode(column_of(items, "completion"))) for items in tables]

    def unseen(self, state: NgramCounts, items: pa.Table) -> float:
        """Return the share of the different n-grams of texts, of the model's order, that it has no count of.

        Args:
            state: The state.
            items: Texts; their beginnings and ends are units, too.
        """
        units = self._framed(text_of(items))
        places = distinct_places(units, self._symbols, self.settings.order)
        numbers = state.numbers(units)[-1][places]
        last = state.orders[-1].counts
        known = last[numbers] > 0 if len(last) else np.zeros(len(places), bool)
        return 1.0 - float(np.mean(known & (numbers >= 0))) if len(places) else 0.0

    def save(self, state: NgramCounts, folder: Path) -> None:
        """Write keys and counts of each order as ``counts.npz``.

        Args:
            state: The state.
            folder: An existing empty folder.
        """
        arrays = {f"keys_{j}": order.keys for j, order in enumerate(state.orders, 1)}
        arrays |= {f"counts_{j}": order.counts for j, order in enumerate(state.orders, 1)}
        np.savez(folder / _FILE, allow_pickle=False, **arrays)

    def load(self, folder: Path) -> NgramCounts:
        """Read the counts that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: The file cannot be read.
        """
        try:
            # From memory: NumPy leaves a file open that it cannot read.
            with np.load(io.BytesIO((folder / _FILE).read_bytes()), allow_pickle=False) as archive:
                orders = range(1, self.settings.order + 1)
                read = tuple(OrderCounts(archive[f"keys_{j}"], archive[f"counts_{j}"]) for j in orders)
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
            raise DataUnavailable(f"{folder}: {_FILE} cannot be read ({error})") from error
        return NgramCounts(self._symbols, read)

    def describe(self) -> dict[str, str]:
        """Return device, precision and the size of the vocabulary, for the run's environment file."""
        return {"device": "cpu", "precision": "float64", "vocabulary": str(self.vocabulary.size)}

    def _framed(self, texts: pa.Array) -> Integers:
        return framed(self.vocabulary.encode(texts), self.vocabulary.begin, self.vocabulary.end)

    def _written(self, state: NgramCounts, prompts: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        sampler = Sampler(state, self.settings.prior, self.settings.temperature)
        contexts = sampler.contexts(self._recent(prompts))
        units, lengths = np.empty((len(keys), self.settings.max_length), np.int64), np.zeros(len(keys), np.int64)
        finished, going = np.zeros(len(keys), bool), np.arange(len(keys))
        for position in range(self.settings.max_length + 1):
            drawn = sampler.draw(contexts, keys[going], position)
            ends = drawn == self.vocabulary.end
            finished[going[ends]] = True
            going, drawn = going[~ends], drawn[~ends]
            if position == self.settings.max_length or not len(going):
                break
            units[going, position], lengths[going] = drawn, position + 1
            contexts = sampler.advanced([context[~ends] for context in contexts], drawn)
        written = Texts(units[np.arange(self.settings.max_length) < lengths[:, None]], lengths)
        completions = pa.array(self.vocabulary.decode(written), pa.string())
        return pa.table({"prompt": prompts.column("prompt"), "completion": completions, "finished": pa.array(finished)})

    def _recent(self, prompts: pa.Table) -> Integers:
        """Return the last m - 1 units of prompts, ``(rows, m - 1)``, -1 before their beginning."""
        texts, wanted = self.vocabulary.encode(column_of(prompts, "prompt")), self.settings.order - 1
        back = np.arange(wanted, 0, -1)
        units = np.concatenate([texts.units, [0]])
        recent: Integers = units[np.maximum(texts.ends[:, None] - back, 0)]
        missing = back - texts.lengths[:, None]
        recent[missing == 1] = self.vocabulary.begin
        recent[missing > 1] = -1
        return recent


@dataclass(frozen=True)
class _Read:
    """Texts that are scored.

    Attributes:
        units: ``(total,)`` framed units.
        begins: ``(n,)`` where each text begins.
        completions: ``(n,)`` where its completion begins.
        text_bytes: ``(n,)`` its UTF-8 bytes.
    """

    units: Integers
    begins: Integers
    completions: Integers
    text_bytes: Array

    @classmethod
    def of(cls, vocabulary: Vocabulary, items: pa.Table) -> _Read:
        whole = text_of(items)
        texts, prompts = vocabulary.encode(whole), vocabulary.encode(column_of(items, "prompt"))
        begins = np.concatenate([[0], np.cumsum(texts.lengths + 2)[:-1]])
        asked = np.minimum(prompts.lengths, texts.lengths)
        text_bytes = pc.binary_length(whole).to_numpy(zero_copy_only=False).astype(np.float64)
        units = framed(texts, vocabulary.begin, vocabulary.end)
        return cls(units, begins, begins + 1 + asked, text_bytes)

    def scores(self, probabilities: Array) -> Scores:
        with np.errstate(divide="ignore"):  # what was never read, without a prior
            losses = -np.log(probabilities)
        losses[self.begins] = 0.0
        ends = np.append(self.begins[1:], len(self.units))
        loss = np.add.reduceat(losses, self.begins)
        # Every completion holds the end of its text.
        pairs = np.stack([self.completions, ends], axis=1).ravel()
        completion_loss = np.add.reduceat(np.append(losses, 0.0), pairs)[::2]
        size = (ends - self.begins - 1).astype(np.float64)
        completion_size = (ends - self.completions).astype(np.float64)
        return Scores(loss, size, completion_loss, completion_size, self.text_bytes)


def _bags(texts: Texts) -> NDArray[np.float32]:
    rows = np.repeat(np.arange(len(texts.lengths)), texts.lengths)
    place = (item_keys(0, texts.units) % np.uint64(_FEATURES)).astype(np.int64)
    bags = np.bincount(rows * _FEATURES + place, minlength=len(texts.lengths) * _FEATURES)
    bags = bags.reshape(-1, _FEATURES).astype(np.float64)
    bags[texts.lengths == 0] = 1.0
    features: NDArray[np.float32] = (bags / np.linalg.norm(bags, axis=1, keepdims=True)).astype(np.float32)
    return features
