"""GGUF files as plain model folders: dequantised to fp32 once, and kept in the cache under a hash of the file.

transformers reads a GGUF file but neither saves what it has read (it takes the model for a quantised one) nor reads it
quickly. So the weights move into a new model of the same configuration, which is saved as safetensors beside the
tokenizer. Before the folder counts, it is read again: its logits are those of the file's own reading, bit by bit.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

import torch

from crossfeed.cache import cached_folder
from crossfeed.errors import DataUnavailable, MissingDependency
from crossfeed.learners.neural.device import quiet

__all__ = ["plain_folder"]

_FORMAT: Final = 1
"""Part of the cache's names: raise it when the same file would give another folder."""
_COMPARED: Final = 32
"""Tokens, evenly spaced in the vocabulary, whose logits are compared."""


def plain_folder(path: Path, cache: Path) -> Path:
    """Return the folder of a GGUF model with fp32 weights: taken from the cache, or made and kept there.

    Args:
        path: The GGUF file.
        cache: The folder that runs share.

    Raises:
        DataUnavailable: transformers cannot read the file (no GGUF, or an architecture or quantisation that it does not
            know), or what was saved differs from what was read.
        MissingDependency: The package gguf (or accelerate) is not installed.
        StoreError: The cache cannot be written.
    """
    with path.open("rb") as file:
        content = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
    return cached_folder(cache / "base" / f"gguf-{_FORMAT}-{content}", lambda folder: _convert(path, folder))


def _convert(path: Path, folder: Path) -> None:
    from transformers import AutoModelForCausalLM

    model, tokenizer = _read(path)
    plain = AutoModelForCausalLM.from_config(_plain_config(model.config), dtype=torch.float32)
    plain.load_state_dict(model.state_dict())
    plain.generation_config = model.generation_config
    with quiet():
        plain.save_pretrained(folder, max_shard_size="1000GB")
        tokenizer.save_pretrained(folder)
        again = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    if not torch.equal(_logits(again), _logits(model)):
        raise DataUnavailable(f"{path}: its weights give other logits once they are saved as safetensors")


def _read(path: Path) -> tuple[Any, Any]:
    """Return model and tokenizer as transformers reads them from a GGUF file."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"gguf_file": path.name, "local_files_only": True, "trust_remote_code": False}
    try:
        with quiet():
            model, loaded = AutoModelForCausalLM.from_pretrained(
                str(path.parent), dtype=torch.float32, output_loading_info=True, **options
            )
            tokenizer = AutoTokenizer.from_pretrained(str(path.parent), **options)
    except ImportError as error:
        raise MissingDependency(
            f"{path.name}: GGUF files are read with the packages gguf and accelerate: "
            "pip install 'crossfeed[lm,smollm]'"
        ) from error
    except Exception as error:  # of any type: transformers computes with what the file says before it has checked it
        said = " ".join(str(error).split()).rstrip(".") or "no reason given"
        raise DataUnavailable(
            f"transformers cannot read the GGUF file {str(path)!r} ({type(error).__name__}: {said}); give a file whose "
            "architecture and quantisation it knows, or a folder with safetensors"
        ) from error
    if loaded["missing_keys"]:
        listed = ", ".join(sorted(loaded["missing_keys"])[:3])
        raise DataUnavailable(f"{str(path)!r} lacks weights of its own architecture: {listed}; give a whole model")
    return model.eval(), tokenizer


def _plain_config(config: Any) -> Any:
    """Return a configuration without the word that the weights are quantised: they no longer are."""
    fields = config.to_dict()
    fields.pop("quantization_config", None)
    return type(config).from_dict(fields)


def _logits(model: Any) -> torch.Tensor:
    """Return ``(_COMPARED, vocabulary)`` logits of tokens that span the vocabulary."""
    ids = torch.linspace(0, model.config.get_text_config().vocab_size - 1, _COMPARED).long()[None]
    with torch.inference_mode():
        logits: torch.Tensor = model.eval()(input_ids=ids, use_cache=False).logits[0]
    return logits
