"""The `datasets` library: it knows repositories' layouts and the hub; no code of a data set is ever run."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from crossfeed.errors import MissingDependency

__all__ = ["library", "quiet"]


def library() -> ModuleType:
    """Return the library.

    Raises:
        MissingDependency: It is not installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency(
            "reading data sets from the hub, or in its layout, needs the `lm` extra: pip install 'crossfeed[lm]'; "
            "files called train.jsonl, train.parquet or train.csv and the built-in tasks need nothing"
        ) from error
    module: ModuleType = datasets
    return module


@contextmanager
def quiet(datasets: ModuleType) -> Iterator[None]:
    """No progress bars and no log lines of retries: an error says once what went wrong.

    Args:
        datasets: The library.
    """
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    fetching = not are_progress_bars_disabled()
    if fetching:
        disable_progress_bars()
    shown = not datasets.are_progress_bars_disabled()
    loggers = [logging.getLogger(name) for name in ("datasets", "huggingface_hub")]
    levels = [logger.level for logger in loggers]
    if shown:
        datasets.disable_progress_bars()
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        if fetching:
            enable_progress_bars()
        if shown:
            datasets.enable_progress_bars()
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
