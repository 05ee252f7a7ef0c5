"""Layout of a run's tables, whatever shows them: rows as in the paper's Tables 2 and 7, one column per grid point.

The paper's rows are 'model on task': own tasks, then the other models' tasks; public data follows. Its columns are
alpha within beta. Other grid fields that vary take beta's place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import numpy as np
import pandas as pd

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import number, percent, signed, value_text
from crossfeed.protocols import PUBLIC
from crossfeed.reporting.data.numbers import change, mark
from crossfeed.settings import Measure

__all__ = [
    "KINDS",
    "ChangeTable",
    "Columns",
    "Entry",
    "Group",
    "Row",
    "columns_of",
    "evenly",
    "lay_out",
    "texts_of",
]

T = TypeVar("T")

KINDS: Final = ("own", "other", "public")
_GREEK: Final = {"alpha": "α", "beta": "β"}


@dataclass(frozen=True)
class Entry:
    """One entry of a table.

    Attributes:
        initial: Mean at the first generation that was measured, as text.
        final: Mean at the last generation, as text; None if there is no later one.
        mark: ``better``, ``worse``, ``up``, ``down``, ``same``, ``unclear`` or ``unknown``
            (`crossfeed.reporting.data.numbers.mark`); empty if nothing can have changed.
        change: How much it changed, with its standard error.
        until: The last generation measured, where the run was to go further; else None.
    """

    initial: str
    final: str | None
    mark: str
    change: str
    until: int | None

    @property
    def line(self) -> str:
        """In a line, without the amount: ``1.94 → 2.78 worse``."""
        values = " → ".join(text for text in (self.initial, self.final) if text)
        return f"{values} {self.mark}" if self.mark else values


@dataclass(frozen=True)
class Row:
    """One row: a model (or a pair of models) on a task.

    Attributes:
        label: What it is called.
        kind: ``own`` task, ``other`` task or ``public`` data.
        model: The model.
        task: The task.
        entries: One for each point, by position; points without numbers are missing.
    """

    label: str
    kind: str
    model: str
    task: str
    entries: Mapping[int, Entry]


@dataclass(frozen=True)
class Group:
    """Columns that differ in the first field that varies alone.

    Attributes:
        label: What they have in common; empty if it goes without saying.
        points: The columns, as positions of grid points.
    """

    label: str
    points: tuple[int, ...]


@dataclass(frozen=True)
class Columns:
    """The grid's points as columns.

    Attributes:
        inner: The field that varies within a group: alpha, if it varies.
        groups: The groups, in the grid's order.
        heads: Each column's own label within its group.
        labels: Each column's full label.
        fixed: Fields that are the same everywhere.
    """

    inner: str
    groups: tuple[Group, ...]
    heads: Mapping[int, str]
    labels: Mapping[int, str]
    fixed: str

    @property
    def points(self) -> tuple[int, ...]:
        """All columns, group by group."""
        return tuple(point for group in self.groups for point in group.points)

    def some(self, groups: int, each: int) -> Columns:
        """Return at most so many groups and so many columns of each, the first and the last among them.

        Args:
            groups: Number of groups, at most.
            each: Number of columns of each group, at most.
        """
        kept = [replace(group, points=tuple(evenly(group.points, each))) for group in evenly(self.groups, groups)]
        return replace(self, groups=tuple(kept))

    def pages(self, most: int) -> list[Columns]:
        """Return the same columns in parts of at most so many, broken between groups wherever one fits into a part.

        Args:
            most: Number of columns of a part, at most.
        """
        parts: list[list[Group]] = []
        for group in self.groups:
            for begin in range(0, len(group.points), most):
                piece = replace(group, points=group.points[begin : begin + most])
                if parts and sum(len(each.points) for each in parts[-1]) + len(piece.points) <= most:
                    parts[-1].append(piece)
                else:
                    parts.append([piece])
        return [replace(self, groups=tuple(part)) for part in parts]


@dataclass(frozen=True)
class ChangeTable:
    """Initial -> final values of one metric.

    Attributes:
        measure: The metric.
        columns: The columns.
        rows: The rows in the paper's order.
        seeds: The largest number of seeds behind an entry.
        fewest: The smallest number of seeds behind an entry.
        begin: The first generation that was measured: later than 0 for what looks back.
    """

    measure: Measure
    columns: Columns
    rows: tuple[Row, ...]
    seeds: int
    fewest: int
    begin: int

    def fewer(self, most: int) -> ChangeTable:
        """Return the table with at most so many rows: without other models' tasks, then evenly chosen.

        Args:
            most: Number of rows, at most.
        """
        if len(self.rows) <= most:
            return self
        kept = [row for row in self.rows if row.kind != "other"]
        return replace(self, rows=tuple(evenly(kept, most)))


def columns_of(points: pd.DataFrame, *, greek: bool = False) -> Columns:
    """Lay grid points out as columns.

    Args:
        points: `Run.points`.
        greek: Write alpha and beta as the paper does, for places that are sure to have the letters.
    """
    texts = points.map(value_text)
    varied = [name for name in texts.columns if len(set(texts[name])) > 1] or ["alpha"]
    inner, outer = varied[0], varied[1:]
    names = _names(texts.columns) | (_GREEK if greek else {})
    equals = "\u00a0=\u00a0" if greek else " = "  # set as the paper does, a label is not broken across lines either
    grouped: dict[str, list[int]] = {}
    rows = dict(zip((int(point) for point in texts.index), texts.to_dict("records"), strict=True))
    for point, row in rows.items():
        grouped.setdefault(_label(row, outer, names, equals), []).append(point)
    heads = {point: f"{names[inner]}{equals}{row[inner]}" for point, row in rows.items()}
    labels = {point: _label(row, varied, names, equals) for point, row in rows.items()}
    fixed = [name for name in texts.columns if name not in varied]
    return Columns(
        inner=inner,
        groups=tuple(Group(label, tuple(members)) for label, members in grouped.items()),
        heads=heads,
        labels=labels,
        fixed=_label(rows[next(iter(rows))], fixed, names, equals),
    )


def lay_out(
    records: pd.DataFrame,
    measure: Measure,
    columns: Columns,
    targets: Mapping[int, int],
    experiments: Sequence[Experiment],
) -> ChangeTable | None:
    """Return the initial -> final table of a metric, of one run or of several; None if it was not measured.

    Args:
        records: Records with ``point``.
        measure: The metric's declaration.
        columns: The points as columns.
        targets: The generation that each point was to reach.
        experiments: What was run: who owns what, and the order of rows.
    """
    numbers = change(records, measure.metric)
    if numbers.empty:
        return None
    rows: dict[tuple[str, str], dict[int, Entry]] = {}
    for each in numbers.to_dict("records"):
        place, point = (str(each["model"]), str(each["task"])), int(each["point"])
        rows.setdefault(place, {})[point] = _entry(each, measure, targets[point])
    pairs = len({model for model, _ in rows}) if measure.pairs else 0
    owners = {(e.name, task) for each in experiments for e in each.ecosystem.entities for task in e.owned}
    made = [_row(place, entries, owners, pairs == 1) for place, entries in rows.items()]
    fewest, most = int(numbers["seeds"].min()), int(numbers["seeds"].max())
    begin = int(records.loc[records["metric"] == measure.metric, "generation"].min())
    return ChangeTable(measure, columns, tuple(_in_order(made, experiments)), most, fewest, begin)


def texts_of(table: ChangeTable) -> dict[str, list[object]]:
    """Return a table's columns by name, each entry in a line: ``1.94 → 2.78 worse``.

    Args:
        table: The table.
    """
    columns: dict[str, list[object]] = {"": [row.label for row in table.rows]}
    for point in table.columns.points:
        entries = [row.entries.get(point) for row in table.rows]
        columns[table.columns.labels[point] or table.measure.heading] = ["" if e is None else e.line for e in entries]
    return columns


def evenly(values: Sequence[T], most: int) -> list[T]:
    """Return at most so many of the values, the first and the last among them, in even steps.

    Args:
        values: The values.
        most: Number of values to return, at most.
    """
    places = np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))
    return [values[place] for place in places]


def _names(columns: pd.Index) -> dict[str, str]:
    """Return a path's last word, unless another path ends with the same one."""
    last = {name: name.split(".")[-1] for name in columns}
    words = list(last.values())
    return {name: word if words.count(word) == 1 else name for name, word in last.items()}


