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
        reachable: True if it answers; None if no request was sent.
        why: The reason why it does not answer, or why no request was sent.
        cache: The folder of downloads.
        cache_bytes: Bytes in that folder; a lower bound if counting took too long.
    """

    endpoint: str
    reachable: bool | None
    why: str
    cache: str
    cache_bytes: int


def hub() -> Hub:
    """Send the hub a request and wait a few seconds at most; none is sent if ``HF_HUB_OFFLINE`` is set."""
    try:
        from huggingface_hub import constants
    except ImportError:
        return Hub("", None, "its client is not installed", "", 0)
    folder = str(constants.HF_HUB_CACHE)
    reachable, why = (None, "HF_HUB_OFFLINE is set") if constants.HF_HUB_OFFLINE else _answers(constants.ENDPOINT)
    return Hub(constants.ENDPOINT, reachable, why, folder, _size(Path(folder)))


def _answers(address: str) -> tuple[bool, str]:
    """Return True if an address answers at all, with any status, else False and the reason."""
    answers: list[tuple[bool, str]] = []

    def ask() -> None:
        try:
            with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=_PATIENCE):  # noqa: S310
                answers.append((True, ""))
        except urllib.error.HTTPError:
            answers.append((True, ""))
        except (OSError, ValueError) as error:
            answers.append((False, str(getattr(error, "reason", error))))

    # Name resolution has no time limit of its own.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    return answers[0] if answers else (False, f"no answer in {_PATIENCE:g} s")


@dataclass(frozen=True)
class Cache:
    """The folder that runs share.

    Attributes:
        folder: Its path.
        bytes: Bytes in it; a lower bound if counting took too long.
        problem: The reason why it cannot be written; empty if it can.
    """

    folder: str
    bytes: int
    problem: str


def cache() -> Cache:
    """Examine the folder that runs share, which is created if need be."""
    folder = default_cache()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            problem = ""
    except OSError as error:
        problem = error.strerror or str(error)
    return Cache(str(folder), _size(folder), problem)


def _size(folder: Path) -> int:
    """Return the bytes in a folder, without following links."""
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
        rows: Number of rows; None if it cannot be read.
        columns: Names of the columns.
        problem: The reason why it cannot be read; empty if it can.
    """

    data_set: str
    split: str
    rows: int | None
    columns: tuple[str, ...] = field(default=())
    problem: str = ""


def data_files(root: Path) -> tuple[DataFile, ...]:
    """Return the splits in a data root, each by its data set's folder and its file."""
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
