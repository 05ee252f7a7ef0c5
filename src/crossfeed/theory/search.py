"""Descent of a function over the unit cube that is smooth inside, and may jump on the cube's faces.

Training weights of exactly 0 or 1 drop a source, and with it perhaps a direction of the estimates: on a face of the
cube the error can differ from its limit nearby. So a descent ends by asking whether the faces that it came near are
better; what it found is compared with where it started, and is never worse.

Reference: Byrd, Lu, Nocedal and Zhu, A limited memory algorithm for bound constrained optimization, SIAM J. Sci.
Comput. 16 (1995), for the descent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfeed.theory.kernels import Array, Mask

#: A function of a point (n,) of the cube: its value, infinite where there is none, and its gradient (n,).
Sloped = Callable[[Array], tuple[float, Array]]

# Distance from the faces that a descent keeps at first: no part of a training set is then so light that its weight
# costs digits.
_MARGIN = 2e-3

# Faces that are tried one by one.
_MOST_FACES = 40

# Points without a finite value count as so many times the value at the start: a steep wall, and still a number.
_WALL = 4.0


@dataclass(frozen=True)
class Effort:
    """The end of a descent, and its distance from faces that are worse.

    Attributes:
        flat: relative slope at which it ends; the value is then within about its square of the least.
        gain: relative gain of a step at which it ends.
        hair: distance kept from faces that are worse than what is beside them: an error may fall all the way to such a
            face, while rounding errors rise as the inverse of the distance where the spectral radius nears one.
    """

    flat: float = 1e-8
    gain: float = 1e-14
    hair: float = 1e-7


# Steps of a descent at most, and of the last ones beside a face.
_STEPS, _FEW_STEPS = 500, 60


@dataclass(frozen=True)
class Found:
    """The end of a search.

    Attributes:
        point: shape (n,).
        value: the function there.
    """

    point: Array
    value: float

    def or_better(self, other: Found) -> Found:
        """Return the lower of two.

        Args:
            other: the other one, which loses a tie.

        Returns:
            This one or the other.
        """
        return other if other.value < self.value else self


def descend(function: Sloped, start: Array, effort: Effort = Effort()) -> Found:
    """Descend from a point, and try the faces that the way ends near.

    Args:
        function: what is minimised.
        start: shape (n,), in the unit cube.
        effort: how long it goes on.

    Returns:
        The best point met; the start where its value is not finite.
    """
    here = Found(start, function(start)[0])
    if not np.isfinite(here.value) or not len(start):
        return here
    near = here.or_better(_inside(function, here, np.full(len(start), _MARGIN), effort))
    onto, closed = _onto_faces(function, near)
    if onto is near and not closed.any():
        return near
    return onto.or_better(_inside(function, onto, np.where(closed, effort.hair, 0.0), effort, _FEW_STEPS))


def descend_along(function: Sloped, start: Array, coordinate: int) -> Found:
    """Descend in one coordinate, near where it starts; the function may have kinks.

    Args:
        function: what is minimised.
        start: shape (n,).
        coordinate: number of the coordinate that moves.

    Returns:
        The best point met.

    Reference: Brent, Algorithms for Minimization without Derivatives (1973), Chapter 5.
    """
    from scipy.optimize import minimize_scalar

    here, middle = Found(start, function(start)[0]), start[coordinate]

    def at(value: float) -> Array:
        return np.where(np.arange(len(start)) == coordinate, value, start)

    bounds = max(0.0, middle - _REACH), min(1.0, middle + _REACH)
    end = minimize_scalar(
        lambda value: function(at(value))[0], bounds=bounds, method="bounded", options={"xatol": 1e-9}
    )
    return here.or_better(Found(at(float(end.x)), float(end.fun)))


# A line is searched so far to both sides: a little more than a step of the grids that starts come from.
_REACH = 0.12


def _onto_faces(function: Sloped, here: Found) -> tuple[Found, Mask]:
    """Move onto the faces nearby that are no worse: all at once, or else one after another.

    Returns the point, and the coordinates (n,) near a face that is worse.
    """
    rounded = np.rint(here.point)
    near = (np.abs(here.point - rounded) <= 1.001 * _MARGIN) & (here.point != rounded)
    if not near.any():
        return here, near
    onto, closed = _placed(function, here, near, rounded), near.copy()
    if onto.value <= here.value:
        return onto, np.zeros_like(near)
    best = here
    for i in np.flatnonzero(near)[:_MOST_FACES]:
        onto = _placed(function, best, np.arange(len(near)) == i, rounded)
        if onto.value <= best.value:
            best, closed[i] = onto, False
    return best, closed


def _placed(function: Sloped, here: Found, moved: Mask, rounded: Array) -> Found:
    there = np.where(moved, rounded, here.point)
    return Found(there, function(there)[0])


def _inside(function: Sloped, here: Found, margin: Array, effort: Effort, steps: int = _STEPS) -> Found:
    """Descend within the cube, each coordinate in a distance from its faces."""
    from scipy.optimize import minimize

    scale = abs(here.value) or 1.0
    start, wall = np.clip(here.point, margin, 1.0 - margin), _WALL * scale

    def loss(point: Array, *_: Any) -> tuple[float, Array]:
        value, slope = function(point)
        if not np.isfinite(value):
            return wall / scale, np.zeros(len(point))
        return value / scale, slope / scale

    options: Any = {"maxiter": steps, "ftol": effort.gain, "gtol": effort.flat, "maxls": 20}
    bounds = list(zip(margin.tolist(), (1.0 - margin).tolist(), strict=True))
    end = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return Found(end.x, function(end.x)[0])


#: Functions of a point by their numbers: their values (m,) and gradients (m, n) for m of them.
Several = Callable[[Array, Array], tuple[Array, Array]]

# A minimax counts the functions that are within this factor of the largest, so many at most, and asks again.
_CLOSE, _MOST_FUNCTIONS, _ROUNDS = 0.7, 24, 6

# Distance from the faces that a minimax keeps, and within which it asks for the face itself in the end.
_BESIDE, _FACE = 1e-7, 1e-4


def descend_largest(functions: Several, values: Callable[[Array], Array], start: Array) -> Found:
    """Descend in the largest of several functions: min t such that all are below t.

    Args:
        functions: the functions.
        values: all their values at a point, shape (K,).
        start: shape (n,), in the unit cube.

    Returns:
        The best point met; the start where a value is not finite.

    Reference: Kraft, A software package for sequential quadratic programming, DFVLR-FB 88-28 (1988), for the descent.
    """
    here, counted = Found(start, float(values(start).max())), np.zeros(0, dtype=np.intp)
    if not np.isfinite(here.value):
        return here
    for _ in range(_ROUNDS):
        known = values(here.point)
        largest = np.flatnonzero(known >= _CLOSE * known.max())
        largest = largest[np.argsort(-known[largest])][:_MOST_FUNCTIONS]
        counted = np.union1d(counted, largest)
        end = _epigraph(functions, counted, here)
        there = Found(end, float(values(end).max()))
        better = there.value < here.value * (1 - 1e-12)
        here = here.or_better(there)
        if not better:
            break
    rounded = np.where(np.abs(here.point - np.rint(here.point)) <= _FACE, np.rint(here.point), here.point)
    return Found(rounded, float(values(rounded).max())).or_better(here)


def _epigraph(functions: Several, counted: Any, here: Found) -> Array:
    """Minimise t over (point, t) such that the counted functions are below t."""
    from scipy.optimize import minimize

    scale, size = abs(here.value) or 1.0, len(here.point)
    known: dict[bytes, tuple[Array, Array]] = {}

    def read(extended: Array) -> tuple[Array, Array]:
        key = extended[:-1].tobytes()
        if key not in known:
            known.clear()
            value, slope = functions(extended[:-1], counted)
            finite = np.isfinite(value)
            known[key] = np.where(finite, value / scale, _WALL), np.where(finite[:, None], slope / scale, 0.0)
        return known[key]

    below: Any = {
        "type": "ineq",
        "fun": lambda extended: extended[-1] - read(extended)[0],
        "jac": lambda extended: np.hstack([-read(extended)[1], np.ones((len(counted), 1))]),
    }
    top = np.append(np.zeros(size), 1.0)
    start = np.append(np.clip(here.point, _BESIDE, 1.0 - _BESIDE), 1.0)
    bounds: Any = [(_BESIDE, 1.0 - _BESIDE)] * size + [(None, None)]
    options: Any = {"maxiter": 200, "ftol": 1e-14}
    end = minimize(
        lambda extended, *_: (float(extended[-1]), top), start, jac=True, method="SLSQP", bounds=bounds,
        constraints=[below], options=options,
    )  # fmt: skip
    return np.asarray(np.clip(end.x[:-1], _BESIDE, 1.0 - _BESIDE), dtype=np.float64)
