"""Batched kernels for many small positive semi-definite matrices.

The reduction needs, for every entity, the pseudo-inverse of

    G_k = p_k S~_k + q_k S_* + a_k Sbar,        p_k, q_k, a_k >= 0,

a sum of Gram matrices. Where G_k is comfortably positive definite its inverse is Y'Y with Y = L^{-1} from the
Cholesky factorization G = L L'. A library inverse of a stack of 15 x 15 matrices costs more than six Cholesky
factorizations; inverting the triangular factor by halves, so that nearly all the work is stacked matrix products,
costs less than one.

Where G_k is singular its range decides the answer, and range(G_k) is the sum of the ranges of the parts whose
weight is not zero, whatever the size of those weights. So the rank is decided on the parts scaled to equal size,
never on G_k itself: a weight of 1e-13 is small, not absent.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from operator import add

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: Eigenvalues of the equally scaled sum of parts below this, relative to the largest, count as zero.
RANK_TOLERANCE = 1e-12

# Above this condition number a Cholesky factorization may have passed on rounding errors alone.
_SUSPECT_CONDITION = 1e10

# Triangles up to this order are inverted element by element across the stack (measured best for d = 15 and 50).
_LEAF = 4


def inverse_lower(triangles: Array) -> Array:
    """Invert a stack of lower triangular matrices.

    Args:
        triangles: L, shape (b, d, d); the strict upper triangles are not read.

    Returns:
        L^{-1}, shape (b, d, d).
    """
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
    """Scale a stack of matrices: weight (b,) or (1,), matrices (b, d, d) or (d, d)."""
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
    """Transpose each matrix of a stack."""
    return matrices.swapaxes(-1, -2)


def times_transposed(matrices: Array, right: Array) -> Array:
    """Products M_j B' of a stack (b, d, d) with the transpose of one matrix B (d, d)."""
    # The copy halves the time: a transposed right factor slows every product of the stack down.
    return matrices @ np.ascontiguousarray(right.T)


def gram(rows: Array) -> Array:
    """Gram matrices X'X of a stack of feature matrices, shape (b, n, d) -> (b, d, d)."""
    # The copy keeps the product off the rank-k update that BLAS takes for X'X, three times slower at these sizes.
    return transposed(rows) @ rows.copy()


def inverse_of_sum(parts: Sequence[tuple[Array, Array]]) -> tuple[Array, Mask]:
    """Pseudo-inverse of G = sum_i c_i S_i for a stack of weighted positive semi-definite parts.

    Args:
        parts: pairs (c, S): c of shape (b,) or (1,), not negative; S of shape (b, d, d) or (d, d), the first one of
            shape (b, d, d).

    Returns:
        G^+ of shape (b, d, d), and a mask of shape (b,): True where G is singular (rank decided by the parts'
        ranges, see the module's text).
    """
    # Parts shared by the whole stack are added up first, as single matrices.
    own, *others = (weighted(c, S) for c, S in parts)
    total = own + reduce(add, others) if others else own
    inverse, suspects = _definite_inverse(total)
    singular = np.zeros(len(total), dtype=np.bool_)
    if suspects.any():
        inverse[suspects], singular[suspects] = _inverse_on_range(_select(parts, suspects), total[suspects])
    return inverse, singular


def _definite_inverse(matrices: Array) -> tuple[Array, Mask]:
    """Inverse by Cholesky factorization, and a mask of the matrices for which it is not to be trusted."""
    try:
        lower = np.asarray(np.linalg.cholesky(matrices), dtype=np.float64)
    except np.linalg.LinAlgError:
        return np.empty_like(matrices), np.ones(len(matrices), dtype=np.bool_)
    factor = inverse_lower(lower)
    # The product of the traces of G and G^{-1} bounds the condition number from above.
    bound = _squared_norm(lower) * _squared_norm(factor)
    return transposed(factor) @ factor.copy(), ~(bound <= _SUSPECT_CONDITION)


def _squared_norm(matrices: Array) -> Array:
    flat = matrices.reshape(len(matrices), -1)
    norms: Array = np.vecdot(flat, flat)
    return norms


def _trace(matrices: Array) -> Array:
    traces: Array = np.trace(matrices, axis1=-2, axis2=-1)
    return traces


def _select(parts: Sequence[tuple[Array, Array]], rows: Mask) -> list[tuple[Array, Array]]:
    return [(c[rows] if len(c) > 1 else c, S[rows] if S.ndim == 3 and len(S) > 1 else S) for c, S in parts]


def _inverse_on_range(parts: Sequence[tuple[Array, Array]], total: Array) -> tuple[Array, Mask]:
    """Pseudo-inverse U (U'GU)^{-1} U', U a basis of the sum of the ranges of the parts with a weight."""
    balanced = sum(_unit_scale(c, S) for c, S in parts) + np.zeros_like(total)
    values, vectors = np.linalg.eigh(balanced)
    inside = values > RANK_TOLERANCE * np.maximum(values[:, -1:], np.finfo(float).tiny)
    basis = vectors * inside[:, None, :]
    within = transposed(basis) @ total @ basis
    # Directions outside the range get a one on the diagonal, of G's own size, and are masked out again by U.
    size = np.maximum(_trace(total), np.finfo(float).tiny)
    order = np.arange(total.shape[1])
    within[:, order, order] += np.where(inside, 0.0, size[:, None])
    return basis @ np.linalg.inv(within) @ transposed(basis), ~inside.all(axis=1)


def _unit_scale(weight: Array, matrices: Array) -> Array:
    scale = _trace(matrices)
    present = (weight > 0) & (scale > 0)
    return weighted(np.where(present, 1.0 / np.where(scale > 0, scale, 1.0), 0.0), matrices)
