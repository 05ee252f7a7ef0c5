"""Shared by all tests: no test reaches a network or a cache outside its own folder, and long files begin first."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

# Before any test imports a numerical library: of several workers none takes all cores, as a run's own workers do not.
os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
# Clusters of Ray that tests begin are as those that crossfeed begins: by default Ray lets all other work go first.
os.environ |= {"RAY_worker_niceness": "0"}

LONGEST = (
    *("contracts/test_executor_ray.py", "faults/test_kills.py", "browser/test_report.py", "contracts/test_executor.py"),
    "test_predict.py",
    *(
        "faults/test_hostile_text.py",
        "browser/test_explorer.py",
        "faults/test_growth.py",
        "faults/test_remote_store.py",
    ),
    *("test_language_run.py", "test_presets_paper.py", "test_lm_eval.py", "test_examples.py", "test_tracking.py"),
)
"""Files of tests that take longest, with working or waiting: begun first, none of them is left over at the end."""


def pytest_configure() -> None:
    """Let Ctrl-C reach the programs that tests start, also where a shell runs the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, the others in their order."""
    places = {Path(__file__).parent / name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


@pytest.fixture(scope="session")
def _kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled kernels, which all workers share."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "kernels"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, _kernels: Path) -> None:
    cache = tmp_path_factory.mktemp("cache")
    if sys.platform != "win32":  # where nothing is compiled
        (cache / "kernels").symlink_to(_kernels, target_is_directory=True)  # once, not in every test
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CROSSFEED_CACHE", str(cache))


@pytest.fixture(scope="session")
def fake():
    """Make an experiment of fake models from overrides of the preset."""
    from crossfeed.description.experiment import Experiment
    from crossfeed.description.reading import read_description

    def make(*overrides: str) -> Experiment:
        return Experiment.from_yaml(read_description("fake"), overrides)

    return make


@pytest.fixture
def figures_unsaved(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are composed as ever, but their files are empty."""
    from tests.figures import save_empty

    save_empty(monkeypatch, "svg", "png", "pdf")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data sets, where there is one."""
    folder = Path(os.environ.get("CROSSFEED_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"the real data sets are not here ({folder}); name their folder in CROSSFEED_DATA")
    return folder


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """The folder of small inputs that once failed, where there is one."""
    folder = Path(os.environ.get("CROSSFEED_CASES", Path(__file__).parents[2] / "shared" / "cases"))
    if not folder.is_dir():
        pytest.skip(f"the inputs that once failed are not here ({folder}); name their folder in CROSSFEED_CASES")
    return folder
