"""Checkpoints of adapters as whole models: the adapter is added to its base."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from crossfeed.errors import DataUnavailable
from crossfeed.learners.language.adapters import CONFIG, add_product, read_weights
from crossfeed.learners.language.pretrained import read_model, read_tokenizer
from crossfeed.learners.neural.device import open_device, quiet

__all__ = ["merge", "whole_model"]


def merge(checkpoint: Path, folder: Path) -> None:
    """Write the model that an adapter makes of its base, with its tokenizer, as transformers does.

    Args:
        checkpoint: A folder that holds an adapter and its tokenizer, such as a run's checkpoint of one entity.
        folder: The folder to be written; it is made if it is not there.

    Raises:
        DataUnavailable: The adapter or its base cannot be read, or they do not fit each other.
    """
    config = _config(checkpoint)
    name, revision = config["base"], config.get("revision")
    model = read_model(name, revision, open_device("cpu", "fp32", torch.get_num_threads()), 1)
    weights = read_weights(checkpoint)
    layers = [key.removesuffix(".lora_A.weight") for key in weights if key.endswith(".lora_A.weight")]
    try:
        for layer in layers:
            a, b = (weights[f"{layer}.lora_{letter}.weight"] for letter in "AB")
            add_product(model.get_submodule(layer), a, b, config["scaling"])
    except (AttributeError, KeyError, RuntimeError) as error:
        raise DataUnavailable(f"{checkpoint} holds an adapter that does not fit its base {name!r}: {error}") from error
    folder.mkdir(parents=True, exist_ok=True)
    with quiet():
        model.save_pretrained(folder, max_shard_size="1000GB")
        read_tokenizer(name, revision).save_pretrained(folder)


@contextmanager
def whole_model(checkpoint: Path) -> Iterator[Path]:
    """Yield the folder of a whole model: the checkpoint itself, or for a while the merged model of an adapter.

    Args:
        checkpoint: A run's checkpoint of one entity.

    Raises:
        DataUnavailable: The adapter or its base cannot be read, or they do not fit each other.
    """
    if not (checkpoint / CONFIG).is_file():
        yield checkpoint
        return
    with TemporaryDirectory() as place:
        folder = Path(place) / checkpoint.name
        merge(checkpoint, folder)
        yield folder


def _config(checkpoint: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8"))
        config["scaling"] = float(config["lora_alpha"]) / int(config["r"])
        config["base"] = str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise DataUnavailable(f"{checkpoint / CONFIG} does not describe an adapter ({error!r})") from error
    return config
