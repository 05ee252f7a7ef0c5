"""A run's state, as a table for people and as data for programs."""

from __future__ import annotations

from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfeed.display.formatting import plain
from crossfeed.running.left_out import reason
from crossfeed.running.status import CellStatus, RunStatus

__all__ = ["render_status", "status_data"]

_MANY: Final = 40
"""Of runs with more cells than this, those that are finished, forecast or still to come are counted and not listed."""


def render_status(status: RunStatus, console: Console) -> None:
    """Print a run's state as a table.

    Args:
        status: The run's state.
        console: The terminal.
    """
    counted = [
        f"{n} {state}"
        for state in ("finished", "running", "failed", "stopped", "forecast", "waiting")
        if (n := status.count(state))
    ]
    total = sum(cell.generations + 1 for cell in status.cells)
    done = sum(cell.reached + 1 for cell in status.cells)
    console.print(Text(f"{plain(status.name)}: {len(status.cells)} cells, {', '.join(counted)}", style="bold"))
    console.print(Text(f"{done} of {total} generations measured; {_at_work(status)} at work on it"))
    is_shared = len(status.writers) > 1
    for writer in status.writers if is_shared else ():
        console.print(Text(f"  {plain(writer)}"))
    listed = [
        c for c in status.cells if len(status.cells) <= _MANY or c.state not in ("finished", "forecast", "waiting")
    ]
    if not listed:
        return
    table = Table("cell", "state", "measured", "doing", "", *["by"] * is_shared, box=None, pad_edge=False)
    for cell in listed:
        table.add_row(*(Text(plain(words)) for words in (*_row(cell), *[_by(cell)] * is_shared)))
    console.print(table)
    for cell in listed:
        if cell.failure is not None:
            console.print(Text(plain(f"{cell.cell} failed at {where(cell.failure)}: {cell.failure['message']}")))
        if cell.half_width is not None:
            console.print(Text(plain(f"{cell.cell}: left out, {reason(cell.half_width)}")))
    if any(cell.failure is not None for cell in listed):
        console.print(Text("crossfeed run ... --retry-failed tries these again"))


def where(failure: Any) -> str:
    """Return stage, generation and entity of a failure, as far as they are known.

    Args:
        failure: A failure record.
    """
    place = f"stage {failure['stage']}"
    if "generation" in failure:
        place += f", generation {failure['generation']}"
    return place + (f", entity {failure['entity']}" if "entity" in failure else "")


def status_data(status: RunStatus) -> dict[str, Any]:
    """Return a run's state as plain data.

    Args:
        status: The run's state.
    """
    cells = [
        {
            "cell": cell.cell,
            "state": cell.state,
            "reached": cell.reached,
            "generations": cell.generations,
            "doing": cell.doing,
            "writer": cell.writer,
            "seconds_since": cell.seconds,
            "half_width": cell.half_width,
            "failure": None if cell.failure is None else dict(cell.failure),
        }
        for cell in status.cells
    ]
    return {"name": status.name, "writer": status.writer, "writers": list(status.writers), "cells": cells}


def _at_work(status: RunStatus) -> str:
    if len(status.writers) > 1:
        return f"{len(status.writers)} processes are"
    return f"{plain(status.writer or 'nobody')} is"


def _by(cell: CellStatus) -> str:
    return cell.writer.partition(" since ")[0] if cell.writer is not None else ""


def _row(cell: CellStatus) -> tuple[str, str, str, str, str]:
    ago = "" if cell.seconds is None or cell.state not in ("running", "stopped") else f"{cell.seconds:.0f} s ago"
    doing = cell.doing if cell.state in ("running", "stopped") else ""
    return cell.cell, cell.state, f"{cell.reached + 1} of {cell.generations + 1}", doing, ago
