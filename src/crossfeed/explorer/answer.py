"""Exact theory at one setting of the sliders: trajectories, the limit and the influence of every source.

Numbers come from `crossfeed.theory` by the way that `crossfeed.exact.prediction` takes; nothing is computed here.
All parts of an answer are computed at once: at K = 50 and d = 30 it takes less than a tenth of a second
(`benchmarks/explore.py`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.description.experiment import Experiment
from crossfeed.exact.linear_ecosystem import RegressionData, linear_ecosystem
from crossfeed.exact.prediction import long_run
from crossfeed.protocols import Array
from crossfeed.settings import TaskSettings
from crossfeed.theory import Limit, LinearEcosystem, limiting_mse, relative_efficiency
from crossfeed.theory.error_quantiles import BANDS, ErrorLaw
from crossfeed.theory.influence import influence_shares

__all__ = ["Answer", "Data"]


#: Longer trajectories are read at so many generations, early ones densely.
_MOST_GENERATIONS: Final = 60
#: Data sets that are kept for when a slider comes back.
_MOST_KEPT: Final = 500


class Data:
    """Data sets that descriptions name, drawn once while a slider moves that they do not depend on."""

    def __init__(self) -> None:
        self._source, self._drawn = RegressionData(), 0
        self._last: Mapping[str, TaskSettings] = {}

    def ecosystem(self, experiment: Experiment) -> LinearEcosystem:
        """Return theory's description of an experiment.

        Args:
            experiment: The experiment.

        Raises:
            InvalidDescription: It has no linear theory.
            DataUnavailable: Features cannot be read.
        """
        wanted = {**experiment.tasks, "public": experiment.public}
        if wanted != self._last:
            self._last, self._drawn = wanted, self._drawn + len(wanted)
            if self._drawn > _MOST_KEPT:
                self._source, self._drawn = RegressionData(), len(wanted)
        return linear_ecosystem(experiment, self._source)


@dataclass(frozen=True)
class Answer:
    """Exact results for one experiment of linear models.

    Attributes:
        experiment: The experiment.
        eco: Theory's description of it.
        generations: t of the trajectories, shape (n,).
        mse: E |theta_tk - theta*_k|^2, shape (n, K).
        law: ``limit``, how errors grow where there is none (`crossfeed.theory.Growth`), or ``schedule``: the weights
            never settle, or settle where the limit depends on their past.
        spectral_radius: Of the lifted Q; nan where weights never settle.
        rate: Of the growth; nan otherwise.
        bias_squared: Of the limit, shape (K,); nan where there is none.
        variance: Likewise.
        limit: MSE in the limit, likewise.
        middle: The entity whose limiting error is the middle one, the lower of two; 0 where there is no limit.
        bands: What 5, 50 and 95 % of replicates' squared errors of that entity stay below in the limit, shape (3,); nan
            without one.
        efficiency: Relative efficiency, shape (K,); 0 where there is no limit, nan where it cannot be said.
        objective: Mean limiting MSE as `crossfeed.exact.planning` has it: infinite where there is no limit or it is not
            known.
        dispersion: Mean over pairs of E |theta_k - theta_l|^2 in the limit; nan without one.
        undetermined: Names of entities whose data and pool do not determine their estimate (G_k is singular).
        influence: Share of every source in every entity's mean, shape (K, K + 1); the public data last.
        influence_at: The generation that `influence` is of; None: the limit.
    """

    experiment: Experiment
    eco: LinearEcosystem
    generations: NDArray[np.int64]
    mse: Array
    law: str
    spectral_radius: float
    rate: float
    bias_squared: Array
    variance: Array
    limit: Array
    middle: int
    bands: Array
    efficiency: Array
    objective: float
    dispersion: float
    undetermined: tuple[str, ...]
    influence: Array
    influence_at: int | None

    @classmethod
    def of(cls, experiment: Experiment, data: Data) -> Answer:
        """Ask theory.

        Args:
            experiment: One cell's.
            data: Where its data sets come from.

        Raises:
            InvalidDescription: It has no linear theory.
            DataUnavailable: Features cannot be read.
        """
        eco = data.ecosystem(experiment)
        generations = _asked(experiment.generations)
        outcome = long_run(experiment.ecosystem, eco)
        nothing = np.full(eco.entities, np.nan)
        law, last, limit = outcome if outcome is not None else ("schedule", eco, None)
        settled = limit is not None and law == "limit"
        growth = None if limit is None else limit.growth
        errors = limit.mse if limit is not None and settled else nothing
        middle = int(np.argsort(errors)[(eco.entities - 1) // 2]) if settled else 0
        names = experiment.ecosystem.names
        known = np.ones(eco.entities, dtype=bool) if limit is None else limit.full_rank
        return cls(
            experiment=experiment,
            eco=eco,
            generations=generations,
            mse=eco.moments(generations).mse,
            law=law,
            spectral_radius=np.nan if limit is None else limit.spectral_radius,
            rate=np.nan if growth is None else growth.rate,
            bias_squared=limit.bias_squared if limit is not None and settled else nothing,
            variance=limit.variance if limit is not None and settled else nothing,
            limit=errors,
            middle=middle,
            bands=_bands(limit, middle) if limit is not None and settled else np.full(len(BANDS), np.nan),
            efficiency=nothing if law == "schedule" else relative_efficiency(last, limit),
            objective=np.inf if law == "schedule" else float(limiting_mse(last, limit).mean()),
            dispersion=limit.dispersion if limit is not None and settled else np.nan,
            undetermined=tuple(name for name, full in zip(names, known, strict=True) if not full),
            influence=limit.influence
            if limit is not None and settled
            else influence_shares(eco, experiment.generations),
            influence_at=None if settled else experiment.generations,
        )


def _bands(limit: Limit, entity: int) -> Array:
    """Return the quantiles of one entity's squared error, shape (3,)."""
    one = slice(entity, entity + 1)
    law = ErrorLaw.of(limit.mean[one] - limit.specification.truths[one], limit.covariance[one])
    return law.quantiles(BANDS)[:, 0]


def _asked(last: int) -> NDArray[np.int64]:
    """Return all generations to the last one, or some of them, densest at the beginning."""
    if last < _MOST_GENERATIONS:
        return np.arange(last + 1)
    some = np.append(0, np.geomspace(1, last, _MOST_GENERATIONS - 1).round())
    return np.unique(some).astype(np.int64)
