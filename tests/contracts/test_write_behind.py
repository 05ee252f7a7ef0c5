"""Writing behind: the caller goes on, the order stays, and nothing that fails is lost sight of."""

from __future__ import annotations

import sys
import threading
from itertools import count

import numpy as np
import pyarrow as pa
import pytest

from crossfeed.errors import StoreError
from crossfeed.store import open_store
from crossfeed.store.behind import WriteBehind
from crossfeed.store.folder import FolderStore
from crossfeed.store.local import LocalFiles
from crossfeed.store.schema import SCHEMA

DOCUMENT = {"schema": SCHEMA, "id": "abc", "data": {"math": "1"}}
PATIENCE = 60.0


class GatedFiles(LocalFiles):
    """Files that are written when the gate is open; from the one on that cannot be written, the disk is full.

    Attributes:
        gate: Lets writes through of what has to last.
        room: How many files can still be written.
        durable: Files that were written and have to last.
    """

    def __init__(self, folder):
        super().__init__(folder)
        self.gate, self.room, self.durable = threading.Event(), 10**6, 0
        self.gate.set()

    def write(self, path, content, *, durable=True):
        assert not durable or self.gate.wait(PATIENCE)
        if self.room == 0:
            raise StoreError(f"{path}: cannot be written (no space)")
        self.room -= 1
        self.durable += durable
        super().write(path, content, durable=durable)


@pytest.fixture
def files(tmp_path):
    return GatedFiles(tmp_path / "run")


@pytest.fixture
def store(files):
    store = FolderStore(files)
    store.begin("name: x\n", DOCUMENT)
    yield store
    store.end()


def table(number):
    return pa.table({"a": [number]})


def save(state, folder):
    np.save(folder / "state.npy", state)


def there(tmp_path):
    """Which generations' records another process sees."""
    reader = open_store(tmp_path / "run")
    return [generation for generation in range(20) if reader.has_table("records", "cell", generation)]


def test_the_caller_goes_on_and_all_is_there_at_the_end(store, files, tmp_path):
    files.gate.clear()
    with store.write_behind():
        store.write_table("records", "cell", 0, table(0))
        store.write_table("records", "cell", 1, table(1))
        assert store.read_table("records", "cell", 1).equals(table(1))  # what was written last is at hand
        assert there(tmp_path) == []
        files.gate.set()
        store.write_states("cell", 1, {"a": np.arange(3)}, save)  # waits for those before it
        assert there(tmp_path) == [0, 1]
    assert open_store(tmp_path / "run").has_states("cell", 1)


def test_what_is_looked_at_waits_for_what_is_written_there_and_for_nothing_else(store, files):
    files.gate.clear()
    with store.write_behind():
        store.write_table("records", "cell", 0, table(0))
        assert not store.has_table("records", "cell", 1)
        assert not store.has_states("cell", 0)
        opener = threading.Timer(0.2, files.gate.set)
        opener.start()
        assert store.has_table("records", "cell", 0)
        opener.join()


def test_where_a_write_fails_none_after_it_is_done_and_the_next_call_says_so(store, files, tmp_path):
    files.gate.clear()
    files.room = 1
    with store.write_behind():
        for generation in range(3):
            store.write_table("records", "cell", generation, table(generation))
        files.gate.set()
        with pytest.raises(StoreError, match=r"generation-001.*no space"):
            store.write_states("cell", 2, {"a": np.arange(3)}, save)
        assert there(tmp_path) == [0]
        assert not open_store(tmp_path / "run").has_states("cell", 2)
        files.room = 10
        store.write_table("records", "cell", 1, table(1))  # as after any other error
    assert there(tmp_path) == [0, 1]


def test_a_failure_that_nothing_follows_is_told_at_the_end(store, files, tmp_path):
    files.room = 0
    with pytest.raises(StoreError, match=r"generation-000.*no space"), store.write_behind():
        store.write_table("records", "cell", 0, table(0))
    files.room = 10
    store.write_table("records", "cell", 0, table(0))  # directly again
    assert there(tmp_path) == [0]


def test_an_error_of_the_work_stays_the_error_and_what_was_written_is_kept(store, files, tmp_path):
    def work():
        with store.write_behind():
            store.write_table("records", "cell", 0, table(0))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert there(tmp_path) == [0]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_states_that_cannot_be_saved_leave_nothing_behind(store, tmp_path, error):
    def breaks(state, folder):
        (folder / "half").write_text("half")
        raise error

    def work():
        with store.write_behind():
            store.write_table("records", "cell", 0, table(0))
            store.write_states("cell", 1, {"a": 1}, breaks)

    with pytest.raises(StoreError if isinstance(error, OSError) else KeyboardInterrupt):
        work()
    assert there(tmp_path) == [0]
    assert list((tmp_path / "run" / "checkpoints" / "cell").iterdir()) == []
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("crossfeed-writer")]


def test_signs_of_life_wait_for_no_upload_and_hold_up_nothing(store, files, tmp_path):
    files.gate.clear()
    with store.write_behind():
        store.write_table("records", "cell", 0, table(0))
        for second in range(30):  # more of them than writes may be under way
            store.write_document("status/cell", {"second": second}, durable=False)
            assert open_store(tmp_path / "run").read_document("status/cell") == {"second": second}
        assert there(tmp_path) == []
        files.gate.set()
    assert there(tmp_path) == [0]


def test_a_sign_of_life_that_cannot_be_written_is_its_writers_alone(store, files, tmp_path):
    with store.write_behind():
        files.room = 0
        with pytest.raises(StoreError, match="no space"):
            store.write_document("status/cell", {}, durable=False)
        files.room = 10
        store.write_table("records", "cell", 0, table(0))
    assert there(tmp_path) == [0]


def test_the_caller_is_a_few_writes_ahead_at_most(store, files):
    files.gate.clear()
    handed_over = []

    def write():
        with store.write_behind():
            for generation in range(100):
                store.write_table("records", "cell", generation, table(generation))
                handed_over.append(generation)

    before = files.durable
    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.5)
    assert 0 < len(handed_over) < 20
    files.gate.set()
    writer.join(PATIENCE)
    assert files.durable - before == 100


def interrupted_at(files, number):
    """Write a folder and a file, with an interrupt at a step of the writing; return if there were that many steps."""
    steps, reached, ended = count(), [], []

    def trace(frame, event, argument):
        if frame.f_code.co_name in {"write_folder", "_begin"} and frame.f_code.co_filename.endswith("behind.py"):
            if next(steps) == number:
                reached.append(frame.f_lineno)
                raise KeyboardInterrupt
            return trace
        return None

    def write():
        sys.settrace(trace)
        try:
            with WriteBehind(files) as behind:
                behind.write("before", b"1")
                behind.write_folder("a", lambda folder: (folder / "x").write_bytes(b"2"), "last", lambda folder: b"3")
        except KeyboardInterrupt as error:
            ended.append(error)
        else:
            ended.append(None)
        finally:
            sys.settrace(None)

    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    writer.join(PATIENCE)
    assert ended, f"an interrupt at step {number} ({reached}) is waited for without end"
    assert bool(reached) == isinstance(ended[0], KeyboardInterrupt)
    return bool(reached)


def test_an_interrupt_at_any_step_ends_the_writing(tmp_path):
    number = 0
    for number in count():
        files = LocalFiles(tmp_path / str(number))
        if not interrupted_at(files, number):
            break
        # What is interrupted is there whole or not at all.
        assert not files.exists("a") or (files.read("a/x"), files.read("a/last")) == (b"2", b"3")
    assert number > 10
    assert files.read("a/x") == b"2"
