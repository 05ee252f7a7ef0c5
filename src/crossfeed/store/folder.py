"""A run as a folder that anyone can read without crossfeed (layout: `crossfeed.store.schema`), here or elsewhere.

Nothing is used before its checksum is found to be right. Where a run is written, what is damaged is set aside under a
name that begins with ``.damaged-`` and counts as not there, so that it is made again; elsewhere it is an error.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa

from crossfeed.errors import StoreError, StoreMismatch
from crossfeed.protocols import State
from crossfeed.store import checksum
from crossfeed.store.behind import WriteBehind
from crossfeed.store.files import Files
from crossfeed.store.schema import STEPS, check_document, is_known, states_path, table_path, within

__all__ = ["FolderStore"]

_RUN: Final = "run.json"
_DESCRIPTION: Final = "experiment.yaml"
_AGAIN: Final = "the run's command, typed again, makes anew what it still needs; in another folder it makes all"


class _Run(NamedTuple):
    """What addresses hang on.

    Attributes:
        id: The run's id.
        sealed: Whether its files have checksums: those of schema 1 have none.
    """

    id: str
    sealed: bool


class FolderStore:
    """A run's folder; `crossfeed.store.open_store` makes it.

    Args:
        files: Where the files are.
        worker: Whether this process writes to a run that another process began, and keeps the lock of.

    Attributes:
        location: See `crossfeed.protocols.Store.location`.
        folder: The folder on this machine; None if the run is elsewhere.
        set_aside: See `crossfeed.protocols.Store.set_aside`.
    """

    def __init__(self, files: Files, *, worker: bool = False) -> None:
        self.location = files.location
        self.folder = files.folder
        self.set_aside: list[str] = []
        self._files = files
        self._worker = self._writing = worker
        self._known: _Run | None = None
        self._whole: set[str] = set()
        self._content: tuple[str, bytes] | None = None
        self._states: tuple[str, Path] | None = None
        self._open = ExitStack()

    def __str__(self) -> str:
        return self._files.name

    def begin(self, description: str, document: Mapping[str, Any]) -> None:
        """Open the run for writing; see `crossfeed.protocols.Store.begin`."""
        self._check_wanted(document)
        self._files.lock()
        try:
            found = self._check_wanted(document)  # once more, now that nobody else writes
            self._files.sweep()
            if found is not None and found.get("id") != document["id"]:
                self._clear()
            self._forget()
            self.set_aside.clear()
            content = description.encode()
            # First what says that this is a run: a folder without it is not crossfeed's to write to.
            self.write_document("run", dict(document) | {"description": checksum.digest(_DESCRIPTION, content)})
            self._files.write(_DESCRIPTION, content)
            self._writing = True
        except BaseException:
            self.end()
            raise

    def writer(self) -> str | None:
        """Which process writes to it; None if none does."""
        return self._files.writer()

    def end(self) -> None:
        """Let others write to it."""
        if self._writing and not self._worker:
            with suppress(StoreError):
                self._files.sweep()  # what lost workers left half-written
        self._forget()
        self._writing = self._worker
        self._files.unlock()

    @contextmanager
    def write_behind(self) -> Iterator[None]:
        """Let what is written in this context be on its way to its place while the caller goes on."""
        direct = self._files
        try:
            with WriteBehind(direct) as self._files:
                yield
        finally:
            self._close_states()
            self._files = direct

    def read_description(self) -> str:
        """The text of ``experiment.yaml``.

        Raises:
            StoreMismatch: It is not the one that the run was begun with.
            StoreError: It is not there, or it cannot be read.
        """
        where = self._where(_DESCRIPTION)
        content = self._files.read(_DESCRIPTION)
        if content is None:
            raise StoreError(f"{where}: cannot be read (it is not there); {_AGAIN}")
        expected = (self.read_document("run") or {}).get("description")
        if expected is not None and checksum.digest(_DESCRIPTION, content) != expected:
            raise StoreMismatch(
                f"{where}: it is not the description that {_RUN} tells of: it was changed after the run was begun, or "
                "one of the two belongs to another run; restore it, or type the run's command again"
            )
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise StoreError(f"{where}: cannot be read ({error}); {_AGAIN}") from error

    def write_document(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write ``<name>.json``."""
        if name == "run":
            self._known = _Run(str(document.get("id")), sealed=True)
        path = within(f"{name}.json")
        self._files.write(path, checksum.seal_document(document, self._address(path)), durable=durable)

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read ``<name>.json``; None if there is none.

        Raises:
            StoreError: It cannot be read, or it is damaged and nothing is being written here.
        """
        path = within(f"{name}.json")
        content = self._files.read(path)
        if content is None:
            return None
        document, fault = checksum.parse_document(content)
        if path == _RUN and fault is None and not is_known(document):
            return document  # `check_document` says what it is
        if fault is None and (path == _RUN or self._run().sealed):
            fault = checksum.document_fault(document, self._address(path))
        if fault is not None:
            self._damaged(path, fault)
            return None
        return {key: value for key, value in document.items() if key != "checksum"}

    def drop_document(self, name: str) -> None:
        """Remove ``<name>.json``, if it is there."""
        self._files.remove(within(f"{name}.json"))

    def documents(self, folder: str) -> list[str]:
        """The names of the documents in a folder, such as ``failures``."""
        names = self._files.names(within(folder))
        return [f"{folder}/{name[:-5]}" for name in names if name.endswith(".json") and not name.startswith(".")]

    def write_result(self, name: str, table: pa.Table) -> None:
        """Write ``<name>.parquet``."""
        self._write_table(within(f"{name}.parquet"), table)

    def read_result(self, name: str) -> pa.Table | None:
        """Read ``<name>.parquet``; None if it is not there."""
        path = within(f"{name}.parquet")
        content = self._checked(path)
        return None if content is None else self._parsed(path, content)

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Whether the file is there whole; each is looked at once."""
        path = table_path(step, scope, generation)
        if path in self._whole:
            return True
        content = self._checked(path)
        if content is None:
            return False
        self._content = path, content  # most are read next
        self._whole.add(path)
        return True

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Write ``<step>/<scope>/generation-000.parquet``."""
        self._write_table(table_path(step, scope, generation), table)

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Read ``<step>/<scope>/generation-000.parquet``.

        Raises:
            StoreError: It is not there, or it is damaged.
        """
        path = table_path(step, scope, generation)
        kept, self._content = self._content, None
        content = kept[1] if kept is not None and kept[0] == path else self._checked(path)
        if content is None:
            raise StoreError(f"{self._where(path)}: not there, or damaged and set aside; {_AGAIN}")
        return self._parsed(path, content)

    def has_states(self, scope: str, generation: int) -> bool:
        """Whether the folder is there whole; it is kept open for `read_states`."""
        return self._opened(states_path(scope, generation)) is not None

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Write ``checkpoints/<scope>/generation-000/<entity>/`` for every entity, all or nothing."""
        path = states_path(scope, generation)
        address = self._address(path)
        self._close_states()

        def fill(folder: Path) -> None:
            for name, state in states.items():
                (folder / within(name)).mkdir()
                save(state, folder / name)

        def seal(folder: Path) -> bytes:
            return checksum.seal_document(checksum.describe_folder(folder), address)

        self._files.write_folder(path, fill, checksum.MANIFEST, seal)

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Read the entities' checkpoints.

        Raises:
            StoreError: They are not there, or damaged.
        """
        path = states_path(scope, generation)
        try:
            folder = self._opened(path)
            if folder is None:
                raise StoreError(f"{self._where(path)}: not there, or damaged and set aside; {_AGAIN}")
            return [load(folder / within(name)) for name in entities]
        except OSError as error:
            raise StoreError(f"{self._where(path)}: cannot be read ({error}); {_AGAIN}") from error
        finally:
            self._close_states()

    def drop_states(self, scope: str, generation: int) -> None:
        """Remove the checkpoints of a generation."""
        self._close_states()
        self._files.remove(states_path(scope, generation))

    def _check_wanted(self, document: Mapping[str, Any]) -> dict[str, Any] | None:
        """The run that is there, if it may be gone on with; None if nothing is there.

        Raises:
            StoreError: Something else is there.
        """
        found = self.read_document("run")
        if found is None and self._files.is_taken():
            raise StoreError(f"{self}: not empty and not a crossfeed run; choose another folder with --out")
        if found is not None:
            # A run that ended before its first step, say for a misspelt field, is no reason to refuse its correction.
            begun = any(self._files.exists(step) for step in STEPS)
            check_document(str(self), found, document if begun else None)
        return found

    def _run(self) -> _Run:
        """The run's id, and whether its files have checksums.

        Raises:
            StoreError: There is no run, or its ``run.json`` is damaged.
            NewerSchema: It was written by a newer crossfeed.
        """
        if self._known is None:
            document = self.read_document("run")
            if document is None:
                raise StoreError(f"{self}: not a crossfeed run (no {_RUN} in it)")
            check_document(str(self), document)
            self._known = _Run(str(document.get("id")), sealed=document["schema"] > 1)
        return self._known

    def _address(self, path: str) -> str:
        return path if path == _RUN else f"{self._run().id}/{path}"

    def _where(self, path: str) -> str:
        return f"{self}/{path}"

    def _write_table(self, path: str, table: pa.Table) -> None:
        self._whole.discard(path)
        content = checksum.seal_table(table, self._address(path))
        self._files.write(path, content)
        self._content = path, content  # a pool is read next

    def _checked(self, path: str) -> bytes | None:
        """A table's bytes, found whole; None if it is not there (any more)."""
        self._whole.discard(path)
        content = self._files.read(path)
        if content is None or not self._run().sealed:
            return content
        fault = checksum.table_fault(content, self._address(path))
        if fault is None:
            return content
        self._damaged(path, fault)
        return None

    def _parsed(self, path: str, content: bytes) -> pa.Table:
        try:
            return checksum.open_table(content)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._where(path)}: cannot be read ({error})") from error

    def _opened(self, path: str) -> Path | None:
        """A folder of states on this machine, found whole and open until `_close_states`; None if it is not there."""
        if self._states is not None and self._states[0] == path:
            return self._states[1]
        self._close_states()
        sealed = self._run().sealed
        content = self._files.read(f"{path}/{checksum.MANIFEST}") if sealed else b"{}"
        if content is None or (not sealed and not self._files.exists(path)):
            return None  # without a manifest it was never whole
        folder = self._open.enter_context(self._files.open_folder(path))
        try:
            fault = checksum.folder_fault(folder, content, self._address(path)) if sealed else None
        except OSError as error:
            raise StoreError(f"{self._where(path)}: cannot be read ({error})") from error
        if fault is None:
            self._states = path, folder
            return folder
        self._close_states()
        self._damaged(path, fault)
        return None

    def _damaged(self, path: str, fault: str) -> None:
        """Set something damaged aside, where the run is written and it can be made again.

        Raises:
            StoreError: Nothing is written here; or without it the run is not known.
        """
        if path == _RUN:
            raise StoreError(
                f"{self._where(path)}: damaged: {fault}. What this folder holds is not known without it: restore the "
                "file from a copy, or choose another folder"
            )
        if not self._writing:
            raise StoreError(f"{self._where(path)}: damaged: {fault}. It cannot be used; {_AGAIN}")
        folder, slash, name = path.rpartition("/")
        kept = f"{folder}{slash}.damaged-{uuid.uuid4().hex[:8]}-{name}"
        self._files.move(path, kept)
        self.set_aside.append(f"{self._where(path)} was damaged: {fault}. It is kept as {kept}, and made again")

    def _clear(self) -> None:
        """Remove what a run without a finished step left: its failures and sums are not those of another one."""
        for name in self._files.names(""):
            if name in ("failures", "precision", "status") or name.endswith((".json", ".parquet")):
                self._files.remove(name)

    def _forget(self) -> None:
        """Look at everything anew."""
        self._close_states()
        self._known = self._content = None
        self._whole.clear()

    def _close_states(self) -> None:
        self._states = None
        self._open.close()
