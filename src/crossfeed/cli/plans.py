"""The command `plan`: the best weights, by exact theory, by a forecast, or by what a run measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    names_run,
    print_json,
    read_experiment,
    stoppable,
    terminal,
)
from crossfeed.cli.theory import noted_warnings, output_option, write_files
from crossfeed.errors import InvalidDescription, InvalidInput

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment
    from crossfeed.forecasting.planning import ForecastPlan
    from crossfeed.reporting.data.frames import Run

commands = typer.Typer()

_SEARCHED = "alpha,beta"


@commands.command(
    epilog=examples(
        "crossfeed plan figure-2",
        "crossfeed plan figure-4 --objective worst",
        "crossfeed plan my.yaml --free alpha,beta,fresh_fraction --per-entity --fresh-price 2",
        "crossfeed plan my.yaml --horizon 15 --over mean",
        "crossfeed plan my.yaml --objective a --json",
        "crossfeed plan quickstart --budget 8",
        "crossfeed plan runs/quickstart-0123456789ab",
    )
)
def plan(
    source: PresetFileOrRun,
    objective: Annotated[
        str, typer.Option(metavar="mean|worst|ENTITY", help="Whose limiting error, or last loss, is made small.")
    ] = "mean",
    free: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="What may be chosen, with commas between: alpha, beta, fresh_fraction, shares."
        ),
    ] = _SEARCHED,
    per_entity: Annotated[bool, typer.Option("--per-entity", help="Choose each entity's own alpha and beta.")] = False,
    hold: Annotated[
        str, typer.Option(metavar="ENTITIES", help="Entities that keep their alpha and beta: a,b.", show_default=False)
    ] = "",
    dispersion_price: Annotated[
        float, typer.Option(help="Added to the error for each unit of dispersion; negative pays for variety.")
    ] = 0.0,
    fresh_price: Annotated[float, typer.Option(help="Added to the error for a pool of fresh data alone.")] = 0.0,
    horizon: Annotated[
        int | None, typer.Option(metavar="T", help="Also choose alpha and beta of every generation up to T.")
    ] = None,
    over: Annotated[
        Literal["last", "mean"], typer.Option(help="The error at the horizon, or the mean over the generations.")
    ] = "last",
    front: Annotated[bool, typer.Option("--front", help="Also find the least error at every dispersion.")] = False,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="GENERATIONS",
            help="Of models that are forecast: what probes may cost, in generations of one cell.",
            show_default="5",
        ),
    ] = None,
    overrides: Overrides = None,
    out: Annotated[Path | None, output_option("plans/NAME-ID")] = None,
    data_root: DataRoot = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Find the best weights, common and each entity's own, the cost of others, and the choices of selfish entities.

    Of linear models by exact theory; of other models by a forecast, whose probes are run and kept in the run's folder;
    of a run by its records: the best mix of those on its grid.
    """
    probing = {"--budget": budget, "--data-root": data_root}
    if names_run(source):
        _refuse(probing, source + " is a run, whose measured mixes are compared; leave {} out")
        return _plan_measured(source, objective, overrides, out, as_json)
    experiment = read_experiment(source, overrides)
    if experiment.learner.kind != "linear":
        searched = set(_names(free)) == set(_names(_SEARCHED))
        _refuse(
            {"--free": None if searched else free},
            "a plan of models that are forecast chooses alpha and beta; leave --free out, and fix what else there is "
            "with --set",
        )
        _refuse(
            {"--hold": hold or None},
            "a plan of models that are forecast moves all entities; leave --hold out, and see the prices",
        )
        _refuse(
            {"--horizon": horizon, "--over": None if over == "last" else over},
            "a plan of models that are forecast is of weights that stay, and of the last generation; leave {} out, and "
            "give the generations with --set generations=T",
        )
        _refuse(
            {
                "--front": "" if front else None,
                "--fresh-price": fresh_price or None,
                "--dispersion-price": dispersion_price or None,
            },
            "it needs exact theory (learner: kind: linear); leave {} out, and see the dispersion of every mix in the "
            "landscape",
        )
        return _plan_forecast(experiment, objective, budget, data_root, out, figure_width, as_json)
    _refuse(probing, "a plan of linear models is exact and needs no probes; leave {} out")
    from crossfeed.exact.planning import plan as plan_experiment

    with noted_warnings():
        planned = plan_experiment(
            experiment,
            objective,
            free=_names(free),
            per_entity=per_entity,
            held=_names(hold),
            dispersion_price=dispersion_price,
            fresh_price=fresh_price,
            horizon=horizon,
            over=over,
            front=front,
        )
    if as_json:
        from crossfeed.reporting.theory.plain import plan_data

        print_json(plan_data(planned))
    else:
        from crossfeed.reporting.theory.tables import render_plan

        render_plan(planned, terminal())

    def write(folder: Path) -> list[Path]:
        from crossfeed.reporting.theory.files import write_plan  # as in `predict`

        return write_plan(planned, folder, figure_width)

    write_files(write, out, "plans", experiment, as_json)


