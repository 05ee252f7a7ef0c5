"""Style of figures and their conversion to bytes: no pyplot, no global state, equal bytes for equal figures."""

from __future__ import annotations

import functools
import io
import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, ParamSpec, TypeVar

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import Op, PdfPages
from matplotlib.figure import Figure

from crossfeed.display.formatting import plain, shorten
from crossfeed.reporting.drawing.fonts import outlines_alone

__all__ = [
    "COLOURS",
    "DASHES",
    "FILLS",
    "HATCHES",
    "INK",
    "MARKERS",
    "Frame",
    "for_page",
    "for_paper",
    "panels",
    "styled",
    "to_pdf",
    "to_png",
    "to_svg",
]

P = ParamSpec("P")
R = TypeVar("R")

# Okabe and Ito (2008): told apart with any colour vision; the two that vanish on white or black are left out.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
# Never colour alone: each of these changes with a period of its own.
DASHES: Final = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)), (0, (3, 1, 1, 1, 1, 1)))
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
# Straight lines alone: dots make vector files ten times as large.
HATCHES: Final = ("", "///", "\\\\\\", "---", "xxx", "|||", "+++")
FILLS: Final[tuple[Literal["full", "none", "left", "bottom", "right", "top"], ...]] = (
    "full",
    "none",
    "left",
    "bottom",
    "right",
    "top",
)

INK: Final = "#1b1f24"
SOFT: Final = "#68707c"
FAINT: Final = "#d9dde2"
BAND: Final = "#eceff2"
PAPER: Final = "#fefefe"
_DARK: Final = {INK: "#e8eaed", SOFT: "#a3abb6", FAINT: "#3b424b", BAND: "#262c34", PAPER: "#15181c"}

_DPI: Final = 200
_LIGHTLY: Final = {"compress_level": 3}  # a fifth larger than zlib's usual level, in half of its time
_ON_PAPER: Final = 0.79  # what a PDF for a paper is shrunk by: letters of 9 points have 7 then

_STYLE: Final[dict[Any, Any]] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.titley": 1.0,  # no ticks are above: matplotlib need not look for them
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.7,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.prop_cycle": cycler(color=COLOURS),
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "figure.facecolor": PAPER,
    "hatch.linewidth": 0.7,
    "pdf.fonttype": 42,
    "svg.fonttype": "path",  # looks the same everywhere; what a figure says is in its text alternative
    "svg.hashsalt": "crossfeed",
    "path.simplify": False,
}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """Wrap a drawing function: it draws in the house style and leaves matplotlib's settings as they were.

    Args:
        draw: The function.
    """

    @functools.wraps(draw)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with mpl.rc_context(_STYLE):
            return draw(*args, **kwargs)

    return wrapped


@dataclass(frozen=True)
class Frame:
    """Room for panels of equal size, in inches, so that no label is ever squeezed.

    Attributes:
        width: The figure's width.
        height: Each panel's height.
        columns: Panels side by side.
        left: Room for the labels left of each panel.
        gap: Room between rows, for a panel's title and the ticks above it.
        top: Room above the panels, for the legend.
        title: Room for the titles of the first row.
        foot: Room below the panels.
    """

    width: float
    height: float
    columns: int
    left: float = 0.5
    gap: float = 0.62
    top: float = 0.0
    title: float = 0.3
    foot: float = 0.45

    @property
    def panel(self) -> float:
        """Each panel's width."""
        return (self.width - 0.08) / self.columns - self.left - 0.1


def panels(frame: Frame, count: int) -> tuple[Figure, list[Axes]]:
    """Return a figure with panels, row by row.

    Args:
        frame: Sizes of the figure.
        count: Number of panels.
    """
    rows = -(-count // frame.columns)
    height = frame.top + frame.title + rows * frame.height + (rows - 1) * frame.gap + frame.foot
    figure = Figure(figsize=(frame.width, height))
    FigureCanvasAgg(figure)
    made = []
    for place in range(count):
        row, column = divmod(place, frame.columns)
        x = frame.left + column * (frame.panel + frame.left + 0.1) + 0.08
        y = height - frame.top - frame.title - (row + 1) * frame.height - row * frame.gap
        box = (x / frame.width, y / height, frame.panel / frame.width, frame.height / height)
        made.append(figure.add_axes(box))
    return figure, made


def legend_rows(labels: Sequence[str], width: float) -> tuple[int, float]:
    """Return columns of a legend of a given width, and the height that it takes.

    Args:
        labels: Labels in the legend's order.
        width: The figure's width in inches.
    """
    columns = next((k for k in range(len(labels), 1, -1) if _legend_width(labels, k) <= width), 1)
    return columns, -(-len(labels) // columns) * 0.2 + 0.1


def _legend_width(labels: Sequence[str], columns: int) -> float:
    """Return inches that a legend takes; columns are as wide as their longest labels, the first ones hold one more."""
    rows, longer = divmod(len(labels), columns)
    ends = [rows * column + min(column, longer) for column in range(columns + 1)]
    parts = [labels[begin:end] for begin, end in itertools.pairwise(ends)]
    return 0.2 + sum(max(len(label) for label in part) * 0.08 + 0.65 for part in parts)


def add_legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], columns: int) -> None:
    """Add a legend above all panels.

    Args:
        figure: The figure.
        handles: Matplotlib's handles.
        labels: A label for each handle.
        columns: Number of columns.
    """
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=columns,
        handlelength=2.6,
        columnspacing=1.4,
        labelspacing=0.35,
        borderaxespad=0.2,
    )


