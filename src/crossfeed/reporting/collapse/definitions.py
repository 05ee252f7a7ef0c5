"""Eight definitions of model collapse as judgements of curves: pure functions, no I/O.

Schaeffer et al. (2025), "Position: Model Collapse Does Not Mean What You Think" (arXiv 2503.03150), find eight uses of
the word that do not agree. A run can meet some of them and not others, so each is judged by itself, from numbers that
are stated. Their thresholds are not standards of the field: the paper gives none, and those here are ours.

A curve has one row for each seed. A rise or fall from generation 0 counts where the 95 % interval of its mean over the
seeds leaves out zero (Student's t, seeds compared with themselves: `crossfeed.reporting.data.paired`), and, of one
seed, where it is larger than a dead band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.reporting.collapse.divergence import Fit, fit_of
from crossfeed.reporting.data.paired import interval

__all__ = [
    "TITLES",
    "Curve",
    "Verdict",
    "any_rise",
    "catastrophic",
    "diverges",
    "falls",
    "scaling",
    "tail_rise",
    "unknown",
    "variance",
]

TITLES: Final = {
    "catastrophic": "Test loss rises catastrophically",
    "any-rise": "Test loss rises at all",
    "diverges": "Test loss grows without bound",
    "variance": "Variance of outputs collapses",
    "tails": "Tails are forgotten",
    "entanglement": "Modes are entangled",
    "diversity": "Outputs lose diversity",
    "scaling": "Loss scales otherwise with the size of training sets",
}
"""Titles of the definitions, by key, in the order of tables."""

_TWICE: Final = 2.0
_HALF: Final = 0.5


@dataclass(frozen=True)
class Curve:
    """A number over generations.

    Attributes:
        generations: ``(G,)`` measured generations, ascending; the first is 0.
        values: ``(S, G)`` values, a row for each seed.
    """

    generations: tuple[int, ...]
    values: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """``(G,)`` means over seeds."""
        return np.asarray(self.values.mean(axis=0))

    @property
    def changes(self) -> NDArray[np.float64]:
        """``(S, G)`` changes from generation 0."""
        return np.asarray(self.values - self.values[:, :1])

    def rises(self, band: float) -> NDArray[np.bool_]:
        """Return ``(G,)`` truth values: True where the rise from generation 0 counts.

        Args:
            band: Dead band of one seed.
        """
        lower, _ = self._interval(band)
        return lower > 0

    def falls(self, band: float) -> NDArray[np.bool_]:
        """Return ``(G,)`` truth values: True where the fall from generation 0 counts.

        Args:
            band: Dead band of one seed.
        """
        _, upper = self._interval(band)
        return upper < 0

    def _interval(self, band: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return intervals of the mean change; of one seed, and of changes without spread, the change and the band."""
        seeds, mean = len(self.values), self.changes.mean(axis=0)
        if seeds == 1:
            return mean - band, mean + band
        se = self.changes.std(axis=0, ddof=1) / np.sqrt(seeds)
        lower, upper = interval(mean, se, np.full(len(mean), seeds), np.abs(self.values).max(axis=0))
        none = np.isnan(lower)
        return np.where(none, mean - band, lower), np.where(none, mean + band, upper)


@dataclass(frozen=True)
class Verdict:
    """The judgement of one definition.

    Attributes:
        definition: Its key in `TITLES`.
        met: True or False at the last generation that was measured; None where nothing can be said.
        number: The number that was judged, at the last generation; None where there is none.
        what: What the number is.
        threshold: When the definition counts as met, in words.
        generations: The generations at which it holds; empty where it is a property of the whole curve.
        reason: Why nothing can be said, or what was found; may be empty.
    """

    definition: str
    met: bool | None
    number: float | None
    what: str
    threshold: str
    generations: tuple[int, ...] = ()
    reason: str = ""


def unknown(definition: str, what: str, threshold: str, reason: str) -> Verdict:
    """Return the verdict that nothing can be said.

    Args:
        definition: The definition's key.
        what: What the number would be.
        threshold: When the definition counts as met.
        reason: Why nothing can be said.
    """
    return Verdict(definition, None, None, what, threshold, (), reason)


def catastrophic(loss: Curve) -> Verdict:
    """Judge a catastrophic rise of the test loss: it at least doubles.

    Args:
        loss: Loss on own tasks, mean over models.
    """
    what, threshold = "final over initial loss", f"at least {_TWICE:g}"
    if (loss.mean[0] <= 0) or (loss.values[:, 0] <= 0).any():
        return unknown("catastrophic", what, threshold, "the initial loss is not positive, so nothing is twice as much")
    ratio = loss.mean / loss.mean[0]
    return _at("catastrophic", loss, ratio >= _TWICE, ratio[-1], what, threshold)


