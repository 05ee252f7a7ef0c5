"""Numbers, outputs and losses of a generation that are measured later, joined with those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from crossfeed.protocols import Measurement
from crossfeed.records import to_table
from crossfeed.settings import MetricSettings

__all__ = ["joined_items", "joined_records", "lacking"]

_PLACE = ("model", "task", "item")
_EMBEDDING = "embedding"


def lacking(records: pa.Table, metrics: Mapping[str, MetricSettings]) -> dict[str, MetricSettings]:
    """Return the metrics that have no number among the records of a generation.

    Args:
        records: A generation's records.
        metrics: Metrics by name; one that declares no numbers always counts as lacking.
    """
    known = set(records.column("metric").to_pylist())
    return {
        name: settings
        for name, settings in metrics.items()
        if not any(measure.metric in known for measure in settings.measures)
    }


def joined_records(records: pa.Table, generation: int, numbers: Iterable[Measurement]) -> pa.Table:
    """Return a generation's records with further numbers; those of the same place and metric are replaced.

    Args:
        records: Its records (`crossfeed.records.to_table`).
        generation: The generation t.
        numbers: The further numbers.
    """
    added = to_table(generation, numbers)
    new = set(zip(*(added.column(name).to_pylist() for name in ("model", "task", "metric")), strict=True))
    old = zip(*(records.column(name).to_pylist() for name in ("model", "task", "metric")), strict=True)
    kept = records.filter(pa.array([place not in new for place in old], pa.bool_()))
    return pa.concat_tables([kept.cast(added.schema), added])


def joined_items(before: pa.Table | None, now: pa.Table) -> pa.Table:
    """Return outputs, or losses, of test items: those that are there, and those of further items.

    What is of one item is the same in both, but for an embedding, which either may lack.

    Args:
        before: The table that is there; None for none.
        now: The new table, with the columns ``model``, ``task`` and ``item``.
    """
    if before is None:
        return now
    known = {place: row for row, place in enumerate(_places(before))}
    rows = [known.pop(place, None) for place in _places(now)]
    if _EMBEDDING in now.column_names and _EMBEDDING in before.column_names:
        there = before.column(_EMBEDDING).combine_chunks().take(pa.array(rows, pa.int64()))
        at = now.column_names.index(_EMBEDDING)
        filled = pc.if_else(pc.is_valid(now.column(_EMBEDDING)), now.column(_EMBEDDING), there)
        now = now.set_column(at, _EMBEDDING, filled)
    alone = before.take(pa.array(np.array(sorted(known.values()), dtype=np.int64)))
    return pa.concat_tables([now, alone], promote_options="permissive")


def _places(table: pa.Table) -> list[tuple[object, ...]]:
    return list(zip(*(table.column(name).to_pylist() for name in _PLACE), strict=True))
