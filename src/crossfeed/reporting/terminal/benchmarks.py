"""A run's benchmark numbers in the terminal: the first and the last kept generation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from crossfeed.display.formatting import number, plain
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import Columns, columns_of
from crossfeed.reporting.data.numbers import by_generation
from crossfeed.reporting.terminal.tables import ascii_for, say, screen_columns

__all__ = ["render_evaluation"]

_LABEL: Final = 22
_ENTRY: Final = 14


def render_evaluation(run: Run, console: Console) -> None:
    """Print benchmark numbers, if there are any, and what they were made with.

    Args:
        run: The run.
        console: Where to; its width decides how many columns stand side by side.
    """
    table = run.store.read_result("evaluation")
    if table is None or not table.num_rows:
        return
    numbers: pd.DataFrame = table.to_pandas().merge(run.cells[["cell", "point"]], on="cell")
    whole = columns_of(run.points)
    columns = screen_columns(whole, 2 * numbers["model"].nunique())
    for (task, metric), part in numbers.groupby(["task", "metric"], sort=False):
        means = by_generation(part, str(metric))
        for title, points in _pages(columns, console):
            console.print()
            say(console, f"{task}: {metric}" + (f" ({title})" if title else ""), "bold")
            console.print(_grid(means, columns, points, console))
    console.print()
    for task, part in numbers.groupby("task", sort=False):
        made = f"{task!s}: {part['items'].max()} items, {part['shots'].max()} shots; {part['options'].iloc[0]}."
        warned = part.loc[part["warning"] != "", "warning"]
        say(console, made + (f" Warned: {warned.iloc[0]}" if len(warned) else ""), "dim")
    seeds = set(numbers["seed"])
    if len(seeds) > 1:
        say(console, f"Means over {len(seeds)} seeds, ± standard errors.", "dim")
    if (few := len(columns.points)) < (known := len(whole.points)):
        say(console, f"{few:,} of {known:,} grid points; all are in evaluation.parquet and in --json.", "dim")


def _pages(columns: Columns, console: Console) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield groups of columns that fit side by side, each with what they have in common."""
    fit = max((console.width - _LABEL) // (_ENTRY + 2), 1)
    for group in columns.groups:
        common = ", ".join(part for part in (group.label, columns.fixed) if part)
        for begin in range(0, len(group.points), fit):
            yield common, group.points[begin : begin + fit]


def _grid(means: pd.DataFrame, columns: Columns, points: tuple[int, ...], console: Console) -> Table:
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    grid.add_column("", width=_LABEL, overflow="fold")
    for point in points:
        grid.add_column(Text(plain(columns.heads[point])), width=_ENTRY, overflow="fold")
    ends = sorted({means["generation"].min(), means["generation"].max()})
    for model in dict.fromkeys(means["model"]):
        for generation in ends:
            own = means[(means["model"] == model) & (means["generation"] == generation)].set_index("point")
            entries = [_entry(own.loc[point]) if point in own.index else "—" for point in points]
            label = f"{model}, t = {generation}"
            grid.add_row(Text(plain(label)), *(Text(ascii_for(entry, console)) for entry in entries))
    return grid


def _entry(mean: pd.Series[float]) -> str:
    error = f" ± {number(mean['se'])}" if mean["seeds"] > 1 else ""
    return f"{number(mean['mean'])}{error}"
