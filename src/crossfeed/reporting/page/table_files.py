"""Initial -> final tables as files in the paper's layout: LaTeX for a manuscript, CSV for anything else.

A row is 'model on task', own tasks first, then the others', then public data; a column is a grid point. Files named
after a metric have initial and final means and what the change amounts to; those that end in ``_change`` have the
change with its standard error over seeds.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable

from crossfeed.display.formatting import safe_cell
from crossfeed.reporting.data.layout import ChangeTable, Entry, Row
from crossfeed.reporting.files import latex_text

__all__ = ["file_stem", "table_files"]

Show = Callable[[Entry], str]

_PACKAGE = "% \\usepackage{booktabs}"


def file_stem(metric: str) -> str:
    """Return the stem of a metric's file names; a name from another package may hold any character.

    Args:
        metric: Its name in the records.
    """
    return re.sub(r"[^\w-]", "_", metric, flags=re.ASCII)


def table_files(table: ChangeTable) -> dict[str, bytes]:
    """Return a table's files by name: ``loss.csv``, ``loss.tex``, ``loss_change.csv`` and ``loss_change.tex``.

    Args:
        table: The table.
    """
    files: dict[str, bytes] = {}
    stem = file_stem(table.measure.metric)
    for name, show in ((stem, _values), (f"{stem}_change", _change)):
        files[f"{name}.csv"] = _as_csv(table, show).encode()
        files[f"{name}.tex"] = _as_latex(table, show).encode()
    return files


def _values(entry: Entry) -> str:
    """Return ``1.94 → 1.84 better``."""
    if entry.final is None:
        return entry.initial
    until = "" if entry.until is None else f" (t = {entry.until})"
    return f"{entry.initial} → {entry.final} {entry.mark}".rstrip() + until


def _change(entry: Entry) -> str:
    """Return ``-4.9 ± 0.3 %``; empty where nothing can have changed."""
    return entry.change


def _as_csv(table: ChangeTable, show: Show) -> str:
    """Return a table as CSV with ``row`` and a column for each grid point, which can be thousands."""
    columns = table.columns
    labels = columns.labels
    if len(set(labels.values())) < len(labels):  # runs side by side: their groups tell equal points apart
        labels = {point: f"{group.label}, {labels[point]}" for group in columns.groups for point in group.points}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(safe_cell, ["row", *(labels[point] for point in columns.points)]))
    for row in table.rows:
        writer.writerow(map(safe_cell, [row.label, *(_shown(row, point, show) for point in columns.points)]))
    return text.getvalue()


def _as_latex(table: ChangeTable, show: Show) -> str:
    """Return a table in LaTeX, with rules of the package booktabs; nothing in its names is a command."""
    columns = table.columns
    lines = [
        _PACKAGE,
        f"% {latex_text(table.measure.heading)}",
        rf"\begin{{tabular}}{{@{{}}l{'r' * len(columns.points)}@{{}}}}",
        r"\toprule",
    ]
    lines += _groups(table)
    lines += [_line(["", *(columns.heads[point] for point in columns.points)]), r"\midrule"]
    kind = table.rows[0].kind
    for row in table.rows:
        if row.kind != kind:
            lines.append(r"\addlinespace")
            kind = row.kind
        lines.append(_line([row.label, *(_signed(_shown(row, point, show)) for point in columns.points)]))
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _groups(table: ChangeTable) -> list[str]:
    """Return a line of what columns have in common, and a rule below each group."""
    groups = table.columns.groups
    if len(groups) == 1:
        return []
    heads = [rf"\multicolumn{{{len(group.points)}}}{{c}}{{{latex_text(group.label)}}}" for group in groups]
    rules, first = [], 2
    for group in groups:
        rules.append(rf"\cmidrule(lr){{{first}-{first + len(group.points) - 1}}}")
        first += len(group.points)
    return [" & ".join(["", *heads]) + r" \\", " ".join(rules)]


def _line(cells: list[str]) -> str:
    return " & ".join(map(latex_text, cells)) + r" \\"


def _shown(row: Row, point: int, show: Show) -> str:
    entry = row.entries.get(point)
    return "" if entry is None else show(entry)


def _signed(text: str) -> str:
    """Return a change with a minus sign for its hyphen."""
    return text.replace("-", "−", 1) if text.startswith("-") else text
