"""How far a run is, seen from elsewhere."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from rich.console import Console

from crossfeed import run
from crossfeed.display.progress import Silent
from crossfeed.errors import StoreError
from crossfeed.reporting.terminal.progress_tables import render_status
from crossfeed.running.status import CellStatus, RunStatus, StatusProgress, read_status
from crossfeed.store import open_store


def states(folder):
    found = read_status(open_store(folder))
    return {cell.cell: (cell.state, cell.reached) for cell in found.cells}


def test_a_finished_run_and_its_failures(fake, tmp_path):
    experiment = fake("ecosystem.alpha=0.5", "grid={learner.diverge_at: [2, null]}", "generations=3")
    run(experiment, open_store(tmp_path / "run"))
    found = read_status(open_store(tmp_path / "run"))
    assert found.writer is None
    failed, finished = found.cells
    assert (failed.state, failed.reached, failed.generations) == ("failed", 1, 3)
    assert (failed.failure["stage"], failed.failure["generation"], failed.failure["entity"]) == ("update", 2, "warm")
    assert (finished.state, finished.reached, finished.doing) == ("finished", 3, "")


def test_the_table_counts_generations_as_its_head_does():
    cells = tuple(CellStatus(f"c{k}", "stopped", reached, 4, "", None, None) for k, reached in enumerate((-1, 0, 3)))
    out = io.StringIO()
    render_status(RunStatus("counted", None, cells), Console(file=out, width=80))
    total, *rows = re.findall(r"(\d+) of (\d+)", out.getvalue())
    assert total == ("5", "15")
    assert rows == [("0", "5"), ("1", "5"), ("4", "5")]


def test_who_is_at_work_and_on_what(fake, tmp_path):
    experiment = fake("generations=3", "seeds=[0, 1]")
    store = open_store(tmp_path / "run")
    first, second = experiment.cells()[0].name, experiment.cells()[1].name
    run(fake("generations=3", "seeds=[0, 1]"), store)
    document = store.read_document("run")
    store.begin(
        experiment.to_yaml(), {key: document[key] for key in document if key not in ("description", "checksum")}
    )
    for generation in (2, 3):
        (tmp_path / "run" / "records" / first / f"generation-{generation:03d}.parquet").unlink()
        (tmp_path / "run" / "records" / second / f"generation-{generation:03d}.parquet").unlink()
    StatusProgress(store, Silent()).report(first, 2, "update")
    found = read_status(open_store(tmp_path / "run"))
    assert f"process {os.getpid()}" in found.writer
    assert (found.cells[0].state, found.cells[0].reached, found.cells[0].doing) == ("running", 1, "update, t = 2")
    assert found.cells[0].seconds < 60
    assert (found.cells[1].state, found.cells[1].doing) == ("waiting", "")
    store.end()
    assert states(tmp_path / "run")[first] == ("stopped", 1)


def test_signs_of_life_are_few_and_go_on_within_a_stage(tmp_path, fake, monkeypatch):
    store = open_store(tmp_path / "run")
    run(fake("ecosystem.alpha=0.5"), store)
    clock = [1000.0]
    monkeypatch.setattr("crossfeed.running.status.time.monotonic", lambda: clock[0])
    status = StatusProgress(store, Silent())
    for generation in range(1000):
        status.report("cell", generation, "update")
    assert store.read_document("status/cell")["generation"] == 0
    with status.stage("steps", 40) as advance:
        advance(3)
        assert store.read_document("status/cell")["step"] == ""
        clock[0] += 2
        advance(4)
    found = store.read_document("status/cell")
    assert (found["generation"], found["step"]) == (999, "steps 7 of 40")
    status.clear("cell")
    assert store.documents("status") == []
    with status.stage("data") as advance:  # of no cell
        clock[0] += 2
        advance(1)
    assert store.documents("status") == []


def test_no_run_is_said_so(tmp_path):
    with pytest.raises(StoreError, match="run"):
        read_status(open_store(tmp_path / "nowhere"))


def test_status_from_another_terminal_while_it_runs(tmp_path):
    """And after the run was killed."""
    command = [sys.executable, "-m", "crossfeed"]
    grid = ("--set", "generations=200", "--set", "seeds=[0,1,2]", "--set", "n=200")
    process = subprocess.Popen(
        [*command, "run", "fake", *grid, "--out", "run", "--workers", "2", "--executor", "processes", "-q"],
        cwd=tmp_path,
    )

    def status():
        asked = [*command, "status", "run", "--json"]
        answer = subprocess.run(asked, cwd=tmp_path, capture_output=True, text=True, check=False)
        return json.loads(answer.stdout) if answer.returncode == 0 else None

    deadline, found = time.monotonic() + 120, None
    while time.monotonic() < deadline and process.poll() is None:
        found = status()
        if found and any(cell["state"] == "running" for cell in found["cells"]):
            break
    assert process.poll() is None, "it ended before it was seen running"
    assert str(process.pid) in found["writer"]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert status()["writer"] is None
    text = subprocess.run([*command, "status", "run"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "9 cells" in text
    assert "nobody is at work on it" in text
