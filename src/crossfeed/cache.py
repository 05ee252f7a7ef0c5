"""A cache of costly results that depend on content alone: shared between runs, checked, and rebuilt if damaged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Final

from crossfeed.errors import InvalidInput, StoreError

__all__ = ["cached_folder", "default_cache", "expanded"]

_SEAL: Final = "sealed.json"


def default_cache() -> Path:
    """Return the folder that runs share.

    Returns:
        ``$CROSSFEED_CACHE`` or ``~/.cache/crossfeed``.

    Raises:
        InvalidInput: Neither is there: this user has no home folder.
    """
    chosen = os.environ.get("CROSSFEED_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossfeed"
    except RuntimeError as error:
        raise InvalidInput(
            "there is no place for the cache ~/.cache/crossfeed, since this user has no home folder; name a folder in "
            "the variable CROSSFEED_CACHE"
        ) from error


def expanded(path: str | Path) -> Path:
    """Return a path with ``~`` and ``~user`` replaced by home folders.

    Args:
        path: The path.

    Raises:
        InvalidInput: There is no such user, or the user has no home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInput(f"{path}: no home folder of that user is known; give the whole path") from error


def cached_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, filled if it is not there.

    It is filled beside its place and moved there whole, with the checksums of its files; one that is incomplete or
    damaged is filled again. Of several processes that need it one fills it (where the system has file locks).

    Args:
        folder: Its place.
        fill: Writes the content into an empty folder.

    Returns:
        The same place.

    Raises:
        StoreError: The cache cannot be written.
    """
    if _is_sound(folder):
        return folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.with_name(folder.name + ".lock")) as alone:
            if not _is_sound(folder):
                if alone:  # what is there now was left by a process that was killed
                    for left in folder.parent.glob(f"{escape(folder.name)}.*.part"):
                        shutil.rmtree(left, ignore_errors=True)
                _build(folder, fill)
    except OSError as error:
        raise StoreError(
            f"{folder}: the cache cannot be written ({error.strerror or error}); make room or mend its permissions, or "
            "name another folder in the variable CROSSFEED_CACHE"
        ) from error
    return folder


def _build(folder: Path, fill: Callable[[Path], None]) -> None:
    work = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", suffix=".part", dir=folder.parent))
    try:
        fill(work)
        (work / _SEAL).write_text(json.dumps(_checksums(work), indent=1), encoding="utf-8")
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(work, folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_sound(folder: Path) -> bool:
    try:
        expected = json.loads((folder / _SEAL).read_text(encoding="utf-8"))
        return bool(expected == _checksums(folder))
    except (OSError, ValueError):
        return False


def _checksums(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
        for path in sorted(folder.iterdir())
        if path.name != _SEAL
    }


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Wait for a lock and hold it; False where the system has none."""
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: two processes may both do the work; the result is the same
        yield False
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield True
