"""The best weights of an experiment in the limit, the price of other weights, and selfish play.

The description's own alpha and beta are one of the points compared; everything else (data, shares, history, fresh data,
noise) is held fixed, and common weights (alpha, beta) in [0, 1]^2 are searched. See `crossfeed.theory.planning`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pandas as pd

from crossfeed.description.experiment import Experiment
from crossfeed.display.notebook import page
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.exact.linear_ecosystem import linear_ecosystem, settled_weights
from crossfeed.protocols import Array
from crossfeed.theory import (
    Equilibrium,
    Landscape,
    LinearEcosystem,
    Optimum,
    landscape,
    limiting_mse,
    nash_weights,
    objective_value,
    optimal_weights,
)
from crossfeed.theory.objectives import Objective

__all__ = ["Plan", "plan"]


#: The landscape's axes. Errors grow without bounds towards alpha = 1, so one more step is taken there.
_BETAS: Final = np.linspace(0.0, 1.0, 41)
_ALPHAS: Final = np.sort(np.append(_BETAS, 0.99))
_HALF: Final = np.full(1, 0.5)
_SEARCHED: Final = {"ecosystem.alpha", "ecosystem.beta"}


@dataclass(frozen=True, repr=False)
class Plan:
    """The best weights and the cost of other weights.

    Attributes:
        experiment: The experiment.
        objective: ``mean``, ``worst`` or an entity's name: the limiting MSE that is minimised.
        optimum: The best common weights and the objective there.
        landscape: The objective over common weights, in steps of 1/40; infinite where there is no limit.
        prices: ``where, alpha, beta, value, price``: the objective at the optimum, at the description's own weights
            (unless its grid varies them), at one half and one half, and at the Nash point, and its relative excess over
            the optimum's. Alpha and beta are nan where entities differ.
        entities: ``model, mse, nash_alpha, nash_beta, nash_mse``: each entity's limiting MSE at the optimum, and its
            weights and MSE at the Nash point (nan without one).
        nash: The Nash point, reached from the optimum; None where an entity has no finite reply.
    """

    experiment: Experiment
    objective: str
    optimum: Optimum
    landscape: Landscape
    prices: pd.DataFrame
    entities: pd.DataFrame
    nash: Equilibrium | None

    def __repr__(self) -> str:
        best = self.optimum
        weights = f"alpha: {best.alpha:.3f}, beta: {best.beta:.3f}"
        return f"Plan({self.experiment.name!r}, {self.objective}, {weights}, value: {best.value:.6g})"

    def _repr_html_(self) -> str:
        best = self.optimum
        facts = {"minimised": self.objective, "best alpha": f"{best.alpha:.3f}", "best beta": f"{best.beta:.3f}"}
        tables = {"The price of other weights": self.prices, "Each for itself (Nash)": self.entities}
        columns = {caption: table.to_dict("list") for caption, table in tables.items()}
        return page(f"Plan of {self.experiment.name} ({self.experiment.id})", facts, columns)


def plan(experiment: Experiment, objective: str = "mean") -> Plan:
    """Search the best common weights, and the choices of selfish entities.

    Args:
        experiment: An experiment with the linear learner and regression tasks; its grid may vary alpha and beta only.
        objective: ``mean``, ``worst`` or an entity's name: the limiting MSE to minimise.

    Returns:
        The optimum, the landscape around it, and the prices of other weights.

    Raises:
        InvalidDescription: The description has no linear theory, or its update scheme fixes alpha.
        InvalidInput: The objective is unknown, or no weights give a finite error.
        DataUnavailable: Features cannot be read.
    """
    _check(experiment)
    number = _objective(objective, experiment.ecosystem.names)
    eco = linear_ecosystem(experiment)
    ground = landscape(eco, _ALPHAS, _BETAS, number)
    best = _at_least_as_good(optimal_weights(eco, number), ground)
    social = eco.with_weights(best.alpha, best.beta)
    nash = _nash(social)
    rows = list(_priced(eco, experiment, number, best, nash))
    prices = pd.DataFrame(rows, columns=["where", "alpha", "beta", "value"])
    prices["price"] = best.price(prices["value"].to_numpy())
    return Plan(experiment, objective, best, ground, prices, _by_entity(experiment, social, nash), nash)


def _check(experiment: Experiment) -> None:
    other = [path for path in experiment.grid if path not in _SEARCHED]
    if other:
        raise InvalidDescription(
            f"grid: a plan is of one ecosystem, and {', '.join(other)} varies; choose a value with --set "
            f"{other[0]}=VALUE"
        )
    if experiment.ecosystem.update != "accumulate-and-subsample":
        raise InvalidDescription(
            f"ecosystem.update: {experiment.ecosystem.update} decides alpha, so there is nothing to search; give "
            "update: accumulate-and-subsample"
        )


def _objective(objective: str, names: tuple[str, ...]) -> Objective:
    """Return the theory's objective; names of entities come first, so that one may be called mean."""
    if objective in names:
        return names.index(objective)
    if objective == "mean":
        return "mean"
    if objective == "worst":
        return "worst"
    raise InvalidInput(f"--objective {objective}: give mean, worst or an entity: {', '.join(names)}")


def _at_least_as_good(optimum: Optimum, ground: Landscape) -> Optimum:
    """Return the optimum, or the landscape's best point where that is better."""
    i, j = np.unravel_index(np.argmin(ground.values), ground.values.shape)
    if ground.values[i, j] >= optimum.value:
        return optimum
    return replace(
        optimum, alpha=float(ground.alphas[i]), beta=float(ground.betas[j]), value=float(ground.values[i, j])
    )


def _nash(social: LinearEcosystem) -> Equilibrium | None:
    try:
        return nash_weights(social)
    except InvalidInput:  # an entity has no finite reply
        return None


def _priced(
    eco: LinearEcosystem, experiment: Experiment, objective: Objective, best: Optimum, nash: Equilibrium | None
) -> Iterator[tuple[str, float, float, float]]:
    yield "optimum", best.alpha, best.beta, best.value
    own = None if experiment.grid else settled_weights(experiment.ecosystem)
    points: dict[str, tuple[Array, Array] | None] = {"description": own, "half and half": (_HALF, _HALF)}
    if nash is not None:
        points["nash"] = (nash.alpha, nash.beta)
    for where, point in points.items():
        if point is not None:
            alpha, beta = (_one(values) for values in point)
            yield where, alpha, beta, _value(eco, point, objective)


def _value(eco: LinearEcosystem, point: tuple[Array, Array], objective: Objective) -> float:
    alpha, beta = (np.broadcast_to(values, (eco.entities,)) for values in point)
    return objective_value(eco.with_weights(alpha, beta), objective)


def _one(values: Array) -> float:
    """Return the weight that all entities share; NaN where they differ."""
    return float(values[0]) if (values == values[0]).all() else np.nan


def _by_entity(experiment: Experiment, social: LinearEcosystem, nash: Equilibrium | None) -> pd.DataFrame:
    nothing = np.full(social.entities, np.nan)
    alpha, beta, mse = (nothing, nothing, nothing) if nash is None else (nash.alpha, nash.beta, nash.mse)
    columns = {"mse": limiting_mse(social), "nash_alpha": alpha, "nash_beta": beta, "nash_mse": mse}
    return pd.DataFrame({"model": experiment.ecosystem.names, **columns})
