"""The language learner: transformers' causal models behind crossfeed's protocol."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from crossfeed.errors import Diverged
from crossfeed.learners.language.decoding import complete
from crossfeed.learners.language.embedding import Embedder
from crossfeed.learners.language.model import LanguageState, WorkingModel
from crossfeed.learners.language.pretrained import read_model, read_tokenizer
from crossfeed.learners.language.scoring import score
from crossfeed.learners.language.scratch import make_base
from crossfeed.learners.language.settings import LanguageSettings
from crossfeed.learners.language.tokens import Codec, texts
from crossfeed.learners.language.training import examples_of_steps, train
from crossfeed.learners.neural.compiled.kernels import kernels
from crossfeed.learners.neural.device import open_device, quiet
from crossfeed.protocols import LearnerContext, Reading, Scores, TrainingSet

__all__ = ["LanguageLearner"]

_OPTIMIZER = "optimizer.safetensors"


class LanguageLearner:
    """Causal language models that share one base, one tokenizer and one working module.

    Items are rows with the strings ``prompt`` and ``completion`` and perhaps ``finished`` (whether the text ends
    after the completion; null and a missing column mean that it does).

    Attributes:
        reads: Training sets hold drawn items.
    """

    reads: Reading = "draws"

    def __init__(self, settings: LanguageSettings, context: LearnerContext) -> None:
        self._settings = settings
        self._context = context
        self._device = open_device(settings.device, settings.precision, settings.threads)
        self._embedder = Embedder(settings.embedder, self._device)

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """How many of n drawn items an update really reads."""
        training = self._settings.training
        steps = training.steps_at(generation)
        return n if steps is None else min(n, steps * training.examples_per_step)

    def start(self, entities: Sequence[int]) -> list[LanguageState]:
        """The base, for every entity."""
        return [LanguageState(self._read_weights(*self._base))] * len(entities)

    def update(
        self,
        states: Sequence[LanguageState],
        sets: Sequence[TrainingSet],
        keys: Sequence[int],
        generation: int,
    ) -> list[LanguageState]:
        """Train each state on its set.

        Raises:
            Diverged: A loss or gradient is not finite.
        """
        return [
            self._train(state, drawn, int(key), generation, entity)
            for entity, (state, drawn, key) in enumerate(zip(states, sets, keys, strict=True))
        ]

    def generate(
        self,
        states: Sequence[LanguageState],
        prompts: Sequence[pa.Table],
        keys: Sequence[NDArray[np.uint64]],
    ) -> list[pa.Table]:
        """Complete prompts; tables of ``prompt``, ``completion`` and ``finished``."""
        return [self._generate(state, items, own) for state, items, own in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[LanguageState], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Losses of every state on every table, in nats over tokens."""
        codec, longest = self._codec, self._settings.training.max_length
        coded = [codec.examples(items, longest) for items in tables]
        found = []
        for state in states:
            self._model.load(state.weights)
            size = self._settings.evaluation.batch_size
            found.append([score(self._model, examples, size, codec.pad) for examples in coded])
        return found

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Unit-norm sentence embeddings of the completions."""
        return [self._embedder.embed(texts(items, "completion")) for items in tables]

    def save(self, state: LanguageState, folder: Path) -> None:
        """Write a checkpoint of transformers, with its tokenizer, and the optimizer's moments if there are any."""
        self._model.save(state.weights, folder)
        with quiet():
            self._codec.tokenizer.save_pretrained(folder)
        if state.optimizer:
            save_file(dict(state.optimizer), folder / _OPTIMIZER)

    def load(self, folder: Path) -> LanguageState:
        """Read a checkpoint.

        Raises:
            DataUnavailable: It cannot be read.
        """
        path = folder / _OPTIMIZER
        return LanguageState(self._read_weights(str(folder), None), load_file(path) if path.exists() else {})

    def describe(self) -> dict[str, str]:
        """Device, precision, threads, and on a CPU whether parts of small models are compiled.

        Compiled or not, bf16 is another precision: without a compiler all of a model is under autocast.
        """
        found = self._device.describe()
        if not self._device.on_host:
            return found
        compiled = kernels() is not None
        if self._device.bf16 and compiled:
            found["precision"] += ", compiled"
        return found | {"compiled": "yes" if compiled else "no"}

    def _train(self, state: LanguageState, drawn: TrainingSet, key: int, generation: int, entity: int) -> LanguageState:
        items = drawn.items.slice(0, self.examples_read(drawn.size, generation, entity)) if drawn.size else None
        training, codec = self._settings.training, self._codec
        examples = codec.examples(items, training.max_length) if items is not None else []
        ids = [example.ids for example in examples]
        steps = len(examples_of_steps(len(ids), training, generation, key))
        with self._context.progress.stage("steps", steps) as advance:
            try:
                return train(self._model, state, ids, training, generation, key, codec.pad, advance)
            except Diverged as error:
                raise Diverged(error.message, entity) from error

    def _generate(self, state: LanguageState, items: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        codec, generation = self._codec, self._settings.generation
        prompts = codec.prompts(items, generation.max_prompt_tokens)
        self._model.load(state.weights)
        with self._context.progress.stage("completions", len(prompts)) as advance:
            found = complete(self._model, prompts, keys, generation, self._ends, codec.pad, advance)
        return pa.table(
            {
                "prompt": pa.array(texts(items, "prompt"), pa.string()),
                "completion": pa.array(codec.completions(prompts, [one.ids for one in found]), pa.string()),
                "finished": pa.array([one.finished for one in found], pa.bool_()),
            }
        )

    @cached_property
    def _base(self) -> tuple[str, str | None]:
        """The base's folder or hub id, and its revision; a scratch base is made here."""
        base = self._settings.base
        if base.scratch is not None:
            longest = self._settings.context_length
            return str(make_base(base.scratch, self._context, self._device, longest)), None
        return base.model or "", base.revision

    @cached_property
    def _codec(self) -> Codec:
        return Codec(read_tokenizer(*self._base))

    @cached_property
    def _model(self) -> WorkingModel:
        module = read_model(*self._base, self._device, self._settings.context_length)
        return WorkingModel(module, self._device)

    def _read_weights(self, name: str, revision: str | None) -> dict[str, Tensor]:
        module = read_model(name, revision, self._device, self._settings.context_length)
        weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
        return weights if self._device.on_host else self._device.in_host_memory(weights)

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end a text: the tokenizer's, and what the model's own generation settings add."""
        more = getattr(self._model.module.generation_config, "eos_token_id", None)
        listed = more if isinstance(more, list) else [more]
        return frozenset([self._codec.eos, *(int(token) for token in listed if token is not None)])
