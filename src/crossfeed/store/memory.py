"""A run in memory: for tests, notebooks and runs of which only the records are needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossfeed.protocols import State
from crossfeed.store.schema import check_document, is_same_run

__all__ = ["MemoryStore"]


class MemoryStore:
    """The store of a run that lasts as long as this object; states are kept as they are, never saved.

    Attributes:
        location: None: no other process can open it.
        set_aside: Always empty: nothing is ever damaged.
        description: The experiment as YAML.
        results: Tables that sum up the whole run, by name.
    """

    location = None

    def __init__(self) -> None:
        self.set_aside: list[str] = []
        self.description = ""
        self._documents: dict[str, dict[str, Any]] = {}
        self.results: dict[str, pa.Table] = {}
        self._tables: dict[tuple[str, str, int], pa.Table] = {}
        self._states: dict[tuple[str, int], dict[str, State]] = {}

    def begin(self, description: str, document: Mapping[str, Any]) -> None:
        """Open the run for writing.

        Args:
            description: The experiment as YAML.
            document: Plain data with at least ``schema``, ``id`` and ``data`` (hashes of the tasks' data).

        Raises:
            StoreMismatch: It holds finished steps of another id, or of other data.
        """
        existing = self.read_document("run")
        if existing is not None:
            check_document("memory", existing, document if self.is_begun() else None)
            if not is_same_run(existing, document):
                self._documents.clear()
                self.results.clear()
        self.description = description
        self.write_document("run", document)

    def writer(self) -> str | None:
        """Return the other process that writes to the run.

        Returns:
            None: no other process can.
        """
        return None

    def end(self) -> None:
        """Do nothing: there is no lock to release."""

    def write_behind(self) -> AbstractContextManager[None]:
        """Open a context in which writes may return before they are done.

        Returns:
            A context manager that does nothing: writes need no time.
        """
        return nullcontext()

    def read_description(self) -> str:
        """Return the description that the run was begun with.

        Returns:
            The experiment as YAML.
        """
        return self.description

    def write_document(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Keep plain data under a name.

        Args:
            name: A relative path, such as ``failures/<cell>``.
            document: Plain data.
            durable: Without effect: nothing in memory is.
        """
        self._documents[name] = deepcopy(dict(document))

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Return plain data.

        Args:
            name: The name that it was kept under.

        Returns:
            A copy of the data; None if there is none.
        """
        return deepcopy(self._documents.get(name))

    def drop_document(self, name: str) -> None:
        """Remove plain data, if it is there.

        Args:
            name: The name that it was kept under.
        """
        self._documents.pop(name, None)

    def documents(self, folder: str) -> list[str]:
        """List plain data.

        Args:
            folder: A relative path, such as ``failures``.

        Returns:
            The names of all plain data in the folder, sorted.
        """
        return sorted(name for name in self._documents if name.rpartition("/")[0] == folder)

    def write_result(self, name: str, table: pa.Table) -> None:
        """Keep a table that sums up the whole run.

        Args:
            name: ``records``, ``projection``, ...
            table: The table.
        """
        self.results[name] = table

    def read_result(self, name: str) -> pa.Table | None:
        """Return a table that sums up the whole run.

        Args:
            name: The name that it was kept under.

        Returns:
            The table; None if there is none.
        """
        return self.results.get(name)

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Return True if a table of one generation is there.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope: a cell's name, or ``shared/<id>`` for a generation 0 that several cells share.
            generation: The generation t.

        Returns:
            True if `read_table` will return it.
        """
        return (step, scope, generation) in self._tables

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Keep a table of one generation.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope.
            generation: The generation t.
            table: The table.
        """
        self._tables[step, scope, generation] = table

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Return a table of one generation.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope.
            generation: The generation t.

        Returns:
            The table.

        Raises:
            KeyError: It is not there.
        """
        return self._tables[step, scope, generation]

    def drop_table(self, step: str, scope: str, generation: int) -> None:
        """Forget a table of one generation, if it is there.

        Args:
            step: ``pool``, ``records`` or ``outputs``.
            scope: The scope.
            generation: The generation t.
        """
        self._tables.pop((step, scope, generation), None)

    def is_begun(self) -> bool:
        """Return True if the run has a finished step."""
        return bool(self._tables or self._states)

    def pack(self, scopes: Sequence[str]) -> None:
        """Do nothing: there are no files.

        Args:
            scopes: Scopes of finished cells.
        """

    def has_states(self, scope: str, generation: int) -> bool:
        """Return True if the states after a generation are there.

        Args:
            scope: The scope.
            generation: The generation t.

        Returns:
            True if `read_states` will return them.
        """
        return (scope, generation) in self._states

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Keep the states after a generation.

        Args:
            scope: The scope.
            generation: The generation t.
            states: The states by entity name.
            save: Not called: states are kept as they are.
        """
        self._states[scope, generation] = dict(states)

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Return states after a generation.

        Args:
            scope: The scope.
            generation: The generation t.
            entities: The names of the entities whose states are returned.
            load: Not called: states are kept as they are.

        Returns:
            The states, in the order of `entities`.

        Raises:
            KeyError: They are not there.
        """
        states = self._states[scope, generation]
        return [states[name] for name in entities]

    def drop_states(self, scope: str, generation: int) -> None:
        """Remove the states after a generation, if they are there.

        Args:
            scope: The scope.
            generation: The generation t.
        """
        self._states.pop((scope, generation), None)
