"""The commands `run`, `show`, `status`, `report` and `presets`: experiments, their runs and their reports."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.text import Text

from crossfeed.cli import completion
from crossfeed.cli.app import (
    NOT_ALL_WELL,
    AsJson,
    DataRoot,
    FigureWidth,
    Location,
    Locations,
    Out,
    Overrides,
    PresetFileOrRun,
    check_data_root,
    default_folder,
    examples,
    folder,
    print_json,
    run_of,
    stoppable,
    terminal,
)
from crossfeed.cli.doctor import check_and_exit
from crossfeed.display.addresses import masked
from crossfeed.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

    from crossfeed.description.experiment import Experiment
    from crossfeed.protocols import Forecaster, Progress
    from crossfeed.reporting.data.frames import Run
    from crossfeed.running.session import Session

ReportFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        parser=folder,
        help="Where it goes.",
        show_default="RUN/report; reports/NAME-ID for a run elsewhere; reports/compare-IDS for several",
    ),
]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed run quickstart",
        "crossfeed run my.yaml --set ecosystem.beta=0.9 --set seeds=[0,1,2]",
        "crossfeed run runs/my-0123456789ab",
        "crossfeed run sciq-gsm8k-small --data-root data/ --workers 8",
        "crossfeed run my.yaml --stop-when-known 0.03",
        "crossfeed run my.yaml --cells 3/8",
        "crossfeed run my.yaml --executor ray --address auto --gpus 0.5 --out s3://bucket/run",
    )
)
def run(
    source: PresetFileOrRun,
    overrides: Overrides = None,
    out: Out = None,
    data_root: DataRoot = None,
    executor: Annotated[
        Literal["auto", "serial", "processes", "ray"],
        typer.Option(
            metavar="WHERE",
            help="Where the work is done: serial, processes or ray; auto: processes for models that keep all cores "
            "busy.",
        ),
    ] = "auto",
    workers: Annotated[int | None, typer.Option(help="How many workers.", show_default="all cores")] = None,
    spread: Annotated[Literal["auto", "cells", "entities"], typer.Option(help="What the workers are given.")] = "auto",
    cells: Annotated[
        str | None,
        typer.Option(
            metavar="I/M",
            help="Share the run with other processes: begin with the I-th of M shares of its cells, then take those "
            "that nobody is at work on.",
            show_default="the Slurm array task's own, else all alone",
        ),
    ] = None,
    address: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="A Ray cluster.", show_default="one started here")
    ] = None,
    gpus: Annotated[float, typer.Option(help="GPUs, or a fraction of one, for each worker on Ray.")] = 0.0,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try cells again that failed before.")] = False,
    track: Annotated[
        Literal["tensorboard", "trackio", "wandb"] | None,
        typer.Option(
            help="Show the numbers there while it runs; files go to RUN/TRACKER, Trackio's to its own folder.",
            show_default="nowhere",
        ),
    ] = None,
    forecast: Annotated[
        bool, typer.Option("--forecast", help="Forecast the cells that are still to come from those that were run.")
    ] = False,
    stop_when_known: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Forecast, and leave cells out whose losses are forecast to within this share: 0.03 for 3 %.",
            show_default="run all cells",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only check it: data, expected time and disk; as `crossfeed check`.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the tables at the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run an experiment, or continue one that was stopped: type the same command again, or give the run's folder."""
    from crossfeed.display.progress import for_stream
    from crossfeed.executors import executor_for
    from crossfeed.executors.slurm import array_share
    from crossfeed.loop import run as run_experiment
    from crossfeed.running.shares import parse_share
    from crossfeed.store import open_store
    from crossfeed.tracking import open_tracker

    experiment, place = run_of(source, overrides, out)
    check_data_root(data_root)
    if stop_when_known is not None and not 0 < stop_when_known < 1:
        raise InvalidInput(f"--stop-when-known {stop_when_known:g}: give a share between 0 and 1, such as 0.03 for 3 %")
    if dry_run:
        check_and_exit(experiment, data_root, as_json=as_json)
    chosen = executor_for(experiment, executor, workers=workers, address=address, gpus=gpus)
    store = open_store(place)
    beside = store.folder or default_folder(experiment, "tracking")  # for a run that is not on this machine
    tracker = None if track is None else open_tracker(track, beside)
    forecaster = _forecaster() if forecast or stop_when_known is not None else None
    share = parse_share(cells) if cells is not None else None
    if cells is None and tracker is None and forecaster is None:
        share = array_share(os.environ)
    with (
        stoppable(f"finished work is kept in {place}, and the same command goes on from there"),
        for_stream(sys.stderr, quiet=quiet) as progress,
    ):
        _log_start(progress, experiment, place, chosen.workers)
        if share is not None and cells is None:
            progress.log(f"task {share[0]} of {share[1]} of a Slurm array: shares the cells with tasks of the same run")
        outcome = run_experiment(
            experiment,
            store,
            data_root=data_root,
            progress=progress,
            retry_failed=retry_failed,
            executor=chosen,
            spread=spread,
            tracker=tracker,
            forecaster=forecaster,
            stop_when_known=stop_when_known,
            cells=share,
        )
    failures, others = outcome.failures, outcome.others
    del outcome  # its records, which can be millions, are read again for the tables
    is_over = "the run is finished" if not others else "this process has finished"
    with stoppable(f"{is_over}, `crossfeed show {place}` prints it, `crossfeed report {place}` writes it"):
        if others:
            _show_shared(place, len(others), as_json=as_json)
        else:
            _show_finished(place, as_json=as_json)
    raise typer.Exit(NOT_ALL_WELL if failures else 0)


