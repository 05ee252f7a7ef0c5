r"""Weighted maximum likelihood of generalised linear models by Newton's method, for many replicates at once.

With the canonical link the log-likelihood of weighted responses is, up to a constant,

.. math:: \ell(\theta) = \sum_i c_i\,\big(y_i\eta_i - b(\eta_i)\big) - \tfrac\rho2 |\theta|^2, \quad
    \eta_i = x_i'\theta,

with b' the mean and b'' the variance: :math:`b = \log(1 + e^\eta)` (logistic) or :math:`e^\eta` (Poisson), and a ridge
:math:`\rho \ge 0`. It is concave; Newton's method with step halving, iteratively reweighted least squares, finds its
maximum. Responses enter through the one vector :math:`\sum_i c_i y_i x_i` alone, and sources that share their features
are merged, so that a long history costs no more than a short one.

Estimates lie in the span of the features (minimum norm). They are computed in coordinates in which
:math:`\sum_i c_i x_i x_i'` is the identity: eigenvalues of the information are then averages of b''.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from crossfeed.learners.regression.replicates import WeightedSource
from crossfeed.protocols import Array
from crossfeed.tasks.regression import mean_response
from crossfeed.theory.graded import inverse_of_sum

__all__ = ["Fit", "maximum_likelihood"]

Discrete = Literal["logistic", "poisson"]

#: A replicate is done when no linear predictor moves by more than this; the step's own error is about its square.
_STEP_TOLERANCE: Final = 1e-7
_STEPS: Final = 60
_HALVINGS: Final = 60
# A rise this small, relative to the likelihood, is lost in rounding and counts as no fall.
_ROUNDING: Final = 1e-12
# Information below this, in units of an average variance, is none: the likelihood rises for ever along a direction.
_NO_INFORMATION: Final = 1e-10
# Keeps a step finite where information vanishes; no effect on where the method stops elsewhere.
_LIFT: Final = 1e-13
# Linear predictors held at once, so that the arrays of a step stay in cache.
_BLOCK: Final = 1 << 17


@dataclass(frozen=True)
class Fit:
    """Maximum-likelihood estimates.

    Attributes:
        estimates: ``(R, d)``.
        exists: ``(R,)``; False where the likelihood has no maximum (separated data), and the estimate means nothing.
    """

    estimates: Array
    exists: NDArray[np.bool_]


@dataclass(frozen=True)
class _Problem:
    """One likelihood in whitened coordinates of its r free directions.

    Attributes:
        family: Of the responses.
        rows: Z, ``(N, r)``.
        weights: c, ``(N,)``.
        outer: Products z_a z_b of each row, ``(N, r r)``.
        penalty: The ridge in these coordinates, ``(r, r)``.
    """

    family: Discrete
    rows: Array
    weights: Array
    outer: Array
    penalty: Array


def maximum_likelihood(family: Discrete, sources: Sequence[WeightedSource], start: Array, ridge: float = 0.0) -> Fit:
    """Fit every replicate by Newton's method.

    Args:
        family: ``logistic`` or ``poisson``.
        sources: One or more sources.
        start: ``(R, d)`` estimates where the iteration begins; they change the number of steps, not the answer.
        ridge: rho.

    Returns:
        The estimates, and which of them exist.
    """
    features, weights = _merged(sources)
    basis, dual = _whitening(sources)
    rows = features @ basis
    outer = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), -1)
    problem = _Problem(family, rows, weights, outer, ridge * basis.T @ basis)
    moments: Array = sum((source.weight * source.moment for source in sources), np.zeros(1))
    target, begin = moments.T @ basis, start @ dual
    coordinates, exists = np.empty_like(begin), np.empty(len(begin), np.bool_)
    size = max(1, _BLOCK // len(rows))
    for first in range(0, len(begin), size):
        block = slice(first, first + size)
        coordinates[block], exists[block] = _newton(problem, target[block], begin[block])
    return Fit(coordinates @ basis.T, exists)


def _merged(sources: Sequence[WeightedSource]) -> tuple[Array, Array]:
    """Stack features and weights (N,); features that several sources share appear once, with their joint weight."""
    designs: list[tuple[Array, Array]] = []
    for source in sources:
        for position, (features, weight) in enumerate(designs):
            if np.array_equal(features, source.features):
                designs[position] = (features, weight + source.rows)
                break
        else:
            designs.append((source.features, source.rows))
    return np.concatenate([features for features, _ in designs]), np.concatenate([weight for _, weight in designs])


def _whitening(sources: Sequence[WeightedSource]) -> tuple[Array, Array]:
    """Return B (d, r) with B'GB = I on the span of the features, and D = G B; G = sum_i c_i x_i x_i', so B'D = I."""
    grams = [(np.array([source.weight]), source.gram[None]) for source in sources]
    total = np.asarray(sum(source.weight * gram[0] for source, (_, gram) in zip(sources, grams, strict=True)))
    inverse = inverse_of_sum(grams)[0][0]
    # The projection onto the span has the eigenvalues 0 and 1.
    projection = inverse @ total
    values, vectors = np.linalg.eigh((projection + projection.T) / 2)
    span = vectors[:, values > 0.5]
    half = np.linalg.cholesky(span.T @ inverse @ span)
    basis = span @ half
    return basis, total @ basis


