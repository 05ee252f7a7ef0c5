"""The best training weights: (alpha, beta) of least limiting error, the price of missing them, and selfish play.

    social optimum:   min over common (alpha, beta) in [0, 1]^2 of the mean, worst-entity or one entity's limiting MSE;
    Nash point:       (alpha_k, beta_k) for every k, each minimising entity k's own limiting MSE given all others'.

A limiting MSE costs one run of the consensus reduction, so both are searched on a grid and refined without gradients:
in two variables a simplex needs some sixty evaluations, and the worst-entity objective has kinks. Where the estimates
have no limit, or no truth was given and the limit is biased, the error counts as infinite
(`crossfeed.theory.efficiency.limiting_mse`).

Reference: paper, Section 5 ("compute the optimal alpha, beta values"); the game is not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.efficiency import limiting_mse
from crossfeed.theory.kernels import Array
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.weights import fractions

#: The minimised number: the mean over entities, the worst entity, or the entity with that number.
Objective = Literal["mean", "worst"] | int

# Grid points per axis that a search starts from, and the precision of the weights at which it ends.
_GRID = 11
_WEIGHT_TOLERANCE = 1e-6

# Widths of the simplices of a search, each from where the last one ended: a simplex that is clipped at an edge of
# [0, 1]^2 can collapse onto it beside an optimum that is nearer to the edge than it is wide.
_WIDTHS = (0.1, 0.03, 0.01)


@dataclass(frozen=True)
class Landscape:
    """An objective over a grid of common weights.

    Attributes:
        alphas: shape (n,).
        betas: shape (m,).
        values: shape (n, m); infinite where there is no limit (see the module's text).
    """

    alphas: Array
    betas: Array
    values: Array


@dataclass(frozen=True)
class Optimum:
    """The best common weights.

    Attributes:
        alpha: best synthetic weight.
        beta: best private share.
        value: the objective there.
        landscape: the grid the search started from.
    """

    alpha: float
    beta: float
    value: float
    landscape: Landscape

    def price(self, value: npt.ArrayLike) -> Array:
        """Return the price of missing the optimum: the relative excess of an objective value over the best one.

        Args:
            value: one objective value or an array of them, such as `landscape.values`.

        Returns:
            value / best - 1, in the shape given.
        """
        return np.asarray(value, dtype=np.float64) / self.value - 1.0


@dataclass(frozen=True)
class Equilibrium:
    """A Nash point of selfish weights.

    Attributes:
        alpha: shape (K,).
        beta: shape (K,).
        mse: limiting MSE of every entity there, shape (K,).
        rounds: rounds of best replies played.
        settled: True if the last round moved no weight by more than the tolerance.
    """

    alpha: Array
    beta: Array
    mse: Array
    rounds: int
    settled: bool


def objective_value(eco: LinearEcosystem, objective: Objective = "mean") -> float:
    """Return the objective at the ecosystem's own weights.

    Args:
        eco: the ecosystem, with constant weights.
        objective: "mean", "worst" or an entity's number.

    Returns:
        The objective; infinite where there is no limit (see the module's text).

    Raises:
        InvalidInput: if the objective is unknown, or alpha or beta is a function of the generation.
    """
    return _reduced(limiting_mse(eco), objective)


def landscape(
    eco: LinearEcosystem,
    alphas: npt.ArrayLike | None = None,
    betas: npt.ArrayLike | None = None,
    objective: Objective = "mean",
) -> Landscape:
    """Evaluate the objective over a grid of common weights.

    Args:
        eco: the ecosystem; its own alpha and beta are ignored.
        alphas: shape (n,), in [0, 1]; default: 11 equal steps.
        betas: shape (m,), in [0, 1]; default: 11 equal steps.
        objective: "mean", "worst" or an entity's number.

    Returns:
        The landscape.

    Raises:
        InvalidInput: if a weight is outside [0, 1] or the objective is unknown.
    """
    rows, columns = _axis(alphas, "alphas"), _axis(betas, "betas")
    value = _common(eco, objective)
    return Landscape(rows, columns, np.array([[value(a, b) for b in columns] for a in rows]))


def optimal_weights(eco: LinearEcosystem, objective: Objective = "mean") -> Optimum:
    """Search for the common (alpha, beta) that minimise the objective.

    Args:
        eco: the ecosystem; its own alpha and beta are ignored.
        objective: "mean", "worst" or an entity's number.

    Returns:
        The best weights that a descent reaches from the best point of an 11 x 11 grid.

    Raises:
        InvalidInput: if the objective is unknown, or no point of the grid has a finite value.

    Source: paper, Section 5. Reference for the descent: Nelder and Mead, A simplex method for function minimization,
    The Computer Journal 7 (1965).
    """
    grid = landscape(eco, objective=objective)
    (alpha, beta), value = _refine(_common(eco, objective), grid)
    return Optimum(alpha, beta, value, grid)


def nash_weights(eco: LinearEcosystem, max_rounds: int = 50, tolerance: float = 1e-4) -> Equilibrium:
    """Let every entity in turn play the weights that are best for itself, until none moves.

    Args:
        eco: the ecosystem; play starts from its own alpha and beta.
        max_rounds: rounds after which play stops; every round each entity replies once.
        tolerance: largest change of a weight that counts as standing still.

    Returns:
        The point reached, `settled` or not.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation, or an entity has no finite reply.
    """
    if not eco.constant:
        raise InvalidInput("play starts from constant weights; alpha or beta is a function of the generation")
    point = np.empty((eco.entities, 2))
    point[:, 0], point[:, 1] = eco.alpha.at(1), eco.beta.at(1)
    played, settled = 0, False
    while played < max_rounds and not settled:
        before = point.copy()
        for k in range(eco.entities):
            point[k] = best_reply(eco.with_weights(point[:, 0], point[:, 1]), k)
        settled = bool(np.abs(point - before).max() <= tolerance)
        played += 1
    mse = limiting_mse(eco.with_weights(point[:, 0], point[:, 1]))
    return Equilibrium(point[:, 0], point[:, 1], mse, played, settled)


def best_reply(eco: LinearEcosystem, entity: int) -> tuple[float, float]:
    """Search for the weights that are best for one entity while all others keep theirs.

    Args:
        eco: the ecosystem, with constant weights.
        entity: number of the entity that replies.

    Returns:
        Its best (alpha_k, beta_k): the end of a descent from the best point of an 11 x 11 grid, or its present weights.

    Raises:
        InvalidInput: if the entity is unknown, or it has no finite reply.
    """
    _check_objective(entity, eco.entities)
    alphas, betas = (np.broadcast_to(each.at(1), (eco.entities,)) for each in (eco.alpha, eco.beta))

    def value(alpha: float, beta: float) -> float:
        own = np.arange(eco.entities) == entity
        replied = eco.with_weights(np.where(own, alpha, alphas), np.where(own, beta, betas))
        return objective_value(replied, entity)

    axis = np.linspace(0.0, 1.0, _GRID)
    grid = Landscape(axis, axis, np.array([[value(a, b) for b in axis] for a in axis]))
    point, best = _refine(value, grid)
    standing = (float(alphas[entity]), float(betas[entity]))
    return point if best < value(*standing) else standing


def _common(eco: LinearEcosystem, objective: Objective) -> Callable[[float, float], float]:
    _check_objective(objective, eco.entities)
    return lambda alpha, beta: objective_value(eco.with_weights(alpha, beta), objective)


def _reduced(mse: Array, objective: Objective) -> float:
    _check_objective(objective, len(mse))
    if objective == "mean":
        return float(mse.mean())
    return float(mse.max()) if objective == "worst" else float(mse[objective])


def _check_objective(objective: Objective, entities: int) -> None:
    number = isinstance(objective, int | np.integer) and 0 <= objective < entities
    if not number and objective not in ("mean", "worst"):
        raise InvalidInput(
            f'the objective must be "mean", "worst" or an entity number from 0 to {entities - 1}; '
            f"received {objective!r}"
        )


def _axis(values: npt.ArrayLike | None, name: str) -> Array:
    return np.linspace(0.0, 1.0, _GRID) if values is None else fractions(values, name, np.size(values))


def _refine(value: Callable[[float, float], float], grid: Landscape) -> tuple[tuple[float, float], float]:
    """Descend from the best point of the grid by Nelder and Mead's simplex, within [0, 1]^2."""
    i, j = np.unravel_index(np.argmin(grid.values), grid.values.shape)
    start, best = np.array([grid.alphas[i], grid.betas[j]]), float(grid.values[i, j])
    if not np.isfinite(best):
        raise InvalidInput(
            "no weights on the grid give a finite known error: the data leave directions undetermined; give public "
            "or private data of full rank together, or the truths"
        )
    for width in _WIDTHS:
        point, least = _descend(value, start, width)
        if least < best:
            start, best = point, least
    return (float(start[0]), float(start[1])), best


def _descend(
    value: Callable[[float, float], float], start: npt.NDArray[np.float64], width: float
) -> tuple[npt.NDArray[np.float64], float]:
    """Descend once, from a simplex that points inwards."""
    from scipy.optimize import minimize

    inwards = np.where(start < 0.5, width, -width)
    options: Any = {"initial_simplex": start + np.vstack([np.zeros(2), np.diag(inwards)]), "xatol": _WEIGHT_TOLERANCE}
    options["fatol"] = 1e-12 * value(*start)

    def loss(point: npt.NDArray[np.float64], *_: Any) -> float:
        return value(*map(float, point))

    end = minimize(loss, start, method="Nelder-Mead", bounds=[(0.0, 1.0)] * 2, options=options)
    return np.asarray(end.x, dtype=np.float64), float(end.fun)
