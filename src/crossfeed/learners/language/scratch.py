"""Bases pretrained from scratch on the tasks' data: a byte-level BPE tokenizer and a small model."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from crossfeed.cache import cached_folder
from crossfeed.errors import InvalidInput
from crossfeed.keys import address, generator
from crossfeed.learners.language.gradient_shards import GradientShards
from crossfeed.learners.language.model import CausalModel
from crossfeed.learners.language.pretrained import attention_implementation, check_lengths
from crossfeed.learners.language.settings import ScratchSettings
from crossfeed.learners.language.tokens import ItemTokenizer, text_column
from crossfeed.learners.neural.compiled.kernels import kernels
from crossfeed.learners.neural.device import Device, quiet
from crossfeed.learners.neural.finite_check import FiniteCheck
from crossfeed.learners.neural.fit import fit
from crossfeed.learners.neural.optimizer import adamw, trapezoid
from crossfeed.protocols import PUBLIC, LearnerContext
from crossfeed.settings import identity

__all__ = ["make_base", "train_tokenizer"]

_FORMAT: Final = 4
"""Part of the cache's names: raise it when the same settings would give another base."""
_END: Final = "<|endoftext|>"
_PAD: Final = "<|pad|>"


def make_base(settings: ScratchSettings, context: LearnerContext, device: Device, longest: int) -> Path:
    """Return the folder of a base: taken from the cache, or pretrained and stored there.

    Args:
        settings: Its architecture and pretraining.
        context: Data, seed, cache and progress.
        device: Where to train.
        longest: Most tokens that the model will be given.

    Raises:
        InvalidInput: The architecture or its configuration is not known to transformers, or there is no text.
    """
    seed = context.seed if settings.seed is None else settings.seed
    public = _task_texts(context, [PUBLIC])
    others = _task_texts(context, sorted(set(context.tasks) - {PUBLIC}))
    spare = _spare_texts(context) if settings.spare else {}
    longest = max(longest, settings.length)
    name = _name(settings, seed, device, longest, [public, others, *spare.values()])

    def make(folder: Path) -> None:
        tokenizer = ItemTokenizer(
            train_tokenizer([*public, *others, *itertools.chain(*spare.values())], settings.vocabulary)
        )
        streams = {name: tokenizer.documents(texts) for name, texts in {PUBLIC: public, **spare}.items()}
        model = _new_model(settings, tokenizer, device, longest, seed)
        with context.progress.stage("base", total=settings.steps, detail=_detail(settings, model)) as advance:
            _pretrain(model, streams, settings, seed, advance)
        tokenizer.tokenizer.save_pretrained(folder)
        model.save(model.weights(), folder)

    return cached_folder(context.cache / "base" / name, make)


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> Any:
    """Train a byte-level BPE tokenizer that splits numbers into digits.

    Args:
        texts: Texts to train on.
        vocabulary: Number of tokens, the end of text and the padding included.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[_END, _PAD],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_END,
        pad_token=_PAD,
        clean_up_tokenization_spaces=False,
    )


def _task_texts(context: LearnerContext, names: Sequence[str]) -> list[str]:
    return [text for name in names if name in context.tasks for text in _texts(context.tasks[name].train)]


def _spare_texts(context: LearnerContext) -> dict[str, list[str]]:
    """Return the texts of tasks' spare items, by task, for tasks that have any."""
    spares = {name: getattr(context.tasks[name], "spare", None) for name in sorted(set(context.tasks) - {PUBLIC})}
    spare = {name: _texts(items) for name, items in spares.items() if items is not None and items.num_rows}
    if not spare:
        raise InvalidInput(
            "base.scratch.spare: a base can only read training items that a task's cap leaves out, and none does here; "
            "give `train` of some task fewer items than it has, or leave base.scratch.spare out"
        )
    return spare


def _texts(items: pa.Table) -> list[str]:
    both = zip(text_column(items, "prompt"), text_column(items, "completion"), strict=True)
    return [prompt + completion for prompt, completion in both]


def _name(settings: ScratchSettings, seed: int, device: Device, longest: int, groups: Sequence[Sequence[str]]) -> str:
    """Return a hash of all that the base depends on: settings, seed, precision and every text."""
    precision = "compiled" if device.bf16 and device.on_host and kernels() is not None else device.bf16
    described = [_FORMAT, identity(settings), seed, precision, longest]
    digest = hashlib.blake2b(json.dumps(described, sort_keys=True).encode(), digest_size=16)
    for group in groups:
        digest.update(f"{len(group)} texts".encode())
        for text in group:
            data = text.encode()
            digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def _detail(settings: ScratchSettings, model: CausalModel) -> str:
    size = sum(parameter.numel() for parameter in model.parameters().values())
    return f"pretraining {settings.architecture} ({size:,} parameters) as the"


