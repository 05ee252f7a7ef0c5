"""Parts of a description that are chosen by name: a learner by its kind, a task by its source, others by their names.

They are types for fields of frozen descriptions: a mapping becomes the settings class that the registry has under the
name; an unknown name, or a key that the class does not have, is an error that names the place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny, WithJsonSchema

from crossfeed.description.missing import read_part
from crossfeed.description.registry import (
    filter_settings,
    learner_settings,
    metric_settings,
    reward_settings,
    task_settings,
)
from crossfeed.schema_rules import CHOSEN
from crossfeed.settings import FilterSettings, Frozen, LearnerSettings, MetricSettings, RewardSettings, TaskSettings

__all__ = ["Filters", "Learner", "Metrics", "Rewards", "Task"]


def _learner(value: Any) -> Any:
    if isinstance(value, LearnerSettings):
        return value
    if not isinstance(value, dict) or "kind" not in value:
        raise ValueError("a learner is a mapping with a kind, such as {kind: language, ...}")
    return read_part(learner_settings(value["kind"]), value)


def _task(value: Any) -> Any:
    if isinstance(value, TaskSettings):
        return value
    if isinstance(value, str):
        value = {"source": value}
    if not isinstance(value, dict) or "source" not in value:
        raise ValueError("a task is the name of a source, such as math, or a mapping with a source")
    return read_part(task_settings(value["source"]), value)


def _metrics(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("metrics is a mapping from names to settings, such as {loss: {}, accuracy: {items: 64}}")
    return _chosen(value, metric_settings)


def _filters(value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError("curation is a mapping from filters to settings, such as {detector: {recall: 0.9}}")
    return _chosen(value, filter_settings)


def _rewards(value: Any) -> Any:
    if isinstance(value, str):
        value = {value: {}}
    if not isinstance(value, dict):
        raise ValueError("reward is the name of a reward, or rewards by name, such as {length: {weight: -0.1}}")
    return _chosen(value, reward_settings)


def _chosen(value: dict[Any, Any], settings_of: Callable[[Any], type[Frozen]]) -> dict[Any, Any]:
    """Return settings by name; ``true`` or an empty mapping means the defaults, ``false`` leaves a name out."""
    chosen = {}
    for name, given in value.items():
        known = settings_of(name)
        if given is not False:
            plain = {} if given is True or given is None else given
            chosen[name] = plain if isinstance(plain, known) else read_part(known, plain, name)
    return chosen


Learner = Annotated[SerializeAsAny[LearnerSettings], BeforeValidator(_learner), WithJsonSchema({CHOSEN: "learner"})]
Task = Annotated[SerializeAsAny[TaskSettings], BeforeValidator(_task), WithJsonSchema({CHOSEN: "task"})]
Metrics = Annotated[
    dict[str, SerializeAsAny[MetricSettings]], BeforeValidator(_metrics), WithJsonSchema({CHOSEN: "metrics"})
]
Filters = Annotated[
    dict[str, SerializeAsAny[FilterSettings]], BeforeValidator(_filters), WithJsonSchema({CHOSEN: "filters"})
]
Rewards = Annotated[
    dict[str, SerializeAsAny[RewardSettings]],
    Field(min_length=1),
    BeforeValidator(_rewards),
    WithJsonSchema({CHOSEN: "rewards"}),
]
