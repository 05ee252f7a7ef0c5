"""Places that runs read and write: the model hub, the caches, data sets in a folder."""

from __future__ import annotations

import os
import tempfile
import threading
import time
import urllib.error
import urllib.request
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from crossfeed.cache import default_cache

__all__ = ["Cache", "DataFile", "Hub", "cache", "data_files", "hub"]

_PATIENCE: Final = 4.0
"""Seconds that the hub has to answer, and that counting a folder may take."""


@dataclass(frozen=True)
class Hub:
    """The Hugging Face hub.

    Attributes:
        endpoint: Its address; empty where its client is not installed.
        reachable: Whether it answers; None if it was not asked.
        why: Why not, or why it was not asked.
        cache: Where downloads are kept.
        cache_bytes: How much is there; at least, where counting took too long.
    """

    endpoint: str
    reachable: bool | None
    why: str
    cache: str
    cache_bytes: int


def hub() -> Hub:
    """Ask the hub for an answer, for a few seconds at most; not if ``HF_HUB_OFFLINE`` says so."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return Hub("", None, "its client is not installed", "", 0)
    folder = str(constants.HF_HUB_CACHE)
    reachable, why = (None, "HF_HUB_OFFLINE is set") if constants.HF_HUB_OFFLINE else _ask(constants.ENDPOINT)
    return Hub(constants.ENDPOINT, reachable, why, folder, _size(Path(folder)))


def _ask(address: str) -> tuple[bool, str]:
    """Whether an address answers at all, whatever it says."""
    answers: list[tuple[bool, str]] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE):  # noqa: S310
                answers.append((True, ""))
        except urllib.error.HTTPError:
            answers.append((True, ""))
        except (OSError, ValueError) as error:
            answers.append((False, str(getattr(error, "reason", error))))

    # Looking a name up knows no time limit: whoever waits for it does.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return answers[0] if answers else (False, f"no answer in {_PATIENCE:g} s")


@dataclass(frozen=True)
class Cache:
    """What runs share.

    Attributes:
        folder: Where.
        bytes: How much is there; at least, where counting took too long.
        problem: Why nothing can be written there; empty if it can.
    """

    folder: str
    bytes: int
    problem: str


def cache() -> Cache:
    """Look at the folder that runs share; it is made if it is not there."""
    folder = default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            problem = ""
    except OSError as error:
        problem = error.strerror or str(error)
    return Cache(str(folder), _size(folder), problem)


def _size(folder: Path) -> int:
    """Bytes in a folder, without what links lead to."""
    total, until = 0, time.monotonic() + _PATIENCE
    for where, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_size
        if time.monotonic() > until:
            break
    return total


@dataclass(frozen=True)
class DataFile:
    """A split of a data set.

    Attributes:
        data_set: Its folder's name.
        split: Its file's name.
        rows: How many; None if it cannot be read.
        columns: What they are called.
        problem: Why it cannot be read; else empty.
    """

    data_set: str
    split: str
    rows: int | None
    columns: tuple[str, ...] = field(default=())
    problem: str = ""


def data_files(root: Path) -> tuple[DataFile, ...]:
    """The splits that ``--data-root`` would find."""
    paths = [*root.glob("*/*.parquet"), *root.glob("*/*.jsonl")]
    return tuple(_data_file(path) for path in sorted(paths))


def _data_file(path: Path) -> DataFile:
    import pyarrow as pa
    import pyarrow.json
    import pyarrow.parquet as pq

    place = (path.parent.name, path.stem)
    try:
        if path.suffix == ".parquet":
            about = pq.read_metadata(path)
            return DataFile(*place, about.num_rows, tuple(about.schema.to_arrow_schema().names))
        table = pyarrow.json.read_json(path)
        return DataFile(*place, table.num_rows, tuple(table.column_names))
    except (OSError, pa.ArrowException) as error:
        return DataFile(*place, None, problem=str(error).partition("\n")[0])
