"""What a run needs around it: a place to live, and where it says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa

from crossfeed.protocols.items import State

__all__ = ["Progress", "Store"]


class Progress(Protocol):
    """Where long work says how far it is."""

    def stage(
        self, name: str, total: int | None = None, detail: str = ""
    ) -> AbstractContextManager[Callable[[int], None]]:
        """A stage of work as a context manager that gives ``advance(steps)``.

        Args:
            name: ``base``, ``publish``, ``update``, ``measure``, ...
            total: Number of steps, if known.
            detail: What is being worked on.
        """
        ...

    def note(self, text: str) -> None:
        """One line worth keeping in a log."""
        ...


class Store(Protocol):
    """Where a run lives. Writes are atomic and in order: after a kill, each is there whole or not at all.

    A *scope* is a relative path: the cell's name from generation 1 on, ``shared/<id>`` for a generation 0 that
    several cells share.

    Attributes:
        location: What `crossfeed.store.open_store` opens the same run with in another process; None if none can.
        set_aside: A sentence for everything that was found damaged since `begin`, in the order in which it was found.
            It is kept under another name, counts as not there, and is made again.
    """

    @property
    def location(self) -> str | None: ...  # noqa: D102 - see above

    @property
    def set_aside(self) -> list[str]: ...  # noqa: D102 - see above

    def begin(self, description: str, document: Mapping[str, Any]) -> None:
        """Open the run for writing.

        Args:
            description: The experiment as YAML.
            document: Plain data with at least ``schema``, ``id`` and ``data`` (hashes of the tasks' data).

        Raises:
            StoreMismatch: It holds finished steps of another id, or of other data.
            NewerSchema: It was written by a newer crossfeed.
            StoreError: Another process writes to it, it cannot be written, or an older crossfeed began it.
        """
        ...

    def end(self) -> None:
        """Let others write to it."""
        ...

    def writer(self) -> str | None:
        """Which process writes to it, in words; None if none does."""
        ...

    def write_behind(self) -> AbstractContextManager[None]:
        """A context in which writes may return before they are done.

        They are done in order, what reads waits for what it reads, and all are done at the end of the context. If one
        fails, none after it is done, and a later call or the end of the context raises its error.
        """
        ...

    def read_description(self) -> str:
        """The description that the run was begun with.

        Raises:
            StoreError: There is none, or it was changed.
        """
        ...

    def write_document(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Keep plain data under a name (JSON on disk); what need not survive a loss of power is written faster."""
        ...

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read plain data back; None if there is none."""
        ...

    def drop_document(self, name: str) -> None:
        """Forget plain data; nothing happens if there is none."""
        ...

    def documents(self, folder: str) -> list[str]:
        """The names of all plain data in a folder such as ``failures``, sorted."""
        ...

    def write_result(self, name: str, table: pa.Table) -> None:
        """Keep a table that sums up the whole run, such as ``records``."""
        ...

    def read_result(self, name: str) -> pa.Table | None:
        """Read such a table back; None if there is none."""
        ...

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Whether a table is there whole and undamaged."""
        ...

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Keep a table of one generation: ``pool``, ``records`` or ``outputs``."""
        ...

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Read a table of one generation back.

        Raises:
            StoreError: It is not there, or it is damaged.
        """
        ...

    def has_states(self, scope: str, generation: int) -> bool:
        """Whether the states of a generation are there whole and undamaged."""
        ...

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Keep the states of one generation, by entity."""
        ...

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Read the states of one generation.

        Raises:
            StoreError: They are not there, or damaged.
        """
        ...

    def drop_states(self, scope: str, generation: int) -> None:
        """Forget the states of a generation; nothing happens if they are not there."""
        ...
