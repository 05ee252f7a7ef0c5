"""The fields of a grid: which can be varied, and the value that each has before it is."""

from __future__ import annotations

import re
from typing import Any, Final

from crossfeed.description.reading import assign
from crossfeed.display.formatting import shown, word

__all__ = ["with_first_values"]

_MOST_FIELDS: Final = 50
_NEVER: Final = frozenset({"grid", "seeds", "name", "description", "checkpoints"})


def with_first_values(data: Any) -> Any:
    """Set every field on the grid of a description to its first value, so that it need not be given twice.

    Args:
        data: The description as plain data, not yet checked.

    Returns:
        The changed description; what has no grid is returned as it is.

    Raises:
        ValueError: A field cannot be varied, or too many are.
    """
    grid = data.get("grid") if isinstance(data, dict) else None
    if not isinstance(grid, dict):
        return data
    if len(grid) > _MOST_FIELDS:
        raise ValueError(f"grid: at most {_MOST_FIELDS} fields can be varied; received {len(grid)}")
    _check_paths(list(grid))
    for path, values in grid.items():
        if not isinstance(path, str) or not re.fullmatch(r"\w[\w-]*(\.[\w-]+)*", path, re.ASCII):
            raise ValueError(f"grid: {shown(path)} is not a dotted path such as ecosystem.alpha")
        if path.split(".")[0] in _NEVER:
            raise ValueError(f"grid: {path} cannot be varied; give more seeds under seeds:")
        if isinstance(values, list | tuple) and values:
            try:
                data = assign(data, path, values[0])
            except ValueError as error:
                raise ValueError(f"grid: {word(path)}: {error}") from error
    return data


def _check_paths(paths: list[Any]) -> None:
    """Refuse a field of the grid within another one: the later would undo the earlier."""
    for path in paths:
        for other in paths:
            if isinstance(path, str) and isinstance(other, str) and other.startswith(f"{path}."):
                raise ValueError(f"grid: {other} lies within {path}; vary one of them")
