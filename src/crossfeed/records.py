"""Records: one row per measured number, with its full coordinates (columns: `crossfeed.store.schema`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
    "is_measured",
    "is_numeric",
    "reached",
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


def reached(store: Store, cell: Cell) -> int:
    """Return the last generation of a cell up to which all are measured (`is_measured`); -1 for none.

    Args:
        store: The store of the run.
        cell: The cell.
    """
    last = -1
    while last < cell.experiment.generations and is_measured(store, cell, last + 1):
        last += 1
    return last


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
    rows = table.num_rows

    def models() -> tuple[list[str], NDArray[np.int64]]:
        encoded = table.column("model").combine_chunks().dictionary_encode()
        return encoded.dictionary.to_pylist(), encoded.indices.to_numpy().astype(np.int64)

    weights, at = _weights(cell.experiment.ecosystem, table.column("generation").to_numpy(), models)
    columns: dict[str, Any] = {
        "cell": _constant(cell.name, pa.string(), rows),
        "seed": _constant(cell.seed, pa.int64(), rows),
        "alpha": _taken([alpha for alpha, _ in weights], at),
        "beta": _taken([beta for _, beta in weights], at),
    }
    columns.update({name: table.column(name) for name in table.column_names})
    for path, value, numeric in _fields(cell, experiment):
        columns[path] = _constant(value, pa.float64() if numeric else pa.string(), rows)
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
    # Plain values and no table: pyarrow converts lists only after it has loaded pandas, which takes half a second.

    def encoded() -> tuple[list[str], NDArray[np.int64]]:
        names, codes = np.unique(np.asarray(models, dtype=str), return_inverse=True)
        return names.tolist(), codes

    weights, at = _weights(cell.experiment.ecosystem, np.asarray(generations, dtype=np.int64), encoded)
    rows, places = len(generations), at.tolist()
    columns: dict[str, list[Any]] = {"cell": [cell.name] * rows, "seed": [cell.seed] * rows}
    columns["alpha"] = [weights[place][0] for place in places]
    columns["beta"] = [weights[place][1] for place in places]
    return columns | {path: [value] * rows for path, value, _ in _fields(cell, experiment)}


def values_of(path: str, cell: Cell, experiment: Experiment) -> Sequence[Any]:
    """Return all values that a field has in an experiment's records.

    Args:
        path: A field of the grid, ``ecosystem.alpha`` or ``ecosystem.beta``.
        cell: A cell, whose own value it is where the field is not on the grid.
        experiment: The experiment that it is a cell of.
    """
    values: Sequence[Any] = experiment.grid.get(path, ())
    return values or (getattr(cell.experiment.ecosystem, path.rpartition(".")[2]),)


#: The weights alpha and beta of some numbers; None where their entities differ.
_Pair = tuple[float | None, float | None]


def _weights(
    ecosystem: Ecosystem,
    generations: NDArray[np.int64],
    models: Callable[[], tuple[list[str], NDArray[np.int64]]],
) -> tuple[list[_Pair], NDArray[np.int64]]:
    """Return different pairs of weights, and which of them each number's entity has, or several have in common.

    Args:
        ecosystem: The ecosystem.
        generations: The generation of each number.
        models: Names of entities, one or several with plus signs between, and the place of each number's among them.
    """
    known, at = np.unique(generations, return_inverse=True)
    # Generation 0 is listed with the weights in force from generation 1 on, so that a curve has one of each.
    in_force = [(ecosystem.alphas(max(t, 1)), ecosystem.betas(max(t, 1))) for t in known.tolist()]
    weights = [(_common(alphas), _common(betas)) for alphas, betas in in_force]
    if any(None in each for each in weights):
        place = {name: k for k, name in enumerate(ecosystem.names)}
        names, codes = models()
        of = [[place[each] for each in name.split("+") if each in place] or list(place.values()) for name in names]
        pairs, at = np.unique(at * len(names) + codes, return_inverse=True)
        places = [divmod(pair, len(names)) for pair in pairs.tolist()]
        weights = [(_common(in_force[t][0][of[model]]), _common(in_force[t][1][of[model]])) for t, model in places]
    return weights, at


def _taken(values: Sequence[float | None], at: NDArray[np.int64]) -> pa.Array:
    """Return a column of values, by their places."""
    if len(set(values)) == 1:
        return _constant(values[0], pa.float64(), len(at))
    return pa.array(values, pa.float64()).take(pa.array(at))


def _common(weights: NDArray[np.float64]) -> float | None:
    return float(weights[0]) if (weights == weights[0]).all() else None


def is_numeric(values: Sequence[Any]) -> bool:
    """Return True if all of a field's values are numbers; None is no value.

    Args:
        values: The values.
    """
    return all(isinstance(each, int | float) and not isinstance(each, bool) for each in values if each is not None)


def _fields(cell: Cell, experiment: Experiment) -> Iterator[tuple[str, float | str | None, bool]]:
    """Yield alpha, beta and the grid's fields with a cell's value: a number if all values of the field are, else words.

    Yields:
        The field, the value (None is null), and whether it is a number.
    """
    ecosystem = cell.experiment.ecosystem
    common = {"ecosystem.alpha": ecosystem.alpha, "ecosystem.beta": ecosystem.beta}
    for path, value in (common | cell.point).items():
        numeric = is_numeric(values_of(path, cell, experiment))
        yield path, value if value is None else float(value) if numeric else in_words(value), numeric


@lru_cache(maxsize=16)
def _constant(value: float | str | None, kind: pa.DataType, rows: int) -> pa.Array:
    """Return a value in every row; the generations of a cell, which have as many rows each, share its memory."""
    return pa.nulls(rows, kind) if value is None else pa.repeat(pa.scalar(value, kind), rows)
