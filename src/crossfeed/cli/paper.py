"""The commands `compare` (with the paper's tables, or seed by seed) and `evidence` (the paper's survey of data)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from crossfeed.cli import completion
from crossfeed.cli.app import AsJson, FigureWidth, examples, folder, print_json, say_files, terminal
from crossfeed.errors import InvalidInput

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed compare runs/sciq-gsm8k-small-0123456789ab",
        "crossfeed compare seed-0/ seed-1/ seed-2/ --paper 7 --out comparison/",
        "crossfeed compare RUN --json",
        "crossfeed compare RUN --paired",
        "crossfeed compare RUN --paired --of alpha=0.5 --against alpha=1 --model math",
        "crossfeed compare RUN-A RUN-B --paired --metric accuracy --detect 0.05",
    )
)
def compare(
    places: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN",
            help="Runs of one experiment, in which seeds, alpha and beta may differ; with --paired a run, or two runs.",
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
    paired: Annotated[
        bool,
        typer.Option(
            "--paired",
            help="Compare points of a run, or two runs, seed by seed instead: differences with errors and p-values.",
        ),
    ] = False,
    of: Annotated[
        list[str] | None,
        typer.Option(
            "--of",
            metavar="FIELD=VALUE",
            help="With --paired: the points that others are subtracted from; may be given again.",
            show_default="all others",
        ),
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="FIELD=VALUE",
            help="With --paired: the points that are subtracted; may be given again.",
            show_default="the lowest alpha; of two runs, the first",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="ENTITY", help="With --paired: this one alone.", show_default="all")
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(metavar="METRIC", help="With --paired: may be given again.", show_default="loss"),
    ] = None,
    generation: Annotated[
        int | None,
        typer.Option(metavar="T", help="With --paired: at this generation.", show_default="the last one of both"),
    ] = None,
    detect: Annotated[
        float | None,
        typer.Option(
            metavar="DIFFERENCE",
            help="With --paired: print also how many seeds would find this difference.",
            show_default="the observed one alone",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FOLDER",
            parser=folder,
            help="Where tables and figures go; with --json or --paired nowhere, unless given.",
            show_default="RUN/report/compare",
        ),
    ] = None,
    figure_width: FigureWidth = None,
    as_json: AsJson = False,
) -> None:
    """Compare runs with the paper's tables: cell by cell, and how many directions agree.

    With --paired: the differences of a run's points, or of two runs, seed by seed. `crossfeed report A B` lays runs
    side by side.
    """
    asked = {"of": of, "against": against, "model": model, "metric": metric, "generation": generation, "detect": detect}
    given = {name: value for name, value in asked.items() if value is not None}
    if paired:
        unfit = {"--paper": table, "--figure-width": figure_width}
        for option in (name for name, value in unfit.items() if value is not None):
            raise InvalidInput(
                f"{option}: is about the paper's tables, --paired about your own runs; leave one of them out"
            )
        _contrast(places, given, out, as_json=as_json)
        return
    if given:
        raise InvalidInput(f"--{next(iter(given))}: is about differences seed by seed; add --paired")
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


def _contrast(places: list[str], given: dict[str, Any], out: Path | None, *, as_json: bool) -> None:
    from crossfeed.reporting.differences.contrasts import contrast
    from crossfeed.reporting.differences.tables import contrast_data, render_contrast
    from crossfeed.reporting.files import to_csv, write_contents

    sides: dict[str, Any] = {side: _values(side, given[side]) for side in ("of", "against") if side in given}
    found = contrast(places, **given | sides)
    if as_json:
        print_json(contrast_data(found))
    else:
        render_contrast(found, terminal())
    if out is not None:
        say_files(write_contents(out, {"differences.csv": to_csv(found.table).encode()}), as_json)


def _values(side: str, assignments: list[str]) -> dict[str, Any]:
    """Return values by field, as YAML reads them."""
    from crossfeed.description.strict_yaml import load_yaml

    pairs = [text.partition("=") for text in assignments]
    for text, (field, equals, _) in zip(assignments, pairs, strict=True):
        if not field or not equals:
            raise InvalidInput(f"--{side} {text}: give FIELD=VALUE, such as alpha=0.5")
    return {field.strip(): load_yaml(value) for field, _, value in pairs}


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
