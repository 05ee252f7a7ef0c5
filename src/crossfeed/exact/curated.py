"""Exact prediction of discrete models that train on items chosen among candidates, without sampling noise.

Training sets and pools without end make every model a distribution, and choice an operator on distributions
(`crossfeed.theory.curation`). What a run adds is the noise of its n draws, which falls with n.

| metric | of | what it is |
|---|---|---|
| ``reward`` | each model | expected reward of what it writes, by its own taste |
| ``entropy`` | each model | entropy in nats |
| ``heterozygosity`` | each model | probability that two of its items differ |
| ``total_variation`` | each model and task | total variation from the task's truth |
| ``probability_I`` | each model | probability of symbol I; there for at most 12 symbols |
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from crossfeed.description.experiment import Experiment
from crossfeed.description.preference import Preference
from crossfeed.errors import InvalidDescription
from crossfeed.exact.discrete_ecosystem import discrete_ecosystem, truths_of
from crossfeed.protocols import Array
from crossfeed.theory.curation import CuratedEcosystem, CurationPath, Taste

__all__ = ["curated_ecosystem", "curated_limit", "curated_numbers"]

#: Of at most so many symbols every probability is listed.
_LISTED = 12


def curated_numbers(experiment: Experiment) -> list[tuple[str, Array, int]]:
    """Compute every number of one cell.

    Args:
        experiment: The cell's experiment, in which somebody chooses.

    Returns:
        Metrics, their numbers of each model (K,), or of each model and task (K, M), and generations.

    Raises:
        InvalidDescription: The description has no exact theory of choice.
    """
    path = curated_ecosystem(experiment).path()
    told = dict(_told(path, np.stack(list(truths_of(experiment).values()))))
    return [(name, values[t], t) for t in range(experiment.generations + 1) for name, values in told.items()]


def curated_limit(experiment: Experiment) -> list[tuple[str, Array]] | None:
    """Compute where the models come to rest under the weights of the last generation.

    Args:
        experiment: See `curated_numbers`.

    Returns:
        Metrics and their numbers; None if they have not come to rest.

    Raises:
        InvalidDescription: The description has no exact theory of choice.
    """
    found = curated_ecosystem(experiment).fixed_point()
    return None if found is None else list(_told(found, np.stack(list(truths_of(experiment).values()))))


def curated_ecosystem(experiment: Experiment) -> CuratedEcosystem:
    """Return the theory's description of an experiment.

    Args:
        experiment: An experiment with the categorical learner and tasks, in which somebody chooses.

    Raises:
        InvalidDescription: The description has no exact theory of choice.
    """
    eco, preferences = discrete_ecosystem(experiment), experiment.ecosystem.preferences
    assert preferences is not None  # noqa: S101 - for the type checker; see the docstring
    for problem in _problems(experiment, preferences):
        raise InvalidDescription(problem)
    judges = {each.judge for each in preferences if each is not None}
    of_all = range(len(preferences))
    return CuratedEcosystem(
        truths=eco.truths,
        alpha=eco.alpha,
        beta=eco.beta,
        reads=eco.reads,
        curated=np.array([[_share(preferences, j, k) for j in of_all] for k in of_all]),
        tastes=[_taste(each, eco.symbols) for each in preferences],
        chooser=next(iter(judges)),
    )


def _share(preferences: tuple[Preference | None, ...], author: int, reader: int) -> float:
    """Return the share of what a reader reads of an author that is chosen."""
    own = preferences[reader]
    if own is None or preferences[author if own.judge == "author" else reader] is None:
        return 0.0
    return own.own if author == reader else own.others


def _taste(preference: Preference | None, symbols: int) -> Taste:
    if preference is None:
        return Taste(np.zeros(symbols), 1)
    rewards = np.zeros(symbols)
    for each in preference.reward.values():
        # By name, since this module imports no reward: the settings of the kind "symbols" have this field.
        rewards += each.weight * np.array(each.model_dump()["values"])
    candidates = np.inf if preference.best_of == "inf" else float(preference.best_of)
    return Taste(rewards, candidates, preference.rule, preference.temperature)


def _problems(experiment: Experiment, preferences: tuple[Preference | None, ...]) -> Iterator[str]:
    """Yield what the theory of choice does not describe."""
    ecosystem, learner = experiment.ecosystem, experiment.learner.model_dump()
    known = [each for each in preferences if each is not None]
    symbols = len(next(iter(truths_of(experiment).values())))
    for each in known:
        others = [name for name in each.reward if name != "symbols"]
        if others:
            yield (
                f"ecosystem.preference.reward: theory knows the rewards of symbols alone; received "
                f"{', '.join(others)}; give {{symbols: {{values: [...]}}}}"
            )
        elif len(each.reward["symbols"].model_dump()["values"]) != symbols:
            yield f"ecosystem.preference.reward.symbols.values: give {symbols} numbers, one for each symbol"
        if each.drift > 0:
            yield "ecosystem.preference.drift: theory knows tastes that stay; give drift: 0"
    if len({each.judge for each in known}) > 1:
        yield "ecosystem.preference.judge: theory has authors that judge, or readers; give one of them for all"
    if ecosystem.accumulates or ecosystem.fresh_fraction > 0:
        yield (
            "ecosystem.preference: theory of choice is of the newest pool without human items; leave history and "
            "fresh_fraction out"
        )
    if learner["prior"] > 0 or learner["reads"] != "draws":
        yield "ecosystem.preference: theory of choice is of models of their draws alone; give prior: 0, reads: draws"


def _told(path: CurationPath, truths: Array) -> Iterator[tuple[str, Array]]:
    """Yield metrics with their numbers, of one generation or of all."""
    models = path.distributions
    yield "reward", path.rewards
    yield "entropy", path.entropy
    yield "heterozygosity", 1.0 - (models**2).sum(axis=-1)
    yield "total_variation", 0.5 * np.abs(models[..., None, :] - truths).sum(axis=-1)
    if models.shape[-1] <= _LISTED:
        for symbol in range(models.shape[-1]):
            yield f"probability_{symbol}", models[..., symbol]
