r"""The paper's tables beside runs of our own: for every cell its initial -> final values, ours, and whether they agree.

A *direction* is a fall, a rise, or no change: a change of at most the dead band. The paper's band for losses is 0.1.
Losses of ours have another scale, so a cell is read in three ways, and none is hidden:

* ``result``: the paper's band as it is, 0.1, on our loss too. This is the count that is meant where one is given.
* ``result_scaled``: the same share of the initial loss, :math:`0.1 \, \ell_0 / \ell_0^{paper}`.
* ``result_sign``: no band on our side; whether we moved the same way at all. It is *firm* if the 95 % confidence
  interval of the mean change over S seeds (Student's t with S - 1 degrees of freedom) leaves out zero.

For similarities the band is half of the last printed decimal on both sides, and is not scaled.

Only cells that moved in the paper can be agreed with. Those that did not are counted apart: the same in both, or moved
here alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd
from scipy.stats import t as student

from crossfeed import paper
from crossfeed.description.registry import built_in_measures
from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.numbers import change, verdict
from crossfeed.reporting.paper.runs import Combined

__all__ = [
    "AGREES",
    "ALONE",
    "BOTH",
    "OPPOSITE",
    "SMALL",
    "UNKNOWN",
    "Comparison",
    "agreement",
    "comparable",
    "compare_combined",
]

AGREES: Final = "agrees"
SMALL: Final = "too small"
OPPOSITE: Final = "opposite"
BOTH: Final = "both same"
ALONE: Final = "here only"
UNKNOWN: Final = "unknown"

_CONFIDENCE: Final = 0.95
_OURS: Final = ("initial", "final", "change", "percent")


@dataclass(frozen=True)
class Comparison:
    """The paper's tables beside ours.

    Attributes:
        runs: What was compared.
        cells: One row for each cell of each table: ``table, base, metric, beta, alpha, entity, task, kind`` (``own``,
            ``other`` or ``public``), the paper's ``paper_initial, paper_final, paper_change, paper_direction``, the
            ``state`` of ours (``finished``, ``unfinished``, ``forecast``, ``not run`` or ``not measured``), its
            ``seeds`` and ``initial, final, change, percent`` with their standard errors (``_se``), its ``direction``,
            its ``band_scaled``, and what came of it: ``result, result_scaled, result_sign`` (empty where ours did not
            finish).
        agreement: One row for each table, from `agreement`.
    """

    runs: Combined
    cells: pd.DataFrame
    agreement: pd.DataFrame

    def disagreements(self) -> pd.DataFrame:
        """Return cells that moved in the paper and, by its own dead band, not the same way here.

        Returns:
            Rows of `cells`.
        """
        return self.cells[self.cells["result"].isin((SMALL, OPPOSITE, UNKNOWN))]


def compare_combined(runs: Combined, name: str | None = None) -> Comparison:
    """Lay runs beside tables of the paper.

    Args:
        runs: Runs of one experiment.
        name: A table; default: every table of the same tasks whose metric the runs measured.

    Raises:
        InvalidInput: The table does not exist or is about something else.
    """
    cells = pd.concat([_cells(runs, paper.table(each)) for each in _chosen(runs, name)], ignore_index=True)
    return Comparison(runs, cells, agreement(cells))


def comparable(runs: Combined) -> tuple[str, ...]:
    """Return the paper's tables of as many entities as the runs have, with metrics that they measured.

    Args:
        runs: The runs.
    """
    tables = _numbers()
    fits = (tables["K"] == len(runs.owners)) & tables["metric"].isin(set(runs.records["metric"]))
    return tuple(dict.fromkeys(tables.loc[fits, "table"]))


def agreement(cells: pd.DataFrame) -> pd.DataFrame:
    """Count the directions that agree, table by table.

    Args:
        cells: `Comparison.cells`.

    Returns:
        ``table, metric``, all its ``cells``; those that ``moved`` in the paper, and of these how many finished here
        (``compared``), agree (``agreed``), changed too little (``small``) or moved the other way (``opposite``); how
        many agree with a scaled band (``agreed_scaled``) and by their sign alone (``agreed_sign``), and of the last how
        many firmly (``firm``; none with one seed). Then those that were ``still`` in the
        paper and finished here, and of these the same in both (``both``). A last row for each metric with several
        tables, named ``all``, is their sum.
    """
    rows = [
        _counts(str(table), str(part["metric"].iloc[0]), part) for table, part in cells.groupby("table", sort=False)
    ]
    for metric, part in cells.groupby("metric", sort=False):
        if len(set(part["table"])) > 1:
            rows.append(_counts("all", str(metric), part))
    return pd.DataFrame(rows)


def _numbers() -> pd.DataFrame:
    """Return all tables of initial and final values."""
    frames = [frame for name in paper.tables() if "initial" in (frame := paper.table(name))]
    return pd.concat(frames, ignore_index=True)


def _chosen(runs: Combined, name: str | None) -> Sequence[str]:
    fitting = comparable(runs)
    about = f"{len(runs.owners)} entities that own {', '.join(runs.owners)}"
    if name is None:
        if not fitting:
            raise InvalidInput(
                f"nothing to compare yet: no cell of these runs ({about}) has finished with losses or similarities"
            )
        return fitting
    numbers = _numbers()
    rows = numbers[numbers["table"] == name]
    if rows.empty:
        raise InvalidInput(
            f"--paper {name}: not a table of losses or similarities in the paper; those are "
            f"{', '.join(dict.fromkeys(numbers['table']))}"
        )
    if name not in fitting:
        what = f"the {rows['metric'].iloc[0]} of K = {rows['K'].iloc[0]} entities that own {', '.join(_owned(rows))}"
        known = ", ".join(fitting) or "none"
        measured = ", ".join(sorted(set(runs.records["metric"]) & built_in_measures().keys())) or "nothing yet"
        raise InvalidInput(
            f"--paper {name}: Table {name} is about {what}; these runs have {about} and measured {measured}; "
            f"tables that fit: {known}"
        )
    return (name,)


def _owned(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(name for entity in rows["entity"] for name in entity.split("+")))


def _cells(runs: Combined, table: pd.DataFrame) -> pd.DataFrame:
    """Return one table's cells, with what the runs have for each."""
    metric = str(table["metric"].iloc[0])
    ours = change(runs.records, metric).merge(runs.points, on="point").rename(columns={"model": "entity"})
    keys = ["beta", "alpha", "entity", "task"]
    numbers = ["seeds", *(f"{name}{end}" for name in _OURS for end in ("", "_se"))]
    theirs = table[["table", "base", "metric", *keys, "initial", "final"]]
    theirs = theirs.rename(columns={"initial": "paper_initial", "final": "paper_final"})
    joined = theirs.merge(ours[[*keys, *numbers]], on=keys, how="left")
    joined["seeds"] = joined["seeds"].fillna(0).astype(int)
    joined["paper_change"] = (joined["paper_final"] - joined["paper_initial"]).round(2)  # the paper has two decimals
    read = pd.DataFrame([_read(row, runs) for row in joined.to_dict("records")])
    return pd.concat([joined, read], axis=1)[_ordered([*theirs.columns], numbers)]


