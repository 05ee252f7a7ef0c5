"""The command line: it parses, calls the library, and turns errors into one clear paragraph.

Exit codes: 0 all went well; 1 some cells failed; 2 something that was given cannot be used; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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

Source = Annotated[
    str, typer.Argument(metavar="PRESET|FILE", help="A preset's name or a YAML file.", show_default=False)
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH.TO.KEY=VALUE", help="Change one field; may be given again."),
]
Output = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        help="Where tables and figures go; with --json nowhere, unless given.",
        show_default="predictions/NAME-ID or plans/NAME-ID",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print numbers for programs, and nothing else.")]

Folder = Annotated[Path, typer.Argument(metavar="RUN", help="A run's folder.", show_default=False)]


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


@app.command(
    epilog="Examples: `crossfeed run quickstart` · "
    "`crossfeed run my.yaml --set ecosystem.beta=0.9 --set seeds=[0,1,2]` · "
    "`crossfeed run sciq-gsm8k-small --data-root data/`"
)
def run(
    source: Source,
    overrides: Overrides = None,
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
    from crossfeed.loop import run as run_experiment
    from crossfeed.progress import for_stream
    from crossfeed.store.disk import DiskStore

    experiment = _experiment(source, overrides)
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
    page = _write_report(folder)
    _show(folder)
    typer.echo(f"records  {folder / 'records.parquet'}\nreport   {page}")
    raise typer.Exit(1 if outcome.failures else 0)


@app.command(
    epilog="Examples: `crossfeed predict figure-2` · `crossfeed predict figure-4 --set ecosystem.history=accumulate` · "
    "`crossfeed predict my.yaml --json`"
)
def predict(
    source: Source,
    overrides: Overrides = None,
    out: Output = None,
    as_json: AsJson = False,
) -> None:
    """Predict an experiment of linear models exactly: every generation and the limit, without running it."""
    from crossfeed.predict import predict as predict_experiment
    from crossfeed.report.theory_files import prediction_data, write_prediction
    from crossfeed.report.theory_tables import render_prediction

    experiment = _experiment(source, overrides)
    prediction = predict_experiment(experiment)
    if as_json:
        _print_json(prediction_data(prediction))
    else:
        render_prediction(prediction, Console())
    _write_files(lambda folder: write_prediction(prediction, folder), out, "predictions", experiment, as_json)


@app.command(
    epilog="Examples: `crossfeed plan figure-2` · `crossfeed plan figure-4 --objective worst` · "
    "`crossfeed plan my.yaml --objective a --json`"
)
def plan(
    source: Source,
    objective: Annotated[
        str, typer.Option(metavar="mean|worst|ENTITY", help="Whose limiting error is made small.")
    ] = "mean",
    overrides: Overrides = None,
    out: Output = None,
    as_json: AsJson = False,
) -> None:
    """Find the best weights alpha and beta, what others cost, and what selfish entities would choose."""
    from crossfeed.plan import plan as plan_experiment
    from crossfeed.report.theory_files import plan_data, write_plan
    from crossfeed.report.theory_tables import render_plan

    experiment = _experiment(source, overrides)
    planned = plan_experiment(experiment, objective)
    if as_json:
        _print_json(plan_data(planned))
    else:
        render_plan(planned, Console())
    _write_files(lambda folder: write_plan(planned, folder), out, "plans", experiment, as_json)


@app.command(epilog="Example: `crossfeed show runs/quickstart-0123456789ab`")
def show(folder: Folder) -> None:
    """Print a run's tables; it may still be running."""
    _show(folder)


@app.command(epilog="Example: `crossfeed report runs/quickstart-0123456789ab`")
def report(folder: Folder) -> None:
    """Write a run's report: one static page, figures and tables, in RUN/report."""
    typer.echo(f"report   {_write_report(folder)}")


@app.command(epilog="Examples: `crossfeed presets` · `crossfeed presets quickstart > mine.yaml`")
def presets(
    name: Annotated[str | None, typer.Argument(metavar="[PRESET]", help="Print this one, to start from.")] = None,
) -> None:
    """List the experiments that come with crossfeed, or print one."""
    from crossfeed.description import preset_names, read_preset
    from crossfeed.experiment import Experiment

    if name is not None:
        typer.echo(read_preset(name), nl=False)
        return
    console = Console()
    for each in preset_names():
        console.print(Text(each, style="bold"))
        console.print(Text(f"  {Experiment.from_yaml(read_preset(each)).description}"))


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


def _experiment(source: str, overrides: list[str] | None) -> Experiment:
    from crossfeed.description import read_description
    from crossfeed.experiment import Experiment

    return Experiment.from_yaml(read_description(source), tuple(overrides or ()))


def _default_folder(experiment: Experiment, kind: str = "runs") -> Path:
    return Path(kind) / f"{experiment.name}-{experiment.id}"


def _print_json(data: dict[str, Any]) -> None:
    import json

    typer.echo(json.dumps(data, allow_nan=False))


def _write_files(
    write: Callable[[Path], list[Path]], out: Path | None, kind: str, experiment: Experiment, as_json: bool
) -> None:
    """Write files and say which; programs that asked for JSON get files only where they name a folder."""
    if as_json and out is None:
        return
    files = write(out or _default_folder(experiment, kind))
    if not as_json:
        typer.echo(f"files  {files[0].parent}: {', '.join(file.name for file in files)}")


def _check_data_root(data_root: Path | None) -> None:
    if data_root is not None and not data_root.is_dir():
        raise CrossfeedError(f"--data-root {data_root}: no such folder; give one laid out <data set>/<split>.parquet")


def _show(folder: Path) -> None:
    from crossfeed.report.frames import Run
    from crossfeed.report.tables import render

    render(Run.load(folder), Console())


def _write_report(folder: Path) -> Path:
    from crossfeed.report.frames import Run
    from crossfeed.report.html import write_report

    return write_report(Run.load(folder), folder / "report")


def _complain(message: str) -> None:
    typer.echo(f"crossfeed: {message}", err=True)
