"""Numeric columns of a file as points."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from pydantic import Field

from crossfeed.cache import expanded
from crossfeed.errors import DataUnavailable, InvalidInput
from crossfeed.keys import generator
from crossfeed.protocols import Array
from crossfeed.settings import Sequence_, TaskSettings
from crossfeed.tasks.samples import MOST_DIMENSIONS, Rows, SampleTask, Seed, point_items

__all__ = ["ColumnsSettings"]


class ColumnsSettings(TaskSettings):
    """Numeric columns of a file as points, one per row.

    Attributes:
        path: A ``.parquet`` or ``.csv`` file; ``~`` is the home folder, and a relative path starts where the command is
            run.
        columns: Names of the columns, in this order; default: all.
        test: Number of rows for testing.
        seed: Seed of the shuffle before the test rows are cut off.
    """

    source: Literal["columns"] = "columns"
    path: Annotated[str, Field(min_length=1)]
    columns: Annotated[Sequence_[Annotated[str, Field(min_length=1)]], Field(min_length=1)] | None = None
    test: Rows = 200
    seed: Seed = 0

    def build(self, name: str, data_root: Path | None) -> SampleTask:
        """Read the file.

        Raises:
            DataUnavailable: It cannot be read.
            InvalidInput: A column is missing or not numeric, a number is not finite, or there are too few rows.
        """
        points = _read(expanded(self.path), self.columns)
        if len(points) <= self.test:
            raise InvalidInput(
                f"{self.path}: {self.test} of {len(points)} rows for testing leave none to train on; give "
                f"test: at most {len(points) - 1}"
            )
        points = generator(self.seed, "samples", "columns").permutation(points)
        return SampleTask(name, point_items(points[self.test :]), point_items(points[: self.test]))


def _read(path: Path, columns: Sequence[str] | None) -> Array:
    table = _load(path)
    missing = [name for name in columns or () if name not in table.column_names]
    if missing:
        raise InvalidInput(f"{path}: there is no column {', '.join(missing)}; it has {', '.join(table.column_names)}")
    chosen = table.select(list(columns)) if columns else table
    plain = [
        field.name
        for field in chosen.schema
        if not (pa.types.is_integer(field.type) or pa.types.is_floating(field.type))
    ]
    if plain:
        raise InvalidInput(f"{path}: {', '.join(plain)} are no numbers; name the numeric columns under columns:")
    if not 1 <= chosen.num_columns <= MOST_DIMENSIONS:
        raise InvalidInput(f"{path}: received {chosen.num_columns} columns; give 1 to {MOST_DIMENSIONS}")
    points = np.column_stack([column.to_numpy().astype(np.float64) for column in chosen.columns])
    if not np.isfinite(points).all():
        raise InvalidInput(f"{path}: some numbers are missing or not finite; leave those rows out")
    return points


def _load(path: Path) -> pa.Table:
    from pyarrow import csv, parquet

    readers = {".csv": csv.read_csv, ".parquet": parquet.read_table}
    if path.suffix not in readers:
        raise InvalidInput(f"{path}: points are read from .parquet or .csv; received {path.suffix or 'no ending'}")
    try:
        return readers[path.suffix](path)
    except (OSError, pa.ArrowException) as error:
        raise DataUnavailable(f"{path}: points cannot be read ({error})") from error
