"""Packs: the tables of many finished cells in one file, since a run of thousands of cells has tens of thousands.

::

    packs/records/0001-3fa2c1d0.parquet    rows of many tables, one after the other, after the column ``scope``
    packs/records/0001-3fa2c1d0.json       which tables they are, and at which rows

A pack's Parquet file is never changed. Its document is written after it, and until then the file counts as not there;
the tables' own files are removed after that. So at any moment each table is in its own file, or in a pack, or for a
moment in both, with the same rows; whoever looks for it in this order, and then once more at the packs, finds it.
"""

from __future__ import annotations

import re
import uuid
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from crossfeed.store.schema import PACKS
from crossfeed.store.sealed import SealedFiles

if TYPE_CHECKING:  # documents are read without pyarrow
    import pyarrow as pa

__all__ = ["TOGETHER", "Packs"]

TOGETHER: Final = 64
"""Finished cells whose files are packed together. A run of fewer cells keeps a file for each step."""

_SCOPE: Final = "scope"
_GENERATION: Final = "generation"
_NUMBER: Final = re.compile(r"(\d{4,})-[0-9a-f]{8}\.")
_HELD: Final = 2**26
"""Bytes of packs that are kept open: cells are read in the order of the grid, and packed in that of their ends."""


class _Span(NamedTuple):
    """Consecutive generations of a scope in a pack, with as many rows each.

    Attributes:
        scope: The scope.
        first: The first generation.
        last: The last one.
        row: The row in the pack at which the first one begins.
        rows: The rows of each.
    """

    scope: str
    first: int
    last: int
    row: int
    rows: int


class _Pack(NamedTuple):
    """The document of a pack.

    Attributes:
        spans: Which tables it holds.
        added: The names of its columns that are not the tables' own.
    """

    spans: list[_Span]
    added: list[str]


