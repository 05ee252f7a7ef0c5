"""Pairs of grid points to be compared: of one run, or the points of two runs that have the same values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from crossfeed.display.formatting import value_text
from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.choosing import points_where, with_known_fields
from crossfeed.reporting.data.layout import Columns, columns_of

__all__ = ["Pairs", "neighbours", "pairs_between", "pairs_within"]

Pairs = list[tuple[int, int]]
"""Positions of points: what is subtracted, and what it is subtracted from."""


def neighbours(points: pd.DataFrame, columns: Columns) -> Pairs:
    """Return each point with the one before it in its group of columns, by the field that varies within groups.

    Args:
        points: `Run.points`.
        columns: The points as columns; of those that are left out, the neighbours are paired.
    """
    groups = [_in_order(points[columns.inner], group.points) for group in columns.groups]
    return [pair for group in groups for pair in pairwise(group)]


def pairs_within(points: pd.DataFrame, of: Mapping[str, Any] | None, against: Mapping[str, Any] | None) -> Pairs:
    """Return pairs of points of one run, which differ in the named fields alone.

    Args:
        points: `Run.points`.
        of: Values of points that others are subtracted from; default: all others.
        against: Values of points that are subtracted; default: in each group of columns the point with the lowest value
            of the field that varies within groups, which is alpha if it varies.

    Raises:
        InvalidInput: There are no such points, or none that differ in the named fields alone; or `of` is given without
            `against`.
    """
    if len(points) < 2:
        raise InvalidInput(
            "the run has one grid point, and nothing to compare it with; give a second run of the same seeds, or a run "
            "with a grid, such as grid: {ecosystem.alpha: [0, 0.5, 1]}"
        )
    if against is None:
        if of is not None:
            raise InvalidInput(f"--of {_told(of)}: say against what, too, such as --against {_other(points, of)}")
        columns = columns_of(points)
        groups = [_in_order(points[columns.inner], group.points) for group in columns.groups]
        return [(group[0], other) for group in groups for other in group[1:]]
    return _matched(points, points, of or {}, against, same=True)


def pairs_between(
    first: pd.DataFrame, second: pd.DataFrame, of: Mapping[str, Any] | None, against: Mapping[str, Any] | None
) -> Pairs:
    """Return pairs of points of two runs that have the same values of all fields that both runs have.

    Args:
        first: Points of the run that is subtracted.
        second: Points of the other one.
        of: Values of points of the second run; fields named here need not be the same. Default: all points.
        against: Values of points of the first run; fields named here need not be the same. Default: all points.

    Raises:
        InvalidInput: No points pair.
    """
    return _matched(first, second, of or {}, against or {}, same=False)


def _matched(
    first: pd.DataFrame, second: pd.DataFrame, of: Mapping[str, Any], against: Mapping[str, Any], *, same: bool
) -> Pairs:
    named = {*with_known_fields(second, of, "--of"), *with_known_fields(first, against, "--against")}
    others = points_where(first, against, "--against")
    alike = [name for name in second.columns if name in first.columns and name not in named]
    pairs = []
    for point in points_where(second, of, "--of"):
        values = [value_text(second.loc[point, name]) for name in alike]
        partners = [each for each in others if [value_text(first.loc[each, name]) for name in alike] == values]
        if same and point in others:
            continue  # it is one of those that others are compared with
        if len(partners) > 1:
            vary = [name for name in first.columns if len({value_text(first.loc[p, name]) for p in partners}) > 1]
            raise InvalidInput(
                f"{columns_of(second).labels[point] or 'the point'} could be compared with any of {len(partners)} "
                f"points; name {' and '.join(vary)} in --against, too, such as --against "
                f"{_other(first.loc[partners], vary)}"
            )
        pairs += [(partner, point) for partner in partners]
    if not pairs:
        fields = ", ".join(alike) or "no field"
        raise InvalidInput(
            f"no two points to compare{_asked(of, against)}: they have to have the same values of {fields}; points: "
            f"{_listed(first)}{'' if same else f'; of the other run: {_listed(second)}'}"
        )
    return pairs


def _in_order(values: pd.Series[Any], points: Sequence[int]) -> list[int]:
    """Return points by value, from the lowest up; where values are no numbers, as they are on the grid."""
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers[list(points)].isna().any():
        return list(points)
    return sorted(points, key=lambda point: float(numbers[point]))


def _told(where: Mapping[str, Any]) -> str:
    return " ".join(f"{name}={value_text(value)}" for name, value in where.items())


def _other(points: pd.DataFrame, fields: Any) -> str:
    known = with_known_fields(points, dict.fromkeys(fields))
    return " ".join(f"{name}={value_text(points[name].iloc[0])}" for name in known)


def _asked(of: Mapping[str, Any], against: Mapping[str, Any]) -> str:
    given = [f"--{name} {_told(where)}" for name, where in (("of", of), ("against", against)) if where]
    return f" ({' '.join(given)})" if given else ""


def _listed(points: pd.DataFrame) -> str:
    return "; ".join(label or "the only one" for label in columns_of(points).labels.values())
