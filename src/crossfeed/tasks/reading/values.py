"""Values as text: a table's cells are texts, lists and mappings of texts, or None where a value is missing.

What a model reads is text, so numbers, dates and truth values become text once, at the place where they are read:
JSON numbers and CSV cells as they are written, Parquet values by their stored type. NaN is how tools write a missing
number, and counts as missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pyarrow as pa

__all__ = ["Table", "rows_of_arrow", "written_number"]

Table = list[dict[str, Any]]
"""Rows by column; a cell is text, a list or mapping of cells, or None."""

_SMALLEST: Final = 1e-7
_LARGEST: Final = 1e16
"""Numbers within these are written without an exponent."""

_Convert = Callable[[Any], Any]
_KEPT: Final = (
    pa.types.is_null,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_string_view,
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
)
_SCALARS: Final[dict[int, _Convert]] = {
    pa.bool_().id: lambda value: "true" if value else "false",
    **{kind.id: lambda value: f"{value:f}" for kind in (pa.decimal128(1), pa.decimal256(1))},
}


def written_number(value: Any) -> str | None:
    """Return the shortest decimal text that gives a stored number back; None for NaN.

    A float32 of 0.1 gives ``0.1``. A whole number is written without ``.0``, since tools store whole numbers with gaps
    (pandas) and sums of them as floats, and one rule for all columns gives a split's files the same texts.

    Args:
        value: A number in the precision in which it is stored (numpy's float16, float32 or float64).
    """
    if math.isnan(value):
        return None
    if value == 0 or _SMALLEST <= abs(float(value)) < _LARGEST:
        return np.format_float_positional(value, unique=True, trim="-")
    return str(value)


def rows_of_arrow(table: pa.Table) -> Table:
    """Return an Arrow table's rows with every value as text.

    Args:
        table: Any table; what its metadata says of images or audio is not followed.
    """
    columns = {field.name: _texts(table.column(place), field.type) for place, field in enumerate(table.schema)}
    return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]


def _texts(column: pa.ChunkedArray, kind: pa.DataType) -> list[Any]:
    convert = _converter(kind)
    values: list[Any] = column.to_pylist()
    return values if convert is None else [None if value is None else convert(value) for value in values]


def _converter(kind: pa.DataType) -> _Convert | None:
    """Return the conversion of a type to text; None for text, and for types that a template may not name."""
    types = pa.types
    if types.is_dictionary(kind):
        return _converter(kind.value_type)
    if any(is_kept(kind) for is_kept in _KEPT):
        return None
    if types.is_floating(kind):
        precision: Callable[[Any], Any] = kind.to_pandas_dtype()
        return lambda value: written_number(precision(value))
    if types.is_nested(kind):
        return _nested(kind)
    return _SCALARS.get(kind.id, str)  # str: whole numbers, dates and times


def _nested(kind: pa.DataType) -> _Convert:
    if pa.types.is_map(kind):
        key, item = _converter(kind.key_type), _converter(kind.item_type)
        return lambda value: {str(_apply(key, name)): _apply(item, cell) for name, cell in value}
    if pa.types.is_struct(kind):
        parts = {field.name: _converter(field.type) for field in kind}
        return lambda value: {name: _apply(parts[name], cell) for name, cell in value.items()}
    each = _converter(kind.value_type)
    return lambda value: [_apply(each, cell) for cell in value]


def _apply(convert: _Convert | None, value: Any) -> Any:
    return value if value is None or convert is None else convert(value)
