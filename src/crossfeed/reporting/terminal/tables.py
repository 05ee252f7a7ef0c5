"""A run's tables in the terminal; readable at 80 columns, and without colour."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crossfeed.display.formatting import clip, counted, plain
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import ChangeTable, Columns, Entry
from crossfeed.reporting.data.measures import by_section
from crossfeed.reporting.data.numbers import timing
from crossfeed.reporting.data.terms import WEIGHTS, last_generation, length, mark_words
from crossfeed.running.left_out import reason
from crossfeed.settings import Measure

__all__ = ["ascii_for", "cut_from", "for_screen", "marks", "print_change", "render", "say", "screen_columns"]

_STYLES: Final = {
    **{"better": "green", "worse": "red", "up": "cyan", "down": "magenta"},
    **{"same": "dim", "unclear": "yellow"},
}
_MARKS: Final = {("down", "up"): "up, down"}
_SPELLED: Final = {"→": "->", "±": "+-", "—": "-", "…": "...", "α": "alpha", "β": "beta"}
_GAP: Final = 2  # between columns: one of padding, one of the box
_ROWS: Final = 40  # of a table; more than some screens
_ENTRIES: Final = 240  # of a table
_GROUPS: Final = 4  # of a table with more entries
_EACH: Final = 8  # points of each of these groups, at most
_WIDEST_HEAD: Final = 24  # longer ones fold
_NARROWEST_LABEL: Final = 12
_MOST_NOTES: Final = 12
_MOST_LEFT_OUT: Final = 12
_STATES: Final = ("finished", "unfinished", "failed", "forecast")

Lines = list[list[tuple[str, str]]]
"""An entry's lines, of texts with styles."""


def render(run: Run, console: Console) -> None:
    """Print what a run is, its tables, and what went wrong.

    Args:
        run: The run.
        console: Where to; its width decides how many columns stand side by side.
    """
    _head(run, console)
    measures = by_section(run.measures, "terminal")
    whole = [table for measure in measures if (table := run.change_table(measure.metric))]
    shown = [for_screen(table) for table in whole]
    for table, all_of_it in zip(shown, whole, strict=True):
        print_change(table, console)
        if cut := cut_from(table, all_of_it):
            say(console, cut, "dim")
    if not shown:
        say(console, "Nothing has been measured yet.")
    else:
        _legend(run, shown, console)
    _print_timing(run, console)
    _print_notes(run, console)
    _print_left_out(run, console)
    _print_failures(run, console)


def for_screen(table: ChangeTable) -> ChangeTable:
    """Return as much of a table as can be read in a terminal: some rows, and of a large grid some points.

    Args:
        table: The table.
    """
    few = table.fewer(_ROWS)
    return replace(few, columns=screen_columns(few.columns, len(few.rows)))