def fitting(text: str, inches: float) -> str:
    """Return a label cut to a width; only letters that the figures' font has.

    Args:
        text: The label.
        inches: The width.
    """
    known = "".join(c if c.isascii() or "\u00a0" <= c < "\u0250" or c in "αβ→…−–⟨⟩" else "?" for c in plain(text))
    return shorten(known.replace("\n", " ").replace("\t", " "), max(int(inches / 0.082), 6))


@styled
def to_png(figure: Figure) -> bytes:
    """Return pixels for slides and papers, on white.

    Args:
        figure: The figure.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None}, pil_kwargs=_LIGHTLY)
    return buffer.getvalue()


@styled
def to_svg(figure: Figure) -> str:
    """Return vectors, without the time or the program in them.

    Args:
        figure: The figure.
    """
    buffer = io.StringIO()
    none = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(buffer, format="svg", dpi=_DPI, metadata=none)
    return re.sub(r"<!--.*?-->\s*|<!DOCTYPE[^>]*>\s*", "", buffer.getvalue(), flags=re.DOTALL)


@styled
def to_pdf(figure: Figure, width: float | None = None) -> bytes:
    """Return vectors for LaTeX, without the time or the program in them.

    Letters are those of an embedded TrueType font (Type 42): venues refuse the fonts that matplotlib makes by default
    (Type 3), and outlines could neither be searched nor edited.

    Args:
        figure: The figure.
        width: Inches to shrink it to, as a whole; default: as it is drawn.
    """
    scale = 1.0 if width is None else width / figure.get_figwidth()
    buffer = io.BytesIO()
    pages: Any = PdfPages(buffer, metadata=dict.fromkeys(("CreationDate", "Creator", "Producer")))
    file = pages._ensure_file()
    begin = file.newPage

    def begin_scaled(across: float, down: float) -> None:
        begin(scale * across, scale * down)
        file.width, file.height = across, down  # what is drawn is bounded by these
        file.output(scale, 0, 0, scale, 0, 0, Op.concat_matrix)

    file.newPage = begin_scaled
    figure.savefig(pages, format="pdf", dpi=_DPI)
    with outlines_alone():
        pages.close()
    return buffer.getvalue()


def for_paper(draw: Callable[[float], Figure | None], width: float) -> bytes:
    """Return a figure as PDF for a column or a page of a paper, in letters of about 7 points.

    Args:
        draw: Makes the figure at a width in inches, or at a lesser one that is enough, in letters of 9 points.
        width: The column's width in inches.
    """
    figure = draw(width / _ON_PAPER)
    assert figure is not None  # noqa: S101 - for the type checker: what has a figure has it at every width
    return to_pdf(figure, _ON_PAPER * figure.get_figwidth())


def for_page(svg: str) -> str:
    """Return the same picture for a page: it follows the reader's light or dark scheme and has no background.

    Args:
        svg: The figure as SVG.
    """
    for number, colour in enumerate(_DARK):
        svg = svg.replace(colour, f"var(--c{number})")
    light = "".join(f"--c{number}:{colour};" for number, colour in enumerate(_DARK))
    dark = "".join(f"--c{number}:{colour};" for number, colour in enumerate(_DARK.values()))
    rules = f"svg{{{light}}}@media screen and (prefers-color-scheme:dark){{svg{{{dark}}}}}"
    head, opening, rest = svg.partition("<svg")
    attributes, closing, body = rest.partition(">")
    return f"{head}{opening}{attributes}{closing}<style>{rules}</style>{body}"
