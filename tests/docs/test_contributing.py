"""CONTRIBUTING's tables: every path and every `path:symbol` is there, every folder has its row."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PACKAGE = ROOT / "src" / "crossfeed"


def rows(title: str) -> list[tuple[str, str]]:
    """The rows of the table under a heading."""
    section = TEXT.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    return re.findall(r"^\| (?!looked for|folder)(?!-)(.*?) \| (.*) \|$", section, re.M)


PLACES = rows("Where does X live?")
FOLDERS = rows("How the house is built")
NAMED = sorted({each for _, place in PLACES for each in re.findall(r"`(src/[^`]+)`", place)})


def names_in(path: Path) -> set[str]:
    """The names that a file defines at its top, and those of its classes' members behind a dot."""
    return _names(ast.parse(path.read_text(encoding="utf-8")).body)


def _names(body: list[ast.stmt], within: str = "") -> set[str]:
    found = set()
    for node in body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(within + node.name)
            if isinstance(node, ast.ClassDef):
                found |= _names(node.body, f"{within}{node.name}.")
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {within + each.id for each in targets if isinstance(each, ast.Name)}
    return found


@pytest.mark.parametrize("place", NAMED)
def test_a_place_is_there(place):
    path, _, symbol = place.partition(":")
    assert (ROOT / path).exists(), f"there is no {path}"
    if symbol:
        assert symbol in names_in(ROOT / path), f"{path} has no {symbol}"


def test_twenty_things_can_be_looked_up():
    assert len(PLACES) >= 20
    assert all("`src/" in place for _, place in PLACES)
    for sought in ("training mix", "new metric", "alpha in the theory", "checkpoints", "report's first table"):
        assert sum(sought in what for what, _ in PLACES) == 1, sought


def test_a_place_that_is_not_there_is_noticed():
    assert "draw" in names_in(PACKAGE / "generation" / "mixture.py")
    assert "Experiment.cells" in names_in(PACKAGE / "description" / "experiment.py")
    assert "Experiment.nothing" not in names_in(PACKAGE / "description" / "experiment.py")


def test_every_folder_has_its_question():
    named = {name.strip("/") for folder, _ in FOLDERS for name in re.findall(r"`([^`]+)`", folder)}
    there = {path.name for path in PACKAGE.iterdir() if path.suffix == ".py" or any(path.glob("*.py"))}
    assert there - {"__init__.py", "__main__.py"} <= named, there - named
    assert all((PACKAGE / name).exists() for name in named)
    rooms = re.findall(r"`([^`]+)/`", dict(FOLDERS)["`reporting/`, `figures.py`"])
    assert set(rooms) == {path.name for path in (PACKAGE / "reporting").iterdir() if path.is_dir()} - {"__pycache__"}


def imports_of(path: Path) -> set[str]:
    """The folders and files at the top of the package that a file imports from, at any place within it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("crossfeed."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {each.name.split(".")[1] for each in node.names if each.name.startswith("crossfeed.")}
    return found


LEVELS = {
    name.strip("/").removesuffix(".py"): level
    for level, (folders, _) in enumerate(FOLDERS)
    for name in re.findall(r"`([^`]+)`", folders)
}


@pytest.mark.parametrize("name", LEVELS)
def test_a_folder_imports_from_those_above_it(name):
    files = (PACKAGE / name).rglob("*.py") if (PACKAGE / name).is_dir() else [PACKAGE / f"{name}.py"]
    for path in files:
        below = {each for each in imports_of(path) if LEVELS[each] > LEVELS[name]}
        assert not below, f"{path.relative_to(PACKAGE)} imports {sorted(below)}, which is below it in the table"


PARTS = {
    "learner": ("LearnerSettings", "_LEARNERS"),
    "task": ("TaskSettings", "_TASKS"),
    "metric": ("MetricSettings", "_METRICS"),
    "filter": ("FilterSettings", "_FILTERS"),
    "reward": ("RewardSettings", "_REWARDS"),
}


@pytest.mark.parametrize("part", PARTS)
def test_what_is_to_be_added_to_is_there(part):
    section = TEXT.partition(f"\n## Adding a {part}\n")[2].partition("\n## ")[0]
    settings, table = PARTS[part]
    assert f"`crossfeed.settings.{settings}`" in section
    assert settings in names_in(PACKAGE / "settings.py")
    assert f"`{table}` in `description/registry.py`" in section
    assert table in names_in(PACKAGE / "description" / "registry.py")
    for named in re.findall(r"`((?:tests|src|learners|metrics|filters|executors)/[\w/.-]*)`", section):
        assert any((base / named).exists() for base in (ROOT, PACKAGE)), named
