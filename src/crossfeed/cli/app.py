"""The command line's common part: the application, what arguments mean, and how errors are told."""

from __future__ import annotations

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from crossfeed.cli import completion
from crossfeed.errors import CrossfeedError

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment
    from crossfeed.reporting.data.frames import Run

__all__ = [
    "BUG",
    "CLOSED_PIPE",
    "NOT_ALL_WELL",
    "STOPPED",
    "UNUSABLE",
    "AsJson",
    "DataRoot",
    "Location",
    "Locations",
    "Out",
    "Overrides",
    "Source",
    "app",
    "check_data_root",
    "complain",
    "default_folder",
    "examples",
    "folder",
    "print_json",
    "read_experiment",
    "report_folder",
    "terminal",
]

NOT_ALL_WELL: Final = 1
"""Exit code: done, and some cells failed, or something that crossfeed needs is broken."""
UNUSABLE: Final = 2
"""Exit code: something that was given cannot be used."""
BUG: Final = 70
"""Exit code: an error that nobody raised on purpose (EX_SOFTWARE of sysexits.h)."""
STOPPED: Final = 130
"""Exit code: stopped by Ctrl-C (128 + SIGINT, as shells have it)."""
CLOSED_PIPE: Final = 141
"""Exit code: nobody reads on, as in ``crossfeed show RUN | head -1`` (128 + SIGPIPE, as shells have it)."""


class _Commands(TyperGroup):
    """Commands that end as other programs do where whoever reads their output stops reading."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is left to write goes nowhere
            raise typer.Exit(CLOSED_PIPE) from None


class _Terminal(Console):
    """Standard output; a reader that is gone is told to `_Commands`."""

    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Ecosystems of generative models that train on each other's outputs: describe, run, read what happened.",
    epilog="Start with `crossfeed run quickstart`: two small language models, two minutes on two cores, no network.",
)


def examples(*commands: str) -> str:
    """What follows a command's help: ways to type it, one below the other."""
    gap = "\n\n\n\n"  # that of paragraphs, doubled: half of it is taken for one within a paragraph
    return gap.join(["Examples:" if len(commands) > 1 else "Example:", *(f"`{command}`" for command in commands)])


def _location(text: str) -> str:
    """Refuse the empty name, which would mean the current folder, and names that no folder can have."""
    if not text:
        raise typer.BadParameter("the name of a folder is missing")
    if "\0" in text:
        raise typer.BadParameter("no folder's name holds the character NUL")
    return text


def folder(text: str) -> Path:
    """A folder that is named."""
    return Path(_location(text))


Source = Annotated[
    str,
    typer.Argument(
        metavar="PRESET|FILE",
        help="A preset's name or a YAML file.",
        show_default=False,
        autocompletion=completion.descriptions,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Change one field; may be given again."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document for programs, and nothing else.")]
Location = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        parser=_location,
        help="A run's folder, or its URL such as s3://bucket/run.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
Locations = Annotated[
    list[str],
    typer.Argument(
        metavar="RUN",
        parser=_location,
        help="A run's folder or URL; several are laid beside each other.",
        show_default=False,
        autocompletion=completion.runs,
    ),
]
Out = Annotated[
    str | None,
    typer.Option(
        "--out",
        metavar="FOLDER",
        parser=_location,
        help="The run's folder, or a URL such as s3://bucket/run.",
        show_default="runs/NAME-ID",
    ),
]
DataRoot = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", parser=folder, help="Read hub data sets from here: DATASET/SPLIT.parquet."),
]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"crossfeed {version('crossfeed')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def read_experiment(source: str, overrides: list[str] | None) -> Experiment:
    """The experiment that a preset's name or a file describes."""
    from crossfeed.description.experiment import Experiment
    from crossfeed.description.reading import read_description

    return Experiment.from_yaml(read_description(source), tuple(overrides or ()))


def default_folder(experiment: Experiment, kind: str = "runs") -> Path:
    """Where what belongs to an experiment is kept unless told otherwise."""
    return Path(kind) / f"{experiment.name}-{experiment.id}"


def report_folder(run: Run) -> Path:
    """Where a run's report goes unless told otherwise: into its folder, or, for a run that is elsewhere, beside one."""
    here = run.store.folder
    return Path("reports") / f"{run.experiment.name}-{run.id}" if here is None else here / "report"


def check_data_root(data_root: Path | None) -> None:
    """Refuse a folder that is not there."""
    if data_root is not None and not data_root.is_dir():
        raise CrossfeedError(f"--data-root {data_root}: no such folder; give one laid out <data set>/<split>.parquet")


def terminal() -> Console:
    """Where tables are printed: in colour on terminals alone, unless ``NO_COLOR`` or ``FORCE_COLOR`` says otherwise."""
    return _Terminal()


def print_json(data: Any) -> None:
    """One line of JSON; what is not a finite number is null, for JSON has no other word for it."""
    typer.echo(json.dumps(_finite(data), allow_nan=False))


def _finite(data: Any) -> Any:
    if isinstance(data, dict):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data


def complain(message: str) -> None:
    """One paragraph on standard error; nothing in it moves the cursor."""
    from crossfeed.display.formatting import plain

    typer.echo(f"crossfeed: {plain(message)}", err=True)
