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
from functools import cache, reduce
from operator import add
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

#: A weight (b,) or (1,), not negative, and positive semi-definite matrices (b, d, d) or (d, d): one term of a sum.
WeightedGram = tuple[Array, Array]

#: Eigenvalues of a Gram matrix below this, relative to its trace, count as zero: one of a double's rounding errors, or
#: so near to them that they have no digits.
RANK_TOLERANCE = 1e-12

#: What is said of a matrix with an eigenvalue between a rounding error and a rank.
UNDECIDED = (
    "some Gram matrices are so near to singular ones that rounding decides what they determine; give features in place "
    "of Gram matrices (LinearEcosystem.from_features), in double precision, or leave columns out that the others imply"
)

# Above this condition number a Cholesky factorization may have passed on rounding errors alone.
_SUSPECT_CONDITION = 1e10

# So it does above this share of the condition number at which the numbers that were given are rounding errors.
_NEAR_ROUNDING = 0.01

# Traces of G whose squares, and those of the inverse, are numbers with all their digits.
_SQUARABLE = (1e-130, 1e130)

# Parts whose sizes are further apart than the first number are not added up where the condition number exceeds the
# second: the error of what the lightest part decides would grow as the inverse square of its size.
_UNEVEN, _UNEVEN_CONDITION = 1e-3, 1e4

# Stacks of so many triangles are left to the library, which takes them one by one without calls of ours in between.
_FEW = 6

#: Multiplications up to which BLAS does a product by one thread: blocks have a thread each, and others would wait.
ONE_THREAD = 250_000

# Triangles up to this order are inverted element by element across the stack (measured best for d = 15 and 50).
_LEAF = 4


def inverse_lower(triangles: Array) -> Array:
    """Invert a stack of lower triangular matrices.

    Args:
        triangles: L, shape (b, d, d), zero above the diagonals.

    Returns:
        L^{-1}, shape (b, d, d).
    """
    if len(triangles) <= _FEW:
        # Interchanges of rows leave rounding errors above the diagonal.
        few = np.asarray(np.linalg.inv(triangles), dtype=np.float64)
        few *= _below_diagonal(triangles.shape[1])
        return few
    out = np.zeros(triangles.shape)
    _invert_halves(triangles, out)
    return out


