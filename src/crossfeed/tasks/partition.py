r"""A task's training items in m disjoint parts, so that entities can own segments of one corpus.

Items are put in an order that follows from what they say and from the task's seed alone, whatever task or entity asks:
parts of one description that differ in i have no item in common, and together they are the whole. Without more, every
m-th item of that order belongs to a part, so that sizes differ by one at most. With ``non_iid: {alpha: a}`` each label
l has its own shares of the parts (Yurochkin et al., 2019; Hsu, Qi and Brown, 2019),

.. math:: (q_{l1}, \dots, q_{lm}) \sim \mathrm{Dirichlet}(a, \dots, a),

and its items are cut at the cumulated shares: part i holds :math:`q_{li} n_l` of the :math:`n_l` items, rounded. Labels
are the items' answers: classes of images, final answers of texts. Validation and test items are the same for all parts.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from crossfeed.errors import InvalidInput
from crossfeed.keys import generator
from crossfeed.protocols import Task
from crossfeed.settings import NonIid, TaskSettings, numbers_of

__all__ = ["build_task", "part_of"]


def build_task(settings: TaskSettings, name: str, data_root: Path | None) -> Task:
    """Load or make a task's data, and take its part of the training items.

    Args:
        settings: The task's description.
        name: The task's name in the experiment.
        data_root: A folder to read instead of a hub, or None; see `crossfeed.settings.TaskSettings.build`.

    Returns:
        The task.

    Raises:
        DataUnavailable: The data cannot be reached.
        InvalidInput: They cannot be used as described, or cannot be divided so.
    """
    task = settings.build(name, data_root)
    if settings.part is None or settings.divides_itself:
        return task
    if not hasattr(task, "restricted"):  # see `crossfeed.protocols.DivisibleTask`
        raise InvalidInput(
            f"{name}: part: tasks of source: {settings.source} cannot be divided; leave part out, or give "
            f"{type(task).__name__} the method `restricted` (crossfeed.protocols.DivisibleTask)"
        )
    seed = getattr(settings, "seed", 0)
    part: Task = task.restricted(part_of(name, task.train, settings.part, settings.non_iid, seed))
    return part


def part_of(name: str, train: pa.Table, part: str, non_iid: NonIid | None, seed: int) -> NDArray[np.int64]:
    """Return the rows of one part.

    Args:
        name: The task's name, for messages.
        train: All training items.
        part: ``i/m``.
        non_iid: The division by label; None for equal parts.
        seed: Another seed is another division.

    Returns:
        Rows of `train`, ascending.

    Raises:
        InvalidInput: There are fewer items than parts, the part is empty, or the items have no labels.
    """
    number, parts = numbers_of(part)
    if parts > train.num_rows:
        raise InvalidInput(
            f"{name}: part: {part} of {train.num_rows} training items; give at most {train.num_rows} parts"
        )
    order = _order(train, seed)
    if non_iid is None:
        return np.sort(order[number - 1 :: parts])
    labels = np.array(_labels(name, train))[order]
    taken = []
    for label in sorted(set(labels.tolist())):
        rows = order[labels == label]
        shares = generator(seed, "parts", parts, label).dirichlet(np.full(parts, non_iid.alpha))
        ends = np.rint(np.concatenate([[0.0], np.cumsum(shares)]) * len(rows)).astype(np.int64)
        ends[-1] = len(rows)  # the sum of the shares is 1 up to rounding
        taken.append(rows[ends[number - 1] : ends[number]])
    chosen = np.sort(np.concatenate(taken))
    if not len(chosen):
        raise InvalidInput(
            f"{name}: part: {part} has no training item with non_iid alpha {non_iid.alpha:g}; give a greater alpha, "
            "fewer parts, or another seed"
        )
    return chosen


def _order(train: pa.Table, seed: int) -> NDArray[np.int64]:
    """Return all rows in an order that follows from the items' values; equal items keep theirs."""
    key = (seed % 2**64).to_bytes(8, "little")
    digests = [hashlib.blake2b(item, digest_size=8, key=key).digest() for item in _values(train)]
    return np.argsort(np.frombuffer(b"".join(digests), dtype=">u8"), kind="stable")


def _values(train: pa.Table) -> list[bytes]:
    """Return each item's values as bytes, which do not depend on the table's layout in memory."""
    columns = [_column(column) for column in train.columns]
    return [b"".join(values) for values in zip(*columns, strict=True)]


def _column(column: pa.ChunkedArray) -> list[bytes]:
    if pa.types.is_fixed_size_list(column.type) and pa.types.is_floating(column.type.value_type):
        flat = column.combine_chunks().flatten().to_numpy(zero_copy_only=False)
        return [row.tobytes() for row in flat.astype("<f8").reshape(len(column), -1)]
    return [repr(value).encode() for value in column.to_pylist()]


def _labels(name: str, train: pa.Table) -> list[str]:
    """Return each item's label.

    Raises:
        InvalidInput: Some item has no answer, or answers hardly ever repeat.
    """
    instead = "leave non_iid out, or give a task with classes, such as source: digits"
    if "answer" not in train.column_names or train.column("answer").null_count:
        raise InvalidInput(f"{name}: non_iid divides by label, and its training items have none; {instead}")
    labels: list[str] = train.column("answer").to_pylist()
    if 2 * len(set(labels)) > len(labels):
        raise InvalidInput(
            f"{name}: non_iid divides by label, and {len(labels)} training items have {len(set(labels))} different "
            f"answers, which are no labels; {instead}"
        )
    return labels
