"""The commands `export`, `import` and `push`: runs that leave this machine, and come to another one."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from crossfeed.cli.app import Location, examples, folder
from crossfeed.display.addresses import masked

if TYPE_CHECKING:
    from crossfeed.sharing.exporting import Exported

Keep = Literal["all", "last", "none"]
Pool = Annotated[Keep, typer.Option(help="Published items: of all generations, the last one of each cell, or none.")]
Checkpoints = Annotated[Keep, typer.Option(help="Checkpoints: all that the run keeps, the last ones, or none.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed export runs/mine mine.zip",
        "crossfeed export runs/mine mine-to-go-on-with.zip --checkpoints last",
        "crossfeed export runs/mine shared/mine",
    )
)
def export(
    place: Location,
    target: Annotated[
        Path,
        typer.Argument(
            metavar="FILE.zip|FOLDER", parser=folder, help="A zip file, or a folder to look at.", show_default=False
        ),
    ],
    pool: Pool = "all",
    checkpoints: Checkpoints = "none",
    quiet: Quiet = False,
) -> None:
    """Write a run to a zip file or a folder to be shared, without paths and names of this machine.

    The folder is a data set that `datasets.load_dataset(FOLDER, "pool")` reads, and a run.
    """
    from crossfeed.display.progress import for_stream
    from crossfeed.sharing.exporting import export_run

    with for_stream(sys.stderr, quiet=quiet) as progress:
        exported = export_run(place, target, pool=pool, checkpoints=checkpoints, progress=progress)
    _say(exported)
    typer.echo(f"export   {exported.place}")


@commands.command(
    "import", epilog=examples("crossfeed import mine.zip", "crossfeed import mine.zip --out runs/from-a-friend")
)
def import_(
    archive: Annotated[
        Path,
        typer.Argument(metavar="FILE.zip", parser=folder, help="What `crossfeed export` wrote.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", parser=folder, help="Where it goes.", show_default="runs/NAME-ID"),
    ] = None,
) -> None:
    """Unpack an exported run, and check that it is what was exported."""
    from crossfeed.sharing.importing import import_run

    typer.echo(f"run      {import_run(archive, out)}")


@commands.command(
    epilog=examples(
        "crossfeed push runs/mine hf://datasets/me/mine --private",
        "crossfeed push runs/mine hf://datasets/me/mine --checkpoints last",
    )
)
def push(
    place: Location,
    target: Annotated[
        str, typer.Argument(metavar="hf://datasets/OWNER/NAME", help="A repository of data sets.", show_default=False)
    ],
    private: Annotated[bool, typer.Option("--private", help="Make a repository that only its owner sees.")] = False,
    pool: Pool = "all",
    checkpoints: Checkpoints = "none",
    quiet: Quiet = False,
) -> None:
    """Send to the Hugging Face Hub what `crossfeed export` would write to a folder (extra `hub`)."""
    from crossfeed.display.progress import for_stream
    from crossfeed.sharing.hub import push_run

    with for_stream(sys.stderr, quiet=quiet) as progress:
        pushed = push_run(place, target, private=private, pool=pool, checkpoints=checkpoints, progress=progress)
    _say(pushed.exported)
    typer.echo(f"pushed   {masked(pushed.url)}")


def _say(exported: Exported) -> None:
    """Say what was taken out, and what was left for a person to decide."""
    manifest = exported.manifest
    size = sum(about["bytes"] for about in manifest.files.values())
    typer.echo(f"files    {len(manifest.files)}, {size / 1e6:,.1f} MB")
    if manifest.removed:
        typer.echo(f"removed  paths in {', '.join(manifest.removed)}: it can be shown, but not gone on with")
    if exported.replaced:
        typer.echo(f"removed  folders of this machine in {exported.replaced} texts of tables")
    for table, count in exported.named.items():
        texts = "text" if count == 1 else "texts"
        typer.echo(f"look     {count} {texts} of {table} with the name of this machine or its user, left as written")
