"""The survey as files (CSV, a heat map as PDF, PNG and SVG) and as plain data for programs."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from crossfeed import paper
from crossfeed.reporting.drawing.figures import WIDE
from crossfeed.reporting.drawing.style import COLOURS, INK, PAPER, Frame, add_legend, legend_rows, panels, styled
from crossfeed.reporting.evidence.survey import SOURCES, Evidence
from crossfeed.reporting.evidence.tables import beta_words
from crossfeed.reporting.files import pictures, rows_of, to_csv, write_contents

__all__ = ["evidence_data", "evidence_figure", "write_evidence"]

# From white to a dark blue in even steps of lightness: the same order in grey.
_SHADES: Final = LinearSegmentedColormap.from_list("overlap", [PAPER, "#bcd7ea", "#5c9cc8", "#1f5f94"])
_DOT: Final[dict[str, Any]] = {"color": COLOURS[0], "marker": "o", "linestyle": "", "markersize": 8}
_LOOKS: Final = {
    "stated": _DOT | {"fillstyle": "full"},
    "overlap": _DOT | {"fillstyle": "left", "markerfacecoloralt": "none"},
}
_ABREAST: Final = 8.0  # inches from which on both parts stand side by side
_DARK: Final = 0.78  # numbers on a darker ground than this are light


def evidence_data(survey: Evidence) -> dict[str, Any]:
    """Return the survey as plain data.

    Args:
        survey: The survey.
    """
    return {
        "mentions": rows_of(survey.mentions),
        "overlap": rows_of(survey.overlap),
        "reuse": rows_of(survey.reuse),
        "undisclosed": rows_of(survey.undisclosed),
        "differences": rows_of(survey.differences),
        "public_overlap": asdict(survey.public),
        "beta": beta_words(survey),
        "references": paper.references(),
    }


def write_evidence(survey: Evidence, folder: Path, figure_width: float | None = None) -> list[Path]:
    """Write ``mentions``, ``overlap``, ``reuse``, ``undisclosed``, ``differences`` (CSV) and the heat map.

    Args:
        survey: The survey.
        folder: Where to; files of an earlier call are replaced.
        figure_width: Inches that the PDF is wide at most, for a paper; default: as on a wide screen.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    names = ("mentions", "overlap", "reuse", "undisclosed", "differences")
    tables = {f"{name}.csv": to_csv(getattr(survey, name)).encode() for name in names}
    drawn = pictures({"evidence": lambda width: evidence_figure(survey, width)}, figure_width)
    return write_contents(folder, tables | drawn)


@styled
def evidence_figure(survey: Evidence, width: float = WIDE) -> Figure:
    """Draw the sources that each model states, beside a heat map of the overlap of any two families.

    Args:
        survey: The survey.
        width: Inches that it may be wide.
    """
    names = ["stated", "not stated, overlap expected"]
    across, top = legend_rows(names, width)
    figure, axes = panels(Frame(width, 4.1, 2 if width >= _ABREAST else 1, left=1.05, gap=1.35, top=top, foot=1.0), 2)
    _draw_sources(axes[0], survey)
    _draw_overlap(axes[1], survey)
    add_legend(figure, [Line2D([], [], **look) for look in _LOOKS.values()], names, across)
    return figure


def _draw_sources(axes: Axes, survey: Evidence) -> None:
    models = list(dict.fromkeys(survey.mentions["model"]))
    for how, look in _LOOKS.items():
        rows = survey.mentions[survey.mentions["how"] == how]
        x, y = rows["source"].map(SOURCES.index), rows["model"].map(models.index)
        axes.plot(x, y, clip_on=False, **look)
    axes.set_title("named by the makers")
    axes.set(xlim=(-0.5, len(SOURCES) - 0.5), ylim=(len(models) - 0.5, -0.5))
    _name(axes, list(SOURCES), models)


def _draw_overlap(axes: Axes, survey: Evidence) -> None:
    families = list(dict.fromkeys([*survey.overlap["a"], *survey.overlap["b"]]))
    values = np.eye(len(families))
    for row in survey.overlap.to_dict("records"):
        a, b = families.index(row["a"]), families.index(row["b"])
        values[a, b] = values[b, a] = row["jaccard"]
    axes.imshow(values, cmap=_SHADES, vmin=0, vmax=1, aspect="auto")
    for (y, x), value in np.ndenumerate(values):
        ink = PAPER if value > _DARK else INK
        axes.annotate(f"{value:.2f}", (x, y), ha="center", va="center", color=ink)
    axes.set_title("overlap of two families (Jaccard)")
    _name(axes, families, families)


def _name(axes: Axes, across: list[str], down: list[str]) -> None:
    axes.set_xticks(range(len(across)), across, rotation=40, ha="right", rotation_mode="anchor", color=INK)
    axes.set_yticks(range(len(down)), down, color=INK)
    axes.tick_params(length=0)
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
