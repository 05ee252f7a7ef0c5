"""A comparison with the paper as files (CSV, Markdown, LaTeX, PNG, SVG) and as plain data for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from crossfeed.errors import StoreError
from crossfeed.report.compare import Comparison
from crossfeed.report.compare_figures import changes_figure, generations_figure, outputs_figure
from crossfeed.report.compare_text import amount, notes, ours, theirs, totals
from crossfeed.report.sheets import to_csv
from crossfeed.report.style import to_png, to_svg
from crossfeed.report.text import plain

__all__ = ["comparison_data", "latex", "markdown", "pictures", "rows_of", "write_comparison", "write_contents"]

_HEAD: Final = ("beta", "alpha", "", "paper", "here", "change", "direction")
_LATEX: Final = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\to$",
    "±": r"$\pm$",
    "[": "{[}",  # at the start of a row it would be an argument of the row's end before it
    "*": "{*}",
}
_MARKDOWN: Final = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~$!"})


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain data: lists of rows; what is not a number is None."""
    runs = comparison.runs
    return {
        "name": runs.experiment.name,
        "runs": [{"location": str(run.store), "id": run.id} for run in runs.runs],
        "seeds": runs.seeds,
        "entities": {name: {"entity": entity, "task": task} for name, (entity, task) in runs.owners.items()},
        "stand_ins": dict(runs.stand_ins),
        "agreement": rows_of(comparison.agreement),
        "cells": rows_of(comparison.cells),
    }


def write_comparison(comparison: Comparison, folder: Path) -> list[Path]:
    """Write ``cells`` and ``agreement`` (CSV), all tables (``comparison.md``, ``comparison.tex``) and the figures.

    Args:
        comparison: What to write.
        folder: Where to; files of an earlier comparison are replaced.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    contents = {
        "cells.csv": to_csv(comparison.cells).encode(),
        "agreement.csv": to_csv(comparison.agreement).encode(),
        "comparison.md": _markdown_page(comparison).encode(),
        "comparison.tex": _latex_page(comparison).encode(),
    }
    layout = "figure-7" if len(comparison.runs.owners) > 2 else "figures-5-6"
    figures = {
        "changes": changes_figure(comparison),
        "figure-3": outputs_figure(comparison.runs),
        layout: generations_figure(comparison.runs),
    }
    return write_contents(folder, contents | pictures(figures))


def pictures(figures: dict[str, Figure | None]) -> dict[str, bytes]:
    """Figures as PNG and SVG files, by name; those that are None are left out."""
    contents: dict[str, bytes] = {}
    for name, figure in figures.items():
        if figure is not None:
            contents |= {f"{name}.png": to_png(figure), f"{name}.svg": to_svg(figure).encode()}
    return contents


def write_contents(folder: Path, contents: dict[str, bytes]) -> list[Path]:
    """Write files into a folder.

    Args:
        folder: Where to; it is made if need be.
        contents: What each file holds.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (folder / name).write_bytes(content)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StoreError(f"{folder}: cannot be written ({reason}); give a folder with --out") from error
    return [folder / name for name in contents]


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """A table as a list of rows; JSON has no infinities."""
    return [{str(key): _finite(value) for key, value in row.items()} for row in table.to_dict("records")]


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not np.isfinite(value) else value


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; nothing in its text is markup."""
    lines = [[_markdown(cell) for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in LaTeX that needs no package; nothing in its text is a command."""
    lines = [" & ".join(map(_latex, row)) + r" \\" for row in (head, *rows)]
    body = [r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"]
    return "\n".join([rf"\begin{{tabular}}{{{'l' * len(head)}}}", *body, r"\end{tabular}"]) + "\n"


def _markdown(text: str) -> str:
    return plain(text).replace("\n", " ").translate(_MARKDOWN)


def _latex(text: str) -> str:
    return "".join(_LATEX.get(c, c) for c in plain(text).replace("\n", " "))


def _markdown_page(comparison: Comparison) -> str:
    parts = [f"# {_markdown(comparison.runs.experiment.name)} beside the paper's tables\n"]
    parts += [
        "## Directions agreed\n",
        markdown(*_summary(comparison)),
        "\n".join(f"- {_markdown(note)}" for note in notes(comparison)),
    ]
    for title, rows in _tables(comparison):
        parts += [f"\n## {_markdown(title)}\n", markdown(_HEAD, rows)]
    return "\n".join(parts)


def _latex_page(comparison: Comparison) -> str:
    parts = [f"% {plain(comparison.runs.experiment.name)} beside the paper's tables", latex(*_summary(comparison))]
    for title, rows in _tables(comparison):
        parts += [f"% {title}", latex(_HEAD, rows)]
    return "\n".join(parts)


def _summary(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    head, *rows = totals(comparison)
    return head, rows


def _tables(comparison: Comparison) -> list[tuple[str, list[list[str]]]]:
    """Each table of the paper: its title, and one row of text for each cell."""
    made = []
    for (table, base, metric), part in comparison.cells.groupby(["table", "base", "metric"], sort=False):
        rows = [
            [
                f"{row['beta']:g}",
                f"{row['alpha']:g}",
                comparison.runs.label(row["entity"], row["task"]),
                theirs(row),
                ours(row),
                amount(row),
                row["result"],
            ]
            for row in part.to_dict("records")
        ]
        made.append((f"Table {table} ({base}), {metric}", rows))
    return made
