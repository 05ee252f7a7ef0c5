"""Plans on the surrogate: the best weights of models that can be forecast, the price of other weights, how sure it is.

The counterpart of `crossfeed.exact.planning` for models without exact theory. What is made least is not a limit but
the last losses of the description's generations, and every number has a band.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from crossfeed.description.experiment import Cell, Experiment
from crossfeed.display.notebook import page
from crossfeed.exact.planning import check_one_ecosystem, objective_of
from crossfeed.forecasting.answer import LOSS, Best, Cost, Fit
from crossfeed.forecasting.ecology import Conditions
from crossfeed.forecasting.forecasts import notes_on
from crossfeed.forecasting.identification import Identified, identify
from crossfeed.forecasting.mixes import (
    Judged,
    best_common,
    best_own,
    fitted_deviations,
    judged,
    mixed,
    objective_value,
)
from crossfeed.forecasting.probing import probed, probes_of
from crossfeed.forecasting.stored import Known, read_known
from crossfeed.protocols import Array, Progress, Store
from crossfeed.theory import Objective

__all__ = ["ForecastPlan", "forecast_plan", "plan_known", "stored_plan"]

_ALPHAS: Final = np.linspace(0, 1, 21)
_BETAS: Final = np.linspace(0, 1, 11)
_USUAL: Final = 5.0  # the budget of probes where none is given


@dataclass(frozen=True, repr=False)
class ForecastPlan:
    """The best weights by the surrogate, the price of others, and how sure that is.

    Values are last losses on private tasks (those that an entity owns): a model's is its mean over these tasks. Bands
    are of 80 %, and of one mix alone: what is wrong with two mixes that resemble each other is mostly the same.

    Attributes:
        experiment: The experiment.
        seed: The seed whose probes were run.
        objective: ``mean`` over the models, the ``worst`` model, or an entity's name: what is made least.
        common: The best alpha and beta that all entities share.
        own: The best alpha and beta of each entity, for the same objective.
        landscape: ``alpha, beta, value, lower, upper, price, dispersion, extrapolated`` of common weights, alpha in
            steps of 0.05 and beta of 0.1: the objective, the ends of its band (what the parameters leave open is
            computed in steps of twice that, and interpolated), its relative excess over the common optimum's, how
            unlike the models are (see `crossfeed.forecasting.mixes.dispersion`), and whether some task gets no real
            data, so that what is forgotten of it is an extrapolation.
        prices: ``where, alpha, beta`` and the same, of the common and the per-entity optimum and of the first cell as
            it is described; here the price is the excess over the per-entity optimum's. Alpha and beta are nan where
            entities or generations differ.
        entities: ``model`` and its numbers at these places: ``common, common_lower, common_upper``, ``own_alpha,
            own_beta, own, own_lower, own_upper``, and ``described, described_lower, described_upper``.
        alphas: The lowest and the highest alpha around the best, all at the best beta, whose objective is within the
            band of the best.
        betas: The same of beta, at the best alpha.
        fit: The identification.
        cost: What the probes cost.
        notes: Sentences on what may be wrong with it.
    """

    experiment: Experiment
    seed: int
    objective: str
    common: Best
    own: Best
    landscape: pd.DataFrame
    prices: pd.DataFrame
    entities: pd.DataFrame
    alphas: tuple[float, float]
    betas: tuple[float, float]
    fit: Fit
    cost: Cost
    notes: tuple[str, ...]

    @property
    def optimum(self) -> tuple[float, float]:
        """The best common alpha and beta."""
        return next(iter(self.common.alpha.values())), next(iter(self.common.beta.values()))

    @property
    def sureness(self) -> tuple[str, ...]:
        """Sentences on how far the best weights can be told from others."""
        alpha, beta = self.optimum
        told = [
            _told("alpha", self.alphas, f"at beta = {beta:.2f}"),
            _told("beta", self.betas, f"at alpha = {alpha:.2f}"),
        ]
        if self.common.described <= self.common.upper:
            whose = "The grid's first weights" if self.experiment.grid else "The described weights"
            told.append(f"{whose} are within the band of the best, too.")
        return tuple(told)

    def __repr__(self) -> str:
        alpha, beta = self.optimum
        best = f"alpha: {alpha:.2f}, beta: {beta:.2f}, value: {self.common.value:.4g}"
        return (
            f"ForecastPlan({self.experiment.name!r}, {self.objective}, {best}, band: {self.common.lower:.4g} to "
            f"{self.common.upper:.4g})"
        )

    def _repr_html_(self) -> str:
        alpha, beta = self.optimum
        facts = {
            "": " ".join((*self.sureness, *self.notes)),
            "minimised": self.objective,
            "best alpha": f"{alpha:.2f}",
            "best beta": f"{beta:.2f}",
            "seed": self.seed,
        }
        tables = {"The price of other weights": self.prices, "Each model": self.entities}
        columns = {caption: table.to_dict("list") for caption, table in tables.items()}
        return page(f"Plan of {self.experiment.name} ({self.experiment.id}), forecast", facts, columns)


def forecast_plan(
    experiment: Experiment,
    store: Store,
    objective: str = "mean",
    *,
    budget: float = _USUAL,
    data_root: Path | None = None,
    cache: Path | None = None,
    progress: Progress | None = None,
) -> ForecastPlan:
    """Search the best weights of models that can be forecast, from the probes that a forecast runs.

    Args:
        experiment: The experiment; its grid may vary alpha and beta only.
        store: The store of its run, where probes are kept, and those that are there are used.
        objective: ``mean``, ``worst`` or an entity's name: whose last loss on private tasks is made least.
        budget: What the probes may cost, in generations of one cell.
        data_root: A folder laid out ``<data set>/<split>.parquet`` to read instead of a hub; default none.
        cache: The folder in which base models are shared between runs; default `crossfeed.cache.default_cache`.
        progress: Reports progress; default nothing is reported.

    Returns:
        The plan, of the first seed.

    Raises:
        DataUnavailable: A data set cannot be reached.
        InvalidDescription: The grid varies something other than alpha and beta, or the update scheme fixes alpha.
        InvalidInput: The objective is unknown, the experiment cannot be forecast, or the budget is too small.
        MissingDependency: A part of the experiment is of a package that is not installed.
        StoreMismatch: The store holds another run, or the data changed.
        StoreError: The store cannot be written, or another process writes to it.
    """
    check_one_ecosystem(experiment)
    objective_of(objective, experiment.ecosystem.names)
    with probed(experiment, store, budget=budget, data_root=data_root, cache=cache, progress=progress) as (
        known,
        cells,
        cost,
    ):
        return plan_known(experiment, known, store, objective, [cell for cell, _ in cells], cost)


def stored_plan(experiment: Experiment, store: Store, objective: str = "mean") -> ForecastPlan | None:
    """Search the best weights by what a run has measured, and run nothing.

    Args:
        experiment: The run's experiment.
        store: Its store.
        objective: ``mean``, ``worst`` or an entity's name.

    Returns:
        The plan; None if losses were not looked at on the way, or no generation after 0 is measured.

    Raises:
        InvalidDescription: See `forecast_plan`.
        InvalidInput: The objective is unknown.
    """
    known = read_known(store, experiment, experiment.seeds[0])
    if known is None or not any(known.reached(store, cell) for cell in known.cells):
        return None
    probes = [probe.cell for probe in probes_of(experiment, _USUAL)]
    generations = float(sum(known.reached(store, cell) for cell in known.cells))
    return plan_known(experiment, known, store, objective, probes, Cost(0.0, 0.0, generations, 0.0))


def plan_known(
    experiment: Experiment, known: Known, store: Store, objective: str, probes: Sequence[Cell], cost: Cost
) -> ForecastPlan:
    """Search the best weights by what is stored.

    Args:
        experiment: The experiment.
        known: What is known of the cells of a seed.
        store: The store of the run.
        objective: ``mean``, ``worst`` or an entity's name.
        probes: The cells that were probed, also those that are not on the grid.
        cost: What that cost.

    Returns:
        The plan.

    Raises:
        InvalidDescription: See `forecast_plan`.
        InvalidInput: The objective is unknown, or generation 0 is not measured yet.
    """
    check_one_ecosystem(experiment)
    what = objective_of(objective, experiment.ecosystem.names)
    first, grid = known.cells[0], {cell.name for cell in known.cells}
    observations = known.observations(store, LOSS, [cell for cell in probes if cell.name not in grid])
    ground = _Ground(identify(observations), known.conditions(first), first.experiment, known.own, what)
    return ground.plan(experiment, objective, first.seed, cost)


@dataclass(frozen=True, eq=False)
class _Ground:
    """A surrogate, and what is asked of it.

    Attributes:
        identified: The surrogate.
        like: The conditions of the first cell.
        experiment: Its experiment.
        own: Index of each entity's private task.
        objective: What is made least.
    """

    identified: Identified
    like: Conditions
    experiment: Experiment
    own: Sequence[int]
    objective: Objective

    def plan(self, whole: Experiment, objective: str, seed: int, cost: Cost) -> ForecastPlan:
        """Search, and compare.

        Args:
            whole: The experiment of all cells.
            objective: The objective as it is called.
            seed: The seed whose probes were run.
            cost: What the probes cost.
        """
        identified = self.identified
        common = best_common(identified, self.like, self.experiment, self.own, self.objective)
        own = best_own(identified, self.like, self.experiment, self.own, common, self.objective)
        places = {
            "common optimum": self._mixed(list(common.alpha.values()), list(common.beta.values())),
            "per-entity optimum": self._mixed(list(own.alpha.values()), list(own.beta.values())),
            "first of the grid" if whole.grid else "description": self.like,
        }
        found = dict(zip(places, self._judged(list(places.values())), strict=True))
        alpha, beta = next(iter(common.alpha.values())), next(iter(common.beta.values()))
        return ForecastPlan(
            experiment=whole,
            seed=seed,
            objective=objective,
            common=common,
            own=own,
            landscape=self._landscape(common.value),
            prices=self._prices(found, common, own),
            entities=self._entities(list(found.values()), own),
            alphas=self._tied(common, _ALPHAS, alpha, lambda each: (each, beta)),
            betas=self._tied(common, _BETAS, beta, lambda each: (alpha, each)),
            fit=Fit(
                metric=LOSS,
                parameters=len(identified.parameters),
                observations=identified.observations.count,
                misfit=identified.misfit,
                seconds=identified.seconds,
            ),
            cost=cost,
            notes=tuple(self._notes(found)),
        )

    def _mixed(self, alpha: Any, beta: Any) -> Conditions:
        """Return the conditions of weights, each of them one for all entities or one for each."""
        shape = (len(self.own),)
        weights = (np.broadcast_to(np.asarray(each, dtype=np.float64), shape) for each in (alpha, beta))
        return mixed(self.like, self.experiment, self.own, *weights)

    def _judged(self, cells: Sequence[Conditions]) -> list[Judged]:
        return judged(self.identified, cells, self.own, self.objective)

    def _landscape(self, best: float) -> pd.DataFrame:
        places = [(float(alpha), float(beta)) for alpha in _ALPHAS for beta in _BETAS]
        cells = [self._mixed(*place) for place in places]
        # What the parameters leave open changes slowly from mix to mix, and takes long to compute.
        shape = len(_ALPHAS), len(_BETAS)
        every_second = [k for k in range(len(cells)) if k // shape[1] % 2 == 0 and k % shape[1] % 2 == 0]
        known = np.stack(fitted_deviations(self.identified, [cells[k] for k in every_second]))
        coarse = known.reshape((shape[0] + 1) // 2, (shape[1] + 1) // 2, *known.shape[1:])
        fitted = _between(_between(coarse).swapaxes(0, 1)).swapaxes(0, 1).reshape(len(cells), *known.shape[1:])
        found = judged(self.identified, cells, self.own, self.objective, list(fitted))
        rows = [(*place, *_numbers(there, best)) for place, there in zip(places, found, strict=True)]
        return pd.DataFrame(rows, columns=["alpha", "beta", *_NUMBERS])

    def _prices(self, found: dict[str, Judged], common: Best, own: Best) -> pd.DataFrame:
        ecosystem, generations = self.experiment.ecosystem, range(1, self.experiment.generations + 1)
        described = [np.concatenate([each(t) for t in generations]) for each in (ecosystem.alphas, ecosystem.betas)]
        weights = [
            *([np.array(list(each.values())) for each in (best.alpha, best.beta)] for best in (common, own)),
            described,
        ]
        rows = [
            (where, *map(_one, several), *_numbers(there, own.value))
            for (where, there), several in zip(found.items(), weights, strict=True)
        ]
        return pd.DataFrame(rows, columns=["where", "alpha", "beta", *_NUMBERS])

    def _entities(self, found: Sequence[Judged], own: Best) -> pd.DataFrame:
        columns: dict[str, Any] = {"model": self.experiment.ecosystem.names}
        for where, there in zip(("common", "own", "described"), found, strict=True):
            if where == "own":
                columns |= {"own_alpha": list(own.alpha.values()), "own_beta": list(own.beta.values())}
            names = (where, f"{where}_lower", f"{where}_upper")
            columns |= dict(zip(names, there.entities, strict=True))
        return pd.DataFrame(columns)

    def _tied(
        self, best: Best, grid: Array, at: float, place: Callable[[float], tuple[float, float]]
    ) -> tuple[float, float]:
        """Return the ends of the values around the best one, without a gap, that are within its band."""
        values = np.unique(np.append(grid, at))
        forecasts = self.identified.forecast([self._mixed(*place(float(each))) for each in values])
        within = [objective_value(each[-1], self.own, self.objective) <= best.upper for each in forecasts]
        middle = int(np.searchsorted(values, at))
        below = next((k for k in range(middle, -1, -1) if not within[k]), -1) + 1
        above = next((k for k in range(middle, len(values)) if not within[k]), len(values)) - 1
        return float(values[below]), float(values[above])

    def _notes(self, found: dict[str, Judged]) -> list[str]:
        unsure = [where for where, there in found.items() if there.extrapolated]
        notes = notes_on(self.identified)
        if unsure:
            notes.append(
                f"{', '.join(unsure)}: some task gets no real data there (alpha = 1, or beta = 0 or 1), and what is "
                "forgotten of it is taken to go on as it began"
            )
        return notes


_NUMBERS: Final = ("value", "lower", "upper", "price", "dispersion", "extrapolated")


def _numbers(there: Judged, best: float) -> tuple[float, float, float, float, float, bool]:
    return there.value, there.lower, there.upper, there.value / best - 1, there.dispersion, there.extrapolated


def _between(values: Array) -> Array:
    """Return values along the first axis with the means of neighbours between them."""
    finer = np.empty((2 * len(values) - 1, *values.shape[1:]))
    finer[::2], finer[1::2] = values, (values[1:] + values[:-1]) / 2
    return finer


def _one(values: Array) -> float:
    """Return the weight that all entities share; nan where they differ."""
    return float(values[0]) if (values == values[0]).all() else np.nan


def _told(name: str, ends: tuple[float, float], where: str) -> str:
    low, high = ends
    if low == high:
        return f"No other {name} that was tried, {where}, is as good within the band of the best."
    return f"Any {name} from {low:.2f} to {high:.2f} ({where}) is as good as can be told."
