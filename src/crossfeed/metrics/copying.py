r"""Copying of training text: which runs of a model's words stand in real training data, and in whose.

A model reads its own private data and public data; the private data of others reach it through what they publish alone,
unless its base has read them. An n-gram of a completion counts for the first of these places that holds it:

1. the prompt that is completed: what a model repeats of it is one of its n-grams, but copied from no data;
2. ``own``: the private training data of the model's own tasks;
3. ``public``: the public training data;
4. ``others``: the private training data of all other entities. What counts here stands in nothing real that the model
   may read.

``copied_own``, ``copied_public`` and ``copied_others`` are the shares of all n-grams of a model's completions, n = 8
words unless chosen otherwise (cf. Lee et al., 2022; Carlini et al., 2023), that count for each; their sum is the share
that is copied at all. ``longest_own``, ``longest_public`` and ``longest_others`` are the lengths in words of the
longest runs that count for each, whatever n is; 0 if there is none. They are exact (`crossfeed.metrics.word_index`).

Words are those of `crossfeed.metrics.completions.words_of`. Runs cross neither from one completion to the next nor from
one training item to the next; a training item's text is its prompt with its completion. The prompts of outputs are not
counted. Items that no training set holds (validation, test, what a cap of the data leaves out) and fresh data are not
looked at. A model that writes no word has no number, one whose completions all have fewer than n words no shares; a
source without text has none.

Texts of one kind share phrases that nobody copied: generation 0, at which nothing has been published yet, shows how
many.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from crossfeed.metrics.completions import completion_texts, words_of
from crossfeed.metrics.word_index import WordIndex
from crossfeed.protocols import PUBLIC, Measurement, Snapshot, Task
from crossfeed.settings import Measure, MetricSettings
from crossfeed.tasks.text import holds_text

__all__ = ["CopyingSettings"]

_SOURCES: Final = {"own": "own private data", "public": "public data", "others": "the others' private data"}

_MOST: Final = 50_000_000
"""Words in all indices that are kept, at most: 16 bytes each, and their vocabularies."""

Words = Sequence[Sequence[str]]
"""Texts as words."""

Lengths = NDArray[np.int64]
"""``(words,)`` lengths of the longest runs that begin at each word."""


class CopyingSettings(MetricSettings):
    """Shares of outputs' n-grams, and longest runs of words, that stand in own, public and the others' training data.

    Attributes:
        items: Number of test prompts of each data set to complete, at most.
        words: n, the number of words in an n-gram of which shares are taken.
    """

    measures = (
        *(
            Measure(
                f"copied_{source}",
                f"Copied from {whose}",
                0.0005,
                section="quality",
                shown=frozenset({"terminal", "page"} if source == "others" else {"page"}),
                unit="share of n-grams",
            )
            for source, whose in _SOURCES.items()
        ),
        *(
            Measure(
                f"longest_{source}",
                f"Longest run from {whose}",
                section="quality",
                shown=frozenset({"page"} if source == "others" else ()),
                unit="words",
            )
            for source, whose in _SOURCES.items()
        ),
    )

    items: Annotated[int, Field(ge=1)] = 200
    words: Annotated[int, Field(ge=1)] = 8

    def build(self) -> _Copying:
        """Build the metric."""
        return _Copying(self.items, self.words)


@dataclass(frozen=True)
class _Copying:
    items: int
    n: int

    def measure(self, snapshot: Snapshot) -> list[Measurement]:
        written = {task: _written(snapshot, task, self.items) for task in snapshot.tasks}
        prompts = WordIndex(_placed((task, _prompts(snapshot.tasks[task], self.items)) for task in written))
        numbers = []
        for place, entity in enumerate(snapshot.entities):
            outputs = {task: own for task, texts in written.items() if (own := texts[place])}
            in_prompts = prompts.longest(_placed(outputs.items()))
            found = {"": in_prompts} | {
                source: index.longest([words for texts in outputs.values() for words in texts])
                for source, index in _indices(snapshot, entity).items()
            }
            begin = 0
            for task, texts in outputs.items():
                end = begin + sum(map(len, texts))
                here = {source: lengths[begin:end] for source, lengths in found.items()}
                numbers += [Measurement(entity, task, *number) for number in self._numbers(texts, here)]
                begin = end
        return numbers

    def _numbers(self, texts: Words, found: Mapping[str, Lengths]) -> Iterator[tuple[str, float]]:
        """Yield numbers by name, for the places that hold a run in the order in which they count."""
        grams = sum(max(0, len(words) - self.n + 1) for words in texts)
        before = np.zeros_like(found[""])
        for source, lengths in found.items():
            if source and len(lengths):
                if grams:
                    counted = (lengths >= self.n) & (before < self.n)
                    yield f"copied_{source}", float(counted.sum() / grams)
                yield f"longest_{source}", float(np.where(lengths > before, lengths, 0).max())
            before = np.maximum(before, lengths)


def _written(snapshot: Snapshot, task: str, items: int) -> list[Words]:
    """Return the words of each entity's completions, in order; none of one whose items are no text."""
    texts = [completion_texts(table) or [] for table in snapshot.completions(task, items)]
    return [[words_of(text) for text in own] for own in texts]


