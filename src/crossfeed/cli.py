"""The command line: it parses, calls the library, and turns errors into one clear paragraph.

Exit codes: 0 all went well; 1 some cells failed; 2 something that was given cannot be used; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.text import Text

from crossfeed.errors import CrossfeedError

if TYPE_CHECKING:
    from crossfeed.experiment import Experiment

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Ecosystems of generative models that train on each other's outputs: describe, run, read what happened.",
    epilog="Start with `crossfeed run quickstart`: two small language models, five minutes on two cores, no network.",
)

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]


@app.command(
    epilog="Examples: `crossfeed run quickstart` · "
    "`crossfeed run my.yaml --set ecosystem.beta=0.9 --set seeds=[0,1,2]` · "
    "`crossfeed run sciq-gsm8k-small --data-root data/`"
)
def run(
    source: Annotated[
        str, typer.Argument(metavar="PRESET|FILE", help="A preset's name or a YAML file.", show_default=False)
    ],
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Change one field; may be given again."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="The run's folder.", show_default="runs/NAME-ID")
    ] = None,
    data_root: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Read hub data sets from FOLDER/DATASET/SPLIT.parquet."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try cells again that failed before.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the tables at the end.")] = False,
) -> None:
    """Run an experiment, or go on with one that was stopped: type the same command again."""
    from crossfeed.description import read_description
    from crossfeed.experiment import Experiment
    from crossfeed.loop import run as run_experiment
    from crossfeed.progress import for_stream
    from crossfeed.store.disk import DiskStore

    experiment = Experiment.from_yaml(read_description(source), tuple(overrides or ()))
    folder = out or _default_folder(experiment)
    _check_data_root(data_root)
    try:
        with for_stream(sys.stderr, quiet=quiet) as progress:
            progress.note(f"{experiment.name}: {len(experiment.cells())} cells, in {folder}")
            outcome = run_experiment(
                experiment, DiskStore(folder), data_root=data_root, progress=progress, retry_failed=retry_failed
            )
    except KeyboardInterrupt:
        _complain(f"stopped; what is finished is kept in {folder}, and the same command goes on from there")
        raise typer.Exit(130) from None
    _show(folder)
    _write_report(folder)
    raise typer.Exit(1 if outcome.failures else 0)


@app.command(epilog="Example: `crossfeed show runs/quickstart-0123456789ab`")
def show(folder: Folder) -> None:
    """Print a run's tables; it may still be running."""
    _show(folder)


@app.command(epilog="Example: `crossfeed report runs/quickstart-0123456789ab`")
def report(folder: Folder) -> None:
    """Write a run's report: one static page, figures and tables, in RUN/report."""
    _write_report(folder)


@app.command()
def presets() -> None:
    """List the experiments that come with crossfeed."""
    from crossfeed.description import preset_names, read_description
    from crossfeed.experiment import Experiment

    console = Console()
    for name in preset_names():
        console.print(Text(name, style="bold"))
        console.print(Text(f"  {Experiment.from_yaml(read_description(name)).description}"))


def main() -> None:
    """Run the command line; every error raised on purpose becomes one paragraph and exit code 2."""
    try:
        app()
    except CrossfeedError as error:
        _complain(str(error))
        sys.exit(2)
    except KeyboardInterrupt:
        _complain("stopped")
        sys.exit(130)


def _default_folder(experiment: Experiment) -> Path:
    return Path("runs") / f"{experiment.name}-{experiment.id}"


def _check_data_root(data_root: Path | None) -> None:
    if data_root is not None and not data_root.is_dir():
        raise CrossfeedError(f"--data-root {data_root}: no such folder; give one laid out <data set>/<split>.parquet")


def _show(folder: Path) -> None:
    from crossfeed.report.frames import Run
    from crossfeed.report.tables import render

    render(Run.load(folder), Console())


def _write_report(folder: Path) -> None:
    from crossfeed.report.frames import Run
    from crossfeed.report.html import write_report

    page = write_report(Run.load(folder), folder / "report")
    typer.echo(f"records  {folder / 'records.parquet'}\nreport   {page}")


def _complain(message: str) -> None:
    typer.echo(f"crossfeed: {message}", err=True)
