"""A forecast as files (CSV, Parquet, PDF, PNG, SVG)."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from crossfeed.forecasting.answer import Forecast
from crossfeed.reporting.files import pictures, write_results
from crossfeed.reporting.forecasts.figures import figures_of
from crossfeed.reporting.forecasts.frames import Framed
from crossfeed.reporting.forecasts.plain import fit_rows

__all__ = ["write_forecast"]


def write_forecast(forecast: Forecast, folder: Path, figure_width: float | None = None) -> list[Path]:
    """Write ``forecast``, ``directions`` and ``fits`` (CSV, Parquet), the figures that apply, and the description.

    Args:
        forecast: What to write.
        folder: Where to; files of an earlier forecast are replaced.
        figure_width: Inches that PDF figures are wide at most, for a paper; default: as on a wide screen.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    fits = pd.DataFrame(fit_rows(forecast)).astype({"measured_error": float, "geometric_error": float})
    tables = {"forecast": forecast.table, "directions": Framed(forecast).directions, "fits": fits}
    return write_results(folder, forecast.experiment, tables, pictures(figures_of(forecast), figure_width))
