"""A prediction and a plan as files (CSV, Parquet, PDF, PNG, SVG)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.figure import Figure

from crossfeed.exact.discrete_ecosystem import is_discrete
from crossfeed.exact.planning import Plan
from crossfeed.exact.prediction import Prediction
from crossfeed.reporting.data.measured_mix import MeasuredPlan
from crossfeed.reporting.files import pictures, write_results
from crossfeed.reporting.theory.figures import efficiency_figure, front_figure, plan_figure, trajectory_figure
from crossfeed.reporting.theory.plain import front_table, landscape_table

__all__ = ["write_measured_plan", "write_plan", "write_prediction"]


def write_prediction(prediction: Prediction, folder: Path, figure_width: float | None = None) -> list[Path]:
    """Write ``records`` and, where there is one, ``limit`` (CSV, Parquet), figures that apply, and the description.

    Args:
        prediction: What to write.
        folder: Where to; files of an earlier prediction are replaced.
        figure_width: Inches that PDF figures are wide at most, for a paper; default: as on a wide screen.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    tables = {"records": prediction.records}
    if prediction.tables["limit"]["value"] or not is_discrete(prediction.experiment):
        tables["limit"] = prediction.limit
    figures = {
        "efficiency": lambda width: efficiency_figure(prediction, width),
        "trajectory": lambda width: trajectory_figure(prediction, width),
    }
    return write_results(folder, prediction.experiment, tables, pictures(figures, figure_width))


def write_plan(plan: Plan, folder: Path, figure_width: float | None = None) -> list[Path]:
    """Write ``landscape``, ``prices`` and ``entities`` (CSV, Parquet), the landscape's figure, and the description.

    A plan over a horizon has ``schedule`` and ``schedule_prices`` besides, one with a front ``front`` and its figure.

    Args:
        plan: What to write.
        folder: Where to; files of an earlier plan are replaced.
        figure_width: See `write_prediction`.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    tables = {"landscape": landscape_table(plan), "prices": plan.prices, "entities": plan.entities}
    figures: dict[str, Callable[[float], Figure]] = {"landscape": lambda width: plan_figure(plan, width)}
    if plan.horizon is not None:
        tables |= {"schedule": plan.horizon.weights, "schedule_prices": plan.horizon.prices}
    if plan.front is not None:
        front = plan.front
        tables["front"], figures["front"] = front_table(plan), lambda width: front_figure(front, width)
    return write_results(folder, plan.experiment, tables, pictures(figures, figure_width))


def write_measured_plan(plan: MeasuredPlan, folder: Path) -> list[Path]:
    """Write ``mixes``, ``neighbours`` and ``entities`` (CSV, Parquet), and the run's description.

    Args:
        plan: What to write.
        folder: Where to; files of an earlier plan are replaced.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    tables = {"mixes": plan.mixes, "neighbours": plan.neighbours, "entities": plan.entities}
    return write_results(folder, plan.run.experiment, tables, {})
