"""Verdicts in the terminal and as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from crossfeed.display.formatting import number
from crossfeed.reporting.collapse.definitions import TITLES, Verdict
from crossfeed.reporting.collapse.survey import Judged
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.terminal.tables import ascii_for, say

__all__ = ["WORDS", "found", "plain_verdicts", "render_collapses", "summary", "when"]

WORDS: Final = {True: "yes", False: "no", None: "open"}


def render_collapses(judged: Sequence[Judged], console: Console) -> None:
    """Print every grid point's verdicts.

    Args:
        judged: The grid points.
        console: Where to.
    """
    for each in judged:
        say(console, f"{each.label or 'the run'}, to generation {each.generations}: {summary(each)}", "bold")
        for verdict in each.verdicts:
            say(console, f"  {WORDS[verdict.met]:<4}  {TITLES[verdict.definition]}")
            at = f"; at t = {when(verdict)}" if verdict.generations else ""
            rule = "" if verdict.met is None else f" (rule: {verdict.threshold})"
            told = f"{found(verdict)}{rule}{at}"
            console.print(Padding(Text(ascii_for(told, console), style="dim"), (0, 0, 0, 8)))
        console.print()
    say(console, "The definitions are those of Schaeffer et al. (2025); the thresholds are crossfeed's.", "dim")


def summary(judged: Judged) -> str:
    """Return how many of the definitions are met, in words.

    Args:
        judged: A grid point.
    """
    met = [verdict.met for verdict in judged.verdicts]
    open_ones = met.count(None)
    told = f"meets {met.count(True)} of {len(met)} definitions of collapse"
    return told + (f"; {open_ones} open" if open_ones else "")


def found(verdict: Verdict) -> str:
    """Return what was found: the number, what it is, and what else there is to say.

    Args:
        verdict: A verdict.
    """
    told = "" if verdict.number is None else f"{verdict.what}: {number(verdict.number)}"
    return "; ".join(part for part in (told, verdict.reason) if part)


def when(verdict: Verdict) -> str:
    """Return the generations at which a definition holds: ``2-4, 7``; empty for one of the whole curve.

    Args:
        verdict: A verdict.
    """
    spans: list[list[int]] = []
    for t in verdict.generations:
        if spans and t == spans[-1][1] + 1:
            spans[-1][1] = t
        else:
            spans.append([t, t])
    return ", ".join(f"{begin}-{end}" if end > begin else str(begin) for begin, end in spans)


def plain_verdicts(run: Run, judged: Sequence[Judged]) -> dict[str, Any]:
    """Return verdicts as plain data.

    Args:
        run: The run.
        judged: Its grid points.
    """
    points = [asdict(each) for each in judged]
    return {"name": run.experiment.name, "id": run.id, "points": points, "definitions": dict(TITLES)}
