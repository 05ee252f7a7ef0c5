"""The check of a model folder, and of a file of texts as that model reads them, before any run does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa

from crossfeed.description.registry import learner_settings
from crossfeed.errors import InvalidInput
from crossfeed.protocols import Examination
from crossfeed.tasks.reading.files import read_file

__all__ = ["examine_model"]


def examine_model(folder: Path, data: Path | None = None) -> Examination:
    """Load a model and its tokenizer, and have them read texts, as a run would.

    Args:
        folder: The model's folder, or a GGUF file.
        data: A file of any kind that tasks read. Columns ``prompt`` and ``completion`` are taken for those; without
            them all texts of a row are one text.

    Returns:
        What is known of the model, with all problems that could be found.

    Raises:
        InvalidInput: There is no such folder or file.
        DataUnavailable: The file cannot be read.
        MissingDependency: Language models need packages that are not installed.
    """
    if not folder.is_dir() and not (folder.is_file() and folder.suffix == ".gguf"):
        raise InvalidInput(
            f"--model {folder}: there is no such folder; give one with config.json and weights in it, or a .gguf file"
        )
    items = None if data is None else _items(read_file("--data", data))
    return learner_settings("language").examine(folder, items)


def _items(rows: list[dict[str, Any]]) -> pa.Table:
    if all(name in rows[0] for name in ("prompt", "completion")):
        pairs = [(_text(row.get("prompt")), _text(row.get("completion"))) for row in rows]
    else:
        pairs = [("", _text(row)) for row in rows]
    prompts, completions = zip(*pairs, strict=True)
    return pa.table({"prompt": pa.array(prompts, pa.string()), "completion": pa.array(completions, pa.string())})


def _text(value: Any) -> str:
    return "\n".join(_texts(value))


def _texts(value: Any) -> list[str]:
    """Return all texts within a cell or a row."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return [value] if isinstance(value, str) else []
