"""The best training weights: what may be chosen of least limiting error, and the price of missing it.

    common optimum:      min over one (alpha, beta) in [0, 1]^2 for all;
    per-entity optimum:  min over an (alpha_k, beta_k) for every k, chosen together; no worse than the common one.

What is small there is the mean, worst-entity or one entity's limiting MSE, with a price on dispersion and on fresh data
if wanted (`crossfeed.theory.objectives`). Descents follow exact gradients from several starts; what entities choose
each for itself is in `crossfeed.theory.equilibrium`.

Reference: paper, Section 5 ("compute the optimal alpha, beta values"); weights of each entity's own, shares and prices
are not in the paper.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.choices import Choices, Weights
from crossfeed.theory.efficiency import limiting_mse
from crossfeed.theory.kernels import Array
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.objectives import Criterion, LimitProblem, Objective
from crossfeed.theory.search import Found, descend, descend_along, descend_largest
from crossfeed.theory.weights import fractions

# Grid points per axis that a search starts from, and how many of its lowest hollows a descent starts in.
_GRID = 11
_HOLLOWS = 3

# A side of the square whose best grid point is within this factor of the best value is searched for itself.
_SIDE = 1.05

# Settings of the fresh fraction and of common weights that a search over more than those two looks at first.
_FRESH = (0.02, 0.1, 0.3, 0.6)
_COARSE = np.linspace(0.1, 0.9, 5)


@dataclass(frozen=True)
class Landscape:
    """An objective over a grid of common weights.

    Attributes:
        alphas: shape (n,).
        betas: shape (m,).
        values: shape (n, m); infinite where there is no limit (see `crossfeed.theory.objectives`).
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


@dataclass(frozen=True, eq=False)
class Chosen:
    """The best of what was free.

    Attributes:
        weights: the weights chosen, and those that were not free.
        value: the objective there.
        mse: limiting MSE of every entity there, shape (K,).
    """

    weights: Weights
    value: float
    mse: Array


def landscape(
    eco: LinearEcosystem,
    alphas: npt.ArrayLike | None = None,
    betas: npt.ArrayLike | None = None,
    objective: Objective | Criterion = "mean",
) -> Landscape:
    """Evaluate the objective over a grid of common weights.

    Args:
        eco: the ecosystem; its own alpha and beta are ignored.
        alphas: shape (n,), in [0, 1]; default: 11 equal steps.
        betas: shape (m,), in [0, 1]; default: 11 equal steps.
        objective: "mean", "worst" or an entity's number, or one of these with prices.

    Returns:
        The landscape.

    Raises:
        InvalidInput: if a weight is outside [0, 1] or the objective is unknown.
    """
    rows, columns = _axis(alphas, "alphas"), _axis(betas, "betas")
    problem = _common(eco, as_criterion(objective, eco.entities))
    points = np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2)
    values = problem.values(points[:, :1], points[:, 1:])
    return Landscape(rows, columns, values.reshape(len(rows), len(columns)))


def optimal_weights(
    eco: LinearEcosystem, objective: Objective | Criterion = "mean", ground: Landscape | None = None
) -> Optimum:
    """Search for the common (alpha, beta) that minimise the objective.

    Args:
        eco: the ecosystem; its own alpha and beta are ignored.
        objective: "mean", "worst" or an entity's number, or one of these with prices.
        ground: the objective over a grid that reaches from 0 to 1 on both axes; default: 11 x 11 points.

    Returns:
        The best weights that descents reach from the lowest hollows of the grid; no worse than any point of it.

    Raises:
        InvalidInput: if the objective is unknown, or no point of the grid has a finite value.

    Source: paper, Section 5.
    """
    criterion = as_criterion(objective, eco.entities)
    grid = landscape(eco, objective=criterion) if ground is None else ground
    problem, starts = _common(eco, criterion), _hollows(grid)
    found = min((_descended(problem, start) for start in starts), key=lambda each: each.value)
    for start, coordinate in _sides(grid, found.value):
        found = found.or_better(descend_along(problem, start, coordinate))
    return Optimum(float(found.point[0]), float(found.point[1]), found.value, grid)


