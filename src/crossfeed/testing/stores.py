"""The contract of stores (`crossfeed.protocols.Store`)."""

# ruff: noqa: S101, D102 - tests assert, and their names say what
from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from crossfeed.errors import NewerSchema, StoreMismatch
from crossfeed.protocols import Store
from crossfeed.store.schema import SCHEMA

__all__ = ["StoreContract"]

_DOCUMENT: Final[dict[str, Any]] = {"schema": SCHEMA, "id": "abc", "data": {"math": "1"}}


class StoreContract:
    """The contract of stores; override the fixture `opened`."""

    @pytest.fixture
    def opened(self) -> Store:
        """An empty store."""
        raise NotImplementedError("override the fixture `opened` so that it gives an empty store")

    @pytest.fixture
    def store(self, opened: Store) -> Iterator[Store]:
        """The same store, begun."""
        opened.begin("name: x\n", _DOCUMENT)
        yield opened
        opened.end()

    def test_tables_come_back(self, store: Store) -> None:
        table = pa.table({"a": [1, 2], "b": ["x", None]})
        assert not store.has_table("pool", "cell", 3)
        store.write_table("pool", "cell", 3, table)
        assert store.has_table("pool", "cell", 3)
        assert not store.has_table("pool", "cell", 2)
        assert not store.has_table("records", "cell", 3)
        assert store.read_table("pool", "cell", 3).equals(table)
        assert store.read_table("pool", "cell", 3).equals(table)  # again: nothing is used up by reading

    def test_empty_tables_and_what_tables_say_of_themselves_come_back(self, store: Store) -> None:
        table = pa.table({"a": pa.array([], pa.int64())}).replace_schema_metadata({"by": "someone"})
        store.write_table("pool", "cell", 1, table)
        assert store.read_table("pool", "cell", 1).equals(table, check_metadata=True)

    def test_a_table_that_is_written_again_is_the_new_one(self, store: Store) -> None:
        store.write_table("pool", "cell", 1, pa.table({"a": [1]}))
        assert store.has_table("pool", "cell", 1)
        store.write_table("pool", "cell", 1, pa.table({"a": [2]}))
        assert store.read_table("pool", "cell", 1).column("a").to_pylist() == [2]

    def test_a_scope_that_looks_like_a_partition_adds_no_columns(self, store: Store) -> None:
        store.write_table("records", "shared/alpha=1", 0, pa.table({"a": [1]}))
        assert store.read_table("records", "shared/alpha=1", 0).column_names == ["a"]

    def test_results_come_back(self, store: Store) -> None:
        assert store.read_result("records") is None
        store.write_result("records", pa.table({"a": [1, 2]}))
        store.write_result("records", pa.table({"a": [3]}))
        table = store.read_result("records")
        assert table is not None
        assert table.column("a").to_pylist() == [3]

    def test_states_come_back_and_go(self, store: Store) -> None:
        assert not store.has_states("cell", 1)
        store.write_states("cell", 1, {"a": np.arange(3), "b": np.arange(4)}, _save)
        assert store.has_states("cell", 1)
        second, first = store.read_states("cell", 1, ["b", "a"], _load)
        assert (second.tolist(), first.tolist()) == ([0, 1, 2, 3], [0, 1, 2])
        store.write_states("cell", 1, {"a": np.arange(5)}, _save)
        assert store.read_states("cell", 1, ["a"], _load)[0].tolist() == [0, 1, 2, 3, 4]
        store.drop_states("cell", 1)
        store.drop_states("cell", 1)
        assert not store.has_states("cell", 1)

    def test_what_is_written_behind_is_read_as_if_it_were_there_and_is_there_at_the_end(self, store: Store) -> None:
        with store.write_behind():
            store.write_table("pool", "cell", 1, pa.table({"a": [1]}))
            store.write_states("cell", 1, {"a": np.arange(3)}, _save)
            store.write_table("records", "cell", 1, pa.table({"a": [2]}))
            store.drop_states("cell", 1)
            store.write_states("cell", 2, {"a": np.arange(4)}, _save)
            assert store.read_table("pool", "cell", 1).column("a").to_pylist() == [1]
            assert not store.has_states("cell", 1)
            assert store.has_states("cell", 2)
        assert store.read_table("records", "cell", 1).column("a").to_pylist() == [2]
        assert store.read_states("cell", 2, ["a"], _load)[0].tolist() == [0, 1, 2, 3]

    def test_what_is_packed_is_read_as_before(self, store: Store) -> None:
        names = pa.array(["x", None, "y"]).dictionary_encode()
        whole = pa.table({"a": [1.5, float("nan"), None], "b": names, "c": [[0.5], [], None]})
        tables = [whole.slice(0, rows).replace_schema_metadata({"by": "someone"}) for rows in (3, 0, 2)]
        scopes = ["one", "two", "shared/alpha=1"]
        for scope in scopes:
            for generation, table in enumerate(tables):
                store.write_table("pool", scope, generation, table)
            store.write_table("records", scope, 1, pa.table({"generation": [1], "value": [0.5]}))
            store.write_states(scope, 1, {"a": np.arange(3), "b": np.arange(4)}, _save)
        store.write_table("pool", "three", 1, pa.table({"of another": ["schema"]}))
        store.write_table("pool", "three", 2, pa.table({"scope": ["a column of its own"]}))
        places = [(scope, generation) for scope in scopes for generation in range(len(tables))]
        before = {place: store.read_table("pool", *place) for place in places}  # files know fewer types than memory
        for _ in range(2):  # again: what is packed stays so
            store.pack([*scopes, "three", "never heard of"])
            for place, table in before.items():
                assert store.has_table("pool", *place)
                found = store.read_table("pool", *place)
                assert found.schema.equals(table.schema, check_metadata=True)
                assert str(found.to_pylist()) == str(table.to_pylist())  # as text a number that is none is itself
            for scope in scopes:
                assert not store.has_table("pool", scope, len(tables))
                assert store.read_table("records", scope, 1).to_pylist() == [{"generation": 1, "value": 0.5}]
                assert store.has_states(scope, 1)
                second, first = store.read_states(scope, 1, ["b", "a"], _load)
                assert (second.tolist(), first.tolist()) == ([0, 1, 2, 3], [0, 1, 2])
            assert store.read_table("pool", "three", 1).to_pylist() == [{"of another": "schema"}]
            assert store.read_table("pool", "three", 2).to_pylist() == [{"scope": "a column of its own"}]
        assert store.set_aside == []

    def test_what_is_packed_may_be_written_again_and_dropped(self, store: Store) -> None:
        for generation in range(4):
            store.write_table("records", "cell", generation, pa.table({"a": [generation]}))
            store.write_states("cell", generation, {"a": np.arange(generation)}, _save)
        store.pack(["cell"])
        store.write_table("records", "cell", 1, pa.table({"a": [10]}))
        store.write_states("cell", 2, {"a": np.arange(9)}, _save)
        store.drop_states("cell", 1)
        for _ in range(2):
            tables = [store.read_table("records", "cell", t).column("a").to_pylist() for t in range(4)]
            assert tables == [[0], [10], [2], [3]]
            assert [store.has_states("cell", t) for t in range(4)] == [True, False, True, True]
            states = [store.read_states("cell", t, ["a"], _load)[0].size for t in (0, 2, 3)]
            assert states == [0, 9, 3]
            store.pack(["cell"])

    def test_a_table_goes(self, store: Store) -> None:
        """A table that is dropped is gone, others stay, and to drop it once more does nothing."""
        for generation in (0, 1):
            store.write_table("records", "cell", generation, pa.table({"x": [generation]}))
        store.drop_table("records", "cell", 0)
        store.drop_table("records", "cell", 0)
        assert not store.has_table("records", "cell", 0)
        assert store.read_table("records", "cell", 1).to_pylist() == [{"x": 1}]

    def test_a_run_is_begun_with_its_first_finished_step(self, store: Store) -> None:
        """Documents alone are no finished step."""
        assert not store.is_begun()
        store.write_table("records", "cell", 0, pa.table({"x": [0]}))
        assert store.is_begun()

    def test_a_run_may_grow_and_what_is_there_stays(self, store: Store) -> None:
        """A run whose document names the id that is there takes its place, and reads what it wrote."""
        store.write_table("records", "cell", 0, pa.table({"x": [0]}))
        store.write_document("failures/cell", {"stage": "update"})
        store.end()
        for grown in ({"id": "b", "before": ["abc"]}, {"id": "c", "before": ["abc", "b"]}):
            store.begin("name: y\n", _DOCUMENT | grown)
            assert store.read_table("records", "cell", 0).to_pylist() == [{"x": 0}]
            assert store.read_document("failures/cell") == {"stage": "update"}
            assert store.read_description() == "name: y\n"
            store.end()
        with pytest.raises(StoreMismatch):
            store.begin("name: x\n", _DOCUMENT)

    def test_documents_come_back_and_go(self, store: Store) -> None:
        assert store.read_document("failures/x") is None
        assert store.documents("failures") == []
        store.write_document("failures/x", {"message": "naïve ☃ \ud800", "nested": {"a": [1.5, None]}})
        store.write_document("failures/a", {}, durable=False)
        assert store.documents("failures") == ["failures/a", "failures/x"]
        assert store.read_document("failures/x") == {"message": "naïve ☃ \ud800", "nested": {"a": [1.5, None]}}
        store.drop_document("failures/x")
        store.drop_document("failures/x")
        assert store.read_document("failures/x") is None
        assert store.documents("failures") == ["failures/a"]

    def test_the_description_comes_back(self, store: Store) -> None:
        assert store.read_description() == "name: x\n"

    def test_the_same_run_may_begin_again_and_another_may_not(self, store: Store) -> None:
        store.write_table("records", "cell", 0, pa.table({"a": [1]}))
        store.begin("name: x\n", _DOCUMENT)
        assert store.has_table("records", "cell", 0)
        with pytest.raises(StoreMismatch, match="holds the run abc"):
            store.begin("name: x\n", _DOCUMENT | {"id": "xyz"})
        with pytest.raises(StoreMismatch, match="math"):
            store.begin("name: x\n", _DOCUMENT | {"data": {"math": "2"}})

    def test_a_run_without_a_finished_step_may_be_corrected(self, store: Store) -> None:
        store.write_document("failures/x", {"message": "of the first try"})
        store.write_result("records", pa.table({"a": [1]}))
        store.begin("name: y\n", _DOCUMENT | {"id": "xyz"})
        document = store.read_document("run")
        assert document is not None
        assert document["id"] == "xyz"
        assert store.read_description() == "name: y\n"
        assert store.read_document("failures/x") is None
        assert store.read_result("records") is None

    def test_a_store_of_the_future_is_refused(self, store: Store) -> None:
        store.write_document("run", _DOCUMENT | {"schema": SCHEMA + 1})
        with pytest.raises(NewerSchema, match="upgrade crossfeed"):
            store.begin("name: x\n", _DOCUMENT)

    def test_nothing_is_set_aside_where_nothing_is_damaged(self, store: Store) -> None:
        store.write_table("records", "cell", 0, pa.table({"a": [1]}))
        store.write_states("cell", 0, {"a": np.arange(3)}, _save)
        assert store.has_table("records", "cell", 0)
        assert store.has_states("cell", 0)
        assert store.set_aside == []


def _save(state: NDArray[np.int64], folder: Path) -> None:
    np.save(folder / "state.npy", state, allow_pickle=False)


def _load(folder: Path) -> NDArray[np.int64]:
    state: NDArray[np.int64] = np.load(folder / "state.npy", allow_pickle=False)
    return state
