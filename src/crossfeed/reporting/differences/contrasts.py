"""The verb `contrast`: paired differences of points of a run, or of two runs, with their errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from crossfeed.display.formatting import clip
from crossfeed.display.notebook import page
from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.differences import judged, paired_differences
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import columns_of
from crossfeed.reporting.data.measures import LOSS, declared
from crossfeed.reporting.data.opening import RunLike, open_runs
from crossfeed.reporting.differences.checks import (
    check_comparable,
    check_generation,
    data_notes,
    without_failures,
)
from crossfeed.reporting.differences.items import with_item_errors
from crossfeed.reporting.differences.pairs import Pairs, pairs_between, pairs_within
from crossfeed.settings import Measure

__all__ = ["Contrast", "contrast"]

_LETTERS: Final = ("A", "B")


@dataclass(frozen=True, repr=False)
class Contrast:
    """Paired differences.

    Attributes:
        runs: The run, or the two runs.
        table: One row for each pair of points, metric, model and task: ``of`` and ``against`` (the two points in
            words), ``metric, model, task, generation, seeds``, means over seeds ``against_mean`` and ``of_mean``, their
            ``difference``, its standard error ``difference_se`` and 95 % interval ``lower`` to ``upper``, ``error``
            (what the error is over: ``seeds``; ``items``, within one seed; or ``none``), ``p`` of the paired t test,
            ``p_holm`` (corrected for all rows), Cohen's ``d_z`` and Hedges' ``g_z``, ``seeds_needed``, perhaps
            ``seeds_to_detect``, and ``verdict`` (`crossfeed.reporting.data.differences.judged`).
        measures: The declarations of the metrics in the table.
        detect: The difference that one wants to be able to find, or None.
        notes: Sentences on what was left out, and what the errors are.
    """

    runs: tuple[Run, ...]
    table: pd.DataFrame
    measures: tuple[Measure, ...]
    detect: float | None
    notes: tuple[str, ...]

    def __repr__(self) -> str:
        pairs = len(self.table[["of", "against"]].drop_duplicates())
        return f"Contrast({self._about}, pairs of points: {pairs}, differences: {len(self.table)})"

    def _repr_html_(self) -> str:
        facts = {"": " ".join(self.notes), "differences": len(self.table)}
        return page(f"Paired differences of {self._about}", facts, {"": self.table.to_dict("list")})

    @property
    def _about(self) -> str:
        return " and ".join(f"{run.experiment.name} ({run.id})" for run in self.runs)


def contrast(
    runs: RunLike | Sequence[RunLike],
    *,
    of: Mapping[str, Any] | None = None,
    against: Mapping[str, Any] | None = None,
    model: str | None = None,
    metric: str | Sequence[str] | None = None,
    generation: int | None = None,
    detect: float | None = None,
) -> Contrast:
    """Compare points of a run, or two runs, seed by seed: differences with standard errors, intervals and p-values.

    Seeds of one number share their random numbers over the points of a run, and over runs of the same data.

    Args:
        runs: A run, whose points are compared with each other; or two runs, of which the second is compared with the
            first, point by point. Each a `Run` or its location (folder or URL).
        of: Points that others are subtracted from, by values of fields: ``{"alpha": 0.5}``. Default: all others.
        against: Points that are subtracted. Default: within a run the lowest value of its first varied field (alpha if
            it varies), all other fields alike; of two runs the points of the first one.
        model: An entity (or a pair, ``a+b``) whose numbers are compared; default: every one.
        metric: One metric or several; default: the loss, or the first one that was measured.
        generation: The generation t; default: the last one that both points reached.
        detect: A difference, in the metric's unit, for which to say how many seeds would find it.

    Returns:
        The differences, of minus against.

    Raises:
        InvalidInput: The runs cannot be compared (other seeds, tasks or data), cells failed, or a point, model, metric
            or generation is not there.
        StoreError: There is no run at a location, or part of it is damaged.
        NewerSchema: A run was written by a newer crossfeed.
    """
    opened = open_runs(runs)
    if len(opened) > 2:
        raise InvalidInput(
            f"{len(opened)} runs: differences are of one run or of two; lay more side by side in a report"
        )
    if detect is not None and not (np.isfinite(detect) and detect > 0):
        raise InvalidInput(f"--detect {detect:g}: give a difference above zero, in the metric's unit")
    first, second = opened[0], opened[-1]
    notes = check_comparable(first, second) if len(opened) == 2 else data_notes(first)
    measures = _measures(opened, metric)
    if first is second:
        pairs = pairs_within(first.points, of, against)
    else:
        pairs = pairs_between(first.points, second.points, of, against)
    if generation is None:
        pairs, failed = without_failures(first, second, pairs)
        notes += failed
    else:
        check_generation(opened, generation)
    names = [measure.metric for measure in measures]
    records = [_of_model(run, model) for run in (first, second)]
    table = paired_differences(records[0], records[1], pairs, names, generation)
    if table.empty:
        raise InvalidInput(
            f"{_named(opened)}: nothing is measured in both points of a pair"
            + (f" at generation {generation}" if generation is not None else "")
            + f" ({', '.join(names)}); go on with the run, or choose other points"
        )
    table = with_item_errors(table, first, second, pairs)
    table = judged(table, {measure.metric: measure for measure in measures}, detect)
    return Contrast(tuple(opened), _in_words(table, opened, pairs), measures, detect, (*notes, *_errors(table)))


def _measures(runs: Sequence[Run], metric: str | Sequence[str] | None) -> tuple[Measure, ...]:
    """Return the declarations of the metrics to compare, which all runs measured."""
    known = [
        each.metric for each in runs[0].measures if all(each.metric in {m.metric for m in r.measures} for r in runs)
    ]
    if not known:
        raise InvalidInput(f"{_named(runs)}: no metric {'is' if len(runs) == 1 else 'in common is'} measured yet")
    asked = [metric] if isinstance(metric, str) else list(metric or [LOSS if LOSS in known else known[0]])
    for name in asked:
        if name not in known:
            raise InvalidInput(f"--metric {name}: not measured; measured: {', '.join(known)}")
    measures = tuple(declared(name, [run.experiment for run in runs]) for name in dict.fromkeys(asked))
    for measure in measures:
        units = [declared(measure.metric, [run.experiment]).unit or "mixed" for run in runs]
        if len(set(units)) > 1:
            raise InvalidInput(
                f"--metric {measure.metric}: its unit is {units[0]} in one run and {units[1]} in the other; compare a "
                "metric without a unit, such as accuracy"
            )
    return measures


def _of_model(run: Run, model: str | None) -> pd.DataFrame:
    if model is None:
        return run.records
    own = run.records[run.records["model"] == model]
    if own.empty:
        raise InvalidInput(
            f"--model {model}: not in {run.store}; there are {', '.join(run.experiment.ecosystem.names)}"
        )
    return own


def _in_words(table: pd.DataFrame, runs: Sequence[Run], pairs: Pairs) -> pd.DataFrame:
    """Return the table with the points' labels in place of their numbers."""
    sides = {}
    for place, side in enumerate(("against", "of")):
        labels = columns_of(runs[-1 if place else 0].points).labels
        letter = f"{_LETTERS[place]}: " if len(runs) == 2 else ""
        sides[side] = [(letter + labels[pair[place]]).removesuffix(": ") for pair in pairs]
    ordered = _in_order(table, runs[0])
    told = ordered.drop(columns=["pair", "seed"])
    for side in ("against", "of"):
        told.insert(0, side, [sides[side][pair] for pair in ordered["pair"]])
    return told


