"""Long-run behaviour of the pool, zbar_{t+1} = H_t zbar_t + g (forcing + noise), from the spectrum of A.

"latest" (H = A): the pool settles when the spectral radius is below one, to

    sum_s A^s = (I - A)^{-1},      Gamma = A Gamma A' + N.

"accumulate" (H_t = (1 - 1/t) I + A/t): it settles when every eigenvalue has real part below one; the same
(I - A)^{-1}, and Gamma -> 0 because independent noise averages out.

On the boundary and beyond, only the part of the eigenspace counts that some input reaches:

* noise reaching eigenvalue 1: "latest" adds the same variance every generation and never settles; "accumulate" adds
  N/t^2 and settles at (pi^2/6) N there.
* only generation 0 reaches it, and A acts as the identity: the pool keeps generation 0's contribution for ever. That is
  the limit, and it depends on the start.
* the real data reach it at every generation: the estimates drift.

Reference: paper, Theorem 3, for a spectral radius below one; reachable subspaces as in Kailath, Linear Systems (1980);
the Lyapunov equation by Smith, Matrix equation XA + BX = C, SIAM J. Appl. Math. 16 (1968).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from crossfeed.theory.kernels import Array, rank_tolerance

# Eigenvalues and Schur forms: complex, or real where the library finds that they are.
ComplexArray = npt.NDArray[np.complexfloating[Any, Any]]

# Relative size under which noise or data count as not reaching an eigenspace.
_REACH_TOLERANCE = 1e-12

# Bounds on the distance from one within which an eigenvalue counts as one (`unit_tolerance`).
_UNIT_TOLERANCE = (1e-10, 1e-7)

#: Law of growth of the variance over generations t, where there is no limit.
Law = Literal["geometric", "quadratic", "linear", "power", "logarithmic", "oscillating"]


@dataclass(frozen=True)
class Growth:
    """Law by which the estimates move away where there is no limit.

    Attributes:
        law: "geometric": errors grow by `rate` per generation (variance by its square); "linear": each generation
            adds the same variance; "quadratic": variance grows as t^2; "power": errors grow as t^rate;
            "logarithmic": errors grow as log t; "oscillating": bounded, but turning for ever.
        rate: the factor or exponent named under `law`; 1 otherwise.
        drift: covariance added to the pool per generation under the "linear" law, in the coordinates that solvers work
            in, shape (d, d); None otherwise.
    """

    law: Law
    rate: float
    drift: Array | None = None


@dataclass(frozen=True)
class Stationary:
    """The pool in the long run.

    Attributes:
        lasting: lim of the gain on the data under the lasting weights, shape (d, d).
        initial: lim of the gain on generation 0's data, shape (d, d); zero below the boundary.
        noise: lim of Gamma, shape (d, d).
    """

    lasting: Array
    initial: Array
    noise: Array


@dataclass(frozen=True)
class Inputs:
    """Inputs of the pool's recursion, as (d, d) positive semi-definite matrices.

    Attributes:
        noise: N.
        forcing: spread of the real data under the lasting weights, and of the fresh data.
        initial: spread of the real data under the weights of generation 0.
        heard: size of the spread of real data that are heard in full; what is a rounding error beside it counts as
            none, however it compares with the rest of its own source.
    """

    noise: Array
    forcing: Array
    initial: Array
    heard: float


def spectral_radius(matrix: Array) -> float:
    """Return the largest modulus of an eigenvalue.

    Args:
        matrix: shape (d, d).

    Returns:
        The spectral radius.
    """
    return float(np.abs(np.linalg.eigvals(matrix)).max())


def unit_error(pool_gram: Array, inflation: float, rounding: float) -> float:
    """Return the rounding error of an eigenvalue one of A.

    At alpha = 1 the matrix A is exactly a projection onto the range of Sbar, but is computed through Sbar^{-1}, so its
    unit eigenvalues carry an error of the order of Sbar's condition number; elsewhere of that of the G_k.

    Args:
        pool_gram: Sbar, shape (d, d).
        inflation: what rounding errors of the G_k are multiplied by (`crossfeed.theory.kernels.Inverted`).
        rounding: eigenvalues of Sbar, relative to its trace, that may be rounding errors.

    Returns:
        The error.
    """
    values = np.linalg.eigvalsh(pool_gram)
    inside = values[values > rank_tolerance(rounding) * max(values[-1], np.finfo(float).tiny)]
    condition = inside[-1] / inside[0] if len(inside) else 1.0
    return float(16 * np.finfo(float).eps * max(condition, inflation))


def unit_tolerance(error: float) -> float:
    """Return the distance from one within which an eigenvalue's modulus (or real part) counts as one.

    Args:
        error: the rounding error of an eigenvalue one (`unit_error`).

    Returns:
        The tolerance, from 1e-10 to 1e-7.
    """
    return float(np.clip(error, *_UNIT_TOLERANCE))


def without_drift(matrix: Array, error: float) -> Array:
    """Replace A on the eigenspace of the eigenvalue one by the identity, if rounding alone separates them.

    Powers of A multiply a rounding error of a unit eigenvalue by their number: what is kept for ever would drift.

    Args:
        matrix: A, shape (d, d).
        error: the rounding error of an eigenvalue one (`unit_error`).

    Returns:
        A, or the matrix without drift.
    """

    def is_one(value: complex) -> bool:
        return abs(value - 1.0) <= error

    sizes = np.abs(matrix)
    largest = min(sizes.sum(axis=0).max(), sizes.sum(axis=1).max())  # no eigenvalue is larger than either norm
    if largest < 1.0 - error or not any(map(is_one, np.linalg.eigvals(matrix))):
        return matrix
    unit = _invariant(matrix, is_one)
    identity = np.eye(len(unit.block))
    if np.abs(unit.block - identity).max(initial=0.0) > error:
        return matrix
    if len(unit.block) == len(matrix):
        return identity
    return matrix + np.real(unit.right @ (identity - unit.block) @ unit.left)


def residue(matrix: Array, slope: Array, tolerance: float) -> Array:
    """Return the residue at one of [I - A(zeta)]^{-1}, where A(1) has the eigenvalue one.

    Args:
        matrix: A(1), shape (d, d).
        slope: the derivative of I - A(zeta) at one, shape (d, d).
        tolerance: distance from one within which an eigenvalue counts as one.

    Returns:
        right (left slope right)^{-1} left, with the eigenvectors of one, shape (d, d).
    """
    unit = _invariant(matrix, lambda value: abs(value - 1.0) <= tolerance)
    return np.real(unit.right @ np.linalg.solve(unit.left @ slope @ unit.right, unit.left))


def settles(matrix: Array, accumulate: bool, tolerance: float) -> bool:
    """Return True if the spectrum alone ensures a limit.

    Args:
        matrix: A, shape (d, d).
        accumulate: True for the history "accumulate".
        tolerance: distance from one within which an eigenvalue counts as one.

    Returns:
        True if every eigenvalue (its modulus, or its real part where the pool accumulates) is below one.

    Source: paper, Theorem 3.
    """
    return bool((_size(np.linalg.eigvals(matrix), accumulate) < 1.0 - tolerance).all())


def stationary(matrix: Array, noise: Array, accumulate: bool) -> Stationary:
    """Solve for the long run where the spectrum ensures it (`settles`).

    Args:
        matrix: A, shape (d, d).
        noise: N, shape (d, d).
        accumulate: True for the history "accumulate".

    Returns:
        The pool in the long run.

    Source: paper, Theorem 3.
    """
    zero = np.zeros_like(matrix)
    lasting = np.linalg.inv(np.eye(len(matrix)) - matrix)
    return Stationary(
        np.asarray(lasting, dtype=np.float64), zero, zero if accumulate else discrete_lyapunov(matrix, noise)
    )


def discrete_lyapunov(matrix: Array, noise: Array) -> Array:
    """Solve Gamma = A Gamma A' + N by doubling, for a spectral radius below one.

    After m doublings the sum holds 2^m terms A^s N A'^s, so it takes about log2(1/(1 - radius)) products.

    Args:
        matrix: A, shape (d, d), of spectral radius below one.
        noise: N, shape (d, d).

    Returns:
        Gamma, shape (d, d).

    Reference: Smith, Matrix equation XA + BX = C, SIAM J. Appl. Math. 16 (1968).
    """
    total, power = noise, matrix
    while True:
        term = power @ total @ power.T
        total = total + term
        if not np.abs(term).max() > np.finfo(float).eps / 4 * np.abs(total).max():
            return (total + total.T) / 2
        power = power @ power


def boundary(matrix: Array, inputs: Inputs, accumulate: bool, tolerance: float) -> Stationary | Growth:
    """Solve for the long run on the boundary or beyond.

    Args:
        matrix: A, shape (d, d).
        inputs: the inputs of the recursion.
        accumulate: True for the history "accumulate".
        tolerance: distance from one within which an eigenvalue counts as one.

    Returns:
        The limit if one exists, or the growth.
    """
    unit = _unit_part(matrix, accumulate, tolerance)
    # Data of weight w move an eigenvalue off one in proportion to w and enter the spread as its square: where the one
    # counts as nothing, so does the other. At generation 0 they move none, and only rounding is nothing.
    full = max(inputs.heard, float(np.linalg.norm(inputs.initial)))
    inputs = replace(
        inputs,
        forcing=_unless_below(tolerance * full, unit, inputs.forcing),
        initial=_unless_below(_REACH_TOLERANCE * inputs.heard, unit, inputs.initial),
    )
    reachable = _reachable(unit, inputs)
    growth = _growth(reachable, inputs, accumulate, tolerance)
    return _limit_beside(matrix, unit, reachable, inputs, accumulate) if growth is None else growth


def _size(eigenvalues: npt.NDArray[np.inexact[Any]] | complex, accumulate: bool) -> Array:
    return np.asarray(np.real(eigenvalues) if accumulate else np.abs(eigenvalues), dtype=np.float64)


@dataclass(frozen=True)
class _InvariantSubspace:
    """An invariant subspace of A: A right = right block, left right = I, and left A = block left where inputs reach."""

    block: ComplexArray
    right: ComplexArray
    left: ComplexArray

    @property
    def projection(self) -> Array:
        return np.real(self.right @ self.left)

    def size(self, source: Array) -> float:
        """Return the norm of the component of `source`, over the largest gain of a component (at least one)."""
        longest = max(1.0, float(np.linalg.norm(self.left, 2)) ** 2) if self.left.size else 1.0
        return float(np.linalg.norm(self.left @ source @ self.left.conj().T)) / longest

    def component(self, source: Array) -> ComplexArray:
        """Return the component of `source`, scaled to norm one; zero when it is only rounding."""
        inside: ComplexArray = self.left @ source @ self.left.conj().T
        if self.size(source) <= _REACH_TOLERANCE * np.linalg.norm(source):
            return np.zeros_like(inside)
        return inside / np.linalg.norm(inside)


def _unless_below(size: float, unit: _InvariantSubspace, source: Array) -> Array:
    return source if unit.size(source) > size else np.zeros_like(source)


def _unit_part(matrix: Array, accumulate: bool, tolerance: float) -> _InvariantSubspace:
    """Return the invariant subspace of the eigenvalues not below one."""
    return _invariant(matrix, lambda value: bool(_size(value, accumulate) >= 1.0 - tolerance))


def _invariant(matrix: Array, belongs: Callable[[complex], bool]) -> _InvariantSubspace:
    """Return the invariant subspace of some of the eigenvalues."""
    from scipy.linalg import schur, solve_sylvester

    def chosen(value: complex, imaginary: float = 0.0) -> bool:
        return belongs(value + 1j * imaginary)

    triangle, vectors, count = schur(matrix, output="complex", sort=chosen)
    block, rest = triangle[:count, :count], triangle[count:, count:]
    right, other = vectors[:, :count], vectors[:, count:]
    left = right.conj().T
    if 0 < count < len(matrix):
        left = left + solve_sylvester(block, -rest, triangle[:count, count:]) @ other.conj().T
    return _InvariantSubspace(block, right, left)


def _reachable(unit: _InvariantSubspace, inputs: Inputs) -> _InvariantSubspace:
    """Restrict the unit part to the subspace that is reachable from noise, data or generation 0."""
    basis = _range(np.hstack([unit.component(source) for source in (inputs.noise, inputs.forcing, inputs.initial)]))
    for _ in range(len(unit.block)):
        basis = _range(np.hstack([basis, unit.block @ basis]))
    adjoint = basis.conj().T
    return _InvariantSubspace(adjoint @ unit.block @ basis, unit.right @ basis, adjoint @ unit.left)


def _range(matrix: ComplexArray) -> ComplexArray:
    """Return an orthonormal basis of the range."""
    vectors, values, _ = np.linalg.svd(matrix, full_matrices=False)
    return vectors[:, values > _REACH_TOLERANCE]


def _growth(reachable: _InvariantSubspace, inputs: Inputs, accumulate: bool, tolerance: float) -> Growth | None:
    if not len(reachable.block):
        return None
    size = float(_size(np.linalg.eigvals(reachable.block), accumulate).max())
    if size > 1.0 + tolerance:
        return Growth("power", size - 1.0) if accumulate else Growth("geometric", size)
    if reachable.component(inputs.forcing).any():
        return Growth("logarithmic" if accumulate else "quadratic", 1.0)
    still = float(np.abs(reachable.block - np.eye(len(reachable.block))).max()) <= math.sqrt(tolerance)
    if not accumulate and reachable.component(inputs.noise).any():
        drift = reachable.projection @ inputs.noise @ reachable.projection.T
        return Growth("linear", 1.0, drift if still else None)
    return None if still else Growth("oscillating", 1.0)


def _limit_beside(
    matrix: Array, unit: _InvariantSubspace, reachable: _InvariantSubspace, inputs: Inputs, accumulate: bool
) -> Stationary:
    """Return the limit where no input grows in the unit part: (I - A)^{-1} off it, the start kept on it."""
    identity = np.eye(len(matrix))
    rest = matrix - np.real(unit.right @ unit.block @ unit.left)
    off, kept = identity - unit.projection, reachable.projection
    if accumulate:
        noise = math.pi**2 / 6 * kept @ inputs.noise @ kept.T
    else:
        noise = discrete_lyapunov(rest, off @ inputs.noise @ off.T)
    return Stationary(np.linalg.inv(identity - rest) - unit.projection, kept, noise)
