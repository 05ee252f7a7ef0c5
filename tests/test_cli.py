"""The commands as a person types them: what they print, what they refuse, how they end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest

from .faults.cli import crossfeed_cli, empty_report


def crossfeed(*arguments: str, folder=None, **environment: str) -> subprocess.CompletedProcess:
    """Run the command in a folder of its own."""
    import os

    return subprocess.run(
        [sys.executable, "-m", "crossfeed", *arguments],
        cwd=folder,
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"COLUMNS": "100", "NO_COLOR": "1"} | environment,
    )


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Commands in this process, in a folder of their own, with empty pages for reports."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("crossfeed.reporting.html.write_report", empty_report)
    return crossfeed_cli


def test_run_prints_the_table_and_the_paths_and_writes_the_report(tmp_path):
    answer = crossfeed("run", "fake", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("fake-")
    assert "warm on cold" in answer.stdout
    assert str(folder.relative_to(tmp_path) / "records.parquet") in answer.stdout
    assert (folder / "report" / "index.html").is_file()
    assert pq.read_table(folder / "records.parquet").num_rows > 100
    assert "t=5/5" in answer.stderr


def test_running_again_changes_nothing(here, tmp_path):
    first = here("run", "fake", "--quiet", "--out", "run")
    before = pq.read_table(tmp_path / "run" / "records.parquet")
    second = here("run", "fake", "--quiet", "--out", "run")
    assert (second.code, second.out, second.err) == (0, first.out, "")
    assert pq.read_table(tmp_path / "run" / "records.parquet").equals(before)


def test_show_and_report_read_a_run(here):
    ran = here("run", "fake", "--quiet", "--out", "run")
    shown, reported = here("show", "run"), here("report", "run")
    assert (shown.code, reported.code) == (0, 0)
    assert shown.out in ran.out
    assert reported.out in ran.out


def test_presets_are_listed_with_what_they_are_for(here):
    answer = here("presets")
    assert answer.code == 0
    assert "fake\n  Two models of single words" in answer.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nothing-here"], ["nothing-here", "neither a preset nor a file", "fake"]),
        (["run", "fake", "--set", "ecosystem.alhpa=1"], ["ecosystem.alhpa", "did you mean alpha"]),
        (["run", "fake", "--set", "n=0"], ["n:", "0"]),
        (["run", "fake", "--data-root", "no-folder"], ["no-folder", "no such folder"]),
        (["run", "."], [".: not a crossfeed run", "run.json"]),
        (["predict", "."], ["'.'", "neither"]),
        (["show", "no-run"], ["no-run"]),
        (["report", "no-run"], ["no-run"]),
        (["run"], ["Missing argument"]),
        (["fly"], ["fly"]),
    ],
)
def test_what_cannot_be_used_is_one_paragraph_and_exit_code_2(here, tmp_path, arguments, words):
    answer = here(*arguments)
    assert answer.code == 2
    assert "Traceback" not in answer.err + answer.out
    for word in words:
        assert word in answer.err
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_not_yaml_is_refused(here, tmp_path):
    (tmp_path / "x.yaml").write_bytes(b"\xff\xfe\x00a: [")
    answer = here("run", "x.yaml")
    assert answer.code == 2
    assert "x.yaml" in answer.err
    assert "Traceback" not in answer.err


def test_a_failed_cell_gives_exit_code_1_and_is_shown(here):
    arguments = ["--set", "ecosystem.alpha=0.5", "--set", "grid.learner.diverge_at=[null, 2]", "--out", "run"]
    answer = here("run", "fake", *arguments)
    assert answer.code == 1
    assert "the loss is nan" in answer.out
    again = here("run", "fake", *arguments)
    assert again.code == 1
    assert "--retry-failed" in again.err


def test_ctrl_c_says_how_to_go_on(tmp_path):
    command = [sys.executable, "-m", "crossfeed", "run", "fake", "--set", "generations=400", "--out", "here"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not list((tmp_path / "here").glob("records/**/generation-*.parquet")):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "the same command goes on" in errors
    assert "Traceback" not in errors
    assert pq.read_table(tmp_path / "here" / "records.parquet").num_rows > 0
    assert crossfeed("show", "here", folder=tmp_path).returncode == 0


def test_a_preset_can_be_printed_to_start_from(here, tmp_path):
    printed = here("presets", "fake")
    assert printed.code == 0
    (tmp_path / "mine.yaml").write_text(printed.out)
    assert here("run", "mine.yaml", "--quiet", "--set", "generations=1").code == 0
    assert here("presets", "nothing").code == 2
