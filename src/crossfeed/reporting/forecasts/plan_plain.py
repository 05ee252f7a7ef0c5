"""A plan on the surrogate as plain data for programs; this module imports nothing that draws."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from crossfeed.display.formatting import finite_or_null
from crossfeed.reporting.forecasts.plain import best_row

if TYPE_CHECKING:
    from crossfeed.forecasting.planning import ForecastPlan

__all__ = ["forecast_plan_data"]


def forecast_plan_data(plan: ForecastPlan) -> dict[str, Any]:
    """Return a plan as plain data: lists of rows; a number that is not finite, or not there, is None.

    Args:
        plan: The plan.
    """
    data = {
        "name": plan.experiment.name,
        "id": plan.experiment.id,
        "seed": plan.seed,
        "objective": plan.objective,
        "best_common": best_row(plan.common),
        "best_own": best_row(plan.own),
        "prices": plan.prices.to_dict("records"),
        "entities": plan.entities.to_dict("records"),
        "landscape": plan.landscape.to_dict("records"),
        "alphas": list(plan.alphas),
        "betas": list(plan.betas),
        "sureness": list(plan.sureness),
        "fit": asdict(plan.fit),
        "cost": asdict(plan.cost),
        "notes": list(plan.notes),
    }
    told: dict[str, Any] = finite_or_null(data)
    return told