def screen_columns(columns: Columns, rows: int) -> Columns:
    """Return all columns, or some of them if they are too many for a terminal: fewer, the more rows each has.

    Args:
        columns: The columns.
        rows: Number of rows.
    """
    if len(columns.points) * rows <= _ENTRIES:
        return columns
    return columns.some(_GROUPS, min(max(_ENTRIES // (_GROUPS * rows), 2), _EACH))


def cut_from(shown: ChangeTable, whole: ChangeTable) -> str:
    """Return a sentence on what is left out of a table; empty if nothing is.

    Args:
        shown: The part that is shown.
        whole: The table.
    """
    sizes = (
        (len(shown.rows), len(whole.rows), "rows"),
        (len(shown.columns.points), len(whole.columns.points), "grid points"),
    )
    cut = [f"{few:,} of {known:,} {what}" for few, known, what in sizes if few < known]
    return f"{' and '.join(cut)}; all are in the report's files and in --json." if cut else ""


def _head(run: Run, console: Console) -> None:
    experiment = run.experiment
    say(console, f"{experiment.name} ({run.id})", "bold")
    states = run.cells["state"].value_counts()
    done = ", ".join(f"{states[state]} {state}" for state in _STATES if state in states)
    facts = (
        f"{counted(len(experiment.ecosystem.entities), 'model')}, {length(experiment)}, "
        f"{counted(len(experiment.seeds), 'seed')}; cells: {done}"
    )
    say(console, facts)


@dataclass(frozen=True)
class _Sheet:
    """A table with the texts of its entries and the widths that they need, each made once.

    Attributes:
        table: The table.
        lines: Of each row, the lines of texts with styles by point.
        label: Width of the labels.
        entry: Width of an entry.
    """

    table: ChangeTable
    lines: tuple[dict[int, Lines], ...]
    label: int
    entry: int

    @classmethod
    def of(cls, table: ChangeTable, console: Console) -> _Sheet:
        points, measure = table.columns.points, table.measure
        lines = tuple(
            {point: _lines(row.entries.get(point), measure, console) for point in points} for row in table.rows
        )
        widths = [min(len(plain(table.columns.heads[point])), _WIDEST_HEAD) for point in points]
        widths += [sum(len(text) for text, _ in line) for row in lines for entry in row.values() for line in entry]
        entry = max(widths)
        return cls(table, lines, _label_width(table, entry, console), entry)


def print_change(table: ChangeTable, console: Console) -> None:
    """Print an initial -> final table, as many columns side by side as fit.

    Args:
        table: The table.
        console: Where to.
    """
    sheet = _Sheet.of(table, console)
    for title, points in _pages(sheet, console):
        console.print()
        say(console, title, "bold")
        console.print(_grid(sheet, points))


def _pages(sheet: _Sheet, console: Console) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield groups of columns that fit side by side, each with its title."""
    fit = max((console.width - sheet.label) // (sheet.entry + _GAP), 1)
    columns = sheet.table.columns
    for group in columns.groups:
        common = ", ".join(part for part in (group.label, columns.fixed) if part)
        title = f"{sheet.table.measure.heading}, initial to final" + (f" ({common})" if common else "")
        for begin in range(0, len(group.points), fit):
            yield title + (", continued" if begin else ""), group.points[begin : begin + fit]


def _grid(sheet: _Sheet, points: tuple[int, ...]) -> Table:
    grid = Table(box=SIMPLE_HEAD, padding=(0, _GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    grid.add_column("", width=sheet.label, overflow="fold")
    for point in points:
        grid.add_column(Text(plain(sheet.table.columns.heads[point])), overflow="fold", width=sheet.entry)
    rows = sheet.table.rows
    kind = rows[0].kind
    for row, lines in zip(rows, sheet.lines, strict=True):
        if row.kind != kind:
            grid.add_section()
            kind = row.kind
        grid.add_row(Text(row.label), *(_entry(lines[point]) for point in points))
    return grid


def _entry(lines: Lines) -> Text:
    text = Text()
    for number, line in enumerate(lines):
        text.append("\n" if number else "")
        for piece, style in line:
            text.append(piece, style=style)
    return text


def _lines(entry: Entry | None, measure: Measure, console: Console) -> Lines:
    """Return ``3.35 → 3.00 better`` and, for losses, ``-10.4 ± 0.3 %`` below it: lines of texts with styles."""
    if entry is None:
        return [[(ascii_for("—", console), "dim")]]
    above = [(entry.initial, "")]
    if entry.final is not None:
        above = [
            (ascii_for(f"{entry.initial} → {entry.final} ", console), ""),
            (entry.mark, _STYLES.get(entry.mark, "")),
        ]
    until = "" if entry.until is None else f"t={entry.until}"
    if not measure.relative:
        return [[*above, (f" {until}", "dim")] if until else above]
    below = " ".join(part for part in (ascii_for(entry.change, console), until) if part)
    return [above, [(below, "dim")]] if below else [above]


def _label_width(table: ChangeTable, entry: int, console: Console) -> int:
    """Return the labels' width: as needed, at most a third of the line; less if that keeps a group on one line."""
    needed = min(max(len(row.label) for row in table.rows), console.width // 3)
    columns = max(len(group.points) for group in table.columns.groups)
    left = console.width - columns * (entry + _GAP)
    return left if _NARROWEST_LABEL <= left < needed else needed


def _legend(run: Run, shown: list[ChangeTable], console: Console) -> None:
    console.print()
    seeds = max(table.seeds for table in shown)
    measures = [table.measure for table in shown]
    if seeds > 1:
        fewest = min(table.fewest for table in shown)
        notes = [_interval_marks(measures, seeds, fewest), f"Means over {seeds} seeds, ± standard errors."]
    else:
        notes = [*marks(measures), "One seed, so sizes alone decide."]
    ends = [entry.until for table in shown for row in table.rows for entry in row.entries.values()]
    early = [end for end in ends if end is not None]
    if early:
        notes.append(
            f"t={min(early)}: measured up to generation {min(early)} of {last_generation(run.experiment)} only."
        )
    say(console, " ".join(notes), "dim")
    say(console, WEIGHTS, "dim")


def marks(measures: Sequence[Measure]) -> list[str]:
    """Return the meaning of marks by size alone, one sentence for all metrics that use the same ones in the same way.

    Args:
        measures: The metrics.
    """
    groups: dict[tuple[tuple[str, str], float, bool], list[str]] = {}
    for each in measures:
        groups.setdefault((each.words, each.band, each.relative), []).append(each.title)
    known: set[tuple[str, str]] = set()
    said = []
    for (words, band, relative), titles in groups.items():
        names = _MARKS.get(words, ", ".join(words))
        about = f"{', '.join(titles)}: " if words in known or not band else ""
        known.add(words)
        if relative:
            what = ", ".join(titles).lower()
            said.append(f"{names}: the mean {what} changed by more than {band:g}; same: by that or less.")
        else:
            said.append(f"{about}{names}: " + (f"changed by more than {band:g}." if band else "any change."))
    return said


def _interval_marks(measures: Sequence[Measure], seeds: int, fewest: int) -> str:
    """Return the meaning of marks by intervals, which is that of all metrics but for their dead bands."""
    words = dict.fromkeys(_MARKS.get(each.words, ", ".join(each.words)) for each in measures)
    groups: dict[float, list[str]] = {}
    for each in measures:
        groups.setdefault(each.band, []).append(each.title.lower())
    bands = ", ".join(f"{band:g} ({', '.join(titles)})" for band, titles in groups.items())
    return mark_words((*words, "same", "unclear"), bands, seeds, fewest)


def _print_timing(run: Run, console: Console) -> None:
    spent = timing(run.records, run.cells)
    if spent.empty:
        return
    stages = ", ".join(f"{stage} {total:.1f} s" for stage, total in zip(spent["stage"], spent["total"], strict=True))
    say(console, f"Time: {spent['total'].sum():.1f} s ({stages}).", "dim")


def _print_notes(run: Run, console: Console) -> None:
    if not run.notes:
        return
    console.print()
    say(console, "Data and models", "bold")
    for sentence in run.notes[:_MOST_NOTES]:
        console.print(Padding(Text(ascii_for(plain(sentence), console)), (0, 0, 0, 2)))
    if len(run.notes) > _MOST_NOTES:
        say(console, f"  and {len(run.notes) - _MOST_NOTES} more, in the report", "dim")


def _print_left_out(run: Run, console: Console) -> None:
    if run.left_out.empty:
        return
    console.print()
    say(console, "Not run, forecast", "bold")
    for row in run.left_out.head(_MOST_LEFT_OUT).to_dict("records"):
        say(console, f"  {row['cell']}: {reason(row['half_width'])}")
    if len(run.left_out) > _MOST_LEFT_OUT:
        say(console, f"  and {len(run.left_out) - _MOST_LEFT_OUT} more, in the report", "dim")


def _print_failures(run: Run, console: Console) -> None:
    for failure in run.failures.to_dict("records"):
        place = f"at generation {failure['generation']}, " if failure["generation"] is not None else ""
        console.print()
        say(console, f"FAILED {failure['cell']}", "bold red")
        what = f"{place}stage {failure['stage']}: {failure['type']}: {clip(failure['message'], 600)}"
        console.print(Padding(Text(ascii_for(plain(what), console)), (0, 0, 0, 2)))


def say(console: Console, text: str, style: str = "") -> None:
    """Print text as it is: nothing in it is markup, a number to colour or an emoji.

    Args:
        console: The terminal.
        text: The text.
        style: Style of rich.
    """
    console.print(Text(ascii_for(plain(text), console), style=style), highlight=False)


def ascii_for(text: str, console: Console) -> str:
    """Spell signs out for a terminal that lacks them.

    Args:
        text: The text.
        console: The terminal.
    """
    if text.isascii() or console.encoding.startswith("utf"):
        return text
    for sign, words in _SPELLED.items():
        text = text.replace(sign, words)
    return text.encode("ascii", "backslashreplace").decode()
