"""A cache of costly results that depend on content alone: shared between runs, checked, and rebuilt if damaged."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

__all__ = ["cached_folder", "default_cache"]

_SEAL: Final = "sealed.json"


def default_cache() -> Path:
    """Return the folder that runs share.

    Returns:
        ``$CROSSFEED_CACHE`` or ``~/.cache/crossfeed``.
    """
    chosen = os.environ.get("CROSSFEED_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crossfeed"


def cached_folder(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, filled if it is not there.

    It is filled beside its place and moved there whole, with the checksums of its files; one that is incomplete or
    damaged is filled again. Of several processes that need it one fills it (where the system has file locks).

    Args:
        folder: Its place.
        fill: Writes the content into an empty folder.

    Returns:
        The same place.
    """
    if _is_sound(folder):
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _locked(folder.with_name(folder.name + ".lock")):
        if not _is_sound(folder):
            _build(folder, fill)
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
def _locked(path: Path) -> Iterator[None]:
    try:
        import fcntl
    except ModuleNotFoundError:  # Windows: two processes may both do the work; the result is the same
        yield
        return
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
