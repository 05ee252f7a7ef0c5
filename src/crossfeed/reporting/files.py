"""File formats of results: tables in CSV, Parquet, Markdown, LaTeX, figures in PDF, PNG and SVG, rows for JSON."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import finite_or_null, plain, safe_cell
from crossfeed.store.inside import write_inside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "latex",
    "latex_text",
    "markdown",
    "markdown_text",
    "pictures",
    "rows_of",
    "to_csv",
    "write_contents",
    "write_results",
]

_LATEX: Final = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "→": r"$\to$",
    "±": r"$\pm$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "−": "$-$",
    "\u00a0": " ",
    "[": "{[}",  # at the start of a row it would be an argument of the row's end before it
    "*": "{*}",
}
_MARKDOWN: Final = str.maketrans({c: f"\\{c}" for c in "\\`*_{}[]<>#|~$!"})


def to_csv(frame: pd.DataFrame) -> str:
    """Return a table as CSV; text that a spreadsheet would run as a formula gets an apostrophe in front.

    Args:
        frame: The table.
    """
    safe = frame.apply(_safe)
    safe.columns = pd.Index([safe_cell(name) for name in frame.columns])
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text


def _safe(column: pd.Series) -> pd.Series:
    """Return a column whose cells no spreadsheet reads as formulas; its words are few, its rows can be millions."""
    if pd.api.types.is_numeric_dtype(column):
        return column
    codes, values = pd.factorize(column, use_na_sentinel=True)
    if not all(isinstance(value, str) for value in values):  # what is equal, as 1 and True are, is not one value here
        return column.map(safe_cell)
    safe = pd.Series([*map(safe_cell, values), None], dtype=object)
    return pd.Series(safe.to_numpy()[codes], index=column.index, name=column.name)  # the code of what is missing is -1


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in Markdown; nothing in its text is markup.

    Args:
        head: Column heads.
        rows: Rows of cells as text.
    """
    lines = [[markdown_text(cell) for cell in row] for row in (head, *rows)]
    lines.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def latex(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table in LaTeX that needs no package; nothing in its text is a command.

    Args:
        head: Column heads.
        rows: Rows of cells as text.
    """
    lines = [" & ".join(map(latex_text, row)) + r" \\" for row in (head, *rows)]
    body = [r"\hline", lines[0], r"\hline", *lines[1:], r"\hline"]
    return "\n".join([rf"\begin{{tabular}}{{{'l' * len(head)}}}", *body, r"\end{tabular}"]) + "\n"


def pictures(figures: Mapping[str, Callable[[float], Figure | None]], paper: float | None = None) -> dict[str, bytes]:
    """Return figures as PDF, PNG and SVG files, by name; those that are None are left out.

    Args:
        figures: Functions that draw a figure at most so many inches wide, by name.
        paper: Inches that PDFs are wide at most, in letters of about 7 points; default: as on a wide screen.
    """
    # The drawing library takes a second to load, and terminals have no use for it.
    from crossfeed.reporting.drawing.figures import WIDE
    from crossfeed.reporting.drawing.recording import recorded
    from crossfeed.reporting.drawing.style import for_paper, to_pdf, to_png, to_svg

    contents: dict[str, bytes] = {}
    for name, draw in figures.items():
        drawn = draw(WIDE)
        if drawn is not None:
            figure = recorded(drawn)
            contents |= {f"{name}.png": to_png(figure), f"{name}.svg": to_svg(figure).encode()}
            contents[f"{name}.pdf"] = to_pdf(figure) if paper is None else for_paper(draw, paper)
    return contents


def write_contents(folder: Path, contents: Mapping[str, bytes]) -> list[Path]:
    """Write files into a folder.

    Args:
        folder: Where to; it is made if need be.
        contents: What each file holds.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    return [write_inside(folder, name, content) for name, content in contents.items()]


def write_results(
    folder: Path, experiment: Experiment, tables: Mapping[str, pd.DataFrame | pa.Table], drawn: Mapping[str, bytes]
) -> list[Path]:
    """Write an experiment's description, tables of it as CSV and Parquet, and figures into a folder.

    Args:
        folder: Where to; it is made if need be.
        experiment: The experiment.
        tables: The tables by name.
        drawn: Figures, by file name.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    contents: dict[str, bytes] = {"experiment.yaml": experiment.to_yaml().encode()}
    for name, table in tables.items():
        frame = table.to_pandas() if isinstance(table, pa.Table) else table
        contents[f"{name}.csv"] = to_csv(frame).encode()
        contents[f"{name}.parquet"] = _parquet(table)
    return write_contents(folder, contents | dict(drawn))


def _parquet(table: pd.DataFrame | pa.Table) -> bytes:
    whole = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
    buffer = io.BytesIO()
    pq.write_table(whole, buffer)
    return buffer.getvalue()


def rows_of(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a table as a list of rows; JSON has no infinities.

    Args:
        table: The table.
    """
    return [{str(key): finite_or_null(value) for key, value in row.items()} for row in table.to_dict("records")]


def markdown_text(text: str) -> str:
    """Return text in Markdown; nothing in it is markup.

    Args:
        text: Any text.
    """
    return plain(text).replace("\n", " ").translate(_MARKDOWN)


def latex_text(text: str) -> str:
    """Return text in LaTeX; nothing in it is a command.

    Args:
        text: Any text.
    """
    return "".join(_LATEX.get(c, c) for c in plain(text).replace("\n", " "))
