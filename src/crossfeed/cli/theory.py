"""The commands `predict` and `plan`: exact theory of linear models, and the best mix of a run."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from crossfeed.cli.app import (
    AsJson,
    FigureWidth,
    Overrides,
    PresetFileOrRun,
    PresetOrFile,
    default_folder,
    examples,
    folder,
    names_run,
    print_json,
    read_experiment,
    say_files,
    terminal,
)
from crossfeed.errors import IllConditioned, InvalidInput

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment


def _output(default: str) -> Any:
    """Return the option for the folder of files."""
    text = "Where tables and figures go; with --json nowhere, unless given."
    return typer.Option(metavar="FOLDER", parser=folder, help=text, show_default=default)


commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed predict figure-2",
        "crossfeed predict figure-4 --set ecosystem.history=accumulate",
        "crossfeed predict my.yaml --json",
    )
)
def predict(
    source: PresetOrFile,
    overrides: Overrides = None,
    out: Annotated[Path | None, _output("predictions/NAME-ID")] = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Predict an experiment of linear models exactly: every generation and the limit, without running it."""
    show_prediction(read_experiment(source, overrides), out, figure_width, as_json=as_json)


def show_prediction(experiment: Experiment, out: Path | None, figure_width: float | None, *, as_json: bool) -> None:
    """Print an exact prediction and write its files."""
    from crossfeed.exact.prediction import predict as predict_experiment

    with _told():
        prediction = predict_experiment(experiment)
    if as_json:
        from crossfeed.reporting.theory.plain import prediction_data

        print_json(prediction_data(prediction))
    else:
        from crossfeed.reporting.theory.tables import render_prediction

        render_prediction(prediction, terminal())

    def write(folder: Path) -> list[Path]:
        from crossfeed.reporting.theory.files import write_prediction  # what draws is loaded only if something is drawn

        return write_prediction(prediction, folder, figure_width)

    _write_files(write, out, "predictions", experiment, as_json)


@commands.command(
    epilog=examples(
        "crossfeed plan figure-2",
        "crossfeed plan figure-4 --objective worst",
        "crossfeed plan my.yaml --free alpha,beta,fresh_fraction --per-entity --fresh-price 2",
        "crossfeed plan my.yaml --horizon 15 --over mean",
        "crossfeed plan my.yaml --objective a --json",
        "crossfeed plan runs/quickstart-0123456789ab",
    )
)
def plan(
    source: PresetFileOrRun,
    objective: Annotated[
        str, typer.Option(metavar="mean|worst|ENTITY", help="Whose limiting error is made small.")
    ] = "mean",
    free: Annotated[
        str,
        typer.Option(
            metavar="NAMES", help="What may be chosen, with commas between: alpha, beta, fresh_fraction, shares."
        ),
    ] = "alpha,beta",
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
    overrides: Overrides = None,
    out: Annotated[Path | None, _output("plans/NAME-ID")] = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Find the best weights, common and each entity's own, the cost of others, and the choices of selfish entities.

    Of linear models by exact theory; of a run by its records: the best mix of those on its grid.
    """
    if names_run(source):
        return _plan_measured(source, objective, overrides, out, as_json)
    from crossfeed.exact.planning import plan as plan_experiment

    experiment = read_experiment(source, overrides)
    with _told():
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

    _write_files(write, out, "plans", experiment, as_json)


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
    run = planned.run
    _write_files(lambda folder: write_measured_plan(planned, folder), out, "plans", run.experiment, as_json)


@contextmanager
def _told() -> Iterator[None]:
    """Print the theory's warnings on stderr, each once and as a sentence."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", IllConditioned)
        yield
    for text in dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, IllConditioned)):
        typer.echo(f"Note: {text}.", err=True)
    for each in caught:
        if not issubclass(each.category, IllConditioned):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _write_files(
    write: Callable[[Path], list[Path]], out: Path | None, kind: str, experiment: Experiment, as_json: bool
) -> None:
    """Write files and print their names; with JSON, files are written only into a folder that is given."""
    if as_json and out is None:
        return
    say_files(write(out or default_folder(experiment, kind)), as_json)