def _refuse(options: dict[str, Any], why: str) -> None:
    """Refuse options that are given; braces in the reason stand for the option's name."""
    for name, value in options.items():
        if value is not None:
            given = f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}".rstrip()
            raise InvalidInput(f"{given}: {why.replace('{}', name)}")


def _plan_forecast(
    experiment: Experiment,
    objective: str,
    budget: float | None,
    data_root: Path | None,
    out: Path | None,
    figure_width: float | None,
    as_json: bool,
) -> None:
    """Plan on the surrogate: run the probes that are not there yet, and search."""
    check_data_root(data_root)
    place = default_folder(experiment)
    with stoppable(f"finished probes are kept in {place}, and the same command goes on from there"):
        planned = _probed(experiment, place, objective, 5.0 if budget is None else budget, data_root)
        if as_json:
            from crossfeed.reporting.forecasts.plan_plain import forecast_plan_data

            print_json(forecast_plan_data(planned))
        else:
            from crossfeed.reporting.forecasts.plan_tables import render_forecast_plan

            render_forecast_plan(planned, terminal())

        def write(folder: Path) -> list[Path]:
            from crossfeed.reporting.forecasts.plan_files import write_forecast_plan  # as in `predict`

            return write_forecast_plan(planned, folder, figure_width)

        write_files(write, out, "plans", experiment, as_json)


def _probed(experiment: Experiment, place: Path, objective: str, budget: float, data_root: Path | None) -> ForecastPlan:
    from crossfeed.display.progress import for_stream
    from crossfeed.forecasting.planning import forecast_plan
    from crossfeed.store import open_store

    with for_stream(sys.stderr) as progress:
        return forecast_plan(
            experiment, open_store(place), objective, budget=budget, data_root=data_root, progress=progress
        )


def _plan_measured(source: str, objective: str, overrides: list[str] | None, out: Path | None, as_json: bool) -> None:
    """Find the best mix of those that a run measured."""
    from crossfeed.reporting.plans import plan as plan_run
    from crossfeed.reporting.terminal.measured_mix import measured_plan_data, render_measured_plan
    from crossfeed.reporting.theory.files import write_measured_plan

    if overrides:
        raise InvalidInput(f"--set {overrides[0]}: {source} is a run, which is read as it is; leave --set out")
    planned = plan_run(source, objective)
    if as_json:
        print_json(measured_plan_data(planned))
    else:
        render_measured_plan(planned, terminal())
        _show_stored(planned.run, source, objective)
    run = planned.run
    write_files(lambda folder: write_measured_plan(planned, folder), out, "plans", run.experiment, as_json)


def _show_stored(run: Run, source: str, objective: str) -> None:
    """Print what a surrogate says of a run that was looked at on the way; nothing of one that was not."""
    from crossfeed.forecasting.planning import stored_plan
    from crossfeed.reporting.forecasts.plan_tables import render_stored_plan
    from crossfeed.store import open_store

    try:
        planned = stored_plan(run.experiment, open_store(source), objective)
    except InvalidDescription:  # its grid varies more than weights
        return
    if planned is not None:
        render_stored_plan(planned, terminal())


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())
