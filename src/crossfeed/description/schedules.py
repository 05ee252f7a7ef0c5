"""Values that may differ from generation to generation: shares, and sizes that grow by a rule."""

from __future__ import annotations

from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from crossfeed.settings import Frozen, Number, Rate, Size

__all__ = ["Growth", "Schedule", "SizeSchedule", "at_generation", "share_or_schedule", "size_at"]

_LARGEST: Final = 100_000_000


def share_or_schedule(value: Any) -> float | tuple[float, ...]:
    """Read a share, or a list of shares.

    Args:
        value: A number, or a list of numbers.

    Raises:
        ValueError: A number is no share.
    """
    if isinstance(value, list | tuple) and value:
        return tuple(_share(entry) for entry in value)
    return _share(value)


def _share(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError("give a share between 0 and 1, or a list of shares, one for each generation from 1 on")


Schedule = Annotated[float | tuple[float, ...], BeforeValidator(share_or_schedule)]
"""A share: one number, or a list whose t-th entry holds at generation t = 1, 2, ... and whose last one lasts."""


def at_generation(schedule: float | tuple[float, ...], generation: int) -> float:
    """Return the value of a schedule at a generation t >= 1."""
    if isinstance(schedule, tuple):
        return schedule[min(generation, len(schedule)) - 1]
    return schedule


class Growth(Frozen):
    """A size that grows: at generation t it is first + add (t - 1), or first times factor^(t - 1), rounded.

    Attributes:
        first: The size at generation 1.
        add: What every generation adds.
        factor: What every generation multiplies it by.
    """

    first: Size
    add: Annotated[Number, Field(ge=-1e8, le=1e8)] | None = None
    factor: Rate | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if (self.add is None) == (self.factor is None):
            given = "neither" if self.add is None else "both"
            raise ValueError(f"a size that grows has first and either add or factor; received {given}")
        return self

    def at(self, generation: int) -> int:
        """Return the size at a generation t >= 1; at least 1, at most 100 million."""
        t = generation - 1
        try:
            size = self.first + self.add * t if self.factor is None else self.first * self.factor**t  # type: ignore[operator]
        except OverflowError:
            size = float("inf")
        return round(min(max(size, 1), _LARGEST))


def _sizes(value: Any) -> Any:
    if isinstance(value, list | tuple):
        if value and all(isinstance(each, int) and not isinstance(each, bool) for each in value):
            return tuple(value)
        raise ValueError("give one size, a list of sizes for generations 1, 2, ..., or {first: 100, add: 50}")
    return value


SizeSchedule = Annotated[Size | Annotated[tuple[Size, ...], Field(min_length=1)] | Growth, BeforeValidator(_sizes)]
"""A size: a number, a list whose t-th entry holds at generation t and whose last one lasts, or a rule of growth."""


def size_at(schedule: int | tuple[int, ...] | Growth, generation: int) -> int:
    """Return a size at a generation.

    Args:
        schedule: The size.
        generation: The generation t; the first size holds at generation 0 too.
    """
    if isinstance(schedule, Growth):
        return schedule.at(max(generation, 1))
    if isinstance(schedule, tuple):
        return schedule[min(max(generation, 1), len(schedule)) - 1]
    return schedule
