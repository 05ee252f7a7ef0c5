"""The commands `compare` and `evidence`: runs beside the paper's tables, and the paper's survey of training data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from crossfeed.cli import completion
from crossfeed.cli.app import AsJson, FigureWidth, examples, folder, print_json, say_files, terminal

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed compare runs/sciq-gsm8k-small-0123456789ab",
        "crossfeed compare seed-0/ seed-1/ seed-2/ --paper 7 --out comparison/",
        "crossfeed compare RUN --json",
    )
)
def compare(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Runs of one experiment; seeds, alpha and beta may differ.",
            show_default=False,
            autocompletion=completion.runs,
        ),
    ],
    table: Annotated[
        str | None,
        typer.Option(
            "--paper",
            metavar="TABLE",
            help="One table of the paper, such as 7 or 2a.",
            show_default="all that fit",
            autocompletion=completion.paper_tables,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=folder,
            help="Where tables and figures go; with --json nowhere, unless given.",
            show_default="RUN/report/compare",
        ),
    ] = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs with the paper's tables: cell by cell, and how many directions agree.

    `crossfeed report A B` lays runs side by side.
    """
    from crossfeed.reporting.paper.comparison import compare as compare_runs
    from crossfeed.reporting.paper.files import comparison_data, write_comparison
    from crossfeed.reporting.paper.tables import render_comparison
    from crossfeed.reporting.reports import report_folder

    comparison = compare_runs(places, table)
    if as_json:
        print_json(comparison_data(comparison))
    else:
        render_comparison(comparison, terminal())
    if out is not None or not as_json:
        where = out or report_folder(comparison.runs.runs[0]) / "compare"
        say_files(write_comparison(comparison, where, figure_width), as_json)


@commands.command(
    epilog=examples("crossfeed evidence", "crossfeed evidence --out survey/", "crossfeed evidence --json")
)
def evidence(
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER", parser=folder, help="Write tables and a heat map there.", show_default="nowhere"
        ),
    ] = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Print the training data that makers state for their models, its overlaps, and bases for a default beta."""
    from crossfeed.reporting.evidence.files import evidence_data, write_evidence
    from crossfeed.reporting.evidence.survey import evidence as survey
    from crossfeed.reporting.evidence.tables import render_evidence

    collected = survey()
    if as_json:
        print_json(evidence_data(collected))
    else:
        render_evidence(collected, terminal())
    if out is not None:
        say_files(write_evidence(collected, out, figure_width), as_json)
