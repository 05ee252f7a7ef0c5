"""The verb `report`: the page of one run or of several side by side, its folder, and when it is up to date."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.opening import RunLike, open_runs
from crossfeed.store.inside import inside, read_inside, write_inside

__all__ = ["report", "report_folder"]

_NOTE: Final = ".made-from"
"""The file beside a page that holds a hash of what the page was created from."""

_MOST_NAMED: Final = 4
"""Most runs whose ids make up the name of the folder of their page."""


def report(
    runs: RunLike | Sequence[RunLike],
    folder: str | Path | None = None,
    *,
    rewrite: bool = True,
    figure_width: float | None = None,
) -> Path:
    """Write the report of a run, or one page that lays several runs side by side.

    Args:
        runs: A run, or a sequence of runs of any experiments; each a `Run` or its location (folder or URL). They may be
            unfinished or partly failed.
        folder: The folder to write to; files of an earlier report are replaced. Default: ``report`` in the run's
            folder, ``reports/NAME-ID`` for a run that is not on this machine, ``reports/compare-IDS`` for several.
        rewrite: Write the page even if the one there was created from the same files; for one run only.
        figure_width: Inches that PDF figures are wide, in letters of about 7 points, for a column or a page of a paper;
            default: as on a wide screen.

    Returns:
        The page, ``index.html``, with ``figures/`` and ``tables/`` beside it.

    Raises:
        StoreError: There is no run, part of it is damaged, or the folder cannot be written.
        NewerSchema: A run was written by a newer crossfeed.
        InvalidInput: No run is given, or one is given twice.
    """
    opened = open_runs(runs)
    if len(opened) == 1:
        return _of_one(opened[0], folder, rewrite, figure_width)
    from crossfeed.reporting.html import write_side_by_side  # the drawing library takes a second to load

    return write_side_by_side(opened, Path(folder or _folder_of_several(opened)), figure_width)


def report_folder(run: Run) -> Path:
    """Return the default folder of a run's report.

    Args:
        run: The run.

    Returns:
        ``report`` in the run's folder; ``reports/NAME-ID`` in the current folder for a run that is not on this machine.

    Raises:
        StoreError: ``report`` in the run's folder is a link.
    """
    here = run.store.folder
    return Path("reports") / f"{run.experiment.name}-{run.id}" if here is None else inside(here, "report")


def _of_one(run: Run, folder: str | Path | None, rewrite: bool, figure_width: float | None) -> Path:
    where = Path(folder or report_folder(run))
    page, content = where / "index.html", _content(run)
    if content and not rewrite and page.exists() and _noted(where) == content:
        return page
    from crossfeed.reporting.html import write_report  # the drawing library takes a second to load

    page = write_report(run, where, figure_width)
    write_inside(where, _NOTE, content.encode())
    return page


def _folder_of_several(runs: Sequence[Run]) -> Path:
    name = "-".join(run.id for run in runs)
    if len(runs) > _MOST_NAMED:
        name = hashlib.blake2b(name.encode(), digest_size=6).hexdigest()
    return Path("reports") / f"compare-{name}"


def _noted(folder: Path) -> str:
    try:
        return read_inside(folder, _NOTE).decode("ascii", errors="replace")
    except FileNotFoundError:
        return ""


def _content(run: Run) -> str:
    """Return a hash of the files that a report is created from; empty for a run that is not on this machine."""
    folder = run.store.folder
    if folder is None:
        return ""
    digest = hashlib.blake2b(version("crossfeed").encode(), digest_size=16)
    documents = [*folder.glob("failures/*.json"), *folder.glob("known/*.json")]
    for path in sorted([*folder.glob("*.parquet"), *documents, folder / "experiment.yaml"]):
        digest.update(path.name.encode() + read_inside(folder, path.relative_to(folder).as_posix()))
    return digest.hexdigest()
