"""The Pareto front of error against dispersion: the least mean error at every distance between the models.

For common weights the front is min J(alpha, beta) such that dispersion(alpha, beta) = D, followed from the optimum
outwards to smaller and to larger D.

Source: not in the paper. Reference: Kraft, A software package for sequential quadratic programming, DFVLR-FB 88-28
(1988), for the descent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfeed.theory.choices import Choices, Weights
from crossfeed.theory.kernels import Array
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.objectives import Criterion, LimitProblem, Objective
from crossfeed.theory.planning import optimal_weights

# Dispersions of the front over that of the optimum, on both sides of it.
_RATIOS = np.array([0.85, 0.7, 0.55, 0.4, 0.3, 0.2, 0.1]), np.array([1.2, 1.5, 2.0, 3.0])

# Distance from the faces that weights keep, and relative misfit of a dispersion that counts as none.
_HAIR, _MISFIT = 1e-6, 1e-6


@dataclass(frozen=True)
class Front:
    """Common weights of least error at each of some dispersions, in order of dispersion.

    Attributes:
        alpha: shape (n,).
        beta: shape (n,).
        error: the objective, shape (n,).
        dispersion: mean over pairs of E|theta_k - theta_l|^2, shape (n,).
    """

    alpha: Array
    beta: Array
    error: Array
    dispersion: Array


def dispersion_front(eco: LinearEcosystem, objective: Objective = "mean") -> Front:
    """Follow the front from the optimum to both sides.

    Args:
        eco: the ecosystem of two entities or more; its own alpha and beta are ignored.
        objective: "mean" or an entity's number.

    Returns:
        The optimum, and the points of other dispersions that common weights can reach.

    Raises:
        InvalidInput: if the objective is unknown, or no weights give a finite value.
    """
    best = optimal_weights(eco, objective)
    spec = eco.specification.with_weights(0.5, 0.5)
    choices = Choices(Weights.of(spec), ("alpha", "beta"))
    error, apart = (LimitProblem(spec, choices, Criterion(objective, dispersion=price)) for price in (0.0, 1.0))

    def both(point: Array) -> tuple[Array, Array]:
        (low, low_slope), (high, high_slope) = error(point), apart(point)
        return np.array([low, high - low]), np.array([low_slope, high_slope - low_slope])

    start = np.clip([best.alpha, best.beta], _HAIR, 1.0 - _HAIR)
    middle = both(start)[0]
    rows = [(*start, *middle)]
    for ratios in _RATIOS:
        point = start
        for ratio in ratios:
            found = _at(both, point, ratio * middle[1], middle[0])
            if found is None:
                break
            point = found
            rows.append((*point, *both(point)[0]))
    table = np.array(sorted(rows, key=lambda row: float(row[3])))
    return Front(*table.T)


def _at(both: Any, start: Array, dispersion: float, scale: float) -> Array | None:
    """Return the weights of least error at a dispersion; None where none were found."""
    from scipy.optimize import minimize

    def loss(point: Array, *_: Any) -> tuple[float, Array]:
        values, slopes = both(point)
        return float(values[0] / scale), slopes[0] / scale

    there: Any = {
        "type": "eq",
        "fun": lambda point: both(point)[0][1] / dispersion - 1.0,
        "jac": lambda point: both(point)[1][1] / dispersion,
    }
    bounds: Any = [(_HAIR, 1.0 - _HAIR)] * 2
    options: Any = {"maxiter": 60, "ftol": 1e-12}
    end = minimize(loss, start, jac=True, method="SLSQP", bounds=bounds, constraints=[there], options=options)
    point = np.asarray(end.x, dtype=np.float64)
    values = both(point)[0]
    return point if np.isfinite(values).all() and abs(values[1] / dispersion - 1.0) < _MISFIT else None
