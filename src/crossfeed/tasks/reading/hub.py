"""Data sets on the Hugging Face Hub: the repository's own files, read as local ones are.

A repository is brought into the hub's cache on this machine and read from there, so that rows have the same texts
wherever they come from, and a copy that is there serves where the hub cannot be reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread
from typing import Any, Final

from crossfeed.display.formatting import message_line
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.tasks.reading.folders import from_place, read_splits
from crossfeed.tasks.reading.library import library, quiet
from crossfeed.tasks.reading.values import Table, rows_of_arrow

__all__ = ["from_hub"]

_CONNECT_SECONDS: Final = 5.0
_AT_ONCE: Final = 1000  # streamed rows that are asked for together


def from_hub(
    where: str,
    repository: str,
    names: Mapping[str, str | None],
    config: str | None = None,
    revision: str | None = None,
    rows: int | None = None,
    local: str = "",
) -> dict[str, Table]:
    """Read a data set from the Hugging Face Hub, or from its cache where HF_HUB_OFFLINE=1 is set.

    Args:
        where: What is read, for messages.
        repository: Its id, such as ``allenai/sciq``.
        names: What each split is called there, or None: called as the split is, if it is there.
        config: Its configuration.
        revision: A branch, tag or commit.
        rows: Stream only the first rows of each split.
        local: The folder under a data root that would be read instead, for messages.

    Returns:
        Rows by split; train is always there.

    Raises:
        DataUnavailable: The hub cannot be reached, or has no such data set.
        InvalidInput: It has no such split or configuration.
    """
    datasets = library()
    advice = (
        f"To use a local copy give --data-root FOLDER with FOLDER/{local or repository}/train.parquet, "
        "validation.parquet and test.parquet, or `source: files` with `path: FOLDER`; a copy in the Hugging Face "
        "cache is used if HF_HUB_OFFLINE=1 is set"
    )
    offline = datasets.config.HF_HUB_OFFLINE
    if not offline:
        _reach(where, repository, revision, advice)
    try:
        with quiet(datasets):
            if rows is None and (copy := _copied(datasets, repository, config, revision, offline=offline)):
                return from_place(where, copy, names, config)
            return _by_library(datasets, where, repository, names, config, revision, rows)
    except (InvalidInput, DataUnavailable):
        raise
    except Exception as error:  # the library raises errors of many libraries below it
        raise DataUnavailable(
            f"{where}: the data set {repository} could not be read from the Hugging Face Hub ({message_line(error)}). "
            f"{advice}"
        ) from error


def _copied(datasets: Any, repository: str, config: str | None, revision: str | None, *, offline: bool) -> Path | None:
    """The repository's files of one configuration in the hub's cache; None where only the library has a copy."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    if offline:
        try:
            return Path(snapshot_download(repository, repo_type="dataset", revision=revision, local_files_only=True))
        except LocalEntryNotFoundError:
            return None
    builder = datasets.load_dataset_builder(repository, name=config, revision=revision)
    wanted = [_within(repository, path) for paths in builder.config.data_files.values() for path in paths]
    files = [*wanted, "README.md"]
    return Path(snapshot_download(repository, repo_type="dataset", revision=revision, allow_patterns=files))


def _within(repository: str, path: str) -> str:
    """A file's name in its repository, from ``hf://datasets/OWNER/NAME@REVISION/FILE``.

    Raises:
        InvalidInput: It lies elsewhere.
    """
    begin, _, rest = path.partition(f"hf://datasets/{repository}@")
    if begin or not rest:
        raise InvalidInput(f"{repository} names {path}, which is not one of its own files; such data sets are not read")
    return rest.partition("/")[2]


def _by_library(
    datasets: Any,
    where: str,
    repository: str,
    names: Mapping[str, str | None],
    config: str | None,
    revision: str | None,
    rows: int | None,
) -> dict[str, Table]:
    """Read through the library: the first rows of each split, or a copy in the library's own cache."""
    splits = datasets.load_dataset(repository, name=config, revision=revision, streaming=rows is not None)
    chosen = read_splits(where, splits, names, repository)
    # As it is stored: what a file's metadata calls an image would be decoded, from any path that it names.
    stored = {split: splits[name].with_format("arrow") for split, name in chosen.items()}
    if rows is None:
        return {split: rows_of_arrow(data[:]) for split, data in stored.items()}
    return {split: list(_first(data, rows)) for split, data in stored.items()}


def _first(data: Any, rows: int) -> Iterator[dict[str, Any]]:
    for batch in data.take(rows).iter(batch_size=_AT_ONCE):
        yield from rows_of_arrow(batch)


def _reach(where: str, repository: str, revision: str | None, advice: str) -> None:
    """Ask the hub one quick question: the library itself would retry for half a minute and longer.

    In a thread of its own, since name resolution heeds no timeout.
    """
    from huggingface_hub import HfApi

    failures: list[Exception] = [TimeoutError(f"no answer within {_CONNECT_SECONDS:.0f} seconds")]

    def ask() -> None:
        try:
            HfApi().dataset_info(repository, revision=revision, timeout=_CONNECT_SECONDS)
        except Exception as error:
            failures.append(error)
        else:
            failures.clear()

    thread = Thread(target=ask, daemon=True)
    thread.start()
    thread.join(_CONNECT_SECONDS)
    if failures:
        raise DataUnavailable(
            f"{where}: the data set {repository} could not be reached on the Hugging Face Hub "
            f"({message_line(failures[-1])}). {advice}"
        ) from failures[-1]
