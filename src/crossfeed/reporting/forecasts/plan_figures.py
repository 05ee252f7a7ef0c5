"""The figure of a plan on the surrogate: the landscape, its best points, and where it is extrapolated."""

from __future__ import annotations

from typing import Final

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from crossfeed.forecasting.planning import ForecastPlan
from crossfeed.reporting.drawing.charts import Mark, landscape_chart
from crossfeed.reporting.drawing.figures import WIDE
from crossfeed.theory import Landscape

__all__ = ["forecast_marks", "forecast_plan_figure", "ground_of"]

_MODELS: Final = 4  # whose own best weights are shown


def forecast_plan_figure(plan: ForecastPlan, width: float = WIDE) -> Figure:
    """Draw the excess over the optimum for all common weights, with the points that the plan names.

    Args:
        plan: The plan.
        width: Inches that it may be wide.
    """
    whose = {"mean": "mean last loss", "worst": "worst model's last loss"}
    title = f"{whose.get(plan.objective, f'last loss of {plan.objective}')}: excess over the optimum"
    ground, unsure = ground_of(plan)
    return landscape_chart(
        ground, plan.common.value, forecast_marks(plan), title=title, width=min(width, 5.2), unsure=unsure
    )


def ground_of(plan: ForecastPlan) -> tuple[Landscape, NDArray[np.bool_]]:
    """Return the landscape as it is drawn, and where it is an extrapolation.

    Args:
        plan: The plan.
    """
    wide = plan.landscape.pivot_table(index="alpha", columns="beta", values=["value", "extrapolated"], aggfunc="first")
    values, unsure = wide["value"], wide["extrapolated"]
    alphas, betas = values.index.to_numpy(dtype=float), values.columns.to_numpy(dtype=float)
    return Landscape(alphas, betas, values.to_numpy(dtype=float)), unsure.to_numpy(dtype=bool)


def forecast_marks(plan: ForecastPlan) -> list[Mark]:
    """Return the points that a plan names on its landscape; of many models, the first ones' own weights.

    Args:
        plan: The plan.
    """
    called = {"common optimum": "optimum", "description": "as described", "first of the grid": "first of the grid"}
    shared = plan.prices[plan.prices["alpha"].notna() & plan.prices["beta"].notna()]
    marks = [Mark(called[w], a, b) for w, a, b in shared[["where", "alpha", "beta"]].to_numpy() if w in called]
    own = plan.entities.head(_MODELS)[["model", "own_alpha", "own_beta"]].to_numpy()
    return marks + [Mark(f"own, {model}", alpha, beta) for model, alpha, beta in own]
