"""The generator of images behind the protocol of learners."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from crossfeed.display.formatting import shown
from crossfeed.errors import Diverged, InvalidInput
from crossfeed.keys import address
from crossfeed.learners.images.flow import draw, images_of_steps, noised, score, train
from crossfeed.learners.images.model import VelocityModel, make_network, read_weights
from crossfeed.learners.images.settings import ImagesSettings
from crossfeed.learners.neural.device import open_device
from crossfeed.learners.neural.snapshots import Snapshots, Unobserved
from crossfeed.learners.neural.working_model import Tensors
from crossfeed.protocols import LearnerContext, Observer, Reading, Scores, TrainingSet
from crossfeed.tasks.images import images_of, to_png
from crossfeed.tasks.images_classifier import Classifier, fixed_classifier

__all__ = ["ImagesLearner"]


class ImagesLearner:
    """Class-conditional velocity fields of one architecture.

    Items are rows with the class's name (``prompt``) and a file's bytes (``completion``).

    Args:
        settings: The description.
        context: The cell's tasks, seed, cache folder and progress display.

    Raises:
        InvalidInput: A task has no images, or images of tasks differ in shape.

    Attributes:
        reads: Training sets hold drawn items.
    """

    reads: Reading = "draws"

    def __init__(self, settings: ImagesSettings, context: LearnerContext) -> None:
        self._settings = settings
        self._context = context
        self._device = open_device(settings.device, "fp32", settings.threads)
        shapes: dict[tuple[int, ...], str] = {}
        for name, task in context.tasks.items():
            if "completion" not in task.train.column_names or not pa.types.is_binary(
                task.train.schema.field("completion").type
            ):
                raise InvalidInput(f"task {name!r} has no images; give a source of images, such as digits or images")
            shapes.setdefault(images_of(task.train.slice(0, 1), name).shape[1:], name)
        if len(shapes) > 1:
            received = " and ".join(f"{shape} ({name})" for shape, name in shapes.items())
            raise InvalidInput(f"images of tasks are of the shapes {received}; give all of them one size and colour")
        height, width, channels = next(iter(shapes))
        self._shape = (height, width, channels)
        labels = {label for task in context.tasks.values() for label in task.train.column("prompt").to_pylist()}
        self._classes = {name: number for number, name in enumerate(sorted(labels))}

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return the number of drawn images that the steps of an update read, at most n.

        Args:
            n: Number of drawn images.
            generation: The generation t.
            entity: The entity's index.
        """
        training = self._settings.training
        steps = training.steps_at(generation)
        return n if steps is None else min(n, steps * training.batch_size)

    def training_steps(self, n: int, generation: int, entity: int) -> int:
        """Return the number of steps of an update: one pass over the drawn images unless they are told.

        Args:
            n: Number of drawn images.
            generation: The generation t.
            entity: The entity's index.
        """
        training = self._settings.training
        steps = training.steps_at(generation)
        return -(-n // training.batch_size) if steps is None else steps

    @property
    def guess(self) -> None:
        """None: no velocity field is a guess."""
        return

    def start(self, entities: Sequence[int]) -> list[Tensors]:
        """Return the same initial weights for every entity.

        Args:
            entities: Indices of the entities.

        Raises:
            InvalidInput: The network cannot be built, or does not fit the images.
        """
        return [self._initial] * len(entities)

    def anew(self, entities: Sequence[int], keys: Sequence[int]) -> list[Tensors]:
        """Return new initial weights for each entity.

        Args:
            entities: Indices of the entities.
            keys: One key for each.
        """
        return [self._weights(address(int(key), "images", "weights")) for key in keys]

    def update(
        self, states: Sequence[Tensors], sets: Sequence[TrainingSet], keys: Sequence[int], generation: int
    ) -> list[Tensors]:
        """Train each state on its set; images whose caption names no class are left out.

        Args:
            states: Parameters by name, one state for each training set.
            sets: Training sets of drawn items.
            keys: One key for each state; it seeds noise, times and the order of repeated passes.
            generation: The generation t.

        Returns:
            New states in the order of `states`.

        Raises:
            Diverged: A loss, gradient or weight is not finite; it names the entity by its index.
        """
        return self.trace(states, sets, keys, generation, Unobserved())

    def trace(
        self,
        states: Sequence[Tensors],
        sets: Sequence[TrainingSet],
        keys: Sequence[int],
        generation: int,
        observer: Observer,
    ) -> list[Tensors]:
        """Train as `update` does, and show states from within, which are kept until their entity's update is over.

        Args:
            states: Parameters by name, one state for each training set.
            sets: Training sets of drawn items.
            keys: One key for each state.
            generation: The generation t.
            observer: Is shown the states that it asks for.

        Returns:
            New states in the order of `states`.

        Raises:
            Diverged: A loss, gradient or weight is not finite; it names the entity by its index.
        """
        return [
            self._train(state, drawn, int(key), generation, entity, observer)
            for entity, (state, drawn, key) in enumerate(zip(states, sets, keys, strict=True))
        ]

    def generate(
        self, states: Sequence[Tensors], prompts: Sequence[pa.Table], keys: Sequence[NDArray[np.uint64]]
    ) -> list[pa.Table]:
        """Sample an image for each prompt.

        Args:
            states: One for each table of prompts.
            prompts: Items whose ``prompt`` is the name of a class.
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of ``prompt`` and ``completion``, a PNG file's bytes.

        Raises:
            InvalidInput: A prompt names no class of the tasks.
        """
        return [self._draw(state, items, own) for state, items, own in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[Tensors], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return flow matching losses; an image is one term, over which pixels are summed.

        Args:
            states: States.
            tables: Tables of items.

        Returns:
            Scores of every state (outer list) on every table (inner list).

        Raises:
            InvalidInput: A caption names no class of the tasks.
        """
        items = []
        for table in tables:
            names = table.column("prompt").to_pylist()
            images = images_of(table, "what is scored")
            items.append(noised(images, names, self._numbers(names), self._settings.scoring.draws))
        scores = []
        for state in states:
            self._model.load(state)
            scores.append([self._scores(score(self._model, one, self._settings.sampling.batch_size)) for one in items])
        return scores

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return features of a classifier that is trained on all tasks' real images.

        Args:
            tables: Tables of items.

        Returns:
            ``(rows, dimension)`` unit-norm features for each table.

        Raises:
            MissingDependency: scikit-learn is not installed.
        """
        return [self._classifier.features(images_of(table, "what is embedded")) for table in tables]

    def save(self, state: Tensors, folder: Path) -> None:
        """Write a checkpoint of diffusers.

        Args:
            state: Parameters by name.
            folder: An existing empty folder.
        """
        self._model.save(state, folder)

    def load(self, folder: Path) -> Tensors:
        """Read a checkpoint that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: It cannot be read.
        """
        return read_weights(folder, self._model.module)

    def describe(self) -> dict[str, str]:
        """Return device, precision and threads, for the run's environment file."""
        return self._device.describe()

    def _train(
        self, state: Tensors, drawn: TrainingSet, key: int, generation: int, entity: int, observer: Observer
    ) -> Tensors:
        if not drawn.size:
            return state
        items = drawn.items.slice(0, self.examples_read(drawn.size, generation, entity))
        items = items.filter(pc.is_in(items.column("prompt"), value_set=pa.array(list(self._classes))))
        images, classes = images_of(items, "a training set"), self._numbers(items.column("prompt").to_pylist())
        training = self._settings.training
        steps = len(images_of_steps(len(images), training, generation, key))
        snapshots = Snapshots(observer, entity, steps)
        with self._context.progress.stage("steps", steps) as shown:
            advance = snapshots.after(shown, self._model.weights)
            try:
                trained = train(self._model, state, images, classes, training, generation, key, advance)
            except Diverged as error:
                raise Diverged(error.message, entity) from error
        snapshots.show()
        return trained

    def _draw(self, state: Tensors, items: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        sampling, names = self._settings.sampling, items.column("prompt").to_pylist()
        self._model.load(state)
        with self._context.progress.stage("images", len(names)) as advance:
            images = draw(self._model, self._numbers(names), keys, sampling.steps, sampling.batch_size, advance)
        files = [to_png(image) for image in images]
        return pa.table({"prompt": pa.array(names, pa.string()), "completion": pa.array(files, pa.binary())})

    def _scores(self, losses: NDArray[np.float64]) -> Scores:
        sizes = np.ones(len(losses))
        return Scores(losses, sizes, losses, sizes)

    def _numbers(self, names: Sequence[str]) -> NDArray[np.int64]:
        unknown = sorted(set(names) - set(self._classes))
        if unknown:
            known = ", ".join(self._classes)
            raise InvalidInput(f"an image of {shown(unknown[0])} was asked for; the classes of the tasks are {known}")
        return np.array([self._classes[name] for name in names], dtype=np.int64)

    @cached_property
    def _initial(self) -> Tensors:
        seed = self._context.seed if self._settings.seed is None else self._settings.seed
        return self._weights(address(seed, "images", "weights"))

    def _weights(self, seed: int) -> Tensors:
        with self._device.seeded(seed):
            module = make_network(self._settings.network, self._shape, len(self._classes))
        return {name: parameter.detach() for name, parameter in module.named_parameters()}

    @cached_property
    def _model(self) -> VelocityModel:
        module = make_network(self._settings.network, self._shape, len(self._classes))
        return VelocityModel(module, self._shape, self._device)

    @cached_property
    def _classifier(self) -> Classifier:
        tables = [task.train for _, task in sorted(self._context.tasks.items())]
        table = pa.concat_tables([table.select(["prompt", "completion"]) for table in tables])
        names = table.column("prompt").to_pylist()
        return fixed_classifier(names, images_of(table, "the tasks' images"), self._context.cache)
