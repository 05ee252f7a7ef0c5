"""Criteria that a plan makes small in the limit, as functions of what may be chosen, with their gradients.

    J = mean, largest or one entity's limiting MSE + price * dispersion + price * fresh fraction

J is infinite where the estimates have no limit, or no truth was given and the limit is biased
(`crossfeed.theory.efficiency.limiting_mse`). There, and wherever rank or rounding could decide, values come from
`crossfeed.theory.limit`; everywhere else from `crossfeed.theory.gradients`, which agrees with it to rounding.

Source: paper, Section 5 ("compute the optimal alpha, beta values"); prices are not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.choices import Choices, Weights
from crossfeed.theory.efficiency import limiting_mse
from crossfeed.theory.gradients import LimitModel, LimitSolution, Sums
from crossfeed.theory.kernels import Array
from crossfeed.theory.limit import limit_of
from crossfeed.theory.specification import Specification, Specified

Objective = Literal["mean", "worst"] | int
"""The mean over the entities, the worst of them, or one of them by its number."""

# Numbers in the matrices of one batch of settings: they stay in cache.
_BATCH = 250_000


@dataclass(frozen=True)
class Criterion:
    """A number to minimise.

    Attributes:
        objective: "mean", "worst" or an entity's number: whose limiting MSE counts.
        dispersion: price of one unit of dispersion, the mean over pairs of E|theta_k - theta_l|^2; negative to pay for
            variety.
        fresh: price of a pool of fresh data alone; a fraction costs that fraction of it.
    """

    objective: Objective = "mean"
    dispersion: float = 0.0
    fresh: float = 0.0

    def check(self, entities: int) -> Criterion:
        """Validate the criterion for K entities.

        Args:
            entities: K.

        Returns:
            The criterion.

        Raises:
            InvalidInput: if the objective is unknown, or a price is not finite.
        """
        check_objective(self.objective, entities)
        if not np.isfinite([self.dispersion, self.fresh]).all():
            raise InvalidInput(f"prices must be finite numbers; received {self.dispersion} and {self.fresh}")
        return self

    def errors(self, mse: Array) -> Array:
        """Return the errors' part.

        Args:
            mse: shape (P, K).

        Returns:
            Shape (P,).
        """
        if self.objective == "mean":
            return np.asarray(mse.mean(axis=-1))
        return np.asarray(mse.max(axis=-1) if self.objective == "worst" else mse[..., self.objective])

    def weight(self, mse: Array) -> Array:
        """Return the derivatives of the errors' part, of one of the largest where several are.

        Args:
            mse: shape (P, K).

        Returns:
            Shape (P, K).
        """
        if self.objective == "mean":
            return np.full(mse.shape, 1.0 / mse.shape[-1])
        chosen = mse.argmax(axis=-1) if self.objective == "worst" else np.full(len(mse), self.objective)
        return np.asarray(np.arange(mse.shape[-1]) == chosen[:, None], dtype=np.float64)


def check_objective(objective: Objective, entities: int) -> None:
    """Refuse an unknown objective.

    Args:
        objective: "mean", "worst" or an entity's number.
        entities: K.

    Raises:
        InvalidInput: if it is none of these.
    """
    number = isinstance(objective, int | np.integer) and 0 <= objective < entities
    if not number and objective not in ("mean", "worst"):
        raise InvalidInput(
            f'the objective must be "mean", "worst" or an entity number from 0 to {entities - 1}; '
            f"received {objective!r}"
        )


def objective_value(eco: Specified, objective: Objective = "mean") -> float:
    """Return the objective at the ecosystem's own weights.

    Args:
        eco: the ecosystem, with constant weights.
        objective: "mean", "worst" or an entity's number.

    Returns:
        The objective; infinite where there is no limit (see the module's text).

    Raises:
        InvalidInput: if the objective is unknown, or alpha or beta is a function of the generation.
    """
    check_objective(objective, eco.specification.entities)
    return criterion_value(eco, Criterion(objective))


def criterion_value(eco: Specified, criterion: Criterion) -> float:
    """Return a criterion at the ecosystem's own weights.

    Args:
        eco: the ecosystem, with constant weights.
        criterion: what is minimised.

    Returns:
        Its value; infinite where there is no limit.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation.
    """
    value = float(criterion.errors(limiting_mse(eco)))
    if criterion.dispersion and np.isfinite(value):
        value += criterion.dispersion * limit_of(eco).dispersion
    return value + criterion.fresh * eco.specification.fresh_fraction


@dataclass(frozen=True)
class _Bare:
    """An ecosystem that is its specification."""

    specification: Specification


class LimitProblem:
    """A criterion as a function of a choice.

    Args:
        spec: the ecosystem's specification.
        choices: what is free.
        criterion: what is minimised.

    Attributes:
        specification: the specification.
        choices: what is free.
        criterion: what is minimised.
    """

    def __init__(self, spec: Specification, choices: Choices, criterion: Criterion) -> None:
        self.specification = spec.conditioned
        self.choices = choices
        self.criterion = criterion
        self._model = LimitModel(spec)

    def __call__(self, point: Array) -> tuple[float, Array]:
        """Return the criterion and its gradient.

        Args:
            point: coordinates of the choice, shape (n,).

        Returns:
            The value, and the gradient (n,), of no meaning where the value is infinite.
        """
        solved = self._solved(point)
        mse = solved.mse if not solved.hard[0] else self._slowly(point)[None]
        weight = self.criterion.weight(mse)
        slope = self.choices.pull(solved.slope(weight, self.criterion.dispersion), point)[0]
        slope += self.criterion.fresh * self._fresh(point)
        return float(self.criterion.errors(mse[0])) + self._price(point, solved, mse[0]), slope

    def several(self, point: Array, entities: Array) -> tuple[Array, Array]:
        """Return what some entities' errors add up to with the prices, and the gradients.

        Args:
            point: coordinates of the choice, shape (n,).
            entities: m entity numbers.

        Returns:
            Shapes (m,) and (m, n).
        """
        solved = self._solved(point)
        mse = solved.mse[0] if not solved.hard[0] else self._slowly(point)
        weight = np.equal.outer(entities, np.arange(len(mse))).astype(np.float64)
        slopes = self.choices.pull(solved.slope(weight, self.criterion.dispersion), point)
        return mse[entities] + self._price(point, solved, mse), slopes + self.criterion.fresh * self._fresh(point)

    def each(self, point: Array) -> Array:
        """Return what every entity's error adds up to with the prices.

        Args:
            point: coordinates of the choice, shape (n,).

        Returns:
            Shape (K,); infinite where it is not a finite known number.
        """
        solved = self._solved(point)
        mse = solved.mse[0] if not solved.hard[0] else self._slowly(point)
        return mse + self._price(point, solved, mse)

    def values(self, alphas: Array, betas: Array) -> Array:
        """Return the criterion at many settings of all alphas and betas, everything else being as it is.

        Args:
            alphas: shape (P, K) or (P, 1).
            betas: likewise.

        Returns:
            Shape (P,).
        """
        spec = self.specification
        size = max(1, _BATCH // (spec.entities * spec.dimension**2))
        found = [self._batch(alphas[i : i + size], betas[i : i + size]) for i in range(0, len(alphas), size)]
        return np.concatenate(found)

    def ecosystem(self, point: Array) -> Specified:
        """Return the ecosystem at a choice.

        Args:
            point: coordinates of the choice, shape (n,).

        Returns:
            It, as its specification.
        """
        return _Bare(self.choices.weights(point).set_in(self.specification))

    def _batch(self, alphas: Array, betas: Array) -> Array:
        spec, criterion = self.specification, self.criterion
        wide = (len(alphas), spec.entities)
        alphas, betas = np.broadcast_to(alphas, wide), np.broadcast_to(betas, wide)
        solved = self._model.solve(alphas, betas)
        value = criterion.errors(solved.mse)
        if criterion.dispersion:
            value = value + criterion.dispersion * solved.closeness().value
        value = value + criterion.fresh * spec.fresh_fraction
        for i in np.flatnonzero(solved.hard):
            if (alphas[i] == 1).all() and self._grows_from_itself:
                value[i] = np.inf
                continue
            here = Weights(alphas[i], betas[i], Weights.of(spec).shares, spec.fresh_fraction)
            value[i] = criterion_value(_Bare(here.set_in(spec)), criterion)
        return value

    @cached_property
    def _grows_from_itself(self) -> bool:
        """True if nobody reading real data leaves no limit, whatever generation 0 was: beta is no matter then."""
        spec = self.specification.with_weights(1.0, 0.5)
        growth = limit_of(_Bare(spec)).growth
        return growth is not None and growth.law in ("linear", "geometric")

    def _solved(self, point: Array) -> LimitSolution:
        weights = self.choices.weights(point)
        spec = weights.set_in(self.specification).conditioned
        return self._model.solve(weights.alpha[None], weights.beta[None], spec)

    def _slowly(self, point: Array) -> Array:
        return limiting_mse(self.ecosystem(point))

    def _price(self, point: Array, solved: LimitSolution, mse: Array) -> float:
        """Return what is added to the errors; of no meaning where one that counts is infinite."""
        price = self.criterion.fresh * solved.specification.fresh_fraction
        if not self.criterion.dispersion or not np.isfinite(self.criterion.errors(mse)):
            return price
        hard = solved.hard[0]
        apart = limit_of(self.ecosystem(point)).dispersion if hard else float(solved.closeness().value[0])
        return price + self.criterion.dispersion * apart

    def _fresh(self, point: Array) -> Array:
        named = [name == "fresh_fraction" for name in self.choices.names()]
        return np.asarray(named, dtype=np.float64)


class ReplyProblem:
    """One entity's limiting error as a function of its own alpha and beta, all others keeping theirs.

    Each value costs the same however many others there are: what they add to the pool is summed up once.

    Args:
        spec: the ecosystem's specification, under the weights that the others keep.
        entity: number of the entity that replies.
        others: what all others add to the pool; None where rank or rounding could decide, and all is computed anew.
    """

    def __init__(self, spec: Specification, entity: int, others: Sums | None) -> None:
        spec, self._entity = spec.conditioned, entity
        self._spec = spec
        self._model = None if others is None else LimitModel(spec, slice(entity, entity + 1), others)
        choices = Choices(Weights.of(spec), ("alpha", "beta"), True, tuple(np.delete(np.arange(spec.entities), entity)))
        self._whole = LimitProblem(spec, choices, Criterion(entity)) if others is None else None
        self._choices = choices

    def __call__(self, point: Array) -> tuple[float, Array]:
        """Return the entity's error and its derivatives.

        Args:
            point: its alpha and beta, shape (2,).

        Returns:
            The value, and the gradient (2,), of no meaning where the value is infinite.
        """
        if self._whole is not None:
            return self._whole(point)
        assert self._model is not None  # noqa: S101 - for the type checker; one of the two is there
        solved = self._model.solve(point[:1, None], point[1:, None])
        value = self._slowly(point) if solved.hard[0] else float(solved.mse[0, 0])
        slope = solved.slope(np.ones((1, 1)))
        return value, np.array([slope.alpha[0, 0], slope.beta[0, 0]])

    def values(self, alphas: Array, betas: Array) -> Array:
        """Return the entity's error for many replies.

        Args:
            alphas: shape (P,).
            betas: shape (P,).

        Returns:
            Shape (P,).
        """
        points = np.stack([alphas, betas], axis=1)
        if self._model is None:
            return np.array([self._slowly(point) for point in points])
        solved = self._model.solve(alphas[:, None], betas[:, None])
        value = solved.mse[:, 0].copy()
        for i in np.flatnonzero(solved.hard):
            value[i] = self._slowly(points[i])
        return value

    def _slowly(self, point: Array) -> float:
        spec = self._choices.weights(point).set_in(self._spec)
        return float(limiting_mse(_Bare(spec))[self._entity])
