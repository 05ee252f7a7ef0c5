"""A forecast as plain data for programs; this module imports nothing that draws."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from crossfeed.display.formatting import finite_or_null
from crossfeed.forecasting.answer import Best, Forecast

__all__ = ["best_row", "fit_rows", "forecast_data"]


def forecast_data(forecast: Forecast) -> dict[str, Any]:
    """Return a forecast as plain data: lists of rows; a number that is not finite, or not there, is None.

    Args:
        forecast: The forecast.
    """
    experiment = forecast.experiment
    data = {
        "name": experiment.name,
        "id": experiment.id,
        "seed": forecast.seed,
        "records": forecast.table.to_pylist(),
        "fits": fit_rows(forecast),
        "best_common": best_row(forecast.best_common),
        "best_own": best_row(forecast.best_own),
        "cost": asdict(forecast.cost),
        "notes": list(forecast.notes),
    }
    told: dict[str, Any] = finite_or_null(data)
    return told


def fit_rows(forecast: Forecast) -> list[dict[str, Any]]:
    """Return one row for each metric; see `crossfeed.forecasting.answer.Fit`.

    Args:
        forecast: The forecast.
    """
    return [asdict(fit) for fit in forecast.fits]


def best_row(best: Best | None) -> dict[str, Any] | None:
    """Return the best mix with one row for each entity; None if none was searched for.

    Args:
        best: The best mix.
    """
    if best is None:
        return None
    entities = [{"model": name, "alpha": best.alpha[name], "beta": best.beta[name]} for name in best.alpha]
    numbers = {name: getattr(best, name) for name in ("value", "lower", "upper", "described")}
    return numbers | {"entities": entities}
