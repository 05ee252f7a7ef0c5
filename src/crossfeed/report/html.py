"""A run's report as one static page without scripts, beside its figures and tables as files."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path

from jinja2 import Environment, StrictUndefined, Template
from markupsafe import Markup

from crossfeed.errors import StoreError
from crossfeed.report.blocks import Picture, Section
from crossfeed.report.figures import NARROW, WIDE
from crossfeed.report.files import to_csv
from crossfeed.report.frames import Run
from crossfeed.report.sections import sections
from crossfeed.report.sheets import sheets
from crossfeed.report.style import for_page, to_png, to_svg
from crossfeed.report.text import plain

__all__ = ["write_report"]


@dataclass(frozen=True)
class _Image:
    """A picture as the page holds it: vectors for wide and for narrow screens, and their size in pixels."""

    wide: str
    narrow: str
    width: int
    height: int
    narrow_width: int
    narrow_height: int


def write_report(run: Run, folder: Path | None = None) -> Path:
    """Write a run's report.

    Args:
        run: The run; it may be unfinished or partly failed.
        folder: Where to; default ``report`` in the run's folder. Files of an earlier report are replaced.

    Returns:
        The page, ``index.html``; ``figures/`` (PNG, SVG) and ``tables/`` (CSV) are beside it.

    Raises:
        StoreError: The folder cannot be written.
    """
    folder = run.folder / "report" if folder is None else Path(folder)
    parts = sections(run)
    images = {}
    for section in parts:
        for block in section.blocks:
            if isinstance(block, Picture):
                images[block.name] = _draw(block, folder / "figures")
    tables = sheets(run)
    for name, frame in tables.items():
        _write(folder / "tables" / f"{name}.csv", to_csv(frame).encode())
    page = folder / "index.html"
    _write(page, _page(run, parts, images, list(tables)).encode())
    return page


def _page(run: Run, parts: list[Section], images: dict[str, _Image], tables: list[str]) -> str:
    style = _resource("page.css")
    return _template().render(
        title=plain(run.experiment.name),
        identity=run.id,
        sections=parts,
        images=images,
        tables=tables,
        # The one thing that is not escaped: our own style sheet. The policy allows it by its hash and nothing else.
        style=Markup(style),  # noqa: S704
        style_hash=base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(),
    )


def _draw(picture: Picture, folder: Path) -> _Image:
    """Draw a picture for files, for wide screens and for narrow ones."""
    wide = picture.draw(WIDE)
    vectors = to_svg(wide)
    _write(folder / f"{picture.name}.png", to_png(wide))
    _write(folder / f"{picture.name}.svg", vectors.encode())
    narrow = to_svg(picture.draw(NARROW))
    return _Image(_inline(vectors), _inline(narrow), *_size(vectors), *_size(narrow))


def _inline(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(for_page(svg).encode()).decode()}"


def _size(svg: str) -> tuple[int, int]:
    """Width and height in pixels; the file has points."""
    found = re.search(r'<svg[^>]*? width="([\d.]+)pt"', svg), re.search(r'<svg[^>]*? height="([\d.]+)pt"', svg)
    width, height = (round(float(match[1]) * 96 / 72) if match else 0 for match in found)
    return width, height


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_resource("page.html.j2"))


def _resource(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")


def _write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    partial = path.with_name(f".partial-{path.name}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(content)
        os.replace(partial, path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error}); is there room?") from error
