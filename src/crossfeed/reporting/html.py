"""A run's report, or runs side by side, as one static page without scripts, beside its figures and tables as files."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from crossfeed.display.formatting import plain
from crossfeed.reporting.data.exact import theory_of
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.drawing.figures import NARROW, WIDE
from crossfeed.reporting.drawing.recording import recorded
from crossfeed.reporting.drawing.style import for_page, for_paper, to_pdf, to_png, to_svg
from crossfeed.reporting.files import to_csv
from crossfeed.reporting.page.blocks import Changes, Picture, Section
from crossfeed.reporting.page.sections import sections
from crossfeed.reporting.page.sheets import sheets
from crossfeed.reporting.page.table_files import table_files
from crossfeed.reporting.side_by_side.runs import lay_side_by_side
from crossfeed.reporting.side_by_side.sections import side_by_side_sections
from crossfeed.reporting.side_by_side.sheets import side_by_side_sheets
from crossfeed.store.inside import inside, write_inside

__all__ = ["write_report", "write_side_by_side"]


@dataclass(frozen=True)
class _Image:
    """A picture as the page holds it: vectors for wide and for narrow screens, and their size in pixels."""

    wide: str
    narrow: str
    width: int
    height: int
    narrow_width: int
    narrow_height: int


def write_report(run: Run, folder: Path | None = None, figure_width: float | None = None) -> Path:
    """Write a run's report.

    Args:
        run: The run; it may be unfinished or partly failed.
        folder: Where to; default ``report`` in the run's folder. Files of an earlier report are replaced.
        figure_width: See `crossfeed.reporting.reports.report`.

    Returns:
        The page, ``index.html``; ``figures/`` (PDF, PNG, SVG) and ``tables/`` (CSV, LaTeX) are beside it.

    Raises:
        StoreError: The folder cannot be written.
    """
    theory = theory_of(run)
    title, identity = plain(run.experiment.name), f"run {run.id}"
    where = inside(run.folder, "report") if folder is None else Path(folder)
    return _write_page(where, title, identity, sections(run, theory), sheets(run, theory), figure_width)


def write_side_by_side(runs: Sequence[Run], folder: Path, figure_width: float | None = None) -> Path:
    """Write a page that lays runs beside each other; `crossfeed.reporting.paper.agreement` lays runs beside the paper.

    Args:
        runs: Two runs or more, of any experiments; they may be unfinished.
        folder: Where to; files of an earlier page are replaced.
        figure_width: See `crossfeed.reporting.reports.report`.

    Returns:
        The page, ``index.html``, with ``figures/`` and ``tables/`` beside it, as of a run's report.

    Raises:
        InvalidInput: There is only one run, or one was given twice.
        StoreError: The folder cannot be written.
    """
    beside = lay_side_by_side(runs)
    title = f"{len(runs)} runs side by side"
    identity = ", ".join(f"{letter} {run.id}" for letter, run in zip(beside.letters, runs, strict=True))
    parts, tables = side_by_side_sections(beside), side_by_side_sheets(beside)
    return _write_page(Path(folder), title, identity, parts, tables, figure_width)


def _write_page(
    folder: Path,
    title: str,
    identity: str,
    parts: Sequence[Section],
    tables: Mapping[str, pd.DataFrame],
    figure_width: float | None,
) -> Path:
    images = {}
    for section in parts:
        for block in section.blocks:
            if isinstance(block, Picture):
                images[block.name] = _draw(block, folder, figure_width)
            elif isinstance(block, Changes):
                for name, content in table_files(block.whole).items():
                    write_inside(folder, f"tables/{name}", content)
    for name, frame in tables.items():
        write_inside(folder, f"tables/{name}.csv", to_csv(frame).encode())
    style = _resource("page.css")
    text = _template().render(
        title=title,
        identity=identity,
        sections=parts,
        images=images,
        tables=list(tables),
        # The one thing that is not escaped: our own style sheet. The policy allows it by its hash and nothing else.
        style=Markup(style),  # noqa: S704
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )
    return write_inside(folder, "index.html", text.encode())


def _draw(picture: Picture, folder: Path, paper: float | None) -> _Image:
    """Draw a picture for files, for wide screens and for narrow ones, and, if asked for, for a paper's column."""
    wide = recorded(picture.draw(WIDE))
    vectors = to_svg(wide)
    write_inside(folder, f"figures/{picture.name}.png", to_png(wide))
    write_inside(folder, f"figures/{picture.name}.svg", vectors.encode())
    printed = to_pdf(wide) if paper is None else for_paper(picture.draw, paper)
    write_inside(folder, f"figures/{picture.name}.pdf", printed)
    narrow = to_svg(picture.draw(NARROW))
    return _Image(_inline(vectors), _inline(narrow), *_size(vectors), *_size(narrow))


def _inline(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(for_page(svg).encode()).decode()}"


def _size(svg: str) -> tuple[int, int]:
    """Return width and height in pixels; the file has points."""
    matches = re.search(r'<svg[^>]*? width="([\d.]+)pt"', svg), re.search(r'<svg[^>]*? height="([\d.]+)pt"', svg)
    width, height = (round(float(match[1]) * 96 / 72) if match else 0 for match in matches)
    return width, height


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("page.html.j2"))


def _resource(name: str) -> str:
    return files("crossfeed.reporting.page").joinpath(name).read_text(encoding="utf-8")
