"""Records: one row a measured number, with its full coordinates (columns: `crossfeed.store.schema`)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

from crossfeed.experiment import Cell, Experiment
from crossfeed.protocols import Measurement, Store

__all__ = ["collect", "to_table", "with_coordinates"]

_GENERATION_SCHEMA = pa.schema(
    [
        ("generation", pa.int64()),
        ("model", pa.string()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)
_OWN_COLUMNS = {"ecosystem.alpha": "alpha", "ecosystem.beta": "beta"}


def to_table(generation: int, numbers: Iterable[Measurement]) -> pa.Table:
    """The numbers of one generation as a table."""
    rows = [
        {"generation": generation, "model": n.model, "task": n.task, "metric": n.metric, "value": n.value}
        for n in numbers
    ]
    return pa.Table.from_pylist(rows, schema=_GENERATION_SCHEMA)


def collect(store: Store, experiment: Experiment, cells: Sequence[Cell]) -> pa.Table:
    """All records of a run so far; a shared generation 0 is listed under every cell that begins with it."""
    tables = []
    for cell in cells:
        for generation in range(cell.experiment.generations + 1):
            scope = scope_of(cell, generation)
            if store.has_table("records", scope, generation):
                tables.append(with_coordinates(store.read_table("records", scope, generation), cell, experiment))
    return pa.concat_tables(tables) if tables else with_coordinates(to_table(0, []), cells[0], experiment)


def scope_of(cell: Cell, generation: int) -> str:
    """Where a cell's generation is kept."""
    return f"shared/{cell.zero}" if generation == 0 else cell.name


def with_coordinates(table: pa.Table, cell: Cell, experiment: Experiment) -> pa.Table:
    """A cell's numbers with its name, seed, shares and grid values: the columns of a run's records.

    Args:
        table: With a column ``generation``.
        cell: The cell.
        experiment: The experiment that it is a cell of.
    """
    rows, ecosystem = table.num_rows, cell.experiment.ecosystem
    generations = table.column("generation").to_pylist()
    # What the cell is about: the share in force from generation 1 on, also for generation 0, which has none.
    alpha = [float(ecosystem.common_alpha(max(t, 1))) for t in generations]
    beta = [float(ecosystem.common_beta(max(t, 1))) for t in generations]
    columns: dict[str, Any] = {
        "cell": pa.array([cell.name] * rows, pa.string()),
        "seed": pa.array([cell.seed] * rows, pa.int64()),
        "alpha": pa.array(alpha, pa.float64()),
        "beta": pa.array(beta, pa.float64()),
    }
    columns.update({name: table.column(name) for name in table.column_names})
    for path in experiment.grid:
        if path not in _OWN_COLUMNS:
            columns[path] = _column(cell.point[path], experiment.grid[path], rows)
    return pa.table(columns)


def _column(value: Any, values: Sequence[Any], rows: int) -> pa.Array:
    """A grid value in every row; numbers if all of the grid's values are numbers, else words."""
    numeric = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    return pa.array([float(value)] * rows, pa.float64()) if numeric else pa.array([str(value)] * rows, pa.string())
