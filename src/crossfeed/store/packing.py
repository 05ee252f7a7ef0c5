"""Packing: the files of finished cells are brought together into packs (`crossfeed.store.packs`), and then removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, NamedTuple

import pyarrow as pa

from crossfeed.store.checksum import MANIFEST
from crossfeed.store.packs import Packs
from crossfeed.store.schema import STATES, TABLES, states_path, table_path, within
from crossfeed.store.sealed import SealedFiles

__all__ = ["pack_scopes", "unpacked_states"]

_LARGE: Final = 2**20
"""Bytes of a table or a folder of states that stays as it is: packs are for what is small and many."""
_MOST: Final = 2**24
"""Bytes of tables in a pack, in memory, at about which it is closed."""
_STATES_SCHEMA: Final = pa.schema([("file", pa.string()), ("content", pa.binary())])
_GENERATION: Final = re.compile(r"generation-(\d+)(?:\.parquet)?")


class _Loose(NamedTuple):
    """A table in a file of its own, or the states in a folder of their own as a table of files."""

    scope: str
    generation: int
    path: str
    table: pa.Table


@dataclass
class _Alike:
    """Tables of one schema that wait to be packed, and their bytes in memory."""

    tables: list[_Loose] = field(default_factory=list)
    size: int = 0


def pack_scopes(sealed: SealedFiles, packs: Packs, scopes: Sequence[str]) -> None:
    """Pack everything small of scopes to which nothing will be added.

    Args:
        sealed: The run's files.
        packs: Its packs.
        scopes: The scopes.

    Raises:
        StoreError: A pack cannot be written.
    """
    packs.forget_documents()  # what is found in one is removed elsewhere: that has to be true now
    for step in (*TABLES, STATES):
        packs.look(step)
        there = _scopes_in(sealed, step)
        waiting: dict[bytes, _Alike] = {}
        for loose in _loose(sealed, packs, step, [scope for scope in scopes if scope in there]):
            schema = loose.table.schema.serialize().to_pybytes()
            alike = waiting.setdefault(schema, _Alike())
            alike.tables.append(loose)
            alike.size += loose.table.nbytes
            if alike.size > _MOST:
                _bring(sealed, packs, step, waiting.pop(schema).tables)
        for alike in waiting.values():
            _bring(sealed, packs, step, alike.tables)


@contextmanager
def unpacked_states(table: pa.Table) -> Iterator[Path]:
    """Yield a temporary folder with the files of packed states.

    Args:
        table: The packed states: ``file``, and ``content``, which a folder has none of; folders before their files.

    Raises:
        StoreError: A file would be outside it.
        OSError: It cannot be written.
    """
    with TemporaryDirectory(prefix="crossfeed-") as folder:
        for name, content in zip(table.column("file").to_pylist(), table.column("content").to_pylist(), strict=True):
            target = Path(folder) / within(name)
            if content is None:
                target.mkdir()
            else:
                target.write_bytes(content)
        yield Path(folder)


def _scopes_in(sealed: SealedFiles, step: str) -> set[str]:
    """Return the scopes that have files of their own, by two listings and not by one for each."""
    names = sealed.files.names(step)
    return {*names, *(f"shared/{name}" for name in (sealed.files.names(f"{step}/shared") if "shared" in names else ()))}


def _loose(sealed: SealedFiles, packs: Packs, step: str, scopes: Iterable[str]) -> Iterator[_Loose]:
    """Yield what can be packed; what is in a pack already, since a process was killed, is removed."""
    for scope in scopes:
        for name in sealed.files.names(f"{step}/{scope}"):
            number = _GENERATION.fullmatch(name)
            generation = -1 if number is None else int(number[1])
            path = states_path(scope, generation) if step == STATES else table_path(step, scope, generation)
            if path != f"{step}/{scope}/{name}":
                continue
            if packs.has(step, scope, generation):
                _remove(sealed, [path])
                continue
            table = _states(sealed, path) if step == STATES else _table(sealed, path)
            if table is not None and "scope" not in table.column_names:
                yield _Loose(scope, generation, path, table)


def _table(sealed: SealedFiles, path: str) -> pa.Table | None:
    content = sealed.read_table(path)
    return None if content is None or len(content) > _LARGE else sealed.parse_table(path, content)


def _states(sealed: SealedFiles, path: str) -> pa.Table | None:
    """Return the files of a folder of states as a table; None if they are large, or not whole."""
    with ExitStack() as opened:
        folder = sealed.open_folder(path, opened)
        found = [] if folder is None else sorted(path for path in folder.rglob("*") if path != folder / MANIFEST)
        if folder is None or sum(path.stat().st_size for path in found if path.is_file()) > _LARGE:
            return None
        names = [path.relative_to(folder).as_posix() for path in found]
        contents = [path.read_bytes() if path.is_file() else None for path in found]  # None: a folder
        return pa.table([pa.array(names), pa.array(contents, pa.binary())], schema=_STATES_SCHEMA)


def _bring(sealed: SealedFiles, packs: Packs, step: str, alike: Sequence[_Loose]) -> None:
    """Write a pack, and remove what it holds."""
    packs.add(step, [(each.scope, each.generation, each.table) for each in alike])
    _remove(sealed, [each.path for each in alike])


def _remove(sealed: SealedFiles, paths: Sequence[str]) -> None:
    """Remove files, and folders in which nothing else is."""
    by_folder: dict[str, list[str]] = {}
    for path in paths:
        by_folder.setdefault(path.rpartition("/")[0], []).append(path.rpartition("/")[2])
    for folder, names in by_folder.items():
        if {*sealed.files.names(folder)} <= {*names}:
            sealed.files.remove(folder)
        else:
            for name in names:
                sealed.files.remove(f"{folder}/{name}")
