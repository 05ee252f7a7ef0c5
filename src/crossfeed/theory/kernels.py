"""Batched kernels for many small positive semi-definite matrices.

The reduction needs, for every entity, the pseudo-inverse of

    G_k = p_k S~_k + q_k S_* + a_k Sbar,        p_k, q_k, a_k >= 0,

a sum of Gram matrices. Where G_k is comfortably positive definite its inverse is Y'Y with Y = L^{-1} from the
Cholesky factorization G = L L'. A library inverse of a stack of 15 x 15 matrices costs more than six Cholesky
factorizations; inverting the triangular factor by halves, so that nearly all the work is stacked matrix products,
costs less than one.

Where G_k is not, or one part's weight is so small that rounding errors of the others would drown what it decides, the
sum is left to `crossfeed.theory.graded`.

Reference: Golub and Van Loan, Matrix Computations, 4th ed. (2013), Section 4.2 (Cholesky factorization); Higham,
Accuracy and Stability of Numerical Algorithms, 2nd ed. (2002), Section 14.2 (triangular inversion by blocks).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A weight (b,) or (1,), not negative, and positive semi-definite matrices (b, d, d) or (d, d): one term of a sum.
WeightedGram = tuple[Array, Array]

#: Eigenvalues of a Gram matrix below this, relative to its trace, count as zero.
RANK_TOLERANCE = 1e-12

# Above this condition number a Cholesky factorization may have passed on rounding errors alone.
_SUSPECT_CONDITION = 1e10

# Parts whose sizes are further apart than the first number are not added up where the condition number exceeds the
# second: the error of what the lightest part decides would grow as the inverse square of its size.
_UNEVEN, _UNEVEN_CONDITION = 1e-3, 1e4

# Stacks of so many triangles are left to the library, which takes them one by one without calls of ours in between.
_FEW = 6

# Triangles up to this order are inverted element by element across the stack (measured best for d = 15 and 50).
_LEAF = 4


def inverse_lower(triangles: Array) -> Array:
    """Invert a stack of lower triangular matrices.

    Args:
        triangles: L, shape (b, d, d); the strict upper triangles are not read.

    Returns:
        L^{-1}, shape (b, d, d).
    """
    if len(triangles) <= _FEW:
        few: Array = np.tril(np.linalg.inv(np.tril(triangles)))
        return few
    out = np.zeros(triangles.shape)
    _invert_halves(triangles, out)
    return out


def _invert_halves(lower: Array, out: Array) -> None:
    order = lower.shape[1]
    if order <= _LEAF:
        _invert_leaf(lower, out)
        return
    half = (order + 1) // 2
    head, tail = slice(0, half), slice(half, order)
    _invert_halves(lower[:, head, head], out[:, head, head])
    _invert_halves(lower[:, tail, tail], out[:, tail, tail])
    np.matmul(out[:, tail, tail], -(lower[:, tail, head] @ out[:, head, head]), out=out[:, tail, head])


def _invert_leaf(lower: Array, out: Array) -> None:
    for i in range(lower.shape[1]):
        pivot = 1.0 / lower[:, i, i]
        out[:, i, i] = pivot
        for j in range(i):
            total = lower[:, i, j] * out[:, j, j]
            for m in range(j + 1, i):
                total += lower[:, i, m] * out[:, m, j]
            out[:, i, j] = -total * pivot


def weighted(weight: Array, matrices: Array) -> Array:
    """Scale a stack of matrices.

    Args:
        weight: shape (b,) or (1,).
        matrices: shape (b, d, d) or (d, d).

    Returns:
        Each weight times its matrix, shape (b, d, d), or (1, d, d) for one of each.
    """
    return weight[:, None, None] * matrices


def weighted_sum(weight: Array, matrices: Array) -> Array:
    """Sum a stack of matrices with weights, sum_j weight_j matrices_j.

    Args:
        weight: shape (b,) or (1,).
        matrices: shape (b, d, d).

    Returns:
        The sum, shape (d, d).
    """
    count, d, _ = matrices.shape
    # A weight repeated with stride zero would keep the product out of BLAS.
    each = np.ascontiguousarray(np.broadcast_to(weight, (count,)))
    return (each @ matrices.reshape(count, d * d)).reshape(d, d)


def transposed(matrices: Array) -> Array:
    """Transpose each matrix of a stack.

    Args:
        matrices: shape (..., m, n).

    Returns:
        A view of shape (..., n, m).
    """
    return matrices.swapaxes(-1, -2)


def times_transposed(matrices: Array, right: Array) -> Array:
    """Multiply a stack of matrices by the transpose of one matrix.

    Args:
        matrices: M_j, shape (b, d, d).
        right: B, shape (d, d).

    Returns:
        M_j B', shape (b, d, d).
    """
    # The copy halves the time: a transposed right factor slows every product of the stack down.
    return matrices @ np.ascontiguousarray(right.T)


def sandwich(outer: Array, middle: Array) -> Array:
    """Return the symmetric parts of the products F M F'.

    Args:
        outer: F, shape (b, d, d).
        middle: M, shape (b, d, d) or (d, d).

    Returns:
        Shape (b, d, d).
    """
    product = outer @ middle @ transposed(outer)
    return (product + transposed(product)) / 2


def trace_sandwich(outer: Array, middle: Array) -> Array:
    """Return the traces of the products F M F', without forming them.

    Args:
        outer: F, shape (b, d, d).
        middle: M, shape (b, d, d) or (d, d).

    Returns:
        Shape (b,).
    """
    count = len(outer)
    trace: Array = np.vecdot((outer @ middle).reshape(count, -1), outer.reshape(count, -1))
    return trace


def gram(rows: Array) -> Array:
    """Return the Gram matrices of a stack of feature matrices.

    Args:
        rows: X, shape (b, n, d).

    Returns:
        X'X, shape (b, d, d).
    """
    # The copy keeps the product off the rank-k update that BLAS takes for X'X, three times slower at these sizes.
    return transposed(rows) @ rows.copy()


def definite_inverse(parts: Sequence[WeightedGram]) -> tuple[Array, Mask]:
    """Invert G = sum_i c_i S_i by Cholesky factorization, for a stack of weighted positive semi-definite parts.

    Args:
        parts: pairs (c, S): c of shape (b,) or (1,), S of shape (b, d, d) or (d, d), the first one of shape (b, d, d).

    Returns:
        G^{-1} of shape (b, d, d), and a mask of shape (b,): True where rounding errors may have ruined it.
    """
    # Parts shared by the whole stack are added up first, as single matrices.
    own, *others = (weighted(c, S) for c, S in parts)
    total = own + reduce(add, others) if others else own
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # then the bound is no number, or infinite
        try:
            lower = np.asarray(np.linalg.cholesky(total), dtype=np.float64)
        except np.linalg.LinAlgError:
            return np.empty_like(total), np.ones(len(total), dtype=np.bool_)
        factor = inverse_lower(lower)
        # The product of the traces of G and G^{-1} bounds the condition number from above.
        bound = _squared_norm(lower) * _squared_norm(factor)
        inverse = transposed(factor) @ factor.copy()
    suspects = ~(bound <= _SUSPECT_CONDITION)
    if (bound > _UNEVEN_CONDITION).any():
        suspects |= (bound > _UNEVEN_CONDITION) & uneven(parts)
    return inverse, suspects


def uneven(parts: Sequence[WeightedGram]) -> Mask:
    """Tell sums with a part that is so light that rounding errors of the others can drown what it decides.

    Args:
        parts: pairs (c, S) as for `definite_inverse`.

    Returns:
        Shape (b,); parts of weight zero do not count.
    """
    sizes = np.array(np.broadcast_arrays(*(c * np.trace(S, axis1=-2, axis2=-1) for c, S in parts)))
    lightest = np.where(sizes > 0, sizes, np.inf).min(axis=0)
    light: Mask = lightest < _UNEVEN * sizes.max(axis=0)
    return light


def selected(parts: Sequence[WeightedGram], rows: Mask) -> list[WeightedGram]:
    """Select some matrices of a stack of sums, part by part.

    Args:
        parts: pairs (c, S) as for `definite_inverse`.
        rows: shape (b,), True for the matrices to keep.

    Returns:
        The same pairs for these matrices.
    """
    return [(c[rows] if len(c) > 1 else c, S[rows] if S.ndim == 3 and len(S) > 1 else S) for c, S in parts]


def square_root(matrices: Array) -> Array:
    """Factor positive semi-definite matrices as S = X'X.

    Args:
        matrices: S, shape (b, d, d).

    Returns:
        X', shape (b, d, d); zero in directions where S is only rounding.
    """
    values, vectors = np.linalg.eigh(matrices)
    inside = values > RANK_TOLERANCE * values.sum(axis=1, keepdims=True)
    root: Array = vectors * np.sqrt(np.where(inside, values, 0.0))[:, None, :]
    return root


def _squared_norm(matrices: Array) -> Array:
    flat = matrices.reshape(len(matrices), -1)
    norms: Array = np.vecdot(flat, flat)
    return norms
