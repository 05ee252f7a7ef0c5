"""The best mix of an ecosystem by its surrogate: the one with the least mean loss of all models on private tasks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from crossfeed.description.experiment import Experiment
from crossfeed.forecasting.answer import Best
from crossfeed.forecasting.bands import NORMAL_80, band_deviation
from crossfeed.forecasting.ecology import Conditions
from crossfeed.forecasting.identification import Identified
from crossfeed.protocols import Array

__all__ = ["best_common", "best_own", "mixed", "private_losses"]

_COARSE: Final = (np.linspace(0, 1, 21), np.linspace(0, 1, 11))
_NEAR: Final = (np.linspace(-0.05, 0.05, 11), np.linspace(-0.1, 0.1, 11))
_OF_ONE: Final = (np.linspace(0, 1, 11), np.linspace(0, 1, 6))
_ROUNDS: Final = 3


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
    synthetic = alpha[:, None] * (1 - fresh) * ecosystem.shares
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


def best_common(identified: Identified, like: Conditions, experiment: Experiment, own: Sequence[int]) -> Best:
    """Find the alpha and beta that all entities share.

    Args:
        identified: The surrogate.
        like: The conditions of the first cell.
        experiment: Its experiment.
        own: Index of each entity's private task.

    Returns:
        The best mix.
    """
    ones = np.ones(len(own))

    def conditions(alpha: float, beta: float) -> Conditions:
        return mixed(like, experiment, own, alpha * ones, beta * ones)

    at = _least(identified, own, conditions, *_COARSE)
    near = [np.unique(np.clip(center + steps, 0, 1)) for center, steps in zip(at, _NEAR, strict=True)]
    alpha, beta = _least(identified, own, conditions, *near)
    return _best(identified, like, experiment, own, alpha * ones, beta * ones)


def best_own(identified: Identified, like: Conditions, experiment: Experiment, own: Sequence[int], begin: Best) -> Best:
    """Find each entity's own alpha and beta, entity by entity and in several rounds; the mean over all counts.

    Args:
        identified: The surrogate.
        like: The conditions of the first cell.
        experiment: Its experiment.
        own: Index of each entity's private task.
        begin: The best common mix, from which the search begins.

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
            alpha[k], beta[k] = _least(identified, own, conditions, alphas, betas)
        if (alpha == before[0]).all() and (beta == before[1]).all():
            break
    return _best(identified, like, experiment, own, alpha, beta)


def _least(
    identified: Identified,
    own: Sequence[int],
    conditions: Callable[[float, float], Conditions],
    alphas: Array,
    betas: Array,
) -> tuple[float, float]:
    places = [(float(a), float(b)) for a in alphas for b in (betas if a < 1 else betas[:1])]
    forecasts = identified.forecast([conditions(*place) for place in places])
    return places[int(np.argmin([private_losses(each[-1], own).mean() for each in forecasts]))]


def _best(
    identified: Identified, like: Conditions, experiment: Experiment, own: Sequence[int], alpha: Array, beta: Array
) -> Best:
    names, there = experiment.ecosystem.names, mixed(like, experiment, own, alpha, beta)
    described, losses = (private_losses(each[-1], own) for each in identified.forecast([like, there]))
    (deviations,) = identified.deviations([there])
    moved = np.abs(np.log(losses / private_losses(identified.observations.first, own)))
    public = identified.observations.ecology.public
    neglects = there.neglects(identified.observations.ecology.own, public)
    # Errors of the losses may all go the same way: their deviations are averaged, not those of their mean.
    deviation = float(band_deviation(private_losses(deviations[-1], own), moved, neglects=neglects).mean())
    value = float(losses.mean())
    ends = (value * float(np.exp(sign * NORMAL_80 * deviation)) for sign in (-1, 1))
    lower, upper = ends
    return Best(
        alpha=dict(zip(names, alpha.tolist(), strict=True)),
        beta=dict(zip(names, beta.tolist(), strict=True)),
        value=value,
        lower=lower,
        upper=upper,
        described=float(described.mean()),
    )