def _in_order(table: pd.DataFrame, run: Run) -> pd.DataFrame:
    """Return rows in the order of a run's tables: own tasks, other models' tasks, public data."""
    places: dict[tuple[str, str, str], int] = {}
    for metric in table["metric"].unique():
        changes = run.change_table(str(metric))
        rows = changes.rows if changes is not None else ()
        places |= {(str(metric), row.model, row.task): place for place, row in enumerate(rows)}
    order = [places[key] for key in zip(table["metric"], table["model"], table["task"], strict=True)]
    metrics = {metric: place for place, metric in enumerate(table["metric"].unique())}
    keys = table.assign(_metric=table["metric"].map(metrics), _order=order)
    return keys.sort_values(["_metric", "pair", "_order"]).drop(columns=["_metric", "_order"]).reset_index(drop=True)


def _errors(table: pd.DataFrame) -> list[str]:
    """Return sentences on what the errors are, where they are not over several seeds."""
    said = []
    if (table["error"] == "items").any():
        said.append(
            "One seed: errors are over test items (a paired bootstrap) and say what other items would change, not what "
            "another seed would."
        )
    if ((table["error"] == "none") & (table["seeds"] == 1)).any():
        said.append("One seed and no losses of single items: differences have no error, and their size alone decides.")
    if ((table["error"] == "none") & (table["seeds"] > 1)).any():
        said.append("Where all seeds differ by the same amount there is no spread to judge by: the size alone decides.")
    return said


def _named(runs: Sequence[Run]) -> str:
    return clip(" and ".join(str(run.store) for run in runs), 300)
