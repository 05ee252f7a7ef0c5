"""What every description is made of: frozen, strict models, and the base classes of what can be plugged in.

Everything here is importable without torch. A learner, task source or metric is described by a frozen settings
class; its `build` imports the code that does the work.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

if TYPE_CHECKING:
    from crossfeed.protocols import Learner, LearnerContext, Metric, Task

__all__ = [
    "Frozen",
    "LearnerSettings",
    "MetricSettings",
    "Name",
    "Number",
    "Sequence_",
    "Share",
    "TaskSettings",
    "identity",
]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
T = TypeVar("T")


def _safe_name(value: Any) -> Any:
    if isinstance(value, str) and not _NAME.fullmatch(value):
        raise ValueError(
            "a name has 1 to 64 letters, digits, '.', '_' and '-', and starts with a letter or digit "
            "(names become parts of paths)"
        )
    return value


def _as_tuple(value: Any) -> Any:
    """Lists become tuples: strict mode then takes what YAML gives."""
    return tuple(value) if isinstance(value, list) else value


def _as_float(value: Any) -> Any:
    """Whole numbers are fine where a number is expected; truth values are not."""
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


Name = Annotated[str, BeforeValidator(_safe_name)]
Number = Annotated[float, BeforeValidator(_as_float)]
Share = Annotated[float, BeforeValidator(_as_float), Field(ge=0.0, le=1.0)]
Sequence_ = Annotated[tuple[T, ...], BeforeValidator(_as_tuple)]


class Frozen(BaseModel):
    """A frozen description: unknown keys are errors, and equal descriptions compare equal.

    Attributes:
        no_effect: Fields that change no result beyond rounding (names, devices); they stay out of content ids.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    no_effect: ClassVar[frozenset[str]] = frozenset()


class LearnerSettings(Frozen):
    """A kind of generative model and how it is trained; `kind` is its name in the registry."""

    kind: str

    def reading(self) -> Literal["draws", "everything"]:
        """What its training sets hold, see `crossfeed.protocols.Learner.reads`."""
        return "draws"

    def start_identity(self) -> Any:
        """What of the settings affects training at generation 0, as plain data; more than that is safe, less is not."""
        return identity(self)

    def build(self, context: LearnerContext) -> Learner:
        """Make the learner; called once for each cell."""
        raise NotImplementedError


class TaskSettings(Frozen):
    """Where a data set comes from; `source` is its name in the registry."""

    source: str

    def build(self, name: str, data_root: Path | None) -> Task:
        """Load or make the data.

        Args:
            name: The task's name in the experiment.
            data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub, or None.

        Raises:
            DataUnavailable: The data cannot be reached; the message says how to point to a local copy.
        """
        raise NotImplementedError


class MetricSettings(Frozen):
    """What to measure and how often.

    Attributes:
        every: Measure at generations divisible by this; generation 0 and the last one are always measured.
    """

    every: Annotated[int, Field(ge=1)] = 1

    def build(self) -> Metric:
        """Make the metric."""
        raise NotImplementedError


def identity(value: Any) -> Any:
    """A description as plain data, without the fields that change no result (see `Frozen.no_effect`)."""
    if isinstance(value, Frozen):
        fields = type(value).model_fields
        return {name: identity(getattr(value, name)) for name in fields if name not in value.no_effect}
    if isinstance(value, dict):
        return {key: identity(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [identity(item) for item in value]
    return value
