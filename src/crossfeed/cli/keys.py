"""The commands `keys` and `schema`: every key of a description, for people and for editors."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.text import Text

from crossfeed.cli import completion
from crossfeed.cli.app import AsJson, examples, folder, print_json, terminal
from crossfeed.errors import InvalidInput

if TYPE_CHECKING:
    from crossfeed.description.key_reference import Key, Section

commands = typer.Typer()

_WIDEST: Final = 100


@commands.command(
    epilog=examples(
        "crossfeed keys",
        "crossfeed keys ecosystem.entities.reads",
        "crossfeed keys learner.language",
        "crossfeed keys metrics.mauve",
    )
)
def keys(
    path: Annotated[
        str | None,
        typer.Argument(
            metavar="PATH",
            help="Print these alone: a key and those below it, such as ecosystem, or a kind's, such as tasks.files.",
            show_default="all",
            autocompletion=completion.keys,
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the keys of the YAML of an experiment, each with its type, default and meaning."""
    from crossfeed.description.json_schema import description_schema
    from crossfeed.description.key_reference import find_keys, sections_of

    sections = sections_of(description_schema())
    found = sections if path is None else find_keys(sections, path)
    if as_json:
        print_json({"keys": [_row(key) for section in found for key in section.keys]})
        return
    _print(found, terminal())


@commands.command(
    epilog=examples("crossfeed schema", "crossfeed schema --out crossfeed.schema.json", "crossfeed schema | jq .title")
)
def schema(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=folder,
            help="Write it there instead: beside your YAML files, as crossfeed.schema.json, editors find it.",
        ),
    ] = None,
) -> None:
    """Print the JSON Schema of the YAML of an experiment, for editors and other programs.

    Presets name it in their first line, so that an editor completes keys, explains them and marks what is wrong.
    """
    from crossfeed.description.json_schema import description_schema

    text = json.dumps(description_schema(), indent=1, ensure_ascii=False)
    if out is None:
        typer.echo(text)
        return
    try:
        out.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--out {out}: cannot be written ({error.strerror}); give the name of a file") from error
    typer.echo(f"file  {out}")


def _row(key: Key) -> dict[str, Any]:
    return {
        "path": key.path,
        "kind": key.kind or None,
        "type": key.type,
        "required": key.required,
        "default": key.schema.get("default"),
        "meaning": key.meaning,
    }


def _print(sections: Iterable[Section], console: Console) -> None:
    """Print sections and their keys, wrapped to the console's width."""
    for section in sections:
        if section.path:
            console.rule(Text(section.address, style="bold"), align="left", style="dim")
            if section.text:
                _wrapped(section.text, "", console)
            console.print()
        for key in section.keys:
            console.print(Text(key.path, style="bold"), soft_wrap=True)
            default = "has to be given" if key.required else f"default {key.default}"
            _wrapped(f"{key.type}; {default}", "  ", console, style="cyan")
            _wrapped(key.meaning, "    ", console)
            console.print()


def _wrapped(text: str, indent: str, console: Console, style: str = "") -> None:
    """Print a text, paragraph by paragraph, in lines that can be read."""
    from crossfeed.display.formatting import plain

    width = min(console.width, _WIDEST)
    for number, paragraph in enumerate(plain(text).split("\n\n")):
        words = "\n" if number else ""
        line = " ".join(paragraph.split())
        words += fill(line, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
        console.print(Text(words, style=style), soft_wrap=True, highlight=False)
