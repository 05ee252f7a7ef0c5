"""The commands `extend` and `merge`: a run goes on with more, and several become one."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from crossfeed.cli.app import (
    AsJson,
    DataRoot,
    Location,
    Locations,
    Overrides,
    check_data_root,
    examples,
    print_json,
    terminal,
)
from crossfeed.display.addresses import masked
from crossfeed.errors import InvalidInput

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed extend runs/mine-0123456789ab --generations 30",
        "crossfeed extend runs/mine-0123456789ab --seeds 0,1,2,3 --dry-run",
        "crossfeed extend runs/mine-0123456789ab --set metrics.variety=true",
        "crossfeed extend runs/mine-0123456789ab --set 'grid.ecosystem.alpha=[0, 0.25, 0.5, 1]'",
    )
)
def extend(
    place: Location,
    generations: Annotated[
        int | None, typer.Option(min=0, metavar="T", help="The new last generation.", show_default="as it is")
    ] = None,
    seeds: Annotated[
        str | None, typer.Option(metavar="S,S,...", help="All seeds, old and new.", show_default="as they are")
    ] = None,
    overrides: Overrides = None,
    data_root: DataRoot = None,
    workers: Annotated[int | None, typer.Option(help="How many workers.", show_default="all cores")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be computed and reused.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the tables at the end.")] = False,
    as_json: AsJson = False,
) -> None:
    """Go on with a run in its folder: more generations, seeds, grid values or metrics. What is there stays.

    The same as `crossfeed run` with the folder and the changes, but for what it says before it begins.
    """
    from crossfeed.cli.runs import run
    from crossfeed.reporting.terminal.growth_table import growth_data, render_growth
    from crossfeed.running.described import document_of, resumed, stored_experiment
    from crossfeed.running.growth import plan_growth, refuse_mismatch
    from crossfeed.store import open_store

    check_data_root(data_root)
    changes = [*(overrides or ())]
    changes += [f"generations={generations}"] if generations is not None else []
    changes += [f"seeds=[{seeds}]"] if seeds is not None else []
    store = open_store(place)
    document = document_of(store)
    before, after = stored_experiment(store, document), resumed(store, tuple(changes))
    if before.id == after.id:
        raise InvalidInput(
            f"{store}: that is the run as it is; give more with --generations, --seeds or --set, or go on with it: "
            f"crossfeed run {place}"
        )
    refuse_mismatch(store, document, before, after)
    planned = plan_growth(store, before, after)
    if dry_run and as_json:
        print_json(growth_data(planned, before, after))
        return
    if not quiet and not as_json:
        render_growth(planned, before, after, terminal())
    if not dry_run:
        run(place, changes, data_root=data_root, workers=workers, quiet=quiet, as_json=as_json)


@commands.command(
    epilog=examples(
        "crossfeed merge runs/seeds-0-1 runs/seeds-2-3 --out runs/four-seeds",
        "crossfeed merge runs/mine-* --out runs/all",
    )
)
def merge(
    places: Locations,
    out: Annotated[
        str, typer.Option("--out", metavar="FOLDER", help="The merged run's folder, or a URL.", show_default=False)
    ],
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Merge runs that differ in seeds, grid values or single fields into one, with one table and one error bar.

    The runs themselves are only read. What contradicts is refused by name.
    """
    from crossfeed.display.progress import for_stream
    from crossfeed.running.merging import merge as merge_runs

    with for_stream(sys.stderr, quiet=quiet) as progress:
        merged = merge_runs(places, out, progress)
    if as_json:
        print_json(
            {
                "name": merged.experiment.name,
                "id": merged.experiment.id,
                "location": masked(out),
                "cells": len(merged.experiment.cells()),
                "taken": dict(merged.taken),
                "missing": list(merged.missing),
            }
        )
        return
    cells, missing = len(merged.experiment.cells()), len(merged.missing)
    typer.echo(f"merged   {masked(out.rstrip('/'))}: {cells - missing} of {cells} cells, from {len(merged.taken)} runs")
    if missing:
        typer.echo(f"missing  {missing} cells of the grid, such as {merged.missing[0]}: crossfeed run {masked(out)}")
    typer.echo(f"records  {masked(out.rstrip('/'))}/records.parquet")
