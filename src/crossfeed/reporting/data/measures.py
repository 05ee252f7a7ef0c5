"""Metrics of records in the order of tables, each with its declaration (`crossfeed.settings.Measure`).

Built-in metrics come first, in the order of the registry; then those that other packages declare. A metric of the
section ``metrics``, or one whose package is not installed, follows in the order of the records.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final, get_args

import pandas as pd

from crossfeed.description.experiment import Experiment
from crossfeed.description.registry import built_in_measures
from crossfeed.settings import Measure, Place, Section, measures_of

__all__ = ["LOSS", "SIMILARITY", "by_section", "declared", "measured_in", "of_section"]

LOSS: Final = "loss"
SIMILARITY: Final = "similarity"
"""The two metrics that the paper's tables have: findings, heat maps and figures are about them."""

_BOOKKEEPING: Final = frozenset(
    {"candidates", "drawn", "effective", "exposed", "offered", "passed", "reward_kept", "reward_offered", "seconds"}
)
"""Numbers that the loop itself records."""


def measured_in(records: pd.DataFrame, experiments: Sequence[Experiment]) -> tuple[Measure, ...]:
    """Return the declarations of all metrics in some records, in the order of tables.

    Args:
        records: Records of one run or several.
        experiments: See `declared`.
    """
    known = _known(experiments)
    names = [name for name in records["metric"].unique() if name not in _BOOKKEEPING]
    measures = [known.get(name) or _undeclared(name) for name in names]
    order = list(known)
    placed = [measure for measure in measures if measure.section != "metrics"]
    others = [measure for measure in measures if measure.section == "metrics"]
    return (*sorted(placed, key=lambda measure: order.index(measure.metric)), *others)


def declared(metric: str, experiments: Sequence[Experiment]) -> Measure:
    """Return a metric's declaration.

    Args:
        metric: Its name in the records.
        experiments: The experiments that were run; their metrics declare what is not built in, and their learners the
            unit of losses. Where losses of entities have different units, none is shown.
    """
    return _known(experiments).get(metric) or _undeclared(metric)


def by_section(measures: Iterable[Measure], place: Place) -> list[Measure]:
    """Return the measures that a place shows, in the order of a report's sections.

    Args:
        measures: Declarations of metrics.
        place: The place.
    """
    order = get_args(Section)
    return sorted((each for each in measures if place in each.shown), key=lambda each: order.index(each.section))


def of_section(measures: Iterable[Measure], section: Section) -> list[Measure]:
    """Return the measures of a section that a report shows.

    Args:
        measures: Declarations of metrics.
        section: The section.
    """
    return [each for each in by_section(measures, "page") if each.section == section]


def _known(experiments: Sequence[Experiment]) -> dict[str, Measure]:
    known = dict(built_in_measures())
    for experiment in experiments:
        known |= {name: each for name, each in measures_of(experiment.metrics).items() if name not in known}
    units = {learner.loss_unit for experiment in experiments for learner in experiment.learners}
    unit = units.pop() if len(units) == 1 else ""
    return {name: replace(each, unit=unit) if each.unit is None else each for name, each in known.items()}


def _undeclared(metric: str) -> Measure:
    title = metric.replace("_", " ")
    return Measure(metric, title[:1].upper() + title[1:])
