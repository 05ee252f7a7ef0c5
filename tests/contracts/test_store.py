"""What every store keeps to; add new ones to `STORES`."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from crossfeed import DiskStore, MemoryStore
from crossfeed.errors import NewerSchema, StoreError, StoreMismatch
from crossfeed.store.schema import SCHEMA

STORES = {"disk": lambda tmp_path: DiskStore(tmp_path / "run"), "memory": lambda tmp_path: MemoryStore()}
DOCUMENT = {"schema": SCHEMA, "id": "abc", "data": {"math": "1"}}


@pytest.fixture(params=sorted(STORES))
def store(request, tmp_path):
    made = STORES[request.param](tmp_path)
    made.begin("name: x\n", DOCUMENT)
    yield made
    made.end()


def save(state, folder):
    np.save(folder / "state.npy", state)


def load(folder):
    return np.load(folder / "state.npy")


def test_tables_come_back(store):
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    assert not store.has_table("pool", "cell", 3)
    store.write_table("pool", "cell", 3, table)
    assert store.has_table("pool", "cell", 3)
    assert not store.has_table("pool", "cell", 2)
    assert not store.has_table("records", "cell", 3)
    assert store.read_table("pool", "cell", 3).equals(table)


def test_a_scope_that_looks_like_a_partition_adds_no_columns(store):
    store.write_table("records", "shared/alpha=1", 0, pa.table({"a": [1]}))
    assert store.read_table("records", "shared/alpha=1", 0).column_names == ["a"]


def test_states_come_back_and_go(store):
    assert not store.has_states("cell", 1)
    store.write_states("cell", 1, {"a": np.arange(3), "b": np.arange(4)}, save)
    assert store.has_states("cell", 1)
    second, first = store.read_states("cell", 1, ["b", "a"], load)
    assert (second.tolist(), first.tolist()) == ([0, 1, 2, 3], [0, 1, 2])
    store.drop_states("cell", 1)
    store.drop_states("cell", 1)
    assert not store.has_states("cell", 1)


def test_documents_come_back_and_go(store):
    assert store.read_document("failures/x") is None
    store.write_document("failures/x", {"message": "naïve ☃"})
    assert store.read_document("failures/x") == {"message": "naïve ☃"}
    store.drop_document("failures/x")
    store.drop_document("failures/x")
    assert store.read_document("failures/x") is None


def test_the_same_run_may_begin_again_and_another_may_not(store):
    store.write_table("records", "cell", 0, pa.table({"a": [1]}))
    store.begin("name: x\n", DOCUMENT)
    with pytest.raises(StoreMismatch, match="holds the run abc"):
        store.begin("name: x\n", DOCUMENT | {"id": "xyz"})
    with pytest.raises(StoreMismatch, match="math"):
        store.begin("name: x\n", DOCUMENT | {"data": {"math": "2"}})


def test_a_run_without_a_finished_step_may_be_corrected(store):
    store.begin("name: x\n", DOCUMENT | {"id": "xyz"})
    assert store.read_document("run")["id"] == "xyz"


def test_a_store_of_the_future_is_refused(store):
    store.write_document("run", DOCUMENT | {"schema": SCHEMA + 1})
    with pytest.raises(NewerSchema, match="upgrade crossfeed"):
        store.begin("name: x\n", DOCUMENT)


def test_a_failed_write_leaves_nothing_behind(tmp_path):
    store = STORES["disk"](tmp_path)
    store.begin("name: x\n", DOCUMENT)

    def breaks(state, folder):
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device"):
        store.write_states("cell", 1, {"a": 1}, breaks)
    assert not store.has_states("cell", 1)
    assert not list((tmp_path / "run").rglob("*partial*"))
    store.end()


def test_a_damaged_document_is_named(tmp_path):
    store = STORES["disk"](tmp_path)
    store.begin("name: x\n", DOCUMENT)
    store.end()
    (tmp_path / "run" / "run.json").write_text("{")
    with pytest.raises(StoreError, match=r"run\.json"):
        store.begin("name: x\n", DOCUMENT)
    (tmp_path / "run" / "run.json").write_text(json.dumps({"id": "abc"}))
    with pytest.raises(StoreError, match="no schema number"):
        store.begin("name: x\n", DOCUMENT)
