r"""Checksums stored inside the files that they belong to, so that no kill can separate the two.

The hash (BLAKE2b, 256 bits) is of the file's address, that is its run's id and its path in the run, and then of its
bytes: a file that was cut short or changed does not match, and neither does an intact one of another run, generation or
entity.

- A Parquet file keeps its checksum as an entry of its own footer. The entry has a fixed length and is hashed as if it
  were not there; other readers of Parquet show it or ignore it.
- A JSON document keeps it under ``checksum``, computed from the rest in a canonical spelling.
- A folder of states keeps a document ``.checksums.json`` with size and checksum of every file; a missing or additional
  file is a fault, since libraries read every file of such a folder.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:  # documents are sealed and opened without pyarrow, which takes long to load
    import pyarrow as pa

__all__ = [
    "MANIFEST",
    "describe_folder",
    "digest",
    "document_fault",
    "folder_fault",
    "open_table",
    "parse_document",
    "seal_document",
    "seal_table",
    "table_fault",
]

MANIFEST: Final = ".checksums.json"
"""In a folder of states; no entity has a name that begins with a dot."""

_KEY: Final = "crossfeed"
_MARK: Final = b"crossfeed-blake2b-256:"
_DIGITS: Final = 64
_LARGE: Final = 2**20
"""Bytes of a table's file that several threads read sooner than one."""
_AT_ONCE: Final = 8
"""Files that are hashed at the same time; hashing releases Python's lock."""


def digest(address: str, *parts: bytes | memoryview) -> str:
    """Hash an address and bytes.

    Args:
        address: The address.
        parts: The bytes, in order.

    Returns:
        64 hexadecimal digits.
    """
    checksum = hashlib.blake2b(address.encode("utf-8") + b"\0", digest_size=_DIGITS // 2)
    for part in parts:
        checksum.update(part)
    return checksum.hexdigest()


def seal_table(table: pa.Table, address: str) -> bytes:
    """Convert a table to a Parquet file that holds its own checksum.

    Args:
        table: Any table.
        address: The file's address: the run's id and the path in it.

    Returns:
        The bytes of the file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, table.schema, compression="zstd") as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_KEY: (_MARK + b"0" * _DIGITS).decode()})
    content = bytearray(sink.getvalue())
    before, after = _around(content)
    content[before:after] = digest(address, memoryview(content)[:before], memoryview(content)[after:]).encode()
    return bytes(content)


def table_fault(content: bytes, address: str) -> str | None:
    """Check the bytes of a sealed table.

    Args:
        content: The bytes of the file.
        address: Its address.

    Returns:
        A sentence about the fault; None if there is none.
    """
    before, after = _around(content)
    if before < 0 or after > len(content):
        return "it has no checksum: it was cut short, or it was not written here"
    view = memoryview(content)
    if content[before:after] != digest(address, view[:before], view[after:]).encode():
        return "its checksum does not match: it was changed, or it belongs to another place or run"
    return None


def open_table(content: bytes) -> pa.Table:
    """Parse a Parquet file, sealed or not.

    Args:
        content: The bytes of the file.

    Returns:
        The table, without the checksum.

    Raises:
        pa.ArrowException: These bytes are no Parquet file.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    # Most are small, and there are thousands: handing columns to threads takes longer than reading them.
    table = pq.ParquetFile(pa.BufferReader(content)).read(use_threads=len(content) > _LARGE)
    own = {name: value for name, value in (table.schema.metadata or {}).items() if name != _KEY.encode()}
    return table.replace_schema_metadata(own or None)


def _around(content: bytes | bytearray) -> tuple[int, int]:
    """Return the begin and end of the checksum: after the last mark, since a Parquet file ends with its footer."""
    mark = content.rfind(_MARK)
    return (-1, -1) if mark < 0 else (mark + len(_MARK), mark + len(_MARK) + _DIGITS)


def seal_document(document: Mapping[str, Any], address: str) -> bytes:
    """Convert a document to JSON text with its checksum.

    Args:
        document: Plain data.
        address: The file's address.

    Returns:
        The bytes of the file.
    """
    plain = json.loads(json.dumps(document))
    text = json.dumps(plain | {"checksum": _of_document(plain, address)}, indent=2, ensure_ascii=False)
    # Characters that are no Unicode text, such as half a surrogate pair in an error's message, are escaped as in JSON.
    return (text + "\n").encode("utf-8", errors="backslashreplace")


def parse_document(content: bytes) -> tuple[dict[str, Any], str | None]:
    """Parse a document.

    Args:
        content: The bytes of the file.

    Returns:
        Its data, checksum included, and a sentence about the fault (None if there is none).
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        return {}, f"cannot be read: {error}"
    if not isinstance(document, dict):
        return {}, f"it holds {type(document).__name__}, not a mapping"
    return document, None


def document_fault(document: Mapping[str, Any], address: str) -> str | None:
    """Check a parsed document.

    Args:
        document: Its data, checksum included.
        address: The file's address.

    Returns:
        A sentence about the fault; None if there is none.
    """
    rest = {name: value for name, value in document.items() if name != "checksum"}
    if "checksum" not in document:
        return "it has no checksum: it was changed, or it was not written here"
    if document["checksum"] != _of_document(rest, address):
        return "its checksum does not match: it was changed, or it belongs to another place or run"
    return None


def _of_document(rest: Mapping[str, Any], address: str) -> str:
    return digest(address, json.dumps(rest, sort_keys=True, separators=(",", ":")).encode())


def describe_folder(folder: Path) -> dict[str, Any]:
    """Compute the manifest of a folder.

    Args:
        folder: The folder.

    Returns:
        Size and checksum of every file, by relative path.
    """
    files = dict(_files(folder))
    sums = _sums(files)
    return {"files": {name: {"bytes": path.stat().st_size, "blake2b": sums[name]} for name, path in files.items()}}


def folder_fault(folder: Path, content: bytes, address: str) -> str | None:
    """Check a folder of states.

    Args:
        folder: The folder.
        content: The bytes of its manifest.
        address: Its address.

    Returns:
        A sentence about the fault; None if there is none.

    Raises:
        OSError: A file cannot be read.
    """
    manifest, fault = parse_document(content)
    fault = fault or document_fault(manifest, address)
    if fault is not None:
        return f"of its {MANIFEST}: {fault}"
    files, expected = dict(_files(folder)), manifest["files"]
    for name in sorted(files.keys() | expected.keys()):
        if name not in files:
            return f"{name} is missing"
        if name not in expected:
            return f"{name} does not belong there"
        if files[name].stat().st_size != expected[name]["bytes"]:
            return f"the checksum of {name} does not match"
    sums = _sums(files)
    wrong = [name for name in sorted(files) if sums[name] != expected[name]["blake2b"]]
    return f"the checksum of {wrong[0]} does not match" if wrong else None


def _files(folder: Path) -> list[tuple[str, Path]]:
    files = ((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if not path.is_dir())
    return sorted(each for each in files if each[0] != MANIFEST)


def _sums(files: Mapping[str, Path]) -> dict[str, str]:
    """Compute checksums of files, several at a time: a state of a large model takes seconds."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return dict(zip(files, pool.map(_of, files.values()), strict=True))


def _of(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.blake2b(digest_size=_DIGITS // 2)).hexdigest()
