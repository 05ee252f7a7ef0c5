r"""A learner that runs the whole loop in milliseconds: a model of single words.

Its state is a vector of word counts c over hashed words; it writes words i.i.d. from
:math:`p_v = (c_v + s) / \sum_u (c_u + s)`, its loss is :math:`-\log p`, and an update averages the counts with those of
the training set. It is small but a true generative model: entities do learn each other's words through the pool, so
tests of the loop can ask for the effect, not only for the plumbing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import AfterValidator, Field

from crossfeed.errors import Diverged, InvalidInput
from crossfeed.keys import address, generator, item_keys, uniforms
from crossfeed.protocols import LearnerContext, Reading, Scores, Task, TrainingSet
from crossfeed.settings import LearnerSettings, Sequence_, TaskSettings

__all__ = ["FakeLearner", "FakeSettings", "FakeTask", "FakeTaskSettings", "build"]

VOCABULARY: Final = 64
LENGTH: Final = 6
_SMOOTHING: Final = 0.1

Counts = NDArray[np.float64]


def _is_word(text: str) -> str:
    if text.split() != [text]:
        raise ValueError("a word is not empty and has no white space")
    return text


Word = Annotated[str, AfterValidator(_is_word), Field(json_schema_extra={"pattern": r"^\S+$"})]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class FakeSettings(LearnerSettings):
    """A model of single words, for tests and for trying descriptions out.

    Attributes:
        reads_at_most: Most drawn items that an update reads; default all.
        diverge_at: A generation at which updating fails, to show a failure.
    """

    builder: ClassVar[str] = "crossfeed.learners.fake:build"
    loss_unit: ClassVar[str] = "nats/word"

    kind: Literal["fake"] = "fake"
    reads_at_most: Annotated[int, Field(ge=1)] | None = None
    diverge_at: Annotated[int, Field(ge=0)] | None = None

    @property
    def restarts(self) -> bool:
        """True: a new model has counts of its own."""
        return True


class FakeTaskSettings(TaskSettings):
    """Sentences of random words.

    Attributes:
        words: The words of the sentences.
        train: Number of training items.
        test: Number of validation items, and of test items.
        seed: Seed of the sentences.
    """

    source: Literal["fake"] = "fake"
    licence: ClassVar[str] = "apache-2.0"
    words: Annotated[Sequence_[Word], Field(min_length=1)] = ("red", "green", "blue")
    train: Count = 60
    test: Count = 12
    seed: int = 0

    def build(self, name: str, data_root: Path | None) -> Task:
        """Draw the sentences.

        Args:
            name: The task's name.
            data_root: Not used.
        """
        splits = (("train", self.train), ("validation", self.test), ("test", self.test))
        tables = {split: _sentences(self.words, rows, (self.seed, split)) for split, rows in splits}
        described = f"source={self.source!r} words={self.words!r} train={self.train} test={self.test} seed={self.seed}"
        content = f"{address(described):016x}"
        return FakeTask(name, tables["train"], tables["validation"], tables["test"], content)


@dataclass(frozen=True)
class FakeTask:
    """Sentences whose answer is the first word of the completion."""

    name: str
    train: pa.Table
    validation: pa.Table
    test: pa.Table
    content: str

    def restricted(self, rows: NDArray[np.int64]) -> FakeTask:
        """Return the task with some rows of `train` alone."""
        content = f"{address(self.content, *map(int, rows)):016x}"
        return replace(self, train=self.train.take(pa.array(rows)), content=content)

    def reserve(self, generations: int) -> tuple[FakeTask, Sequence[pa.Table]]:
        """Set the second half of the training data aside, in equal pieces.

        Args:
            generations: Number of pieces.

        Returns:
            The task without them, and the pieces.

        Raises:
            InvalidInput: There are fewer items than pieces.
        """
        kept = self.train.num_rows // 2
        if self.train.num_rows - kept < generations:
            raise InvalidInput(f"{self.name}: half of {self.train.num_rows} items are too few for {generations} pieces")
        size = (self.train.num_rows - kept) // generations
        fresh = [self.train.slice(kept + t * size, size) for t in range(generations)]
        return FakeTask(self.name, self.train.slice(0, kept), self.validation, self.test, self.content), fresh

    def grade(self, items: pa.Table, completions: Sequence[str]) -> NDArray[np.bool_] | None:
        """Return ``(rows,)`` True where a completion begins with the right word.

        Args:
            items: Items with an ``answer``.
            completions: One for each item.
        """
        right = items.column("answer").to_pylist()
        return np.array([text.split()[:1] == [answer] for text, answer in zip(completions, right, strict=True)])


@dataclass(frozen=True)
class FakeLearner:
    """A model of single words, see the module.

    Attributes:
        settings: The description.
        names: ``(VOCABULARY,)`` the word written for each bucket of words.
        reads: Training sets hold drawn items.
    """

    settings: FakeSettings
    names: tuple[str, ...]
    reads: Reading = "draws"

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return the number of drawn items that an update reads: all, or the limit of the settings.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return n if self.settings.reads_at_most is None else min(n, self.settings.reads_at_most)

    def start(self, entities: Sequence[int]) -> list[Counts]:
        """Return zero counts for every entity.

        Args:
            entities: Indices of the entities.
        """
        return [np.zeros(VOCABULARY) for _ in entities]

    def anew(self, entities: Sequence[int], keys: Sequence[int]) -> list[Counts]:
        """Return counts below 1 that depend on a key.

        Args:
            entities: Indices of the entities.
            keys: One key for each.
        """
        return [uniforms(item_keys(key, np.arange(VOCABULARY))) for key in keys]

    def update(
        self, states: Sequence[Counts], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[Counts]:
        """Average each state with the word counts of its training set.

        Args:
            states: ``(VOCABULARY,)`` counts of each entity.
            sets: One training set for each state.
            keys: Not used.
            generation: The generation t.

        Returns:
            New counts in the order of `states`.

        Raises:
            Diverged: The settings let this generation fail.
        """
        if generation == self.settings.diverge_at:
            raise Diverged(f"generation {generation}, step 1: the loss is nan", 0)
        return [(state + _count(training.items)) / 2 for state, training in zip(states, sets, strict=True)]

    def generate(
        self, states: Sequence[Counts], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Draw words by their probabilities; prompts have no effect.

        Args:
            states: ``(VOCABULARY,)`` counts, one for each table of prompts.
            prompts: Items with a ``prompt``.
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of ``prompt`` and ``completion``.
        """
        return [_write(*each, self.names) for each in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[Counts], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return negative log probabilities of the words, in nats.

        Args:
            states: ``(VOCABULARY,)`` counts.
            tables: Tables of items.

        Returns:
            Scores of every state (outer list) on every table (inner list).
        """
        counted = [_bags(table) for table in tables]
        return [[_score(state, *each) for each in counted] for state in states]

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return normalised bags of words.

        Args:
            tables: Tables of items.

        Returns:
            ``(rows, VOCABULARY)`` unit-norm features for each table.
        """
        return [_features(items) for items in tables]

    def save(self, state: Counts, folder: Path) -> None:
        """Write the counts as ``counts.npy``.

        Args:
            state: ``(VOCABULARY,)`` counts.
            folder: An existing empty folder.
        """
        np.save(folder / "counts.npy", state, allow_pickle=False)

    def load(self, folder: Path) -> Counts:
        """Read the counts that `save` wrote.

        Args:
            folder: The folder written by `save`.
        """
        counts: Counts = np.load(folder / "counts.npy", allow_pickle=False)
        return counts

    def describe(self) -> dict[str, str]:
        """Return the device, for the run's environment file."""
        return {"device": "cpu"}


def build(settings: FakeSettings, context: LearnerContext) -> FakeLearner:
    """Build the learner, which writes with the words of its tasks.

    Args:
        settings: The description.
        context: The cell's tasks.
    """
    texts = (text for task in context.tasks.values() for text in task.train.column("completion").to_pylist())
    words = {_bucket(word): word for text in texts for word in text.split()}
    return FakeLearner(settings, tuple(words.get(bucket, f"w{bucket}") for bucket in range(VOCABULARY)))


@cache
def _bucket(word: str) -> int:
    return address("word", word) % VOCABULARY


def _bag(text: str) -> Counts:
    return np.bincount([_bucket(word) for word in text.split()], minlength=VOCABULARY).astype(np.float64)


def _features(items: pa.Table) -> NDArray[np.float32]:
    bags = np.stack([_bag(text) for text in items.column("completion").to_pylist()])
    features: NDArray[np.float32] = (bags / np.linalg.norm(bags, axis=1, keepdims=True)).astype(np.float32)
    return features


def _count(items: pa.Table) -> Counts:
    counts: Counts = _bag(" ".join(items.column("completion").to_pylist())) / items.num_rows
    return counts


def _probabilities(state: Counts) -> Counts:
    smoothed = state + _SMOOTHING
    shares: Counts = smoothed / smoothed.sum()
    return shares


def _write(state: Counts, prompts: pa.Table, keys: NDArray[np.uint64], names: tuple[str, ...]) -> pa.Table:
    edges = np.cumsum(_probabilities(state))[:-1]
    words = np.stack([np.searchsorted(edges, uniforms(keys, salt)) for salt in range(1, LENGTH + 1)], axis=1)
    texts = [" ".join(names[word] for word in row) for row in words]
    return pa.table({"prompt": prompts.column("prompt"), "completion": pa.array(texts, pa.string())})


def _bags(table: pa.Table) -> tuple[Counts, Counts]:
    """Return the words of each text, counted, and its bytes: the same for every state."""
    texts = table.column("completion").to_pylist()
    return np.stack([_bag(text) for text in texts]), np.array([len(text.encode()) for text in texts], dtype=np.float64)


def _score(state: Counts, bags: Counts, text_bytes: Counts) -> Scores:
    surprise = -np.log(_probabilities(state))
    loss, size = bags @ surprise, bags.sum(axis=1)
    return Scores(loss, size, loss, size, text_bytes)


def _sentences(words: tuple[str, ...], rows: int, path: tuple[int | str, ...]) -> pa.Table:
    drawn = generator(*path, *words).integers(len(words), size=(rows, LENGTH))
    texts = [" ".join(words[word] for word in row) for row in drawn]
    prompts = [f"{path[1]} {row}:" for row in range(rows)]
    answers = [text.split()[0] for text in texts]
    return pa.table({"prompt": prompts, "completion": texts, "answer": answers})
