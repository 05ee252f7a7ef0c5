"""The verb `import`: a run from a zip file that somebody sent, checked before anything of it is used.

Nothing is written but what the archive's list of files names, with the sizes that it gives, and the folder takes its
name only after every checksum was right. An archive is whatever its sender made it: names that lead out of the folder,
links, files that are not listed or are there twice, and more than fits are refused. The sender's report, which
a browser would run, is checked and left out: `crossfeed report` makes it of the numbers.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from crossfeed.errors import InvalidInput, StoreError
from crossfeed.running.described import document_of
from crossfeed.sharing.manifest import MANIFEST, Manifest, parse_manifest
from crossfeed.store import open_store
from crossfeed.store.inside import partial_of
from crossfeed.store.schema import within

__all__ = ["import_run"]

_MOST_FILES: Final = 400_000
_MOST_IN_LIST: Final = 2**26
"""Bytes of a list of files, of which each takes about 150."""
_MOST_GROWTH: Final = 200
"""Times that an archive may grow when it is unpacked: text shrinks to a tenth, tables are compressed already."""
_FREE_GROWTH: Final = 2**26
"""Bytes that an archive may hold however small it is."""
_PIECE: Final = 2**20
_LEFT_OUT: Final = "report/"


def import_run(archive: Path, folder: Path | None = None) -> Path:
    """Unpack an exported run.

    Args:
        archive: The zip file that `crossfeed export` wrote.
        folder: Where it goes; nothing may be there. Default: ``runs/NAME-ID`` in the current folder.

    Returns:
        The run's folder.

    Raises:
        InvalidInput: There is no such file, or something is in the folder's place.
        StoreError: The file is no exported run, it is damaged, or it is not as `crossfeed export` writes one.
        NewerSchema: It was written by a newer crossfeed.
    """
    if archive.is_dir():
        raise InvalidInput(
            f"{archive}: is a folder, and an exported folder is a run as it is: crossfeed show {archive}"
        )
    if not archive.is_file():
        raise InvalidInput(f"{archive}: no such file; give a zip file that `crossfeed export` wrote")
    with _errors(archive), zipfile.ZipFile(archive) as opened:
        manifest = _checked(archive, opened)
        target = Path("runs") / within(f"{manifest.name}-{manifest.id}") if folder is None else folder
        if os.path.lexists(target):
            raise InvalidInput(f"{target}: is there already; give another folder with --out, or remove it")
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = partial_of(target.absolute())
        try:
            _unpack(archive, opened, manifest, partial)
            document = document_of(open_store(partial))
            if document.get("id") != manifest.id:
                raise StoreError(f"{archive}: its {MANIFEST} is of another run than its run.json; it was put together")
            os.replace(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


@contextmanager
def _errors(archive: Path) -> Iterator[None]:
    again = "have it sent again, or export the run again"
    try:
        yield
    except zipfile.BadZipFile as error:
        raise StoreError(f"{archive}: is no whole zip file ({error}); {again}") from error
    except (zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise StoreError(f"{archive}: cannot be unpacked ({error}); {again}") from error
    except OSError as error:
        reason = error.strerror or error
        raise StoreError(f"{archive}: cannot be unpacked ({reason}); make room, or give a folder with --out") from error


def _checked(archive: Path, opened: zipfile.ZipFile) -> Manifest:
    """Check what an archive says of its files, and return its list of them."""
    entries = opened.infolist()
    if len(entries) > _MOST_FILES:
        raise StoreError(f"{archive}: holds {len(entries):,} files, and a run has at most {_MOST_FILES:,}")
    for entry in entries:
        _check_entry(archive, entry)
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) < len(names):
        raise StoreError(f"{archive}: holds two files of one name; `crossfeed export` writes no such file")
    if MANIFEST not in names:
        raise StoreError(f"{archive}: has no {MANIFEST}; it is not a run that `crossfeed export` wrote")
    about = opened.getinfo(MANIFEST)
    if about.file_size > _MOST_IN_LIST:
        raise StoreError(f"{archive}: its {MANIFEST} has {about.file_size:,} bytes, more than {_MOST_IN_LIST:,}")
    manifest = parse_manifest(str(archive), opened.read(MANIFEST))
    listed, there = manifest.files.keys(), {*names} - {MANIFEST}
    for path in sorted(listed ^ there):
        words = "is missing" if path in listed else f"is not listed in its {MANIFEST}"
        raise StoreError(f"{archive}: {path} {words}; it was changed after the export")
    _check_sizes(archive, opened, manifest)
    return manifest


def _check_entry(archive: Path, entry: zipfile.ZipInfo) -> None:
    where = f"{archive}: {entry.orig_filename!r}"
    if not entry.filename or ":" in entry.filename or entry.filename != entry.orig_filename:
        raise StoreError(f"{where} is not a path within a run; nothing was unpacked")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG) or entry.is_dir():
        what = "a link" if kind == stat.S_IFLNK else "no plain file"
        raise StoreError(f"{where} is {what}; a run holds plain files alone, and nothing was unpacked")
    try:
        within(entry.filename)
    except StoreError as error:
        raise StoreError(f"{where} leads out of the run's folder; nothing was unpacked") from error
    if entry.flag_bits & 1:
        raise StoreError(f"{where} is encrypted; export the run without a password")


def _check_sizes(archive: Path, opened: zipfile.ZipFile, manifest: Manifest) -> None:
    for path, about in manifest.files.items():
        if opened.getinfo(path).file_size != about["bytes"]:
            raise StoreError(f"{archive}: {path} has another size than its {MANIFEST} says; it was changed")
    whole, packed = sum(about["bytes"] for about in manifest.files.values()), archive.stat().st_size
    if whole > max(_FREE_GROWTH, _MOST_GROWTH * packed):
        raise StoreError(
            f"{archive}: {packed:,} bytes would grow to {whole:,}, which no run does; nothing was unpacked"
        )


def _unpack(archive: Path, opened: zipfile.ZipFile, manifest: Manifest, folder: Path) -> None:
    free = shutil.disk_usage(folder.parent).free
    whole = sum(about["bytes"] for about in manifest.files.values())
    if whole > free:
        raise StoreError(f"{folder.parent}: has room for {free:,} bytes, and the run needs {whole:,}; make room first")
    for path, about in manifest.files.items():
        with opened.open(path) as source, _written(folder, path) as file:
            _copy(f"{archive}: {path}", source, file, about)


@contextmanager
def _written(folder: Path, path: str) -> Iterator[IO[bytes] | None]:
    if path.startswith(_LEFT_OUT):
        yield None
        return
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        yield file


def _copy(where: str, source: IO[bytes], file: IO[bytes] | None, about: Mapping[str, Any]) -> None:
    checksum, left = hashlib.sha256(), about["bytes"]
    while piece := source.read(_PIECE):
        left -= len(piece)
        if left < 0:
            raise StoreError(f"{where} holds more than its {MANIFEST} says; it was changed")
        checksum.update(piece)
        if file is not None:
            file.write(piece)
    if left or checksum.hexdigest() != about["sha256"]:
        raise StoreError(f"{where} is not what was exported (its checksum differs); have it sent again")
