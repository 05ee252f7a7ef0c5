"""A prediction and a plan as files (CSV, Parquet, PDF, PNG, SVG)."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from crossfeed.description.experiment import Experiment
from crossfeed.exact.planning import Plan
from crossfeed.exact.prediction import Prediction
from crossfeed.reporting.files import pictures, to_csv, write_contents
from crossfeed.reporting.theory.figures import efficiency_figure, front_figure, plan_figure, trajectory_figure
from crossfeed.reporting.theory.plain import front_table, landscape_table

__all__ = ["write_plan", "write_prediction"]


def write_prediction(prediction: Prediction, folder: Path) -> list[Path]:
    """Write ``records`` and ``limit`` (CSV, Parquet), the figures that apply, and the description.

    Args:
        prediction: What to write.
        folder: Where to; files of an earlier prediction are replaced.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    tables = {"records": prediction.records, "limit": prediction.limit}
    figures = {"efficiency": efficiency_figure(prediction), "trajectory": trajectory_figure(prediction)}
    return _write(folder, prediction.experiment, tables, figures)


def write_plan(plan: Plan, folder: Path) -> list[Path]:
    """Write ``landscape``, ``prices`` and ``entities`` (CSV, Parquet), the landscape's figure, and the description.

    A plan over a horizon has ``schedule`` and ``schedule_prices`` besides, one with a front ``front`` and its figure.

    Args:
        plan: What to write.
        folder: Where to; files of an earlier plan are replaced.

    Returns:
        The files.

    Raises:
        StoreError: The folder cannot be written.
    """
    tables = {"landscape": landscape_table(plan), "prices": plan.prices, "entities": plan.entities}
    figures = {"landscape": plan_figure(plan)}
    if plan.horizon is not None:
        tables |= {"schedule": plan.horizon.weights, "schedule_prices": plan.horizon.prices}
    if plan.front is not None:
        tables["front"], figures["front"] = front_table(plan), front_figure(plan.front)
    return _write(folder, plan.experiment, tables, figures)


def _write(
    folder: Path, experiment: Experiment, tables: Mapping[str, pd.DataFrame], figures: Mapping[str, Figure | None]
) -> list[Path]:
    contents: dict[str, bytes] = {"experiment.yaml": experiment.to_yaml().encode()}
    for name, table in tables.items():
        contents[f"{name}.csv"] = to_csv(table).encode()
        contents[f"{name}.parquet"] = _parquet(table)
    return write_contents(folder, contents | pictures(figures))


def _parquet(table: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), buffer)
    return buffer.getvalue()
