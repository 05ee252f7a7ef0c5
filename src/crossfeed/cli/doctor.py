"""The command `doctor`: a check of this machine."""

from __future__ import annotations

import typer

from crossfeed.cli.app import NOT_ALL_WELL, AsJson, DataRoot, check_data_root, examples, print_json, terminal

commands = typer.Typer()


@commands.command(epilog=examples("crossfeed doctor", "crossfeed doctor --data-root data/", "crossfeed doctor --json"))
def doctor(data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """Check this machine: cores, memory, device, packages, hub, data, and the expected time of the quickstart."""
    from crossfeed.doctor import diagnose
    from crossfeed.reporting.terminal.diagnosis import render_diagnosis

    check_data_root(data_root)
    diagnosis = diagnose(data_root)
    if as_json:
        print_json(diagnosis.as_data())
    else:
        render_diagnosis(diagnosis, terminal())
    raise typer.Exit(NOT_ALL_WELL if diagnosis.problems else 0)
