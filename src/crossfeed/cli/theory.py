"""The command `predict`, and what it has in common with `plan`: exact theory of linear and of discrete models."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from crossfeed.cli.app import (
    AsJson,
    FigureWidth,
    Overrides,
    PresetOrFile,
    default_folder,
    examples,
    folder,
    print_json,
    read_experiment,
    say_files,
    terminal,
)
from crossfeed.errors import IllConditioned

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment


def output_option(default: str) -> Any:
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
    out: Annotated[Path | None, output_option("predictions/NAME-ID")] = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Predict an experiment of linear or discrete models exactly: every generation, without running it."""
    show_prediction(read_experiment(source, overrides), out, figure_width, as_json=as_json)


def show_prediction(experiment: Experiment, out: Path | None, figure_width: float | None, *, as_json: bool) -> None:
    """Print an exact prediction and write its files."""
    from crossfeed.exact.prediction import predict as predict_experiment

    with noted_warnings():
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

    write_files(write, out, "predictions", experiment, as_json)


@contextmanager
def noted_warnings() -> Iterator[None]:
    """Print the theory's warnings on stderr, each once and as a sentence."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", IllConditioned)
        yield
    for text in dict.fromkeys(str(each.message) for each in caught if issubclass(each.category, IllConditioned)):
        typer.echo(f"Note: {text}.", err=True)
    for each in caught:
        if not issubclass(each.category, IllConditioned):
            warnings.warn_explicit(each.message, each.category, each.filename, each.lineno)


def write_files(
    write: Callable[[Path], list[Path]], out: Path | None, kind: str, experiment: Experiment, as_json: bool
) -> None:
    """Write files and print their names; with JSON, files are written only into a folder that is given."""
    if as_json and out is None:
        return
    say_files(write(out or default_folder(experiment, kind)), as_json)
