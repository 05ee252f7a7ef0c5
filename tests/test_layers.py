"""The arrows of the house: what may import what, what is public, and what costs nothing to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import crossfeed

PACKAGE = Path(crossfeed.__file__).parent
HEAVY = {"torch", "transformers", "tokenizers", "datasets", "sentence_transformers", "ray", "safetensors"}


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def modules(pattern: str) -> list[Path]:
    found = sorted(PACKAGE.glob(pattern))
    assert found, pattern
    return found


WITHOUT_MODELS = ["description", "display", "evaluation", "exact", "generation", "protocols", "running"]


@pytest.mark.parametrize(
    "path",
    [*modules("*.py"), *(p for folder in WITHOUT_MODELS for p in modules(f"{folder}/**/*.py"))],
    ids=lambda path: str(path.relative_to(PACKAGE)),
)
def test_the_loop_and_the_descriptions_know_no_model(path):
    assert not {name for name in imports_of(path) if name.split(".")[0] in HEAVY or ".learners" in name}


@pytest.mark.parametrize("path", [*modules("theory/**/*.py")], ids=lambda path: path.name)
def test_the_theory_needs_numpy_and_scipy_alone(path):
    outside = {name.split(".")[0] for name in imports_of(path)} - {"numpy", "scipy", "crossfeed"}
    assert outside <= set(sys.stdlib_module_names)
    inside = {name for name in imports_of(path) if name.startswith("crossfeed")}
    assert all(name.startswith(("crossfeed.theory", "crossfeed.errors")) for name in inside)


def test_one_file_imports_ray_and_one_the_harness():
    def importing(package: str) -> list[str]:
        return [p.name for p in modules("**/*.py") if package in {name.split(".")[0] for name in imports_of(p)}]

    assert importing("ray") == ["ray.py"]
    assert importing("lm_eval") == ["harness.py"]


def test_files_that_import_each_other_are_of_one_folder():
    """Settings import what they build, and that imports its settings: such pairs stay small, and stay together."""
    names = {path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in modules("**/*.py")}
    known = {name.removesuffix(".__init__"): path for path, name in names.items() if path != PACKAGE / "__init__.py"}
    arrows = {name: imports_of(path) & known.keys() - {name} for name, path in known.items()}

    def reached(start: str) -> set[str]:
        found, ahead = set(), [start]
        while ahead:
            new = arrows[ahead.pop()] - found
            found |= new
            ahead.extend(new)
        return found

    reach = {name: reached(name) for name in known}
    folder = {name: path.parent for name, path in known.items()}
    pairs = {(a, b) for a in known for b in reach[a] if a in reach[b] and a != b}
    assert {(a, b) for a, b in pairs if folder[a] != folder[b] or folder[a] == PACKAGE} == set()


FOLDERS = "store filters metrics reporting tasks executors cli explorer tracking doctor"


@pytest.mark.parametrize("folder", FOLDERS.split())
def test_torch_stays_with_the_learners(folder):
    for path in modules(f"{folder}/**/*.py"):
        assert not {name.split(".")[0] for name in imports_of(path)} & (HEAVY - {"datasets", "ray"}), path
        assert not {name for name in imports_of(path) if ".learners" in name}, path


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(answer.stdout.split())


def test_importing_crossfeed_loads_nothing_else():
    assert not loaded_by("import crossfeed") & (HEAVY | {"pydantic", "pandas", "pyarrow", "matplotlib", "numpy"})


def test_describing_an_ecosystem_loads_no_torch():
    statement = "from crossfeed import Ecosystem, Experiment; import crossfeed.description.registry as r\n"
    statement += "[r.learner_settings(n) for n in r._LEARNERS]; [r.task_settings(n) for n in r._TASKS]\n"
    statement += "[r.metric_settings(n) for n in r._METRICS]; [r.filter_settings(n) for n in r._FILTERS]"
    assert not loaded_by(statement) & HEAVY


def test_the_public_surface_is_sorted_complete_and_loads():
    assert crossfeed.__all__ == sorted(crossfeed.__all__)
    assert set(crossfeed._HOMES) == set(crossfeed.__all__)
    for name in crossfeed.__all__:
        assert getattr(crossfeed, name).__module__.startswith("crossfeed")


@pytest.mark.parametrize("path", modules("**/*.py"), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text())), path
