"""Trackers show what is kept: the same numbers, each once, whatever stops the run; and they harm nothing."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from crossfeed import open_executor, open_store, open_tracker, run
from crossfeed.display.progress import Silent
from crossfeed.errors import InvalidInput, StoreMismatch
from crossfeed.store.memory import MemoryStore

from .faults.cli import crossfeed_cli
from .runs import numbers
from .test_layers import PACKAGE, imports_of, modules

SMALL = ("generations=3", "n=40", "tasks.warm.test=4", "tasks.cold.test=4", "public.test=4")


class Listener(Silent):
    """Keeps notes, and presses Ctrl-C at one of them."""

    def __init__(self, stop_at: str = "nothing") -> None:
        self.notes: list[str] = []
        self.stop_at = stop_at

    def log(self, text: str) -> None:
        self.notes.append(text)
        if self.stop_at in text:
            raise KeyboardInterrupt


class Recorder:
    """A tracker that remembers, and fails where it is told to."""

    def __init__(self, *fails: str) -> None:
        self.fails, self.calls, self.seen = fails, Counter(), {}

    def _called(self, name: str) -> None:
        self.calls[name] += 1
        if name in self.fails:
            raise OSError("the tracker is on fire")

    def begin(self, experiment):
        self._called("begin")

    def logged(self, cell):
        self._called("logged")
        return -1

    def log(self, cell, generation, numbers):
        self._called("log")
        assert (cell.name, generation) not in self.seen
        self.seen[cell.name, generation] = dict(numbers)

    def end(self):
        self._called("end")


def kept(records) -> dict[tuple[str, int], dict[str, float]]:
    """What the records say, as a tracker is given it."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in records.to_pylist():
        name = f"{row['metric']}/{' on '.join(filter(None, (row['model'], row['task'])))}"
        generation = found.setdefault((row["cell"], row["generation"]), {})
        assert name not in generation
        generation[name] = row["value"]
    return found


