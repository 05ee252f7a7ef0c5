"""The command `extend`: a run goes on with more, and says beforehand what is computed and what is reused."""

from __future__ import annotations

from typing import Annotated

import typer

from crossfeed.cli.app import AsJson, DataRoot, Location, Overrides, check_data_root, examples, print_json, terminal
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
