"""A run in memory: for tests, notebooks and runs whose records are all that is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any

import pyarrow as pa

from crossfeed.protocols import State
from crossfeed.store.schema import check_document

__all__ = ["MemoryStore"]


class MemoryStore:
    """A run that lives as long as this object; states are kept as they are, never saved.

    Attributes:
        location: None: no other process can open it.
        set_aside: Nothing: nothing is ever damaged.
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
        """Open the run for writing; see `crossfeed.protocols.Store.begin`."""
        found = self.read_document("run")
        if found is not None:
            check_document("memory", found, document if self._tables or self._states else None)
            if found.get("id") != document["id"]:
                self._documents.clear()
                self.results.clear()
        self.description = description
        self.write_document("run", document)

    def writer(self) -> str | None:
        """Nobody else can."""
        return None

    def end(self) -> None:
        """Nothing to let go of."""

    def write_behind(self) -> AbstractContextManager[None]:
        """There is nothing to wait for."""
        return nullcontext()

    def read_description(self) -> str:
        """The experiment as YAML."""
        return self.description

    def write_document(self, name: str, document: Mapping[str, Any], *, durable: bool = True) -> None:
        """Keep plain data."""
        self._documents[name] = deepcopy(dict(document))

    def read_document(self, name: str) -> dict[str, Any] | None:
        """Read plain data back; None if there is none."""
        return deepcopy(self._documents.get(name))

    def drop_document(self, name: str) -> None:
        """Forget plain data."""
        self._documents.pop(name, None)

    def documents(self, folder: str) -> list[str]:
        """The names of plain data in a folder."""
        return sorted(name for name in self._documents if name.rpartition("/")[0] == folder)

    def write_result(self, name: str, table: pa.Table) -> None:
        """Keep a table that sums up the run."""
        self.results[name] = table

    def read_result(self, name: str) -> pa.Table | None:
        """Read it back; None if it is not there."""
        return self.results.get(name)

    def has_table(self, step: str, scope: str, generation: int) -> bool:
        """Whether a table is there."""
        return (step, scope, generation) in self._tables

    def write_table(self, step: str, scope: str, generation: int, table: pa.Table) -> None:
        """Keep a table of one generation."""
        self._tables[step, scope, generation] = table

    def read_table(self, step: str, scope: str, generation: int) -> pa.Table:
        """Read a table of one generation back."""
        return self._tables[step, scope, generation]

    def has_states(self, scope: str, generation: int) -> bool:
        """Whether the states of a generation are there."""
        return (scope, generation) in self._states

    def write_states(
        self, scope: str, generation: int, states: Mapping[str, State], save: Callable[[State, Path], None]
    ) -> None:
        """Keep states; `save` is not needed."""
        self._states[scope, generation] = dict(states)

    def read_states(
        self, scope: str, generation: int, entities: Sequence[str], load: Callable[[Path], State]
    ) -> list[State]:
        """Read states; `load` is not needed."""
        kept = self._states[scope, generation]
        return [kept[name] for name in entities]

    def drop_states(self, scope: str, generation: int) -> None:
        """Forget the states of a generation."""
        self._states.pop((scope, generation), None)