def any_rise(loss: Curve, band: float) -> Verdict:
    """Judge any rise of the test loss.

    Args:
        loss: Loss on own tasks, mean over models.
        band: Dead band of one seed.
    """
    return _at(
        "any-rise", loss, loss.rises(band), loss.changes.mean(axis=0)[-1], "rise of the loss", _counts(loss, band)
    )


def diverges(loss: Curve, law: tuple[str, float] | None) -> Verdict:
    """Judge an asymptotic divergence of the test loss, by the exact law where there is one, else by a fit.

    Args:
        loss: Loss on own tasks, mean over models.
        law: The law of the errors' growth by exact theory (``limit`` for none) and the spectral radius, if known.
    """
    if law is not None:
        name, radius = law
        words = "the errors have a limit" if name == "limit" else f"{name} growth"
        what, threshold = "spectral radius, by exact theory", "no limit"
        return Verdict("diverges", name != "limit", radius, what, threshold, (), words)
    what = "rate r of the fit c + b r^t to the curve"
    threshold = "95 % interval of r not below 1, the loss rising"
    fit = fit_of(np.array(loss.generations, dtype=np.float64), loss.mean)
    if isinstance(fit, str):
        return unknown("diverges", what, threshold, fit)
    return Verdict("diverges", _divergence(fit), fit.rate, what, threshold, (), _told(fit))


def _divergence(fit: Fit) -> bool | None:
    if not fit.rising or fit.upper < 1:
        return False
    return True if fit.lower >= 1 else None


def _told(fit: Fit) -> str:
    where = f"95 % interval of r {fit.lower:.2f} to {fit.upper:.2f}"
    if not fit.rising:
        return f"{where}; the loss does not rise"
    if fit.upper < 1:
        return f"{where}; it tends to {fit.limit:.3g}"
    return f"{where}" if fit.lower >= 1 else f"{where}: both fit; run more generations"


def variance(outputs: Curve) -> Verdict:
    """Judge a collapse of the outputs' variance: it falls below half of what it was.

    Args:
        outputs: Total variance of each model's outputs on its own tasks over that at generation 0, mean over models.
    """
    what, threshold = "variance of outputs over the initial one", f"below {_HALF:g}"
    return _at("variance", outputs, outputs.mean < _HALF, outputs.mean[-1], what, threshold)


def tail_rise(tail: Curve, band: float) -> Verdict:
    """Judge a loss of tails: the loss on the items that were hardest at generation 0 rises.

    Args:
        tail: Loss on these items, mean over models and their own tasks.
        band: Dead band of one seed.
    """
    number, what = tail.changes.mean(axis=0)[-1], "rise of the loss on the hardest items"
    return _at("tails", tail, tail.rises(band), number, what, _counts(tail, band))


def falls(definition: str, curve: Curve, band: float, what: str) -> Verdict:
    """Judge a fall of a number from generation 0: of diversity, or of what tells modes apart.

    Args:
        definition: The definition's key.
        curve: The number, mean over models.
        band: Dead band of one seed.
        what: What the number is.
    """
    change = curve.changes.mean(axis=0)[-1]
    return _at(definition, curve, curve.falls(band), change, f"change of {what}", _counts(curve, band, "fall"))


def scaling(sizes: Sequence[float], first: NDArray[np.float64], last: NDArray[np.float64]) -> Verdict:
    """Judge a change of the exponent with which the loss falls in the size of training sets.

    Args:
        sizes: ``(N,)`` sizes n.
        first: ``(S, N)`` losses at generation 1, a row for each seed.
        last: ``(S, N)`` losses at the last generation.
    """
    what = "change of the exponent of the loss in n, generation 1 to the last"
    threshold = "95 % interval over seeds leaves out 0"
    if (np.concatenate([first, last]) <= 0).any():
        return unknown("scaling", what, threshold, "some losses are not positive, and have no exponent")
    x = np.log(np.asarray(sizes, dtype=np.float64))
    x -= x.mean()
    slopes = [np.log(losses) @ x / (x @ x) for losses in (first, last)]
    curve = Curve((0, 1), np.stack(slopes, axis=1))
    number = float(curve.changes[:, 1].mean())
    told = f"exponent {slopes[0].mean():.3g}, later {slopes[1].mean():.3g}"
    if len(first) == 1:
        return Verdict("scaling", None, number, what, threshold, (), f"{told}; one seed has no error")
    met = bool(curve.rises(0.0)[1] or curve.falls(0.0)[1])
    return Verdict("scaling", met, number, what, threshold, (), told)


def _at(definition: str, curve: Curve, holds: NDArray[np.bool_], number: float, what: str, threshold: str) -> Verdict:
    where = tuple(t for t, each in zip(curve.generations, holds, strict=True) if each)
    return Verdict(definition, bool(holds[-1]), float(number), what, threshold, where)


def _counts(curve: Curve, band: float, change: str = "rise") -> str:
    if len(curve.values) > 1:
        return f"a {change}: 95 % interval over {len(curve.values)} seeds leaves out 0"
    return f"a {change} of more than {band:g} (one seed)"
