"""Runs to share: one of models that are instant, and a report that takes no time."""

from __future__ import annotations

from pathlib import Path

import pytest

from crossfeed import Experiment, open_store, run
from crossfeed.description.reading import read_preset
from tests.faults.cli import empty_report

SMALL = ("generations=2", "n=24", "public.test=4", "checkpoints=all")


@pytest.fixture(autouse=True)
def no_figures(monkeypatch):
    """A page takes seconds to draw; `test_export` looks at one."""
    monkeypatch.setattr("crossfeed.reporting.html.write_report", empty_report)


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Path:
    """A finished run of three cells that keeps all checkpoints."""
    folder = tmp_path_factory.mktemp("shared") / "fake"
    run(Experiment.from_yaml(read_preset("fake"), SMALL), open_store(folder))
    return folder
