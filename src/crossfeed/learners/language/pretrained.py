"""Models and tokenizers of transformers, from the hub or a folder: safetensors only, no remote code."""

from __future__ import annotations

from typing import Any

import torch
from safetensors import SafetensorError

from crossfeed.cache import expanded
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.learners.language.hub import is_hub_id, local_only, no_folder
from crossfeed.learners.language.model_folder import broken_part, check_files
from crossfeed.learners.neural.device import Device, quiet

__all__ = ["attention_implementation", "check_lengths", "first_line", "read_model", "read_tokenizer"]

_THEIRS = (OSError, ValueError, RuntimeError, ImportError, SafetensorError)
"""Errors whose messages transformers writes for people; those of other types say little without the type."""

_SHORT = 256
"""Up to this many tokens plain attention is the fastest on a CPU; beyond it its memory grows too much."""


def read_model(name: str, revision: str | None, device: Device, longest: int) -> Any:
    """Return a causal language model in fp32.

    Args:
        name: A local folder or a hub id.
        revision: A branch, tag or commit of the hub id.
        device: The device that it will run on.
        longest: Most tokens that it will be given.

    Raises:
        DataUnavailable: It cannot be reached or read, or lacks weights.
        InvalidInput: It cannot take that many tokens.
    """
    from transformers import AutoModelForCausalLM

    model, loaded = _read(
        AutoModelForCausalLM,
        name,
        revision,
        use_safetensors=True,
        dtype=torch.float32,
        attn_implementation=attention_implementation(device, longest),
        output_loading_info=True,
    )
    _check_whole(name, sorted(loaded["missing_keys"]))
    _check_sizes(name, model.config)
    check_lengths(model.config, longest)
    _own(model)
    return model


def read_tokenizer(name: str, revision: str | None) -> Any:
    """Return a tokenizer.

    Args:
        name: A local folder or a hub id.
        revision: A branch, tag or commit of the hub id.

    Raises:
        DataUnavailable: It cannot be reached or read.
    """
    from transformers import AutoTokenizer

    return _read(AutoTokenizer, name, revision)


def attention_implementation(device: Device, longest: int) -> str | None:
    """Return the attention implementation to request; None leaves the choice to transformers.

    Args:
        device: The device that the model will run on.
        longest: Most tokens that it will be given.
    """
    return "eager" if device.on_host and longest <= _SHORT else None


def check_lengths(config: Any, longest: int) -> None:
    """Check that a model can read as many tokens as the settings request.

    Args:
        config: The model's configuration.
        longest: Most tokens that it will be given.

    Raises:
        InvalidInput: It cannot.
    """
    room = getattr(config, "max_position_embeddings", None)
    if room is not None and longest > room:
        raise InvalidInput(
            f"the base model reads at most {room} tokens, the settings ask for {longest}; lower training.max_length, "
            "or generation.max_prompt_tokens + generation.max_new_tokens"
        )


def _check_whole(name: str, missing: list[str]) -> None:
    """Check that no weight was missing: transformers fills missing ones with random numbers."""
    if missing:
        listed = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        raise DataUnavailable(f"{name!r} lacks weights of its own architecture: {listed}; give a whole checkpoint")


def _check_sizes(name: str, config: Any) -> None:
    """Check that a model has layers and heads: with fewer than one transformers builds it all the same."""
    text = config.get_text_config()
    for size in ("num_hidden_layers", "num_attention_heads", "hidden_size", "vocab_size"):
        value = getattr(text, size, 1)
        if isinstance(value, int) and value < 1:
            key = text.attribute_map.get(size, size)
            raise DataUnavailable(
                f"{name!r}: its config.json says {key}: {value}; give the number that it was trained with"
            )


def _own(model: torch.nn.Module) -> None:
    """Copy what was read: it is mapped from the file, and would change or vanish with it."""
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.data = tensor.data.clone()


def _read(kind: Any, name: str, revision: str | None, **options: Any) -> Any:
    folder = expanded(name)
    local = folder.is_dir()
    if not local and not is_hub_id(name):
        raise DataUnavailable(f"{no_folder(name)}; give a model's local folder or its hub id")
    if local:
        check_files(folder)
    options |= {"trust_remote_code": False, "local_files_only": local or local_only()}
    try:
        with quiet():
            return kind.from_pretrained(str(folder) if local else name, revision=revision or "main", **options)
    except Exception as error:  # of any type: transformers computes with what the files say before it has checked them
        raise DataUnavailable(_message(name, local, error)) from error


def first_line(error: Exception) -> str:
    """Return an error's message as one line that ends with a full stop.

    Args:
        error: The error.
    """
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    return line if line.endswith(".") else f"{line}."


def _message(name: str, local: bool, error: Exception) -> str:
    if local:
        folder = expanded(name)
        said = first_line(error)
        if not isinstance(error, _THEIRS):
            said = f"{type(error).__name__}: {' '.join(str(error).split()).rstrip('.')}."
        return (
            f"cannot read the folder {name!r} as a model: {said} What is at fault is its "
            f"{broken_part(folder)}; it needs config.json, a tokenizer and weights in safetensors."
        )
    return (
        f"{no_folder(name)}, and the Hugging Face hub does not give it as a model: {first_line(error)} Where there is "
        "no network, download it elsewhere and give the local folder instead."
    )