@commands.command(
    epilog=examples(
        "crossfeed show runs/quickstart-0123456789ab",
        "crossfeed show RUN --json | jq '.changes[] | select(.metric == \"loss\")'",
    )
)
def show(place: Location, as_json: AsJson = False) -> None:
    """Print a run's tables; it may still be running."""
    from crossfeed.reporting.data.frames import Run

    _show(Run.load(place), as_json=as_json)


@commands.command(epilog=examples("crossfeed status runs/quickstart-0123456789ab"))
def status(place: Location, as_json: AsJson = False) -> None:
    """Print the progress of a run: cells finished, running, failed (with stage and reason) and still to come."""
    from crossfeed.reporting.terminal.progress_tables import render_status, status_data
    from crossfeed.running.status import read_status
    from crossfeed.store import open_store

    current = read_status(open_store(place))
    if as_json:
        print_json(status_data(current))
    else:
        render_status(current, terminal())


@commands.command(
    epilog=examples(
        "crossfeed report runs/quickstart-0123456789ab",
        "crossfeed report runs/beta-0.1/ runs/beta-0.9/ --out side-by-side/",
        "crossfeed report runs/quickstart-0123456789ab --figure-width 3.25",
    )
)
def report(places: Locations, out: ReportFolder = None, figure_width: FigureWidth = None) -> None:
    """Write a run's report, or one page that lays several runs side by side: static, with figures and tables.

    Runs beside the paper's tables: `crossfeed compare`.
    """
    from crossfeed.reporting.reports import report as write_report

    typer.echo(f"report   {write_report(places, out, figure_width=figure_width)}")


@commands.command(epilog=examples("crossfeed presets", "crossfeed presets quickstart > mine.yaml"))
def presets(
    name: Annotated[
        str | None,
        typer.Argument(metavar="PRESET", help="Print this one, to start from.", autocompletion=completion.presets),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """List the experiments that come with crossfeed, or print one.

    The first line of each names a file that lets an editor complete and check keys: `crossfeed schema` writes it.
    """
    from crossfeed.description.experiment import Experiment
    from crossfeed.description.reading import preset_names, read_preset

    if name is not None and not as_json:
        typer.echo(read_preset(name), nl=False)
        return
    experiments = [Experiment.from_yaml(read_preset(each)) for each in (preset_names() if name is None else [name])]
    if as_json:
        print_json({"presets": [{"id": each.id, **each.model_dump(mode="json")} for each in experiments]})
        return
    console = terminal()
    for each in experiments:
        console.print(Text(each.name, style="bold"))
        console.print(Text(f"  {each.description}"))


def _forecaster() -> Callable[[Session], Forecaster]:
    from crossfeed.forecasting.live import LiveForecast

    return LiveForecast


def _show(loaded: Run, *, as_json: bool) -> None:
    from crossfeed.reporting.terminal.benchmarks import render_evaluation
    from crossfeed.reporting.terminal.run_data import run_data
    from crossfeed.reporting.terminal.tables import render

    if as_json:
        print_json(run_data(loaded))
        return
    render(loaded, terminal())
    render_evaluation(loaded, terminal())


def _show_finished(place: str, *, as_json: bool) -> None:
    from crossfeed.reporting.data.frames import Run
    from crossfeed.reporting.reports import report as write_report

    loaded = Run.load(place)
    try:
        _show(loaded, as_json=as_json)
    except BrokenPipeError:  # who reads no tables to their end may read the report
        write_report(loaded, rewrite=False)
        raise
    page = write_report(loaded, rewrite=False)
    if not as_json:
        typer.echo(f"records  {masked(place.rstrip('/'))}/records.parquet")
        typer.echo(f"report   {page}")


def _show_shared(place: str, others: int, *, as_json: bool) -> None:
    """Say how far a run is that other processes go on with."""
    if as_json:
        from crossfeed.reporting.data.frames import Run

        _show(Run.load(place), as_json=True)
        return
    from crossfeed.running.status import read_status
    from crossfeed.store import open_store

    status = read_status(open_store(place))
    at_work = f"{others} other {'process is' if others == 1 else 'processes are'} at work"
    typer.echo(
        f"{status.count('finished')} of {len(status.cells)} cells are finished, and {at_work} on the run; the last one "
        "prints the tables and writes the records and the report"
    )


def _log_start(progress: Progress, experiment: Experiment, place: str, workers: int) -> None:
    cells = len(experiment.cells())
    at_work = f", {workers} workers" if workers > 1 else ""
    progress.log(f"{experiment.name}: {cells} {'cell' if cells == 1 else 'cells'}, in {place}{at_work}")
    for name in ("alpha", "beta"):
        if isinstance(getattr(experiment.ecosystem, name), tuple):
            schedule = f"{name} is a schedule over generations, whose last value stays"
            progress.log(f"{schedule}; for a cell for each value give grid.ecosystem.{name}")
