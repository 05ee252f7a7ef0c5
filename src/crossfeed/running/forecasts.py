"""A run that is forecast while it goes on: when the forecast is made again, what is said of it, what is left out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from statistics import median
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from crossfeed.description.experiment import Cell
from crossfeed.errors import StoreError
from crossfeed.protocols import Forecaster
from crossfeed.records import scope_of
from crossfeed.running.failures import failure_of
from crossfeed.running.left_out import left_out_of, percent, read_left_out, reason
from crossfeed.running.session import Session

__all__ = ["Forecasts"]

_SHARE: Final = 0.02
"""The share of a run's time that forecasts may take while cells are run."""

T = TypeVar("T")


class Forecasts:
    """A run's forecaster in its main process; without one, nothing is forecast and nothing is left out.

    A forecaster that fails costs its forecasts, not the run: that is logged, and the run goes on without it.

    Args:
        session: The session of the main process.
        threshold: Cells whose losses are known to within this share are left out; None for no cells.
    """

    def __init__(self, session: Session, threshold: float | None) -> None:
        self._session = session
        self._forecaster: Forecaster | None = session.forecaster
        self._threshold = threshold
        self._open: dict[int, Cell] = {}
        self._measured: list[Cell] = []
        self._errors: list[float] = []
        self._called, self._took = time.monotonic(), 0.0
        self._is_old = True

    def stays_out(self, cell: Cell) -> bool:
        """Return True if a cell was left out and still is: by this threshold; the document of any other is dropped.

        Args:
            cell: The cell.
        """
        store = self._session.setup.store
        known = read_left_out(store, cell.name)
        if known is None:
            return False
        if self._threshold is not None and known["half_width"] <= self._threshold:
            self._log(f"{cell.name}: left out before, {reason(known['half_width'])}")
            return True
        store.drop_document(left_out_of(cell.name))
        return False

    def begin(self) -> None:
        """Begin a sweep; if cells may be left out, forecast from what an earlier process stored."""
        if self._forecaster is None:
            return
        cells = self._session.setup.experiment.cells()
        self._open = {position: cell for position, cell in enumerate(cells) if not self._session.is_finished(cell)}
        stored = len(self._open) < len(cells) or self._session.setup.store.read_result("forecast") is not None
        if self._threshold is not None and stored:
            self._refresh()

    def after(self, cells: Sequence[int]) -> None:
        """Forecast again after cells, if the last time took little of the time that has passed since.

        Args:
            cells: Positions of cells that finished or failed.
        """
        self._is_old = True
        for position in cells:
            cell = self._open.get(position)
            if cell is not None and self._session.is_finished(cell):
                self._measured.append(self._open.pop(position))
        if not self._took or self._took < _SHARE * (time.monotonic() - self._called):
            self._refresh()

    def end(self) -> None:
        """Forecast at the end of a sweep, unless that was done after its last cell."""
        if self._is_old:
            self._refresh()

    def leave_out(self, position: int) -> bool:
        """Leave a cell out if its losses are known well enough.

        Args:
            position: The cell's position in the experiment.

        Returns:
            True if it was left out, and need not be run.
        """
        forecaster, threshold = self._forecaster, self._threshold
        if forecaster is None or threshold is None:
            return False
        cell = self._session.setup.experiment.cells()[position]
        half_width = self._guarded(lambda: forecaster.known(cell.name))
        if half_width is None or not half_width <= threshold:
            return False
        store = self._session.setup.store
        store.write_document(left_out_of(cell.name), {"half_width": float(half_width), "threshold": threshold})
        store.drop_document(failure_of(cell))  # of an earlier try
        self._log(f"{cell.name}: left out, {reason(half_width)}")
        return True

    def _refresh(self) -> None:
        if self._forecaster is None:
            return
        self._called, forecaster = time.monotonic(), self._forecaster
        self._guarded(lambda: self._forecast_again(forecaster))
        self._is_old = False
        self._took = time.monotonic() - self._called

    def _forecast_again(self, forecaster: Forecaster) -> None:
        self._errors += self._errors_of(self._measured)
        self._measured = []
        forecaster.refresh()
        self._report([forecaster.known(cell.name) for cell in self._open.values()])

    def _report(self, known: Sequence[float | None]) -> None:
        """Log how well cells that are not measured are known, and how far off forecasts of measured ones were."""
        said = []
        if widths := [width for width in known if width is not None]:
            cells = "1 cell is" if len(widths) == 1 else f"{len(widths)} cells are"
            said.append(f"the last losses of {cells} known to within {percent(median(widths))} (median)")
        if self._errors:
            said.append(f"those measured since they were forecast were {percent(median(self._errors))} off (median)")
        if said:
            self._log(f"forecast: {'; '.join(said)}")

    def _errors_of(self, cells: Sequence[Cell]) -> list[float]:
        """Return relative errors of what had been forecast for the last generation of cells measured since."""
        table = self._session.setup.store.read_result("forecast") if cells else None
        return [] if table is None else [error for cell in cells for error in self._errors_in(table, cell)]

    def _errors_in(self, table: pa.Table, cell: Cell) -> Iterator[float]:
        last = cell.experiment.generations
        measured = self._session.setup.store.read_table("records", scope_of(cell, last), last).to_pylist()
        values = {(row["model"], row["task"], row["metric"]): row["value"] for row in measured}
        is_wanted = (
            (pc.field("cell") == cell.name) & (pc.field("generation") == last) & (pc.field("basis") == "forecast")
        )
        for row in table.filter(is_wanted).to_pylist():
            value = values.get((row["model"], row["task"], row["metric"]))
            if value:
                yield abs(row["value"] / value - 1)

    def _guarded(self, work: Callable[[], T]) -> T | None:
        """Call the forecaster; if it fails, the run goes on without it."""
        try:
            return work()
        except StoreError:  # the run cannot go on either
            raise
        except Exception as error:
            self._forecaster = None
            self._log(f"forecasting stopped ({type(error).__name__}: {error}); the run goes on without it")
            return None

    def _log(self, text: str) -> None:
        self._session.setup.progress.log(text)
