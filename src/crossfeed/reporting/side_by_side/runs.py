"""Runs laid beside each other: their records in one table, their grid points as one table's columns, how they differ.

`crossfeed.reporting.paper.agreement` compares runs of one experiment with the paper; here runs of any experiments are
laid beside each other. Equal names are set side by side; `SideBySide.shared` lists those that mean different things.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from string import ascii_uppercase
from typing import Any, Final

import pandas as pd

from crossfeed.errors import InvalidInput
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.frames import Run
from crossfeed.reporting.data.layout import ChangeTable, Columns, Group, columns_of, lay_out
from crossfeed.reporting.data.measures import measured_in
from crossfeed.reporting.data.opening import check_distinct
from crossfeed.settings import Measure, identity

__all__ = ["SideBySide", "lay_side_by_side"]

_MISSING: Final = "–"


@dataclass(frozen=True, eq=False)
class SideBySide:
    """Runs side by side.

    Attributes:
        runs: The runs.
        letters: What each is called where there is little room: A, B, ...
        names: What each is called: its letter and its experiment's name.
        records: Records of all runs, with ``point`` numbered through and ``run``, the run's position.
        columns: All grid points, a group for each run.
        targets: The generation that each point was to reach.
    """

    runs: tuple[Run, ...]
    letters: tuple[str, ...]
    names: tuple[str, ...]
    records: pd.DataFrame
    columns: Columns
    targets: Mapping[int, int]

    def table(self, measure: Measure) -> ChangeTable | None:
        """Return the initial -> final table of a metric; None if no run measured it.

        Args:
            measure: The metric's declaration.
        """
        return lay_out(self.records, measure, self.columns, self.targets, [run.experiment for run in self.runs])

    @cached_property
    def measures(self) -> tuple[Measure, ...]:
        """The declarations of all metrics that any run measured, in the order of tables."""
        return measured_in(self.records, [run.experiment for run in self.runs])

    def run_of(self, point: int) -> int:
        """Return the position of the run that a point belongs to.

        Args:
            point: The point's position in `columns`.
        """
        return next(place for place, group in enumerate(self.columns.groups) if point in group.points)

    def alike(self) -> dict[str, list[int]]:
        """Return points of several runs that are called alike, by what they are called."""
        called: dict[str, list[int]] = {}
        for point in self.columns.points:
            called.setdefault(self.columns.labels[point], []).append(point)
        return {label: points for label, points in called.items() if len({self.run_of(p) for p in points}) > 1}

    def differences(self) -> pd.DataFrame:
        """Return fields of the descriptions that differ: ``field``, then a column of values as text for each run."""
        told = [_told(run) for run in self.runs]
        fields = dict.fromkeys(field for each in told for field in each)
        rows = [[field, *(each.get(field, _MISSING) for each in told)] for field in fields]
        different = [row for row in rows if len(set(row[1:])) > 1]
        return pd.DataFrame(different, columns=pd.Index(["field", *self.names]))

    def shared(self) -> Shared:
        """Return the names that the runs have in common, and those that stand for different data."""
        experiments = [run.experiment for run in self.runs]
        data = [{**each.tasks, PUBLIC: each.public} for each in experiments]
        tasks = _common(data)
        metrics = [measure.metric for measure in self.measures]
        measured = [set(run.records["metric"]) for run in self.runs]
        return Shared(
            models=_common([each.ecosystem.names for each in experiments]),
            tasks=tasks,
            other_data=tuple(name for name in tasks if len({_text(identity(each[name])) for each in data}) > 1),
            metrics=tuple(name for name in metrics if all(name in each for each in measured)),
            some_metrics=tuple(name for name in metrics if not all(name in each for each in measured)),
            kinds=tuple(dict.fromkeys(each.learner.kind for each in experiments)),
            learners_differ=len({_text(identity(each.learner)) for each in experiments}) > 1,
            other_units=experiments[0].learner.other_units,
        )


@dataclass(frozen=True)
class Shared:
    """Names that runs have in common.

    Attributes:
        models: Entities of the same name in all of them.
        tasks: Data sets of the same name in all of them, ``public`` among them.
        other_data: Those of `tasks` that are other data in some of them.
        metrics: Metrics that all of them measured.
        some_metrics: Metrics that only some of them measured.
        kinds: The kinds of their learners.
        learners_differ: True if their learners are described differently.
        other_units: The reason why losses of such learners may have different units; empty if they have the same.
    """

    models: tuple[str, ...]
    tasks: tuple[str, ...]
    other_data: tuple[str, ...]
    metrics: tuple[str, ...]
    some_metrics: tuple[str, ...]
    kinds: tuple[str, ...]
    learners_differ: bool
    other_units: str


def lay_side_by_side(runs: Sequence[Run]) -> SideBySide:
    """Lay runs beside each other.

    Args:
        runs: Two runs or more, of any experiments; they may be unfinished.

    Raises:
        InvalidInput: There is only one, or one was given twice.
    """
    if len(runs) < 2:
        raise InvalidInput(f"runs are compared with each other; received {len(runs)}; give two or more")
    check_distinct(runs)
    letters = tuple(_letter(place) for place in range(len(runs)))
    names = tuple(f"{letter}: {run.experiment.name}" for letter, run in zip(letters, runs, strict=True))
    records, groups, first = [], [], 0
    heads: dict[int, str] = {}
    targets: dict[int, int] = {}
    for place, run in enumerate(runs):
        own = columns_of(run.points, greek=True)
        points = tuple(first + point for point in own.points)
        for point in own.points:
            heads[first + point] = own.labels[point]
            targets[first + point] = run.ends[point]
        records.append(run.records.assign(point=run.records["point"] + first, run=place))
        groups.append(Group(names[place], points))
        first += len(run.points)
    columns = Columns(inner="run", groups=tuple(groups), heads=heads, labels=heads, fixed="")
    return SideBySide(tuple(runs), letters, names, pd.concat(records, ignore_index=True), columns, targets)


def _letter(place: int) -> str:
    """Return the letter of a place: A, B, ..., Z, A2, B2, ..."""
    again, letter = divmod(place, len(ascii_uppercase))
    return ascii_uppercase[letter] + (str(again + 1) if again else "")


def _common(named: Sequence[Any]) -> tuple[str, ...]:
    """Return names that are in all, in the order of the first."""
    return tuple(name for name in named[0] if all(name in each for each in named))


def _told(run: Run) -> dict[str, str]:
    """Return a description's fields as text; varied fields appear under the grid alone, and absent ones not at all."""
    data = run.experiment.model_dump(mode="json", exclude={"description", "grid"})
    fields = {path: text for path, text in _flat(data) if path not in run.experiment.grid}
    return fields | {f"grid: {path}": _text(values) for path, values in run.experiment.grid.items()}


def _flat(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield fields by dotted path; entities go by their names, and a list of plain values is one field."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _flat(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from _flat(item, f"{path}.{item.get('name', number)}")
    elif value is not None:
        yield path, value if isinstance(value, str) else _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
