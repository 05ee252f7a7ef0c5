"""The script for Slurm: its lines, and what it does when the scheduler sends its signals."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crossfeed import Run
from crossfeed.store import open_store
from tests.faults.cli import crossfeed_cli

LONG = ("generations=400", "seeds=[0, 1]", "n=100", "ecosystem.alpha=0.5", "ecosystem.beta=0.5", "metrics={loss: {}}")


def printed(*options: str) -> str:
    answer = crossfeed_cli("slurm", "fake", *options)
    assert answer.code == 0, answer.err
    checked = subprocess.run(["bash", "-n"], input=answer.out, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
    return answer.out


def directives(script: str) -> dict[str, str]:
    lines = [line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH --")]
    return dict(line.partition("=")[::2] for line in lines)


def test_the_defaults_of_the_script():
    script = printed()
    assert script.startswith("#!/bin/bash\n#SBATCH --")
    assert directives(script) == {
        "job-name": "fake",
        "array": "1-3",  # one for each cell
        "time": "24:00:00",
        "cpus-per-task": "1",
        "output": "slurm-%A_%a.out",
        "open-mode": "append",
        "requeue": "",
        "signal": "B:USR1@120",
    }
    (command,) = (line for line in script.splitlines() if line.startswith("crossfeed run"))
    assert command.startswith("crossfeed run fake --out runs/fake-")
    assert command.endswith(" --workers 1 &")
    assert directives(printed("--set", "seeds=[0, 1, 2]"))["array"] == "1-8"  # of nine cells


def test_what_people_change_is_in_the_script():
    options = ["--array", "16", "--time", "2-12:00", "--partition", "gpu,long", "--gpus", "2", "--memory", "32G"]
    found = directives(printed(*options, "--cpus", "4"))
    assert (found["array"], found["time"], found["partition"]) == ("1-16", "2-12:00", "gpu,long")
    assert (found["gpus-per-task"], found["ntasks"], found["mem"], found["cpus-per-task"]) == ("2", "1", "32G", "4")
    assert " --workers 4 &" in printed("--cpus", "4")
    assert " --workers 1 &" in printed("--cpus", "4", "--gpus", "1")


def test_words_with_blanks_reach_the_command(tmp_path):
    script = printed("--set", "description=it's a b", "--set", "seeds=[0, 1, 2]", "--out", "a run")
    (line,) = (line for line in script.splitlines() if line.startswith("crossfeed run"))
    told = ["bash", "-c", 'crossfeed() { printf "%s\\n" "$@"; }; ' + line + "\nwait"]
    words = subprocess.run(told, capture_output=True, text=True, check=True).stdout.splitlines()
    told = ["run", "fake", "--set", "description=it's a b", "--set", "seeds=[0, 1, 2]", "--out", "a run"]
    assert words == [*told, "--workers", "1"]


def test_a_run_goes_on_where_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert crossfeed_cli("run", "fake", "--set", "generations=0", "--out", "run", "-q", "--json").code == 0
    script = crossfeed_cli("slurm", "run").out
    assert "\ncrossfeed run run --workers 1 &\n" in script


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--array", "0"], "--array 0: give at least 1"),
        (["--cpus", "0"], "--cpus 0: give at least 1"),
        (["--gpus", "-1"], "--gpus -1: give at least 0"),
        (["--time", "a day"], "--time a day: give it as Slurm has it, such as 24:00:00"),
        (["--time", "1h"], "--time 1h: give it as Slurm has it"),
        (["--memory", "8 GB"], "--memory 8 GB: give it as Slurm has it, such as 8G"),
        (["--partition", "a b"], "--partition a b: give it as Slurm has it, such as gpu"),
        (["--partition", "a\n#SBATCH --x"], "--partition"),
        (["--set", "generations=x"], "generations"),
        (["--data-root", "nowhere"], "--data-root nowhere: no such folder"),
    ],
)
def test_what_cannot_be_requested_is_refused(options, said):
    answer = crossfeed_cli("slurm", "fake", *options)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err


@pytest.fixture
def task(tmp_path):
    """Start a task of the script, as Slurm would, with a ``crossfeed`` and a ``scontrol`` of our own."""
    programs = tmp_path / "bin"
    programs.mkdir()
    _program(programs / "crossfeed", f'exec {sys.executable} -m crossfeed "$@" --quiet --json')
    _program(programs / "scontrol", f'echo "$@" >> {tmp_path}/scontrol.log')
    started = []

    def start(number: int, *options: str, tasks: int = 2) -> subprocess.Popen:
        script = tmp_path / "job.sh"
        script.write_text(printed(*options, "--out", str(tmp_path / "run"), "--array", str(tasks)))
        variables = {"ARRAY_JOB_ID": "77", "ARRAY_TASK_ID": str(number), "ARRAY_TASK_MIN": "1"}
        variables |= {"ARRAY_TASK_COUNT": str(tasks)}
        environment = os.environ | {f"SLURM_{name}": value for name, value in variables.items()}
        process = subprocess.Popen(
            ["bash", str(script)],
            cwd=tmp_path,
            env=environment | {"PATH": f"{programs}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _program(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def until(true, process) -> None:
    end = time.monotonic() + 120
    while not true():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.05)


def options(*settings: str) -> list[str]:
    return [word for setting in settings for word in ("--set", setting)]


def test_two_tasks_run_it_together(task, tmp_path):
    small = options("generations=2", *LONG[1:])
    first, second = task(1, *small), task(2, *small)
    for process in (first, second):
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert out.startswith("{")
    assert (Run.load(tmp_path / "run").cells["state"] == "finished").all()
    assert open_store(tmp_path / "run").read_result("records") is not None
    assert not (tmp_path / "scontrol.log").exists()


def test_a_task_near_its_time_limit_is_put_back_into_the_queue(task, tmp_path):
    process = task(1, *options(*LONG))
    until((tmp_path / "run" / "records").exists, process)
    process.send_signal(signal.SIGUSR1)  # as --signal=B:USR1@120 does: to the script alone
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0
    assert "crossfeed: stopped; finished work is kept in" in err
    assert err.rstrip().endswith("the same command goes on from there")
    assert (tmp_path / "scontrol.log").read_text() == "requeue 77_1\n"
    assert open_store(tmp_path / "run").writers() == []


def test_a_preempted_task_stops_with_code_0_and_is_requeued_by_slurm_alone(task, tmp_path):
    process = task(2, *options(*LONG))
    until((tmp_path / "run" / "records").exists, process)
    os.killpg(process.pid, signal.SIGTERM)  # the script and what it started, and the script passes it on
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err.count("the same command goes on from there") == 1
    assert not (tmp_path / "scontrol.log").exists()
