"""Records: one row per measured number, with its full coordinates (columns: `crossfeed.store.schema`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.metrics.projection import project
from crossfeed.protocols import Measurement, Store

__all__ = [
    "collect",
    "collect_projection",
    "column_of",
    "failure_of",
    "is_measured",
    "read_failure",
    "scope_of",
    "state_scope_of",
    "to_table",
    "with_coordinates",
]

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
    """Convert the numbers of one generation to a table.

    Args:
        generation: The generation t.
        numbers: The measurements.

    Returns:
        Columns ``generation, model, task, metric, value``.
    """
    rows = [
        {"generation": generation, "model": n.model, "task": n.task, "metric": n.metric, "value": n.value}
        for n in numbers
    ]
    return pa.Table.from_pylist(rows, schema=_GENERATION_SCHEMA)


def collect(store: Store, experiment: Experiment, cells: Sequence[Cell]) -> pa.Table:
    """Collect all records of a run so far.

    Args:
        store: The store of the run.
        experiment: The experiment.
        cells: Its cells.

    Returns:
        The records; a shared generation 0 is listed under every cell that begins with it.
    """
    tables = []
    for cell in cells:
        for generation in range(cell.experiment.generations + 1):
            scope = scope_of(cell, generation)
            if store.has_table("records", scope, generation):
                tables.append(with_coordinates(store.read_table("records", scope, generation), cell, experiment))
    return pa.concat_tables(tables) if tables else with_coordinates(to_table(0, []), cells[0], experiment)


def scope_of(cell: Cell, generation: int) -> str:
    """Return the scope of a cell's pools, outputs and records.

    Args:
        cell: The cell.
        generation: The generation t.

    Returns:
        The cell's name; ``shared/<id>`` for generation 0.
    """
    return f"shared/{cell.zero}" if generation == 0 else cell.name


def state_scope_of(cell: Cell, generation: int) -> str:
    """Return the scope of a cell's states.

    Args:
        cell: The cell.
        generation: The generation t after which they are.

    Returns:
        The cell's name; ``shared/<id>`` for generation 0.
    """
    return f"shared/{cell.start}" if generation == 0 else cell.name


def is_measured(store: Store, cell: Cell, generation: int) -> bool:
    """Return True if a generation's numbers are stored, and the outputs that `collect_projection` will need.

    Args:
        store: The store of the run.
        cell: The cell.
        generation: The generation t.

    Returns:
        True if nothing of the generation is left to measure.
    """
    scope, last = scope_of(cell, generation), cell.experiment.generations
    projected = any(each.projected and each.is_due(generation, last) for each in cell.experiment.metrics.values())
    return store.has_table("records", scope, generation) and (
        not projected or store.has_table("outputs", scope, generation)
    )


def failure_of(cell: Cell) -> str:
    """Return the name of a cell's failure record.

    Args:
        cell: The cell.

    Returns:
        The document's name in the store.
    """
    return f"failures/{cell.name}"


def read_failure(store: Store, cell: str) -> dict[str, Any] | None:
    """Read a cell's failure record.

    Args:
        store: The store.
        cell: The cell's name.

    Returns:
        The record, in which at least ``stage``, ``type`` and ``message`` are texts; None if there is none.
    """
    document = store.read_document(f"failures/{cell}")
    return None if document is None else dict.fromkeys(("stage", "type", "message"), "unknown") | document


def collect_projection(store: Store, cells: Sequence[Cell]) -> pa.Table | None:
    """Project all embedded outputs to two dimensions, fitted jointly for each seed (`metrics.projection`).

    Outputs that cells share enter the fit once, and are listed under every cell.

    Args:
        store: The store of the run.
        cells: The run's cells.

    Returns:
        ``cell, seed, generation, model, task, item, x, y``; None if nothing was embedded.
    """
    pieces = []
    for seed in dict.fromkeys(cell.seed for cell in cells):
        own = [cell for cell in cells if cell.seed == seed]
        places = [(cell, t) for cell in own for t in range(cell.experiment.generations + 1)]
        scopes = dict.fromkeys((scope_of(cell, t), t) for cell, t in places)
        embedded = {scope: table for scope in scopes if (table := _embedded(store, *scope)) is not None}
        if embedded:
            points = _projected(embedded)
            pieces += [_placed(points[scope_of(c, t), t], c, t) for c, t in places if (scope_of(c, t), t) in points]
    return pa.concat_tables(pieces) if pieces else None


def _embedded(store: Store, scope: str, generation: int) -> pa.Table | None:
    """Read the outputs of a generation that have an embedding; None if there are none."""
    if not store.has_table("outputs", scope, generation):
        return None
    outputs = store.read_table("outputs", scope, generation).select(["model", "task", "item", "embedding"])
    kept = outputs.filter(pc.is_valid(outputs.column("embedding")))
    return kept if kept.num_rows else None


def _projected(embedded: Mapping[tuple[str, int], pa.Table]) -> dict[tuple[str, int], pa.Table]:
    """Replace the embeddings of every table by two-dimensional coordinates."""
    flat = [table.column("embedding").combine_chunks().flatten().to_numpy() for table in embedded.values()]
    rows = sum(table.num_rows for table in embedded.values())
    coordinates = project(np.concatenate(flat).reshape(rows, -1))
    points, begin = {}, 0
    for scope, table in embedded.items():
        own = coordinates[begin : begin + table.num_rows]
        begin += table.num_rows
        plain = table.drop_columns("embedding")
        points[scope] = plain.append_column("x", pa.array(own[:, 0])).append_column("y", pa.array(own[:, 1]))
    return points


def _placed(table: pa.Table, cell: Cell, generation: int) -> pa.Table:
    for name, value in (("generation", generation), ("seed", cell.seed), ("cell", cell.name)):
        table = table.add_column(0, name, pa.array([value] * table.num_rows))
    return table


def column_of(path: str) -> str:
    """Return the record column of a field of the grid.

    Args:
        path: The field's path, such as ``ecosystem.alpha``.

    Returns:
        The column's name.
    """
    return _OWN_COLUMNS.get(path, path)


def with_coordinates(table: pa.Table, cell: Cell, experiment: Experiment) -> pa.Table:
    """Add a cell's name, seed, shares and grid values to its numbers.

    Args:
        table: The numbers, with a column ``generation``.
        cell: The cell.
        experiment: The experiment that it is a cell of.

    Returns:
        A table with the columns of a run's records.
    """
    rows, ecosystem = table.num_rows, cell.experiment.ecosystem
    generations = table.column("generation").to_pylist()
    # Generation 0 has no share of its own: it is listed with the one in force from generation 1 on.
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
    """Return a grid value in every row: floats if all of the grid's values are numbers, else strings; None is null."""
    known = [each for each in values if each is not None]
    numeric = all(isinstance(each, int | float) and not isinstance(each, bool) for each in known)
    plain = value if value is None else float(value) if numeric else str(value)
    return pa.array([plain] * rows, pa.float64() if numeric else pa.string())
