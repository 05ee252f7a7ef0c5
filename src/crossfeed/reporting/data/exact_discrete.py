"""Exact theory of a run of discrete models, grid point by grid point, for comparison with the measured numbers.

The theory's numbers are expectations over real data, draws and generated items. Replicates of one seed share their
draws, and seeds share the real data of a replicate, so neither alone gives the standard error of a run's mean.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Final

import pandas as pd

from crossfeed.exact.discrete import HETEROZYGOSITY, SURVIVORS
from crossfeed.exact.discrete_ecosystem import discrete_ecosystem
from crossfeed.exact.prediction import predict
from crossfeed.reporting.data.frames import Run

__all__ = ["DiscreteExact"]

#: Metrics that a run has, and the names of the theory's numbers: the expectation, or its bounds.
_NUMBERS: Final = {
    HETEROZYGOSITY: {HETEROZYGOSITY: "exact"},
    SURVIVORS: {SURVIVORS: "exact", f"{SURVIVORS}_lower": "lower", f"{SURVIVORS}_upper": "upper"},
}
_KEYS: Final = ["metric", "point", "model", "task", "generation"]


class DiscreteExact:
    """The theory of a run's grid points.

    Args:
        run: A run of discrete models.

    Raises:
        InvalidDescription: The description has no theory of discrete models; the message says why.
    """

    def __init__(self, run: Run) -> None:
        self._records = run.records
        cells = run.experiment.cells()[:: len(run.experiment.seeds)]
        for cell in cells:
            discrete_ecosystem(cell.experiment)  # refuses what is predicted without sampling noise alone
        parts = [predict(cell.experiment).records.assign(point=point) for point, cell in enumerate(cells)]
        records = pd.concat(parts, ignore_index=True)
        pieces = [
            records[records["metric"] == name].assign(metric=metric, number=number)
            for metric, names in _NUMBERS.items()
            for name, number in names.items()
        ]
        self._numbers = pd.concat(pieces, ignore_index=True)[[*_KEYS, "number", "value"]]

    @cached_property
    def metrics(self) -> frozenset[str]:
        """Metrics of which the expectation is known at every grid point."""
        exact = self._numbers[self._numbers["number"] == "exact"]
        points = exact.groupby("metric")["point"].nunique()
        return frozenset(points.index[points == self._numbers["point"].nunique()])

    def expected(self, metric: str, point: int, generations: Sequence[int]) -> pd.DataFrame:
        """Return expectations: ``model, task, generation, exact``.

        Args:
            metric: One of `metrics`.
            point: The grid point's position.
            generations: The generations t.
        """
        table = self._numbers
        keep = (table["metric"] == metric) & (table["point"] == point) & (table["number"] == "exact")
        own = table[keep & table["generation"].isin(list(generations))]
        return own[["model", "task", "generation", "value"]].rename(columns={"value": "exact"})

    @cached_property
    def beside(self) -> pd.DataFrame:
        """Numbers that were measured beside the theory's: ``metric, point, model, task, generation, measured``.

        Then ``exact``, or ``lower`` and ``upper`` where theory has bounds.
        """
        measured = self._records[self._records["metric"].isin(list(_NUMBERS))]
        means = measured.groupby(_KEYS, sort=False)[["value"]].mean().reset_index()
        wide = self._numbers.pivot_table(index=_KEYS, columns="number", values="value", sort=False).reset_index()
        found = means.rename(columns={"value": "measured"}).merge(wide, on=_KEYS, how="left")
        return found.reindex(columns=[*_KEYS, "measured", "exact", "lower", "upper"])
