"""The language learner: causal models of transformers behind the protocol of learners."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from crossfeed.errors import Diverged
from crossfeed.learners.language.adapters import check_installed
from crossfeed.learners.language.decoding import complete
from crossfeed.learners.language.embedding import Embedder
from crossfeed.learners.language.fingerprints import identified
from crossfeed.learners.language.gguf import plain_folder
from crossfeed.learners.language.item_notes import notes_on_items, texts_of
from crossfeed.learners.language.model import CausalModel, LanguageState
from crossfeed.learners.language.model_folder import check_tokenizer, notes_on_texts
from crossfeed.learners.language.pretrained import read_model, read_tokenizer
from crossfeed.learners.language.request import CompletionRequest
from crossfeed.learners.language.scoring import score
from crossfeed.learners.language.scratch import make_base
from crossfeed.learners.language.settings import LanguageSettings
from crossfeed.learners.language.tokens import ItemTokenizer, text_column
from crossfeed.learners.language.training import examples_of_steps, train
from crossfeed.learners.neural.compiled.kernels import kernels
from crossfeed.learners.neural.device import open_device, quiet
from crossfeed.learners.neural.snapshots import Snapshots, Unobserved
from crossfeed.protocols import LearnerContext, Observer, Reading, Scores, Task, TrainingSet

__all__ = ["LanguageLearner"]

_OPTIMIZER = "optimizer.safetensors"


class LanguageLearner:
    """Causal language models that share one base, one tokenizer and one working module.

    Items are rows with the strings ``prompt`` and ``completion`` and perhaps ``finished`` (true if the text ends after
    the completion, as it also does where the column is null or missing).

    Args:
        settings: The description.
        context: The cell's tasks, seed, cache folder and progress display.

    Attributes:
        reads: Training sets hold drawn items.
    """

    reads: Reading = "draws"

    def __init__(self, settings: LanguageSettings, context: LearnerContext) -> None:
        self._settings = settings
        self._context = context
        self._device = open_device(settings.device, settings.precision, settings.threads)
        if settings.adapter is not None:
            check_installed()
        self._embedder = Embedder(settings.embedder, self._device)

    def examples_read(self, n: int, generation: int, entity: int) -> int:
        """Return the number of drawn items that the steps of an update read, at most n.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        training = self._settings.training
        steps = training.steps_at(generation)
        return n if steps is None else min(n, steps * training.examples_per_step)

    def training_steps(self, n: int, generation: int, entity: int) -> int:
        """Return the number of steps of an update: one pass over the drawn items unless they are told.

        Args:
            n: Number of drawn items.
            generation: The generation t.
            entity: The entity's index.
        """
        training = self._settings.training
        steps = training.steps_at(generation)
        return -(-n // training.examples_per_step) if steps is None else steps

    @property
    def guess(self) -> float:
        """The loss of a guess that gives all tokens of the base the same probability, in nats."""
        return math.log(self._model.module.get_input_embeddings().num_embeddings)

    def start(self, entities: Sequence[int]) -> list[LanguageState]:
        """Return the base for every entity.

        Args:
            entities: Indices of the entities.

        Raises:
            DataUnavailable: The base cannot be reached or read.
            InvalidInput: The base cannot be pretrained, cannot read as many tokens as the settings request, has no
                layer of an adapter's target, or its tokenizer does not fit it.
            StoreMismatch: The base or the sentence encoder is not the one that the run was begun with.
        """
        self._check_inputs()
        adapters = self._model.adapters
        weights = self._read_weights(*self._base) if adapters is None else adapters.initial(self._context.seed)
        return [LanguageState(weights)] * len(entities)

    def anew(self, entities: Sequence[int], keys: Sequence[int]) -> list[LanguageState]:
        """Return a new base from scratch for each entity, pretrained as the common one is and kept in the cache.

        Args:
            entities: Indices of the entities.
            keys: One key for each, which seeds initial weights and the order of the data.
        """
        scratch, longest = self._settings.base.scratch, self._settings.context_length
        assert scratch is not None  # noqa: S101 - for the type checker; experiments without one are refused
        seeded = [scratch.model_copy(update={"seed": int(key) >> 1}) for key in keys]  # seeds are below 2^63
        made = [make_base(each, self._context, self._device, longest) for each in seeded]
        return [LanguageState(self._read_weights(str(folder), None)) for folder in made]

    def update(
        self,
        states: Sequence[LanguageState],
        sets: Sequence[TrainingSet],
        keys: Sequence[int],
        generation: int,
    ) -> list[LanguageState]:
        """Train each state on its set with AdamW, in the order in which items were drawn.

        Args:
            states: One state for each training set.
            sets: Training sets of drawn items.
            keys: One key for each state; it seeds dropout and the order of repeated passes.
            generation: The generation t.

        Returns:
            New states in the order of `states`.

        Raises:
            Diverged: A loss, gradient or weight is not finite; it names the entity by its index.
        """
        return self.trace(states, sets, keys, generation, Unobserved())

    def trace(
        self,
        states: Sequence[LanguageState],
        sets: Sequence[TrainingSet],
        keys: Sequence[int],
        generation: int,
        observer: Observer,
    ) -> list[LanguageState]:
        """Train as `update` does, and show states from within, which are kept until their entity's update is over.

        Args:
            states: One state for each training set.
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
        self,
        states: Sequence[LanguageState],
        prompts: Sequence[pa.Table],
        keys: Sequence[NDArray[np.uint64]],
    ) -> list[pa.Table]:
        """Complete prompts by sampling tokens.

        Args:
            states: One for each table of prompts.
            prompts: Items with a ``prompt``.
            keys: ``(rows,)`` keys for each table of prompts.

        Returns:
            Tables of ``prompt``, ``completion`` and ``finished``.
        """
        return [self._generate(state, items, own) for state, items, own in zip(states, prompts, keys, strict=True)]

    def score(self, states: Sequence[LanguageState], tables: Sequence[pa.Table]) -> list[list[Scores]]:
        """Return losses in nats, summed over tokens.

        Args:
            states: States.
            tables: Tables of items.

        Returns:
            Scores of every state (outer list) on every table (inner list).
        """
        tokenizer, longest = self._tokenizer, self._settings.training.max_length
        coded = [tokenizer.examples(items, longest) for items in tables]
        scores = []
        for state in states:
            self._model.load(state.weights)
            size = self._settings.evaluation.batch_size
            scores.append([score(self._model, examples, size, tokenizer.pad) for examples in coded])
        return scores

    def embed(self, tables: Sequence[pa.Table]) -> list[NDArray[np.float32]]:
        """Return sentence embeddings of the completions.

        Args:
            tables: Tables of items.

        Returns:
            ``(rows, dimension)`` unit-norm features for each table.

        Raises:
            DataUnavailable: The sentence encoder cannot be reached or read.
        """
        return [self._embedder.embed(text_column(items, "completion")) for items in tables]

    def save(self, state: LanguageState, folder: Path) -> None:
        """Write a checkpoint of transformers, or an adapter of peft, with its tokenizer and any optimizer's moments.

        Args:
            state: A state.
            folder: An existing empty folder.
        """
        if self._model.adapters is None:
            self._model.save(state.weights, folder)
        else:
            self._model.adapters.save(state.weights, *self._base, folder)
        with quiet():
            self._tokenizer.tokenizer.save_pretrained(folder)
        if state.optimizer:
            save_file(dict(state.optimizer), folder / _OPTIMIZER)

    def load(self, folder: Path) -> LanguageState:
        """Read a checkpoint that `save` wrote.

        Args:
            folder: The folder written by `save`.

        Raises:
            DataUnavailable: It cannot be read.
        """
        path, adapters = folder / _OPTIMIZER, self._model.adapters
        weights = self._read_weights(str(folder), None) if adapters is None else adapters.load(folder)
        return LanguageState(weights, load_file(path) if path.exists() else {})

    def describe(self) -> dict[str, str]:
        """Return device, precision and threads, and on a CPU ``compiled: yes`` if there is a compiler for small models.

        With a compiler bf16 is another precision than without one, where all of a model runs under autocast.
        """
        described = self._device.describe()
        if not self._device.on_host:
            return described
        compiled = kernels() is not None
        if self._device.bf16 and compiled:
            described["precision"] += ", compiled"
        return described | {"compiled": "yes" if compiled else "no"}

    def spelled(self, items: pa.Table) -> list[str]:
        """Return items as a model reads them: token by token, with the end of the prompt marked and what is cut said.

        Args:
            items: Items.
        """
        examples = self._tokenizer.examples(items, self._settings.training.max_length)
        return [self._tokenizer.spelled(example) for example in examples]

    def _train(
        self, state: LanguageState, drawn: TrainingSet, key: int, generation: int, entity: int, observer: Observer
    ) -> LanguageState:
        items = drawn.items.slice(0, self.examples_read(drawn.size, generation, entity)) if drawn.size else None
        training, tokenizer = self._settings.training, self._tokenizer
        examples = tokenizer.examples(items, training.max_length) if items is not None else []
        ids = [example.ids for example in examples]
        steps = len(examples_of_steps(len(ids), training, generation, key))
        snapshots = Snapshots(observer, entity, steps)
        with self._context.progress.stage("steps", steps) as shown:
            advance = snapshots.after(shown, lambda: LanguageState(self._model.weights()))
            try:
                trained = train(self._model, state, ids, training, generation, key, tokenizer.pad, advance)
            except Diverged as error:
                raise Diverged(error.message, entity) from error
        snapshots.show()
        return trained

    def _generate(self, state: LanguageState, items: pa.Table, keys: NDArray[np.uint64]) -> pa.Table:
        tokenizer, generation = self._tokenizer, self._settings.generation
        prompts = tokenizer.prompts(items, generation.max_prompt_tokens)
        self._model.load(state.weights)
        with self._context.progress.stage("completions", len(prompts)) as advance:
            request = CompletionRequest(prompts, keys, generation, self._ends, tokenizer.pad)
            completions = complete(self._model, request, advance)
        texts = tokenizer.completions(prompts, [one.ids for one in completions])
        return pa.table(
            {
                "prompt": pa.array(text_column(items, "prompt"), pa.string()),
                "completion": pa.array(texts, pa.string()),
                "finished": pa.array([one.finished for one in completions], pa.bool_()),
            }
        )

    @cached_property
    def _base(self) -> tuple[str, str | None]:
        """The base's folder or hub id, and its revision; one that is made here, or read from GGUF, at first use."""
        base = self._settings.base
        if base.scratch is not None:
            longest = self._settings.context_length
            return str(make_base(base.scratch, self._context, self._device, longest)), None
        if (file := base.gguf()) is not None:
            return str(plain_folder(file, self._context.cache)), None
        return base.model or "", base.revision

    def _check_inputs(self) -> None:
        """Refuse a base that is not the run's, or whose parts do not fit each other; note what may surprise."""
        base, tokenizer, journal = self._settings.base, self._tokenizer, self._context.journal
        tasks, settings = list(self._context.tasks.values()), self._settings
        if base.scratch is not None:
            made, _ = self._base
            journal.identify(
                identified(f"the base that was made from scratch, base/{Path(made).name} in the cache,", made)
            )
        else:
            journal.identify(settings.models())
            name, texts = base.model or base.package or "", [text for task in tasks for text in texts_of(task)]
            check_tokenizer(name, tokenizer.tokenizer, self._model.module.get_input_embeddings().num_embeddings, texts)
            notes = (f"{name}: {sentence}" for sentence in notes_on_texts(tokenizer.tokenizer, texts))
            journal.note(f"texts {self._base} {[task.content for task in tasks]}", notes)
        for task in tasks:
            lengths = settings.training.max_length, settings.generation.max_prompt_tokens
            journal.note(f"{task.name} {task.content} {self._base} {lengths}", self._notes_on(task))

    def _notes_on(self, task: Task) -> Iterator[str]:
        """Yield notes on a task's items with the base that reads them: entities may have bases of their own."""
        base = self._settings.base
        reader = base.model or base.package or f"a base with {len(self._tokenizer.tokenizer):,} tokens"
        for sentence in notes_on_items(self._tokenizer, task, self._settings):
            yield f"{task.name}, read by {reader}: {sentence}"

    @cached_property
    def _tokenizer(self) -> ItemTokenizer:
        return ItemTokenizer(read_tokenizer(*self._base), chat=self._settings.prompting == "chat")

    @cached_property
    def _model(self) -> CausalModel:
        module = read_model(*self._base, self._device, self._settings.context_length)
        return CausalModel(module, self._device, self._settings.adapter)

    def _read_weights(self, name: str, revision: str | None) -> dict[str, Tensor]:
        module = read_model(name, revision, self._device, self._settings.context_length)
        weights = {name: parameter.detach() for name, parameter in module.named_parameters()}
        return weights if self._device.on_host else self._device.in_host_memory(weights)

    @cached_property
    def _ends(self) -> frozenset[int]:
        """Tokens that end a text: the tokenizer's, and those of the model's own generation settings."""
        more = getattr(self._model.module.generation_config, "eos_token_id", None)
        listed = more if isinstance(more, list) else [more]
        return frozenset([self._tokenizer.eos, *(int(token) for token in listed if token is not None)])
