"""The command `forecast`: a whole grid from a few probes, with how sure it is."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfeed.cli.app import (
    AsJson,
    DataRoot,
    FigureWidth,
    Overrides,
    PresetFileOrRun,
    check_data_root,
    default_folder,
    examples,
    folder,
    print_json,
    run_of,
    say_files,
    stoppable,
    terminal,
)
from crossfeed.cli.theory import show_prediction
from crossfeed.errors import InvalidInput

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment
    from crossfeed.forecasting.answer import Forecast
    from crossfeed.store.folder import FolderStore

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed forecast quickstart",
        "crossfeed forecast my.yaml --budget 8 --set ecosystem.beta=0.9",
        "crossfeed forecast runs/my-0123456789ab",
        "crossfeed forecast sciq-gsm8k-small --data-root data/ --json",
    )
)
def forecast(
    source: PresetFileOrRun,
    budget: Annotated[
        float, typer.Option(metavar="GENERATIONS", help="What probes may cost, in generations of one cell.")
    ] = 5.0,
    overrides: Overrides = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=folder,
            help="Where tables and figures go; with --json nowhere, unless given. Probes are kept in the run's folder.",
            show_default="RUN/forecast",
        ),
    ] = None,
    data_root: DataRoot = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Forecast all cells of a grid from a few probes: final losses with bands, the best alpha and beta, the cost.

    Probes that are generations of cells are kept in the run's folder, and `crossfeed run` goes on from them. Linear
    models are predicted exactly, as by `crossfeed predict`.
    """
    if not (math.isfinite(budget) and budget > 0):
        raise InvalidInput(f"--budget {budget:g}: give a positive number of generations, such as 5")
    experiment, place = run_of(source, overrides, None)
    check_data_root(data_root)
    if experiment.learner.kind == "linear":
        typer.echo("Linear models need no probes: this is the exact answer of `crossfeed predict`.", err=True)
        show_prediction(experiment, out, figure_width, as_json=as_json)
        return
    with stoppable(f"finished probes are kept in {place}, and the same command goes on from there"):
        made, store = _probed(experiment, place, budget, data_root)
        _show(made, as_json=as_json)
        if out is not None or not as_json:
            from crossfeed.reporting.forecasts.files import write_forecast  # what draws is loaded only if it draws

            say_files(write_forecast(made, out or _folder_of(store, experiment), figure_width), as_json)


def _probed(experiment: Experiment, place: str, budget: float, data_root: Path | None) -> tuple[Forecast, FolderStore]:
    """Run the probes that are not there yet, and forecast."""
    from crossfeed.display.progress import for_stream
    from crossfeed.forecasting.probing import forecast as forecast_grid
    from crossfeed.store import open_store

    store = open_store(place)
    with for_stream(sys.stderr) as progress:
        return forecast_grid(experiment, store, budget=budget, data_root=data_root, progress=progress), store


def _show(made: Forecast, *, as_json: bool) -> None:
    if as_json:
        from crossfeed.reporting.forecasts.plain import forecast_data

        print_json(forecast_data(made))
        return
    from crossfeed.reporting.forecasts.tables import render_forecast

    render_forecast(made, terminal())


def _folder_of(store: FolderStore, experiment: Experiment) -> Path:
    """Return the default folder of a forecast's files: in the run's, or ``forecasts/NAME-ID`` for a run elsewhere."""
    from crossfeed.store.inside import inside

    return default_folder(experiment, "forecasts") if store.folder is None else inside(store.folder, "forecast")
