"""A language model that reads images: items travel as images with captions, and it sees them as text.

An item is a caption (``prompt``) and an image (``completion``), as generators of images read and publish it. A writer
is given the image and completes it by a caption, so that it publishes the same image with its own caption. It reads an
image row by row as a digit for each pixel, from 0 (black) to 9 (white), and a colon at its end; a coloured one in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Final, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.learners.captions.settings import CaptionsSettings
from crossfeed.protocols import (
    LearnerContext,
    Observer,
    Reading,
    RestartingLearner,
    Scores,
    State,
    Task,
    TracedLearner,
    TrainingSet,
)
from crossfeed.tasks.images import images_of

__all__ = ["CaptionsLearner", "build", "caption_in", "spelled", "spelled_tasks"]

_LEVELS: Final = 10
_END: Final = ":"
"""Ends an image: without it a model reads its caption's digits as more pixels."""


@dataclass(frozen=True)
class CaptionsLearner:
    """A writer of captions, see the module.

    Attributes:
        language: The language learner.
        reads: Training sets hold drawn items.
    """

    language: TracedLearner
    reads: Reading = "draws"

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return the number of drawn items that the language model reads, at most n.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return self.language.examples_read(n, generation, entity)

    def training_steps(self, n: int, generation: int, entity: int) -> int:
        """Return the number of steps of the language model's update.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        return self.language.training_steps(n, generation, entity)

    @property
    def guess(self) -> float | None:
        """The loss of a uniform guess of the language model."""
        return self.language.guess

    def start(self, entities: Sequence[int]) -> list[State]:
        """Return the language model's base for every entity.

        Args:
            entities: Indices of the entities.
        """
        return self.language.start(entities)

    def anew(self, entities: Sequence[int], keys: Sequence[int]) -> list[State]:
        """Return a new base of the language model for each entity.

        Args:
            entities: Indices of the entities.
            keys: One key for each.
        """
        return cast(RestartingLearner, self.language).anew(entities, keys)

    def update(
        self, states: Sequence[State], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[State]:
        """Train each state on its set, spelled as text.

        Args:
            states: One state for each training set.
            sets: Training sets of images with captions.
            keys: One key for each state.
            generation: The generation t.

        Returns:
            New states in the order of `states`.

        Raises:
            Diverged: A loss, gradient or weight is not finite; it names the entity by its index.
        """
        return self.language.update(states, _as_text(sets), keys, generation)

    def trace(
        self,
        states: Sequence[State],
        sets: Sequence[TrainingSet],
        keys: Sequence[int],
        generation: int,
        observer: Observer,
    ) -> list[State]:
        """Train as `update` does, and show states from within.

        Args:
            states: One state for each training set.
            sets: Training sets of images with captions.
            keys: One key for each state.
            generation: The generation t.
            observer: Is shown the states that it asks for.

        Returns:
            New states in the order of `states`.

        Raises:
            Diverged: A loss, gradient or weight is not finite; it names the entity by its index.
        """
        return self.language.trace(states, _as_text(sets), keys, generation, observer)

    def generate(
        self, states: Sequence[State], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Write a caption for each image.

        Args:
            states: One for each table of prompts.
            prompts: Items whose ``completion`` is an image; their captions are not read.
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of ``prompt``, the caption, and ``completion``, the image.
        """
        written = self.language.generate(states, [spelled(table) for table in prompts], keys)
        return [_captioned(table, texts) for table, texts in zip(prompts, written, strict=True)]

    def score(self, states: Sequence[State], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return losses in nats, summed over the tokens of image and caption; completions are the captions alone.

        Args:
            states: States.
            tables: Tables of images with captions.

        Returns:
            Scores of every state (outer list) on every table (inner list).
        """
        return self.language.score(states, [spelled(table) for table in tables])

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return sentence embeddings of the captions.

        Args:
            tables: Tables of images with captions.

        Returns:
            ``(rows, dimension)`` unit-norm features for each table.
        """
        return self.language.embed([spelled(table) for table in tables])

    def save(self, state: State, folder: Path) -> None:
        """Write a checkpoint of transformers.

        Args:
            state: A state.
            folder: An existing empty folder.
        """
        self.language.save(state, folder)

    def load(self, folder: Path) -> State:
        """Read a checkpoint that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: It cannot be read.
        """
        return self.language.load(folder)

    def describe(self) -> dict[str, str]:
        """Return the language model's device, precision and threads."""
        return self.language.describe()


def build(settings: CaptionsSettings, context: LearnerContext) -> CaptionsLearner:
    """Build a writer of captions on top of a language learner.

    Args:
        settings: The language model, its training and its sampling.
        context: The cell's tasks of images, seed, cache folder and progress display.

    Raises:
        MissingDependency: torch or transformers is not installed.
        InvalidInput: A task has no images.
    """
    return CaptionsLearner(cast(TracedLearner, settings.language.build(spelled_tasks(context))))


def _as_text(sets: Sequence[TrainingSet]) -> list[TrainingSet]:
    return [
        TrainingSet(tuple(replace(part, items=spelled(part.items)) for part in training.parts)) for training in sets
    ]


def spelled(table: pa.Table) -> pa.Table:
    """Spell items as text: the image becomes the ``prompt``, the caption the ``completion``.

    Args:
        table: Items with a caption (``prompt``) and an image (``completion``).
    """
    images = images_of(table, "what a writer of captions reads")
    levels = np.rint(images.mean(axis=3) * ((_LEVELS - 1) / 255)).astype(np.int64) if len(images) else images
    texts = ["".join(map(str, one.ravel().tolist())) + _END for one in levels]
    captions = [f" {caption}" for caption in table.column("prompt").to_pylist()]
    return pa.table({"prompt": pa.array(texts, pa.string()), "completion": pa.array(captions, pa.string())})


def caption_in(text: str) -> str:
    """Return the caption in a completion: its first line.

    Args:
        text: A language model's completion.
    """
    return text.strip().partition("\n")[0].strip()


def spelled_tasks(context: LearnerContext) -> LearnerContext:
    """Return a context whose tasks have their training items spelled as text, for a language learner.

    Args:
        context: The cell's tasks of images.

    Raises:
        InvalidInput: A task has no images.
    """
    for name, task in context.tasks.items():
        columns = task.train.schema
        if "completion" not in columns.names or not pa.types.is_binary(columns.field("completion").type):
            raise InvalidInput(f"task {name!r} has no images; give a source of images, such as digits or images")
    return replace(context, tasks={name: _spelled(task) for name, task in context.tasks.items()})


def _spelled(task: Task) -> Task:
    """Return what a language learner reads of a task."""
    tables = {"train": spelled(task.train), "test": spelled(task.test)}
    return cast("Task", SimpleNamespace(name=task.name, content=task.content, **tables))


def _captioned(table: pa.Table, texts: pa.Table) -> pa.Table:
    captions = [caption_in(text) for text in texts.column("completion").to_pylist()]
    return pa.table({"prompt": pa.array(captions, pa.string()), "completion": table.column("completion")})