def best_choice(
    eco: LinearEcosystem,
    free: Collection[str] = ("alpha", "beta"),
    objective: Objective | Criterion = "mean",
    *,
    per_entity: bool = False,
    held: Collection[int] = (),
    starts: Sequence[Weights] = (),
) -> Chosen:
    """Search for the best of any weights, all others being as the ecosystem has them.

    Args:
        eco: the ecosystem, with constant weights.
        free: what may be chosen: "alpha", "beta", "fresh_fraction", "shares".
        objective: "mean", "worst" or an entity's number, or one of these with prices.
        per_entity: True to give each entity an alpha and a beta of its own.
        held: numbers of entities that keep their alpha and beta.
        starts: weights that descents start from, besides the ecosystem's own and the best of a coarse grid.

    Returns:
        The best end of all descents, no worse than any start.

    Raises:
        InvalidInput: if the objective, a name or a number is unknown, weights change with the generation, fresh data
            are free and there are none, or no start has a finite value.
    """
    if not eco.constant:
        raise InvalidInput("a choice starts from constant weights; alpha or beta is a function of the generation")
    if "fresh_fraction" in free and eco.fresh is None:
        raise InvalidInput("fresh_fraction is free but there is no fresh data; give fresh=, its Gram or features")
    criterion, spec = as_criterion(objective, eco.entities), eco.specification
    choices = Choices.read(Weights.of(spec), free, per_entity=per_entity, held=held)
    problem = LimitProblem(spec, choices, criterion)
    first = [*starts, choices.base, *_coarse_starts(eco, choices, criterion)]
    if per_entity:
        one = best_choice(eco, free, criterion, held=held) if set(free) & {"alpha", "beta"} else None
        first = [one.weights, *first] if one is not None else first
    points = {choices.point(weights).tobytes(): choices.point(weights) for weights in first}
    finite = [point for point in points.values() if np.isfinite(problem(point)[0])]
    if not finite:
        raise InvalidInput(_NOTHING_FINITE)
    found = min((_descended(problem, start) for start in finite), key=lambda each: each.value)
    return Chosen(choices.weights(found.point), found.value, limiting_mse(problem.ecosystem(found.point)))


def as_criterion(objective: Objective | Criterion, entities: int) -> Criterion:
    """Return a criterion without prices where none are given.

    Args:
        objective: an objective, or one with prices.
        entities: K.

    Returns:
        The criterion.

    Raises:
        InvalidInput: if the objective is unknown, or a price is not finite.
    """
    return (objective if isinstance(objective, Criterion) else Criterion(objective)).check(entities)


_NOTHING_FINITE = (
    "no weights on the grid give a finite known error: the data leave directions undetermined; give public or private "
    "data of full rank together, or the truths"
)


def _common(eco: LinearEcosystem, criterion: Criterion) -> LimitProblem:
    spec = eco.specification.with_weights(0.5, 0.5)
    return LimitProblem(spec, Choices(Weights.of(spec), ("alpha", "beta")), criterion)


def _descended(problem: LimitProblem, start: Array) -> Found:
    if problem.criterion.objective == "worst":
        return descend_largest(problem.several, problem.each, start)
    return descend(problem, start)


def _axis(values: npt.ArrayLike | None, name: str) -> Array:
    return np.linspace(0.0, 1.0, _GRID) if values is None else fractions(values, name, np.size(values))


def _hollows(grid: Landscape) -> list[Array]:
    """Return the lowest points of the grid that no neighbour is below, the lowest first."""
    values = grid.values
    framed = np.pad(values, 1, constant_values=np.inf)
    around = [framed[1 + i : 1 + i + len(values), 1 + j : 1 + j + values.shape[1]] for i, j in _NEIGHBOURS]
    low = np.isfinite(values) & (values <= np.min(around, axis=0))
    if not low.any():
        raise InvalidInput(_NOTHING_FINITE)
    order = np.argsort(np.where(low, values, np.inf), axis=None)[: min(_HOLLOWS, int(low.sum()))]
    places = zip(*np.unravel_index(order, values.shape), strict=True)
    return [np.array([grid.alphas[i], grid.betas[j]]) for i, j in places]


_NEIGHBOURS = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]


def _sides(grid: Landscape, best: float) -> list[tuple[Array, int]]:
    """Return the best grid point of each side of the square that nearly reaches the best value, and what varies."""
    found = []
    for edge in (0, -1):
        for coordinate, values in ((1, grid.values[edge]), (0, grid.values[:, edge])):
            place = int(np.argmin(values))
            if values[place] <= _SIDE * best:
                ends = grid.alphas[edge], grid.betas[edge]
                along = (grid.alphas, grid.betas)[coordinate][place]
                found.append((np.array([ends[0], along] if coordinate else [along, ends[1]]), coordinate))
    return found


def _coarse_starts(eco: LinearEcosystem, choices: Choices, criterion: Criterion) -> list[Weights]:
    """Return the best common weights on a coarse grid, for each of some fresh fractions where those are free."""
    base, fresh = choices.base, _FRESH if "fresh_fraction" in choices.free else (choices.base.fresh_fraction,)
    still = np.isin(np.arange(eco.entities), choices.held)
    axes = [_COARSE if name in choices.free else np.full(1, np.nan) for name in ("alpha", "beta")]
    points = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    alphas, betas = (
        np.where(still | np.isnan(points[:, [i]]), own, points[:, [i]]) for i, own in enumerate((base.alpha, base.beta))
    )
    found = []
    for fraction in fresh:
        there = replace(base, fresh_fraction=fraction)
        values = LimitProblem(there.set_in(eco.specification), choices, criterion).values(alphas, betas)
        best = int(np.argmin(values))
        found.append(replace(there, alpha=alphas[best], beta=betas[best]))
    return found
