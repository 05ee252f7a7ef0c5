"""The best weights of an experiment in the limit, the price of other weights, and selfish play.

The description's own weights are one of the points compared; what is not free (data, history, noise, and whatever a
plan is not asked to choose) is held as described. See `crossfeed.theory.planning` and `crossfeed.theory.equilibrium`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import Final, get_args

import numpy as np
import pandas as pd

from crossfeed.description.experiment import Experiment
from crossfeed.display.notebook import page
from crossfeed.errors import InvalidDescription, InvalidInput
from crossfeed.exact.linear_ecosystem import linear_ecosystem, settled_weights
from crossfeed.exact.schedules import HorizonPlan, horizon_plan
from crossfeed.protocols import Array
from crossfeed.theory import (
    Chosen,
    Criterion,
    Equilibrium,
    Landscape,
    LinearEcosystem,
    Objective,
    Optimum,
    Play,
    Weights,
    best_choice,
    landscape,
    limiting_mse,
    nash_points,
    optimal_weights,
)
from crossfeed.theory.choices import Freedom
from crossfeed.theory.fronts import Front, dispersion_front
from crossfeed.theory.objectives import criterion_value
from crossfeed.theory.schedules import Over

__all__ = ["Plan", "check_one_ecosystem", "objective_of", "plan"]


#: The landscape's axes. Errors grow without bounds towards alpha = 1, so one more step is taken there.
_BETAS: Final = np.linspace(0.0, 1.0, 41)
_ALPHAS: Final = np.sort(np.append(_BETAS, 0.99))
_SEARCHED: Final[tuple[Freedom, ...]] = ("alpha", "beta")


@dataclass(frozen=True, repr=False)
class Plan:
    """The best weights and the cost of other weights.

    Attributes:
        experiment: The experiment.
        objective: ``mean``, ``worst`` or an entity's name: the limiting MSE that is minimised.
        criterion: The same with the prices of dispersion and of fresh data.
        optimum: The best common weights and the objective there.
        landscape: The objective over common weights, in steps of 1/40; infinite where there is no limit.
        own: The best weights of each entity's own, chosen together.
        play: What entities choose each for itself; None where one has no finite reply.
        chosen: The best of what was left free, where that is not common alpha and beta or each entity's own.
        prices: ``where, alpha, beta, fresh_fraction, value, price``: the objective at the common and the per-entity
            optimum, the Nash point, the description's own weights (unless its grid varies them), one half and one half,
            and at what was chosen; and its relative excess over the per-entity optimum's. Alpha and beta are nan where
            entities differ.
        entities: ``model, mse, own_alpha, own_beta, own_mse, nash_alpha, nash_beta, nash_mse``: each entity's limiting
            MSE at the common optimum, and its weights and MSE at the per-entity optimum and at the Nash point (nan
            without one).
        horizon: The best schedule over a number of generations; None where none was asked for.
        front: The least error of common weights at every dispersion; None where it was not asked for.
    """

    experiment: Experiment
    objective: str
    criterion: Criterion
    optimum: Optimum
    landscape: Landscape
    own: Chosen
    play: Play | None
    chosen: Chosen | None
    prices: pd.DataFrame
    entities: pd.DataFrame
    horizon: HorizonPlan | None
    front: Front | None

    @property
    def nash(self) -> Equilibrium | None:
        """The Nash point of least mean error, or where play was stopped; None where an entity has no finite reply."""
        return None if self.play is None else self.play.first

    def __repr__(self) -> str:
        best = self.optimum
        weights = f"alpha: {best.alpha:.3f}, beta: {best.beta:.3f}"
        return f"Plan({self.experiment.name!r}, {self.objective}, {weights}, value: {best.value:.6g})"

    def _repr_html_(self) -> str:
        best = self.optimum
        facts = {"minimised": self.objective, "best alpha": f"{best.alpha:.3f}", "best beta": f"{best.beta:.3f}"}
        tables = {"The price of other weights": self.prices, "Together and each for itself": self.entities}
        columns = {caption: table.to_dict("list") for caption, table in tables.items()}
        return page(f"Plan of {self.experiment.name} ({self.experiment.id})", facts, columns)


def plan(
    experiment: Experiment,
    objective: str = "mean",
    *,
    free: Collection[str] = _SEARCHED,
    per_entity: bool = False,
    held: Collection[str] = (),
    dispersion_price: float = 0.0,
    fresh_price: float = 0.0,
    horizon: int | None = None,
    over: Over = "last",
    front: bool = False,
) -> Plan:
    """Search the best common weights, the best of each entity's own, and the choices of selfish entities.

    Args:
        experiment: An experiment with the linear learner and regression tasks; its grid may vary alpha and beta only.
        objective: ``mean``, ``worst`` or an entity's name: the limiting MSE to minimise.
        free: What else may be chosen: some of ``alpha``, ``beta``, ``fresh_fraction``, ``shares``.
        per_entity: Whether the alpha and beta so chosen are each entity's own.
        held: Names of entities that keep their described alpha and beta in that choice.
        dispersion_price: What a unit of dispersion, the mean squared distance between two entities, adds to the error;
            negative to pay for variety.
        fresh_price: What a pool of fresh data alone would add to the error; a fraction costs its part.
        horizon: Number of generations over which alpha and beta may also change with the generation.
        over: ``last`` for the error at the horizon, ``mean`` for the mean error over the generations up to it.
        front: Whether the least error at every dispersion is searched as well.

    Returns:
        The optima, the landscape around the common one, and the prices of other weights.

    Raises:
        InvalidDescription: The description has no linear theory, its update scheme fixes alpha, or its updates have
            steps or a ridge.
        InvalidInput: The objective, a name or what is free is unknown, or no weights give a finite error.
        DataUnavailable: Features cannot be read.
    """
    _check_one_pool(experiment)
    check_one_ecosystem(experiment)
    _check_minimised(experiment)
    names = experiment.ecosystem.names
    criterion = Criterion(objective_of(objective, names), dispersion_price, fresh_price).check(len(names))
    described = _described(experiment, linear_ecosystem(experiment), free)
    ground = landscape(described, _ALPHAS, _BETAS, criterion)
    best = optimal_weights(described, criterion, ground)
    common = _replaced(described, best.alpha, best.beta)
    play = _play(described.with_choice(common))
    starts = [common, *(_own_weights(common, point) for point in (play.points if play else ()))]
    own = best_choice(described, _SEARCHED, criterion, per_entity=True, starts=starts)
    chosen, kept = None, _numbers(held, names)
    if (set(free), tuple(held)) != (set(_SEARCHED), ()):
        chosen = best_choice(
            described, free, criterion, per_entity=per_entity, held=kept, starts=[own.weights, *starts]
        )
    points = dict(_points(experiment, described, common, own, play, chosen))
    compared = {name: at for name, at in points.items() if name in ("common optimum", "description")}
    timed = None
    if horizon is not None:
        timed = horizon_plan(
            described, names, horizon, over, free, criterion, per_entity=per_entity, held=kept, compared=compared
        )
    return Plan(
        experiment,
        objective,
        criterion,
        best,
        ground,
        own,
        play,
        chosen,
        prices=_priced(points, described, criterion, own.value),
        entities=_by_entity(names, described.with_choice(common), own, play),
        horizon=timed,
        front=dispersion_front(described, _smooth(criterion)) if front else None,
    )


def check_one_ecosystem(experiment: Experiment) -> None:
    """Refuse experiments that vary more than weights, or leave no weights to choose.

    Args:
        experiment: The experiment.

    Raises:
        InvalidDescription: Its grid varies something other than alpha and beta, or its update scheme fixes alpha.
    """
    other = [path for path in experiment.grid if path not in {"ecosystem.alpha", "ecosystem.beta"}]
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


def _check_one_pool(experiment: Experiment) -> None:
    """Refuse networks and clocks, of which no gradient is known, before anything else is asked for."""
    cells = experiment.cells()
    pooled = [cell for cell in cells if cell.experiment.ecosystem.network is None and cell.experiment.ecosystem.in_step]
    if len(pooled) == len(cells):
        return
    kept = pooled[0].point if pooled else {}
    chosen = " ".join(
        f"--set '{path}={json.dumps(value)}'"
        for path, value in kept.items()
        if path not in {"ecosystem.alpha", "ecosystem.beta"}
    )
    instead = f"choose {chosen}" if chosen else "leave them out"
    raise InvalidDescription(
        "ecosystem: a plan of linear models is of one pool that all read in step, and here a network says who reads "
        f"whom, or a clock who trains when; {instead}, or put alpha and beta on the grid as well and compare them with "
        "crossfeed predict"
    )


def _check_minimised(experiment: Experiment) -> None:
    given = [name for name in ("steps", "ridge") if experiment.learner.model_dump().get(name)]
    if given:
        raise InvalidDescription(
            f"learner.{given[0]}: a plan of linear models is of updates that are minimised in full; leave "
            f"{' and '.join(given)} out, or put alpha and beta on a grid and compare them with crossfeed predict"
        )


def objective_of(objective: str, names: tuple[str, ...]) -> Objective:
    """Return the theory's objective; names of entities come first, so that one may be called mean.

    Args:
        objective: ``mean``, ``worst`` or an entity's name.
        names: The entities' names.

    Raises:
        InvalidInput: The objective is none of these.
    """
    if objective in names:
        return names.index(objective)
    if objective == "mean":
        return "mean"
    if objective == "worst":
        return "worst"
    raise InvalidInput(f"--objective {objective}: give mean, worst or an entity: {', '.join(names)}")


def _smooth(criterion: Criterion) -> Objective:
    if criterion.objective == "worst":
        raise InvalidInput("--front: of the mean error or of one entity's; give --objective mean or an entity")
    return criterion.objective


def _numbers(held: Collection[str], names: tuple[str, ...]) -> list[int]:
    unknown = [name for name in held if name not in names]
    if unknown:
        raise InvalidInput(f"--hold {', '.join(unknown)}: give entities: {', '.join(names)}")
    return [names.index(name) for name in held]


def _described(experiment: Experiment, eco: LinearEcosystem, free: Collection[str]) -> LinearEcosystem:
    """Return the ecosystem under its lasting weights, with public rows as fresh data where those may be chosen."""
    unknown = [name for name in free if name not in get_args(Freedom)]
    if unknown or not free:
        raise InvalidInput(f"--free {','.join(free)}: give some of {', '.join(get_args(Freedom))}")
    varied = [path for path in experiment.grid if path.rpartition(".")[2] not in free]
    if varied:
        raise InvalidDescription(
            f"grid: {varied[0]} varies, and is not free; choose a value with --set {varied[0]}=VALUE"
        )
    settled = settled_weights(experiment.ecosystem)
    if settled is None and not set(_SEARCHED) <= set(free):
        raise InvalidDescription("ecosystem.alpha: weights that never settle cannot be held; leave alpha and beta free")
    alpha, beta = settled if settled is not None else (_half(eco), _half(eco))
    lasting = eco.with_weights(alpha, beta)
    if lasting.fresh is None and "fresh_fraction" in free:
        return lasting.with_choice(Weights.of(lasting.specification), fresh=lasting.public)
    return lasting


def _half(eco: LinearEcosystem) -> Array:
    return np.full(eco.entities, 0.5)


def _replaced(eco: LinearEcosystem, alpha: float, beta: float) -> Weights:
    """Return the ecosystem's weights with a common alpha and beta."""
    base = Weights.of(eco.specification)
    return Weights(np.full(eco.entities, alpha), np.full(eco.entities, beta), base.shares, base.fresh_fraction)


