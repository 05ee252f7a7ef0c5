"""Paired differences in the terminal, and as plain data for programs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from rich.console import Console

from crossfeed.display.formatting import number, signed
from crossfeed.reporting.data.paired import CONFIDENCE
from crossfeed.reporting.data.power import MOST_SEEDS
from crossfeed.reporting.differences.contrasts import Contrast
from crossfeed.reporting.files import rows_of
from crossfeed.reporting.terminal.run_data import named
from crossfeed.reporting.terminal.sheets import print_sheet
from crossfeed.reporting.terminal.tables import say

__all__ = ["contrast_data", "difference_text", "render_contrast"]

_ROWS: Final = 40  # of all pairs together
_DIGITS: Final = 6  # behind the point, at most
_WORDS: Final = frozenset({"", "verdict"})
_ERRORS: Final = {
    "seeds": "± standard error over seeds; below it the 95 % interval (Student's t). p: paired t test, corrected for "
    "all {tests} differences (Holm); the verdict is by it. "
    "seeds: how many would find such a difference at the 5 % level in four cases of five{detect}.",
    "items": "± standard error over test items; below it the 95 % interval.",
}


def contrast_data(contrast: Contrast) -> dict[str, Any]:
    """Return differences as plain data: lists of rows; what is not a number, or infinite, is None.

    Args:
        contrast: The differences.
    """
    return {
        "runs": [named(run) for run in contrast.runs],
        "detect": contrast.detect,
        "differences": rows_of(contrast.table),
        "notes": list(contrast.notes),
    }


def render_contrast(contrast: Contrast, console: Console) -> None:
    """Print differences: a table for each metric and pair of points.

    Args:
        contrast: The differences.
        console: Where to.
    """
    for run, letter in zip(contrast.runs, "AB" if len(contrast.runs) > 1 else " ", strict=True):
        say(console, f"{letter}: {run.experiment.name} ({run.id})".removeprefix(" : "), "bold")
    measures = {measure.metric: measure for measure in contrast.measures}
    shown = contrast.table.head(_ROWS)
    for (metric, of, against), rows in shown.groupby(["metric", "of", "against"], sort=False):
        measure = measures[str(metric)]
        times = sorted(set(rows["generation"]))
        until = f"generation {times[0]}" if len(times) == 1 else f"generations {times[0]} to {times[-1]}"
        seeds = sorted(set(rows["seeds"]))
        over = (
            f"{seeds[-1]} seed{'' if seeds[-1] == 1 else 's'}"
            if len(seeds) == 1
            else f"{seeds[0]} to {seeds[-1]} seeds"
        )
        console.print()
        say(
            console,
            f"{measure.heading}: {of or 'the point'} against {against or 'the point'} ({until}, {over})",
            "bold",
        )
        print_sheet(console, *_sheet(rows.to_dict("records")), _WORDS)
    if len(shown) < len(contrast.table):
        say(console, f"{len(shown)} of {len(contrast.table)} differences; all are in --json and --out.", "dim")
    console.print()
    for line in (*_legend(contrast), *contrast.notes):
        say(console, line, "dim")


def difference_text(row: Mapping[Any, Any]) -> str:
    """Return a difference with its standard error: ``-0.35 ± 0.02``.

    Args:
        row: A row of `Contrast.table`.
    """
    error = float(row["difference_se"])
    amount = _amount(float(row["difference"]), error)
    return amount if math.isnan(error) else f"{amount} ± {_amount(error, error).removeprefix('+')}"


def _p(p: float) -> str:
    if math.isnan(p):
        return ""
    return "< 0.001" if p < 1e-3 else f"{p:.2g}"


def _needed(seeds: float) -> str:
    if math.isnan(seeds):
        return ""
    return f"> {MOST_SEEDS:,}" if math.isinf(seeds) else f"{seeds:,.0f}"


def _sheet(rows: list[dict[Any, Any]]) -> tuple[list[str], list[list[str]]]:
    """Return heads and cells; columns without a single value are left out."""
    heads = ["", "against", "of", "difference", "p", "seeds", "verdict"]
    cells = [_cells(row) for row in rows]
    kept = [place for place in range(len(heads)) if any(line[place] for line in cells)]
    return [heads[place] for place in kept], [[line[place] for place in kept] for line in cells]


def _cells(row: Mapping[Any, Any]) -> list[str]:
    told = difference_text(row)
    if not math.isnan(row["lower"]):
        ends = (_amount(row[end], row["difference_se"]).removeprefix("+") for end in ("lower", "upper"))
        told += f"\n{' to '.join(ends)}"
    seeds = [_needed(row[name]) for name in ("seeds_needed", "seeds_to_detect") if name in row]
    named = [f"{row['model']} on {row['task']}", number(row["against_mean"]), number(row["of_mean"]), told]
    return [*named, _p(row["p_holm"]), " / ".join(filter(None, seeds)), row["verdict"]]


def _amount(value: float, error: float) -> str:
    """Return a value with its sign, and two digits of its standard error where there is one."""
    if not error > 0 or math.isinf(error):
        return signed(value) if value == 0 or abs(value) >= 0.1 else f"{value:+.3g}"
    return signed(value, min(max(1 - math.floor(math.log10(error)), 0), _DIGITS))


def _legend(contrast: Contrast) -> Iterator[str]:
    """Yield sentences on the columns, for the kinds of error that there are."""
    yield "Difference: of minus against, each seed with itself."
    tests = int(contrast.table["p"].notna().sum())
    for error, text in _ERRORS.items():
        if (contrast.table["error"] == error).any():
            yield text.format(
                tests=tests, detect="" if contrast.detect is None else f" / and one of {contrast.detect:g}"
            )
    bands = ", ".join(f"{measure.band:g} ({measure.title.lower()})" for measure in contrast.measures)
    if (contrast.table["error"] != "none").any():
        yield (
            f"unclear: p is not below {1 - CONFIDENCE:.2g} (or the interval over items holds zero), though the "
            f"difference is more than {bands}; same: nor is it more than that."
        )
    else:
        yield f"same: the difference is not more than {bands}."
