"""A comparison with the paper in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crossfeed.description.registry import built_in_measures
from crossfeed.display.formatting import number, plain, signed
from crossfeed.reporting.data.measures import LOSS, SIMILARITY
from crossfeed.reporting.data.terms import WEIGHTS
from crossfeed.reporting.paper.agreement import AGREES, ALONE, BOTH, OPPOSITE, SMALL, UNKNOWN, Comparison
from crossfeed.reporting.paper.runs import Combined
from crossfeed.reporting.terminal.tables import ascii_for, say

__all__ = ["amount", "notes", "ours", "render_comparison", "theirs", "totals"]

_STYLES: Final = {
    AGREES: "not dim green",
    SMALL: "not dim yellow",
    OPPOSITE: "not dim red",
    UNKNOWN: "not dim red",
    BOTH: "dim",
    ALONE: "dim",
}
_ALL: Final = {LOSS: "Losses", SIMILARITY: "Similarities"}
_LISTED: Final = 40


def render_comparison(comparison: Comparison, console: Console) -> None:
    """Print the tables, how far directions agree, and where they do not.

    Args:
        comparison: What to print.
        console: Where to.
    """
    runs = comparison.runs
    say(console, f"{runs.experiment.name} beside the paper's tables", "bold")
    _print_totals(comparison, console)
    for (table, metric, beta), part in comparison.cells.groupby(["table", "metric", "beta"], sort=False):
        console.print()
        title = (
            f"Table {table} ({part['base'].iloc[0]}), {built_in_measures()[str(metric)].title.lower()}, beta = {beta:g}"
        )
        say(console, title, "bold")
        console.print(_grid(part, runs, console))
    console.print()
    say(console, "In each entry: the paper's, ours, our change and whether the direction is the paper's.", "dim")
    _print_disagreements(comparison, console)
    for note in notes(comparison):
        say(console, note, "dim")


def theirs(row: dict[Any, Any]) -> str:
    """Return the paper's side of a cell: ``2.8 → 4.5 worse``; as many decimals as it prints.

    Args:
        row: A row of `Comparison.cells`.
    """
    digits = 1 if built_in_measures()[row["metric"]].relative else 2
    return f"{row['paper_initial']:.{digits}f} → {row['paper_final']:.{digits}f} {row['paper_direction']}"


def ours(row: dict[Any, Any]) -> str:
    """Return the runs' side of a cell: ``4.01 → 5.09 worse``, or why there is none.

    Args:
        row: A row of `Comparison.cells`.
    """
    if row["state"] != "finished":
        return str(row["state"])
    shown = number if built_in_measures()[row["metric"]].relative else "{:.2f}".format
    return f"{shown(row['initial'])} → {shown(row['final'])} {row['direction']}"


def amount(row: dict[Any, Any]) -> str:
    """Return the change in the runs, with its standard error if there is one.

    Args:
        row: A row of `Comparison.cells`.
    """
    if row["state"] != "finished":
        return ""
    error = row["change_se"]
    return signed(row["change"]) + ("" if math.isnan(error) else f"±{error:.2f}")


def totals(comparison: Comparison) -> list[list[str]]:
    """Return the counts of agreeing directions: a head, then one row of text per table and one for all tables.

    Args:
        comparison: The comparison.
    """
    head = ["", "agreed", SMALL, OPPOSITE, "missing", "band in %", "sign", "firm", BOTH]
    rows = []
    for row in comparison.agreement.to_dict("records"):
        scaled = built_in_measures()[row["metric"]].relative
        rows.append(
            [
                _ALL[row["metric"]] if row["table"] == "all" else f"Table {row['table']}",
                f"{row['agreed']} of {row['compared']}",
                str(row["small"]),
                str(row["opposite"]),
                str(row["moved"] - row["compared"]),
                str(row["agreed_scaled"]) if scaled else "",
                str(row["agreed_sign"]),
                str(row["firm"]) if comparison.runs.seeds > 1 else "",
                f"{row['both']} of {row['still']}",
            ]
        )
    return [head, *rows]


def notes(comparison: Comparison) -> list[str]:
    """Return explanations of the words and counts, and of what is missing.

    Args:
        comparison: The comparison.
    """
    runs, cells = comparison.runs, comparison.cells
    metrics = set(cells["metric"])
    said = []
    for metric in metrics & {LOSS}:
        band = f"{built_in_measures()[metric].band:g}"
        said.append(
            f"Agreed: of the cells whose loss moved by more than {band} in the paper, those that moved the same way "
            f"here by more than {band}; {SMALL}: here by {band} or less. Band in %: agreed, if our band is the same "
            "share of the initial loss as the paper's. Sign: the same way, however little."
        )
    for metric in metrics & {SIMILARITY}:
        said.append(
            f"The band of similarities is {built_in_measures()[metric].band:g}: half of the last printed decimal."
        )
    said.append(f"{BOTH.capitalize()}: of the cells that did not move in the paper, those that did not here either.")
    if runs.seeds > 1:
        said.append(
            f"Ours: means over {runs.seeds} seeds, ± standard errors. Firm: the same sign, and zero is outside the "
            "95 % confidence interval (Student's t)."
        )
    else:
        said.append("Ours: one seed, no standard error.")
    said.append("The paper ran every cell once: its numbers have no standard error.")
    if runs.stand_ins:
        told = ", ".join(f"{plain(own)} stands for {name}" for own, name in runs.stand_ins.items())
        said.append(f"Built-in tasks in place of the paper's: {told}.")
    said.append(WEIGHTS)
    counts = cells["state"].value_counts()
    states = ("not run", "unfinished", "forecast", "not measured")
    told = ", ".join(f"{counts[state]} {state}" for state in states if state in counts)
    if told:
        said.append(f"Of {len(cells)} cells: {told}; they are not counted.")
    if {"2a", "8"} <= set(cells["table"]):
        said.append("Tables 2a and 2b are the columns beta = 0.5 of Tables 8 and 7: the sum counts them twice.")
    return said


def _grid(part: pd.DataFrame, runs: Combined, console: Console) -> Table:
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    grid.add_column("", overflow="fold", min_width=8)
    alphas = list(dict.fromkeys(part["alpha"]))
    for alpha in alphas:
        grid.add_column(f"alpha = {alpha:g}", overflow="fold")
    kind = part["kind"].iloc[0]
    for (entity, task), row in part.groupby(["entity", "task"], sort=False):
        if row["kind"].iloc[0] != kind:
            grid.add_section()
            kind = row["kind"].iloc[0]
        by_alpha = {each["alpha"]: each for each in row.to_dict("records")}
        label = Text(ascii_for(plain(runs.label(str(entity), str(task))), console))
        grid.add_row(label, *(_entry(by_alpha.get(alpha), console) for alpha in alphas))
    return grid


def _entry(row: dict[Any, Any] | None, console: Console) -> Text:
    if row is None:
        return Text("")
    text = Text(ascii_for(f"{theirs(row)}\n", console), style="dim")
    text.append(ascii_for(ours(row), console), style="not dim")
    if row["state"] == "finished":
        text.append(ascii_for(f"\n{amount(row)} ", console), style="not dim")
        text.append(row["result"], style=_STYLES[row["result"]])
    return text


def _print_totals(comparison: Comparison, console: Console) -> None:
    head, *rows = totals(comparison)
    console.print()
    say(console, "Directions agreed", "bold")
    console.print(_sheet(head, rows))
    console.print()


def _sheet(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    grid = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for name in head:
        grid.add_column(name, overflow="fold")
    for row in rows:
        if row[0] in _ALL.values():
            grid.add_section()
        grid.add_row(*(Text(each) for each in row))
    return grid


def _print_disagreements(comparison: Comparison, console: Console) -> None:
    cells = comparison.disagreements().to_dict("records")
    if not cells:
        return
    say(console, f"Not the paper's direction ({len(cells)})", "bold")
    for row in cells[:_LISTED]:
        label = comparison.runs.label(row["entity"], row["task"])
        line = (
            f"Table {row['table']}, beta = {row['beta']:g}, alpha = {row['alpha']:g}, {plain(label)}: "
            f"{theirs(row)}; ours {ours(row)} ({amount(row)}): {row['result']}"
        )
        console.print(Padding(Text(ascii_for(line, console)), (0, 0, 0, 2)))
    if len(cells) > _LISTED:
        say(console, f"  ... and {len(cells) - _LISTED} more, all in cells.csv.")
    console.print()
