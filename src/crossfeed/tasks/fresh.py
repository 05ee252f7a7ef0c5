"""Fresh human data: a part of a task's training items, set aside for each generation."""

from __future__ import annotations

import pyarrow as pa

from crossfeed.errors import InvalidInput

__all__ = ["set_aside"]


def set_aside(name: str, train: pa.Table, generations: int) -> tuple[pa.Table, tuple[pa.Table, ...]]:
    """Set the last half of the training items aside, the same number for each generation.

    Args:
        name: The task's name, for the message.
        train: The training items.
        generations: The number of generations T; the remainder of half of `train` divided by T stays in `train`.

    Returns:
        The items that stay, and one table for each generation t = 1, ..., T.

    Raises:
        InvalidInput: There is less than one item for each generation.
    """
    rows = train.num_rows
    if generations < 1 or rows // 2 < generations:
        raise InvalidInput(
            f"{name}: {generations} generations of fresh data were requested; half of the {rows} training items can be "
            f"set aside, at least one for each generation: give 1 to {rows // 2}"
        )
    size = rows // 2 // generations
    kept = rows - size * generations
    return train.slice(0, kept), tuple(train.slice(kept + size * t, size) for t in range(generations))
