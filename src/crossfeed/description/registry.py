"""The registry of names in descriptions: learners by `kind`, task sources by `source`, other parts by name.

Each entry is ``module:SettingsClass``; the module is imported when the name is first used, and none of them may
import torch at that point. To add an entry to crossfeed, write the settings class and add a line here (see
CONTRIBUTING.md).

Other packages register theirs as entry points, in the groups ``crossfeed.learners``, ``crossfeed.tasks``,
``crossfeed.metrics``, ``crossfeed.filters`` and ``crossfeed.rewards`` (where a plain function will do); they are
imported only when they are named, or when all keys are listed. No package can take a name that crossfeed or another
package has.
"""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from types import FunctionType, MappingProxyType
from typing import Any, Final, TypeVar, cast

from crossfeed.description.missing import may_be_missing, missing_settings
from crossfeed.settings import (
    FilterSettings,
    Frozen,
    LearnerSettings,
    Measure,
    MetricSettings,
    RewardSettings,
    TaskSettings,
    measures_of,
)

__all__ = [
    "built_in_measures",
    "built_in_names",
    "combined_learner",
    "filter_settings",
    "learner_settings",
    "metric_settings",
    "plugin_names",
    "plugin_packages",
    "reward_settings",
    "settings_of",
    "task_settings",
]

