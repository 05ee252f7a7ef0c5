"""Docstrings of the public surface: each argument, result, exception and source is documented; first lines are plain.

Sections are read by griffe, as for the site's reference; exceptions are found by ruff (rule DOC501).
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import griffe
import pytest

import crossfeed

PACKAGE = Path(crossfeed.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
#: Classes whose methods are documented by the protocol that they implement.
IMPLEMENTS = {"MemoryStore": "Store"}


def by_name(paths: list[Path]) -> list[object]:
    return [pytest.param(path, id=str(path.relative_to(PACKAGE))) for path in paths]


# What is documented, and how.


def sections_of(docstring: griffe.Docstring | None) -> dict[str, set[str]]:
    """The names that a docstring documents, by the kind of section."""
    parsed = [] if docstring is None else docstring.parse("google", warnings=False)
    named = {"parameters", "attributes", "raises"}
    return {
        each.kind.value: {getattr(item, "name", "") or str(item.annotation) for item in each.value}
        if each.kind.value in named
        else set()
        for each in parsed
    }


def faults_of(thing: griffe.Object, exempt: frozenset[str] = frozenset()) -> Iterator[str]:
    """Whatever a public function, or a class and its public methods, leave undocumented."""
    if thing.docstring is None:
        yield f"{thing.path}: no docstring"
    elif isinstance(thing, griffe.Class):
        yield from _faults_of_class(thing, exempt)
    elif isinstance(thing, griffe.Function):
        yield from _faults_of_function(thing)


def _faults_of_class(thing: griffe.Class, exempt: frozenset[str]) -> Iterator[str]:
    sections = sections_of(thing.docstring)
    documented = sections.get("attributes", set()) | sections.get("parameters", set())
    fields = dict.fromkeys(_fields_of(thing))
    yield from (f"{thing.path}: {name}" for name in fields if name not in documented)
    for name, member in thing.members.items():
        if isinstance(member, griffe.Function) and not name.startswith("_") and name not in exempt:
            yield from faults_of(member)


def _fields_of(thing: griffe.Class) -> Iterator[str]:
    """Arguments of the constructor, fields, and properties without a docstring of their own."""
    constructor = thing.members.get("__init__")
    if isinstance(constructor, griffe.Function):
        yield from _arguments_of(constructor)
    for name, member in thing.members.items():
        told = member.docstring is not None or name.startswith("_")
        if (
            isinstance(member, griffe.Attribute)
            and not told
            and not str(member.annotation).startswith(("None", "ClassVar"))
        ):
            yield name


def _arguments_of(function: griffe.Function) -> Iterator[str]:
    return (each.name for each in function.parameters if each.name not in ("self", "cls"))


def _faults_of_function(function: griffe.Function) -> Iterator[str]:
    sections = sections_of(function.docstring)
    documented = {name.lstrip("*") for name in sections.get("parameters", ())}
    yield from (f"{function.path}({name})" for name in _arguments_of(function) if name not in documented)
    if str(function.returns) not in ("None", "NoReturn", "Never") and not sections.keys() & {"returns", "yields"}:
        yield f"{function.path}: Returns"


def unlisted_exceptions(paths: list[Path]) -> list[tuple[Path, int, str]]:
    """File, line and message of every docstring that leaves out an exception that its function raises itself."""
    command = [sys.executable, "-m", "ruff", "check", "--isolated", "--preview", "--select", "DOC501"]
    command += ["--config", 'lint.pydocstyle.convention="google"', "--output-format", "json", "--exit-zero"]
    answer = subprocess.run([*command, *map(str, paths)], capture_output=True, text=True, check=True)
    return [(Path(each["filename"]), each["location"]["row"], each["message"]) for each in json.loads(answer.stdout)]


# The public surface.


@pytest.fixture(scope="module")
def package() -> griffe.Module:
    return griffe.load("crossfeed", search_paths=[PACKAGE.parent], resolve_aliases=True)


@pytest.fixture(scope="module")
def unlisted() -> list[tuple[Path, int, str]]:
    return unlisted_exceptions(MODULES)


def public_in(module: griffe.Module) -> list[griffe.Object]:
    """Functions and classes of a module, those that are not private."""
    return [
        member
        for name, member in module.members.items()
        if not name.startswith("_") and isinstance(member, griffe.Function | griffe.Class)
    ]


def raising(thing: griffe.Object, unlisted: list[tuple[Path, int, str]]) -> Iterator[str]:
    """Exceptions that a public function, or a public method of a class, leaves out."""
    functions = [each for each in thing.members.values() if isinstance(each, griffe.Function)]
    for function in [thing] if isinstance(thing, griffe.Function) else functions:
        for path, line, message in unlisted:
            inside = path == function.filepath and function.lineno <= line <= function.endlineno
            if inside and not function.name.startswith("_"):
                yield f"{function.path}: {message}"


def module_of(package: griffe.Module, path: Path) -> griffe.Module:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    found: griffe.Module = package
    for part in parts:
        found = found if part == "__init__" else found.members[part]
    return found


#: Files of the theory that hold no mathematics of a source: checks of arguments, and products of arrays.
WITHOUT_SOURCE = {"checks.py", "kernels.py"}
THEORY = sorted((PACKAGE / "theory").glob("*.py"))
CONTRACTS = [*sorted((PACKAGE / "protocols").glob("*.py")), PACKAGE / "executors" / "executor.py"]


@pytest.mark.parametrize("path", by_name([*THEORY, *CONTRACTS]))
def test_theory_and_protocols_document_all_that_they_take_give_and_raise(path, package, unlisted):
    things = public_in(module_of(package, path))
    faults = [fault for thing in things for fault in [*faults_of(thing), *raising(thing, unlisted)]]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize("path", by_name([path for path in THEORY if path.name not in WITHOUT_SOURCE]))
def test_theory_names_its_sources(path, package):
    module = module_of(package, path)
    if has_source(module):
        return
    assert not [thing.path for thing in public_in(module) if not has_source(thing)]


def has_source(thing: griffe.Object) -> bool:
    return thing.docstring is not None and bool(re.search(r"^(Source|Reference)s?:", thing.docstring.value, re.M))


@pytest.mark.parametrize("name", crossfeed._HOMES)
def test_the_package_documents_all_that_it_takes_gives_and_raises(name, package, unlisted):
    thing = package[crossfeed._HOMES[name].removeprefix("crossfeed.")].members[name]
    contract = IMPLEMENTS.get(name)
    exempt = frozenset(package["protocols.storing"].members[contract].members if contract else ())
    faults = [*faults_of(thing, exempt), *raising(thing, unlisted)]
    assert not faults, "\n".join(faults)


# First lines.


def texts_in(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and text of every docstring: of modules, classes and functions, and below names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.lineno, node.value.value.strip()


def asking(tree: ast.Module) -> list[str]:
    """Docstrings that begin as a question does."""
    question = re.compile(r"(What|Whether|How|Who|Whom|Whose|Which|Where)\b")
    return [f"line {line}: {text.splitlines()[0]}" for line, text in texts_in(tree) if question.match(text)]


@pytest.mark.parametrize("path", by_name(MODULES))
def test_no_first_line_begins_as_a_question(path):
    found = asking(ast.parse(path.read_text()))
    assert not found, "\n".join(found)


# The checks can fail.

SAMPLE = '''"""A sample."""
from dataclasses import dataclass

LIMIT = 1
"""What is never exceeded."""

def bare(x: int, *, y: int = 0) -> int:
    """Return the sum.

    Args:
        x: A summand.
    """
    if y < 0:
        raise ValueError(y)
    return x + y

def full(x: int, *rest: int) -> int:
    """Return the sum.

    Args:
        x: A summand.
        *rest: Others.

    Returns:
        The sum.

    Raises:
        ValueError: x is negative.
    """
    if x < 0:
        raise ValueError(x)
    return x + sum(rest)

@dataclass
class Pair:
    """Two numbers.

    Attributes:
        first: The first.
    """

    first: int
    second: int = 0

    @property
    def total(self) -> int:
        """The sum."""
        return self.first + self.second

    def scaled(self, factor: int) -> "Pair":
        """Whether it is scaled."""
        raise NotImplementedError

class Range:
    """A range.

    Args:
        low: Its least value.
    """

    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

def undocumented() -> None: ...
'''


def test_a_sample_with_gaps_is_found_out(tmp_path):
    sample = tmp_path / "sample.py"
    sample.write_text(SAMPLE)
    module = griffe.visit("sample", sample, SAMPLE)
    things = public_in(module)
    assert {fault for thing in things for fault in faults_of(thing)} == {
        "sample.bare(y)",
        "sample.bare: Returns",
        "sample.Pair: second",
        "sample.Pair.scaled(factor)",
        "sample.Pair.scaled: Returns",
        "sample.Range: high",
        "sample.undocumented: no docstring",
    }
    unlisted = unlisted_exceptions([sample])
    (missing,) = [fault for thing in things for fault in raising(thing, unlisted)]
    assert "sample.bare: " in missing
    assert "ValueError" in missing
    assert asking(ast.parse(SAMPLE)) == ["line 5: What is never exceeded.", "line 51: Whether it is scaled."]
    assert not has_source(module)
    assert has_source(griffe.visit("cited", sample, '"""Sum.\n\nSource: a paper, Theorem 1.\n"""'))
