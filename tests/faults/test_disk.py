"""Disks that are full, read-only or somebody else's, and clocks that go backwards."""

from __future__ import annotations

import os
import random
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crossfeed import run
from crossfeed.errors import StoreError
from crossfeed.reporting.data.frames import Run
from crossfeed.store import open_store
from tests.faults.conftest import refused
from tests.runs import numbers


class SmallDisk:
    """A file system in memory whose size can be changed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mount(self, options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(self.folder)]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def change(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], capture_output=True, check=True)

    def unmount(self) -> None:
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)


@pytest.fixture
def disk(tmp_path) -> Iterator[SmallDisk]:
    """A disk of 60 kB; the small run needs more."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = SmallDisk(folder)
    if sys.platform != "linux" or not made.mount("size=60k"):
        pytest.skip("no file system can be mounted here; as root on Linux it can")
    yield made
    made.unmount()


def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_room(disk, crossfeed, described, undisturbed):
    folder = disk.folder / "run"
    message = refused(crossfeed("run", described, "--out", folder))
    assert "cannot be written (No space left on device)" in message
    assert not [path for path in folder.rglob(".partial-*") if path.is_dir()]
    shown = crossfeed("show", folder)
    assert shown.returncode == 0
    assert 0 < len(Run.load(folder).records) < len(undisturbed)
    disk.change("size=20m")
    again = crossfeed("run", described, "--out", folder)
    assert again.returncode == 0, again.stderr
    assert numbers(open_store(folder).read_result("records")) == undisturbed


@pytest.mark.parametrize("blocks", range(2, 33, 3))
def test_a_disk_full_at_any_moment_loses_nothing(disk, small, undisturbed, blocks):
    """One size after another, in pages of 4 kB, each on an empty disk: every step meets the end of it."""
    disk.change(f"size={4 * blocks}k")
    folder = disk.folder / "run"
    with pytest.raises(StoreError, match=r"cannot be written \(No space left on device\)"):
        run(small, open_store(folder))
    if (folder / "experiment.yaml").exists():  # the run has begun
        assert set(record_keys(Run.load(folder))) <= set(record_keys_of(undisturbed))
    disk.change("size=20m")
    assert numbers(run(small, open_store(folder))) == undisturbed


def record_keys(opened: Run) -> list[tuple]:
    columns = ["cell", "generation", "model", "task", "metric", "value"]
    records = opened.records[opened.records["metric"] != "seconds"]
    return list(records[columns].itertuples(index=False, name=None))


def record_keys_of(rows: list[tuple]) -> list[tuple]:
    columns = ("cell", "generation", "model", "task", "metric", "value")
    return [tuple(dict(row)[name] for name in columns) for row in rows]


def test_a_file_that_may_not_grow_is_no_end(small, undisturbed, tmp_path):
    """A quota on the size of files, which needs no rights to set: the same error at another place."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = random.Random(0).randint(1500, 2500)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot be written \(File too large\)"):
            run(small, open_store(tmp_path / "run"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert numbers(run(small, open_store(tmp_path / "run"))) == undisturbed


def test_a_disk_that_became_read_only_is_shown_and_named(disk, crossfeed, described, small, undisturbed):
    disk.change("size=20m")
    folder = disk.folder / "run"
    stop_early(small, folder)
    disk.change("ro")
    assert "cannot be written (Read-only file system)" in refused(crossfeed("run", described, "--out", folder))
    assert crossfeed("show", folder).returncode == 0
    disk.change("rw")
    assert numbers(run(small, open_store(folder))) == undisturbed


def stop_early(small, folder: Path) -> None:
    """A run with its last records missing."""
    run(small, open_store(folder))
    for path in folder.glob("records/history-*/generation-002.parquet"):
        path.unlink()


@pytest.mark.skipif(sys.platform != "linux", reason="rights are given up by a call of Linux")
def test_a_folder_that_may_not_be_written_is_refused_and_can_be_read(
    crossfeed, described, small, undisturbed, tmp_path
):
    folder = tmp_path / "run"
    stop_early(small, folder)
    modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
    for path, mode in modes.items():
        path.chmod(mode & 0o555)
    message = refused(crossfeed("run", described, "--out", folder, override=False))
    assert "cannot be written (Permission denied)" in message
    assert crossfeed("show", folder, override=False).returncode == 0
    (folder / "run.json").chmod(0o000)
    assert "run.json: cannot be read (Permission denied)" in refused(crossfeed("show", folder, override=False))
    for path, mode in modes.items():
        path.chmod(mode)
    assert numbers(run(small, open_store(folder))) == undisturbed


@pytest.mark.parametrize("moment", [3, 9, 17])
def test_a_clock_that_goes_backwards_changes_nothing(small, undisturbed, tmp_path, monkeypatch, moment):
    """Time falls with every look at it, and files come from the future; a stopped run goes on all the same."""
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    store = open_store(tmp_path / "run")
    interrupt(monkeypatch, store, moment)
    with pytest.raises(KeyboardInterrupt):
        run(small, store)
    for path in (tmp_path / "run").rglob("*"):
        os.utime(path, (4_000_000_000, 4_000_000_000))
    assert numbers(run(small, open_store(tmp_path / "run"))) == undisturbed
    assert len(Run.load(tmp_path / "run").records) > 0


def interrupt(monkeypatch: pytest.MonkeyPatch, store, moment: int) -> None:
    """Stop at the n-th writing of a file."""
    count = iter(range(10**6))

    def stopping(write: Callable) -> Callable:
        def wrapper(*given, **named):
            if next(count) == moment:
                raise KeyboardInterrupt
            write(*given, **named)

        return wrapper

    for name in ("write", "write_folder"):
        monkeypatch.setattr(store._files, name, stopping(getattr(store._files, name)))