def _new_model(
    settings: ScratchSettings, tokenizer: ItemTokenizer, device: Device, longest: int, seed: int
) -> CausalModel:
    from transformers import AutoModelForCausalLM

    config = _config(settings, tokenizer, longest)
    check_lengths(config, longest)
    try:
        with quiet(), device.seeded(address(seed, "base", "weights")):
            module = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation=attention_implementation(device, longest)
            )
    except Exception as error:  # each architecture complains in its own way
        raise InvalidInput(
            f"base.scratch: no causal language model of architecture {settings.architecture!r} can be made with "
            f"config {settings.config}: {error}"
        ) from error
    return CausalModel(module, device)


def _config(settings: ScratchSettings, tokenizer: ItemTokenizer, longest: int) -> Any:
    from transformers import AutoConfig

    fields = {"max_position_embeddings": longest} | settings.config
    fields |= {
        "vocab_size": len(tokenizer.tokenizer),
        "bos_token_id": tokenizer.eos,
        "eos_token_id": tokenizer.eos,
        "pad_token_id": tokenizer.pad,
    }
    try:
        config = AutoConfig.for_model(settings.architecture)
    except ValueError as error:
        raise InvalidInput(
            f"base.scratch.architecture: {settings.architecture!r} is not a model type of transformers; "
            "give one such as llama, opt, gpt2, qwen3"
        ) from error
    unknown = sorted(name for name in settings.config if not hasattr(config, name))
    if unknown:
        raise InvalidInput(
            f"base.scratch.config: {', '.join(unknown)} is not a field of {type(config).__name__}; its fields are "
            f"{', '.join(sorted(config.to_dict()))}"
        )
    try:
        return AutoConfig.for_model(settings.architecture, **fields)
    except Exception as error:  # each architecture complains in its own way
        raise InvalidInput(f"base.scratch.config: {error}") from error


def _pretrain(
    model: CausalModel,
    streams: Mapping[str, NDArray[np.int64]],
    settings: ScratchSettings,
    seed: int,
    advance: Callable[[int], None],
) -> None:
    """Train on packed blocks."""
    steps, blocks = range(settings.steps), _blocks(streams, settings, seed)
    factors = (trapezoid(step, settings.steps, settings.warmup, settings.flat) for step in steps)
    rates = [settings.learning_rate * factor for factor in factors]
    check = FiniteCheck(model.device.on_host, "base")
    with (
        model.training() as parameters,
        model.device.seeded(address(seed, "base", "dropout")),
        GradientShards(model) as shards,
    ):
        optimizer = adamw(parameters, settings.learning_rate, settings.betas, settings.weight_decay)

        def gradients(_step: int) -> Tensor:
            return shards.gradients(torch.from_numpy(next(blocks)).to(model.device.torch_device))

        fit(parameters, optimizer, rates, gradients, settings.clipping, check, advance)


def _blocks(
    streams: Mapping[str, NDArray[np.int64]], settings: ScratchSettings, seed: int
) -> Iterator[NDArray[np.int64]]:
    """Yield endless batches of blocks of ``length + 1`` tokens.

    Each block comes from the public stream or, with probability `ScratchSettings.spare`, from one of the others, all
    equally likely.
    """
    for name, stream in streams.items():
        _check_length(name, stream, settings)
    rows = [_rows(stream, settings, seed, name) for name, stream in streams.items()]
    random = generator(seed, "base", "spare")
    while True:
        spare = random.random(settings.batch_size) < settings.spare
        sources = spare * random.integers(1, max(2, len(rows)), settings.batch_size)
        yield np.stack([next(rows[source]) for source in sources])


def _check_length(name: str, stream: NDArray[np.int64], settings: ScratchSettings) -> None:
    size = settings.length + 1
    if len(stream) < size:
        whose, more = ("public", "more public text") if name == PUBLIC else (f"spare {name}", f"{name} a smaller train")
        raise InvalidInput(
            f"base.scratch: the {whose} training text has {len(stream)} tokens, one block needs {size}; "
            f"give {more} or a smaller base.scratch.length"
        )


def _rows(stream: NDArray[np.int64], settings: ScratchSettings, seed: int, name: str) -> Iterator[NDArray[np.int64]]:
    """Yield endless blocks; each pass over the stream cuts at other places and in another order."""
    size = settings.length + 1
    for number in itertools.count():
        random = generator(seed, "base", "pass", *([] if name == PUBLIC else [name]), number)
        start = int(random.integers(min(settings.length, len(stream) - settings.length)))
        count = (len(stream) - 1 - start) // settings.length
        for place in start + settings.length * random.permutation(count):
            yield stream[place : place + size]
