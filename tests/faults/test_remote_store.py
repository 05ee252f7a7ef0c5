"""Whole runs in object stores: stopped, gone on with, damaged, shown and reported, as on a disk."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import uuid

import pytest

from crossfeed import run
from crossfeed.errors import StoreError
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.html import write_report
from crossfeed.store import open_store
from tests.object_store import new_url
from tests.runs import numbers


@pytest.fixture(params=["memory", "s3"])
def url(request, monkeypatch) -> str:
    return new_url(monkeypatch) if request.param == "s3" else f"memory://{uuid.uuid4().hex}/run"


class _Stopped(BaseException):
    """Like Ctrl-C at a chosen moment."""


@pytest.mark.parametrize("moment", [2, 7, 11, 16])
def test_a_stopped_run_goes_on_to_the_same_records(url, small, undisturbed, monkeypatch, moment):
    store = open_store(url)
    count, put = iter(range(10**6)), store._files._fs.pipe_file

    def stopping(*given, **named):
        if next(count) == moment:
            raise _Stopped
        put(*given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(store._files._fs, "pipe_file", stopping)
        with pytest.raises(_Stopped):
            run(small, store)
    again = open_store(url)
    assert numbers(run(small, again)) == undisturbed
    assert again.set_aside == []


@pytest.mark.usefixtures("figures_unsaved")
def test_a_run_is_read_and_reported_from_where_it_is(url, small, undisturbed, tmp_path):
    run(small, open_store(url))
    opened = Run.load(url)
    assert (opened.cells["state"] == "finished").all()
    assert numbers(opened.store.read_result("records")) == undisturbed
    assert not opened.projection.empty
    assert set(opened.pool("history-accumulate_seed-0", 2)["author"]) == {"warm", "cold"}
    assert not opened.outputs("history-latest_seed-0", 0).empty
    page = write_report(opened, tmp_path / "report")
    assert "warm on cold" in page.read_text()
    with pytest.raises(StoreError, match="not a folder on this machine"):
        write_report(opened)


@pytest.mark.parametrize("number", range(5))
def test_damage_is_found_and_made_good(url, small, undisturbed, number):
    chance = random.Random(number)
    store = open_store(url)
    run(small, store)
    fs, root = store._files._fs, store._files._root
    for path in fs.find(root):
        if "records/history" in path and path.endswith("generation-002.parquet"):
            fs.rm_file(path)
    target = chance.choice([path for path in sorted(fs.find(root)) if "/generation-" in path])
    content = bytearray(fs.cat_file(target))
    content[chance.randrange(len(content))] ^= 0x10
    fs.pipe_file(target, bytes(content)[: chance.choice([len(content), len(content) - 1])])
    again = open_store(url)
    assert numbers(run(small, again)) == undisturbed
    assert len(again.set_aside) <= 1
    assert all(sentence.startswith(f"{url}/") and "was damaged" in sentence for sentence in again.set_aside)


def test_a_killed_process_leaves_a_run_that_goes_on(small, undisturbed, described, monkeypatch):
    """By the library, in a process of its own; its lock is found to be a dead one's."""
    url = new_url(monkeypatch)
    code = "import sys; from crossfeed import Experiment, run; from crossfeed.store import open_store; "
    code += "run(Experiment.from_yaml(open(sys.argv[1]).read()), open_store(sys.argv[2]))"
    process = subprocess.Popen([sys.executable, "-c", code, str(described), url], stderr=subprocess.DEVNULL)
    store = open_store(url)
    while process.poll() is None and not store._files.exists("records"):
        time.sleep(0.05)
    killed = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert killed
    assert store._files.exists(".lock")
    assert numbers(run(small, store)) == undisturbed
    assert not store._files.exists(".lock")


def test_a_server_that_is_gone_is_a_clear_error(small, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    pytest.importorskip("s3fs", reason="tests of S3 need s3fs: pip install 'crossfeed[dev]'")
    url = new_url(monkeypatch)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    import s3fs

    s3fs.S3FileSystem.clear_instance_cache()
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    with pytest.raises(StoreError, match=rf"{url}/run\.json: cannot be read"):
        run(small, open_store(url))
    s3fs.S3FileSystem.clear_instance_cache()


def test_a_bucket_that_is_not_there_is_a_clear_error(small, monkeypatch):
    url = new_url(monkeypatch).replace("s3://runs/", "s3://nowhere/")
    with pytest.raises(StoreError, match=r"s3://nowhere/\S+ cannot be (read|written)"):
        run(small, open_store(url))
