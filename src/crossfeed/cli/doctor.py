"""The commands `doctor` and `check`: checks of this machine, of a model folder, of an experiment before it is run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from crossfeed.cli.app import (
    NOT_ALL_WELL,
    STOPPED,
    UNUSABLE,
    AsJson,
    DataRoot,
    Overrides,
    PresetOrFile,
    check_data_root,
    complain,
    examples,
    folder,
    print_json,
    read_experiment,
    terminal,
)
from crossfeed.errors import CrossfeedError

if TYPE_CHECKING:
    from crossfeed.description.experiment import Experiment

commands = typer.Typer()

ModelFolder = Annotated[
    Path | None,
    typer.Option(
        "--model",
        metavar="FOLDER",
        parser=folder,
        help="Check this model's folder (or .gguf file) instead of the machine.",
    ),
]
DataFile = Annotated[
    Path | None,
    typer.Option("--data", metavar="FILE", parser=folder, help="With --model: texts for the model to read."),
]


@commands.command(
    epilog=examples(
        "crossfeed doctor",
        "crossfeed doctor --data-root data/",
        "crossfeed doctor --model models/mine --data data/train.jsonl",
        "crossfeed doctor --json",
    )
)
def doctor(
    data_root: DataRoot = None, model: ModelFolder = None, data: DataFile = None, as_json: AsJson = False
) -> None:
    """Check this machine: cores, memory, device, packages, hub, data, and the expected time of the quickstart.

    With --model check a model's folder: whether its parts fit each other, and how it reads the texts of a file.
    """
    if model is not None:
        _examine(model, data, as_json)
    if data is not None:
        raise CrossfeedError("--data FILE belongs to --model FOLDER; give both, or --data-root for data sets")
    from crossfeed.doctor import diagnose
    from crossfeed.reporting.terminal.diagnosis import render_diagnosis

    check_data_root(data_root)
    diagnosis = diagnose(data_root)
    if as_json:
        print_json(diagnosis.as_data())
    else:
        render_diagnosis(diagnosis, terminal())
    raise typer.Exit(NOT_ALL_WELL if diagnosis.problems else 0)


@commands.command(epilog=examples("crossfeed check mine.yaml", "crossfeed check sciq-gsm8k-small --data-root data/"))
def check(
    source: PresetOrFile, overrides: Overrides = None, data_root: DataRoot = None, as_json: AsJson = False
) -> None:
    """Check an experiment before it is run: its data, how items are read, what is cut, expected time and disk."""
    check_data_root(data_root)
    check_and_exit(read_experiment(source, overrides), data_root, as_json=as_json)


def check_and_exit(experiment: Experiment, data_root: Path | None, *, as_json: bool) -> None:
    """Print the check of an experiment, and exit: with 2 if it cannot be run."""
    from crossfeed.display.progress import for_stream
    from crossfeed.doctor.experiment import check as check_experiment
    from crossfeed.reporting.terminal.checked import render_checked

    try:
        with for_stream(sys.stderr, quiet=as_json) as progress:
            checked = check_experiment(experiment, data_root=data_root, progress=progress)
    except KeyboardInterrupt:
        complain("stopped; nothing was written")
        raise typer.Exit(STOPPED) from None
    if as_json:
        print_json(checked.as_data())
    else:
        render_checked(checked, terminal())
    raise typer.Exit(UNUSABLE if checked.problems else 0)


def _examine(model: Path, data: Path | None, as_json: bool) -> None:
    from dataclasses import asdict

    from crossfeed.doctor.model_folder import examine_model
    from crossfeed.reporting.terminal.checked import render_examination

    found = examine_model(model, data)
    if as_json:
        print_json({"folder": str(model), **asdict(found)})
    else:
        render_examination(str(model), found, terminal())
    raise typer.Exit(UNUSABLE if found.problems else 0)
