"""Forecasts of a run's cells while it goes on: every finished generation enters the fit."""

from __future__ import annotations

from typing import cast

from crossfeed.errors import InvalidInput
from crossfeed.forecasting.answer import Cost
from crossfeed.forecasting.forecasts import forecast_of
from crossfeed.forecasting.probing import check_forecastable, probes_of
from crossfeed.forecasting.stored import keep_known, read_known
from crossfeed.forecasting.tracing import TracingLearner, traced
from crossfeed.generation.cell_context import CellContext
from crossfeed.protocols import Learner
from crossfeed.running.session import Session

__all__ = ["LiveForecast"]

_BUDGET = 5.0  # the cells that probes of this budget would run are looked at on the way, if they are on the grid


class LiveForecast:
    """A forecaster of the cells of a run's first seed (see `crossfeed.protocols.Forecaster`).

    Looked at on the way are generation 0, and generation 1 of the cells that `crossfeed forecast` would run as probes:
    more would slow the run down.

    Args:
        session: The session of this process.

    Raises:
        InvalidInput: The experiment cannot be forecast.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        experiment = session.setup.experiment
        check_forecastable(experiment)
        self._looked_at = {probe.cell.name for probe in probes_of(experiment, _BUDGET) if probe.on_grid}
        self._known: dict[str, float | None] = {}

    def traced(self, learner: Learner, cell: int) -> Learner:
        """Return a learner that keeps a cell's curves; of other seeds, the learner itself.

        Args:
            learner: The cell's learner.
            cell: The cell's position in the experiment.
        """
        experiment, store = self._session.setup.experiment, self._session.setup.store
        prepared = self._session.prepared(cell)
        if prepared.cell.seed != experiment.seeds[0]:
            return learner
        looked_at = traced(learner, prepared.cell.experiment.learner.kind)
        context = CellContext(prepared.cell, learner, prepared.tasks, prepared.fresh)
        keep_known(context, looked_at, [each for each in experiment.cells() if each.seed == experiment.seeds[0]], store)
        last = 1 if prepared.cell.name in self._looked_at else 0
        return cast(Learner, TracingLearner(looked_at, prepared.cell, prepared.tasks, store, last))

    def refresh(self) -> None:
        """Fit again to everything that is stored, and store the forecast; nothing happens if too little is stored."""
        experiment, store = self._session.setup.experiment, self._session.setup.store
        known = read_known(store, experiment, experiment.seeds[0])
        if known is None or not any(known.reached(store, cell) for cell in known.cells):
            return
        cost = Cost(0.0, 0.0, float(sum(cell.experiment.generations for cell in known.cells)), 0.0)
        try:
            made = forecast_of(experiment, known, store, (), cost, best=False)
        except InvalidInput:  # generation 0 is being measured right now
            return
        store.write_result("forecast", made.table)
        self._known = made.half_widths()

    def known(self, cell: str) -> float | None:
        """Return the largest relative half-width of the bands of a cell's last losses; None if it cannot be told.

        Args:
            cell: The cell's name.
        """
        return self._known.get(cell)
