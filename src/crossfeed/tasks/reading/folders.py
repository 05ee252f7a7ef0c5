"""Files by split: one file, ``<split>.<ending>`` in a folder, or a hub repository's own layout."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from crossfeed.display.formatting import message_line
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks.reading.files import ENDINGS, ending_of, read_file
from crossfeed.tasks.reading.library import library, quiet
from crossfeed.tasks.reading.values import Table
from crossfeed.tasks.splits import SPLITS

__all__ = ["from_place", "read_splits"]

_SHOWN: Final = 6  # names of files in a message


def from_place(where: str, place: Path, names: Mapping[str, str | None], config: str | None = None) -> dict[str, Table]:
    """Read a file or a folder of data.

    A file is train alone. A folder holds a file for each split, ``train.jsonl`` for example; where it holds none for
    train, it is read as a copy of a hub repository: by the ``configs`` of its README, or by names such as
    ``data/train-00000-of-00002.parquet``.

    Args:
        where: What is read, for messages.
        place: The file or folder.
        names: What each split is called, or None: called as the split is, if it is there.
        config: Which of a repository's configurations.

    Returns:
        Rows by split; train is always there.

    Raises:
        DataUnavailable: The place or a file that must be there is missing, or a file cannot be read.
        InvalidInput: Two files claim to be the same split, or there is no such split or configuration.
    """
    if place.is_file():
        named = [name for split, name in names.items() if name and name != split]
        if named:
            raise InvalidInput(f"{where}: {place} is one file, so splits cannot be named; leave out {', '.join(named)}")
        return {"train": read_file(where, place)}
    if not place.is_dir():
        raise DataUnavailable(
            f"{where}: there is no file and no folder {place}; give a file of data, or a folder with "
            f"{_layout(names)} (or .jsonl, .json, .csv, .tsv, .txt) in it"
        )
    files = _files_by_split(where, place, names)
    if "train" not in files:
        files = _repository_files(where, place, names, config)
    return {split: _joined(read_file(where, path) for path in paths) for split, paths in files.items()}


def read_splits(where: str, available: Iterable[str], names: Mapping[str, str | None], what: str) -> dict[str, str]:
    """Return which of the splits that are there is train, validation and test.

    Args:
        where: What is read, for messages.
        available: The names of splits that are there.
        names: What each split is called, or None: called as the split is, if it is there.
        what: What has these splits, for messages.

    Raises:
        InvalidInput: There is no split of a given name, or no train.
    """
    there, chosen = list(available), {}
    for split in SPLITS:
        name = names.get(split)
        if (name or split) in there:
            chosen[split] = name or split
        elif name is not None or split == "train":
            raise InvalidInput(f"{where}: {what} has no split {name or split!r}; it has {', '.join(there)}")
    return chosen


def _files_by_split(where: str, folder: Path, names: Mapping[str, str | None]) -> dict[str, list[Path]]:
    """Files called after their split; a split that is named and not there is an error, train is left to others."""
    files = {}
    for split in SPLITS:
        name = names.get(split) or split
        candidates = [path for ending in ENDINGS if (path := folder / f"{name}{ending}").is_file()]
        if len(candidates) > 1:
            both = f"{candidates[0].name} and {candidates[1].name}"
            raise InvalidInput(f"{where}: {folder} has both {both}; remove one of them")
        if candidates:
            files[split] = candidates
    missing = [named for split in SPLITS if (named := names.get(split)) and split not in files]
    if missing and "train" in files:
        raise DataUnavailable(f"{where}: {folder} has no {missing[0]}.parquet or {missing[0]}.jsonl; {_there(folder)}")
    return files


def _repository_files(
    where: str, folder: Path, names: Mapping[str, str | None], config: str | None
) -> dict[str, list[Path]]:
    """Files of a repository's layout, as the `datasets` library resolves it."""
    if config and not (folder / "README.md").is_file() and (folder / config).is_dir():
        folder, config = folder / config, None
    if not any(ending_of(path) for path in folder.rglob("*")):
        raise DataUnavailable(f"{where}: {folder} has no {_layout(names)} (or .jsonl, .json, ...); {_there(folder)}")
    datasets = library()
    try:
        with quiet(datasets):
            builder = datasets.load_dataset_builder(str(folder.resolve()), name=config)
    except Exception as error:  # the library raises errors of many libraries below it
        raise InvalidInput(f"{where}: {folder}: {_resolving(error)}") from error
    files: dict[str, Any] = {str(split): paths for split, paths in builder.config.data_files.items()}
    chosen = read_splits(where, files, names, str(folder))
    return {split: [_inside(where, folder, path) for path in files[name]] for split, name in chosen.items()}


def _resolving(error: Exception) -> str:
    """The library's sentence, without its examples of calls."""
    text = str(error).split("\nExample", 1)[0]
    return " ".join(text.split()) if isinstance(error, ValueError) and text else message_line(error)


def _inside(where: str, folder: Path, path: str) -> Path:
    """A file of the folder: what a README names elsewhere, on this machine or another, is not read."""
    root, full = os.path.abspath(folder.resolve()), os.path.normpath(path)
    if "://" in path or os.path.commonpath([root, os.path.abspath(full)]) != root:
        raise InvalidInput(f"{where}: the README of {folder} names {path}, which is not in that folder")
    return Path(full)


def _joined(tables: Iterable[Table]) -> Table:
    return [row for table in tables for row in table]


def _layout(names: Mapping[str, str | None]) -> str:
    return ", ".join(f"{names.get(split) or split}.parquet" for split in SPLITS)


def _there(folder: Path) -> str:
    there = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(there) - _SHOWN} more" if len(there) > _SHOWN else ""
    return f"it holds {', '.join(there[:_SHOWN])}{more}" if there else "it is empty"