def _ordered(theirs: list[str], numbers: list[str]) -> list[str]:
    left, right = theirs[:7], theirs[7:]
    said = ["paper_change", "paper_direction", "state"]
    return [*left, "kind", *right, *said, *numbers, "direction", "band_scaled", *_RESULTS]


_RESULTS: Final = ("result", "result_scaled", "result_sign")


def _read(row: dict[Any, Any], runs: Combined) -> dict[str, Any]:
    """Return the directions of a cell in the paper and in the runs, and the results of comparing them."""
    measure = built_in_measures()[row["metric"]]
    theirs = verdict(row["paper_change"], measure.band, measure.words)
    reading: dict[str, Any] = {
        "kind": _kind(row["entity"], row["task"]),
        "paper_direction": theirs,
        "state": _state(row, runs),
        "direction": "",
        "band_scaled": np.nan,
    }
    if not row["seeds"]:
        return reading | dict.fromkeys(_RESULTS, "")
    scaled = measure.band * row["initial"] / row["paper_initial"] if measure.relative else measure.band
    bands = dict(zip(_RESULTS, (measure.band, scaled, 0.0), strict=True))
    ours = {name: verdict(row["change"], band, measure.words) for name, band in bands.items()}
    reading |= {"direction": ours["result"], "band_scaled": scaled}
    return reading | {name: _result(theirs, direction) for name, direction in ours.items()}


def _state(row: dict[Any, Any], runs: Combined) -> str:
    if row["seeds"]:
        return "finished"
    state = runs.state(row["alpha"], row["beta"])
    return "not measured" if state == "finished" else state


def _result(theirs: str, ours: str) -> str:
    if ours == "unknown":  # what was measured is not a number
        return UNKNOWN
    if theirs == "same":
        return BOTH if ours == "same" else ALONE
    if ours == theirs:
        return AGREES
    return SMALL if ours == "same" else OPPOSITE


def _kind(entity: str, task: str) -> str:
    if task == "public":
        return "public"
    return "own" if task in entity.split("+") else "other"


def _firm(cells: pd.DataFrame) -> pd.Series[bool]:
    """Return True for each change that exceeds the scatter over seeds; with one seed, nothing is firm."""
    quantile = student.ppf((1 + _CONFIDENCE) / 2, cells["seeds"] - 1)
    return cells["change"].abs() > quantile * cells["change_se"]


def _counts(table: str, metric: str, cells: pd.DataFrame) -> dict[str, Any]:
    moved = cells["paper_direction"] != "same"
    done = cells["state"] == "finished"
    there = cells[moved & done]
    sign = there["result_sign"] == AGREES
    return {
        "table": table,
        "metric": metric,
        "cells": len(cells),
        "moved": int(moved.sum()),
        "compared": len(there),
        "agreed": int((there["result"] == AGREES).sum()),
        "small": int((there["result"] == SMALL).sum()),
        "opposite": int((there["result"] == OPPOSITE).sum()),
        "agreed_scaled": int((there["result_scaled"] == AGREES).sum()),
        "agreed_sign": int(sign.sum()),
        "firm": int((sign & _firm(there)).sum()),
        "still": int((~moved & done).sum()),
        "both": int((cells.loc[~moved & done, "result"] == BOTH).sum()),
    }
