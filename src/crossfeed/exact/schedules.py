"""The best schedule of weights over a finite number of generations, beside weights that stay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from crossfeed.theory import Criterion, LinearEcosystem, Weights
from crossfeed.theory.schedules import Over, Schedule, best_schedule, schedule_value

__all__ = ["HorizonPlan", "horizon_plan"]


@dataclass(frozen=True)
class HorizonPlan:
    """The best weights over T generations.

    Attributes:
        horizon: T.
        over: ``last``: the error of generation T is minimised; ``mean``: the mean over generations 1 to T.
        best: The best schedule that was found.
        prices: ``where, value, price``: the objective under the schedule, under the best constant weights and under
            those that were compared, and its relative excess over the schedule's.
        weights: ``generation, model, alpha, beta, mse``: the schedule, a row for each generation and model.
    """

    horizon: int
    over: str
    best: Schedule
    prices: pd.DataFrame
    weights: pd.DataFrame


def horizon_plan(
    eco: LinearEcosystem,
    names: Sequence[str],
    horizon: int,
    over: Over,
    free: Collection[str],
    criterion: Criterion,
    *,
    per_entity: bool,
    held: Collection[int],
    compared: dict[str, Weights],
) -> HorizonPlan:
    """Search the best schedule and the best constant weights, and compare others with them.

    Args:
        eco: The ecosystem under its lasting weights.
        names: Names of the entities.
        horizon: T.
        over: Which generations' errors count.
        free: What may be chosen.
        criterion: What is minimised.
        per_entity: Whether alpha and beta are each entity's own.
        held: Numbers of the entities that keep theirs.
        compared: Constant weights by name.

    Returns:
        The plan.

    Raises:
        InvalidInput: The horizon is no whole number above 0, or no weights give a finite error.
    """
    asked = {"over": over, "per_entity": per_entity, "held": held, "starts": list(compared.values())}
    constant = best_schedule(eco, horizon, free, criterion, constant=True, **asked)  # type: ignore[arg-type]
    best = best_schedule(eco, horizon, free, criterion, **asked)  # type: ignore[arg-type]
    values = {"schedule": best.value, "constant": constant.value}
    values |= {name: schedule_value(eco, horizon, weights, criterion, over) for name, weights in compared.items()}
    prices = pd.DataFrame({"where": list(values), "value": list(values.values())})
    generations, count = horizon + 1, len(names)
    weights = pd.DataFrame(
        {
            "generation": np.repeat(np.arange(generations), count),
            "model": list(names) * generations,
            "alpha": best.alpha.ravel(),
            "beta": best.beta.ravel(),
            "mse": best.mse.ravel(),
        }
    )
    return HorizonPlan(horizon, over, best, prices.assign(price=prices["value"] / best.value - 1.0), weights)
