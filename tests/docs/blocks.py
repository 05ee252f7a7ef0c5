"""What stands in the pages' code blocks: descriptions, programs, commands, and what commands print."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))
#: What commands of the pages begin with; a block without a language that begins with none of them is no command.
PROGRAMS = ("crossfeed", "python", "python3", ".venv/bin/python", ".venv/bin/crossfeed", "pip", ".venv/bin/pip", "make")
PROGRAMS += ("pytest", ".venv/bin/pre-commit")
_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w-]*)[^\n`]*\n(?P<text>.*?)^ *(?P=fence) *$", re.M | re.S
)
#: What ends a command within a line; what stands behind it is not looked at.
_SHELL = {"|", "||", ">", ">>", "2>", "&", "&&", ";"}
_ASSIGNED = re.compile(r"[A-Z_]+=")


def name_of(page: Path) -> str:
    """A page as tests name it."""
    return page.relative_to(ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it stands.
        line: The line of its fence.
        language: What its fence says; empty if nothing.
        text: What is within, less the fence's indent.
        why_not: Why it is not to be run: a comment ``<!-- not run: ... -->`` on the line before.
        begins: Where it begins in the page.
        ends: Where it ends.
    """

    page: Path
    line: int
    language: str
    text: str
    why_not: str
    begins: int
    ends: int

    @property
    def name(self) -> str:
        """Where it is, for tests."""
        return f"{name_of(self.page)}:{self.line}"

    def follows(self, other: Block) -> bool:
        """Whether nothing stands between the two."""
        between = self.page.read_text(encoding="utf-8")[other.ends : self.begins]
        return self.page == other.page and not between.strip()


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Attributes:
        place: Where it stands.
        page: The page.
        words: Program and arguments.
        printed: What the page says that it prints, beginning with ``...`` where that is not all.
    """

    place: str
    page: Path
    words: tuple[str, ...]
    printed: str = ""

    def __str__(self) -> str:
        """As it was written."""
        return shlex.join(self.words)


def blocks(page: Path, *languages: str) -> list[Block]:
    """The page's blocks of these languages, all if none is named."""
    text = page.read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        if languages and match["language"] not in languages:
            continue
        before = text[: match.start()]
        comment = re.search(r"<!-- not run: (.*?) -->\s*\Z", before)
        inner = "".join(line.removeprefix(match["indent"]) for line in match["text"].splitlines(keepends=True))
        why_not = comment[1] if comment else ""
        place = before.count("\n") + 1
        found.append(Block(page, place, match["language"], inner, why_not, match.start(), match.end()))
    return found


def is_excerpt(text: str) -> bool:
    """Whether a block shows parts of an example's files: ``...`` on a line of its own stands for what is left out."""
    return all(any(piece.strip("\n") in source for source in _sources()) for piece in text.split("\n...\n"))


@cache
def _sources() -> tuple[str, ...]:
    """The texts of the examples."""
    files = [path for path in (ROOT / "examples").rglob("*") if path.suffix in {".py", ".toml", ".yaml"}]
    return tuple(path.read_text(encoding="utf-8") for path in files)


def commands(page: Path) -> list[Command]:
    """Every command of a page: in blocks, and in the text between backticks."""
    found = [each for block in blocks(page, "", "console", "bash", "sh") for each in commands_in(block)]
    return found + list(_in_text(page))


def commands_in(block: Block) -> Iterator[Command]:
    """The commands of one block."""
    if block.language == "console":
        yield from _told(block)
        return
    variables: dict[str, str] = {}
    for page_block in blocks(block.page, "", "bash", "sh"):
        variables |= dict(re.findall(r'^(\w+)="(.*?)"$', page_block.text, re.M | re.S))
    lines = list(_logical(block.text, variables))
    programs = [_without_assignments(words) for words in lines]
    if not programs or (programs[0] and programs[0][0] not in PROGRAMS):
        return
    for words in programs:
        if words:
            yield Command(block.name, block.page, tuple(words))


def _told(block: Block) -> Iterator[Command]:
    """Commands after ``$``, each with what it prints."""
    for piece in re.split(r"^\$ ", block.text, flags=re.M)[1:]:
        line, _, printed = piece.partition("\n")
        yield Command(block.name, block.page, tuple(_first_of(shlex.split(line, comments=True))), printed.strip("\n"))


def _in_text(page: Path) -> Iterator[Command]:
    """Commands in single backticks; those with a gap (...) are no whole ones."""
    text = _FENCE.sub(lambda found: "\n" * found[0].count("\n"), page.read_text(encoding="utf-8"))
    for match in re.finditer(r"(?<!`)`(crossfeed [^`]+)`(?!`)", text):
        words = _first_of(shlex.split(" ".join(match[1].split())))
        if not any("..." in word or "…" in word for word in words):
            yield Command(f"{name_of(page)}:{text[: match.start()].count(chr(10)) + 1}", page, tuple(words))


def _logical(text: str, variables: dict[str, str]) -> Iterator[list[str]]:
    """A shell's words, line by line: a line goes on after a backslash and within quotes."""
    held = ""
    for line in text.splitlines():
        held += line
        if held.endswith("\\"):
            held = held[:-1]
            continue
        expanded = re.sub(r"\$(\w+)", lambda found: " ".join(variables.get(found[1], found[0]).split()), held)
        try:
            words = shlex.split(expanded, comments=True)
        except ValueError:  # within quotes
            held += "\n"
            continue
        held = ""
        if words:
            yield _first_of(words)
    assert not held, f"an open quote: {held}"


def _first_of(words: list[str]) -> list[str]:
    """The first command of a shell's line."""
    return words[: next((at for at, word in enumerate(words) if word in _SHELL), len(words))]


def _without_assignments(words: list[str]) -> list[str]:
    while words and _ASSIGNED.match(words[0]):
        words = words[1:]
    return words


def described(block: Block) -> tuple[Any, bool]:
    """A YAML block as plain data, and whether it is a whole experiment rather than a part of one."""
    data = yaml.safe_load(block.text)
    return data, isinstance(data, dict) and {"ecosystem", "learner", "tasks", "public", "generations"} <= data.keys()


def write_descriptions(page: Path, folder: Path) -> None:
    """A page's whole descriptions as the files that its commands name."""
    for block in blocks(page, "yaml"):
        data, whole = ({}, False) if is_excerpt(block.text) else described(block)
        if whole:
            for name in {data["name"], data["name"].replace("mine", "my")}:
                (folder / f"{name}.yaml").write_text(block.text, encoding="utf-8")
