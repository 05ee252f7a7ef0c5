"""Choice among candidates in an experiment of discrete models, as an iterated operator without sampling noise.

| description | theory |
|---|---|
| ``preference``: reward, ``best_of``, ``rule``, ``temperature`` | the tastes, of whoever judges: author or reader |
| ``own``, ``others`` | the share that is chosen of what a reader reads of itself and of others |
| the learner's ``temperature`` and ``prior`` | the same names |

| metric | of | what it is |
|---|---|---|
| ``reward`` | each model | expected reward of its items by its own taste |
| ``entropy``, ``heterozygosity`` | each model | of its distribution |
| ``total_variation`` | each model and task | distance from the task's truth |
| ``probability_I`` | each model | probability of symbol I; there for at most 12 symbols |

All of them are limits of training sets and pools without end: a run with n draws scatters around them, and its
averages differ by terms of the order 1/n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from crossfeed.description.experiment import Experiment
from crossfeed.description.preference import Preference
from crossfeed.errors import InvalidDescription
from crossfeed.exact.discrete import LISTED
from crossfeed.exact.discrete_ecosystem import check_world, reading_weights, truths_of
from crossfeed.exact.linear_ecosystem import settled_weights
from crossfeed.protocols import PUBLIC, Array
from crossfeed.theory.curation import CuratedEcosystem, Taste, shannon_entropy
from crossfeed.theory.tempering import tempered

__all__ = ["ENTROPY", "REWARD", "curated_ecosystem", "curated_limit", "curated_numbers"]

#: Numbers that a run measures, too.
REWARD: Final = "reward"
ENTROPY: Final = "entropy"

Numbers = Iterator[tuple[str, Array]]


def curated_numbers(experiment: Experiment) -> list[tuple[str, Array, int]]:
    """Compute every number of one cell.

    Args:
        experiment: The cell's experiment, in which somebody chooses.

    Returns:
        Metrics, their numbers of each model (K,), or of each model and task (K, M), and generations.

    Raises:
        InvalidDescription: The description has no such theory; the message states what to give instead.
    """
    told = dict(_told(experiment, curated_ecosystem(experiment).path()))
    return [(name, values[t], t) for t in range(experiment.generations + 1) for name, values in told.items()]


def curated_limit(experiment: Experiment) -> list[tuple[str, Array]] | None:
    """Compute where the models come to rest.

    Args:
        experiment: See `curated_numbers`.

    Returns:
        Metrics and their numbers; None if weights never settle, or every generation stays in the pool, or the
        iteration does not come to rest.

    Raises:
        InvalidDescription: As in `curated_numbers`.
    """
    lasting = settled_weights(experiment.ecosystem)
    if lasting is None or experiment.ecosystem.accumulates:
        return None
    eco = curated_ecosystem(experiment)
    alpha, beta = (np.stack([first, last]) for first, last in zip((eco.alpha[0], eco.beta[0]), lasting, strict=True))
    kept = None if eco.kept is None else eco.kept[[0, -1]]
    rest = replace(eco, alpha=alpha, beta=beta, kept=kept).fixed_point()
    return None if rest is None else list(_told(experiment, rest))


def _told(experiment: Experiment, models: Array) -> Numbers:
    """Yield metrics of models (..., K, d)."""
    wanted = [_rewards_of(each, models.shape[-1]) for each in experiment.ecosystem.preferences or ()]
    nobody = np.full(models.shape[-1], np.nan)
    tastes = np.stack([nobody if rewards is None else rewards for rewards in wanted])
    items = tempered(models, experiment.learner.model_dump()["temperature"])
    yield REWARD, (items * tastes).sum(axis=-1)
    yield ENTROPY, shannon_entropy(models)
    yield "heterozygosity", 1 - (models**2).sum(axis=-1)
    truths = np.stack(list(truths_of(experiment).values()))
    yield "total_variation", np.abs(models[..., None, :] - truths).sum(axis=-1) / 2
    if models.shape[-1] <= LISTED:
        for symbol in range(models.shape[-1]):
            yield f"probability_{symbol}", models[..., symbol]


def curated_ecosystem(experiment: Experiment) -> CuratedEcosystem:
    """Return the theory's description of an experiment in which items are chosen among candidates.

    Args:
        experiment: An experiment with the categorical learner, categorical tasks and `ecosystem.preference`.

    Returns:
        The ecosystem, without sampling noise.

    Raises:
        InvalidDescription: The description has no such theory.
    """
    check_world(experiment)
    truths, ecosystem = truths_of(experiment), experiment.ecosystem
    preferences = ecosystem.preferences or (None,) * len(ecosystem.names)
    d, times = len(truths[PUBLIC]), range(experiment.generations + 1)
    own = [np.sum([w * truths[task] for task, w in each.owned.items()], axis=0) for each in ecosystem.entities]
    rewards = [_rewards_of(each, d) for each in preferences]
    learner = experiment.learner.model_dump()  # by name, since this module imports no learner
    sizes = np.array([[experiment.size(t, k) for k in range(len(own))] for t in times], dtype=np.float64)
    return CuratedEcosystem(
        truths=np.stack([*own, truths[PUBLIC]]),
        alpha=np.stack([ecosystem.alphas(t) for t in times]),
        beta=np.stack([ecosystem.betas(t) for t in times]),
        reads=reading_weights(ecosystem),
        curated=np.array([_shares(preferences, k) for k in range(len(own))]),
        tastes=_tastes(preferences, rewards),
        accumulates=ecosystem.accumulates,
        fresh=ecosystem.fresh_fraction,
        temperature=learner["temperature"],
        kept=sizes / (sizes + d * learner["prior"]) if learner["prior"] > 0 else None,
    )


def _shares(preferences: Sequence[Preference | None], reader: int) -> list[float]:
    """Return the share that a reader chooses among candidates of each author."""
    preference = preferences[reader]
    if preference is None:
        return [0.0] * len(preferences)
    return [preference.own if author == reader else preference.others for author in range(len(preferences))]


def _tastes(preferences: Sequence[Preference | None], rewards: Sequence[Array | None]) -> list[list[Taste | None]]:
    """Return the tastes by which readers' items (rows) of authors (columns) are chosen: those of whoever judges."""
    everyone = range(len(preferences))
    own = [_taste(each, values) for each, values in zip(preferences, rewards, strict=True)]
    judges = ["author" if each is None else each.judge for each in preferences]
    return [[own[k if judges[k] == "reader" else j] for j in everyone] for k in everyone]


def _taste(preference: Preference | None, rewards: Array | None) -> Taste | None:
    if preference is None or rewards is None:
        return None
    candidates = np.inf if preference.best_of == "inf" else float(preference.best_of)
    return Taste(rewards, candidates, preference.rule, preference.temperature)


def _rewards_of(preference: Preference | None, symbols: int) -> Array | None:
    """Return the reward of every symbol; None for an entity without a taste."""
    if preference is None:
        return None
    if preference.drift > 0:
        raise InvalidDescription(
            f"ecosystem.preference.drift: theory has tastes that stay; received {preference.drift:g}; give 0"
        )
    total = np.zeros(symbols)
    for name, settings in preference.reward.items():
        values = settings.model_dump().get("values")
        if name != "symbols" or values is None:
            raise InvalidDescription(
                f"ecosystem.preference.reward.{name}: theory has rewards of symbols; give symbols: {{values: [...]}}"
            )
        if len(values) != symbols:
            raise InvalidDescription(
                f"ecosystem.preference.reward.symbols.values: {len(values)} numbers for {symbols} symbols; give "
                f"{symbols}"
            )
        total += settings.weight * np.array(values)
    return total
