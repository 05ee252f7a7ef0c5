"""The section on collapse: which of its definitions each grid point meets."""

from __future__ import annotations

from crossfeed.reporting.collapse.definitions import TITLES
from crossfeed.reporting.collapse.survey import Judged, collapses
from crossfeed.reporting.collapse.tables import WORDS, found, when
from crossfeed.reporting.data.exact import Theory
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of, evenly
from crossfeed.reporting.page.blocks import Block, Sheet, Words

__all__ = ["which_collapse"]

_POINTS = 6


def which_collapse(run: Run, theory: Theory) -> list[Block]:
    """Return a table of definitions by grid point, and what was found at each; nothing before generation 1.

    Args:
        run: The run.
        theory: What exact theory says of it.
    """
    points = columns_of(run.points).points
    shown = collapses(run, theory, evenly(points, _POINTS))
    if not shown:
        return []
    some = "" if len(points) <= _POINTS else f" Here are {_POINTS} of {len(points)}, evenly chosen."
    words = (
        "The word is used for eight things that do not agree (Schaeffer et al., 2025); each is judged by itself, on "
        "the models' own tasks, at the last measured generation. The thresholds are crossfeed's. What a run was too "
        f"short for, or did not measure, is left open. The command crossfeed collapse prints all grid points.{some}"
    )
    rows = [[each.label or "the run", *(_titles(each, met) for met in (True, None))] for each in shown]
    details = [block for each in shown for block in _details(each)]
    return [Words([words]), Sheet("Definitions of collapse, by grid point", ["", "met", "open"], rows), *details]


def _details(judged: Judged) -> list[Block]:
    rows = [
        [TITLES[each.definition], WORDS[each.met], found(each), each.threshold, when(each)] for each in judged.verdicts
    ]
    sheet = Sheet("What was found", ["definition", "verdict", "found", "rule", "generations"], rows)
    return [Words([f"At {judged.label}:"]), sheet] if judged.label else [sheet]


def _titles(judged: Judged, met: bool | None) -> str:
    return "; ".join(TITLES[each.definition] for each in judged.verdicts if each.met is met) or "none"
