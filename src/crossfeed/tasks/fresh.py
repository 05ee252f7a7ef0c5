"""Fresh human data: what is set aside of a task's training items, a part for each generation."""

from __future__ import annotations

import pyarrow as pa

from crossfeed.errors import InvalidInput

__all__ = ["set_aside"]


def set_aside(name: str, train: pa.Table, generations: int) -> tuple[pa.Table, tuple[pa.Table, ...]]:
    """Set the last half of training items aside, the same number of them for each generation.

    Args:
        name: The task's name, for the message.
        train: The training items.
        generations: T; what is left over when half of `train` is divided by T stays in `train`.

    Returns:
        What stays, and one table for each generation t = 1, ..., T.

    Raises:
        InvalidInput: There is less than one item for each generation.
    """
    rows = train.num_rows
    if generations < 1 or rows // 2 < generations:
        raise InvalidInput(
            f"{name}: {generations} generations of fresh data were asked for; half of the {rows} training items can be "
            f"set aside, at least one for each generation: give 1 to {rows // 2}"
        )
    size = rows // 2 // generations
    kept = rows - size * generations
    return train.slice(0, kept), tuple(train.slice(kept + size * t, size) for t in range(generations))
