"""Descent of a function over the unit cube that is smooth inside, and may jump on the cube's faces.

Training weights of exactly 0 or 1 drop a source, and with it perhaps a direction of the estimates: on a face of the cube
the error can differ from its limit nearby. So a descent ends by asking whether the faces that it came near are better;
what it found is compared with where it started, and is never worse.

Reference: Byrd, Lu, Nocedal and Zhu, A limited memory algorithm for bound constrained optimization, SIAM J. Sci. Comput.
16 (1995), for the descent.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from crossfeed.theory.kernels import Array, Mask

#: A function of a point (n,) of the cube: its value, infinite where there is none, and its gradient (n,).
Sloped = Callable[[Array], tuple[float, Array]]

# Distance from a face within which a descent asks for the face itself.
_NEAR = 1e-4

# Points without a finite value count as so many times the value at the start: a steep wall, and still a number.
_WALL = 4.0

#: Relative slope at which a descent ends.
FLAT = 1e-8

_STEPS = 500


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
        """
        return other if other.value < self.value else self


def descend(function: Sloped, start: Array, flat: float = FLAT) -> Found:
    """Descend from a point, and try the faces that the way ends near.

    Args:
        function: what is minimised.
        start: shape (n,), in the unit cube; coordinates of exactly 0 or 1 stay so only if moving them does not pay.
        flat: relative slope at which the descent ends; the value is then within about its square of the least.

    Returns:
        The best point met; the start where its value is not finite.
    """
    here = Found(start, function(start)[0])
    if not np.isfinite(here.value) or not len(start):
        return here
    here = here.or_better(_inside(function, here, np.ones(len(start), dtype=bool), flat))
    return _onto_faces(function, here, flat)


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
    end = minimize_scalar(lambda value: function(at(value))[0], bounds=bounds, method="bounded", options={"xatol": 1e-9})
    return here.or_better(Found(at(float(end.x)), float(end.fun)))


# A line is searched so far to both sides: a little more than a step of the grids that starts come from.
_REACH = 0.12


def _onto_faces(function: Sloped, here: Found, flat: float) -> Found:
    """Move onto the faces nearby: all at once, then each by itself where that does not pay."""
    rounded = np.rint(here.point)
    near = (np.abs(here.point - rounded) <= _NEAR) & (here.point != rounded)
    candidates = [near, *(near & (np.arange(len(near)) == i) for i in np.flatnonzero(near))] if near.any() else []
    for moved in candidates[: 1 + _MOST_FACES]:
        there = np.where(moved, rounded, here.point)
        onto = Found(there, function(there)[0])
        if onto.value <= here.value:
            free = there != np.rint(there)
            return _inside(function, onto, free, flat).or_better(onto) if free.any() else onto
    return here


# Faces that are tried one by one.
_MOST_FACES = 20


def _inside(function: Sloped, here: Found, free: Mask, flat: float) -> Found:
    """Descend in the free coordinates."""
    from scipy.optimize import minimize

    scale = abs(here.value) or 1.0
    start, wall = here.point, _WALL * scale

    def loss(part: Array, *_: Any) -> tuple[float, Array]:
        point = start.copy()
        point[free] = part
        value, slope = function(point)
        if not np.isfinite(value):
            return wall / scale, np.zeros(len(part))
        return value / scale, slope[free] / scale

    options: Any = {"maxiter": _STEPS, "ftol": 1e-15, "gtol": flat, "maxls": 20}
    end = minimize(loss, start[free], jac=True, method="L-BFGS-B", bounds=[(0.0, 1.0)] * int(free.sum()), options=options)
    point = start.copy()
    point[free] = end.x
    return Found(point, function(point)[0])


#: Functions of a point by their numbers: their values (m,) and gradients (m, n) for m of them.
Several = Callable[[Array, Array], tuple[Array, Array]]

# A minimax counts the functions that are within this factor of the largest, so many at most, and asks again.
_CLOSE, _MOST_FUNCTIONS, _ROUNDS = 0.7, 24, 6


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
    rounded = np.where(np.abs(here.point - np.rint(here.point)) <= _NEAR, np.rint(here.point), here.point)
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
    start = np.append(here.point, 1.0)
    bounds = [(0.0, 1.0)] * size + [(None, None)]
    end = minimize(
        lambda extended: extended[-1], start, jac=lambda _: top, method="SLSQP", bounds=bounds, constraints=[below],
        options={"maxiter": 200, "ftol": 1e-14},
    )  # fmt: skip
    return np.clip(end.x[:-1], 0.0, 1.0)
