"""The protocols of a run's store, and of what several processes that share one claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from crossfeed.protocols.items import State

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ClaimState", "Claims", "SharedStore", "Store"]

ClaimState = Literal["mine", "free", "held", "unknown", "done"]
"""The state of a piece of work among several processes: claimed by this one; to be had; held by another one at work, or
by one of which it is not known yet whether it still is; done since this process began."""


class Store(Protocol):
    """The storage of a run. Writes are atomic and in order: after a kill, each is there whole or not at all.

    A *scope* is a relative path: the cell's name from generation 1 on, ``shared/<id>`` for a generation 0 that
    several cells share.

    Attributes:
        location: The argument with which `crossfeed.open_store` opens the same run in another process; None if no other
            process can.
        set_aside: A sentence for everything that was found damaged since `begin`, in the order in which it was found.
            It is kept under another name, counts as not there, and is computed again.
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
        """Close the run for writing, so that other processes may write to it."""
        ...

    def writer(self) -> str | None:
        """Return the process that writes to the run.

        Returns:
            Its number, machine and start as text; None if no process does.
        """
        ...

    def write_behind(self) -> AbstractContextManager[None]:
        """Open a context in which writes may return before they are done.

        They are done in order, a read waits for the writes that it depends on, and all are done at the end of the
        context. If one fails, none after it is done, and a later call or the end of the context raises its error.

        Returns:
            The context manager.
        """
        ...

    def read_description(self) -> str:
        """Read the description that the run was begun with.

        Returns:
            The experiment as YAML.

        Raises:
            StoreError: There is none, or it was changed.
        """
        ...

    def write_document(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Write plain data under a name.

        Args:
            name: A relative path, such as ``failures/<cell>``.
            document: Plain data (JSON on disk).
            durable: False if it need not survive a loss of power, which is faster.

        Raises:
            StoreError: It cannot be written.
        """
        ...

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read plain data.

        Args:
            name: The name that it was written under.

        Returns:
            The data; None if there is none.

        Raises:
            StoreError: It cannot be read, or it is damaged and the run is not being written here.
        """
        ...

    def drop_document(self, name: str) -> None:
        """Remove plain data, if it is there.

        Args:
            name: The name that it was written under.
        """
        ...

    def documents(self, folder: str) -> list[str]:
        """List plain data.

        Args:
            folder: A relative path, such as ``failures``.

        Returns:
            The names of all plain data in the folder, sorted.
        """
        ...

    def write_result(self, name: str, table: pa.Table) -> None:
        """Write a table that sums up the whole run.

        Args:
            name: ``records``, ``projection``, ...
            table: The table.

        Raises:
            StoreError: It cannot be written.
        """
        ...

    def read_result(self, name: str) -> pa.Table | None:
        """Read a table that sums up the whole run.

        Args:
            name: The name that it was written under.

        Returns:
            The table; None if there is none.

        Raises:
            StoreError: It cannot be read, or it is damaged and the run is not being written here.
        """
        ...

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Return True if a table of one generation is there, whole and undamaged.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope.
            generation: The generation t.

        Returns:
            True if `read_table` will return it.
        """
        ...

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Write a table of one generation.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope.
            generation: The generation t.
            table: The table.

        Raises:
            StoreError: It cannot be written.
        """
        ...

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Read a table of one generation.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope.
            generation: The generation t.

        Returns:
            The table.

        Raises:
            StoreError: It is not there, or it is damaged.
        """
        ...

    def drop_table(self, step: str, scope: str, generation: int) -> None:
        """Remove a table of one generation, if it is there.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope.
            generation: The generation t.
        """
        ...

    def is_begun(self) -> bool:
        """Return True if the run has a finished step, so that another one may not take its place.

        Returns:
            True once a table or states of a generation were written.
        """
        ...

    def pack(self, scopes: Sequence[str]) -> None:
        """Store all tables and states of scopes in fewer places, if that is of use; they are read as before.

        Args:
            scopes: Scopes of finished cells, which other processes may read and none will write.

        Raises:
            StoreError: They cannot be written.
        """
        ...

    def has_states(self, scope: str, generation: int) -> bool:
        """Return True if the states after a generation are there, whole and undamaged.

        Args:
            scope: The scope.
            generation: The generation t.

        Returns:
            True if `read_states` will return them.
        """
        ...

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Write the states after a generation, all of them or none.

        Args:
            scope: The scope.
            generation: The generation t.
            states: The states by entity name.
            save: Writes a state into an empty folder (`Learner.save`).

        Raises:
            StoreError: They cannot be written.
        """
        ...

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Read states after a generation.

        Args:
            scope: The scope.
            generation: The generation t.
            entities: The names of the entities whose states are read.
            load: Reads a state from a folder (`Learner.load`).

        Returns:
            The states, in the order of `entities`.

        Raises:
            StoreError: They are not there, or damaged.
        """
        ...

    def drop_states(self, scope: str, generation: int) -> None:
        """Remove the states after a generation, if they are there.

        Args:
            scope: The scope.
            generation: The generation t.
        """
        ...


class Claims(Protocol):
    """The claims of one process, of several that share a run: each piece of work is done by one at a time.

    What a process has claimed is free again once it has ended, however it ended.
    """

    def take(self, work: str) -> ClaimState:
        """Claim a piece of work, if it is free.

        Args:
            work: Its name, such as ``cell alpha-0.5_seed-0``.

        Returns:
            ``mine`` if this process has it now; else why not.

        Raises:
            StoreError: It cannot be written, or another process took this one for dead.
        """
        ...

    def look(self, work: str) -> ClaimState:
        """Return the state of a piece of work.

        Args:
            work: Its name.

        Returns:
            Its state now; that of another process's work may change at any moment.
        """
        ...

    def done(self, work: str) -> None:
        """Keep that a piece of work that this process claimed is done.

        Args:
            work: Its name.
        """
        ...

    def release(self, work: str) -> None:
        """Give a piece of work back that this process claimed.

        Args:
            work: Its name.
        """
        ...

    def alone(self, work: str) -> AbstractContextManager[None]:
        """Open a context in which no other process is in one for the same work; waits for it.

        Args:
            work: Its name.

        Returns:
            The context manager.
        """
        ...

    def owner(self, work: str) -> str | None:
        """Return the process that is at a piece of work, this one or another.

        Args:
            work: Its name.

        Returns:
            Its number, machine and start as text; None if none is.
        """
        ...

    def others(self) -> list[str]:
        """Return the other processes that share the run, as text.

        Returns:
            Number, machine and start of each; of some it may not be known yet that they have ended.
        """
        ...


class SharedStore(Store, Protocol):
    """A store that several processes can write to at once, each the cells that it has claimed.

    `Store.writer` returns None while several do.

    Attributes:
        claims: The claims of this process.
    """

    @property
    def claims(self) -> Claims: ...  # noqa: D102 - see above

    def begin(self, description: str, document: Mapping[str, Any], *, shared: bool = False) -> None:
        """Open the run for writing; see `Store.begin`.

        Args:
            description: The experiment as YAML.
            document: Plain data, see `Store.begin`.
            shared: Let other processes that share it write at the same time.

        Raises:
            StoreError: As `Store.begin`; or the store cannot keep claims apart.
        """
        ...