@cache
def _below_diagonal(order: int) -> Array:
    return np.tri(order)


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
        matrices: shape (b, m, n).

    Returns:
        The sum, shape (m, n).
    """
    count, rows, columns = matrices.shape
    # A weight repeated with stride zero would keep the product out of BLAS.
    each = np.ascontiguousarray(np.broadcast_to(weight, (count,)))
    return (each @ matrices.reshape(count, rows * columns)).reshape(rows, columns)


def transposed(matrices: Array) -> Array:
    """Transpose each matrix of a stack.

    Args:
        matrices: shape (..., m, n).

    Returns:
        A view of shape (..., n, m).
    """
    return matrices.swapaxes(-1, -2)


def rows_together(matrices: Array) -> Array:
    """Put the rows of a stack of matrices below each other.

    Args:
        matrices: M_j, shape (b, m, n).

    Returns:
        Shape (b m, n).
    """
    return matrices.reshape(-1, matrices.shape[-1])


def times(matrices: Array, right: Array) -> Array:
    """Multiply a stack of matrices by one matrix, in few products.

    Args:
        matrices: M_j, shape (b, m, d).
        right: B, shape (d, n).

    Returns:
        M_j B, shape (b, m, n).
    """
    out = np.empty((*matrices.shape[:2], right.shape[1]))
    for run in _runs(matrices):
        np.matmul(rows_together(matrices[run]), right, out=rows_together(out[run]))
    return out


def summed_products(left: Array, right: Array) -> Array:
    """Sum the products of two stacks of matrices.

    Args:
        left: A_j, shape (b, m, d).
        right: B_j, shape (b, m, d).

    Returns:
        sum_j A_j'B_j, shape (d, d).
    """
    parts = [rows_together(left[run]).T @ rows_together(right[run]) for run in _runs(left)]
    return reduce(add, parts)


def _runs(matrices: Array) -> list[slice]:
    count, rows, d = matrices.shape
    step = max(1, ONE_THREAD // (rows * d**2))
    return [slice(start, start + step) for start in range(0, count, step)]


def sandwich(outer: Array, middle: Array) -> Array:
    """Return the symmetric parts of the products F M F'.

    Args:
        outer: F, shape (b, d, d).
        middle: M, shape (b, d, d) or (d, d).

    Returns:
        Shape (b, d, d).
    """
    product = _times(outer, middle) @ transposed(outer)
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
    trace: Array = np.vecdot(_times(outer, middle).reshape(count, -1), outer.reshape(count, -1))
    return trace


def _times(matrices: Array, right: Array) -> Array:
    return times(matrices, right) if right.ndim == 2 else matrices @ right


def gram(rows: Array) -> Array:
    """Return the Gram matrices of a stack of feature matrices.

    Args:
        rows: X, shape (b, n, d).

    Returns:
        X'X, shape (b, d, d).
    """
    # The copy keeps the product off the rank-k update that BLAS takes for X'X, three times slower at these sizes.
    with np.errstate(over="ignore", invalid="ignore"):  # features in other units are taken where squares are no numbers
        return transposed(rows) @ rows.copy()


class Inverted(NamedTuple):
    """Inverses of a stack of positive semi-definite matrices G, and how far they can be trusted.

    Attributes:
        inverse: G^{-1}, shape (b, d, d).
        suspects: True where rounding errors may have ruined it, shape (b,).
        inflation: largest G_ii (G^{-1})_ii, shape (b,): the condition number up to a factor of d, after the columns of
            the features are scaled to one size, on which a Cholesky factorization's accuracy does not depend.
    """

    inverse: Array
    suspects: Mask
    inflation: Array


def definite_inverse(parts: Sequence[WeightedGram], rounding: float = 0.0) -> Inverted:
    """Invert G = sum_i c_i S_i by Cholesky factorization, for a stack of weighted positive semi-definite parts.

    Args:
        parts: pairs (c, S): c of shape (b,) or (1,), S of shape (b, d, d) or (d, d), the first one of shape (b, d, d).
        rounding: eigenvalues of an S, relative to its trace, that may be rounding errors; zero: those of doubles.

    Returns:
        The inverses; a stack that has no factorization is all suspect, and no number of it is set.

    Reference: Demmel, On floating point errors in Cholesky, LAPACK Working Note 14 (1989): the accuracy is that of the
    matrix scaled to a diagonal of ones.
    """
    # Parts shared by the whole stack are added up first, as single matrices.
    own, *others = (weighted(c, S) for c, S in parts)
    total = own + reduce(add, others) if others else own
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # then the bound is no number, or infinite
        try:
            lower = np.asarray(np.linalg.cholesky(total), dtype=np.float64)
        except np.linalg.LinAlgError:
            return Inverted(np.empty_like(total), np.ones(len(total), dtype=np.bool_), np.empty(len(total)))
        factor = inverse_lower(lower)
        # The product of the traces of G and G^{-1} bounds the condition number from above.
        size = _squared_norm(lower)
        bound = size * _squared_norm(factor)
        inverse = transposed(factor) @ factor.copy()
        products = np.einsum("bii,bii->bi", total, inverse)
    suspects = ~(bound <= most_condition(rounding))
    suspects |= ~((size > _SQUARABLE[0]) & (size < _SQUARABLE[1]))
    if (bound > _UNEVEN_CONDITION).any():
        suspects |= (bound > _UNEVEN_CONDITION) & uneven(parts)
    return Inverted(inverse, suspects, products.max(axis=1))


def most_condition(rounding: float) -> float:
    """Return the condition number up to which a Cholesky factorization is trusted.

    Args:
        rounding: eigenvalues of the data, relative to the trace, that may be rounding errors; zero: those of doubles.

    Returns:
        The largest condition number.
    """
    return min(_SUSPECT_CONDITION, _NEAR_ROUNDING / rounding if rounding else np.inf)


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


def directions_of(rows: Array, unit: float) -> Array:
    """Return singular values of features that are no rounding errors.

    Args:
        rows: X, shape (..., n, d).
        unit: rounding unit of the numbers that were given.

    Returns:
        Their singular values, shape (..., min(n, d)), zero for what is rounding.
    """
    values = np.linalg.svdvals(rows)
    noise = 16 * np.sqrt(rows.shape[-1]) * unit * values.max(axis=-1, initial=0.0, keepdims=True)
    seen: Array = np.where(values > noise, values, 0.0)
    return seen


def rank_tolerance(rounding: float) -> float:
    """Return the eigenvalue of a Gram matrix, relative to its trace, from which on it counts.

    Args:
        rounding: that which may be a rounding error of what was given.

    Returns:
        The tolerance: far enough above rounding that numbers in between are no accident.
    """
    return max(RANK_TOLERANCE, 4 * rounding)


def square_root(matrices: Array, rounding: float) -> Array:
    """Factor positive semi-definite matrices as S = X'X.

    Args:
        matrices: S, shape (b, d, d).
        rounding: eigenvalues, relative to the trace, that may be rounding errors.

    Returns:
        X', shape (b, d, d); zero in directions where S is only rounding.
    """
    values, vectors = np.linalg.eigh(matrices)
    inside = values > rank_tolerance(rounding) * values.sum(axis=1, keepdims=True)
    root: Array = vectors * np.sqrt(np.where(inside, values, 0.0))[:, None, :]
    return root


def _squared_norm(matrices: Array) -> Array:
    flat = matrices.reshape(len(matrices), -1)
    norms: Array = np.vecdot(flat, flat)
    return norms
