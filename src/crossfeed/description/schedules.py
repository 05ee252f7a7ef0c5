"""Values that may differ from generation to generation: shares, and sizes that grow by a rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, ConfigDict, Field, model_validator

from crossfeed.description.reading import nested
from crossfeed.schema_rules import exactly_one
from crossfeed.settings import Frozen, Number, Rate, Share, Size

__all__ = [
    "SHARES",
    "Growth",
    "Schedule",
    "SizeSchedule",
    "at_generation",
    "check_growth",
    "share_or_schedule",
    "size_at",
]

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


SHARES: Final = Share | Annotated[list[Share], Field(min_length=1)]
"""The form in which a `Schedule` is written."""

Schedule = Annotated[float | tuple[float, ...], BeforeValidator(share_or_schedule, json_schema_input_type=SHARES)]
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

    model_config = ConfigDict(json_schema_extra=exactly_one("add", "factor"))

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
        """Return the size at a generation t >= 1.

        Args:
            generation: The generation t.

        Raises:
            ValueError: It is below 1 or above 100 million.
        """
        t = generation - 1
        try:
            size = self.first * self.factor**t if self.factor is not None else self.first + (self.add or 0.0) * t
        except OverflowError:
            size = float("inf")
        if not 0.5 <= size <= _LARGEST:
            raise ValueError(f"it is {size:.3g} at generation {generation}; sizes are from 1 to {_LARGEST:,}")
        return max(1, round(size))


def _size(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _LARGEST:
        return value
    kind = "a size is greater than or equal to 1" if isinstance(value, int) else "a size is a whole number (an integer)"
    raise ValueError(f"{kind}; give one from 1 to {_LARGEST:,}, a list of them, or {{first: 100, add: 50}}")


def _sizes(value: Any) -> Any:
    if value is None or isinstance(value, Growth):
        return value
    if isinstance(value, dict):
        return nested(Growth, value)
    if isinstance(value, list | tuple) and value:
        return tuple(_size(each) for each in value)
    return _size(value)


SizeSchedule = Annotated[
    int | tuple[int, ...] | Growth,
    BeforeValidator(_sizes, json_schema_input_type=Size | Annotated[list[Size], Field(min_length=1)] | Growth),
]
"""A size: a number, a list whose t-th entry holds at generation t and whose last one lasts, or a rule of growth."""


def check_growth(sizes: Mapping[str, object], generations: int) -> None:
    """Refuse sizes that leave their range before a run ends.

    Args:
        sizes: Sizes by the name of their field.
        generations: The last generation T.

    Raises:
        ValueError: The message names the field, the size and the generation.
    """
    for name, size in sizes.items():
        if isinstance(size, Growth) and generations > 0:
            try:
                size.at(generations)
            except ValueError as error:
                raise ValueError(f"{name}: {error}; give a smaller step") from error


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
