"""Documents, tables and folders of a run, with checksums that are verified before anything is used.

Where a run is being written, whatever is damaged is set aside under a name that begins with ``.damaged-`` and counts as
not there, so that it is computed again; elsewhere it is an error.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crossfeed.errors import StoreError
from crossfeed.store.checksum import (
    MANIFEST,
    describe_folder,
    document_fault,
    folder_fault,
    open_table,
    parse_document,
    seal_document,
    seal_table,
    table_fault,
)
from crossfeed.store.files import Files
from crossfeed.store.schema import check_document, is_known, sealed_as
from crossfeed.store.shapes import form_fault

if TYPE_CHECKING:  # as in `crossfeed.store.checksum`
    import pyarrow as pa

__all__ = ["AGAIN", "RUN", "SealedFiles"]

RUN: Final = "run.json"
"""The document that says which run this is."""

AGAIN: Final = "the run's command, typed again, makes anew what it still needs; in another folder it makes all"
"""The advice at the end of messages."""


class _Run(NamedTuple):
    """The run that addresses depend on.

    Attributes:
        id: The run's id.
        sealed: True if its files have checksums: those of schema 1 have none.
    """

    id: str
    sealed: bool


class SealedFiles:
    """The files of one run with their checksums.

    Args:
        files: The files.
        writing: The first value of `writing`.

    Attributes:
        files: The files.
        writing: True while the run is written here, so that damaged files can be set aside and computed again.
        set_aside: See `crossfeed.protocols.Store.set_aside`.
    """

    def __init__(self, files: Files, *, writing: bool) -> None:
        self.files = files
        self.writing = writing
        self.set_aside: list[str] = []
        self._known: _Run | None = None

    def forget(self) -> None:
        """Forget which run this is, to read it again."""
        self._known = None

    def where(self, path: str) -> str:
        """Return a path as messages name it.

        Args:
            path: A path within the run.

        Returns:
            The path with the run's own.
        """
        return f"{self.files.name}/{path}"

    def write_document(self, path: str, document: Mapping[str, Any], *, durable: bool) -> None:
        """Write a document with its checksum.

        Args:
            path: Its path.
            document: Plain data.
            durable: False if it need not survive a loss of power.
        """
        if path == RUN:
            self._known = _Run(sealed_as(document), sealed=True)
        self.files.write(path, seal_document(document, self._address(path)), durable=durable)

    def read_document(self, path: str) -> dict[str, Any] | None:
        """Read a document.

        Args:
            path: Its path.

        Returns:
            Its data without the checksum; None if it is not there.

        Raises:
            StoreError: It cannot be read, or it is damaged and the run is not being written here.
        """
        content = self.files.read(path)
        if content is None:
            return None
        document, fault = parse_document(content)
        sealed = is_known(document) if path == RUN else fault is None and self._run().sealed
        if path == RUN and fault is None and not sealed and document.get("schema") != 1:
            return document  # `check_document` reports what it is
        if fault is None and sealed:
            fault = document_fault(document, self._address(path))
        fault = fault or form_fault(path, document)
        if fault is not None:
            self.reject(path, fault)
            return None
        return {key: value for key, value in document.items() if key != "checksum"}

    def write_table(self, path: str, table: pa.Table) -> bytes:
        """Write a table with its checksum.

        Args:
            path: Its path.
            table: The table.

        Returns:
            The bytes of the file.
        """
        content = seal_table(table, self._address(path))
        self.files.write(path, content)
        return content

    def read_table(self, path: str) -> bytes | None:
        """Read a table's file.

        Args:
            path: Its path.

        Returns:
            Its bytes, found whole; None if it is not there (any more).

        Raises:
            StoreError: It cannot be read, or it is damaged and the run is not being written here.
        """
        content = self.files.read(path)
        if content is None or not self._run().sealed:
            return content
        fault = table_fault(content, self._address(path))
        if fault is None:
            return content
        self.reject(path, fault)
        return None

    def parse_table(self, path: str, content: bytes) -> pa.Table:
        """Parse a table's file.

        Args:
            path: Its path, for messages.
            content: Its bytes.

        Returns:
            The table.

        Raises:
            StoreError: It is no table.
        """
        import pyarrow as pa

        try:
            return open_table(content)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self.where(path)}: cannot be read ({error})") from error

    def write_folder(self, path: str, fill: Callable[[Path], None]) -> None:
        """Write a folder with the checksums of its files.

        Args:
            path: Its path.
            fill: Writes the content into an empty folder of this machine.
        """
        address = self._address(path)
        self.files.write_folder(path, fill, MANIFEST, lambda folder: seal_document(describe_folder(folder), address))

    def open_folder(self, path: str, opened: ExitStack) -> Path | None:
        """Open a folder.

        Args:
            path: Its path.
            opened: Keeps the folder open until it is closed.

        Returns:
            The folder on this machine, found whole; None if it is not there (any more).

        Raises:
            StoreError: It cannot be read, or it is damaged and the run is not being written here.
        """
        sealed = self._run().sealed
        manifest = self.files.read(f"{path}/{MANIFEST}") if sealed else b"{}"
        if manifest is None or (not sealed and not self.files.exists(path)):
            return None  # without a manifest it was never whole
        folder = opened.enter_context(self.files.open_folder(path))
        try:
            fault = folder_fault(folder, manifest, self._address(path)) if sealed else None
        except FileNotFoundError:
            fault = "a file of it is gone"
        except OSError as error:
            raise StoreError(f"{self.where(path)}: cannot be read ({error})") from error
        if fault is None:
            return folder
        opened.close()
        if not self.writing and self.files.read(f"{path}/{MANIFEST}") is None:
            return None  # its writer removed it meanwhile
        self.reject(path, fault)
        return None

    def reject(self, path: str, fault: str) -> None:
        """Set something damaged aside, if the run is written here and can compute it again.

        Args:
            path: Its path.
            fault: A sentence about the fault.

        Raises:
            StoreError: The run is not written here; or without this file the run is not known.
        """
        if path == RUN:
            raise StoreError(
                f"{self.where(path)}: damaged: {fault}. What this folder holds is not known without it: restore the "
                "file from a copy, or choose another folder"
            )
        if not self.writing:
            raise StoreError(f"{self.where(path)}: damaged: {fault}. It cannot be used; {AGAIN}")
        folder, slash, name = path.rpartition("/")
        kept = f"{folder}{slash}.damaged-{uuid.uuid4().hex[:8]}-{name}"
        self.files.move(path, kept)
        self.set_aside.append(f"{self.where(path)} was damaged: {fault}. It is kept as {kept}, and made again")

    def _run(self) -> _Run:
        """Return which run this is, read once.

        Raises:
            StoreError: There is no run, or its ``run.json`` is damaged.
            NewerSchema: It was written by a newer crossfeed.
        """
        if self._known is None:
            document = self.read_document(RUN)
            if document is None:
                raise StoreError(f"{self.files.name}: not a crossfeed run (no {RUN} in it)")
            check_document(self.files.name, document)
            self._known = _Run(sealed_as(document), sealed=document["schema"] > 1)
        return self._known

    def _address(self, path: str) -> str:
        return path if path == RUN else f"{self._run().id}/{path}"
