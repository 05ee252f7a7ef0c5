"""A run written anew as a folder to be shared: without traces of its machine, its tables in few plain files.

Everything is read from the run's store, so that it is verified, and written with checksums of its own: the copy is a
run like any other. Tables of all cells and generations are brought together in packs, which `datasets`, pandas and
DuckDB read as they are; checkpoints stay folders, which `transformers` reads.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple

import pyarrow as pa

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.description.stored import read_stored
from crossfeed.description.strict_yaml import dump_yaml, parse_yaml
from crossfeed.errors import InvalidDescription, InvalidInput, StoreError
from crossfeed.evaluation.checkpoints import results_of
from crossfeed.records import collect, scope_of, state_scope_of
from crossfeed.reporting.data.frames import Run
from crossfeed.running.described import document_of
from crossfeed.sharing.traces import Traces
from crossfeed.store import open_store
from crossfeed.store.checksum import digest
from crossfeed.store.local import LocalFiles
from crossfeed.store.packs import Packs
from crossfeed.store.schema import TABLES, states_path
from crossfeed.store.sealed import SealedFiles

__all__ = ["Copied", "Keep", "Place", "copy_run"]

Keep = Literal["all", "last", "none"]
"""Of which generations something is copied."""

_DOCUMENTS: Final = ("added", "failures", "known", "models", "notes", "precision", "sittings")
"""Folders of documents that are copied; ``status`` is of the moment."""

_EVALUATION: Final = "evaluation"
_MOST: Final = 2**26
"""Bytes of tables in a pack, in memory, at about which it is closed."""
_VOCABULARY: Final = frozenset({"tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json"})
"""Documents of models whose texts are tokens, not paths."""
_PIECE: Final = 2**24
_LONGEST: Final = 4096
"""Bytes of a path, at most."""


class Place(NamedTuple):
    """The place of a checkpoint.

    Attributes:
        scope: Its scope.
        generation: The generation t after which it was kept.
        entity: The entity.
    """

    scope: str
    generation: int
    entity: str

    @property
    def path(self) -> str:
        """Its folder within the run."""
        return f"{states_path(self.scope, self.generation)}/{self.entity}"


Card = Callable[[Experiment, Place, list[str]], str]


@dataclass
class Copied:
    """The account of a copy.

    Attributes:
        experiment: The description as it was written.
        removed: Fields of it that were paths and are no longer.
        tables: The paths of the files of each step's tables: those of one schema together.
        checkpoints: The checkpoints.
        replaced: Texts in tables in which a folder was replaced.
        named: Texts in tables that hold a user's or the machine's name, by table; they were left.
    """

    experiment: Experiment
    removed: list[str]
    tables: dict[str, list[list[str]]] = field(default_factory=dict)
    checkpoints: list[Place] = field(default_factory=list)
    replaced: int = 0
    named: dict[str, int] = field(default_factory=dict)


def copy_run(
    run: Run,
    folder: Path,
    traces: Traces,
    *,
    pool: Keep = "all",
    checkpoints: Keep = "none",
    card: Card | None = None,
) -> Copied:
    """Write a run to an empty folder.

    Args:
        run: The run.
        folder: The folder.
        traces: What is taken out.
        pool: Generations whose published items are copied: all, the last one of each cell, or none.
        checkpoints: Generations whose checkpoints are copied.
        card: Returns the text of a checkpoint's ``README.md`` from the description that is written, its place and the
            names of its files; default: no such file is written.

    Returns:
        What was copied.

    Raises:
        InvalidInput: Without paths the description would be none.
        StoreError: Something of the run is damaged or cannot be read, or a checkpoint holds a path.
    """
    return _Copy(run, folder, traces).write(pool, checkpoints, card)


class _Copy:
    def __init__(self, run: Run, folder: Path, traces: Traces) -> None:
        self._run, self._store, self._traces = run, run.store, traces
        self._folder = folder
        self._sealed = SealedFiles(LocalFiles(folder), writing=True)
        self._packs = Packs(self._sealed)
        self._document = document_of(run.store)
        zeros = dict(zip(run.cells["cell"], run.cells["zero"], strict=True))
        self._cells = [replace(cell, written_zero=zeros[cell.name]) for cell in run.experiment.cells()]

    def write(self, pool: Keep, checkpoints: Keep, card: Card | None) -> Copied:
        text, self._copied = _described(self._run, self._document, self._traces)
        written = [
            replace(new, written_zero=old.zero)
            for new, old in zip(self._copied.experiment.cells(), self._cells, strict=True)
        ]
        self._names = {old.name: new.name for old, new in zip(self._cells, written, strict=True)}
        self._renamed = any(old != new for old, new in self._names.items())
        self._starts = {
            f"shared/{old.start}": f"shared/{new.start}" for old, new in zip(self._cells, written, strict=True)
        }
        self._write_description(text, written)
        self._write_documents()
        for step in TABLES:
            self._write_tables(step, self._places(step, pool if step == "pool" else "all"), self._names)
        places = _unique((state_scope_of(cell, t), t) for cell, t in self._generations())
        self._write_tables(_EVALUATION, self._there(_EVALUATION, places), self._names | self._starts)
        self._write_results(written)
        self._write_evaluators(places)
        for scope, generation in self._states(checkpoints):
            self._write_states(scope, generation, card)
        return self._copied

    def _generations(self) -> Iterator[tuple[Cell, int]]:
        return ((cell, t) for cell in self._cells for t in range(cell.experiment.generations + 1))

    def _write_description(self, text: str, cells: list[Cell]) -> None:
        by_name = {old.name: new for old, new in zip(self._cells, cells, strict=True)}
        listed = [dict(entry) for entry in self._document.get("cells", [])]
        for entry in listed:
            cell = by_name[entry["cell"]]
            entry |= {"cell": cell.name, "point": cell.point}
            if self._copied.removed:  # what the start depends on is no longer said
                entry["start"] = cell.start
        document = self._document | {
            "name": self._copied.experiment.name,
            "description": digest("experiment.yaml", text.encode()),
            "cells": listed,
        }
        removed = [*document.get("removed", ()), *self._copied.removed]  # a copy may be copied
        if removed:
            document["removed"] = self._copied.removed = list(dict.fromkeys(removed))
        self._sealed.write_document("run.json", document, durable=False)
        self._sealed.files.write("experiment.yaml", text.encode(), durable=False)

    def _write_documents(self) -> None:
        names = ["environment", *(name for folder in _DOCUMENTS for name in self._store.documents(folder))]
        scopes = _unique(scope_of(cell, t) for cell, t in self._generations())
        names += [name for scope in scopes for name in self._store.documents(f"curves/{scope}")]
        for name in names:
            document = self._store.read_document(name)
            if document is not None:
                parts = "/".join(self._names.get(part, part) for part in name.split("/"))
                chosen = {key: document[key] for key in ("cell", "entity") if key in document}  # names, as described
                if "cell" in chosen:
                    chosen["cell"] = self._names.get(chosen["cell"], chosen["cell"])
                self._sealed.write_document(f"{parts}.json", self._traces.value(document) | chosen, durable=False)

    def _write_evaluators(self, places: list[tuple[str, int]]) -> None:
        """Copy the evaluator's own documents; texts of its tasks are not ours, so that only paths are taken out."""
        names = self._names | self._starts
        for scope, generation in places:
            for entity in self._run.experiment.ecosystem.names:
                to = results_of(names.get(scope, scope), generation, entity)
                for name in self._store.documents(results_of(scope, generation, entity)):
                    document = self._store.read_document(name)
                    if document is not None:
                        cleaned, _ = self._traces.description(document)
                        if isinstance(cleaned.get("pretty_env_info"), str):
                            cleaned["pretty_env_info"] = self._traces.text(document["pretty_env_info"])
                        self._sealed.write_document(f"{to}/{name.rpartition('/')[2]}.json", cleaned, durable=False)

    def _places(self, step: str, keep: Keep) -> list[tuple[str, int]]:
        """Return scope and generation of the tables of a step that are there, each once."""
        if keep == "all":
            return self._there(step, _unique((scope_of(cell, t), t) for cell, t in self._generations()))
        if keep == "none":
            return []
        last = (self._last(cell, lambda *place: self._store.has_table(step, *place), scope_of) for cell in self._cells)
        return _unique(place for place in last if place is not None)

    def _there(self, step: str, places: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return [place for place in places if self._store.has_table(step, *place)]

    def _last(
        self, cell: Cell, is_there: Callable[[str, int], bool], scope: Callable[[Cell, int], str]
    ) -> tuple[str, int] | None:
        places = ((scope(cell, t), t) for t in range(cell.experiment.generations, -1, -1))
        return next((place for place in places if is_there(*place)), None)

    def _write_tables(self, step: str, places: list[tuple[str, int]], names: Mapping[str, str]) -> None:
        waiting: dict[bytes, list[tuple[str, int, pa.Table]]] = {}
        sizes: dict[bytes, int] = {}
        files: dict[bytes, list[str]] = {}

        def bring(schema: bytes) -> None:
            tables = waiting.pop(schema)
            whole = self._clean(step, pa.concat_tables([table for _, _, table in tables]))
            begins = accumulate((table.num_rows for _, _, table in tables), initial=0)
            cleaned = [
                (scope, t, whole.slice(begin, table.num_rows))
                for (scope, t, table), begin in zip(tables, begins, strict=False)
            ]
            tag = digest(f"{self._run.id}/{step}", schema)[:8]
            files.setdefault(schema, []).append(self._packs.add(step, cleaned, tag))

        for scope, generation in places:
            table = self._store.read_table(step, scope, generation)
            schema = table.schema.serialize().to_pybytes()
            if schema not in waiting:
                waiting[schema], sizes[schema] = [], 0
            waiting[schema].append((names.get(scope, scope), generation, table))
            sizes[schema] += table.nbytes
            if sizes[schema] > _MOST:
                bring(schema)
        for schema in list(waiting):
            bring(schema)
        if files:
            self._copied.tables[step] = sorted(files.values(), key=len, reverse=True)

    def _clean(self, name: str, table: pa.Table) -> pa.Table:
        """Return a table without folders of this machine, with the names that cells have in the copy."""
        table, replaced = self._traces.table(table)
        self._copied.replaced += replaced
        named = self._traces.named(table)
        if named:
            self._copied.named[name] = self._copied.named.get(name, 0) + named
        place = table.schema.get_field_index("cell")
        if place < 0 or not self._renamed:
            return table
        cells = [self._names.get(each, each) for each in table.column(place).to_pylist()]
        return table.set_column(place, table.schema.field(place), pa.array(cells, table.schema.field(place).type))

    def _write_results(self, cells: list[Cell]) -> None:
        """Write the tables that sum up the run; the records as they are by now, since a run may be going on."""
        records = collect(open_store(self._folder), self._copied.experiment, cells)
        self._sealed.write_table("records.parquet", records)
        for name in self._store.results():
            table = None if name == "records" else self._store.read_result(name)
            if table is not None:
                self._sealed.write_table(f"{name}.parquet", self._clean(name, table))

    def _states(self, keep: Keep) -> list[tuple[str, int]]:
        if keep == "none":
            return []
        if keep == "all":
            places = _unique((state_scope_of(cell, t), t) for cell, t in self._generations())
            return [place for place in places if self._store.has_states(*place)]
        last = (self._last(cell, self._store.has_states, state_scope_of) for cell in self._cells)
        return _unique(place for place in last if place is not None)

    def _write_states(self, scope: str, generation: int, card: Card | None) -> None:
        place = self._names.get(scope, self._starts.get(scope, scope))
        kept = []

        def fill(folder: Path) -> None:
            entities = self._run.experiment.ecosystem.names
            self._store.read_states(scope, generation, entities, partial(_copied, folder))
            for entity in (each for each in entities if (folder / each).is_dir()):
                self._clean_folder(folder / entity)
                kept.append(Place(place, generation, entity))
                if card is not None:
                    files = sorted(path.name for path in (folder / entity).iterdir())
                    text = card(self._copied.experiment, kept[-1], files)
                    (folder / entity / "README.md").write_text(text, encoding="utf-8")

        self._sealed.write_folder(states_path(place, generation), fill)
        self._copied.checkpoints += kept

    def _clean_folder(self, folder: Path) -> None:
        """Take paths out of the documents of a checkpoint; what else holds one is refused."""
        for path in (path for path in folder.rglob("*") if path.is_file()):
            if path.suffix == ".json" and path.name not in _VOCABULARY:
                self._clean_document(path)
            found = self._in_file(path)
            if found is not None:
                raise StoreError(
                    f"{path.relative_to(folder.parent)} of a checkpoint holds the path {found} of this machine, and it "
                    "cannot be taken out of a file of this kind; export without checkpoints"
                )

    def _clean_document(self, path: Path) -> None:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            return  # it is searched as any other file
        cleaned, changed = self._traces.description(data)
        if changed:
            path.write_text(json.dumps(cleaned, indent=2, ensure_ascii=False), encoding="utf-8")

    def _in_file(self, path: Path) -> str | None:
        before = b""
        with path.open("rb") as handle:
            left = _header(handle) if path.suffix == ".safetensors" else path.stat().st_size
            while left > 0 and (piece := handle.read(min(left, _PIECE))):
                found = self._traces.in_bytes(before + piece)
                if found is not None:
                    return found
                before = piece[-_LONGEST:]  # a path may stand across two pieces
                left -= len(piece)
        return None


def _header(handle: BinaryIO) -> int:
    """Return the bytes of the text at the beginning of a file of weights; behind it are numbers."""
    size = int.from_bytes(handle.read(8), "little")
    handle.seek(0)
    return 8 + size


def _copied(folder: Path, path: Path) -> None:
    if path.is_dir():  # an entity that arrives later has none
        shutil.copytree(path, folder / path.name, dirs_exist_ok=True)


def _described(run: Run, document: Mapping[str, Any], traces: Traces) -> tuple[str, Copied]:
    """Return the text of a description without traces, and the beginning of what was copied."""
    text = run.store.read_description()
    data = parse_yaml(text)
    cleaned, removed = traces.description(data)
    if cleaned == data:
        return text, Copied(run.experiment, [])
    written = dump_yaml(cleaned)
    older = document["schema"] == 1 and (data.get("learner") or {}).get("threads", 1) is None
    try:
        experiment = read_stored(written, ("learner.threads=1",) if older else (), document)
        experiment.cells()
    except InvalidDescription as error:
        raise InvalidInput(
            f"{run.store}: without its paths ({', '.join(removed)}) the description would no longer be one: {error}; "
            "run it with paths whose last parts differ"
        ) from error
    return written, Copied(experiment, removed)


def _unique(items: Iterator[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
