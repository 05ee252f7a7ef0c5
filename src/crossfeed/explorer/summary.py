"""Sentences of the explorer's page, computed from the numbers of an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from crossfeed.description.ecosystem import Ecosystem
from crossfeed.display.formatting import number, plain, shorten
from crossfeed.explorer.answer import Answer
from crossfeed.explorer.landscape import SIDES, Survey

__all__ = ["as_described", "influence_words", "map_words", "price", "summary", "undetermined"]

_NAMED: Final = 4
_MANY_TIMES: Final = 10.0
_GROWTH: Final = {
    "geometric": "errors grow by a factor of {rate} in each generation",
    "quadratic": "variances grow with the square of the number of generations",
    "linear": "each generation adds the same variance",
    "power": "errors grow as a power of the number of generations, t^{rate}",
    "logarithmic": "errors grow as the logarithm of the number of generations",
    "oscillating": "the estimates stay bounded, but turn for ever",
    "schedule": "the weights change for ever, or settle where the limit depends on their past",
}


def summary(answer: Answer) -> str:
    """Return whether the estimates converge, and their limiting errors, as sentences.

    Args:
        answer: The answer.
    """
    radius = "" if np.isnan(answer.spectral_radius) else f" (spectral radius {answer.spectral_radius:.4g})"
    if answer.law != "limit":
        growth = _GROWTH[answer.law].format(rate=f"{answer.rate:.4g}")
        if answer.law == "schedule":
            return f"No limit is computed{radius}: {growth}."
        return f"There is no limit{radius}: {growth}."
    said = f"The estimates settle{radius}. In the limit their error (MSE) is {number(float(answer.limit.mean()))} "
    names = answer.experiment.ecosystem.names
    if len(names) > 1:
        low, high = int(np.argmin(answer.limit)), int(np.argmax(answer.limit))
        said += (
            f"on average, from {number(answer.limit[low])} (entity {_name(names[low])}) to "
            f"{number(answer.limit[high])} (entity {_name(names[high])}), "
        )
    said = said.rstrip(", ") + f"; {number(float(answer.efficiency.mean()))} is the mean relative efficiency."
    return said + _bands_words(answer)


def _bands_words(answer: Answer) -> str:
    """Return between which errors nine of ten replicates end, for the entity of the middle error."""
    low, _, high = (number(float(band)) for band in answer.bands)
    whose = f" of entity {_name(answer.experiment.ecosystem.names[answer.middle])}" if len(answer.limit) > 1 else ""
    return f" In nine of ten replicates the squared error{whose} is between {low} and {high}."


def undetermined(answer: Answer) -> str:
    """Name the entities whose training data do not determine their estimate; empty if there are none.

    Args:
        answer: The answer.
    """
    if not answer.undetermined:
        return ""
    whose = _listed(answer.undetermined, len(answer.experiment.ecosystem.names))
    trains = "trains" if len(answer.undetermined) == 1 or whose.startswith("each") else "train"
    return (
        f"What {whose} {trains} on spans fewer than d = {answer.eco.dimension} directions (G is singular): in the "
        "others the minimum-norm estimate is zero, and biased."
    )


def influence_words(answer: Answer) -> str:
    """Return the mean share of each kind of source in the estimates, as a sentence.

    Args:
        answer: The answer.
    """
    matrix, entities = answer.influence, answer.eco.entities
    own = float(np.diagonal(matrix).mean())
    others = float(matrix[:, :entities].sum() / entities) - own
    when = "In the limit" if answer.influence_at is None else f"At generation {answer.influence_at}"
    parts = [f"{100 * own:.0f} % from its own data"]
    if entities > 1:
        parts.append(f"{100 * others:.0f} % from the other entities' data")
    parts.append(f"{100 * float(matrix[:, -1].mean()):.0f} % from the public data")
    return f"{when} an estimate comes, on average, {', '.join(parts)}."


def map_words(answer: Answer, survey: Survey) -> str:
    """Return the optimum, and what the sliders' weights cost beside it.

    Args:
        answer: The answer.
        survey: The map so far.
    """
    alpha, beta, best = survey.best
    if not survey.side:
        return "The map is being computed."
    sides = f"{survey.side} × {survey.side} points"
    state = f"{sides}." if survey.complete else f"{sides} of {SIDES[-1]} × {SIDES[-1]} so far."
    if not np.isfinite(best):
        return f"No weights give a finite error that is known. {state}"
    least = "Least" if survey.refined else "Least so far:"
    said = f"{least} mean limiting error {number(best)} at α = {alpha:.3g}, β = {beta:.3g}"
    cost = price(answer.objective, best)
    here = f"cost {cost}" if cost else "have no finite error that is known"
    return f"{said}; the weights shown {here}. {state}"


def price(value: float, best: float) -> str:
    """Return the relative excess over the best value, ``+12 %`` or ``×40``; empty where it is not finite.

    Args:
        value: The objective.
        best: Its least value.
    """
    if not np.isfinite(value):
        return ""
    ratio = value / best if best > 0 else 1.0
    if ratio >= _MANY_TIMES:
        return f"×{ratio:.3g}"
    excess = 100 * max(ratio - 1.0, 0.0)
    return f"+{excess:.1f} %" if excess < 10 else f"+{excess:.0f} %"


def as_described(ecosystem: Ecosystem, name: str) -> str:
    """Return the text of a slider without a value.

    Args:
        ecosystem: The description.
        name: ``alpha``, ``beta`` or ``share``.
    """
    if name == "share":
        return f"{float(ecosystem.shares[0]):.3g}"
    values = ecosystem.alphas(1) if name == "alpha" else ecosystem.betas(1)
    varied = isinstance(getattr(ecosystem, name), tuple | str) or ecosystem.update == "accumulate"
    first, several = float(values[0]), len(set(values.tolist())) > 1
    if varied:
        return f"{first:.3g} at t = 1, then as described"
    return f"{values.min():.3g} to {values.max():.3g}, as described" if several else f"{first:.3g}"


def _listed(names: Sequence[str], entities: int) -> str:
    if len(names) == entities:
        return "each entity" if entities > 1 else "the entity"
    shown = [_name(name) for name in names[:_NAMED]]
    rest = len(names) - len(shown)
    return ", ".join(shown) + (f" and {rest} more" if rest else "")


def _name(name: str) -> str:
    return shorten(plain(name), 24)
