"""Plug-ins of other packages: the documented example runs, and what cannot be used is refused by name."""

from __future__ import annotations

import ast
import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from rich.console import Console

import crossfeed
from crossfeed.description.experiment import Experiment
from crossfeed.description.reading import read_preset
from crossfeed.description.registry import metric_settings, plugin_packages
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.loop import run
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.html import write_report
from crossfeed.reporting.terminal.tables import render
from crossfeed.store import open_store
from crossfeed.store.memory import MemoryStore

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "extending"


def install(site: Path, package: str, groups: dict[str, dict[str, str]], version: str = "1.0") -> Path:
    """What pip leaves behind when it installs a package: what it is called, and its entry points."""
    info = site / f"{package.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n")
    lines = [
        line
        for group, entries in groups.items()
        for line in (f"[{group}]", *(f"{name} = {value}" for name, value in entries.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder into which the example's package is installed, as its pyproject.toml says."""
    folder = tmp_path_factory.mktemp("site")
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    for name in project["entry-points"]:
        assert name.startswith("crossfeed.")
    shutil.copytree(EXAMPLE / "letters", folder / "letters", ignore=shutil.ignore_patterns("__pycache__"))
    return install(folder, project["name"], project["entry-points"], project["version"])


def python(site, *arguments, folder):
    environment = os.environ | {
        "PYTHONPATH": str(site),
        "PYTHONDONTWRITEBYTECODE": "1",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_function_rates(site, tmp_path):
    command = ("crossfeed", "run", str(EXAMPLE / "experiment.yaml"), "--out", "run", "--quiet")
    preference = "ecosystem.preference={reward: vowels, best_of: 4, rule: best}"
    chosen = ("--set", "ecosystem.curation={}", "--set", preference)
    answer = python(site, *command, *chosen, folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    records = pq.read_table(tmp_path / "run" / "records.parquet").to_pylist()
    kept, offered = (
        [row["value"] for row in records if row["metric"] == name] for name in ("reward_kept", "reward_offered")
    )
    assert all(after > before for after, before in zip(kept, offered, strict=True))
    assert len(kept) == 2 * 4 * 2 * 2  # two cells read the pool, four times, by two readers, of two authors


def test_a_function_that_rates_badly_is_told(tmp_path, monkeypatch):
    (tmp_path / "rates.py").write_text("def half(items, prompts):\n    return [0.5]\n")
    install(tmp_path, "rates", {"crossfeed.rewards": {"half": "rates:half"}})
    monkeypatch.syspath_prepend(tmp_path)
    experiment = Experiment.from_yaml(
        read_preset("fake"), ("ecosystem.preference={reward: {half: {weight: 2}}, best_of: 2}", "generations=1", "n=20")
    )
    with pytest.raises(InvalidInput, match=r"the reward 'half': gave numbers of the shape \(1,\)"):
        run(experiment, MemoryStore())
    with pytest.raises(InvalidDescription, match=r"reward.half.height: unknown key"):
        Experiment.from_yaml(read_preset("fake"), ("ecosystem.preference={reward: {half: {height: 2}}, best_of: 2}",))


def test_the_example_runs_from_the_command_line_and_its_metric_is_shown(site, tmp_path):
    command = ("crossfeed", "run", str(EXAMPLE / "experiment.yaml"), "--out", "run", "--quiet")
    answer = python(site, *command, "--executor", "processes", "--workers", "2", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    run = tmp_path / "run"
    table = answer.stdout.partition("Letter entropy, initial to final")[2]
    assert re.search(r"forward on backward +\d\.\d+ → \d\.\d+ (up|down|same)", table)
    assert "Letter entropy: up, down: any change." in answer.stdout
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "Other metrics" in page
    assert "Letter entropy" in page
    with (run / "report" / "tables" / "change.csv").open() as file:
        assert "letter_entropy" in {row["metric"] for row in csv.DictReader(file)}
    assert json.loads((run / "environment.json").read_text())["packages"]["crossfeed-letters"] == "1.0"
    records = pq.read_table(run / "records.parquet").to_pylist()
    assert all(0 <= row["value"] <= 26 for row in records if row["metric"] == "letter_entropy")
    assert any(0 < row["value"] < 1 for row in records if row["metric"] == "passed")
    # What the example is about: half of the pool teaches the alphabet forward what runs backward.
    loss = {
        (row["alpha"], row["generation"]): row["value"]
        for row in records
        if (row["metric"], row["model"], row["task"]) == ("loss", "forward", "backward")
    }
    assert loss[0.5, 4] < loss[0.5, 0] < loss[0.0, 4]


def test_the_examples_own_tests_pass(site):
    answer = python(site, "pytest", "-p", "no:cacheprovider", "-q", "test_letters.py", folder=EXAMPLE)
    assert answer.returncode == 0, answer.stdout
    assert "19 passed" in answer.stdout


def test_the_contract_finds_what_is_wrong(site, tmp_path):
    shutil.copy(EXAMPLE / "experiment.yaml", tmp_path)
    shutil.copy(EXAMPLE / "test_letters.py", tmp_path)
    (tmp_path / "test_broken.py").write_text(
        "import numpy as np\n"
        "import letters.learner as module\n"
        "from test_letters import TestLetters\n"
        "random, good = np.random.default_rng(), module.uniforms\n"
        "module.uniforms = lambda keys, salt: random.random(len(keys))\n"
        "def update(self, states, sets, keys, generation):\n"
        "    for state, training in zip(states, sets):\n"
        "        state += module._counted(training.items)\n"
        "    return list(states)\n"
        "module.Letters.update = update\n"
    )
    answer = python(site, "pytest", "-p", "no:cacheprovider", "-q", "test_broken.py", folder=tmp_path)
    failed = set(re.findall(r"^FAILED .*::(\w+)", answer.stdout, re.MULTILINE))
    assert {"test_an_update_learns_and_changes_nothing_in_place", "test_an_item_depends_on_its_key_alone"} <= failed
    assert "test_states_survive_saving" not in failed


def test_the_page_shows_what_is_run():
    page = (ROOT / "docs" / "extending.md").read_text()
    sources = [path.read_text() for path in sorted(EXAMPLE.rglob("*")) if path.suffix in {".py", ".toml", ".yaml"}]
    blocks = re.findall(r"```(?:python|toml|yaml)\n(.*?)```", page, flags=re.DOTALL)
    assert len(blocks) >= 6
    for block in blocks:
        for piece in block.split("\n...\n"):  # what is left out
            assert any(piece.strip("\n") in source for source in sources), piece


# What cannot be used


def described(**metrics):
    return Experiment.from_yaml(read_preset("fake"), (f"metrics={json.dumps(metrics)}",))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Install packages that register metrics."""

    def install_metrics(**packages: dict[str, str]) -> None:
        for package, entries in packages.items():
            install(tmp_path, package, {"crossfeed.metrics": entries}, "2.5")
        monkeypatch.syspath_prepend(str(tmp_path))

    return install_metrics


def test_a_package_that_cannot_be_imported_is_named(installed, tmp_path):
    (tmp_path / "broken.py").write_text("import a_library_that_is_missing\n")
    (tmp_path / "halved.py").write_text("def f(:\n")
    entries = {"bleu": "broken:Bleu", "rouge": "halved:Rouge", "chrf": "crossfeed:Chrf", "ter": "nowhere:Ter"}
    installed(mine=entries)
    for name, what in [("bleu", "a_library_that_is_missing"), ("rouge", "SyntaxError"), ("chrf", "Chrf")]:
        with pytest.raises(InvalidDescription, match=rf"metric '{name}' of the package mine 2.5.*{what}"):
            described(**{name: {}})
    with pytest.raises(InvalidDescription, match="install what it needs"):
        described(ter={})
    assert described(loss={}).metrics.keys() == {"loss"}, "what is not named does no harm"
    assert plugin_packages() == {"mine": "2.5"}


def test_no_package_takes_a_name_of_crossfeeds_own(installed):
    installed(mine={"loss": "json:JSONDecoder"})
    with pytest.raises(InvalidDescription, match=r"'loss' is crossfeed's own, and the package mine 2.5.*rename it"):
        described(loss={})
    assert "similarity" in described(similarity={}).metrics


def test_no_package_takes_a_name_of_another_one(installed):
    installed(mine={"bleu": "json:JSONDecoder"}, yours={"bleu": "json:JSONEncoder"})
    with pytest.raises(
        InvalidDescription, match=r"by the package (mine|yours) 2.5 and by the package (mine|yours) 2.5"
    ):
        described(bleu={})


def test_what_is_registered_is_of_its_kind(installed):
    installed(mine={"bleu": "json:JSONDecoder", "rouge": "json:dumps"})
    for name, value in (("bleu", "json:JSONDecoder"), ("rouge", "json:dumps")):
        with pytest.raises(InvalidDescription, match=f"mine 2.5: {value} is no subclass of crossfeed.settings.Metric"):
            described(**{name: {}})


def test_an_unknown_name_is_told_what_packages_know(installed):
    installed(mine={"bleu": "json:JSONDecoder"})
    with pytest.raises(ValueError, match=r"unknown metric 'blue'; did you mean bleu\?.*accuracy.*bleu"):
        metric_settings("blue")


def test_the_command_line_refuses_with_one_paragraph(tmp_path):
    install(tmp_path, "mine", {"crossfeed.learners": {"mamba": "nowhere:Mamba"}})
    answer = python(tmp_path, "crossfeed", "run", "fake", "--set", "learner={kind: mamba}", folder=tmp_path)
    assert answer.returncode == 2
    assert "the package mine 1.0" in answer.stderr
    assert "Traceback" not in answer.stderr


# What a metric declares

TOY = """
from crossfeed.protocols import Measurement
from crossfeed.settings import Measure, MetricSettings

class ToySettings(MetricSettings):
    measures = (
        Measure("toy_cost", "Cost of toys", 0.25, ("better", "worse"), section="quality"),
        Measure("toy_count", "Number of toys", shown=frozenset({"page", "progress"}), finite=True),
    )
    worth: float = 1.0

    def build(self):
        return self

    def measure(self, snapshot):
        cost = {0: 3.0, 1: 2.0}.get(snapshot.generation, 1.0)
        numbers = (("toy_cost", cost), ("toy_count", self.worth * (10 * snapshot.generation)))
        return [Measurement(e, t, name, n) for name, n in numbers for e in snapshot.entities for t in snapshot.tasks]
"""


@pytest.fixture
def toys(tmp_path, monkeypatch):
    """A package with a metric that declares what it gives, and the folder of a run that measures it."""
    site = tmp_path / "site"
    install(site, "toys", {"crossfeed.metrics": {"toy": "toys_metric:ToySettings"}})
    (site / "toys_metric.py").write_text(TOY)
    monkeypatch.syspath_prepend(str(site))
    return tmp_path / "run"


class Notes:
    """Progress that keeps what is noted."""

    def __init__(self):
        self.lines = []

    def log(self, text):
        self.lines.append(text)

    def stage(self, name, total=None, detail=""):
        return nullcontext(lambda done: None)


def test_a_metric_of_a_package_is_shown_as_it_declares(toys, tmp_path):
    notes = Notes()
    described = Experiment.from_yaml(read_preset("fake"), ("n=20", "generations=2", "metrics={loss: {}, toy: {}}"))
    run(described, open_store(toys), progress=notes)
    opened = Run.load(toys)
    console = Console(file=io.StringIO(), width=120)
    render(opened, console)
    shown = console.file.getvalue()
    assert re.search(r"Cost of toys, initial to final.*\n(.*\n)+?.*3\.00 → 1\.00 better", shown)
    assert "Cost of toys: better, worse: changed by more than 0.25." in " ".join(shown.split())
    assert "Number of toys" not in shown, "its declaration leaves the terminal out"
    assert any(re.search(r"t=2/2: loss warm on .*; toy_count warm on warm 20\.000", line) for line in notes.lines)
    page = write_report(opened, tmp_path / "report").read_text(encoding="utf-8")
    quality, other = page.index("<h2>Accuracy and diversity</h2>"), page.index("<h2>Other metrics</h2>")
    assert quality < page.index("<caption>Cost of toys") < other < page.index("<caption>Number of toys")
    assert "▼ better, ▲ worse: the mean changed by more than 0.25" in page


def test_a_declared_number_that_is_not_finite_ends_the_cell(toys):
    changes = ("n=20", "generations=1", "metrics={toy: {worth: 1.0e+308}}", "grid={ecosystem.alpha: [0.5]}")
    outcome = run(Experiment.from_yaml(read_preset("fake"), changes), MemoryStore())
    (failure,) = outcome.failures.values()
    assert failure["generation"] == 1
    assert "warm on warm: the toy_count is inf" in failure["message"]


def test_pytest_is_needed_by_the_contract_suites_alone():
    package = Path(crossfeed.__file__).parent
    for path in package.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
        inside = path.is_relative_to(package / "testing")
        assert inside or not {name for name in names if name and name.startswith(("pytest", "crossfeed.testing"))}, path
