"""The list of an exported run's files, with their sizes and SHA-256: what arrives is what was sent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from crossfeed.errors import StoreError
from crossfeed.store.schema import within

__all__ = ["MANIFEST", "Manifest", "describe", "parse_manifest"]

MANIFEST: Final = "manifest.json"
"""The list's own name: of all files it alone is not in it."""

_FORMAT: Final = 1
"""The version of the list; a reader refuses newer ones."""

_SHA256: Final = 64
_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]{0,127}")


@dataclass(frozen=True)
class Manifest:
    """The list of what an export holds.

    Attributes:
        id: The run's content id.
        name: Its name.
        crossfeed: The version that wrote the export.
        removed: Fields of the description that were paths, and are no longer.
        files: ``bytes`` and ``sha256`` of each file, by path.
    """

    id: str
    name: str
    crossfeed: str
    removed: list[str]
    files: dict[str, dict[str, Any]]

    def to_json(self) -> str:
        """Return the list as text."""
        return json.dumps({"format": _FORMAT} | asdict(self), indent=1, ensure_ascii=False) + "\n"


def describe(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and SHA-256 of every file of a folder, by path, sorted.

    Args:
        folder: The folder.
    """
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): _about(path) for path in found if path != folder / MANIFEST}


def parse_manifest(where: str, content: bytes) -> Manifest:
    """Read a list.

    Args:
        where: The place, for messages.
        content: The bytes of the file.

    Raises:
        StoreError: It is none, or of a newer version.
    """
    try:
        data = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise StoreError(f"{where}: its {MANIFEST} cannot be read ({error}); export the run again") from error
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        raise StoreError(f"{where}: its {MANIFEST} is none of crossfeed's; give a file that `crossfeed export` wrote")
    if data["format"] > _FORMAT:
        raise StoreError(
            f"{where}: exported in format {data['format']}, this crossfeed reads up to {_FORMAT}; upgrade crossfeed"
        )
    for key, (is_one, words) in _FORM.items():
        if not is_one(data.get(key)):
            raise StoreError(f"{where}: its {MANIFEST} is damaged: its {key} is not {words}; export the run again")
    for path in data["files"]:
        within(path)
    return Manifest(**{key: data[key] for key in _FORM})


def _about(path: Path) -> dict[str, Any]:
    with path.open("rb") as handle:
        return {"bytes": path.stat().st_size, "sha256": hashlib.file_digest(handle, "sha256").hexdigest()}


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and _NAME.fullmatch(value) is not None


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_files(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_about, value.values()))


def _is_about(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    size, digest = value.get("bytes"), value.get("sha256")
    return type(size) is int and size >= 0 and isinstance(digest, str) and len(digest) == _SHA256


_FORM: Final[Mapping[str, tuple[Callable[[Any], bool], str]]] = {
    "id": (_is_name, "a name"),
    "name": (_is_name, "a name"),
    "crossfeed": (_is_text, "a text"),
    "removed": (_are_texts, "a list of texts"),
    "files": (_are_files, "sizes and checksums by path"),
}