def in_tensorboard(folder: Path) -> dict[tuple[str, int], dict[str, float]]:
    """What TensorBoard itself reads; a step that is there twice is an error."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[tuple[str, int], dict[str, float]] = {}
    for cell in folder.iterdir():
        events = EventAccumulator(str(cell), size_guidance={"scalars": 0}).Reload()
        for tag in events.Tags()["scalars"]:
            for event in events.Scalars(tag):
                place = found.setdefault((cell.name, event.step), {})
                assert tag not in place, f"{tag} twice at {event.step}"
                place[tag] = event.value
    return found


def single(found: dict[tuple[str, int], dict[str, float]]) -> dict[tuple[str, int], dict[str, float]]:
    """The same in single precision."""
    return {place: {name: float(np.float32(each)) for name, each in row.items()} for place, row in found.items()}


@pytest.mark.parametrize("executor", ["serial", "processes"])
def test_tensorboard_shows_the_records(fake, tmp_path, executor):
    pytest.importorskip("tensorboard", reason="needs the extra 'track'")
    workers = open_executor(executor, 2 if executor == "processes" else 1)
    tracker = open_tracker("tensorboard", tmp_path)
    outcome = run(fake(*SMALL), open_store(tmp_path / "run"), executor=workers, tracker=tracker)
    assert in_tensorboard(tmp_path / "tensorboard") == single(kept(outcome.records))


def test_tensorboard_goes_on_where_it_stopped_however_that_was(fake, tmp_path):
    pytest.importorskip("tensorboard", reason="needs the extra 'track'")
    experiment, store, events = fake(*SMALL), open_store(tmp_path), tmp_path / "tensorboard"
    with pytest.raises(KeyboardInterrupt):
        run(experiment, store, progress=Listener("alpha-0.5_seed-0 t=2"), tracker=open_tracker("tensorboard", tmp_path))
    assert max(step for cell, step in in_tensorboard(events) if cell == "alpha-0.5_seed-0") == 2
    (killed,) = (events / "alpha-0.5_seed-0").iterdir()
    killed.write_bytes(killed.read_bytes()[:-7])  # as if in the middle of writing
    outcome = run(experiment, store, tracker=open_tracker("tensorboard", tmp_path))
    assert in_tensorboard(events) == single(kept(outcome.records))
    before = sorted(events.rglob("*tfevents*"))
    run(experiment, store, tracker=open_tracker("tensorboard", tmp_path))
    assert sorted(events.rglob("*tfevents*")) == before


@pytest.mark.parametrize("fails", [("begin",), ("logged",), ("log",), ("end",), ("log", "end")])
def test_a_tracker_that_fails_is_told_of_once_and_changes_nothing(fake, fails):
    listener, tracker = Listener(), Recorder(*fails)
    tracked = run(fake(*SMALL), MemoryStore(), progress=listener, tracker=tracker)
    assert numbers(tracked) == numbers(run(fake(*SMALL), MemoryStore()))
    assert [note for note in listener.notes if "on fire" in note] == [
        "tracking stopped (OSError: the tracker is on fire); the run goes on, and its records are kept"
    ]
    assert tracker.calls[fails[0]] == 1
    assert tracker.calls["end"] == 1


def test_a_failed_cell_is_tracked_as_far_as_it_came(fake):
    tracker = Recorder()
    experiment = fake(*SMALL, "ecosystem.alpha=0.5", "grid.learner.diverge_at=[null, 2]")
    outcome = run(experiment, MemoryStore(), tracker=tracker)
    assert len(outcome.failures) == 1
    assert tracker.seen == kept(outcome.records)


def test_nothing_is_shown_of_another_run_in_the_folder(fake, tmp_path):
    run(fake(*SMALL), open_store(tmp_path))
    tracker = Recorder()
    with pytest.raises(StoreMismatch):
        run(fake(*SMALL, "n=41"), open_store(tmp_path), tracker=tracker)
    assert not tracker.calls


def in_wandb(folder: Path) -> tuple[dict[tuple[str, int], dict[str, float]], dict[str, set[str]]]:
    """What the client keeps offline: numbers by cell and step (each once), and the ids of each cell's runs."""
    from wandb.proto.wandb_internal_pb2 import Record

    found: dict[tuple[str, int], dict[str, float]] = {}
    ids: dict[str, set[str]] = {}
    for path in sorted(folder.glob("offline-run-*/*.wandb")):
        records = [Record.FromString(data) for data in log_records(path.read_bytes())]
        (about,) = [record.run for record in records if record.HasField("run")]
        ids.setdefault(about.display_name, set()).add(about.run_id)
        for record in records:
            if record.HasField("history"):
                items = {item.key or "/".join(item.nested_key): item.value_json for item in record.history.item}
                place = about.display_name, int(record.history.step.num)
                assert place not in found
                found[place] = {key: json.loads(value) for key, value in items.items() if not key.startswith("_")}
    return found, ids


def log_records(data: bytes) -> list[bytes]:
    """Records of a log in LevelDB's format, behind a header of seven bytes."""
    records, place, begun = [], 7, b""
    while place + 7 <= len(data):
        left = 32768 - place % 32768
        if left < 7:
            place += left
            continue
        length, kind = struct.unpack_from("<HB", data, place + 4)
        begun += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(begun)
            begun = b""
    return records


