"""A base made from the data at hand: a byte-level BPE tokenizer and a small pretrained model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from crossfeed.cache import cached_folder
from crossfeed.errors import InvalidInput
from crossfeed.keys import address, generator
from crossfeed.learners.language.halves import Halves
from crossfeed.learners.language.model import WorkingModel
from crossfeed.learners.language.pretrained import attention, check_lengths
from crossfeed.learners.language.settings import ScratchSettings
from crossfeed.learners.language.text import Codec, texts
from crossfeed.learners.neural.device import Device, quiet
from crossfeed.learners.neural.optimizer import adamw, set_rate, trapezoid
from crossfeed.learners.neural.watch import Watch
from crossfeed.protocols import LearnerContext
from crossfeed.settings import identity

__all__ = ["make_base", "train_tokenizer"]

_FORMAT: Final = 4
"""Part of the cache's names: raise it when the same settings would give another base."""
_END: Final = "<|endoftext|>"
_PAD: Final = "<|pad|>"


def make_base(settings: ScratchSettings, context: LearnerContext, device: Device, longest: int) -> Path:
    """The folder of a base: found in the cache, or made there.

    Args:
        settings: What to make.
        context: Data, seed, cache and progress.
        device: Where to train.
        longest: Most tokens that the model will be given.

    Raises:
        InvalidInput: The architecture or its configuration is not known to transformers, or there is no text.
    """
    seed = context.seed if settings.seed is None else settings.seed
    public = _task_texts(context, ["public"])
    others = _task_texts(context, sorted(set(context.tasks) - {"public"}))
    longest = max(longest, settings.length)
    name = _name(settings, seed, device, longest, [public, others])

    def make(folder: Path) -> None:
        codec = Codec(train_tokenizer(public + others, settings.vocabulary))
        stream = codec.documents(public)
        model = _new_model(settings, codec, device, longest, seed)
        with context.progress.stage("base", total=settings.steps, detail=_detail(settings, model)) as advance:
            for _ in _pretrain(model, stream, settings, seed):
                advance(1)
        codec.tokenizer.save_pretrained(folder)
        model.save(model.weights(), folder)

    return cached_folder(context.cache / "base" / name, make)


def train_tokenizer(found: Sequence[str], vocabulary: int) -> Any:
    """A byte-level BPE tokenizer that splits numbers into digits.

    Args:
        found: Texts to train on.
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
    tokenizer.train_from_iterator(found, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=_END,
        pad_token=_PAD,
        clean_up_tokenization_spaces=False,
    )


def _task_texts(context: LearnerContext, names: Sequence[str]) -> list[str]:
    return [
        prompt + completion
        for name in names
        if name in context.tasks
        for items in [context.tasks[name].train]
        for prompt, completion in zip(texts(items, "prompt"), texts(items, "completion"), strict=True)
    ]


def _name(settings: ScratchSettings, seed: int, device: Device, longest: int, found: Sequence[Sequence[str]]) -> str:
    """A hash of all that the base depends on: settings, seed, precision and the very texts."""
    described = [_FORMAT, identity(settings), seed, device.bf16, longest]
    digest = hashlib.blake2b(json.dumps(described, sort_keys=True).encode(), digest_size=16)
    for group in found:
        digest.update(f"{len(group)} texts".encode())
        for text in group:
            data = text.encode()
            digest.update(f"{len(data)}:".encode() + data)
    return digest.hexdigest()


def _detail(settings: ScratchSettings, model: WorkingModel) -> str:
    size = sum(parameter.numel() for parameter in model.parameters().values())
    return f"pretraining {settings.architecture} ({size:,} parameters) as the"


def _new_model(settings: ScratchSettings, codec: Codec, device: Device, longest: int, seed: int) -> WorkingModel:
    from transformers import AutoModelForCausalLM

    config = _config(settings, codec, longest)
    check_lengths(config, longest)
    try:
        with quiet(), device.seeded(address(seed, "base", "weights")):
            module = AutoModelForCausalLM.from_config(
                config, dtype=torch.float32, attn_implementation=attention(device, longest)
            )
    except Exception as error:  # each architecture complains in its own way
        raise InvalidInput(
            f"base.scratch: no causal language model of architecture {settings.architecture!r} can be made with "
            f"config {settings.config}: {error}"
        ) from error
    return WorkingModel(module, device)


def _config(settings: ScratchSettings, codec: Codec, longest: int) -> Any:
    from transformers import AutoConfig

    fields = {"max_position_embeddings": longest} | settings.config
    fields |= {
        "vocab_size": len(codec.tokenizer),
        "bos_token_id": codec.eos,
        "eos_token_id": codec.eos,
        "pad_token_id": codec.pad,
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


def _pretrain(model: WorkingModel, stream: NDArray[np.int64], settings: ScratchSettings, seed: int) -> Iterator[None]:
    """Train on packed blocks; yields after each step."""
    parameters = model.parameters()
    optimizer = adamw(parameters, settings.learning_rate, settings.betas, settings.weight_decay)
    watch = Watch(model.device.on_host, "base")
    model.training()
    with model.device.seeded(address(seed, "base", "dropout")), Halves(model) as halves:
        for step, block in zip(range(settings.steps), _blocks(stream, settings, seed), strict=False):
            factor = trapezoid(step, settings.steps, settings.warmup, settings.flat)
            set_rate(optimizer, settings.learning_rate * factor)
            loss = halves.gradients(torch.from_numpy(block).to(model.device.torch_device))
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), settings.clipping)
            watch.see(step, loss, norm)
            optimizer.step()
            optimizer.zero_grad()
            yield
    watch.check()
    model.module.eval()


def _blocks(stream: NDArray[np.int64], settings: ScratchSettings, seed: int) -> Iterator[NDArray[np.int64]]:
    """Batches of blocks of ``length + 1`` tokens without end; each pass cuts at other places and in another order."""
    size = settings.length + 1
    if len(stream) < size:
        raise InvalidInput(
            f"base.scratch: the public training text has {len(stream)} tokens, one block needs {size}; "
            "give more public text or a smaller base.scratch.length"
        )
    waiting = np.zeros((0, size), dtype=np.int64)
    number = 0
    while True:
        while len(waiting) < settings.batch_size:
            waiting = np.concatenate([waiting, _pass(stream, settings, seed, number)])
            number += 1
        yield waiting[: settings.batch_size]
        waiting = waiting[settings.batch_size :]


def _pass(stream: NDArray[np.int64], settings: ScratchSettings, seed: int, number: int) -> NDArray[np.int64]:
    random = generator(seed, "base", "pass", number)
    length = settings.length
    start = int(random.integers(min(length, len(stream) - length)))
    count = (len(stream) - 1 - start) // length
    places = start + length * random.permutation(count)
    found: NDArray[np.int64] = stream[places[:, None] + np.arange(length + 1)]
    return found
