"""The arrows of the house: what may import what, what is public, and what costs nothing to import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import crossfeed
from tests.house import arrows_of, circles_of, imports_of, modules_of

PACKAGE = Path(crossfeed.__file__).parent
HEAVY = {"torch", "transformers", "tokenizers", "datasets", "sentence_transformers", "ray", "safetensors"}


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


def test_circles_are_seen():
    arrows = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set(), "e": {"a", "f"}, "f": {"e"}}
    assert sorted(map(sorted, circles_of(arrows))) == [["b", "c"], ["e", "f"]]


def test_no_files_import_each_other_in_a_circle():
    """Imports inside functions and for the type checker count, too."""
    assert circles_of(arrows_of(PACKAGE)) == []


def test_few_modules_stand_directly_in_the_package():
    assert len(modules("*.py")) <= 12


def test_no_module_has_the_name_of_a_verb():
    """A module named as a function of the package would take the function's place as soon as it is imported."""
    verbs = {name for name in crossfeed.__all__ if not isinstance(getattr(crossfeed, name), type)}
    assert {"run", "predict", "plan", "report", "compare", "evaluate"} <= verbs
    assert {name for name in modules_of(PACKAGE) if verbs & set(name.split("."))} == set()


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
