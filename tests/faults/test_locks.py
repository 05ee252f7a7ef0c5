"""Two processes on one run: the second is refused; what a dead process held is free."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from dataclasses import asdict, replace

import pyarrow as pa
import pytest

from crossfeed import run
from crossfeed.errors import StoreError
from crossfeed.store import lock, open_store
from crossfeed.store.owner import Owner
from crossfeed.store.schema import SCHEMA
from tests.faults.conftest import refused
from tests.object_store import new_url

DOCUMENT = {"schema": SCHEMA, "id": "abc", "data": {}}
HOLD = """
import sys, time
from crossfeed.store import open_store
store = open_store(sys.argv[1])
store.begin("name: x", {"schema": int(sys.argv[2]), "id": "abc", "data": {}})
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def quick(monkeypatch):
    """Hearts that beat fast, and little patience."""
    monkeypatch.setattr(lock, "BEAT", 0.05)
    monkeypatch.setattr(lock, "PATIENCE", 0.6)
    monkeypatch.setattr(lock, "SETTLE", 0.05)


@pytest.fixture(params=["folder", "s3"])
def shared(request, tmp_path, monkeypatch) -> str:
    """A place that several processes can reach."""
    return str(tmp_path / "run") if request.param == "folder" else new_url(monkeypatch)


@pytest.fixture
def remote() -> str:
    return f"memory://{uuid.uuid4().hex}/run"


def held_by_another_process(place: str) -> subprocess.Popen:
    process = subprocess.Popen([sys.executable, "-c", HOLD, place, str(SCHEMA)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_the_second_is_refused_with_the_owners_name_and_a_dead_owners_lock_is_free(shared):
    with held_by_another_process(shared) as owner:
        with pytest.raises(StoreError, match=rf"in use by process {owner.pid} on \S+ since \d{{4}}-\d\d-\d\d "):
            open_store(shared).begin("name: x", DOCUMENT)
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        store = open_store(shared)
        store.begin("name: x", DOCUMENT)
        store.end()


def test_the_command_line_is_refused_too(crossfeed, described, small, tmp_path):
    folder = tmp_path / "run"
    store = open_store(folder)
    run(small, store)
    store.begin(store.read_description(), store.read_document("run"))
    assert f"in use by process {os.getpid()} on" in refused(crossfeed("run", described, "--out", folder))
    assert crossfeed("show", folder).returncode == 0  # reading needs no lock
    store.end()


def test_a_file_system_without_locks_is_refused_with_a_word(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.raises(StoreError, match=r"gives no locks \(No locks available\).*NFS"):
        open_store(tmp_path / "run").begin("name: x", DOCUMENT)


def test_a_lock_of_another_machine_that_beats_is_respected(remote, quick, monkeypatch):
    monkeypatch.setattr(Owner, "is_alive", lambda self: None)  # as seen from elsewhere
    first = open_store(remote)
    first.begin("name: x", DOCUMENT)
    for _ in range(3):
        with pytest.raises(StoreError, match="in use by"):
            open_store(remote).begin("name: x", DOCUMENT)
    first.end()
    second = open_store(remote)
    second.begin("name: x", DOCUMENT)
    second.end()


def test_a_silent_lock_of_another_machine_is_taken_over_and_the_late_owner_is_told(remote, quick, monkeypatch):
    monkeypatch.setattr(Owner, "is_alive", lambda self: None)
    first = open_store(remote)
    first.begin("name: x", DOCUMENT)
    beat = pause(first)
    second = open_store(remote)
    second.begin("name: x", DOCUMENT)
    beat.set()
    wait_until(lambda: first._files._lock._taken_by is not None)
    with pytest.raises(StoreError, match="silent too long, and process"):
        first.write_table("records", "cell", 0, pa.table({"a": [1]}))
    first.end()
    second.write_table("records", "cell", 0, pa.table({"a": [1]}))  # and its lock was left alone
    with pytest.raises(StoreError, match="in use by"):
        open_store(remote).begin("name: x", DOCUMENT)
    second.end()


def pause(store) -> threading.Event:
    """Keep a store's lock from beating until the event is set, as a machine that sleeps does."""
    again, stop = threading.Event(), store._files._lock._stop
    wait = stop.wait

    def asleep(seconds):
        again.wait()
        return wait(seconds)

    stop.wait = asleep
    time.sleep(0.2)  # the beat under way is over
    return again


def wait_until(true) -> None:
    for _ in range(200):
        if true():
            return
        time.sleep(0.05)
    pytest.fail("it did not come about")


@pytest.mark.parametrize("step", [-1e9, +1e9])
def test_no_clock_decides_about_a_lock(remote, quick, monkeypatch, step):
    """Set back or ahead by thirty years, a clock neither frees a live owner's lock nor holds a dead one's."""
    alive = open_store(remote)
    alive.begin("name: x", DOCUMENT)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + step)
    monkeypatch.setattr(time, "strftime", lambda *_: "2071-01-01 00:00:00")
    with pytest.raises(StoreError, match="in use by"):
        open_store(remote).begin("name: x", DOCUMENT)
    monkeypatch.setattr(Owner, "is_alive", lambda self: None)
    with pytest.raises(StoreError, match="in use by"):
        open_store(remote).begin("name: x", DOCUMENT)
    beat = pause(alive)
    later = open_store(remote)
    later.begin("name: x", DOCUMENT)
    later.end()
    beat.set()
    alive.end()


def leave_lock(place: str, owner: Owner) -> None:
    """A lock object as a process leaves it that was killed."""
    held = {"owner": asdict(owner), "token": "t", "beats": 3}
    open_store(place)._files.write(".lock", json.dumps(held).encode())


def test_a_number_that_was_given_to_a_new_process_is_not_its_old_owner(remote, quick):
    mine = Owner.this_process()
    if not mine.started:
        pytest.skip("this system does not say when a process started")
    leave_lock(remote, replace(mine, started="1"))
    begun = time.monotonic()
    store = open_store(remote)
    store.begin("name: x", DOCUMENT)
    store.end()
    assert time.monotonic() - begun < 10  # it was looked up, not watched
    assert mine.is_alive() is True
    assert replace(mine, machine="another boot").is_alive() is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"owner": 3}', b'{"owner": {"process": "x"}, "token": []}'])
def test_a_lock_that_cannot_be_read_is_watched_like_any_other(remote, quick, content):
    open_store(remote)._files.write(".lock", content)
    store = open_store(remote)
    store.begin("name: x", DOCUMENT)
    store.end()
    assert store._files.names("") == ["experiment.yaml", "run.json"]


def test_of_many_at_once_one_gets_a_dead_owners_lock(remote, quick, monkeypatch):
    monkeypatch.setattr(lock, "SETTLE", 0.5)
    leave_lock(remote, replace(Owner.this_process(), started="1"))
    stores = [open_store(remote) for _ in range(6)]
    together, outcomes = threading.Barrier(len(stores)), []

    def begin(store):
        together.wait()
        try:
            store.begin("name: x", DOCUMENT)
            outcomes.append("held")
        except StoreError as error:
            outcomes.append(str(error))

    threads = [threading.Thread(target=begin, args=(store,)) for store in stores]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes.count("held") == 1, outcomes
    assert sum("in use by" in outcome for outcome in outcomes) == 5
    for store in stores:
        store.end()