def _newton(problem: _Problem, target: Array, begin: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Fit a block of m replicates; returns estimates (m, r) and their existence (m,)."""
    estimates, done = begin.copy(), np.zeros(len(begin), np.bool_)
    height = _likelihood(problem, target, begin, begin @ problem.rows.T)
    for _ in range(_STEPS):
        active = np.flatnonzero(~done)
        if not len(active):
            break
        at, aim = estimates[active], target[active]
        predictor = at @ problem.rows.T
        step = _step(problem, aim, at, predictor)
        change = step @ problem.rows.T
        length, height[active] = _climb(problem, aim, height[active], (at, step), (predictor, change))
        estimates[active] = at + length[:, None] * step
        done[active] = (length == 1.0) & (np.abs(change).max(axis=1) <= _STEP_TOLERANCE)
    return estimates, done & _informed(problem, estimates)


def _step(problem: _Problem, target: Array, at: Array, predictor: Array) -> Array:
    mean, variance = _moments(problem.family, predictor)
    slope = target - (mean * problem.weights) @ problem.rows - at @ problem.penalty
    curvature = _information(problem, variance)
    order = np.arange(curvature.shape[1])
    size = np.maximum(1.0, np.trace(curvature, axis1=1, axis2=2))
    curvature[:, order, order] += _LIFT * size[:, None]
    return np.asarray(np.linalg.solve(curvature, slope[:, :, None])[:, :, 0], dtype=np.float64)


def _climb(
    problem: _Problem, target: Array, height: Array, line: tuple[Array, Array], predictors: tuple[Array, Array]
) -> tuple[Array, Array]:
    """Halve steps until the likelihood no longer falls; returns the shares taken and the likelihoods there, (m,)."""
    (at, step), (predictor, change) = line, predictors
    length, reached = np.ones(len(at)), height.copy()
    falling = np.arange(len(at))
    for _ in range(_HALVINGS):
        part = length[falling, None]
        tried = (at[falling] + part * step[falling], predictor[falling] + part * change[falling])
        reached[falling] = _likelihood(problem, target[falling], *tried)
        # Written so that a likelihood that overflowed to nan counts as fallen.
        lowest = height[falling] - _ROUNDING * (1.0 + np.abs(height[falling]))
        falling = falling[~(reached[falling] >= lowest)]
        if not len(falling):
            break
        length[falling] /= 2
    return length, reached


def _likelihood(problem: _Problem, target: Array, at: Array, predictor: Array) -> Array:
    penalty = np.einsum("ma,ab,mb->m", at, problem.penalty, at) / 2
    likelihood: Array = np.vecdot(target, at) - _potential(problem.family, predictor) @ problem.weights - penalty
    return likelihood


def _informed(problem: _Problem, estimates: Array) -> NDArray[np.bool_]:
    """Return (m,) True where the likelihood is curved in every direction, and so has a maximum."""
    information = _information(problem, _moments(problem.family, estimates @ problem.rows.T)[1])
    finite = np.asarray(np.isfinite(information).all(axis=(1, 2)))
    eigenvalues = np.linalg.eigvalsh(np.where(finite[:, None, None], information, 0.0))
    informed: NDArray[np.bool_] = eigenvalues[:, 0] > _NO_INFORMATION * np.maximum(1.0, eigenvalues[:, -1])
    return finite & informed


def _information(problem: _Problem, variance: Array) -> Array:
    """Return negative second derivatives (m, r, r)."""
    r = problem.rows.shape[1]
    return ((variance * problem.weights) @ problem.outer).reshape(-1, r, r) + problem.penalty


def _moments(family: Discrete, predictor: Array) -> tuple[Array, Array]:
    """Return mean b' and variance b''."""
    mean = mean_response(family, predictor)
    return mean, mean * (1.0 - mean) if family == "logistic" else mean


def _potential(family: Discrete, predictor: Array) -> Array:
    """Return the function b, whose derivatives are mean and variance."""
    if family == "poisson":
        return mean_response(family, predictor)
    # The logarithm of one plus a tiny number loses digits that a sum of likelihoods does not have.
    potential: Array = np.maximum(predictor, 0.0) + np.log(1.0 + np.exp(-np.abs(predictor)))
    return potential
