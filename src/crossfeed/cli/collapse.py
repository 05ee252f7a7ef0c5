"""The command `collapse`: which definitions of model collapse a run meets."""

from __future__ import annotations

import typer

from crossfeed.cli.app import AsJson, Location, examples, print_json, terminal

commands = typer.Typer()


@commands.command(
    epilog=examples("crossfeed collapse runs/quickstart-0123456789ab", "crossfeed collapse RUN --json | jq .points")
)
def collapse(place: Location, as_json: AsJson = False) -> None:
    """Judge which of the eight definitions of model collapse in use a run meets, each by its own number."""
    from crossfeed.reporting.collapse.survey import collapses
    from crossfeed.reporting.collapse.tables import plain_verdicts, render_collapses
    from crossfeed.reporting.data.exact import theory_of
    from crossfeed.reporting.data.frames import Run

    loaded = Run.load(place)
    judged = collapses(loaded, theory_of(loaded))
    if as_json:
        print_json(plain_verdicts(loaded, judged))
    elif judged:
        render_collapses(judged, terminal())
    else:
        typer.echo("no generation after 0 has been measured yet, so nothing can have collapsed")
