"""The protocol of what forecasts the cells of a run while it goes on."""

from __future__ import annotations

from typing import Protocol

from crossfeed.protocols.learning import Learner

__all__ = ["Forecaster"]


class Forecaster(Protocol):
    """A forecaster of a run's cells, from what is stored of the run.

    Every process of a run has its own, made from its session (`crossfeed.run`): before the run is begun, so that it can
    refuse an experiment; the store is for its verbs. The numbers of a cell are the same with and without it.
    """

    def traced(self, learner: Learner, cell: int) -> Learner:
        """Return the learner through which a cell is run, which notes learning curves on the way.

        Args:
            learner: The cell's learner, which is a `crossfeed.protocols.TracedLearner`.
            cell: The cell's position in the experiment.

        Returns:
            A learner of the same states, items and losses; the given one, if nothing is to be noted of this cell.
        """
        ...

    def refresh(self) -> None:
        """Forecast all cells again from everything that is stored, and store the result table ``forecast``.

        Its rows have ``cell``, ``generation``, ``model``, ``task``, ``metric`` and ``value``, as those of a run's
        records, and ``basis``: ``forecast`` for what the surrogate says within the range of what it was fitted to.
        Called in the main process, between cells. Where too little is stored, it does nothing.
        """
        ...

    def known(self, cell: str) -> float | None:
        """Return how well the last losses of a cell are known, by the last `refresh`.

        Args:
            cell: The cell's name.

        Returns:
            The largest half-width of the 80 % bands of its losses at its last generation, relative to their values;
            None if it cannot be told: nothing is fitted yet, the cell is of a seed that is not forecast, or some of it
            is extrapolated.
        """
        ...
