"""What can be named in a description: learners by `kind`, task sources by `source`, metrics and filters by name.

Each entry is ``module:SettingsClass``; the module is imported when the name is first used, and none of them may
import torch at that point. To add one, write the settings class and add a line here (see CONTRIBUTING.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib import import_module
from typing import Final, TypeVar, cast

from crossfeed.settings import FilterSettings, Frozen, LearnerSettings, MetricSettings, TaskSettings

__all__ = ["combined_learner", "filter_settings", "learner_settings", "metric_settings", "task_settings"]

_LEARNERS: Final = {
    "fake": "crossfeed.learners.fake:FakeSettings",
    "glm": "crossfeed.learners.glm:GlmSettings",
    "language": "crossfeed.learners.language.settings:LanguageSettings",
    "linear": "crossfeed.learners.linear:LinearSettings",
}
_PER_ENTITY: Final = "crossfeed.learners.per_entity:PerEntitySettings"
_TASKS: Final = {
    "fake": "crossfeed.learners.fake:FakeTaskSettings",
    "facts": "crossfeed.tasks.builtin:FactsSettings",
    "math": "crossfeed.tasks.builtin:MathSettings",
    "regression": "crossfeed.tasks.regression:RegressionSettings",
    "reason": "crossfeed.tasks.builtin:ReasonSettings",
    "topic": "crossfeed.tasks.builtin:TopicSettings",
    "stdlib-docs": "crossfeed.tasks.builtin:StdlibDocsSettings",
    "sciq": "crossfeed.tasks.hub:SciqSettings",
    "gsm8k": "crossfeed.tasks.hub:Gsm8kSettings",
    "arc_challenge": "crossfeed.tasks.hub:ArcChallengeSettings",
    "arc_easy": "crossfeed.tasks.hub:ArcEasySettings",
    "bookcorpus": "crossfeed.tasks.hub:BookcorpusSettings",
    "hub": "crossfeed.tasks.hub:HubSettings",
    "files": "crossfeed.tasks.hub:FilesSettings",
}
_METRICS: Final = {
    "loss": "crossfeed.metrics.loss:LossSettings",
    "bits_per_byte": "crossfeed.metrics.loss:BitsPerByteSettings",
    "completion_loss": "crossfeed.metrics.loss:CompletionLossSettings",
    "accuracy": "crossfeed.metrics.accuracy:AccuracySettings",
    "similarity": "crossfeed.metrics.similarity:SimilaritySettings",
    "distinct": "crossfeed.metrics.diversity:DistinctSettings",
    "projection": "crossfeed.metrics.projection:ProjectionSettings",
}
_FILTERS: Final = {
    "detector": "crossfeed.filters.detector:DetectorSettings",
    "exact_answer": "crossfeed.filters.exact_answer:ExactAnswerSettings",
    "loss": "crossfeed.filters.loss:LossFilterSettings",
}
S = TypeVar("S", bound=Frozen)


def learner_settings(kind: str) -> type[LearnerSettings]:
    """The settings class of a learner; ValueError names the known kinds."""
    return _look_up("learner kind", _LEARNERS, kind, LearnerSettings)


def combined_learner(common: LearnerSettings, own: Mapping[str, LearnerSettings]) -> LearnerSettings:
    """One learner for entities that may differ: theirs if it is the same for all, else one that tells them apart.

    Args:
        common: The experiment's learner; outputs of all entities are embedded by it.
        own: Each entity's, by name.
    """
    if all(each == common for each in own.values()):
        return common
    described = {"kind": "per-entity", "common": common, "entities": dict(own)}
    return _load(_PER_ENTITY, LearnerSettings).model_validate(described)


def task_settings(source: str) -> type[TaskSettings]:
    """The settings class of a task source; ValueError names the known sources."""
    return _look_up("task source", _TASKS, source, TaskSettings)


def metric_settings(name: str) -> type[MetricSettings]:
    """The settings class of a metric; ValueError names the known metrics."""
    return _look_up("metric", _METRICS, name, MetricSettings)


def filter_settings(name: str) -> type[FilterSettings]:
    """The settings class of a filter of the pool; ValueError names the known filters."""
    return _look_up("filter", _FILTERS, name, FilterSettings)


def _look_up(what: str, table: Mapping[str, str], name: object, base: type[S]) -> type[S]:
    if not isinstance(name, str) or name not in table:
        close = difflib.get_close_matches(str(name), table, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"unknown {what} {name!r}{hint} (known: {', '.join(sorted(table))})")
    return _load(table[name], base)


def _load(home: str, base: type[S]) -> type[S]:
    module, _, attribute = home.partition(":")
    found = getattr(import_module(module), attribute)
    if not issubclass(found, base):
        raise TypeError(f"{home} is not a {base.__name__}")
    return cast("type[S]", found)
