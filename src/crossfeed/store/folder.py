"""A run as a folder that anyone can read without crossfeed (layout: `crossfeed.store.schema`), here or elsewhere."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crossfeed.errors import StoreError, StoreMismatch
from crossfeed.store.behind import WriteBehind
from crossfeed.store.checksum import digest
from crossfeed.store.claims import BEGIN, Claims
from crossfeed.store.files import Files
from crossfeed.store.packs import Packs
from crossfeed.store.schema import GROWS, STATES, STEPS, check_document, is_same_run, states_path, table_path, within
from crossfeed.store.sealed import AGAIN, RUN, SealedFiles

if TYPE_CHECKING:  # documents are read without pyarrow
    import pyarrow as pa

    from crossfeed.protocols import State

__all__ = ["FolderStore"]

_DESCRIPTION: Final = "experiment.yaml"

_OF_A_RUN: Final = ("added", "failures", "known", "precision", "sittings", "status")
"""Folders of documents that another run in the same place does not take over."""


class FolderStore:
    """The store of a run in a folder (see `crossfeed.protocols.Store`); `crossfeed.store.open_store` creates it.

    Args:
        files: The files of the folder.
        worker: True if this process writes to a run that another process began and keeps the lock of.

    Attributes:
        location: See `crossfeed.protocols.Store.location`.
        folder: The folder on this machine; None if the run is elsewhere.
        set_aside: See `crossfeed.protocols.Store.set_aside`.
        claims: See `crossfeed.protocols.SharedStore.claims`.
    """

    def __init__(self, files: Files, *, worker: bool = False) -> None:
        self.location = files.location
        self.folder = files.folder
        self.claims = Claims(files)
        self._sealed = SealedFiles(files, writing=worker)
        self.set_aside = self._sealed.set_aside
        self._packs = Packs(self._sealed)
        self._worker = worker
        self._whole: set[str] = set()
        self._content: tuple[str, bytes] | None = None
        self._states: tuple[str, Path] | None = None
        self._opened = ExitStack()

    def __str__(self) -> str:
        return self._files.name

    def begin(self, description: str, document: Mapping[str, Any], *, shared: bool = False) -> None:
        """Open the run for writing; see `crossfeed.protocols.Store.begin`, `crossfeed.protocols.SharedStore.begin`."""
        self._check(document)
        try:
            with self._entered(shared) as alone:
                self._begin(description.encode(), document, alone=alone)
        except BaseException:
            self.end()
            raise

    def _begin(self, description: bytes, document: Mapping[str, Any], *, alone: bool) -> None:
        existing = self._check(document)  # once more, now that no other process begins it
        begun = json.loads(json.dumps(dict(document) | {"description": digest(_DESCRIPTION, description)}))
        if existing is not None and existing.get("id") == begun["id"]:  # whether it has grown, the folder knows
            begun = {k: v for k, v in begun.items() if k != GROWS} | {k: v for k, v in existing.items() if k == GROWS}
        if not alone and existing not in (None, begun) and (others := self.claims.writers.wait_until_known()):
            raise StoreMismatch(f"{self}: {', '.join(others)} runs another description; give the same one, or wait")
        self._forget()
        self.set_aside.clear()
        if alone:
            self._files.sweep()
            if existing is not None and not is_same_run(existing, document):
                self._clear()
        if alone or existing != begun:
            # The run's document comes first: a folder without it is not crossfeed's to write to.
            self.write_document("run", begun)
            self._files.write(_DESCRIPTION, description)
        self._sealed.writing = True
        if alone:
            self._packs.sweep()

    @contextmanager
    def _entered(self, shared: bool) -> Iterator[bool]:
        """Lock the run, and open a context in which no other process begins it; yield True if none is at work on it."""
        if shared:
            self.claims.join()  # before the look for a lock: of two processes that come at once, one sees the other
            self._files.lock(shared=True)
            with self.claims.alone(BEGIN):
                yield not self.claims.writers.others(begun=True)
                self.claims.writers.announce()
            return
        self._files.lock()
        others = self.claims.writers.wait_until_known()
        if others:
            self._files.unlock()
            raise StoreError(f"{self}: in use by {', '.join(others)}; wait, stop them, or join them with --cells 1/1")
        self.claims.clear()
        yield True

    def writer(self) -> str | None:
        """Return the process that writes to the run; None if none does, or several do."""
        return self._files.writer()

    def writers(self) -> list[str]:
        """Return the processes that write to the run."""
        writer = self.writer()
        return self.claims.others() if writer is None else [writer]

    def end(self) -> None:
        """Close the run for writing."""
        if self._sealed.writing and not self._worker and not self.claims.is_shared:
            with suppress(StoreError):
                self._files.sweep()  # files that lost workers left half-written
        self._forget()
        self._sealed.writing = self._worker
        self.claims.leave(self._sweep)
        self._files.unlock()

    def _sweep(self) -> None:
        """Remove what killed processes left half-written; no other process is at work."""
        self._files.sweep()
        self._packs.sweep()

    @contextmanager
    def write_behind(self) -> Iterator[None]:
        """Open a context in which a thread brings files to their places while the caller goes on."""
        direct = self._files
        try:
            with WriteBehind(direct) as self._sealed.files:
                yield
        finally:
            self._close_states()
            self._sealed.files = direct

    def read_description(self) -> str:
        """Read the text of ``experiment.yaml``.

        Raises:
            StoreMismatch: It is not the one that the run was begun with.
            StoreError: It is not there, or it cannot be read.
        """
        where = self._sealed.where(_DESCRIPTION)
        content = self._files.read(_DESCRIPTION)
        if content is None:
            raise StoreError(f"{where}: cannot be read (it is not there); {AGAIN}")
        expected = (self.read_document("run") or {}).get("description")
        if expected is not None and digest(_DESCRIPTION, content) != expected:
            raise StoreMismatch(
                f"{where}: it is not the description that {RUN} tells of: it was changed after the run was begun, or "
                "one of the two belongs to another run; restore it, or type the run's command again"
            )
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise StoreError(f"{where}: cannot be read ({error}); {AGAIN}") from error

    def write_document(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write ``<name>.json``."""
        self._sealed.write_document(within(f"{name}.json"), document, durable=durable)

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read ``<name>.json``; None if there is none.

        Raises:
            StoreError: It cannot be read, or it is damaged and the run is not being written here.
        """
        return self._sealed.read_document(within(f"{name}.json"))

    def drop_document(self, name: str) -> None:
        """Remove ``<name>.json``, if it is there."""
        self._files.remove(within(f"{name}.json"))

    def documents(self, folder: str) -> list[str]:
        """Return the names of the documents in a folder, such as ``failures``, sorted."""
        names = self._files.names(within(folder))
        return [f"{folder}/{name[:-5]}" for name in names if name.endswith(".json") and not name.startswith(".")]

    def write_result(self, name: str, table: pa.Table) -> None:
        """Write ``<name>.parquet``."""
        self._write_table(within(f"{name}.parquet"), table)

    def read_result(self, name: str) -> pa.Table | None:
        """Read ``<name>.parquet``; None if it is not there."""
        path = within(f"{name}.parquet")
        content = self._checked(path)
        return None if content is None else self._sealed.parse_table(path, content)

    def results(self) -> list[str]:
        """Return the names of the tables that sum up the whole run, such as ``records``, sorted."""
        names = self._files.names("")
        return [name[:-8] for name in names if name.endswith(".parquet") and not name.startswith(".")]

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Return True if the table is there whole, in its file or in a pack; each file is read once."""
        path = table_path(step, scope, generation)
        if path in self._whole or self._packs.has(step, scope, generation):
            return True
        content = self._checked(path)
        if content is None:
            return self._packs.look(step) and self._packs.has(step, scope, generation)
        self._content = path, content  # most are read next
        self._whole.add(path)
        return True

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Write ``<step>/<scope>/generation-000.parquet``."""
        self._write_table(table_path(step, scope, generation), table)
        self._packs.drop(step, scope, generation)

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Read ``<step>/<scope>/generation-000.parquet``, or its rows in a pack.

        Raises:
            StoreError: It is not there, or it is damaged.
        """
        path = table_path(step, scope, generation)
        packed = self._packs.find(step, scope, generation)
        if packed is not None:
            return packed
        kept, self._content = self._content, None
        content = kept[1] if kept is not None and kept[0] == path else self._checked(path)
        if content is None and self._packs.look(step):
            packed = self._packs.find(step, scope, generation)
        if packed is not None:
            return packed
        if content is None:
            raise StoreError(f"{self._sealed.where(path)}: not there, or damaged and set aside; {AGAIN}")
        return self._sealed.parse_table(path, content)

    def drop_table(self, step: str, scope: str, generation: int) -> None:
        """Remove ``<step>/<scope>/generation-000.parquet``, and its rows from the packs."""
        path = table_path(step, scope, generation)
        self._whole.discard(path)
        self._content = None
        self._files.remove(path)
        self._packs.drop(step, scope, generation)

    def is_begun(self) -> bool:
        """Return True if the run has a finished step."""
        return any(self._files.exists(step) for step in STEPS)

    def pack(self, scopes: Sequence[str]) -> None:
        """Bring the small files of scopes to which nothing will be added together into a few (`crossfeed.store.packs`).

        Raises:
            StoreError: They cannot be written.
        """
        self._close_states()
        self._content = None
        self._whole.clear()
        from crossfeed.store.packing import pack_scopes  # loads pyarrow

        pack_scopes(self._sealed, self._packs, [within(scope) for scope in scopes])

    def has_states(self, scope: str, generation: int) -> bool:
        """Return True if the states are there whole; they are kept open for `read_states`."""
        return self._open_states(scope, generation) is not None

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Write ``checkpoints/<scope>/generation-000/<entity>/`` for every entity, all or nothing."""
        self._close_states()

        def fill(folder: Path) -> None:
            for name, state in states.items():
                (folder / within(name)).mkdir()
                save(state, folder / name)

        self._sealed.write_folder(states_path(scope, generation), fill)
        self._packs.drop(STATES, scope, generation)

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Read the entities' checkpoints.

        Raises:
            StoreError: They are not there, or damaged.
        """
        try:
            with suppress(FileNotFoundError, StoreError):  # packed while it was read, which a second look finds
                return self._load_states(scope, generation, entities, load)
            return self._load_states(scope, generation, entities, load)
        except OSError as error:
            where = self._sealed.where(states_path(scope, generation))
            raise StoreError(f"{where}: cannot be read ({error}); {AGAIN}") from error

    def drop_states(self, scope: str, generation: int) -> None:
        """Remove the checkpoints of a generation."""
        self._close_states()
        self._files.remove(states_path(scope, generation))
        self._packs.drop(STATES, scope, generation)

    @property
    def _files(self) -> Files:
        return self._sealed.files

    def _check(self, document: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the document of the run that is there, if it may be resumed; None if nothing is there.

        Raises:
            StoreError: Something else is there.
        """
        existing = self.read_document("run")
        if existing is None and self._files.is_taken():
            if self.read_document("run") is not None:  # another process has begun it between the two looks
                return self._check(document)
            raise StoreError(f"{self}: not empty and not a crossfeed run; choose another folder with --out")
        if existing is not None:
            # A run that ended before its first step, say for a misspelt field, is no reason to refuse its correction.
            check_document(str(self), existing, document if self.is_begun() else None)
        return existing

    def _write_table(self, path: str, table: pa.Table) -> None:
        self._whole.discard(path)
        self._content = path, self._sealed.write_table(path, table)  # a pool is read next

    def _checked(self, path: str) -> bytes | None:
        self._whole.discard(path)
        return self._sealed.read_table(path)

    def _open_states(self, scope: str, generation: int) -> Path | None:
        """Return a folder of states on this machine, open until `_close_states`; None if they are not there."""
        path = states_path(scope, generation)
        if self._states is not None and self._states[0] == path:
            return self._states[1]
        self._close_states()
        folder = self._unpacked(scope, generation) or self._sealed.open_folder(path, self._opened)
        if folder is None and self._packs.look(STATES):
            folder = self._unpacked(scope, generation)
        if folder is not None:
            self._states = path, folder
        return folder

    def _load_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        try:
            folder = self._open_states(scope, generation)
            if folder is None:
                where = self._sealed.where(states_path(scope, generation))
                raise StoreError(f"{where}: not there, or damaged and set aside; {AGAIN}")
            return [load(folder / within(name)) for name in entities]
        finally:
            self._close_states()

    def _unpacked(self, scope: str, generation: int) -> Path | None:
        """Write packed states to a temporary folder; None if they are in no known pack."""
        table = self._packs.find(STATES, scope, generation)
        if table is None:
            return None
        from crossfeed.store.packing import unpacked_states  # loads pyarrow

        return self._opened.enter_context(unpacked_states(table))

    def _clear(self) -> None:
        """Remove what a run without a finished step left: its failures and results are not those of another one."""
        for name in self._files.names(""):
            if name in _OF_A_RUN or name.endswith((".json", ".parquet")):
                self._files.remove(name)

    def _forget(self) -> None:
        """Forget everything that was read, to read it anew."""
        self._close_states()
        self._sealed.forget()
        self._packs.forget()
        self._content = None
        self._whole.clear()

    def _close_states(self) -> None:
        self._states = None
        self._opened.close()
