"""Identification: the parameters of the surrogate that explain the observed losses best, and how sure they are.

Logarithms of losses are fitted by least squares with a soft L1 loss, with what is expected of the parameters.
Derivatives are exact: every function of the surrogate is analytic, so that a step of 1e-30 along the imaginary axis
gives the derivative in the imaginary part, with no difference that could cancel; all parameters are stepped at once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import least_squares

from crossfeed.forecasting.ecology import Conditions
from crossfeed.forecasting.observations import Curve, Observations
from crossfeed.forecasting.parameters import Layout, layout_of
from crossfeed.forecasting.surrogate import ENDS, INITIAL_ENDS, Surrogate
from crossfeed.protocols import Array

__all__ = ["Identified", "identify"]

_STEP: Final = 1e-30
_NOISE: Final = 0.045
"""Size that a weighted difference of logarithms has by chance; a parameter at its width from what is expected counts as
much."""

_SOFT: Final = 0.1  # beyond it differences count linearly
_EARLIEST: Final = 0.12
"""Curves of generations t >= 1 are fitted from here on: before, AdamW restarts, which the surrogate does not know."""

_EVALUATIONS: Final = 60
_AT_ONCE: Final = 320  # models that are simulated at once, over all parameter sets
_EXACT, _DRAWN = 60, 32  # up to so many parameters all of them give deviations; of more, so many random directions


@dataclass(frozen=True, eq=False)
class Identified:
    """A surrogate with its parameters.

    Attributes:
        observations: What it was identified from.
        surrogate: The surrogate.
        parameters: ``(N,)`` the parameters.
        covariance: ``(N, N)`` their covariance, by the curvature of the fit.
        misfit: Root mean square of the fitted differences of logarithms.
        seconds: The time that it took.
    """

    observations: Observations
    surrogate: Surrogate
    parameters: Array
    covariance: Array
    misfit: float
    seconds: float

    def forecast(self, cells: Sequence[Conditions]) -> list[Array]:
        """Forecast cells.

        Args:
            cells: What they train on.

        Returns:
            For each cell ``(T + 1, K, Q)`` losses after generations 0, ..., T; generation 0 as it was measured.
        """
        return [each[:, 0].real for each in self._simulated(self.parameters[None], cells)]

    def deviations(self, cells: Sequence[Conditions]) -> list[Array]:
        """Return how sure forecasts are as far as the parameters go.

        Args:
            cells: What they train on.

        Returns:
            For each cell ``(T + 1, K, Q)`` standard deviations of the logarithms of the losses.
        """
        directions = np.asarray(np.linalg.cholesky(self.covariance), dtype=np.float64)
        if len(directions) > _EXACT:  # the variance of a sum over directions, from some that are drawn at random
            drawn = np.random.default_rng(0).standard_normal((len(directions), _DRAWN))
            directions = np.asarray(directions @ drawn / np.sqrt(_DRAWN), dtype=np.float64)
        models = self.observations.ecology.entities * max(1, len(cells))
        parts = [self._simulated(some, cells) for some in _stepped(self.parameters, directions.T, models)]
        deviations = []
        for each in zip(*parts, strict=True):
            slopes = [part.imag / part.real / _STEP for part in each]
            deviations.append(np.sqrt(sum((part**2).sum(axis=1) for part in slopes)))
        return deviations

    def _simulated(self, parameters: NDArray[Any], cells: Sequence[Conditions]) -> list[NDArray[Any]]:
        """Return ``(T + 1, P, K, Q)`` losses of each cell, in proportion to the measured ones after generation 0."""
        start = self.surrogate.initial(parameters)
        first = self.observations.first
        ratio = first / start.losses[:, -1]
        of_cells: list[list[NDArray[Any]]] = [[first + np.zeros_like(ratio)] for _ in cells]
        for places, losses in self.surrogate.continued(parameters, start, cells):
            for at, place in enumerate(places):
                of_cells[place].append(losses[:, -1, at] * ratio)
        return [np.stack(generations) for generations in of_cells]


def identify(observations: Observations) -> Identified:
    """Find the surrogate's parameters.

    Args:
        observations: What is known of the losses.

    Returns:
        The identified surrogate.
    """
    begun = time.perf_counter()
    problem = _Problem(observations, layout_of(observations.ecology, observations.first))
    layout = problem.layout
    with np.errstate(over="ignore", invalid="ignore"):  # steps too far are tried, and taken back
        solution = least_squares(
            problem.residuals,
            layout.expected,
            problem.jacobian,
            loss="soft_l1",
            f_scale=_SOFT,
            x_scale=layout.width,
            max_nfev=_EVALUATIONS,
        )
    fitted = problem.differences(solution.x[None])[0].real
    jacobian = problem.jacobian(solution.x)
    covariance = np.asarray(np.linalg.inv(jacobian.T @ jacobian) * _NOISE**2, dtype=np.float64)
    misfit = float(np.sqrt(np.mean((fitted / problem.weights) ** 2)))
    return Identified(observations, problem.surrogate, solution.x, covariance, misfit, time.perf_counter() - begun)


class _Problem:
    """The least squares problem of an identification.

    Attributes:
        layout: The parameters.
        surrogate: The surrogate.
        weights: Weight of every fitted difference of logarithms, in the order of `differences`.
    """

    def __init__(self, observations: Observations, layout: Layout) -> None:
        self.layout, self._observations = layout, observations
        self.surrogate = Surrogate(observations.ecology, layout)
        self._cells = [path.known for path in observations.paths]
        self._base = np.nanmean(observations.ecology.base, axis=0)
        self._initial = _Fitted.of(observations.initial, INITIAL_ENDS, 0.0, _initial_weight)
        scale = _scale(observations)
        self._curves = [
            [_Fitted.of(curve, ENDS, _EARLIEST, _weight, scale) for curve in path.curves] for path in observations.paths
        ]
        weights = [np.full(int(np.isfinite(self._base).sum()), _BASE), self._initial.weights]
        for t in range(max(map(len, self._curves), default=0)):
            weights += [curves[t].weights for curves in self._curves if len(curves) > t]
        self.weights = np.concatenate(weights)

    def differences(self, parameters: NDArray[Any]) -> NDArray[Any]:
        """Return ``(P, M)`` weighted differences of logarithms, surrogate less observation.

        Args:
            parameters: ``(P, N)`` parameter sets.
        """
        known = np.isfinite(self._base)
        base = np.log(self.surrogate.base(parameters)[:, known]) - np.log(self._base[known])
        start = self.surrogate.initial(parameters)
        initial = np.log(start.losses)
        pieces = [_BASE * base, self._initial.differences(initial)]
        offset = np.log(self._observations.first) - initial[:, -1]
        for t, (places, losses) in enumerate(self.surrogate.continued(parameters, start, self._cells)):
            simulated = np.log(losses) + offset[:, None, None]
            pieces += [self._curves[place][t].differences(simulated[:, :, at]) for at, place in enumerate(places)]
        return np.concatenate(pieces, axis=1)

    def residuals(self, x: Array) -> Array:
        """Return weighted differences, and how far parameters are from what is expected, in units of `_NOISE`."""
        expected = _NOISE * (x - self.layout.expected) / self.layout.width
        return np.concatenate([self.differences(x[None])[0], expected])

    def jacobian(self, x: Array) -> Array:
        """Return the derivatives of `residuals`."""
        models = self._observations.ecology.entities * max(1, len(self._cells))
        slopes = np.concatenate([self.differences(some).imag for some in _stepped(x, np.eye(len(x)), models)]).T / _STEP
        return np.concatenate([slopes, np.diag(_NOISE / self.layout.width)])


_BASE: Final = 0.7


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The part of a curve that is fitted.

    Attributes:
        blend: ``(M, S)`` weights of the substeps' ends at every mark.
        known: ``(M, K, Q)`` mask of what is measured.
        logarithms: The measured logarithms.
        weights: Their weights.
    """

    blend: Array
    known: NDArray[np.bool_]
    logarithms: Array
    weights: Array

    @classmethod
    def of(cls, curve: Curve, ends: Array, earliest: float, weight: Any, scale: Any = 1.0) -> _Fitted:
        kept = curve.marks >= earliest
        marks, losses = curve.marks[kept], curve.losses[kept]
        known = np.isfinite(losses)
        blend = np.stack([np.interp(marks, ends, unit) for unit in np.eye(len(ends))], axis=1)
        weights = np.broadcast_to(weight(marks)[:, None, None] * scale, losses.shape)[known]
        return cls(blend, known, np.log(losses[known]), weights)

    def differences(self, simulated: NDArray[Any]) -> NDArray[Any]:
        """Return ``(P, m)`` weighted differences, from ``(P, S, K, Q)`` logarithms at the substeps' ends."""
        at_marks = np.einsum("ms,pskq->pmkq", self.blend, simulated)
        differences: NDArray[Any] = (at_marks[:, self.known] - self.logarithms) * self.weights
        return differences