class Packs:
    """The packs of one run.

    Args:
        sealed: The run's files.
    """

    def __init__(self, sealed: SealedFiles) -> None:
        self._sealed = sealed
        self.forget()

    def forget(self) -> None:
        """Forget everything that was read, to read it anew."""
        self.forget_documents()
        self._whole: set[str] = set()
        self._opened: OrderedDict[str, pa.Table] = OrderedDict()

    def forget_documents(self) -> None:
        """Forget what is in which pack: a worker that wrote a table anew took it out of one."""
        self._packs: dict[str, _Pack] = {}
        self._places: dict[tuple[str, str], list[tuple[str, _Span]]] = {}
        self._seen: set[str] = set()

    def look(self, step: str) -> bool:
        """Look for packs that another process has written since the last look.

        Args:
            step: The step, such as ``records``.

        Returns:
            True if there are any.

        Raises:
            StoreError: A pack's document is damaged, and the run is not being written here.
        """
        names = self._sealed.files.names(f"{PACKS}/{step}")
        self._seen.add(step)
        new = False
        for path in (f"{PACKS}/{step}/{name[:-5]}" for name in names if _is_document(name)):
            document = None if path in self._seen else self._sealed.read_document(f"{path}.json")
            if document is not None:
                self._seen.add(path)
                self._note(path, _Pack([_Span(*span) for span in document["tables"]], document["added"]))
                new = True
        return new

    def has(self, step: str, scope: str, generation: int) -> bool:
        """Return True if a table is in a known pack that is whole; each pack is verified once.

        Args:
            step: The step.
            scope: The scope.
            generation: The generation t.
        """
        found = self._found(step, scope, generation)
        return any(path in self._whole or self._open(path) is not None for path, _ in found)

    def find(self, step: str, scope: str, generation: int) -> pa.Table | None:
        """Return a table from a known pack; None if it is in none.

        Args:
            step: The step.
            scope: The scope.
            generation: The generation t.

        Raises:
            StoreError: The pack is damaged, and the run is not being written here.
        """
        for path, span in self._found(step, scope, generation):
            pack = self._open(path)
            if pack is not None:
                return pack.slice(span.row + (generation - span.first) * span.rows, span.rows)
        return None

    def add(self, step: str, tables: Sequence[tuple[str, int, pa.Table]], tag: str | None = None) -> str:
        """Write a pack.

        Args:
            step: The step.
            tables: Scope, generation and table of each, all of one schema, without a column ``scope``.
            tag: Eight hexadecimal digits in its name; default: random ones, which no other process takes.

        Returns:
            The path of its table within the run.
        """
        import numpy as np
        import pyarrow as pa

        rows = [table.num_rows for _, _, table in tables]
        begins = np.concatenate([[0], np.cumsum(rows)]).tolist()
        spans = [
            _Span(scope, t, t, begin, table.num_rows)
            for (scope, t, table), begin in zip(tables, begins[:-1], strict=True)
        ]
        packed = pa.concat_tables([table for _, _, table in tables])
        added = [_SCOPE] if _GENERATION in packed.column_names else [_SCOPE, _GENERATION]
        of_row = pa.array(np.repeat(np.arange(len(tables)), rows))
        columns = {
            _SCOPE: pa.array([scope for scope, _, _ in tables]),
            _GENERATION: pa.array([t for _, t, _ in tables]),
        }
        for name in reversed(added):
            packed = packed.add_column(0, name, columns[name].take(of_row))
        path = f"{PACKS}/{step}/{self._next(step):04d}-{tag or uuid.uuid4().hex[:8]}"
        pack = _Pack(_joined(spans), added)
        self._sealed.write_table(f"{path}.parquet", packed)
        self._write(path, pack)
        self._seen.add(path)
        self._note(path, pack)
        return f"{path}.parquet"

    def drop(self, step: str, scope: str, generation: int) -> None:
        """Take a table out of the packs: it was written anew, or is no longer kept.

        Args:
            step: The step.
            scope: The scope.
            generation: The generation t.
        """
        if step not in self._seen:
            self.look(step)
        for path, dropped in self._found(step, scope, generation):
            pack = self._packs[path]
            spans = [part for span in pack.spans for part in (_around(span, generation) if span == dropped else [span])]
            self._forget_pack(path)
            if spans:
                self._write(path, _Pack(spans, pack.added))
                self._note(path, _Pack(spans, pack.added))
            else:
                self._remove(path)

    def sweep(self) -> None:
        """Remove packs whose documents were not written before their process was killed."""
        for step in self._sealed.files.names(PACKS):
            names = self._sealed.files.names(f"{PACKS}/{step}")
            known = {name.removesuffix(".json") for name in names if _is_document(name)}
            for name in names:
                if not name.startswith(".") and name.removesuffix(".parquet") not in {*known, name}:
                    self._sealed.files.remove(f"{PACKS}/{step}/{name}")

    def _found(self, step: str, scope: str, generation: int) -> list[tuple[str, _Span]]:
        places = self._places.get((step, scope), ())
        return [(path, span) for path, span in places if span.first <= generation <= span.last]

    def _open(self, path: str) -> pa.Table | None:
        """Return the rows of a pack without the columns that it added; None if it is not there (any more)."""
        if path in self._opened:
            self._opened.move_to_end(path)
            return self._opened[path]
        content = self._sealed.read_table(f"{path}.parquet")
        table = None if content is None else self._parsed(path, content)
        if table is None:
            self._forget_pack(path)
            if self._sealed.writing:
                self._remove(path)  # what was in it is made again
            return None
        self._whole.add(path)
        self._opened[path] = table
        while len(self._opened) > 1 and sum(each.nbytes for each in self._opened.values()) > _HELD:
            self._opened.popitem(last=False)
        return table

    def _parsed(self, path: str, content: bytes) -> pa.Table | None:
        spans, added = self._packs[path]
        table = self._sealed.parse_table(f"{path}.parquet", content)
        end = max(span.row + span.rows * (span.last - span.first + 1) for span in spans)
        if end > table.num_rows or not {*added} <= {*table.column_names}:
            self._sealed.reject(f"{path}.json", "it tells of rows or columns that its pack does not have")
            return None
        return table.drop_columns(added)

    def _note(self, path: str, pack: _Pack) -> None:
        self._packs[path] = pack
        for span in pack.spans:
            self._places.setdefault((path.split("/")[1], span.scope), []).append((path, span))

    def _forget_pack(self, path: str) -> None:
        for span in self._packs.pop(path).spans:
            self._places[path.split("/")[1], span.scope].remove((path, span))

    def _next(self, step: str) -> int:
        numbers = (_NUMBER.search(name) for name in self._sealed.files.names(f"{PACKS}/{step}"))
        return 1 + max((int(number[1]) for number in numbers if number is not None), default=0)

    def _write(self, path: str, pack: _Pack) -> None:
        document = {"tables": [list(span) for span in pack.spans], "added": pack.added}
        self._sealed.write_document(f"{path}.json", document, durable=True)

    def _remove(self, path: str) -> None:
        for ending in (".json", ".parquet"):  # in this order: without its document it counts as not there
            self._sealed.files.remove(path + ending)


def _is_document(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


def _joined(spans: Sequence[_Span]) -> list[_Span]:
    """Join spans, one for each table, that continue each other."""
    joined: list[_Span] = []
    for span in spans:
        last = joined[-1] if joined else None
        if last is not None and (last.scope, last.last + 1, last.rows) == (span.scope, span.first, span.rows):
            joined[-1] = last._replace(last=span.last)
        else:
            joined.append(span)
    return joined


def _around(span: _Span, generation: int) -> list[_Span]:
    """Return what a span leaves without one of its generations."""
    after = span._replace(first=generation + 1, row=span.row + span.rows * (generation + 1 - span.first))
    return [part for part in (span._replace(last=generation - 1), after) if part.first <= part.last]
