"""What every store keeps to; add new ones to `STORES`."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading
import time
import tracemalloc
import uuid

import numpy as np
import pyarrow as pa
import pytest
from tests.object_store import new_url

from crossfeed import MemoryStore
from crossfeed.errors import InvalidInput, MissingDependency, StoreError
from crossfeed.store import is_remote, open_store
from crossfeed.store.schema import SCHEMA
from crossfeed.testing import StoreContract

PLACES = {
    "folder": lambda tmp_path, monkeypatch: tmp_path / "run",
    "file": lambda tmp_path, monkeypatch: (tmp_path / "a run").as_uri(),
    "memory-url": lambda tmp_path, monkeypatch: f"memory://{uuid.uuid4().hex}/run",
    "s3": lambda tmp_path, monkeypatch: new_url(monkeypatch),
}
STORES = {name: lambda *given, place=place: open_store(place(*given)) for name, place in PLACES.items()}
STORES["memory"] = lambda tmp_path, monkeypatch: MemoryStore()
DOCUMENT = {"schema": SCHEMA, "id": "abc", "data": {"math": "1"}}


@pytest.fixture(params=sorted(PLACES))
def place(request, tmp_path, monkeypatch):
    """Where a run can be opened more than once."""
    return PLACES[request.param](tmp_path, monkeypatch)


def save(state, folder):
    np.save(folder / "state.npy", state)


def load(folder):
    return np.load(folder / "state.npy")


class TestStore(StoreContract):
    @pytest.fixture(params=sorted(STORES))
    def opened(self, request, tmp_path, monkeypatch):
        return STORES[request.param](tmp_path, monkeypatch)


class TestStoreThatWritesBehind(TestStore):
    """All of the same holds while writes are under way."""

    @pytest.fixture(params=["folder", "s3"])
    def opened(self, request, tmp_path, monkeypatch):
        return STORES[request.param](tmp_path, monkeypatch)

    @pytest.fixture
    def store(self, opened):
        opened.begin("name: x\n", DOCUMENT)
        with opened.write_behind():
            yield opened
        opened.end()


def test_what_one_wrote_another_reads_and_a_worker_goes_on_with(place):
    first = open_store(place)
    first.begin("name: x\n", DOCUMENT)
    worker = open_store(place, worker=True)
    worker.write_table("records", "cell", 0, pa.table({"a": [1]}))
    worker.write_states("cell", 0, {"a": np.arange(3)}, save)
    worker.write_document("failures/x", {"message": "m"})
    assert first.read_table("records", "cell", 0).column("a").to_pylist() == [1]
    first.end()
    reader = open_store(place)
    assert reader.read_document("run")["id"] == "abc"
    assert reader.has_table("records", "cell", 0)
    assert [state.tolist() for state in reader.read_states("cell", 0, ["a"], load)] == [[0, 1, 2]]
    assert reader.read_document("failures/x") == {"message": "m"}


def test_a_second_writer_is_refused_until_the_first_has_ended(place):
    first, second = open_store(place), open_store(place)
    first.begin("name: x\n", DOCUMENT)
    with pytest.raises(StoreError, match=f"in use by process {os.getpid()} on "):
        second.begin("name: x\n", DOCUMENT)
    first.end()
    second.begin("name: x\n", DOCUMENT)
    second.end()


def test_a_place_that_is_no_run_is_refused_and_left_alone(place):
    store = open_store(place)
    with pytest.raises(StoreError, match="not a crossfeed run"):
        store.has_states("cell", 0)
    store._files.write("thesis.tex", b"mine")
    with pytest.raises(StoreError, match="not empty and not a crossfeed run"):
        store.begin("name: x\n", DOCUMENT)
    assert store._files.names("") == ["thesis.tex"]


def test_what_is_not_there_is_named(place):
    store = open_store(place)
    store.begin("name: x\n", DOCUMENT)
    with pytest.raises(StoreError, match=r"pool/cell/generation-001\.parquet: not there"):
        store.read_table("pool", "cell", 1)
    with pytest.raises(StoreError, match=r"checkpoints/cell/generation-001: not there"):
        store.read_states("cell", 1, ["a"], load)
    store.end()


def test_what_is_damaged_is_set_aside_once_and_made_again(place):
    store = open_store(place)
    store.begin("name: x\n", DOCUMENT)
    store.write_table("pool", "cell", 1, pa.table({"a": [1]}))
    store.write_states("cell", 1, {"a": np.arange(3), "b": np.arange(3)}, save)
    store._files.write("pool/cell/generation-001.parquet", b"something else")
    store._files.write("checkpoints/cell/generation-001/b/state.npy", b"something else")
    for _ in range(2):
        assert not store.has_table("pool", "cell", 1)
        assert not store.has_states("cell", 1)
    table, states = store.set_aside
    assert "/pool/cell/generation-001.parquet was damaged: it has no checksum" in table
    assert "/checkpoints/cell/generation-001 was damaged: the checksum of b/state.npy does not match" in states
    assert [name[:9] for name in store._files.names("pool/cell")] == [".damaged-"]
    (kept,) = (name for name in store._files.names("checkpoints/cell") if name.startswith(".damaged-"))
    assert store._files.names(f"checkpoints/cell/{kept}") == [".checksums.json", "a", "b"]
    store.write_states("cell", 1, {"a": np.arange(5)}, save)
    assert store.read_states("cell", 1, ["a"], load)[0].tolist() == [0, 1, 2, 3, 4]
    store.end()


def test_half_a_checkpoint_is_none(place):
    """A folder of states is there with its last file, and is replaced where that is missing."""
    store = open_store(place)
    store.begin("name: x\n", DOCUMENT)
    store._files.write("checkpoints/cell/generation-001/a/state.npy", b"half of an upload")
    store._files.write("checkpoints/cell/generation-001/stray.npy", b"another half")
    assert not store.has_states("cell", 1)
    store.write_states("cell", 1, {"a": np.arange(3)}, save)
    assert store.read_states("cell", 1, ["a"], load)[0].tolist() == [0, 1, 2]
    assert store.set_aside == []
    store.end()


def test_a_failed_write_leaves_nothing_behind(place):
    store = open_store(place)
    store.begin("name: x\n", DOCUMENT)

    def breaks(state, folder):
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(StoreError, match="No space left on device"):
        store.write_states("cell", 1, {"a": 1}, breaks)
    assert not store.has_states("cell", 1)
    assert store._files.names("checkpoints/cell") == []
    store.end()


@pytest.mark.parametrize("path", ["../other", "/etc/x", "a/../../x", "a//b", "", "a\\b", "a\0b", "."])
def test_no_name_leads_out_of_the_run(path, tmp_path):
    store = open_store(tmp_path / "run")
    store.begin("name: x\n", DOCUMENT)
    for attempt in (
        lambda: store.write_table("records", path, 0, pa.table({"a": [1]})),
        lambda: store.write_document(f"{path}/x", {}),
        lambda: store.write_states(path, 0, {"a": np.arange(3)}, save),
        lambda: store.write_states("cell", 0, {path: np.arange(3)}, save),
    ):
        with pytest.raises(StoreError, match="is not a path within a run"):
            attempt()
    store.end()
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def test_locations_say_how_another_process_opens_the_same_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert open_store("runs/a").location == str(tmp_path / "runs" / "a")
    assert open_store("file:///runs/a%20b").location == "/runs/a b"
    assert open_store("memory://a").location is None
    assert MemoryStore().location is None
    assert not is_remote("runs/a")
    assert not is_remote("file:///runs/a")
    assert is_remote("s3://bucket/a")


def test_unknown_and_unsupported_places_are_refused_with_a_word(monkeypatch):
    with pytest.raises(InvalidInput, match=r"nothing://x.*give a folder, or a URL"):
        open_store("nothing://x")
    with pytest.raises(InvalidInput, match="three slashes"):
        open_store("file://runs/a")
    monkeypatch.setitem(__import__("sys").modules, "gcsfs", None)
    with pytest.raises(MissingDependency, match="gcsfs"):
        open_store("gs://bucket/run")
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(MissingDependency, match=r"crossfeed\[remote\]"):
        open_store("s3://bucket/run")


def test_a_folder_needs_no_fsspec(tmp_path):
    code = "import sys; from crossfeed.store import open_store; s = open_store(sys.argv[1]); "
    code += "s.begin('x', {'schema': 2, 'id': 'a', 'data': {}}); s.end(); print('fsspec' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "False\n"


def open_files():
    """How many are open, the least of a second: what a server closed after its answer is gone a moment later here."""
    found = []
    for _ in range(20):
        found.append(len(os.listdir("/proc/self/fd")))
        time.sleep(0.05)
    return min(found)


def test_handles_and_threads_do_not_grow_with_what_is_written(place):
    def write(times):
        for generation in range(times):
            store.write_table("records", "cell", generation, pa.table({"a": [1]}))
            store.write_states("cell", generation, {"a": np.arange(3)}, save)
            assert store.has_table("records", "cell", generation)
            assert store.has_states("cell", generation)
            store.read_states("cell", generation, ["a"], load)
            store.write_document("status/cell", {"generation": generation}, durable=False)
        return open_files(), threading.active_count()

    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("this system does not list open files")
    store = open_store(place)
    store.begin("name: x\n", DOCUMENT)
    before = write(3)
    after = write(12)
    store.end()
    assert after[0] <= before[0]
    assert after[1] <= before[1]


def test_memory_does_not_grow_with_what_is_written(tmp_path):
    table = pa.table({"a": np.arange(10_000)})
    store = open_store(tmp_path / "run")
    store.begin("name: x\n", DOCUMENT)

    def write(times):
        for _ in range(times):
            store.write_table("pool", "cell", 1, table)
            store.write_states("cell", 1, {"a": np.arange(10_000)}, save)
            assert store.has_table("pool", "cell", 1)
            assert store.has_states("cell", 1)
            store.read_table("pool", "cell", 1)
        gc.collect()
        for _ in range(100):  # Arrow's own threads let go of what they read a moment later
            if pa.total_allocated_bytes() == 0:
                break
            time.sleep(0.02)
        return tracemalloc.get_traced_memory()[0], pa.total_allocated_bytes()

    tracemalloc.start()
    before, after = write(5), write(50)
    tracemalloc.stop()
    store.end()
    assert after[0] - before[0] < 50_000  # a single table is larger
    assert after[1] - before[1] < 50_000
