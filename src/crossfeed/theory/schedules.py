"""The best weights over a finite number of generations: constant ones, and schedules alpha_t and beta_t.

    J = mean, largest or one entity's MSE at generation T, or its mean over generations 1 to T, and prices as in
        `crossfeed.theory.objectives`.

Every error of a finite generation is finite, so that nothing is excluded but biases that no truth makes known. A
descent follows the gradient of `crossfeed.theory.horizon`; schedules start from the best constant weights.

Source: not in the paper, whose weights are constant. Reference: Bryson and Ho, Applied Optimal Control (1975), Section
2.2.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.choices import Choices, Weights
from crossfeed.theory.gradients import Slope
from crossfeed.theory.horizon import HorizonSolution
from crossfeed.theory.kernels import Array
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.objectives import Criterion, Objective
from crossfeed.theory.planning import as_criterion
from crossfeed.theory.search import Effort, Found, descend, descend_largest
from crossfeed.theory.specification import Specification

#: Which generations' errors count: the last one's, or the mean over all after generation 0.
Over = Literal["last", "mean"]

# Early generations' weights hardly matter to late errors, so that descents would go on for ever in flat valleys; and
# errors of finite generations are not known to all digits where a weight is faint.
_FLAT_VALLEY = Effort(flat=1e-6, gain=1e-10, hair=1e-5)

# Constant weights that a search looks at first.
_COARSE = np.linspace(0.1, 0.9, 5)


@dataclass(frozen=True, eq=False)
class Schedule:
    """The best weights found over a horizon of T generations.

    Attributes:
        alpha: synthetic weights of generations 0 to T, shape (T + 1, K); zero at generation 0.
        beta: private shares of the real data, shape (T + 1, K).
        shares: w, shape (K,).
        fresh_fraction: phi.
        value: the objective.
        mse: every entity's error at generations 0 to T, shape (T + 1, K).
    """

    alpha: Array
    beta: Array
    shares: Array
    fresh_fraction: float
    value: float
    mse: Array


def best_schedule(
    eco: LinearEcosystem,
    horizon: int,
    free: Collection[str] = ("alpha", "beta"),
    objective: Objective | Criterion = "mean",
    *,
    over: Over = "last",
    per_entity: bool = False,
    held: Collection[int] = (),
    constant: bool = False,
    starts: Sequence[Weights] = (),
) -> Schedule:
    """Search for the best weights over T generations.

    Args:
        eco: the ecosystem, with constant weights, which what is not free keeps.
        horizon: T, at least 1.
        free: what may be chosen: "alpha", "beta", "fresh_fraction", "shares"; the last two are constant.
        objective: "mean", "worst" or an entity's number, or one of these with prices.
        over: "last" for the error of generation T, "mean" for the mean over generations 1 to T.
        per_entity: True to give each entity an alpha and a beta of its own.
        held: numbers of entities that keep their alpha and beta.
        constant: True to search among weights that do not change with the generation.
        starts: constant weights that descents start from, besides the ecosystem's own and the best of a coarse grid.

    Returns:
        The best end of all descents. Without a given `initial_beta`, beta of generation 0 is chosen as well.

    Raises:
        InvalidInput: if a name or a number is unknown, weights change with the generation, or no start has a finite
            known error.
    """
    if not isinstance(horizon, int) or horizon < 1:
        raise InvalidInput(f"horizon must be a whole number >= 1; received {horizon!r}")
    if over not in get_args(Over):
        raise InvalidInput(f'over must be "last" or "mean"; received {over!r}')
    if not eco.constant:
        raise InvalidInput("a schedule starts from constant weights; alpha or beta is a function of the generation")
    spec, criterion = eco.specification, as_criterion(objective, eco.entities)
    choices = Choices.read(Weights.of(spec), free, per_entity=per_entity, held=held)
    steady = _Problem(spec, horizon, choices, criterion, over, constant=True)
    first = [*starts, choices.base, *_coarse(choices)]
    known = sorted((steady(steady.point(weights))[0], i) for i, weights in enumerate(first))
    if not np.isfinite(known[0][0]):
        raise InvalidInput(
            "no weights give a finite known error: the data leave directions undetermined; give the truths"
        )
    lowest = [steady.point(first[i]) for value, i in known[: 2 + len(starts)] if np.isfinite(value)]
    found = min((steady.descended(point) for point in lowest), key=lambda each: each.value)
    if constant:
        return steady.schedule(found)
    varied = _Problem(spec, horizon, choices, criterion, over, constant=False)
    begins = [varied.spread(found.point)]
    if criterion.objective == "worst":  # which has kinks that a descent in so many weights is caught in
        smooth = replace(criterion, objective="mean")
        mean = best_schedule(eco, horizon, free, smooth, over=over, per_entity=per_entity, held=held, starts=starts)
        begins.append(varied.point_of(mean))
    if per_entity:  # common schedules are among the own ones
        common = best_schedule(eco, horizon, free, criterion, over=over, held=held, starts=starts)
        begins.append(varied.point_of(common))
    return varied.schedule(min(map(varied.descended, begins), key=lambda each: each.value))


def schedule_value(
    eco: LinearEcosystem, horizon: int, weights: Weights, objective: Objective | Criterion = "mean", over: Over = "last"
) -> float:
    """Return the objective over T generations under constant weights.

    Args:
        eco: the ecosystem.
        horizon: T, at least 1.
        weights: the weights.
        objective: "mean", "worst" or an entity's number, or one of these with prices.
        over: "last" for the error of generation T, "mean" for the mean over generations 1 to T.

    Returns:
        The value; infinite where it is not known.
    """
    choices = Choices(weights, ("alpha", "beta"), per_entity=True)
    spec = weights.set_in(eco.specification)
    problem = _Problem(spec, horizon, choices, as_criterion(objective, eco.entities), over, constant=True)
    return problem(problem.point(weights))[0]


def _coarse(choices: Choices) -> list[Weights]:
    axes = [_COARSE if name in choices.free else np.full(1, np.nan) for name in ("alpha", "beta")]
    fresh = (0.1, 0.5) if "fresh_fraction" in choices.free else (choices.base.fresh_fraction,)
    moving = np.isin(np.arange(len(choices.base.alpha)), choices.moving)

    def at(values: Array, one: float) -> Array:
        return np.where(moving & np.isfinite(one), one, values)

    base = choices.base
    return [
        replace(base, alpha=at(base.alpha, a), beta=at(base.beta, b), fresh_fraction=phi)
        for phi in fresh
        for a in axes[0]
        for b in axes[1]
    ]


class _Problem:
    """A criterion over a horizon as a function of a point: what is constant first, then each generation's weights."""

    def __init__(
        self, spec: Specification, horizon: int, choices: Choices, criterion: Criterion, over: Over, *, constant: bool
    ) -> None:
        self._spec, self._criterion, self._constant = spec.conditioned, criterion, constant
        self._still = replace(choices, free=tuple(f for f in choices.free if f in ("fresh_fraction", "shares")))
        self._moving = replace(choices, free=tuple(f for f in choices.free if f in ("alpha", "beta")))
        last = np.arange(horizon + 1) == horizon
        self._times = last.astype(float) if over == "last" else (np.arange(horizon + 1) > 0) / horizon
        self._generations = horizon + 1

    def __call__(self, point: Array) -> tuple[float, Array]:
        """Return the criterion and its gradient."""
        solved = self._solved(point)
        errors = self._errors(solved)
        value = float(self._criterion.errors(errors)) + self._price(solved)
        if not np.isfinite(value):
            return np.inf, np.zeros_like(point)
        return value, self._slope(solved, self._criterion.weight(errors[None])[0], point)

    def several(self, point: Array, entities: Array) -> tuple[Array, Array]:
        """Return some entities' errors with the prices, and their gradients."""
        solved = self._solved(point)
        weights = np.equal.outer(entities, np.arange(self._spec.entities)).astype(float)
        slopes = np.array([self._slope(solved, weight, point) for weight in weights])
        return self._errors(solved)[entities] + self._price(solved), slopes

    def each(self, point: Array) -> Array:
        """Return every entity's error with the prices."""
        solved = self._solved(point)
        return self._errors(solved) + self._price(solved)

    def descended(self, start: Array) -> Found:
        """Descend from a point."""
        if self._criterion.objective == "worst":
            return descend_largest(self.several, self.each, start)
        return descend(self, start, _FLAT_VALLEY)

    def point(self, weights: Weights) -> Array:
        """Return the coordinates of constant weights."""
        return np.concatenate([self._still.point(weights), self._moving.point(weights)])

    def point_of(self, schedule: Schedule) -> Array:
        """Return the coordinates of a schedule."""
        shares, fresh = schedule.shares, schedule.fresh_fraction
        rows = [Weights(alpha, beta, shares, fresh) for alpha, beta in zip(schedule.alpha, schedule.beta, strict=True)]
        return np.concatenate([self._still.point(rows[0]), *map(self._moving.point, rows)])

    def spread(self, point: Array) -> Array:
        """Return the coordinates of a schedule that is constant, from those of constant weights."""
        still, moving = self._parts(point)
        return np.concatenate([still, np.tile(moving, self._generations)])

    def schedule(self, found: Found) -> Schedule:
        """Return the weights at a point."""
        solved = self._solved(found.point)
        spec = solved.specification
        shares = Weights.of(spec).shares
        return Schedule(solved.alpha, solved.beta, shares, spec.fresh_fraction, found.value, solved.mse)

    def _parts(self, point: Array) -> tuple[Array, Array]:
        """Return the constant coordinates, and those of the moving weights."""
        cut = len(self._still.names())
        return point[:cut], point[cut:]

    def _solved(self, point: Array) -> HorizonSolution:
        still, moving = self._parts(point)
        rows = np.tile(moving, (self._generations, 1)) if self._constant else moving.reshape(self._generations, -1)
        weights = [self._moving.weights(row) for row in rows]
        alpha, beta = (np.array([getattr(each, name) for each in weights]) for name in ("alpha", "beta"))
        if self._spec.weights.initial_given:
            beta[0] = self._spec.weights.initial_beta
        return HorizonSolution.of(self._still.weights(still).set_in(self._spec), alpha, beta)

    def _errors(self, solved: HorizonSolution) -> Array:
        mse = solved.mse
        return self._times @ mse if np.isfinite(mse).all() else np.full(mse.shape[1], np.inf)

    def _price(self, solved: HorizonSolution) -> float:
        price = self._criterion.fresh * solved.specification.fresh_fraction
        if self._criterion.dispersion:
            price += self._criterion.dispersion * float(self._times @ solved.closeness.value)
        return price

    def _slope(self, solved: HorizonSolution, weight: Array, point: Array) -> Array:
        slope = solved.slope(self._times[:, None] * weight, self._times * self._criterion.dispersion)
        if self._spec.weights.initial_given:
            slope = slope._replace(beta=np.where(np.arange(self._generations)[:, None] > 0, slope.beta, 0.0))
        summed = Slope(*(each.sum(axis=0, keepdims=True) for each in slope))
        still, moving = self._parts(point)
        fresh = self._criterion.fresh * np.array([name == "fresh_fraction" for name in self._still.names()])
        of_still = self._still.pull(summed, still)[0] + fresh
        of_moving = self._moving.pull(summed if self._constant else slope, moving)
        return np.concatenate([of_still, of_moving.ravel()])
