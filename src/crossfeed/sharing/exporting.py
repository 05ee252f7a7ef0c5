"""The verb `export`: a run as a folder or a zip file to be shared."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Final

from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput, StoreError
from crossfeed.protocols import Progress
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.opening import RunLike, open_run
from crossfeed.reporting.reports import report
from crossfeed.sharing.card import CARD, checkpoint_card, configs_of, run_card
from crossfeed.sharing.copying import Copied, Keep, copy_run
from crossfeed.sharing.croissant import CROISSANT, croissant
from crossfeed.sharing.facts import facts_of
from crossfeed.sharing.manifest import MANIFEST, Manifest, describe
from crossfeed.sharing.traces import Traces
from crossfeed.store.inside import partial_of

__all__ = ["Exported", "export_folder", "export_run"]

_DATE: Final = (1980, 1, 1, 0, 0, 0)
"""The time of files in an archive: the same run gives the same bytes, whenever it is exported."""


@dataclass(frozen=True)
class Exported:
    """The account of an export.

    Attributes:
        place: The folder or the zip file.
        manifest: The list of its files.
        replaced: Texts in tables in which a folder of this machine was replaced.
        named: Texts in tables that hold the name of this machine or its user as a word, by table; they were left.
    """

    place: Path
    manifest: Manifest
    replaced: int
    named: dict[str, int]


def export_run(
    run: RunLike,
    target: Path,
    *,
    pool: Keep = "all",
    checkpoints: Keep = "none",
    progress: Progress | None = None,
) -> Exported:
    """Write a run to a zip file, or to a folder, to be shared: all that it holds but traces of this machine.

    The result is a run: it can be shown, reported and compared, and gone on with where nothing that it needs is
    missing.

    Args:
        run: The run or its location; it may be unfinished.
        target: A name that ends with ``.zip`` for a zip file, any other one for a folder; nothing may be there yet.
        pool: Generations whose published items go along: ``all``, the ``last`` one of each cell, or ``none``.
        checkpoints: Generations whose checkpoints go along.
        progress: Receives the progress; default: none is reported.

    Returns:
        What was exported.

    Raises:
        InvalidInput: Something is at the target.
        StoreError: There is no run, a part of it is damaged, or the target cannot be written.
    """
    if os.path.lexists(target):
        raise InvalidInput(f"{target}: is there already; give another name, or remove it")
    opened = open_run(run)
    with _errors(target), _beside(target) as partial:
        folder = partial if target.suffix.lower() != ".zip" else partial.with_name(f"{partial.name}-folder")
        with _removed(folder):
            folder.mkdir(parents=True)
            exported = export_folder(opened, folder, pool=pool, checkpoints=checkpoints, progress=progress)
            if folder != partial:
                _write_zip(folder, partial)
            os.replace(partial, target)
    return Exported(target, exported.manifest, exported.replaced, exported.named)


def export_folder(
    run: Run, folder: Path, *, pool: Keep, checkpoints: Keep, progress: Progress | None = None
) -> Exported:
    """Fill an empty folder with what `export_run` writes.

    Args:
        run: The run.
        folder: The folder.
        pool: See `export_run`.
        checkpoints: See `export_run`.
        progress: Receives the progress; default: none is reported.

    Returns:
        What was exported.
    """
    progress = progress or Silent()
    here = () if run.store.folder is None else (run.store.folder.absolute(),)
    traces = Traces.of_this_machine(*here, folder.absolute())
    with progress.stage("export", total=3, detail="parts") as advance:
        copied = copy_run(
            run,
            folder,
            traces,
            pool=pool,
            checkpoints=checkpoints,
            card=lambda experiment, place, files: checkpoint_card(facts_of(run, experiment), place, files),
        )
        advance(1)
        shared = Run.load(folder)
        report(shared)
        (folder / "report" / ".made-from").unlink(missing_ok=True)
        advance(1)
        manifest = _describe(shared, folder, copied)
        advance(1)
    return Exported(folder, manifest, copied.replaced, copied.named)


def _describe(shared: Run, folder: Path, copied: Copied) -> Manifest:
    facts = facts_of(shared, copied.experiment)
    configs = configs_of(folder, copied)
    (folder / CARD).write_text(run_card(facts, copied, configs), encoding="utf-8")
    files = describe(folder)
    (folder / CROISSANT).write_text(croissant(facts, folder, configs, files), encoding="utf-8")
    manifest = Manifest(shared.id, copied.experiment.name, version("crossfeed"), copied.removed, describe(folder))
    (folder / MANIFEST).write_text(manifest.to_json(), encoding="utf-8")
    return manifest


def _write_zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "x", allowZip64=True) as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = zipfile.ZipInfo(path.relative_to(folder).as_posix(), _DATE)
            packed = path.suffix in (".parquet", ".safetensors", ".png")  # these are compressed, or cannot be
            entry.compress_type = zipfile.ZIP_STORED if packed else zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as file:
                shutil.copyfileobj(source, file, 2**20)


@contextmanager
def _errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{target}: cannot be written ({reason}); make room, or give another") from error


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give a name beside the target; what is there is removed in the end, if it was not moved."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_of(target.absolute())
    with _removed(partial):
        yield partial


@contextmanager
def _removed(path: Path) -> Iterator[None]:
    try:
        yield
    finally:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with suppress(OSError):
                path.unlink(missing_ok=True)
