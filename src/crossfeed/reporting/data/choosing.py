"""Points of a grid, chosen by the values of fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from crossfeed.display.formatting import value_text
from crossfeed.errors import InvalidInput
from crossfeed.reporting.data.layout import columns_of

__all__ = ["points_where", "with_known_fields"]


def points_where(points: pd.DataFrame, where: Mapping[str, Any], said: str = "where") -> list[int]:
    """Return positions of the grid points that have some values.

    Args:
        points: `Run.points`.
        where: Values by field: ``alpha`` (or ``ecosystem.alpha``), ``beta``, or another field of the grid by its path.
        said: The argument's name in messages.

    Returns:
        At least one position.

    Raises:
        InvalidInput: There is no such field or point; the message lists those that there are.
    """
    keep = np.ones(len(points), dtype=bool)
    for name, value in with_known_fields(points, where, said).items():
        keep &= (points[name].map(value_text) == value_text(value)).to_numpy()
    if not keep.any():
        there = "; ".join(label or "the only one" for label in columns_of(points).labels.values())
        raise InvalidInput(f"{said}: no grid point has {dict(where)}; points: {there}")
    return [int(point) for point in np.flatnonzero(keep)]


def with_known_fields(points: pd.DataFrame, where: Mapping[str, Any], said: str = "where") -> dict[str, Any]:
    """Return values by field as the points name them.

    Args:
        points: `Run.points`.
        where: Values by field; see `points_where`.
        said: The argument's name in messages.

    Raises:
        InvalidInput: There is no such field.
    """
    named = {f"ecosystem.{name}": name for name in ("alpha", "beta")} | {name: name for name in points.columns}
    for name in where:
        if name not in named:
            raise InvalidInput(f"{said}: {name!r} is no field of the grid; fields: {', '.join(points.columns)}")
    return {named[name]: value for name, value in where.items()}
