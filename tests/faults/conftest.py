"""Small runs to do harm to, and the command line."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from crossfeed import MemoryStore, run
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description
from tests.faults.cli import crossfeed_cli, empty_report
from tests.runs import numbers

SMALL = (
    "generations=2",
    "n=20",
    "tasks.warm.test=3",
    "tasks.cold.test=3",
    "public.test=3",
    "ecosystem.alpha=0.5",
    "grid.ecosystem.history=[latest, accumulate]",
    "metrics={loss: {}, similarity: {}, projection: {}}",
)


# Drops CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH from what a program that is started next may have.
_NO_OVERRIDE = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "crossfeed", *sys.argv[1:]])
"""


@pytest.fixture(scope="session")
def small() -> Experiment:
    """Two cells of three generations, of which all checkpoints are kept, and one needs pools of all generations."""
    return Experiment.from_yaml(read_description("fake"), (*SMALL, "checkpoints=all"))


@pytest.fixture(scope="session")
def undisturbed(small) -> list[tuple]:
    """The numbers of the small run."""
    return numbers(run(small, MemoryStore()))


@pytest.fixture
def crossfeed(tmp_path_factory, monkeypatch) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Call the command line with this process's rights, or in one of its own with those that its owner has at most.

    The latter is for root, to whom files' modes mean nothing otherwise. In this process reports are empty pages.
    """
    folder = tmp_path_factory.mktemp("cwd")
    monkeypatch.setattr("crossfeed.reporting.html.write_report", empty_report)

    def call(*words: str | Path, override: bool = True) -> subprocess.CompletedProcess[str]:
        if not override:
            command = [sys.executable, "-c", _NO_OVERRIDE, *map(str, words)]
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=120)
        with contextlib.chdir(folder):
            answer = crossfeed_cli(*map(str, words))
        return subprocess.CompletedProcess(words, answer.code, answer.out, answer.err)

    return call


@pytest.fixture
def described(small, tmp_path_factory) -> Path:
    """The small run as a file."""
    path = tmp_path_factory.mktemp("described") / "small.yaml"
    path.write_text(small.to_yaml())
    return path


def refused(answer: subprocess.CompletedProcess[str]) -> str:
    """What a command that was refused says: one paragraph, exit code 2, no traceback."""
    assert answer.returncode == 2, answer.stderr
    assert "Traceback" not in answer.stderr
    return answer.stderr
