"""Runs given as values or as locations, opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.frames import Run

__all__ = ["RunLike", "check_distinct", "open_run", "open_runs"]

RunLike = Run | str | Path
"""A run, or its location: a folder, or a URL such as ``s3://bucket/run``."""


def open_run(run: RunLike) -> Run:
    """Return a run, opened if its location is given.

    Args:
        run: The run or its location.

    Returns:
        The run.

    Raises:
        StoreError: There is no run at the location, or part of it is damaged.
        NewerSchema: The run was written by a newer crossfeed.
    """
    return run if isinstance(run, Run) else Run.load(run)


def open_runs(runs: RunLike | Sequence[RunLike]) -> list[Run]:
    """Return one run or several as a list, each opened if its location is given.

    Args:
        runs: One run or location, or a sequence of them.

    Returns:
        The runs in the order given.

    Raises:
        InvalidInput: The sequence is empty.
        StoreError: There is no run at a location, or part of it is damaged.
        NewerSchema: A run was written by a newer crossfeed.
    """
    given = [runs] if isinstance(runs, Run | str | Path) else runs
    if not given:
        raise InvalidInput("no run is given; give a run or its folder")
    return [open_run(run) for run in given]


def check_distinct(runs: Sequence[Run]) -> None:
    """Check that no run is given twice.

    Args:
        runs: The runs.

    Raises:
        InvalidInput: One is; the message names it.
    """
    places = [str(run.store if run.store.folder is None else run.store.folder.resolve()) for run in runs]
    twice = sorted({place for place in places if places.count(place) > 1})
    if twice:
        raise InvalidInput(f"{', '.join(twice)}: given more than once; a run is compared with others: give each once")
