"""Parts of a description whose package is not installed here: their fields as they were written, and nothing else.

A run outlives the packages that made it. Its description is read with `packages_may_be_missing`, so that what is stored
can be shown; who wants to run it is told which package to install.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from pydantic import ConfigDict

from crossfeed.description.reading import Nested, nested
from crossfeed.errors import MissingDependency
from crossfeed.settings import FilterSettings, Frozen, LearnerSettings, MetricSettings, RewardSettings, TaskSettings

if TYPE_CHECKING:
    from crossfeed.protocols import Filter, Learner, LearnerContext, Metric, Reward, RewardContext, Task

__all__ = [
    "Missing",
    "may_be_missing",
    "missing_settings",
    "packages_may_be_missing",
    "read_part",
]

_ALLOWED: Final = ContextVar("packages_may_be_missing", default=False)
S = TypeVar("S", bound=Frozen)


@contextmanager
def packages_may_be_missing() -> Iterator[None]:
    """Within it, parts that no installed package can read are read as `Missing`: for descriptions of stored runs."""
    token = _ALLOWED.set(True)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def may_be_missing() -> bool:
    """Return True within `packages_may_be_missing`."""
    return _ALLOWED.get()


class Missing:
    """Settings of a part whose package is not installed here, or not in the version that wrote them."""


def _refused(what: str) -> MissingDependency:
    return MissingDependency(f"{what} is of a package that is not installed here; install it to run this")


class _MissingLearner(LearnerSettings, Missing):
    model_config = ConfigDict(extra="allow")

    def build(self, context: LearnerContext) -> Learner:
        raise _refused(f"the learner {self.kind!r}")


class _MissingTask(TaskSettings, Missing):
    model_config = ConfigDict(extra="allow")

    def build(self, name: str, data_root: Path | None) -> Task:
        raise _refused(f"the source {self.source!r} of the task {name!r}")


class _MissingMetric(MetricSettings, Missing):
    model_config = ConfigDict(extra="allow")

    def build(self) -> Metric:
        raise _refused("a metric of this description")


class _MissingFilter(FilterSettings, Missing):
    model_config = ConfigDict(extra="allow")

    def build(self, owned: Mapping[str, Task]) -> Filter:
        raise _refused("a filter of this description")


class _MissingReward(RewardSettings, Missing):
    model_config = ConfigDict(extra="allow")

    def build(self, context: RewardContext) -> Reward:
        raise _refused("a reward of this description")


def missing_settings(base: type[S]) -> type[S]:
    """Return the settings class for parts of a kind whose package is not installed.

    Args:
        base: The kind: a base class of `crossfeed.settings`, or a subclass of one.
    """
    kinds = {
        LearnerSettings: _MissingLearner,
        TaskSettings: _MissingTask,
        MetricSettings: _MissingMetric,
        FilterSettings: _MissingFilter,
        RewardSettings: _MissingReward,
    }
    return cast("type[S]", next(missing for kind, missing in kinds.items() if issubclass(base, kind)))


def read_part(settings: type[S], value: Any, path: str = "") -> S:
    """Build a part of a description; see `crossfeed.description.reading.nested`.

    Args:
        settings: The part's class.
        value: Plain data.
        path: Path of the part below the field that is being read.

    Returns:
        The part. Where packages may be missing, fields that an installed package does not know (it may be another
        version) are kept as they are.

    Raises:
        Nested: The data are not valid for the class.
    """
    try:
        return nested(settings, value, path)
    except Nested:
        if not may_be_missing() or settings.__module__.startswith("crossfeed."):
            raise
        return missing_settings(settings).model_validate(value)
