"""The application, the types of arguments that commands share, and the output of JSON and of errors."""

from __future__ import annotations

import glob
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer
from rich.console import Console
from typer.core import TyperGroup

from crossfeed.cli import completion
from crossfeed.errors import CrossfeedError, InvalidInput
from crossfeed.interrupts import Terminated, terminable

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment

__all__ = [
    "BUG",
    "CLOSED_PIPE",
    "NOT_ALL_WELL",
    "STOPPED",
    "UNPRINTED",
    "UNUSABLE",
    "AsJson",
    "DataRoot",
    "Location",
    "Locations",
    "Out",
    "Overrides",
    "PresetFileOrRun",
    "PresetOrFile",
    "app",
    "check_data_root",
    "complain",
    "default_folder",
    "examples",
    "folder",
    "names_run",
    "print_json",
    "read_experiment",
    "run_of",
    "say_files",
    "stoppable",
    "terminal",
]

NOT_ALL_WELL: Final = 1
"""Exit code: finished, but some cells failed, or something that crossfeed needs is broken."""
UNUSABLE: Final = 2
"""Exit code: an argument or a file cannot be used."""
BUG: Final = 70
"""Exit code: a bug, that is, an error not raised on purpose (EX_SOFTWARE of sysexits.h)."""
UNPRINTED: Final = 74
"""Exit code: all went well, but what was to be printed is lost (EX_IOERR of sysexits.h)."""
STOPPED: Final = 130
"""Exit code: stopped by Ctrl-C (128 + SIGINT, as in shells)."""
CLOSED_PIPE: Final = 141
"""Exit code: the output is read no further, as in ``crossfeed show RUN | head -1`` (128 + SIGPIPE, as in shells)."""


class _Commands(TyperGroup):
    """A group of commands that end with code 141 where the output is read no further, as other programs do."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the rest of the output is dropped
            raise typer.Exit(CLOSED_PIPE) from None


class _Terminal(Console):
    """Standard output; a closed pipe is raised, for `_Commands` to handle."""

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
    """Return the end of a command's help: examples, one below the other."""
    gap = "\n\n\n\n"  # a paragraph's, doubled: half of it would be read as one within a paragraph
    return gap.join(["Examples:" if len(commands) > 1 else "Example:", *(f"`{command}`" for command in commands)])


def _location(text: str) -> str:
    """Return a folder's name; refuse the empty one, which would mean the current folder, and impossible ones."""
    if not text:
        raise typer.BadParameter("the name of a folder is missing")
    if "\0" in text:
        raise typer.BadParameter("no folder's name holds the character NUL")
    return text


def folder(text: str) -> Path:
    """Return the folder of a name."""
    return Path(_location(text))


PresetOrFile = Annotated[
    str,
    typer.Argument(
        metavar="PRESET|FILE",
        help="A preset's name or a YAML file.",
        show_default=False,
        autocompletion=completion.descriptions,
    ),
]
PresetFileOrRun = Annotated[
    str,
    typer.Argument(
        metavar="PRESET|FILE|RUN",
        help="A preset's name, a YAML file, or a run's folder or URL.",
        show_default=False,
        autocompletion=completion.runs_and_descriptions,
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Change one field; may be given again."),
]
FigureWidth = Annotated[
    float | None,
    typer.Option(
        metavar="INCHES",
        min=2.5,
        max=20,
        help="Width of PDF figures for a paper, in letters of 7 points: 3.25 for a column of two, 5.5 to 7 for a page.",
        show_default="as on a screen",
    ),
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
        help="A run's folder or URL; several are laid side by side.",
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


def _version(requested: bool) -> None:
    if requested:
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
    """Return the experiment that a preset or a file describes."""
    from crossfeed.description.experiment import Experiment
    from crossfeed.description.reading import read_description

    return Experiment.from_yaml(read_description(source), tuple(overrides or ()))


def names_run(subject: str) -> bool:
    """Return True if an argument names a run: a folder or a URL, and no preset."""
    from crossfeed.description.reading import preset_names
    from crossfeed.store import is_remote, open_store

    if not subject or subject in preset_names() or (is_remote(subject) and subject.endswith((".yaml", ".yml"))):
        return False
    here = None if is_remote(subject) else open_store(subject).folder
    return here is None or os.path.isdir(here)  # False also for a name that no file can have


def run_of(source: str, overrides: list[str] | None, out: str | None) -> tuple[Experiment, str]:
    """Return the experiment to run and its location; a run goes on where it is, as it was described or with more."""
    if not names_run(source):
        experiment = read_experiment(source, overrides)
        return experiment, str(out or _own_folder(experiment))
    from crossfeed.running.described import resumed
    from crossfeed.store import open_store

    experiment = resumed(open_store(source), tuple(overrides or ()))
    if out is not None:
        raise InvalidInput(
            f"--out {out}: {source} is a run, which goes on where it is; leave --out out, or run its description "
            f"elsewhere: crossfeed run {source.rstrip('/')}/experiment.yaml --out {out}"
        )
    return experiment, source


def default_folder(experiment: Experiment, kind: str = "runs") -> Path:
    """Return the default folder of an experiment's runs, predictions or plans."""
    return Path(kind) / f"{experiment.name}-{experiment.id}"


def _own_folder(experiment: Experiment) -> Path:
    """Return the folder of an experiment: of its id, or that of a run of fewer generations, cells or metrics of it."""
    own = default_folder(experiment)
    if own.exists() or not own.parent.is_dir():
        return own
    from crossfeed.running.described import smaller_run

    return smaller_run(sorted(own.parent.glob(f"{glob.escape(experiment.name)}-*")), experiment) or own


def check_data_root(data_root: Path | None) -> None:
    """Refuse a folder that does not exist."""
    if data_root is not None and not data_root.is_dir():
        raise CrossfeedError(f"--data-root {data_root}: no such folder; give one laid out <data set>/<split>.parquet")


def terminal() -> Console:
    """Return the console for tables: in colour on terminals only, unless ``NO_COLOR`` or ``FORCE_COLOR`` is set."""
    return _Terminal()


def print_json(data: Any) -> None:
    """Print one line of JSON; numbers that are not finite are null, since JSON has none."""
    from crossfeed.display.formatting import finite_or_null

    typer.echo(json.dumps(finite_or_null(data), allow_nan=False))


@contextmanager
def stoppable(words: str) -> Iterator[None]:
    """Open a context that Ctrl-C ends with code 130, and SIGTERM with 0, both with a sentence.

    Args:
        words: What is kept, and how to go on.
    """
    try:
        with terminable():
            yield
    except KeyboardInterrupt as interrupt:
        complain(f"stopped; {words}")
        raise typer.Exit(0 if isinstance(interrupt, Terminated) else STOPPED) from None


def say_files(files: list[Path], as_json: bool) -> None:
    """Print the names of files that were written, except beside JSON."""
    if not as_json:
        typer.echo(f"files  {files[0].parent}: {', '.join(file.name for file in files)}")


def complain(message: str) -> None:
    """Print one paragraph on standard error; nothing in it moves the cursor, no URL has credentials."""
    from crossfeed.display.addresses import masked
    from crossfeed.display.formatting import plain

    typer.echo(f"crossfeed: {plain(masked(message))}", err=True)