_LEARNERS: Final = {
    "captions": "crossfeed.learners.captions.settings:CaptionsSettings",
    "categorical": "crossfeed.learners.categorical.settings:CategoricalSettings",
    "fake": "crossfeed.learners.fake:FakeSettings",
    "gaussian": "crossfeed.learners.density.settings:GaussianSettings",
    "glm": "crossfeed.learners.regression.settings:GlmSettings",
    "gmm": "crossfeed.learners.density.settings:GmmSettings",
    "images": "crossfeed.learners.images.settings:ImagesSettings",
    "kde": "crossfeed.learners.density.settings:KdeSettings",
    "language": "crossfeed.learners.language.settings:LanguageSettings",
    "linear": "crossfeed.learners.regression.settings:LinearSettings",
    "ngram": "crossfeed.learners.ngram.settings:NgramSettings",
}
_PER_ENTITY: Final = "crossfeed.learners.per_entity:PerEntitySettings"
_TASKS: Final = {
    "fake": "crossfeed.learners.fake:FakeTaskSettings",
    "facts": "crossfeed.tasks.builtin:FactsSettings",
    "math": "crossfeed.tasks.builtin:MathSettings",
    "regression": "crossfeed.tasks.regression:RegressionSettings",
    "gaussian": "crossfeed.tasks.samples:GaussianSamplesSettings",
    "mixture": "crossfeed.tasks.samples:MixtureSamplesSettings",
    "columns": "crossfeed.tasks.columns:ColumnsSettings",
    "categorical": "crossfeed.tasks.categorical:CategoricalTaskSettings",
    "digits": "crossfeed.tasks.images_sources:DigitsSettings",
    "images": "crossfeed.tasks.images_sources:ImageFilesSettings",
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
# In this order metrics stand in tables and reports.
_METRICS: Final = {
    "loss": "crossfeed.metrics.loss:LossSettings",
    "completion_loss": "crossfeed.metrics.loss:CompletionLossSettings",
    "bits_per_byte": "crossfeed.metrics.loss:BitsPerByteSettings",
    "perplexity": "crossfeed.metrics.loss:PerplexitySettings",
    "tail_loss": "crossfeed.metrics.tail:TailLossSettings",
    "accuracy": "crossfeed.metrics.accuracy:AccuracySettings",
    "reward": "crossfeed.metrics.reward:RewardMetricSettings",
    "similarity": "crossfeed.metrics.similarity:SimilaritySettings",
    "centred_similarity": "crossfeed.metrics.centred_similarity:CentredSimilaritySettings",
    "model_distance": "crossfeed.metrics.model_distance:ModelDistanceSettings",
    "self_similarity": "crossfeed.metrics.self_similarity:SelfSimilaritySettings",
    "variety": "crossfeed.metrics.variety:VarietySettings",
    "caption_match": "crossfeed.metrics.caption_match:CaptionMatchSettings",
    "frechet": "crossfeed.metrics.frechet:FrechetSettings",
    "precision_recall": "crossfeed.metrics.manifold:PrecisionRecallSettings",
    "density_coverage": "crossfeed.metrics.manifold:DensityCoverageSettings",
    "mauve": "crossfeed.metrics.mauve:MauveSettings",
    "distinct": "crossfeed.metrics.diversity:DistinctSettings",
    "repetition": "crossfeed.metrics.repetition:RepetitionSettings",
    "homogenisation": "crossfeed.metrics.homogenisation:HomogenisationSettings",
    "copying": "crossfeed.metrics.copying:CopyingSettings",
    "length": "crossfeed.metrics.length:LengthSettings",
    "projection": "crossfeed.metrics.projection:ProjectionSettings",
    "energy_distance": "crossfeed.metrics.energy:EnergyDistanceSettings",
    "wasserstein": "crossfeed.metrics.wasserstein:WassersteinSettings",
    "heterozygosity": "crossfeed.metrics.symbols:HeterozygositySettings",
    "surviving_symbols": "crossfeed.metrics.symbols:SurvivingSymbolsSettings",
    "entropy": "crossfeed.metrics.symbols:EntropySettings",
    "unseen_ngrams": "crossfeed.metrics.unseen_ngrams:UnseenNgramsSettings",
    "total_variation": "crossfeed.metrics.symbols:TotalVariationSettings",
}
_FILTERS: Final = {
    "best": "crossfeed.filters.best:BestSettings",
    "detector": "crossfeed.filters.detector:DetectorSettings",
    "duplicates": "crossfeed.filters.duplicates:DuplicatesSettings",
    "exact_answer": "crossfeed.filters.exact_answer:ExactAnswerSettings",
    "loss": "crossfeed.filters.loss:LossFilterSettings",
    "verifier": "crossfeed.filters.verifier:VerifierSettings",
}
_REWARDS: Final = {
    "answer": "crossfeed.rewards.answer:AnswerSettings",
    "class_probability": "crossfeed.rewards.class_probability:ClassProbabilitySettings",
    "distance": "crossfeed.rewards.distance:DistanceSettings",
    "length": "crossfeed.rewards.length:LengthRewardSettings",
    "likelihood": "crossfeed.rewards.likelihood:LikelihoodSettings",
    "linear": "crossfeed.rewards.on_points:LinearRewardSettings",
    "quadratic": "crossfeed.rewards.on_points:QuadraticRewardSettings",
    "similarity": "crossfeed.rewards.similarity:SimilaritySettings",
    "symbols": "crossfeed.rewards.symbols:SymbolsSettings",
}
_FUNCTION: Final = "crossfeed.rewards.function:function_reward"
"""Makes settings of a reward that is registered as a plain function."""

_BUILT_IN: Final = {
    "learner": _LEARNERS,
    "task": _TASKS,
    "metric": _METRICS,
    "filter": _FILTERS,
    "reward": _REWARDS,
}
_GROUPS: Final = tuple(f"crossfeed.{group}s" for group in _BUILT_IN)
S = TypeVar("S", bound=Frozen)


def learner_settings(kind: str) -> type[LearnerSettings]:
    """Return the settings class of a learner.

    Args:
        kind: The learner's kind.

    Returns:
        The settings class.

    Raises:
        ValueError: The kind is unknown, and the message lists all; or its package cannot be used.
    """
    return _look_up("learner kind", _LEARNERS, "crossfeed.learners", kind, LearnerSettings)


def combined_learner(common: LearnerSettings, own: Mapping[str, LearnerSettings]) -> LearnerSettings:
    """Return one learner for entities that may differ.

    Args:
        common: The experiment's learner; outputs of all entities are embedded by it.
        own: Each entity's learner, by the entity's name.

    Returns:
        The common learner if it is every entity's, else one that tells them apart.
    """
    if all(each == common for each in own.values()):
        return common
    described = {"kind": "per-entity", "common": common, "entities": dict(own)}
    return _load(_PER_ENTITY, LearnerSettings).model_validate(described)


def task_settings(source: str) -> type[TaskSettings]:
    """Return the settings class of a task source.

    Args:
        source: The source's name.

    Returns:
        The settings class.

    Raises:
        ValueError: The source is unknown, and the message lists all; or its package cannot be used.
    """
    return _look_up("task source", _TASKS, "crossfeed.tasks", source, TaskSettings)


def metric_settings(name: str) -> type[MetricSettings]:
    """Return the settings class of a metric; ValueError names the known metrics.

    Args:
        name: Its name in a description.
    """
    return _look_up("metric", _METRICS, "crossfeed.metrics", name, MetricSettings)


@cache
def built_in_measures() -> Mapping[str, Measure]:
    """Return the declarations of crossfeed's own metrics by the names in the records, in the registry's order."""
    return MappingProxyType(measures_of({name: metric_settings(name) for name in _METRICS}))


def filter_settings(name: str) -> type[FilterSettings]:
    """Return the settings class of a filter of the pool.

    Args:
        name: The filter's name.

    Returns:
        The settings class.

    Raises:
        ValueError: The name is unknown, and the message lists all; or its package cannot be used.
    """
    return _look_up("filter", _FILTERS, "crossfeed.filters", name, FilterSettings)


def reward_settings(name: str) -> type[RewardSettings]:
    """Return the settings class of a reward; ValueError names the known rewards.

    Args:
        name: Its name in a description.
    """
    return _look_up("reward", _REWARDS, "crossfeed.rewards", name, RewardSettings)


def built_in_names(group: str) -> tuple[str, ...]:
    """Return the names of crossfeed's own kinds of a group, in the registry's order.

    Args:
        group: ``learner``, ``task``, ``metric``, ``filter`` or ``reward``.
    """
    return tuple(_BUILT_IN[group])


def plugin_names(group: str) -> tuple[str, ...]:
    """Return the names that other installed packages register in a group, sorted; none of them is imported.

    Args:
        group: ``learner``, ``task``, ``metric``, ``filter`` or ``reward``.
    """
    return tuple(sorted(_plugins(f"crossfeed.{group}s")))


def settings_of(group: str, name: str) -> type[Frozen]:
    """Return the settings class of a name in a group.

    Args:
        group: ``learner``, ``task``, ``metric``, ``filter`` or ``reward``.
        name: The name.

    Raises:
        ValueError: The name is unknown, or its package cannot be used.
    """
    look_up: dict[str, Callable[[str], type[Frozen]]] = {
        "learner": learner_settings,
        "task": task_settings,
        "metric": metric_settings,
        "filter": filter_settings,
        "reward": reward_settings,
    }
    return look_up[group](name)


def plugin_packages() -> dict[str, str]:
    """Return names and versions of the packages that register something."""
    entries = (entry for group in _GROUPS for registered in _plugins(group).values() for entry in registered)
    return {entry.dist.name: entry.dist.version for entry in entries if entry.dist is not None}


def _look_up(what: str, table: Mapping[str, str], group: str, name: object, base: type[S]) -> type[S]:
    try:
        return _found(what, table, group, name, base)
    except ValueError:
        if not may_be_missing() or not isinstance(name, str) or name in table:
            raise
        return missing_settings(base)


def _found(what: str, table: Mapping[str, str], group: str, name: object, base: type[S]) -> type[S]:
    plugins = _plugins(group)
    if not isinstance(name, str) or (name not in table and name not in plugins):
        known = sorted({*table, *plugins})
        close = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(
            f"unknown {what} {name!r}{hint} (known: {', '.join(known)}); one of another package is known once that "
            "package is installed"
        )
    registered = plugins.get(name, ())
    if name in table and registered:
        raise ValueError(
            f"{what} {name!r} is crossfeed's own, and {_package(registered[0])} registers another one by that name "
            f"under {group}; rename it there, or uninstall that package"
        )
    if len(registered) > 1:
        raise ValueError(
            f"{what} {name!r} is registered under {group} by {' and by '.join(map(_package, registered))}; rename one, "
            "or uninstall one of the packages"
        )
    return _plugged(what, registered[0], base) if registered else _load(table[name], base)


def _plugged(what: str, entry: EntryPoint, base: type[S]) -> type[S]:
    """Return the settings class that a package registers."""
    where = f"{what} {entry.name!r} of {_package(entry)}"
    try:
        settings = entry.load()
    except Exception as error:  # a foreign module may raise anything when it is imported
        raise ValueError(
            f"{where} cannot be imported from {entry.value} ({type(error).__name__}: {error}); mend or uninstall that "
            "package, or install what it needs"
        ) from error
    if base is RewardSettings and isinstance(settings, FunctionType):
        return cast("type[S]", _named(_FUNCTION)(entry.name, settings))
    if not isinstance(settings, type) or not issubclass(settings, base):
        or_function = ", or a function" if base is RewardSettings else ""
        raise ValueError(
            f"{where}: {entry.value} is no subclass of crossfeed.settings.{base.__name__}; register one{or_function}"
        )
    return settings


def _package(entry: EntryPoint) -> str:
    return "a package without a name" if entry.dist is None else f"the package {entry.dist.name} {entry.dist.version}"


def _plugins(group: str) -> Mapping[str, tuple[EntryPoint, ...]]:
    """Return the entries that installed packages register in a group, by name."""
    return _registered(tuple(sys.path))[group]


@cache
def _registered(path: tuple[str, ...]) -> Mapping[str, Mapping[str, tuple[EntryPoint, ...]]]:
    """Return all registered entries, by group and name; they are looked up once for each search path."""
    return {group: _by_name(entry_points(group=group)) for group in _GROUPS}


def _by_name(entries: EntryPoints) -> dict[str, tuple[EntryPoint, ...]]:
    names = dict.fromkeys(entry.name for entry in entries)
    return {name: tuple(entry for entry in entries if entry.name == name) for name in names}


def _named(home: str) -> Any:
    """Return what ``module:name`` names."""
    module, _, attribute = home.partition(":")
    return getattr(import_module(module), attribute)


def _load(home: str, base: type[S]) -> type[S]:
    settings = _named(home)
    if not issubclass(settings, base):
        raise TypeError(f"{home} is not a {base.__name__}")
    return cast("type[S]", settings)
