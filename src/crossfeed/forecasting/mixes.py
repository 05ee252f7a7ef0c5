"""The best mix of an ecosystem by its surrogate, for an objective of the models' last losses on private tasks.

A private task is one that some entity owns. A model's number is its mean loss over them, as far as they are measured;
the objective is the mean over the models, the worst of them, or one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from crossfeed.description.experiment import Experiment
from crossfeed.forecasting.answer import Best
from crossfeed.forecasting.bands import NORMAL_80, band_deviation
from crossfeed.forecasting.ecology import Conditions
from crossfeed.forecasting.identification import Identified
from crossfeed.protocols import Array
from crossfeed.theory import Objective

__all__ = [
    "Judged",
    "best_common",
    "best_own",
    "dispersion",
    "entity_losses",
    "fitted_deviations",
    "judged",
    "mixed",
    "objective_value",
    "private_losses",
]

_COARSE: Final = (np.linspace(0, 1, 21), np.linspace(0, 1, 11))
_NEAR: Final = (np.linspace(-0.05, 0.05, 11), np.linspace(-0.1, 0.1, 11))
_OF_ONE: Final = (np.linspace(0, 1, 11), np.linspace(0, 1, 6))
_ROUNDS: Final = 3
_AT_ONCE: Final = 33  # cells whose bands are computed together, so that all derivatives fit into memory


@dataclass(frozen=True, eq=False)
class Judged:
    """Last losses of a mix, summed up.

    Attributes:
        value: The objective.
        lower: Lower end of its 80 % band.
        upper: Upper end of its 80 % band.
        entities: ``(3, K)`` every model's mean over private tasks, and the ends of its 80 % band.
        dispersion: How unlike the models are; see `dispersion`.
        extrapolated: True if some task gets no real data (see `crossfeed.forecasting.ecology.Conditions.neglects`).
    """

    value: float
    lower: float
    upper: float
    entities: Array
    dispersion: float
    extrapolated: bool


def mixed(like: Conditions, experiment: Experiment, own: Sequence[int], alpha: Array, beta: Array) -> Conditions:
    """Return the conditions of a cell with other weights, the same at all generations.

    Args:
        like: The conditions of a cell.
        experiment: The cell's experiment.
        own: Index of each entity's private task.
        alpha: ``(K,)`` shares of synthetic data.
        beta: ``(K,)`` private shares of the real data.
    """
    ecosystem = experiment.ecosystem
    fresh, entities = ecosystem.fresh_fraction, np.arange(len(own))
    real = np.zeros(like.real.shape[1:])
    real[:, -1] = (1 - alpha) * (1 - beta) + alpha * fresh
    real[entities, own] += (1 - alpha) * beta
    network = ecosystem.network
    reading = ecosystem.shares if network is None else network
    synthetic = alpha[:, None] * (1 - fresh) * reading
    generations = like.generations
    return Conditions(
        np.repeat(real[None], generations, axis=0),
        np.repeat(synthetic[None], generations, axis=0),
        like.steps,
        like.accumulates,
    )


def private_losses(losses: Array, own: Sequence[int]) -> Array:
    """Return every model's losses on the tasks that some entity owns, as far as they are measured.

    Args:
        losses: ``(K, Q)`` losses; nan where they are not measured.
        own: Index of each entity's private task.

    Returns:
        The losses, in one row.
    """
    private = losses[:, sorted(set(own))]
    return private[np.isfinite(private)]


def entity_losses(losses: Array, own: Sequence[int]) -> Array:
    """Return every model's mean loss on private tasks.

    Args:
        losses: ``(K, Q)`` losses; nan where they are not measured.
        own: Index of each entity's private task.

    Returns:
        ``(K,)`` means over what is measured.
    """
    means: Array = np.nanmean(losses[:, sorted(set(own))], axis=1)
    return means


def dispersion(losses: Array, own: Sequence[int]) -> float:
    r"""Return how unlike the models are, as far as their losses tell.

    With the loss :math:`L_{ks}` of model k on private task s it is
    :math:`\frac1S \sum_s \sqrt{\frac1K \sum_k (L_{ks} - \bar L_s)^2}`, in the unit of the loss: 0 where all models
    are equally good at everything, which equal models are, and other models may be.

    Args:
        losses: ``(K, Q)`` losses; nan where they are not measured.
        own: Index of each entity's private task.

    Returns:
        The mean over the private tasks that two models or more are measured on; nan if there are none.
    """
    private = losses[:, sorted(set(own))]
    several = np.isfinite(private).sum(axis=0) > 1
    return float(np.nanstd(private[:, several], axis=0).mean()) if several.any() else np.nan


def judged(
    identified: Identified,
    cells: Sequence[Conditions],
    own: Sequence[int],
    objective: Objective = "mean",
    fitted: Sequence[Array] | None = None,
) -> list[Judged]:
    """Forecast mixes and sum up their last losses, with bands.

    Args:
        identified: The surrogate.
        cells: What the models of each mix train on.
        own: Index of each entity's private task.
        objective: ``mean``, ``worst`` or an entity's number.
        fitted: What `fitted_deviations` returns of them, which takes nearly all of the time; default: it is computed.

    Returns:
        One for each mix.
    """
    known = fitted_deviations(identified, cells) if fitted is None else fitted
    several = zip(cells, identified.forecast(cells), known, strict=True)
    return [_judged(identified, there, losses[-1], each, own, objective) for there, losses, each in several]


def fitted_deviations(identified: Identified, cells: Sequence[Conditions]) -> list[Array]:
    """Return how sure last losses are as far as the parameters go.

    Args:
        identified: The surrogate.
        cells: What the models of each mix train on.

    Returns:
        For each mix ``(K, Q)`` standard deviations of the logarithms.
    """
    found: list[Array] = []
    for first in range(0, len(cells), _AT_ONCE):
        found += [each[-1] for each in identified.deviations(cells[first : first + _AT_ONCE])]
    return found


def objective_value(losses: Array, own: Sequence[int], objective: Objective) -> float:
    """Return what is made least.

    Args:
        losses: ``(K, Q)`` last losses; nan where they are not measured.
        own: Index of each entity's private task.
        objective: ``mean``, ``worst`` or an entity's number.
    """
    return float(_counted(losses, losses, own, objective).mean())


def best_common(
    identified: Identified,
    like: Conditions,
    experiment: Experiment,
    own: Sequence[int],
    objective: Objective = "mean",
) -> Best:
    """Find the alpha and beta that all entities share.

    Args:
        identified: The surrogate.
        like: The conditions of the first cell.
        experiment: Its experiment.
        own: Index of each entity's private task.
        objective: ``mean``, ``worst`` or an entity's number: what is made least.

    Returns:
        The best mix.
    """
    ones = np.ones(len(own))

    def conditions(alpha: float, beta: float) -> Conditions:
        return mixed(like, experiment, own, alpha * ones, beta * ones)

    at = _least(identified, own, objective, conditions, *_COARSE)
    near = [np.unique(np.clip(center + steps, 0, 1)) for center, steps in zip(at, _NEAR, strict=True)]
    alpha, beta = _least(identified, own, objective, conditions, *near)
    return _best(identified, like, experiment, own, objective, alpha * ones, beta * ones)


def best_own(
    identified: Identified,
    like: Conditions,
    experiment: Experiment,
    own: Sequence[int],
    begin: Best,
    objective: Objective = "mean",
) -> Best:
    """Find each entity's own alpha and beta, entity by entity and in several rounds; the objective is one for all.

    Args:
        identified: The surrogate.
        like: The conditions of the first cell.
        experiment: Its experiment.
        own: Index of each entity's private task.
        begin: The best common mix, from which the search begins.
        objective: ``mean``, ``worst`` or an entity's number: what is made least.

    Returns:
        The best mix.
    """
    alpha, beta = (np.array(list(values.values())) for values in (begin.alpha, begin.beta))
    for _ in range(_ROUNDS):
        before = alpha.copy(), beta.copy()
        for k in range(len(own)):

            def conditions(a: float, b: float, k: int = k) -> Conditions:
                alphas, betas = alpha.copy(), beta.copy()
                alphas[k], betas[k] = a, b
                return mixed(like, experiment, own, alphas, betas)

            now = alpha[k], beta[k]
            alphas, betas = (np.unique(np.append(grid, each)) for grid, each in zip(_OF_ONE, now, strict=True))
            alpha[k], beta[k] = _least(identified, own, objective, conditions, alphas, betas)
        if (alpha == before[0]).all() and (beta == before[1]).all():
            break
    return _best(identified, like, experiment, own, objective, alpha, beta)


def _least(
    identified: Identified,
    own: Sequence[int],
    objective: Objective,
    conditions: Callable[[float, float], Conditions],
    alphas: Array,
    betas: Array,
) -> tuple[float, float]:
    places = [(float(a), float(b)) for a in alphas for b in (betas if a < 1 else betas[:1])]
    forecasts = identified.forecast([conditions(*place) for place in places])
    return places[int(np.argmin([objective_value(each[-1], own, objective) for each in forecasts]))]


def _counted(numbers: Array, losses: Array, own: Sequence[int], objective: Objective) -> Array:
    """Return the numbers of the models and private tasks whose mean loss is the objective, in one row.

    Args:
        numbers: ``(K, Q)`` numbers: the losses, or something of each of them.
        losses: ``(K, Q)`` losses, which decide which model is the worst.
        own: Index of each entity's private task.
        objective: ``mean``, ``worst`` or an entity's number.
    """
    if objective == "mean":
        return private_losses(numbers, own)
    k = int(np.argmax(entity_losses(losses, own))) if objective == "worst" else objective
    return private_losses(numbers[k : k + 1], own)


def _judged(
    identified: Identified,
    there: Conditions,
    losses: Array,
    fitted: Array,
    own: Sequence[int],
    objective: Objective,
) -> Judged:
    """Sum up the ``(K, Q)`` last losses of a mix, whose logarithms have standard deviations by the fit."""
    observations = identified.observations
    neglects = there.neglects(observations.ecology.own, observations.ecology.public)
    deviations = band_deviation(fitted, np.abs(np.log(losses / observations.first)), neglects=neglects)

    def banded(which: Objective) -> tuple[float, float, float]:
        # Errors of the losses may all go the same way: their deviations are averaged, not those of their mean.
        value = objective_value(losses, own, which)
        spread = float(np.exp(NORMAL_80 * _counted(deviations, losses, own, which).mean()))
        return value, value / spread, value * spread

    entities = np.array([banded(k) for k in range(len(own))]).T
    return Judged(*banded(objective), entities, dispersion(losses, own), neglects)


def _best(
    identified: Identified,
    like: Conditions,
    experiment: Experiment,
    own: Sequence[int],
    objective: Objective,
    alpha: Array,
    beta: Array,
) -> Best:
    names, there = experiment.ecosystem.names, mixed(like, experiment, own, alpha, beta)
    described, found = judged(identified, [like, there], own, objective)
    return Best(
        alpha=dict(zip(names, alpha.tolist(), strict=True)),
        beta=dict(zip(names, beta.tolist(), strict=True)),
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        described=described.value,
    )
