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
from itertools import count

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
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


CELLS = ["one", "two", "three"]


def fill(store):
    """Write two generations of three cells; return what reading them gives."""
    store.begin("name: x\n", DOCUMENT)
    for number, cell in enumerate(CELLS):
        for generation in range(2):
            for step in ("records", "pool"):
                store.write_table(step, cell, generation, pa.table({"a": [number, generation], "b": ["x", step]}))
            store.write_states(cell, generation, {"a": np.array([number, generation])}, save)
    return everything(store)


def everything(store):
    places = [(cell, generation) for cell in CELLS for generation in range(2)]
    assert all(store.has_table(step, *place) for step in ("records", "pool") for place in places)
    tables = [store.read_table(step, *place).to_pylist() for step in ("records", "pool") for place in places]
    return tables + [store.read_states(*place, ["a"], load)[0].tolist() for place in places]


def files_of(store):
    """All files of a run, sorted."""
    files = store._files
    if files.folder is not None:
        paths = (path for path in files.folder.rglob("*") if path.is_file())
        return sorted(path.relative_to(files.folder).as_posix() for path in paths)
    return sorted(path.removeprefix(f"{files._root}/") for path in files._fs.find(files._root))


def packed_files(store):
    return [path for path in files_of(store) if path.split("/")[0] in ("packs", "records", "pool", "checkpoints")]


def test_packs_are_few_files_that_anyone_can_read(place):
    store = open_store(place)
    before = fill(store)
    store.pack(CELLS)
    store.end()
    found = packed_files(store)
    assert [path.split("/")[:2] for path in found] == [
        ["packs", step] for step in ("checkpoints", "pool", "records") for _ in range(2)
    ]
    (records,) = (path for path in found if path.startswith("packs/records") and path.endswith(".parquet"))
    table = pq.read_table(pa.BufferReader(store._files.read(records)))
    assert table.column_names == ["scope", "generation", "a", "b"]
    rows = [(cell, t, number) for number, cell in enumerate(CELLS) for t in range(2)]
    assert [(r["scope"], r["generation"], r["a"]) for r in table.to_pylist()[::2]] == rows
    assert everything(open_store(place)) == before


def test_what_a_worker_wrote_over_a_pack_is_not_taken_for_a_leftover(place):
    store = open_store(place)
    fill(store)
    store.pack(CELLS)
    assert store.has_table("records", "one", 1)  # it knows this pack
    open_store(place, worker=True).write_table("records", "one", 1, pa.table({"a": [7], "b": ["anew"]}))
    store.pack(CELLS)
    assert store.read_table("records", "one", 1).to_pylist() == [{"a": 7, "b": "anew"}]
    store.end()
    assert open_store(place).read_table("records", "one", 1).to_pylist() == [{"a": 7, "b": "anew"}]
    assert not [path for path in packed_files(store) if not path.startswith("packs")]


def test_what_is_large_is_not_packed(place):
    store = open_store(place)
    fill(store)
    large = np.random.default_rng().bytes(2**20)
    store.write_table("pool", "one", 1, pa.table({"a": [large]}))
    store.write_states("two", 1, {"a": np.frombuffer(large, np.uint8)}, save)
    store.pack(CELLS)
    loose = [path for path in packed_files(store) if not path.startswith("packs")]
    states = "checkpoints/two/generation-001"
    assert loose == [f"{states}/.checksums.json", f"{states}/a/state.npy", "pool/one/generation-001.parquet"]
    assert open_store(place).read_table("pool", "one", 1).column("a").to_pylist() == [large]
    store.end()


class _Stopped(BaseException):
    """Like a kill at a chosen moment."""


def test_packing_that_is_stopped_at_any_moment_loses_nothing(tmp_path, monkeypatch):
    """Before each write and each removal; afterwards readers see everything, and packing goes on to its end."""
    for moment in range(1000):
        place = tmp_path / f"run-{moment}"
        store = open_store(place)
        before, left = fill(store), count(-moment)

        def stopping(verb, left=left):
            def do(*given, **named):
                if next(left) == 0:
                    raise _Stopped
                return verb(*given, **named)

            return do

        stopped = False
        with monkeypatch.context() as patch:
            for verb in ("write", "remove"):
                patch.setattr(store._files, verb, stopping(getattr(store._files, verb)))
            try:
                store.pack(CELLS)
            except _Stopped:
                stopped = True
        store.end()
        assert everything(open_store(place)) == before
        again = open_store(place)
        again.begin("name: x\n", DOCUMENT)
        again.pack(CELLS)
        assert everything(again) == before
        assert again.set_aside == []
        again.end()
        assert len(packed_files(again)) == 6
        if not stopped:
            break
    assert moment > 10


def test_who_reads_while_packs_are_written_sees_everything_always(place):
    if str(place).startswith("memory:"):
        pytest.skip("fsspec's files in memory have one position for all who read them, so threads disturb each other")
    store = open_store(place)
    before = fill(store)
    others = [open_store(place) for _ in range(2)]
    assert everything(others[0]) == before  # one that has looked before, and one that has not
    wrong, done = [], threading.Event()

    def read(other):
        try:
            while not done.is_set():
                if everything(other) != before:
                    wrong.append("something else")
        except Exception as error:
            wrong.append(error)

    readers = [threading.Thread(target=read, args=(other,)) for other in others]
    for reader in readers:
        reader.start()
    for cell in CELLS:
        store.pack([cell])
        time.sleep(0.05)
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    store.end()


@pytest.mark.parametrize("ending", [".json", ".parquet"])
def test_a_damaged_pack_is_named_and_its_tables_are_made_again(place, ending):
    store = open_store(place)
    before = fill(store)
    store.pack(CELLS)
    (path,) = (path for path in packed_files(store) if path.startswith("packs/records") and path.endswith(ending))
    store._files.write(path, store._files.read(path)[:-9])
    store.end()
    with pytest.raises(StoreError, match=rf"{path}: damaged"):
        open_store(place).has_table("records", "two", 1)
    assert open_store(place).has_table("pool", "two", 1)
    again = open_store(place)
    again.begin("name: x\n", DOCUMENT)
    assert not any(again.has_table("records", cell, t) for cell in CELLS for t in range(2))
    (sentence,) = again.set_aside
    assert f"/{path} was damaged" in sentence
    for number, cell in enumerate(CELLS):
        for generation in range(2):
            again.write_table("records", cell, generation, pa.table({"a": [number, generation], "b": ["x", "records"]}))
    again.pack(CELLS)
    assert everything(again) == before
    again.end()
    assert everything(open_store(place)) == before
    store = open_store(place)
    store.begin("name: x\n", DOCUMENT)  # which sweeps
    store.end()
    assert len(packed_files(store)) in (6, 7)  # and the damaged one


def test_packs_whose_documents_say_what_is_not_are_damaged(place):
    store = open_store(place)
    fill(store)
    store.pack(CELLS)
    (path,) = (path for path in packed_files(store) if path.startswith("packs/pool") and path.endswith(".json"))
    document = store.read_document(path[:-5])
    store.end()
    for changes in (
        {"tables": [["one", 0, 0, 11, 2]]},
        {"tables": []},
        {"tables": [["one", 1, 0, 0, 2]]},
        {"tables": [["one", 0, 0, -1, 2]]},
        {"tables": [["one", 0]]},
        {"tables": [[5, 0, 0, 0, 2]]},
        {"added": ["../x"]},
        {"added": ["generation"]},
    ):
        store.write_document(path[:-5], document | changes)
        with pytest.raises(StoreError, match=rf"{path}: damaged"):
            open_store(place).has_table("pool", "one", 0)


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
