"""Shared by all tests: no test reaches a network or a cache outside its own folder."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_description


@pytest.fixture(scope="session")
def _kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, _kernels: Path) -> None:
    cache = tmp_path_factory.mktemp("cache")
    if sys.platform != "win32":  # where nothing is compiled
        (cache / "kernels").symlink_to(_kernels, target_is_directory=True)  # once, not in every test
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CROSSFEED_CACHE", str(cache))


@pytest.fixture
def fake():
    """Make an experiment of fake models from overrides of the preset."""

    def make(*overrides: str) -> Experiment:
        return Experiment.from_yaml(read_description("fake"), overrides)

    return make


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, where there is one."""
    import os

    folder = Path(os.environ.get("CROSSFEED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not here ({folder}); name their folder in CROSSFEED_DATA")
    return folder
