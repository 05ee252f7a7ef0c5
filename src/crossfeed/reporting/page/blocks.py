"""Sections and blocks of a report, as plain values; the template decides how each kind of block looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Final

from matplotlib.figure import Figure

from crossfeed.reporting.data.layout import ChangeTable, Columns, Group

__all__ = [
    "ALT_LIMIT",
    "Block",
    "Changes",
    "Code",
    "Facts",
    "Picture",
    "Sample",
    "Samples",
    "Section",
    "Sheet",
    "Statements",
    "Words",
    "file_name",
    "left_out",
]

ALT_LIMIT: Final = 900
"""Letters of a figure's text alternative."""
_ABREAST: Final = 6


@dataclass(frozen=True)
class Words:
    """Paragraphs."""

    kind: ClassVar[str] = "words"
    paragraphs: Sequence[str]


@dataclass(frozen=True)
class Statements:
    """Statements, each with what it is about."""

    kind: ClassVar[str] = "statements"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Changes:
    """An initial -> final table.

    Attributes:
        table: What the page shows.
        legend: How to read it.
        name: What its files are called.
        whole: What its files hold: the same, or more rows.
    """

    kind: ClassVar[str] = "changes"
    table: ChangeTable
    legend: str
    name: str
    whole: ChangeTable

    @property
    def parts(self) -> list[Columns]:
        """The table's columns in parts that fit onto a sheet of paper."""
        return self.table.columns.pages(_ABREAST)


@dataclass(frozen=True)
class Picture:
    """A figure.

    Attributes:
        name: Its files' name.
        alt: What it shows, for those who cannot see it.
        caption: What to know when looking at it.
        draw: Makes it at a width in inches.
    """

    kind: ClassVar[str] = "picture"
    name: str
    alt: str
    caption: str
    draw: Callable[[float], Figure]


@dataclass(frozen=True)
class Sample:
    """The models' completions of one test prompt.

    Attributes:
        task: The data set.
        item: The test item's number.
        prompt: The prompt.
        reference: What the data set itself says there, or nothing.
        models: The models.
        rows: A label for each time and grid point, and every model's completion.
    """

    task: str
    item: int
    prompt: str
    reference: str
    models: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]

    def by(self, models: Sequence[str]) -> Sample:
        """Return the completions of some models.

        Args:
            models: Their names.
        """
        places = [self.models.index(name) for name in models]
        rows = [(label, [texts[place] for place in places]) for label, texts in self.rows]
        return replace(self, models=models, rows=rows)


@dataclass(frozen=True)
class Samples:
    """Completions side by side."""

    kind: ClassVar[str] = "samples"
    samples: Sequence[Sample]


@dataclass(frozen=True)
class Sheet:
    """A plain table; all but the first column are numbers if `numeric`."""

    kind: ClassVar[str] = "sheet"
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: bool = False


@dataclass(frozen=True)
class Facts:
    """Names and values."""

    kind: ClassVar[str] = "facts"
    items: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Code:
    """Text to copy."""

    kind: ClassVar[str] = "code"
    label: str
    text: str


Block = Words | Statements | Changes | Picture | Samples | Sheet | Facts | Code


@dataclass(frozen=True)
class Section:
    """A section of a report.

    Attributes:
        name: Its anchor.
        title: Its title.
        blocks: What it holds.
    """

    name: str
    title: str
    blocks: Sequence[Block]


def file_name(name: str, groups: Sequence[Group], group: Group) -> str:
    """Return a figure's file name; groups of columns are numbered where there are several.

    Args:
        name: The stem.
        groups: All groups of columns that have a figure.
        group: The group that this figure shows.
    """
    return name if len(groups) == 1 else f"{name}-{groups.index(group) + 1}"


def left_out(shown: int, known: int, where: str) -> str:
    """Return a note that some grid points are left out: a sentence after a space, or nothing.

    Args:
        shown: Number of grid points shown.
        known: Number of grid points there are.
        where: The file that has all of them.
    """
    return "" if shown >= known else f" {shown} of {known} grid points, evenly chosen; all are in {where}."
