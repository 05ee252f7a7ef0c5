"""A prediction and a plan as plain data for programs; this module imports nothing that draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from crossfeed.description.experiment import Experiment
from crossfeed.display.formatting import finite_or_null

if TYPE_CHECKING:
    import pandas as pd

    from crossfeed.exact.planning import Plan
    from crossfeed.exact.prediction import Prediction
    from crossfeed.exact.schedules import HorizonPlan
    from crossfeed.theory import Chosen, Play

__all__ = ["front_table", "landscape_table", "plan_data", "prediction_data"]


def prediction_data(prediction: Prediction) -> dict[str, Any]:
    """Return a prediction as plain data: lists of rows; a number that is not finite is None.

    Args:
        prediction: The prediction.
    """
    return _named(prediction.experiment) | {name: _plain(table) for name, table in prediction.tables.items()}


def _plain(table: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """Return the rows of a table; JSON has no infinities."""
    names = list(table)
    return [dict(zip(names, map(finite_or_null, row), strict=True)) for row in zip(*table.values(), strict=True)]


def plan_data(plan: Plan) -> dict[str, Any]:
    """Return a plan as plain data; a number that is not finite (no limit) is None.

    Args:
        plan: The plan.
    """
    best = plan.optimum
    return _named(plan.experiment) | {
        "objective": plan.objective,
        "optimum": {"alpha": best.alpha, "beta": best.beta, "value": best.value},
        "prices": _rows(plan.prices),
        "entities": _rows(plan.entities),
        "per_entity": _chosen(plan, plan.own),
        "chosen": None if plan.chosen is None else _chosen(plan, plan.chosen),
        "nash": None if plan.play is None else _played(plan.play),
        "landscape": _rows(landscape_table(plan)),
        "horizon": None if plan.horizon is None else _timed(plan.horizon),
        "front": None if plan.front is None else _rows(front_table(plan)),
    }


def landscape_table(plan: Plan) -> pd.DataFrame:
    """Return the landscape: ``alpha, beta, value, price``.

    Args:
        plan: The plan.
    """
    import pandas as pd

    ground = plan.landscape
    alpha, beta = np.meshgrid(ground.alphas, ground.betas, indexing="ij")
    value = ground.values.ravel()
    columns = {"alpha": alpha.ravel(), "beta": beta.ravel(), "value": value, "price": plan.optimum.price(value)}
    return pd.DataFrame(columns)


def front_table(plan: Plan) -> pd.DataFrame:
    """Return the front: ``dispersion, error, alpha, beta``; without rows where none was asked for.

    Args:
        plan: The plan.
    """
    import pandas as pd

    names = ("dispersion", "error", "alpha", "beta")
    return pd.DataFrame({name: [] if plan.front is None else getattr(plan.front, name) for name in names})


def _named(experiment: Experiment) -> dict[str, Any]:
    return {"name": experiment.name, "id": experiment.id}


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = finite_or_null(table.to_dict("records"))
    return rows


def _timed(plan: HorizonPlan) -> dict[str, Any]:
    told = {"generations": plan.horizon, "over": plan.over, "fresh_fraction": plan.best.fresh_fraction}
    return told | {"prices": _rows(plan.prices), "schedule": _rows(plan.weights)}


def _chosen(plan: Plan, chosen: Chosen) -> dict[str, Any]:
    weights, columns = chosen.weights, ("model", "alpha", "beta", "share", "mse")
    values = (plan.experiment.ecosystem.names, weights.alpha, weights.beta, weights.shares, chosen.mse)
    lists = [value if isinstance(value, tuple) else value.tolist() for value in values]
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)]
    return {"value": chosen.value, "fresh_fraction": weights.fresh_fraction, "entities": rows}


def _played(play: Play) -> dict[str, Any]:
    first = play.first
    told = {"rounds": first.rounds, "settled": first.settled, "regret": float(first.regret.max())}
    told |= {"starts": play.starts, "points": len(play.points), "unsettled": len(play.unsettled)}
    return {name: finite_or_null(value) for name, value in told.items()}
