r"""The spectral radius of models that remember: how fast what they share grows or fades.

In the eigenbasis V_k of G_k an estimate's components c_k = V_k'theta_k follow

    c_k' = e_k c_k + a_k f_k V_k' sum_j s_j S_j V_j c_j,

so the lifted matrix of K d rows is a diagonal one and one of rank d,

    Q = diag(e) + U W,      U_k = a_k diag(f_k) V_k' (d columns),      W_j = s_j S_j V_j (d rows),

and an eigenvalue zeta outside of the e is a root of det(I - A(zeta)), A(zeta) = W (zeta - e)^{-1} U. Up to `_DENSE`
rows all eigenvalues of Q are computed. Above, Arnoldi's method finds the largest ones and those nearest to 1: a product
with Q costs K d^2, and one with (Q - zeta)^{-1}, by the formula of Sherman, Morrison and Woodbury, as much. Slow modes
crowd at 1, where the second finds them and the first alone would not.

Directions that no data reach from generation 1 on are left out: what a model holds there stays, and does not move.

Reference: Lehoucq, Sorensen and Yang, ARPACK Users' Guide (1998); Golub and Van Loan, Matrix Computations, 4th ed.
(2013), Section 2.1.4. That what the models share decides is not in the paper.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, transposed, weighted
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Conditioned

Complex = npt.NDArray[np.complexfloating[Any, Any]]

# Rows of Q up to which all its eigenvalues are computed: a second's work.
_DENSE = 600

# Arnoldi's method: eigenvalues that are looked for on each side, and the size of the space they are looked for in.
_WANTED, _SPACE = 6, 60

# Where those near 1 are looked for: not at 1 itself, which may be one.
_NEAR_ONE = 1.0 + 1e-7


def memory_radius(spec: Conditioned) -> float:
    """Return the spectral radius of models that remember, under constant weights.

    It takes two numbers for each entry of the Gram matrices at once.

    Args:
        spec: the ecosystem's specification.

    Returns:
        The largest modulus of an eigenvalue of Q, but for directions that no data reach.

    Raises:
        InvalidInput: if steps diverge.
    """
    weights, d = spec.weights.at(1), spec.dimension

    def parts(rows: slice) -> tuple[Array, Array, Array]:
        block, w = EntityBlock.read(spec, rows), weights.block(rows)
        update = block.filtered(weights)
        V, reached = update.directions, ~update.unseen
        read = weighted(w.synthetic, update.learns[:, :, None] * transposed(V))
        told = transposed(weighted(spec.shares_of(rows), block.generated @ V))
        return update.keeps[reached], read[reached], told[reached]

    keeps, read, told = (np.concatenate(each) for each in zip(*map_blocks(parts, spec.entities, d), strict=True))
    if not len(keeps):
        return 0.0
    if len(keeps) <= _DENSE:
        return float(np.abs(np.linalg.eigvals(np.diag(keeps) + read @ told.T)).max())
    return max(_largest(keeps, read, told), _nearest_to_one(keeps, read, told))


def _largest(keeps: Array, read: Array, told: Array) -> float:
    return float(np.abs(_arnoldi(lambda v: keeps * v + read @ (told.T @ v), len(keeps))).max(initial=0.0))


def _nearest_to_one(keeps: Array, read: Array, told: Array) -> float:
    inverse = 1.0 / (keeps - _NEAR_ONE)
    inner = np.eye(read.shape[1]) + told.T @ (inverse[:, None] * read)

    def solve(v: Array) -> Array:
        first = inverse * v
        return first - inverse * (read @ np.linalg.solve(inner, told.T @ first))

    found = _arnoldi(solve, len(keeps))
    return float(np.abs(_NEAR_ONE + 1.0 / found[found != 0]).max(initial=0.0))


def _arnoldi(apply: Any, rows: int) -> Complex:
    """Return some of the largest eigenvalues of a linear map."""
    from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

    start = np.random.default_rng(0).standard_normal(rows)  # any vector will do; the same one gives the same digits
    operator = LinearOperator((rows, rows), matvec=apply, dtype=np.float64)
    try:
        return np.asarray(eigs(operator, k=_WANTED, ncv=_SPACE, v0=start, maxiter=1000, return_eigenvectors=False))
    except ArpackNoConvergence as error:
        return np.asarray(error.eigenvalues)
