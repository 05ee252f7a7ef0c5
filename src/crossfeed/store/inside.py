"""Files within a folder that somebody else may have made: no link in it is followed, neither to read nor to write.

A run's folder can come from anywhere. A link in it would have crossfeed read or overwrite a file elsewhere; a pipe or a
device would have it wait forever. The folder itself may be reached through links: its user named it.
"""

from __future__ import annotations

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from crossfeed.errors import StoreError

__all__ = ["PARTIAL", "inside", "open_inside", "partial_of", "read_inside", "refuse_links", "write_inside"]

PARTIAL: Final = ".partial-"
"""The beginning of the names under which files and folders are written."""

_WANDB: Final = "wandb"
"""The folder in which the client of Weights & Biases keeps links of its own."""

# Windows has neither flag, and makes links for administrators alone.
_CAREFUL: Final = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def inside(root: Path, path: str) -> Path:
    """Return a path within a folder that no link leads out of.

    Args:
        root: The folder.
        path: The path within it, with slashes; nothing needs to be there.

    Returns:
        The path.

    Raises:
        StoreError: A part of it below the folder is a link.
    """
    here = root
    for part in path.split("/") if path else ():
        here = here / part
        if here.is_symlink():
            raise _link(here)
    return here


def open_inside(root: Path, path: str, flags: int) -> int:
    """Open a file within a folder.

    Args:
        root: The folder.
        path: The file's path within it.
        flags: Flags of `os.open`; links are never followed.

    Returns:
        The file's descriptor.

    Raises:
        StoreError: A part of the path is a link, or what is there is no file.
        OSError: It cannot be opened.
    """
    target = inside(root, path)
    descriptor = os.open(target, flags | _CAREFUL, 0o666)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise StoreError(f"{target}: is no file, and one of that name belongs here; remove it")
    return descriptor


def read_inside(root: Path, path: str) -> bytes:
    """Read a file within a folder.

    Args:
        root: The folder.
        path: The file's path within it.

    Returns:
        Its bytes.

    Raises:
        StoreError: A part of the path is a link, or what is there is no file.
        OSError: It cannot be read.
    """
    with os.fdopen(open_inside(root, path, os.O_RDONLY), "rb") as file:
        return file.read()


def write_inside(root: Path, path: str, content: bytes) -> Path:
    """Write a file within a folder, whole or not at all.

    Args:
        root: The folder; it and those between are made if need be.
        path: The file's path within it.
        content: Its bytes.

    Returns:
        The file.

    Raises:
        StoreError: A part of the path is a link, or the file cannot be written.
    """
    target = inside(root, path)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _replacing(target) as partial, partial.open("xb") as file:
            file.write(content)
    except OSError as error:
        raise StoreError(
            f"{target}: cannot be written ({error.strerror or error}); make room, or give a folder with --out"
        ) from error
    return target


def partial_of(target: Path) -> Path:
    """Return a name beside a file or folder that nobody can have foreseen, to be created there exclusively.

    Args:
        target: What will take the name in the end.
    """
    return target.with_name(f"{PARTIAL}{uuid.uuid4().hex[:16]}-{target.name}")


def refuse_links(root: Path) -> None:
    """Check that there is no link in a folder, apart from those that the client of Weights & Biases makes in its own.

    Args:
        root: The folder; it need not be there.

    Raises:
        StoreError: There is one; the message names it.
    """
    for folder, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and not _is_wandbs(path, root / _WANDB):
                raise _link(path)


def _is_wandbs(link: Path, folder: Path) -> bool:
    """Return True for the client's links to its latest run, and for those to logs in the folders of its earlier runs.

    The latter lead to its cache; it writes nothing into such a folder again, since each of its runs has one of its own.
    """
    if link.parent == folder:
        return link.resolve().is_relative_to(folder.resolve())
    return folder in link.parents


def _link(path: Path) -> StoreError:
    return StoreError(
        f"{path}: is a link, and in a folder that crossfeed writes nothing may lead elsewhere; remove it, or put what "
        "it leads to in its place"
    )


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """Give a name beside the target, and move what was written there to it."""
    partial = partial_of(target)
    try:
        yield partial
        os.replace(partial, target)
    except BaseException:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise
