"""Messages between a run and its workers: plain data, tables, arrays and files' bytes, never pickled objects.

A message is a mapping. It travels as a JSON head, in which each table, array or bytes is a reference, followed by their
contents, each in a format that carries no code (Arrow's stream, NumPy's without objects, raw bytes).
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa

from crossfeed.protocols import Part, Scores, TrainingSet

__all__ = [
    "decode",
    "encode",
    "pack_scores",
    "pack_set",
    "read_files",
    "unpack_scores",
    "unpack_set",
    "write_files",
]

_LENGTH: Final = 8
"""Bytes of each length."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Encode a message as bytes.

    Args:
        message: Plain data, tables, arrays and bytes.

    Returns:
        The bytes for `decode`.

    Raises:
        TypeError: It holds something else.
    """
    blobs: list[bytes] = []
    head = json.dumps(_refer(message, blobs)).encode()
    parts = [head, *blobs]
    lengths = [len(part).to_bytes(_LENGTH, "little") for part in parts]
    return b"".join([len(parts).to_bytes(_LENGTH, "little"), *lengths, *parts])


def decode(data: bytes) -> dict[str, Any]:
    """Decode a message.

    Args:
        data: The bytes that `encode` returned.

    Returns:
        The message; its tuples are lists.
    """
    view = memoryview(data)
    count = int.from_bytes(view[:_LENGTH], "little")
    begin = _LENGTH * (count + 1)
    parts = []
    for i in range(1, count + 1):
        length = int.from_bytes(view[_LENGTH * i : _LENGTH * (i + 1)], "little")
        parts.append(view[begin : begin + length])
        begin += length
    message: dict[str, Any] = _resolve(json.loads(bytes(parts[0])), parts[1:])
    return message


def _refer(value: Any, blobs: list[bytes]) -> Any:
    if isinstance(value, Mapping):
        return {"map": {str(key): _refer(item, blobs) for key, item in value.items()}}
    if isinstance(value, list | tuple):
        return [_refer(item, blobs) for item in value]
    if value is None or isinstance(value, str | int | float):
        return value
    kind, blob = _blob(value)
    blobs.append(blob)
    return {kind: len(blobs) - 1}


def _blob(value: Any) -> tuple[str, bytes]:
    if isinstance(value, bytes):
        return "bytes", value
    if isinstance(value, np.ndarray):
        buffer = io.BytesIO()
        np.save(buffer, value, allow_pickle=False)
        return "array", buffer.getvalue()
    if isinstance(value, pa.Table):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as writer:
            writer.write_table(value)
        return "table", sink.getvalue().to_pybytes()
    raise TypeError(f"{type(value).__name__} cannot be sent to a worker")


def _resolve(value: Any, blobs: Sequence[memoryview]) -> Any:
    if isinstance(value, list):
        return [_resolve(item, blobs) for item in value]
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "map":
        return {key: _resolve(item, blobs) for key, item in content.items()}
    if kind == "bytes":
        return bytes(blobs[content])
    if kind == "array":
        return np.load(io.BytesIO(blobs[content]), allow_pickle=False)
    return pa.ipc.open_stream(pa.py_buffer(blobs[content])).read_all()


def pack_set(training: TrainingSet) -> list[dict[str, Any]]:
    """Convert a training set to contents of a message.

    Args:
        training: The training set.

    Returns:
        A mapping for each of its parts.
    """
    return [
        {
            **{"source": p.source, "born": p.born, "weight": p.weight, "items": p.items, "positions": p.positions},
            **({} if p.relative is None else {"relative": p.relative}),
        }
        for p in training.parts
    ]


def unpack_set(parts: Sequence[Mapping[str, Any]]) -> TrainingSet:
    """Convert contents of a message back to a training set.

    Args:
        parts: The mappings that `pack_set` returned.

    Returns:
        The training set.
    """
    return TrainingSet(tuple(Part(**part) for part in parts))


def pack_scores(scores: Scores) -> dict[str, Any]:
    """Convert losses to contents of a message.

    Args:
        scores: The losses.

    Returns:
        Their arrays by name.
    """
    return {one.name: getattr(scores, one.name) for one in fields(scores)}


def unpack_scores(packed: Mapping[str, Any]) -> Scores:
    """Convert contents of a message back to losses.

    Args:
        packed: The mapping that `pack_scores` returned.

    Returns:
        The losses.
    """
    return Scores(**packed)


def read_files(folder: Path) -> dict[str, bytes]:
    """Read all files of a folder.

    Args:
        folder: The folder.

    Returns:
        Contents by relative path, with slashes.
    """
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files into a folder.

    Args:
        files: Contents by relative path, as `read_files` returned them.
        folder: The folder.
    """
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
