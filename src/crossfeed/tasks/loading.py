"""Tables read with the `datasets` library: from a folder, or from the Hugging Face Hub if it can be reached.

No code of a data set is ever run: only Parquet and JSON lines are read from folders, and the library itself refuses
data sets that need a script.
"""

from __future__ import annotations

import glob
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from types import ModuleType
from typing import Any, Final

from crossfeed.display.formatting import first_line
from crossfeed.errors import DataUnavailable, InvalidInput, MissingDependency
from crossfeed.tasks.splits import SPLITS

__all__ = ["Table", "from_folder", "from_hub"]

Table = list[dict[str, Any]]
_BUILDERS: Final = {".parquet": "parquet", ".jsonl": "json"}
_CONNECT_SECONDS: Final = 5.0


def from_folder(where: str, folder: Path, names: Mapping[str, str | None]) -> dict[str, Table]:
    """Read ``<split>.parquet`` or ``<split>.jsonl`` for each split.

    Args:
        where: Name of the data, for messages.
        folder: The folder.
        names: Name of each split's file without its ending; None: the split's own name, if there is such a file.

    Returns:
        The rows of each split.

    Raises:
        DataUnavailable: The folder or a file that must be there is missing, or a file cannot be read.
    """
    if not folder.is_dir():
        raise DataUnavailable(
            f"{where}: there is no folder {folder}; put {_layout(names)} (or .jsonl) into it, or give another folder"
        )
    tables = {}
    for split in SPLITS:
        given = names.get(split)
        path = _file(where, folder, given or split)
        if path is not None:
            tables[split] = _read(where, path)
        elif given is not None or split == "train":
            raise DataUnavailable(f"{where}: {folder} has no {given or split}.parquet or {given or split}.jsonl")
    return tables


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
        where: Name of the data, for messages.
        repository: The data set's id, such as ``allenai/sciq``.
        names: Name of each split on the hub; None: the split's own name, if there is such a split.
        config: The data set's configuration.
        revision: A branch, tag or commit.
        rows: Stream only the first rows of each split.
        local: The folder under a data root that would be read instead, for messages.

    Returns:
        The rows of each split.

    Raises:
        DataUnavailable: The hub cannot be reached, or has no such data set.
        InvalidInput: The data set has no split of a given name.
    """
    library = _library()
    advice = (
        f"To use a local copy give --data-root FOLDER with FOLDER/{local or repository}/train.parquet, "
        "validation.parquet and test.parquet, or `source: files` with `path: FOLDER`; a copy in the Hugging Face "
        "cache is used if HF_HUB_OFFLINE=1 is set"
    )
    if not library.config.HF_HUB_OFFLINE:
        _reach(where, repository, revision, advice)
    try:
        with _quiet(library):
            splits = library.load_dataset(repository, name=config, revision=revision, streaming=rows is not None)
            chosen = _chosen(where, repository, list(splits), names)
            return {split: _rows(splits[name], rows) for split, name in chosen.items()}
    except InvalidInput:
        raise
    except Exception as error:  # the library raises errors of many libraries below it
        raise DataUnavailable(
            f"{where}: the data set {repository} could not be read from the Hugging Face Hub ({first_line(error)}). "
            f"{advice}"
        ) from error


def _rows(split: Any, rows: int | None) -> Table:
    return split.to_list() if rows is None else list(split.take(rows))


def _chosen(where: str, repository: str, available: list[str], names: Mapping[str, str | None]) -> dict[str, str]:
    chosen = {}
    for split in SPLITS:
        given = names.get(split)
        if (given or split) in available:
            chosen[split] = given or split
        elif given is not None or split == "train":
            raise InvalidInput(f"{where}: {repository} has no split {given or split!r}; it has {', '.join(available)}")
    return chosen


def _reach(where: str, repository: str, revision: str | None, advice: str) -> None:
    """Send the hub one quick request: the library itself would retry for half a minute and longer.

    The request has a thread of its own, since name resolution has no timeout.
    """
    from huggingface_hub import HfApi

    failures: list[Exception] = [TimeoutError(f"no answer within {_CONNECT_SECONDS:.0f} seconds")]

    def request() -> None:
        try:
            HfApi().dataset_info(repository, revision=revision, timeout=_CONNECT_SECONDS)
        except Exception as error:
            failures.append(error)
        else:
            failures.clear()

    thread = Thread(target=request, daemon=True)
    thread.start()
    thread.join(_CONNECT_SECONDS)
    if failures:
        raise DataUnavailable(
            f"{where}: the data set {repository} could not be reached on the Hugging Face Hub "
            f"({first_line(failures[-1])}). {advice}"
        ) from failures[-1]


def _file(where: str, folder: Path, name: str) -> Path | None:
    paths = [path for ending in _BUILDERS if (path := folder / f"{name}{ending}").is_file()]
    if len(paths) > 1:
        raise InvalidInput(f"{where}: {folder} has both {paths[0].name} and {paths[1].name}; remove one of them")
    return paths[0] if paths else None


def _read(where: str, path: Path) -> Table:
    library = _library()
    # The library would leave a converted copy of every local file in its cache.
    with TemporaryDirectory() as cache, _quiet(library):
        try:
            split = library.load_dataset(
                _BUILDERS[path.suffix],
                data_files={"train": glob.escape(str(path.resolve()))},
                split="train",
                cache_dir=cache,
                keep_in_memory=True,
            )
            # As it is stored: the library would decode columns declared as images, from any path that they name.
            table: Table = split.with_format("arrow")[:].to_pylist()
        except Exception as error:  # the library raises errors of many libraries below it
            raise DataUnavailable(f"{where}: {path} cannot be read ({first_line(error)})") from error
    return table


@contextmanager
def _quiet(library: ModuleType) -> Iterator[None]:
    """Suppress progress bars and log lines of retries; the error alone reports a failure."""
    shown = not library.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    if shown:
        library.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if shown:
            library.enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _library() -> ModuleType:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency(
            "reading data sets needs the `lm` extra: pip install 'crossfeed[lm]'; the built-in facts, math, reason "
            "and stdlib-docs need nothing"
        ) from error
    library: ModuleType = datasets
    return library


def _layout(names: Mapping[str, str | None]) -> str:
    return ", ".join(f"{names.get(split) or split}.parquet" for split in SPLITS)
