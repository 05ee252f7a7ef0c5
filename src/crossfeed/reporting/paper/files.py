"""A comparison with the paper as files (CSV, Markdown, LaTeX, PDF, PNG, SVG) and as plain data for programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from crossfeed.display.formatting import plain
from crossfeed.reporting.files import latex, markdown, markdown_text, pictures, rows_of, to_csv, write_contents
from crossfeed.reporting.paper.agreement import Comparison
from crossfeed.reporting.paper.figures import changes_figure, generations_figure, outputs_figure
from crossfeed.reporting.paper.tables import amount, notes, ours, theirs, totals

__all__ = ["comparison_data", "write_comparison"]

_HEAD: Final = ("beta", "alpha", "", "paper", "here", "change", "direction")


def comparison_data(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as plain data: lists of rows; what is not a number is None.

    Args:
        comparison: The comparison.
    """
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


def write_comparison(comparison: Comparison, folder: Path, figure_width: float | None = None) -> list[Path]:
    """Write ``cells`` and ``agreement`` (CSV), all tables (``comparison.md``, ``comparison.tex``) and the figures.

    Args:
        comparison: What to write.
        folder: Where to; files of an earlier comparison are replaced.
        figure_width: Inches that PDF figures are wide at most, for a paper; default: as on a wide screen.

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
        "changes": lambda width: changes_figure(comparison, width),
        "figure-3": lambda width: outputs_figure(comparison.runs, width=width),
        layout: lambda width: generations_figure(comparison.runs, width),
    }
    return write_contents(folder, contents | pictures(figures, figure_width))


def _markdown_page(comparison: Comparison) -> str:
    parts = [f"# {markdown_text(comparison.runs.experiment.name)} beside the paper's tables\n"]
    parts += [
        "## Directions agreed\n",
        markdown(*_summary(comparison)),
        "\n".join(f"- {markdown_text(note)}" for note in notes(comparison)),
    ]
    for title, rows in _tables(comparison):
        parts += [f"\n## {markdown_text(title)}\n", markdown(_HEAD, rows)]
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
    """Return each table of the paper: its title, and one row of text for each cell."""
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
