"""Selfish play: weights (alpha_k, beta_k) of which no entity gains by changing its own alone (a Nash point).

Entities reply in turn, each with a descent along the exact gradient of its own limiting MSE; what all others add to the
pool is summed up once, so that a reply costs the same however many they are. Where nobody moves any more, every entity
is asked whether any point of a grid over the whole square, descended from, is better than what it plays: a Nash point
is one at which none says yes. There may be several, or play may go round for ever.

Source: not in the paper. Reference: Osborne and Rubinstein, A Course in Game Theory (1994), Chapter 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.choices import Weights
from crossfeed.theory.efficiency import limiting_mse
from crossfeed.theory.gradients import LimitModel, Sums
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.objectives import ReplyProblem, check_objective
from crossfeed.theory.search import Effort, Found, descend
from crossfeed.theory.specification import Specification

# Grid points per axis of the square that replies are checked on.
_GRID = 11

# Points of it within this distance lead where one is already; others are descended from if they are so nearly as good.
_BESIDE, _WORTH = 0.15, 1.05

# A reply need not be found as precisely as an optimum.
_REPLY = Effort(flat=1e-6, gain=1e-12)

# Relative gains and differences of errors that count as none.
_GAIN = 1e-8
_SAME = 1e-5

# Weights this near to a Nash point lead there.
_SAME_POINT = 1e-3


@dataclass(frozen=True)
class Equilibrium:
    """The point that selfish play reached.

    Attributes:
        alpha: shape (K,).
        beta: shape (K,).
        mse: limiting MSE of every entity there, shape (K,).
        rounds: rounds of best replies played.
        settled: True if it is a Nash point: nobody moved in the last round, and nobody gains by any reply that was
            found from a grid over all of [0, 1]^2.
        regret: largest relative gain that such a reply would bring each entity, shape (K,); nan if it was not asked,
            since play did not come to rest.
    """

    alpha: Array
    beta: Array
    mse: Array
    rounds: int
    settled: bool
    regret: Array


@dataclass(frozen=True)
class Play:
    """Selfish play from several starts.

    Attributes:
        points: the Nash points that were reached, each once, in order of their mean error.
        starts: number of starts.
        unsettled: points at which play was stopped, one for each start from which it did not settle.
    """

    points: list[Equilibrium]
    starts: int
    unsettled: list[Equilibrium]

    @property
    def first(self) -> Equilibrium:
        """The Nash point of least mean error; where none was reached, a point at which play was stopped."""
        return self.points[0] if self.points else self.unsettled[0]


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
    _check_constant(eco)
    return _play(eco, max_rounds, tolerance, ())


def _play(eco: LinearEcosystem, max_rounds: int, tolerance: float, known: Sequence[Equilibrium]) -> Equilibrium:
    """Play until nobody moves and nobody wants to, or a Nash point that is known already is reached."""
    table = _Table(eco.specification, Weights.of(eco.specification))
    regret, played, settled = np.full(eco.entities, np.nan), 0, False
    while played < max_rounds and not settled:
        moved, played = table.round(), played + 1
        for point in known:
            if np.abs(table.point - np.stack([point.alpha, point.beta], axis=1)).max() <= _SAME_POINT:
                return replace(point, rounds=played)
        if moved <= tolerance:
            regret = table.ask_everybody()
            settled = bool((regret <= _GAIN).all())
    mse = limiting_mse(_at(eco, table.point))
    if not np.isfinite(mse).all():
        raise InvalidInput("an entity has no reply with a finite known error")
    return Equilibrium(table.point[:, 0], table.point[:, 1], mse, played, settled, regret)


def nash_points(
    eco: LinearEcosystem, starts: Sequence[Weights] = (), max_rounds: int = 50, tolerance: float = 1e-4
) -> Play:
    """Play from several starts.

    Args:
        eco: the ecosystem, with constant weights, which are one of the starts.
        starts: more of them; besides, all entities begin with little and with much synthetic data.
        max_rounds: rounds after which play stops, from each start.
        tolerance: largest change of a weight that counts as standing still.

    Returns:
        The Nash points that were reached.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation, or an entity has no finite reply.
    """
    _check_constant(eco)
    own, K = Weights.of(eco.specification), eco.entities
    several = [
        *starts,
        own,
        *(replace(own, alpha=np.full(K, a), beta=np.full(K, b)) for a, b in ((0.1, 0.8), (0.8, 0.3))),
    ]
    points: list[Equilibrium] = []
    unsettled: list[Equilibrium] = []
    for start in several:
        end = _play(eco.with_weights(start.alpha, start.beta), max_rounds, tolerance, points)
        if not end.settled:
            unsettled.append(end)
        elif not any(np.allclose(end.mse, other.mse, rtol=_SAME, atol=0.0) for other in points):
            points.append(end)
    return Play(sorted(points, key=lambda each: float(each.mse.mean())), len(several), unsettled)


def best_reply(eco: LinearEcosystem, entity: int) -> tuple[float, float]:
    """Search for the weights that are best for one entity while all others keep theirs.

    Args:
        eco: the ecosystem, with constant weights.
        entity: number of the entity that replies.

    Returns:
        Its best (alpha_k, beta_k): the end of descents from its present weights and the best point of an 11 x 11 grid.

    Raises:
        InvalidInput: if the entity is unknown, or it has no finite reply.
    """
    check_objective(entity, eco.entities)
    table = _Table(eco.specification, Weights.of(eco.specification))
    found = _best(table.problem(entity), table.point[entity])
    if not np.isfinite(found.value):
        raise InvalidInput("the entity has no reply with a finite known error")
    return float(found.point[0]), float(found.point[1])


def _check_constant(eco: LinearEcosystem) -> None:
    if not eco.constant:
        raise InvalidInput("play starts from constant weights; alpha or beta is a function of the generation")


def _at(eco: LinearEcosystem, point: Array) -> LinearEcosystem:
    return eco.with_weights(point[:, 0], point[:, 1])


def _best(problem: ReplyProblem, standing: Array) -> Found:
    """Return the best reply: a descent from where the entity stands, and from elsewhere if that is nearly as good."""
    return _better_elsewhere(problem, descend(problem, standing, _REPLY))


def _better_elsewhere(problem: ReplyProblem, here: Found) -> Found:
    """Descend from the best points of the grid, unless they lead to where one is or are much worse."""
    axis = np.linspace(0.0, 1.0, _GRID)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
    values = problem.values(grid[:, 0], grid[:, 1])
    elsewhere = np.where(np.abs(grid - here.point).max(axis=1) > _BESIDE, values, np.inf)
    for best in {int(np.argmin(values)), int(np.argmin(elsewhere))}:
        if values[best] < here.value or elsewhere[best] < _WORTH * here.value:
            here = here.or_better(descend(problem, grid[best], _REPLY))
    return here


class _Table:
    """The weights on the table, and what everybody adds to the pool under them.

    Attributes:
        point: alpha and beta of every entity, shape (K, 2).
    """

    def __init__(self, spec: Specification, weights: Weights) -> None:
        self._spec = spec.conditioned
        self.point = np.stack([weights.alpha, weights.beta], axis=1)
        self._total, self._suspect = self._added_up()

    def round(self) -> float:
        """Let everybody reply once; return the largest change of a weight."""
        before = self.point.copy()
        self._total, self._suspect = self._added_up()
        for k in range(len(self.point)):
            self._move(k, descend(self.problem(k), self.point[k], _REPLY))
        return float(np.abs(self.point - before).max())

    def ask_everybody(self) -> Array:
        """Let everybody look over the whole square, and move if that pays; return the relative gains, shape (K,)."""
        gains = np.zeros(len(self.point))
        self._total, self._suspect = self._added_up()
        for k in range(len(self.point)):
            problem = self.problem(k)
            here = Found(self.point[k], problem(self.point[k])[0])
            found = _better_elsewhere(problem, here)
            gains[k] = 1.0 - found.value / here.value if found.value < here.value else 0.0
            if gains[k] > _GAIN:
                self._move(k, found)
        return gains

    def problem(self, entity: int) -> ReplyProblem:
        """Return what one entity faces.

        Args:
            entity: its number.
        """
        spec = self._spec.with_weights(self.point[:, 0], self.point[:, 1])
        doubtful = self._suspect.copy()
        doubtful[entity] = False
        if doubtful.any():
            return ReplyProblem(spec, entity, None)
        return ReplyProblem(
            spec, entity, Sums(*(a - b for a, b in zip(self._total, self._own(entity)[0], strict=True)))
        )

    def _move(self, entity: int, found: Found) -> None:
        if not np.isfinite(found.value):
            found = _best(self.problem(entity), self.point[entity])
        before = self._own(entity)[0]
        self.point[entity] = found.point
        after, self._suspect[entity] = self._own(entity)
        self._total = Sums(*(a - b + c for a, b, c in zip(self._total, before, after, strict=True)))

    def _own(self, entity: int) -> tuple[Sums, bool]:
        """Return what one entity adds to the pool."""
        model = LimitModel(self._spec, slice(entity, entity + 1))
        (answers,) = model.answers(self.point[entity, :1, None], self.point[entity, 1:, None], self._spec)
        return Sums.of(answers), bool(answers.doubtful(self._spec).any())

    def _added_up(self) -> tuple[Sums, Mask]:
        """Return what all add to the pool, and who is left to a slower way, shape (K,)."""
        blocks = LimitModel(self._spec).answers(self.point[None, :, 0], self.point[None, :, 1], self._spec)
        doubtful = np.concatenate([each.doubtful(self._spec)[0] for each in blocks])
        return reduce(Sums.plus, map(Sums.of, blocks)), doubtful
