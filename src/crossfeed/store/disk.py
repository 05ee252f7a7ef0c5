"""A run as a folder on disk that anyone can read without crossfeed (layout: `crossfeed.store.schema`).

Every write goes to a temporary name beside its target and is moved into place, so that a kill at any moment leaves
each file or checkpoint whole or absent. A lock keeps a second process out while one writes; it goes with its process.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed.errors import StoreError
from crossfeed.protocols import State
from crossfeed.store.schema import check_document

try:
    import fcntl
except ModuleNotFoundError:  # Windows has no advisory locks of this kind; there a run is not locked
    fcntl = None  # type: ignore[assignment]

__all__ = ["DiskStore"]

_TEMPORARY = ".partial-"
_LOCK = ".lock"


class DiskStore:
    """A run folder.

    Args:
        folder: The run's folder; made by `begin` if it is not there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock: IO[str] | None = None

    def begin(self, description: str, document: Mapping[str, Any]) -> None:
        """Open the folder for writing; see `crossfeed.protocols.Store.begin`."""
        found = self.read_document("run")
        if found is not None:
            # A run that ended before its first step, say for a misspelt field, is no reason to refuse its correction.
            check_document(str(self.folder), found, document if self._has_steps() else None)
        elif self._is_taken():
            raise StoreError(f"{self.folder}: not empty and not a crossfeed run; choose another folder with --out")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._take_lock()
        except OSError as error:
            reason = error.strerror or str(error)
            raise StoreError(f"{self.folder}: cannot be written ({reason}); choose another with --out") from error
        try:
            self._sweep()
            if found is not None and found.get("id") != document["id"]:
                self._clear()
            self.write_document("run", document)
            with self._into(self.folder / "experiment.yaml") as partial:
                partial.write_text(description, encoding="utf-8")
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Let others write to the folder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def write_document(self, name: str, document: Mapping[str, Any]) -> None:
        """Write ``<name>.json``."""
        with self._into(self.folder / f"{name}.json") as partial:
            partial.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read ``<name>.json``; None if there is none.

        Raises:
            StoreError: It cannot be read.
        """
        path = self.folder / f"{name}.json"
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            raise StoreError(f"{path}: cannot be read ({error})") from error
        if not isinstance(document, dict):
            raise StoreError(f"{path}: holds {type(document).__name__}, not a mapping")
        return document

    def drop_document(self, name: str) -> None:
        """Remove ``<name>.json``, if it is there."""
        (self.folder / f"{name}.json").unlink(missing_ok=True)

    def write_result(self, name: str, table: pa.Table) -> None:
        """Write ``<name>.parquet``."""
        self._write_parquet(self.folder / f"{name}.parquet", table)

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Whether the file is there; it was moved into place whole."""
        return self._table(step, scope, generation).is_file()

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Write ``<step>/<scope>/generation-000.parquet``."""
        self._write_parquet(self._table(step, scope, generation), table)

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Read ``<step>/<scope>/generation-000.parquet``.

        Raises:
            StoreError: It cannot be read.
        """
        path = self._table(step, scope, generation)
        try:
            # One file, no data set: folder names are not columns.
            return pq.ParquetFile(path).read()
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{path}: cannot be read ({error}); remove this file and it is made again") from error

    def has_states(self, scope: str, generation: int) -> bool:
        """Whether the folder is there; it was moved into place whole."""
        return self._states(scope, generation).is_dir()

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Write ``checkpoints/<scope>/generation-000/<entity>/`` for every entity, all or nothing."""
        with self._into(self._states(scope, generation)) as partial:
            for name, state in states.items():
                (partial / name).mkdir(parents=True)
                save(state, partial / name)

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Read the entities' checkpoints."""
        folder = self._states(scope, generation)
        try:
            return [load(folder / name) for name in entities]
        except OSError as error:
            raise StoreError(
                f"{folder}: cannot be read ({error}); remove this folder and the states are made again"
            ) from error

    def drop_states(self, scope: str, generation: int) -> None:
        """Remove the checkpoints of a generation."""
        folder = self._states(scope, generation)
        if folder.is_dir():
            doomed = self._partial(folder)
            folder.rename(doomed)  # so that a kill never leaves half a checkpoint under its name
            shutil.rmtree(doomed)

    def _has_steps(self) -> bool:
        """Whether anything was finished here."""
        return any((self.folder / step).is_dir() for step in ("records", "outputs", "pool", "checkpoints"))

    def _table(self, step: str, scope: str, generation: int) -> Path:
        return self.folder / step / scope / f"generation-{generation:03d}.parquet"

    def _states(self, scope: str, generation: int) -> Path:
        return self.folder / "checkpoints" / scope / f"generation-{generation:03d}"

    def _write_parquet(self, target: Path, table: pa.Table) -> None:
        with self._into(target) as partial:
            pq.write_table(table, partial, compression="zstd")

    @contextmanager
    def _into(self, target: Path) -> Iterator[Path]:
        """A temporary path beside the target that takes its place when the block ends well."""
        partial = self._partial(target)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            yield partial
            _flush(partial)
            os.replace(partial, target)
        except Exception as error:  # libraries that write files have errors of their own for a full disk
            _remove(partial)
            reason = getattr(error, "strerror", None) or str(error)
            raise StoreError(f"{target}: cannot be written ({reason}); what was finished before is kept") from error
        except BaseException:
            _remove(partial)
            raise

    @staticmethod
    def _partial(target: Path) -> Path:
        return target.with_name(f"{_TEMPORARY}{uuid.uuid4().hex[:8]}-{target.name}")

    def _is_taken(self) -> bool:
        """Whether something is there that is no run: not even the beginning of one that was killed at once."""
        if not self.folder.exists():
            return False
        if not self.folder.is_dir():
            return True
        return any(not item.name.startswith((_TEMPORARY, _LOCK)) for item in self.folder.iterdir())

    def _take_lock(self) -> None:
        """Keep other processes out; the system lets go of the lock when this process ends, however it ends.

        Raises:
            StoreError: Another process holds it; the message says which, and since when.
        """
        if self._lock is not None or fcntl is None:
            return
        handle = (self.folder / _LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            handle.seek(0)
            owner = handle.read().strip() or "another process"
            handle.close()
            raise StoreError(f"{self.folder}: in use by {owner}; wait for it, or stop it first") from error
        handle.truncate(0)
        handle.write(f"process {os.getpid()} on {platform.node()} since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        handle.flush()
        self._lock = handle

    def _clear(self) -> None:
        """Remove what a run without a finished step left: its failures and sums are not those of another one."""
        shutil.rmtree(self.folder / "failures", ignore_errors=True)
        for leftover in self.folder.glob("*.parquet"):
            leftover.unlink()

    def _sweep(self) -> None:
        """Remove what a killed run left half-written."""
        for leftover in list(self.folder.rglob(f"{_TEMPORARY}*")):
            _remove(leftover)


def _flush(path: Path) -> None:
    """Bring bytes to the disk before a name says that they are there."""
    for file in path.rglob("*") if path.is_dir() else [path]:
        if file.is_file():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())


def _remove(path: Path) -> None:
    """Remove what is half-written; where even that cannot be done, the next run will."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink(missing_ok=True)
