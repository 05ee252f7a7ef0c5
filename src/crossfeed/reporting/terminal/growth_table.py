"""The work that a growth of a run asks for, as a table for people and as data for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import counted, plain
from crossfeed.running.growth import GrowthPlan

__all__ = ["growth_data", "render_growth"]


def growth_data(plan: GrowthPlan, before: Experiment, after: Experiment) -> dict[str, Any]:
    """Return what a growth computes and reuses, as plain data.

    Args:
        plan: The plan.
        before: The experiment that the run holds.
        after: The one that it is to hold.
    """
    return {
        "name": after.name,
        "id": after.id,
        "before": before.id,
        "cells": plan.cells,
        "new_cells": list(plan.growth.cells),
        "generations": {"all": plan.generations, "there": plan.reused, "computed": plan.computed},
        "go_on": list(plan.begin_kept),
        "trained_again": list(plan.begin_anew),
        "starts_there": list(plan.start_kept),
        "metrics": {name: {"measured": can, "not_kept": cannot} for name, (can, cannot) in plan.added.items()},
    }


def render_growth(plan: GrowthPlan, before: Experiment, after: Experiment, console: Console) -> None:
    """Print what a growth computes and reuses.

    Args:
        plan: The plan.
        before: The experiment that the run holds.
        after: The one that it is to hold.
        console: The terminal.
    """
    console.print(Text(f"{plain(after.name)}: {before.id} grows to {after.id}", style="bold"))
    table = Table("", "there", "then", box=None, pad_edge=False)
    for name in ("generations", "seeds"):
        table.add_row(name, *(_listed(getattr(each, name)) for each in (before, after)))
    for path, values in before.grid.items():
        table.add_row(Text(plain(path)), Text(plain(_listed(values))), Text(plain(_listed(after.grid[path]))))
    table.add_row("cells", str(plan.cells - len(plan.growth.cells)), str(plan.cells))
    table.add_row("measured generations", str(plan.reused), str(plan.generations))
    console.print(table)
    for line in _lines(plan):
        console.print(Text(plain(line)))


def _lines(plan: GrowthPlan) -> Iterator[str]:
    yield f"computed: {counted(plan.computed, 'generation')} of cells; reused: {plan.reused}"
    if plan.begin_kept:
        yield f"{counted(len(plan.begin_kept), 'cell')} from kept models on"
    if plan.begin_anew:
        many = len(plan.begin_anew) > 1
        yield (
            f"{counted(len(plan.begin_anew), 'cell')} whose models were not kept: {'they are' if many else 'it is'} "
            "trained again up to there, to the same numbers, which are not measured again"
        )
    if plan.growth.cells:
        there = f", {len(plan.start_kept)} of them from a kept generation 0" if plan.start_kept else ""
        yield f"{counted(len(plan.growth.cells), 'new cell')}{there}"
    for name, (can, cannot) in plan.added.items():
        not_kept = f"; not at {cannot}, whose models were not kept" if cannot else ""
        yield f"{name}: measured at {counted(can, 'earlier generation')} of cells{not_kept}"


def _listed(values: Any) -> str:
    listed = [str(value) for value in values] if isinstance(values, tuple | list) else [str(values)]
    return ", ".join(listed if len(listed) <= 6 else [*listed[:5], f"... ({len(listed)})"])
