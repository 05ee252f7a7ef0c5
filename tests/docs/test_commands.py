"""Every command on a page is one that there is; the cheap ones are run, and print what the page says."""

from __future__ import annotations

import argparse
import re
import runpy
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from crossfeed import Experiment
from crossfeed.cli import app
from crossfeed.description.reading import preset_names, read_preset
from tests.docs.blocks import (
    PAGES,
    PROGRAMS,
    ROOT,
    Command,
    blocks,
    commands,
    described,
    is_excerpt,
    name_of,
    write_descriptions,
)

COMMANDS = {name_of(page): found for page in PAGES if (found := commands(page))}
ALL = [each for found in COMMANDS.values() for each in found]
COMMAND_LINE = typer.main.get_command(app)


def of(page: str, *programs: str) -> list[Command]:
    return [each for each in COMMANDS[page] if Path(each.words[0]).name in programs]


def parsed(words: tuple[str, ...]) -> tuple[str, dict[str, object]]:
    """The verb and its arguments, as the command line itself reads them; nothing is run."""
    if words[0].startswith("-"):
        assert words in {("--help",), ("--version",), ("-h",)} or words[0].endswith("-completion"), words
        return "", {}
    with COMMAND_LINE.make_context("crossfeed", list(words)) as above:
        verb = COMMAND_LINE.get_command(above, words[0])
        assert verb is not None, f"there is no command {words[0]}"
        if len(words) == 1 or {"-h", "--help"} & set(words[1:]):  # it is named, or asked about
            return words[0], {}
        with verb.make_context(words[0], list(words[1:]), parent=above) as context:
            return words[0], dict(context.params)


def text_of(source: str, page: Path) -> str | None:
    """The description that a command names: a preset's, or the page's own; None for one that no page shows."""
    if source in preset_names():
        return read_preset(source)
    whole = [block for block in blocks(page, "yaml") if not is_excerpt(block.text) and described(block)[1]]
    named = [block for block in whole if described(block)[0].get("name") == Path(source).stem]
    found = named or (whole if len(whole) == 1 else [])
    return found[0].text if found else None


@pytest.mark.parametrize("page", [page for page in COMMANDS if of(page, "crossfeed")])
def test_commands_are_what_the_command_line_takes(page):
    for command in of(page, "crossfeed"):
        if command.words == ("crossfeed",) or "COMMAND" in command.words:
            continue
        try:
            _, given = parsed(command.words[1:])
        except Exception as error:
            raise AssertionError(f"{command.place}: {command}: {error}") from error
        source = given.get("source")
        if source is None:
            continue
        # A file, a placeholder, or a run's folder.
        shown = source.endswith((".yaml", ".yml")) or source.isupper() or "|" in source or source.startswith("runs/")
        assert source in preset_names() or shown, f"{command.place}: {source} is no preset"
        text = None if source.startswith("runs/") else text_of(source, command.page)
        if text is not None:
            assert Experiment.from_yaml(text, tuple(given["overrides"] or ())).cells(), command.place


class Parsed(Exception):
    """Arguments were understood; nothing else is to happen."""


SCRIPTS = sorted({(str(each), each.words[1:]) for each in ALL if len(each.words) > 1 and each.words[1].endswith(".py")})


@pytest.mark.parametrize(("command", "words"), SCRIPTS, ids=[command for command, _ in SCRIPTS])
def test_programs_are_there_and_take_their_arguments(command, words, monkeypatch):
    path = ROOT / words[0]
    assert path.is_file(), f"there is no {words[0]}"
    if "argparse" not in path.read_text():
        return
    if "import torch" in path.read_text():
        pytest.importorskip("torch", reason="needs the extra 'lm'")
    parse = argparse.ArgumentParser.parse_args

    def parse_alone(self, *given, **named):
        parse(self, *given, **named)
        raise Parsed

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_alone)
    monkeypatch.setattr(sys, "argv", [str(path), *words[1:]])
    monkeypatch.syspath_prepend(str(path.parent))
    with pytest.raises(Parsed):
        runpy.run_path(str(path), run_name="__main__")


def test_targets_and_extras_are_there():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for command in ALL:
        if command.words[0] == "make":
            assert set(command.words[1:]) <= targets, command.place
        if command.words[0].endswith("pip"):
            asked = re.search(r"(?:crossfeed|\.)\[([\w,]+)\]", str(command))
            assert asked is None or set(asked[1].split(",")) <= extras.keys(), command.place


def test_every_line_of_a_block_of_commands_is_one():
    for command in ALL:
        assert command.words[0] in PROGRAMS, f"{command.place}: {command}"


# What is cheap is run


#: Commands of a second or two, wherever they stand; `test_pages` runs those of the tutorial.
CHEAP = re.compile(r"crossfeed (presets( \S+)?|evidence --json|predict my.yaml --json)")
RUNS = sorted({str(each): each for each in ALL if CHEAP.fullmatch(str(each)) and not each.words[-1].isupper()}.items())


@pytest.mark.parametrize("command", [each for _, each in RUNS], ids=[name for name, _ in RUNS])
def test_cheap_commands_run(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_descriptions(command.page, tmp_path)
    answer = CliRunner().invoke(app, list(command.words[1:]))
    assert answer.exit_code == 0, f"{command.place}: {command}: {answer.output}"
    assert answer.stdout