def test_wandb_offline_keeps_the_records_and_goes_on_in_the_same_runs(fake, tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb", reason="needs the extra 'track'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("SECRET_OF_MINE", "hunter2hunter2")
    experiment, store = fake(*SMALL, "ecosystem.alpha=0.5"), open_store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run(experiment, store, progress=Listener("t=1/3"), tracker=open_tracker("wandb", tmp_path))
    outcome = run(experiment, store, tracker=open_tracker("wandb", tmp_path))
    wandb.teardown()  # a process of its own writes the files, and is waited for
    found, ids = in_wandb(tmp_path / "wandb")
    assert found == kept(outcome.records)
    assert list(map(len, ids.values())) == [1]
    assert len(list((tmp_path / "wandb").glob("offline-run-*"))) == 2
    assert not [p for p in (tmp_path / "wandb").rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]


def in_trackio(folder: Path) -> dict[tuple[str, int], dict[str, float]]:
    """What Trackio's database holds; a step that is there twice is an error."""
    import sqlite3

    (path,) = folder.glob("*.db")
    found: dict[tuple[str, int], dict[str, float]] = {}
    with sqlite3.connect(path) as connection:
        for cell, step, row in connection.execute("SELECT run_name, step, metrics FROM metrics"):
            assert (cell, step) not in found
            found[cell, step] = json.loads(row)
    connection.close()
    return found


@pytest.fixture
def trackio(tmp_path, monkeypatch):
    """Trackio in a folder of the test; a connection that is opened is an error."""
    pytest.importorskip("trackio", reason="needs the extra 'track'")

    def connected(*_, **__):
        raise AssertionError("nothing is asked or sent")

    for module in ("trackio.utils", "trackio.sqlite_storage"):
        monkeypatch.setattr(f"{module}.TRACKIO_DIR", tmp_path / "trackio")
    monkeypatch.setattr("socket.socket.connect", connected)
    monkeypatch.setenv("HF_TOKEN", "hf_a-token-that-nobody-asks-for")
    monkeypatch.setenv("TRACKIO_SERVER_URL", "http://127.0.0.1:9/?write_token=x")
    return tmp_path / "trackio"


def test_trackio_shows_the_records_and_goes_on_where_it_stopped(fake, tmp_path, trackio):
    experiment, store = fake(*SMALL), open_store(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        run(experiment, store, progress=Listener("alpha-0.5_seed-0 t=2"), tracker=open_tracker("trackio", tmp_path))
    assert max(step for cell, step in in_trackio(trackio) if cell == "alpha-0.5_seed-0") == 2
    outcome = run(experiment, store, tracker=open_tracker("trackio", tmp_path))
    assert in_trackio(trackio) == kept(outcome.records)
    run(experiment, store, tracker=open_tracker("trackio", tmp_path))
    assert in_trackio(trackio) == kept(outcome.records)


def test_trackio_reads_what_was_written(fake, tmp_path, trackio, capsys):
    from trackio.api import Api

    experiment = fake(*SMALL)
    outcome = run(experiment, MemoryStore(), tracker=open_tracker("trackio", tmp_path))
    runs = {each.name: each for each in Api().runs(f"fake-{experiment.id}")}
    assert runs.keys() == {cell for cell, _ in kept(outcome.records)}
    assert runs["alpha-0.5_seed-0"].config["seed"] == 0
    assert runs["alpha-0.5_seed-0"].config["experiment"]["name"] == "fake"
    assert capsys.readouterr() == ("", "")


def test_a_tracker_that_ends_the_process_does_not_end_the_run(fake):
    class Quitter(Recorder):
        def begin(self, experiment):
            sys.exit("cannot go on\nwithout a display")

        def end(self):
            sys.exit(1)

    listener = Listener()
    tracked = run(fake(*SMALL), MemoryStore(), progress=listener, tracker=Quitter())
    assert numbers(tracked) == numbers(run(fake(*SMALL), MemoryStore()))
    assert [note for note in listener.notes if "tracking" in note] == [
        "tracking stopped (SystemExit: cannot go on without a display); the run goes on, and its records are kept"
    ]


def test_an_unknown_tracker_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"'mlflow' \(known: tensorboard, trackio, wandb\)"):
        open_tracker("mlflow", tmp_path)


@pytest.mark.parametrize(
    ("name", "module"),
    [("tensorboard", "tensorboard.summary.writer"), ("trackio", "trackio.sqlite_storage"), ("wandb", "wandb")],
)
def test_a_tracker_that_is_not_installed_is_one_line(fake, tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    listener = Listener()
    run(fake(*SMALL), MemoryStore(), progress=listener, tracker=open_tracker(name, tmp_path))
    (line,) = [note for note in listener.notes if "tracking" in note]
    assert "not installed: pip install 'crossfeed[track]'); the run goes on" in line
    assert not list(tmp_path.iterdir())


def tracked_by_command(folder: Path, tracker: str, **changes: str) -> list[str]:
    """Run the smallest experiment with a tracker in a process of its own; return its lines on tracking."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB_")}
    small = [word for change in (*SMALL, "ecosystem.alpha=0.5") for word in ("--set", change)]
    answer = subprocess.run(
        [sys.executable, "-m", "crossfeed", "run", "fake", *small, "--track", tracker, "--out", "run"],
        cwd=folder,
        env=environment | {"HOME": str(folder), "NETRC": str(folder / "none")} | changes,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    assert "Traceback" not in answer.stderr
    return [line for line in answer.stderr.splitlines() if "track" in line or "wandb" in line]


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("WANDB_MODE", "", "cannot use mode=''"),
        ("WANDB_MODE", "off", "cannot use mode='off'"),
        ("WANDB_SILENT", "banana", "cannot use silent='banana'"),
        ("WANDB_PROJECT", "a/b", "a/b"),
        ("WANDB_TAGS", "", "the environment gives WANDB_MODE, WANDB_TAGS"),
        ("WANDB_MODE", "online", "WANDB_MODE=offline needs none"),  # there is no key
    ],
)
def test_wrong_values_for_wandb_are_one_line_and_the_run_goes_on(tmp_path, variable, value, said):
    pytest.importorskip("wandb", reason="needs the extra 'track'")
    offline = {} if "offline" in said else {"WANDB_MODE": "offline"}
    (line,) = tracked_by_command(tmp_path, "wandb", **offline | {variable: value})
    assert "tracking stopped (" in line
    assert said in line
    assert pq.read_table(tmp_path / "run" / "records.parquet").num_rows > 0


@pytest.mark.parametrize("tracker", ["tensorboard", "trackio", "wandb"])
@pytest.mark.parametrize("body", ["raise TypeError('Descriptors cannot be created')", "import nothing_of_this_name"])
def test_a_trackers_package_that_breaks_when_imported_is_one_line(tmp_path, tracker, body):
    (tmp_path / tracker).mkdir()
    (tmp_path / tracker / "__init__.py").write_text(f"{body}\n")
    path = os.pathsep.join(filter(None, (str(tmp_path), os.environ.get("PYTHONPATH"))))
    (line,) = tracked_by_command(tmp_path, tracker, PYTHONPATH=path)
    assert "tracking stopped (" in line
    assert "Descriptors cannot be created" in line or "nothing_of_this_name" in line
    assert "pip install" not in line


def test_a_damaged_memory_of_wandb_is_named(fake, tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="needs the extra 'track'")
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "logged.json").write_text("{")
    listener = Listener()
    run(fake(*SMALL), MemoryStore(), progress=listener, tracker=open_tracker("wandb", tmp_path))
    (line,) = [note for note in listener.notes if "tracking" in note]
    assert "logged.json" in line


def test_the_command_tracks_beside_the_run_and_changes_no_id(tmp_path, monkeypatch):
    pytest.importorskip("tensorboard", reason="needs the extra 'track'")
    monkeypatch.setattr("crossfeed.reporting.reports.report", lambda *_, **__: None)
    changes = [word for change in SMALL for word in ("--set", change)]
    ids = []
    for name, how in (("plain", []), ("tracked", ["--track", "tensorboard"])):
        answer = crossfeed_cli("run", "fake", *changes, "--quiet", "--json", "--out", str(tmp_path / name), *how)
        assert answer.code == 0, answer.err
        ids.append(json.loads(answer.out)["id"])
    assert ids[0] == ids[1]
    records = pq.read_table(tmp_path / "tracked" / "records.parquet")
    assert in_tensorboard(tmp_path / "tracked" / "tensorboard") == single(kept(records))


@pytest.mark.parametrize("package", ["tensorboard", "trackio", "wandb"])
def test_one_file_imports_each_client(package):
    importing = [p for p in modules("**/*.py") if package in {name.split(".")[0] for name in imports_of(p)}]
    assert [str(path.relative_to(PACKAGE)) for path in importing] == [f"tracking/{package}.py"]