def _label(row: Mapping[Any, Any], fields: list[str], names: Mapping[str, str], equals: str) -> str:
    return ", ".join(f"{names[name]}{equals}{row[name]}" for name in fields)


def _entry(numbers: Mapping[Any, Any], measure: Measure, target: int) -> Entry:
    last = int(numbers["generation"])
    shown: Callable[[float], str] = number if measure.relative or not measure.bounded else "{:.2f}".format
    until = last if last < target else None
    if last == 0:
        return Entry(shown(numbers["initial"]), None, "", "", until)
    word = mark(numbers["change"], numbers["change_lower"], numbers["change_upper"], measure)
    if measure.relative:
        amount = percent(numbers["percent"], numbers["percent_se"])
    else:
        amount = signed(numbers["change"]) if measure.bounded else f"{numbers['change']:+.3g}"
        error = numbers["change_se"]
        amount += "" if math.isnan(error) else f" ± {shown(error)}"
    return Entry(shown(numbers["initial"]), shown(numbers["final"]), word, amount, until)


def _row(place: tuple[str, str], entries: dict[int, Entry], owners: set[tuple[str, str]], one_pair: bool) -> Row:
    model, task = place
    label = task if one_pair else f"{model} on {task}"
    kind = "public" if task == PUBLIC else "own" if place in owners else "other"
    return Row(label, kind, model, task, entries)


def _in_order(rows: list[Row], experiments: Sequence[Experiment]) -> list[Row]:
    """Sort rows: own tasks, other tasks, public; within them by model and task as described. Pairs stay as measured."""
    models = _numbered(name for experiment in experiments for name in experiment.ecosystem.names)
    tasks = _numbered(name for experiment in experiments for name in experiment.tasks)
    end = len(models) + len(tasks)
    plain = [row if row.model in models else replace(row, kind=row.kind.replace("other", "own")) for row in rows]
    return sorted(plain, key=lambda row: (KINDS.index(row.kind), models.get(row.model, end), tasks.get(row.task, end)))


def _numbered(names: Iterable[str]) -> dict[str, int]:
    return {name: place for place, name in enumerate(dict.fromkeys(names))}
