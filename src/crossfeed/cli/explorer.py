"""The command `explore`: the explorer in a browser."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated

import typer

from crossfeed.cli import completion
from crossfeed.cli.app import Overrides, examples, names_run, read_experiment
from crossfeed.errors import InvalidInput, MissingDependency

if TYPE_CHECKING:
    from crossfeed.explorer.server import Site

commands = typer.Typer()


@commands.command(
    epilog=examples(
        "crossfeed explore",
        "crossfeed explore figure-4 --set ecosystem.alpha=0.5",
        "crossfeed explore runs/quickstart-0123456789ab",
        "crossfeed explore --port 5006 --no-browser",
    )
)
def explore(
    subject: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN|PRESET|FILE]",
            help="A run's folder or URL; or linear models: a preset's name or a YAML file.",
            show_default="figure-2 at alpha = beta = 0.5",
            autocompletion=completion.runs_and_descriptions,
        ),
    ] = None,
    overrides: Overrides = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where on this machine.", show_default="one that is free")
    ] = 0,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
) -> None:
    """Open a local page: exact theory that follows sliders, or a run's numbers while it is running."""
    if find_spec("bokeh") is None:
        raise MissingDependency("the explorer needs Bokeh: pip install 'crossfeed[explore]'")
    from crossfeed.explorer.server import serve

    site = _run(subject, overrides) if subject is not None and names_run(subject) else _theory(subject, overrides)
    serve(
        site, port=port, browser=not no_browser, say=lambda address: typer.echo(f"page     {address}  (Ctrl-C ends it)")
    )


def _run(place: str, overrides: list[str] | None) -> Site:
    from crossfeed.explorer.run_page import site

    if overrides:
        raise InvalidInput(f"--set {overrides[0]}: {place} is a run, which is shown as it is; leave --set out")
    return site(place)


def _theory(subject: str | None, overrides: list[str] | None) -> Site:
    from crossfeed.explorer.sliders import Start, first_start
    from crossfeed.explorer.theory_page import site

    if subject is not None:
        return site(Start.of(read_experiment(subject, overrides)))
    if overrides:
        raise InvalidInput(f"--set {overrides[0]}: of what? Give a preset or a file before it, or move the sliders")
    return site(first_start())