def _own_weights(common: Weights, point: Equilibrium) -> Weights:
    return replace(common, alpha=point.alpha, beta=point.beta)


def _play(common: LinearEcosystem) -> Play | None:
    try:
        return nash_points(common)
    except InvalidInput:  # an entity has no finite reply
        return None


def _points(
    experiment: Experiment, eco: LinearEcosystem, common: Weights, own: Chosen, play: Play | None, chosen: Chosen | None
) -> Iterator[tuple[str, Weights]]:
    if chosen is not None:
        yield "chosen", chosen.weights
    yield "common optimum", common
    yield "per-entity optimum", own.weights
    if play is not None:
        yield "nash", _own_weights(common, play.first)
    if not experiment.grid and settled_weights(experiment.ecosystem) is not None:
        yield "description", Weights.of(eco.specification)
    yield "half and half", _replaced(eco, 0.5, 0.5)


def _priced(points: dict[str, Weights], eco: LinearEcosystem, criterion: Criterion, least: float) -> pd.DataFrame:
    rows = [
        (where, _one(at.alpha), _one(at.beta), at.fresh_fraction, criterion_value(eco.with_choice(at), criterion))
        for where, at in points.items()
    ]
    prices = pd.DataFrame(rows, columns=["where", "alpha", "beta", "fresh_fraction", "value"])
    return prices.assign(price=prices["value"] / least - 1.0)


def _one(values: Array) -> float:
    """Return the weight that all entities share; NaN where they differ."""
    return float(values[0]) if (values == values[0]).all() else np.nan


def _by_entity(names: tuple[str, ...], common: LinearEcosystem, own: Chosen, play: Play | None) -> pd.DataFrame:
    nothing = np.full(len(names), np.nan)
    nash = (nothing, nothing, nothing) if play is None else (play.first.alpha, play.first.beta, play.first.mse)
    columns = {
        "model": names,
        "mse": limiting_mse(common),
        "own_alpha": own.weights.alpha,
        "own_beta": own.weights.beta,
        "own_mse": own.mse,
        **dict(zip(("nash_alpha", "nash_beta", "nash_mse"), nash, strict=True)),
    }
    return pd.DataFrame(columns)