def _prompts(task: Task, items: int) -> Words:
    if not holds_text(task.test):
        return []
    return [words_of(prompt or "") for prompt in task.test.column("prompt").slice(0, items).to_pylist()]


def _placed(tasks: Iterable[tuple[str, Words]]) -> list[list[tuple[str, int, str]]]:
    """Return texts whose words are those of one item alone, so that an output is found in its own prompt or nowhere."""
    return [[(task, item, word) for word in words] for task, texts in tasks for item, words in enumerate(texts)]


def _indices(snapshot: Snapshot, entity: str) -> dict[str, WordIndex]:
    """Return the indices of the sources that hold text, in the order in which they count.

    That of all private tasks serves for the others' data: a run in it that is longer than any in the entity's own data
    stands in the data of others.
    """
    own = snapshot.owned.get(entity, ())
    everyone = tuple(dict.fromkeys(task for owned in snapshot.owned.values() for task in owned))
    others = [name for name in everyone if name not in own]
    sources = {"own": _texts_of(snapshot, own), "public": _texts_of(snapshot, (PUBLIC,))}
    if _texts_of(snapshot, others):
        sources["others"] = _texts_of(snapshot, everyone)
    return {source: _KNOWN.of(tasks) for source, tasks in sources.items() if tasks}


def _texts_of(snapshot: Snapshot, names: Sequence[str]) -> list[Task]:
    """Return those of some tasks that are known and whose training items are texts."""
    tasks = [snapshot.corpora[name] for name in names if name in snapshot.corpora]
    return [task for task in tasks if holds_text(task.train)]


class _Known:
    """Indices of training data, kept from one generation and cell to the next; those not used for longest go first."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[tuple[str, int], ...], WordIndex] = OrderedDict()

    def of(self, tasks: Sequence[Task]) -> WordIndex:
        """Return the index of the training items of some tasks.

        Args:
            tasks: The tasks; two with the same `content` and number of training items are one.
        """
        key = tuple((task.content, task.train.num_rows) for task in tasks)
        if key not in self._kept:
            self._kept[key] = WordIndex(words_of(text) for task in tasks for text in _items(task.train))
            while len(self._kept) > 1 and sum(index.size for index in self._kept.values()) > _MOST:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]


_KNOWN: Final = _Known()


def _items(items: pa.Table) -> Iterator[str]:
    """Yield each item's text: its prompt with its completion."""
    columns = (items.column(name).to_pylist() for name in ("prompt", "completion"))
    return ((prompt or "") + (completion or "") for prompt, completion in zip(*columns, strict=True))
