"""A plan on the surrogate as files (CSV, Parquet, PDF, PNG, SVG)."""

from __future__ import annotations

from pathlib import Path

from crossfeed.forecasting.planning import ForecastPlan
from crossfeed.reporting.files import pictures, write_results
from crossfeed.reporting.forecasts.plan_figures import forecast_plan_figure

__all__ = ["write_forecast_plan"]


def write_forecast_plan(plan: ForecastPlan, folder: Path, figure_width: float | None = None) -> list[Path]:
    """Write ``landscape``, ``prices`` and ``entities`` (CSV, Parquet), the landscape's figure, and the description.

    Args:
        plan: What to write.
        folder: Where to; files of an earlier plan are replaced.
        figure_width: Inches that PDF figures are wide at most, for a paper; default: as on a wide screen.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    tables = {"landscape": plan.landscape, "prices": plan.prices, "entities": plan.entities}
    figures = {"landscape": lambda width: forecast_plan_figure(plan, width)}
    return write_results(folder, plan.experiment, tables, pictures(figures, figure_width))
