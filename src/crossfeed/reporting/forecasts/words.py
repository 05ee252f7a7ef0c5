"""Sentences on a forecast: what the marks mean, what it cost, how well it fits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from crossfeed.display.formatting import number
from crossfeed.forecasting.answer import Cost, Fit, Forecast

__all__ = ["EXTRAPOLATED", "MEASURED", "MISFIT", "NOT_LEARNED_MEANS", "cost_words", "fit_words"]

MEASURED: Final = "measured: the run has this number; it has no band."
EXTRAPOLATED: Final = (
    "extrapolated: in such a cell some task gets no real data (alpha = 1, or beta = 0 or 1), and what is forgotten of "
    "it is taken to go on as it began."
)
MISFIT: Final = "misfit: the difference of surrogate and fitted losses, root mean square."
NOT_LEARNED_MEANS: Final = "not learned: a loss beyond that of guessing, whose size means nothing."


def _share(part: float, whole: float) -> str:
    """Return a part in per cent of a whole; empty if there is no whole.

    Args:
        part: The part.
        whole: The whole.
    """
    return f"{100 * part / whole:.{1 if part < 0.1 * whole else 0}f} %" if whole > 0 else ""


def cost_words(cost: Cost) -> list[str]:
    """Return sentences on what a forecast cost, beside what the grid would.

    Args:
        cost: The cost.
    """
    part = _share(cost.generations, cost.grid)
    of = f", {part} of the {_generations(cost.grid)} that all cells take" if part else ""
    lines = [f"Probes: {_generations(cost.generations)} of one cell{of}."]
    if cost.reused > 0:
        rest = _share(cost.generations - cost.reused, cost.grid)
        lost = f"; the rest is {rest} of the grid" if rest else ""
        lines.append(f"Of these {cost.reused:.3g} are of cells of the grid, from which a run goes on{lost}.")
    taken = f"{number(cost.seconds)} s" if cost.seconds > 0 else "none, all probes were there"
    return [*lines, f"Time of the probes: {taken}."]


def fit_words(forecast: Forecast) -> Iterator[str]:
    """Yield sentences on how far the surrogate and geometric extrapolation are from what is measured.

    Args:
        forecast: The forecast.
    """
    for fit in forecast.fits:
        if fit.measured_error is None:
            continue
        what = f"{fit.metric.replace('_', ' ')}, measured and not fitted"
        told = f"{what}: the surrogate is {_error(fit.measured_error)} off (median)"
        if fit.geometric_error is None:
            yield f"{told}."
            continue
        yield f"{told}, geometric extrapolation of two generations {_error(fit.geometric_error)}."
        if _no_better(fit):
            name = fit.metric.replace("_", " ")
            yield f"For the {name} the surrogate is no better than geometric extrapolation on what is measured."


def _no_better(fit: Fit) -> bool:
    """Return True if the surrogate is not nearer to what is measured than geometric extrapolation.

    Args:
        fit: The identification of one metric.
    """
    if fit.measured_error is None or fit.geometric_error is None:
        return False
    return fit.measured_error >= fit.geometric_error


def _error(value: float) -> str:
    return f"{100 * value:.1f} %"


def _generations(amount: float) -> str:
    return f"{amount:.3g} generation{'' if amount == 1 else 's'}"
