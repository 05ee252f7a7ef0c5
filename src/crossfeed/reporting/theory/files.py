"""A prediction and a plan as files (CSV, Parquet, PDF, PNG, SVG) and as plain data for programs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from matplotlib.figure import Figure

from crossfeed.description.experiment import Experiment
from crossfeed.exact.planning import Plan
from crossfeed.exact.prediction import Prediction
from crossfeed.exact.schedules import HorizonPlan
from crossfeed.reporting.files import pictures, rows_of, to_csv, write_contents
from crossfeed.reporting.theory.figures import efficiency_figure, front_figure, plan_figure, trajectory_figure
from crossfeed.theory import Chosen, Play
from crossfeed.theory.fronts import Front

__all__ = ["plan_data", "prediction_data", "write_plan", "write_prediction"]


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
    tables = {"landscape": _landscape(plan), "prices": plan.prices, "entities": plan.entities}
    figures = {"landscape": plan_figure(plan)}
    if plan.horizon is not None:
        tables |= {"schedule": plan.horizon.weights, "schedule_prices": plan.horizon.prices}
    if plan.front is not None:
        tables["front"], figures["front"] = _front(plan.front), front_figure(plan.front)
    return _write(folder, plan.experiment, tables, figures)


def prediction_data(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain data: lists of rows; a number that is not finite is None.

    Args:
        prediction: The prediction.
    """
    tables = {"records": prediction.records, "limit": prediction.limit}
    return _named(prediction.experiment) | {name: rows_of(table) for name, table in tables.items()}


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data; a number that is not finite (no limit) is None.

    Args:
        plan: The plan.
    """
    best = plan.optimum
    return _named(plan.experiment) | {
        "objective": plan.objective,
        "optimum": {"alpha": best.alpha, "beta": best.beta, "value": best.value},
        "prices": rows_of(plan.prices),
        "entities": rows_of(plan.entities),
        "per_entity": _chosen(plan, plan.own),
        "chosen": None if plan.chosen is None else _chosen(plan, plan.chosen),
        "nash": None if plan.play is None else _played(plan.play),
        "landscape": rows_of(_landscape(plan)),
        "horizon": None if plan.horizon is None else _timed(plan.horizon),
        "front": None if plan.front is None else rows_of(_front(plan.front)),
    }


def _timed(plan: HorizonPlan) -> dict[str, Any]:
    told = {"generations": plan.horizon, "over": plan.over, "fresh_fraction": plan.best.fresh_fraction}
    return told | {"prices": rows_of(plan.prices), "schedule": rows_of(plan.weights)}


def _front(front: Front) -> pd.DataFrame:
    columns = {"dispersion": front.dispersion, "error": front.error, "alpha": front.alpha, "beta": front.beta}
    return pd.DataFrame(columns)


def _named(experiment: Experiment) -> dict[str, Any]:
    return {"name": experiment.name, "id": experiment.id}


def _chosen(plan: Plan, chosen: Chosen) -> dict[str, Any]:
    weights = chosen.weights
    columns = {"alpha": weights.alpha, "beta": weights.beta, "share": weights.shares, "mse": chosen.mse}
    rows = rows_of(pd.DataFrame({"model": plan.experiment.ecosystem.names, **columns}))
    return {"value": chosen.value, "fresh_fraction": weights.fresh_fraction, "entities": rows}


def _played(play: Play) -> dict[str, Any]:
    first = play.first
    told = {"rounds": first.rounds, "settled": first.settled, "regret": float(first.regret.max())}
    return told | {"starts": play.starts, "points": len(play.points), "unsettled": len(play.unsettled)}


def _landscape(plan: Plan) -> pd.DataFrame:
    ground = plan.landscape
    alpha, beta = np.meshgrid(ground.alphas, ground.betas, indexing="ij")
    value = ground.values.ravel()
    columns = {"alpha": alpha.ravel(), "beta": beta.ravel(), "value": value, "price": plan.optimum.price(value)}
    return pd.DataFrame(columns)


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