def _initial_weight(marks: Array) -> Array:
    """Return weights of generation 0: what is far from its end says little of what follows."""
    return np.where(marks >= 0.3, 0.7, 0.35)


def _weight(marks: Array) -> Array:
    """Return weights within a generation t >= 1."""
    weights: Array = 0.4 + 0.8 * marks**0.7
    return weights


def _scale(observations: Observations) -> Array:
    """Return ``(K, Q)`` factors of weights: what moves little is fitted closely, or its direction would be lost."""
    curves = [curve for path in observations.paths for curve in path.curves]
    late = [curve.losses[curve.marks >= _EARLIEST].reshape(-1, *observations.first.shape) for curve in curves]
    logarithms = np.log(np.concatenate([observations.first[None], *late]))
    known = np.isfinite(logarithms)
    most = np.where(known, logarithms, -np.inf).max(axis=0)
    least = np.where(known, logarithms, np.inf).min(axis=0)
    spread = np.where(known.any(axis=0), most - least, 0.0)
    scale: Array = 0.4 / np.clip(spread, 0.08, 0.4)
    return scale


def _stepped(x: Array, directions: Array, models: int) -> Iterator[NDArray[np.complex128]]:
    """Yield ``(P, N)`` parameter sets, M in all, each with a step along the imaginary axis.

    Args:
        x: ``(N,)`` the parameters.
        directions: ``(M, N)`` directions of the steps.
        models: The number of models that are simulated for each set; so many sets are given at once as stay in a
            processor's cache.
    """
    size = max(1, _AT_ONCE // models)
    for first in range(0, len(directions), size):
        yield x + 1j * _STEP * directions[first : first + size]
