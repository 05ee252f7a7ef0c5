"""Long-run behaviour of the pool, zbar_{t+1} = H_t zbar_t + g (forcing + noise), from the spectrum of A.

"latest" (H = A): the pool settles when the spectral radius is below one, to

    sum_s A^s = (I - A)^{-1},      Gamma = A Gamma A' + N.

"accumulate" (H_t = (1 - 1/t) I + A/t): it settles when every eigenvalue has real part below one; the same
(I - A)^{-1}, and Gamma -> 0 because independent noise averages out.

On the boundary and beyond, what counts is the part of the eigenspace that something reaches:

* noise reaching eigenvalue 1: "latest" adds the same variance every generation and never settles; "accumulate" adds
  N/t^2 and settles at (pi^2/6) N there.
* only generation 0 reaches it, and A acts as the identity: the pool keeps for ever what generation 0 told it. That is
  the limit, and it depends on the start.
* the real data reach it at every generation: the estimates drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossfeed.theory.kernels import RANK_TOLERANCE, Array

# Eigenvalues and Schur forms: complex, or real where the library finds that they are.
ComplexArray = npt.NDArray[np.complexfloating[Any, Any]]

# Relative size under which noise or data count as not reaching an eigenspace.
_REACH_TOLERANCE = 1e-12

# Bounds on the distance from one within which an eigenvalue counts as one (`unit_tolerance`).
_UNIT_TOLERANCE = (1e-10, 1e-7)

#: How the variance grows where there is no limit, over generations t.
Law = Literal["geometric", "quadratic", "linear", "power", "logarithmic", "oscillating"]


@dataclass(frozen=True)
class Growth:
    """How the estimates move away where there is no limit.

    Attributes:
        law: "geometric": errors grow by `rate` per generation (variance by its square); "linear": each generation
            adds the same variance; "quadratic": variance grows as t^2; "power": errors grow as t^rate;
            "logarithmic": errors grow as log t; "oscillating": bounded, but turning for ever.
        rate: the factor or exponent named under `law`; 1 otherwise.
        drift: covariance added to the pool per generation under the "linear" law, shape (d, d); None otherwise.
    """

    law: Law
    rate: float
    drift: Array | None = None


@dataclass(frozen=True)
class Stationary:
    """The pool in the long run.

    Attributes:
        lasting: lim of what the lasting setting's data add up to, shape (d, d).
        initial: lim of the gain on what generation 0 said, shape (d, d); zero below the boundary.
        noise: lim of Gamma, shape (d, d).
    """

    lasting: Array
    initial: Array
    noise: Array


@dataclass(frozen=True)
class Inputs:
    """Everything that can push the pool, as (d, d) positive semi-definite matrices.

    Attributes:
        noise: N.
        forcing: spread of what the lasting setting's real data and fresh data add.
        initial: spread of what generation 0 said.
    """

    noise: Array
    forcing: Array
    initial: Array


def spectral_radius(matrix: Array) -> float:
    """Largest modulus of an eigenvalue."""
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def unit_tolerance(pool_gram: Array) -> float:
    """Distance from one within which an eigenvalue's modulus (or real part) counts as one.

    At alpha = 1 the matrix A is exactly a projection onto the range of Sbar, but is computed through Sbar^{-1}, so its
    unit eigenvalues carry an error of the order of Sbar's condition number.
    """
    values = np.linalg.eigvalsh(pool_gram)
    inside = values[values > RANK_TOLERANCE * max(values[-1], np.finfo(float).tiny)]
    error = 16 * np.finfo(float).eps * (inside[-1] / inside[0] if len(inside) else 1.0)
    return float(np.clip(error, *_UNIT_TOLERANCE))


def settles(matrix: Array, accumulate: bool, tolerance: float) -> bool:
    """Whether the spectrum alone ensures a limit."""
    return bool((_size(np.linalg.eigvals(matrix), accumulate) < 1.0 - tolerance).all())


def stationary(matrix: Array, noise: Array, accumulate: bool) -> Stationary:
    """The long run where the spectrum ensures it (`settles`)."""
    zero = np.zeros_like(matrix)
    lasting = np.linalg.inv(np.eye(len(matrix)) - matrix)
    return Stationary(
        np.asarray(lasting, dtype=np.float64), zero, zero if accumulate else discrete_lyapunov(matrix, noise)
    )


def discrete_lyapunov(matrix: Array, noise: Array) -> Array:
    """Solve Gamma = A Gamma A' + N by doubling, for a spectral radius below one.

    After m doublings the sum holds 2^m terms A^s N A'^s, so it takes about log2(1/(1 - radius)) products.
    """
    total, power = noise, matrix
    while True:
        term = power @ total @ power.T
        total = total + term
        if not np.abs(term).max() > np.finfo(float).eps / 4 * np.abs(total).max():
            return (total + total.T) / 2
        power = power @ power


def boundary(matrix: Array, reach: Inputs, accumulate: bool, tolerance: float) -> Stationary | Growth:
    """The long run on the boundary or beyond: a limit if one exists, or the growth."""
    unit = _unit_part(matrix, accumulate, tolerance)
    if unit.size(reach.forcing) <= tolerance * np.linalg.norm(reach.initial):
        # Data of weight w move an eigenvalue off one by a part of w and are heard by its square: where the one counts
        # as nothing, so does the other.
        reach = replace(reach, forcing=np.zeros_like(reach.forcing))
    reached = _reached(unit, reach)
    growth = _growth(reached, reach, accumulate, tolerance)
    return _limit_beside(matrix, unit, reached, reach, accumulate) if growth is None else growth


def _size(eigenvalues: npt.NDArray[np.inexact[Any]] | complex, accumulate: bool) -> Array:
    return np.asarray(np.real(eigenvalues) if accumulate else np.abs(eigenvalues), dtype=np.float64)


@dataclass(frozen=True)
class _InvariantSubspace:
    """An invariant part of A: A right = right block, left right = I, and left A = block left on what is reached."""

    block: ComplexArray
    right: ComplexArray
    left: ComplexArray

    @property
    def projection(self) -> Array:
        return np.real(self.right @ self.left)

    def size(self, source: Array) -> float:
        """How much `source` puts into the part, over what a part of its norm may hold."""
        longest = max(1.0, float(np.linalg.norm(self.left, 2)) ** 2) if self.left.size else 1.0
        return float(np.linalg.norm(self.left @ source @ self.left.conj().T)) / longest

    def component(self, source: Array) -> ComplexArray:
        """What `source` puts into the part, scaled to norm one; zero when it is only rounding."""
        inside: ComplexArray = self.left @ source @ self.left.conj().T
        if self.size(source) <= _REACH_TOLERANCE * np.linalg.norm(source):
            return np.zeros_like(inside)
        return inside / np.linalg.norm(inside)


def _unit_part(matrix: Array, accumulate: bool, tolerance: float) -> _InvariantSubspace:
    """The part of A with eigenvalues not below one."""
    from scipy.linalg import schur, solve_sylvester

    def not_below_one(value: complex, imaginary: float = 0.0) -> bool:
        return bool(_size(value + 1j * imaginary, accumulate) >= 1.0 - tolerance)

    triangle, vectors, count = schur(matrix, output="complex", sort=not_below_one)
    block, rest = triangle[:count, :count], triangle[count:, count:]
    right, other = vectors[:, :count], vectors[:, count:]
    left = right.conj().T
    if 0 < count < len(matrix):
        left = left + solve_sylvester(block, -rest, triangle[:count, count:]) @ other.conj().T
    return _InvariantSubspace(block, right, left)


def _reached(unit: _InvariantSubspace, reach: Inputs) -> _InvariantSubspace:
    """Restrict the unit part to what noise, data or generation 0 ever put something into."""
    basis = _range(np.hstack([unit.component(source) for source in (reach.noise, reach.forcing, reach.initial)]))
    for _ in range(len(unit.block)):
        basis = _range(np.hstack([basis, unit.block @ basis]))
    adjoint = basis.conj().T
    return _InvariantSubspace(adjoint @ unit.block @ basis, unit.right @ basis, adjoint @ unit.left)


def _range(matrix: ComplexArray) -> ComplexArray:
    """Orthonormal basis of the range."""
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    return vectors[:, values > _REACH_TOLERANCE]


def _growth(reached: _InvariantSubspace, reach: Inputs, accumulate: bool, tolerance: float) -> Growth | None:
    if not len(reached.block):
        return None
    size = float(_size(np.linalg.eigvals(reached.block), accumulate).max())
    if size > 1.0 + tolerance:
        return Growth("power", size - 1.0) if accumulate else Growth("geometric", size)
    if reached.component(reach.forcing).any():
        return Growth("logarithmic" if accumulate else "quadratic", 1.0)
    still = float(np.abs(reached.block - np.eye(len(reached.block))).max()) <= math.sqrt(tolerance)
    if not accumulate and reached.component(reach.noise).any():
        drift = reached.projection @ reach.noise @ reached.projection.T
        return Growth("linear", 1.0, drift if still else None)
    return None if still else Growth("oscillating", 1.0)


def _limit_beside(
    matrix: Array, unit: _InvariantSubspace, reached: _InvariantSubspace, reach: Inputs, accumulate: bool
) -> Stationary:
    """Limit where the unit part is left alone: (I - A)^{-1} off it, the start kept on it."""
    identity = np.eye(len(matrix))
    rest = matrix - np.real(unit.right @ unit.block @ unit.left)
    off, kept = identity - unit.projection, reached.projection
    if accumulate:
        noise = math.pi**2 / 6 * kept @ reach.noise @ kept.T
    else:
        noise = discrete_lyapunov(rest, off @ reach.noise @ off.T)
    return Stationary(np.linalg.inv(identity - rest) - unit.projection, kept, noise)
