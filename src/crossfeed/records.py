"""Records: one row per measured number, with its full coordinates (columns: `crossfeed.store.schema`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.formatting import in_words
from crossfeed.metrics.projection import project
from crossfeed.protocols import Measurement, Store

__all__ = [
    "collect",
    "collect_projection",
    "coordinates",
    "failure_of",
    "is_measured",
    "is_numeric",
    "read_failure",
    "scope_of",
    "state_scope_of",
    "to_table",
    "values_of",
    "with_coordinates",
]

_BATCH: Final = 2**17
"""Rows of tables that are joined before coordinates are added to them, at most."""

_GENERATION_SCHEMA = pa.schema(
    [
        ("generation", pa.int64()),
        ("model", pa.string()),
        ("task", pa.string()),
        ("metric", pa.string()),
        ("value", pa.float64()),
    ]
)


def to_table(generation: int, numbers: Iterable[Measurement]) -> pa.Table:
    """Convert the numbers of one generation to a table.

    Args:
        generation: The generation t.
        numbers: The measurements.

    Returns:
        Columns ``generation, model, task, metric, value``.
    """
    listed = list(numbers)
    columns = {name: [getattr(each, name) for each in listed] for name in _GENERATION_SCHEMA.names[1:]}
    return pa.table({"generation": [generation] * len(listed)} | columns, schema=_GENERATION_SCHEMA)


def collect(store: Store, experiment: Experiment, cells: Sequence[Cell]) -> pa.Table:
    """Collect all records of a run so far.

    Args:
        store: The store of the run.
        experiment: The experiment.
        cells: Its cells.

    Returns:
        The records; a shared generation 0 is listed under every cell that begins with it.
    """
    shared: dict[str, pa.Table | None] = {}
    tables = []
    for cell in cells:
        zero = scope_of(cell, 0)
        if zero not in shared:
            shared[zero] = _records(store, zero, 0)
        later = (_records(store, cell.name, t) for t in range(1, cell.experiment.generations + 1))
        own = [table for table in (shared[zero], *later) if table is not None]
        tables += [with_coordinates(table, cell, experiment) for table in _in_batches(own)]
    return pa.concat_tables(tables) if tables else with_coordinates(to_table(0, []), cells[0], experiment)


def _in_batches(tables: Sequence[pa.Table]) -> Iterator[pa.Table]:
    """Join small tables, which have a price each; large ones stay apart, so that not all are worked on at once."""
    batch: list[pa.Table] = []
    rows = 0
    for table in tables:
        if batch and rows + table.num_rows > _BATCH:
            yield pa.concat_tables(batch)
            batch, rows = [], 0
        batch.append(table)
        rows += table.num_rows
    if batch:
        yield pa.concat_tables(batch)


def _records(store: Store, scope: str, generation: int) -> pa.Table | None:
    return store.read_table("records", scope, generation) if store.has_table("records", scope, generation) else None


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
    """Return True if a generation's numbers are stored, and the outputs and losses of items that will be read again.

    Args:
        store: The store of the run.
        cell: The cell.
        generation: The generation t.

    Returns:
        True if nothing of the generation is left to measure.
    """
    scope, last = scope_of(cell, generation), cell.experiment.generations
    due = [each for each in cell.experiment.metrics.values() if each.is_due(generation, last)]
    needed = ["records"]
    needed += ["outputs"] if any(each.projected or each.looks_back for each in due) else []
    needed += ["losses"] if any(each.keeps_losses(generation) for each in due) else []
    return all(store.has_table(step, scope, generation) for step in needed)


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
    import pyarrow.compute as pc  # of use here alone, and a tenth of a second to load

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


def with_coordinates(table: pa.Table, cell: Cell, experiment: Experiment) -> pa.Table:
    """Add a cell's name, seed and grid values to its numbers, and the weights that each number's entity had.

    Args:
        table: The numbers, with columns ``generation`` and ``model``.
        cell: The cell.
        experiment: The experiment that it is a cell of.

    Returns:
        A table with the columns of a run's records.
    """
    rows, ecosystem = table.num_rows, cell.experiment.ecosystem
    alpha, beta = _weights(ecosystem, table)
    columns: dict[str, Any] = {
        "cell": _constant(cell.name, pa.string(), rows),
        "seed": _constant(cell.seed, pa.int64(), rows),
        "alpha": alpha,
        "beta": beta,
    }
    columns.update({name: table.column(name) for name in table.column_names})
    common = {"ecosystem.alpha": ecosystem.alpha, "ecosystem.beta": ecosystem.beta}
    for path, value in (common | cell.point).items():
        columns[path] = _column(value, values_of(path, cell, experiment), rows)
    return pa.table(columns)


def coordinates(
    generations: Sequence[int], models: Sequence[str], cell: Cell, experiment: Experiment
) -> dict[str, list[Any]]:
    """Return a cell's name, seed and grid values, and the weights of each number's entity, once for each number.

    Args:
        generations: The generation of each number.
        models: The entity of each number, or several.
        cell: The cell.
        experiment: The experiment that it is a cell of.

    Returns:
        Columns ``cell, seed, alpha, beta``, ``ecosystem.alpha, ecosystem.beta`` and the grid's other fields.
    """
    numbers = pa.table({"generation": pa.array(generations, pa.int64()), "model": pa.array(models, pa.string())})
    placed = with_coordinates(numbers, cell, experiment)
    return {name: placed.column(name).to_pylist() for name in placed.column_names if name not in numbers.column_names}


def values_of(path: str, cell: Cell, experiment: Experiment) -> Sequence[Any]:
    """Return all values that a field has in an experiment's records.

    Args:
        path: A field of the grid, ``ecosystem.alpha`` or ``ecosystem.beta``.
        cell: A cell, whose own value it is where the field is not on the grid.
        experiment: The experiment that it is a cell of.
    """
    values: Sequence[Any] = experiment.grid.get(path, ())
    return values or (getattr(cell.experiment.ecosystem, path.rpartition(".")[2]),)


def _weights(ecosystem: Ecosystem, table: pa.Table) -> tuple[pa.Array, pa.Array]:
    """Return alpha and beta of each row's entity; of several entities what they have in common, else null."""
    known, at = np.unique(table.column("generation").to_numpy(), return_inverse=True)
    # Generation 0 is listed with the weights in force from generation 1 on, so that a curve has one of each.
    in_force = [(ecosystem.alphas(max(t, 1)), ecosystem.betas(max(t, 1))) for t in known.tolist()]
    weights = [(_common(alphas), _common(betas)) for alphas, betas in in_force]
    if any(None in each for each in weights):
        place = {name: k for k, name in enumerate(ecosystem.names)}
        models = table.column("model").combine_chunks().dictionary_encode()
        names = models.dictionary.to_pylist()
        of = [[place[each] for each in name.split("+") if each in place] or list(place.values()) for name in names]
        pairs, at = np.unique(at * len(names) + models.indices.to_numpy(), return_inverse=True)
        places = [divmod(pair, len(names)) for pair in pairs.tolist()]
        weights = [(_common(in_force[t][0][of[model]]), _common(in_force[t][1][of[model]])) for t, model in places]
    if len(set(weights)) == 1:
        alpha_of_all, beta_of_all = (_constant(value, pa.float64(), table.num_rows) for value in weights[0])
        return alpha_of_all, beta_of_all
    alpha, beta = zip(*weights, strict=True) if weights else ((), ())
    rows = pa.array(at)
    return pa.array(alpha, pa.float64()).take(rows), pa.array(beta, pa.float64()).take(rows)


def _common(weights: NDArray[np.float64]) -> float | None:
    return float(weights[0]) if (weights == weights[0]).all() else None


def is_numeric(values: Sequence[Any]) -> bool:
    """Return True if all of a field's values are numbers; None is no value.

    Args:
        values: The values.
    """
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in values if each is not None)


def _column(value: Any, values: Sequence[Any], rows: int) -> pa.Array:
    """Return a value in every row: floats if all values of its field are numbers, else strings; None is null."""
    numeric = is_numeric(values)
    plain = value if value is None else float(value) if numeric else in_words(value)
    return _constant(plain, pa.float64() if numeric else pa.string(), rows)


@lru_cache(maxsize=16)
def _constant(value: float | str | None, kind: pa.DataType, rows: int) -> pa.Array:
    """Return a value in every row; the generations of a cell, which have as many rows each, share its memory."""
    return pa.nulls(rows, kind) if value is None else pa.repeat(pa.scalar(value, kind), rows)
