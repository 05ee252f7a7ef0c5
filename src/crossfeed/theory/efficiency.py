"""Relative efficiency: the error of least squares on all real data pooled over that of each entity's limit.

    efficiency_k = MSE of the pooled estimate / limiting MSE of entity k,
    pooled estimate = (sum_j S~_j + S_*)^+ (sum_j X~_j'y~_j + X_*'y_*),

one for an entity that loses nothing by never seeing the others' data. Both errors are measured against entity
k's own truth.

Reference: paper, Section 5 (MSE and relative efficiency), Figure 2.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from crossfeed.theory.graded import pseudo_inverse
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array
from crossfeed.theory.limit import Limit, limit_of
from crossfeed.theory.specification import Specified


def pooled_mse(eco: Specified) -> Array:
    """Return the MSE of least squares on all real data pooled.

    Args:
        eco: a `LinearEcosystem`.

    Returns:
        Shape (K,): the errors of one estimate, each against one entity's truth.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.

    Source: paper, Section 5.
    """
    spec = eco.specification

    def sums(rows: slice) -> tuple[Array, Array]:
        private = spec.private.block(rows)
        return private.sum(axis=0), np.einsum("bij,bj->i", private, spec.truths[rows])

    parts = list(map_blocks(sums, spec.entities, spec.dimension))
    total = sum((part[0] for part in parts), spec.public)
    moment = sum((part[1] for part in parts), spec.public @ spec.truth_public)
    inverse = pseudo_inverse(total[None])[0]
    pooled: Array = spec.sigma**2 * np.trace(inverse) + ((inverse @ moment - spec.truths) ** 2).sum(axis=1)
    return pooled


def limiting_mse(eco: Specified) -> Array:
    """Return the limiting MSE of every entity, as a number to optimise.

    It is infinite where there is no limit; and, when no truth was given, for an entity whose limit is biased: its MSE
    then grows with the truth, and the default truth of zero would flatter it (a minimum-norm estimate shrinks to zero).

    Args:
        eco: a `LinearEcosystem` with constant weights.

    Returns:
        Shape (K,); infinite where the MSE is not a finite known number.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation.

    Source: paper, Theorem 3.
    """
    limit = limit_of(eco)
    if not limit.converges:
        return np.full(limit.specification.entities, np.inf)
    known = np.ones(limit.specification.entities, dtype=bool) if eco.specification.truth_given else _unbiased(limit)
    return np.where(known, limit.mse, np.inf)


def relative_efficiency(eco: Specified) -> Array:
    """Return the efficiency of each entity's limit; the function behind `LinearEcosystem.relative_efficiency`.

    Args:
        eco: a `LinearEcosystem` with constant weights.

    Returns:
        Shape (K,); 0 where there is no limit, or where the limit is biased and no truth was given (see
        `limiting_mse`); 1 where nothing is left to lose (both errors are zero).

    Raises:
        InvalidInput: if alpha or beta is a function of the generation.

    Source: paper, Section 5, Figure 2.
    """
    best, reached = pooled_mse(eco), limiting_mse(eco)
    return np.where(reached > 0, best / np.where(reached > 0, reached, 1.0), 1.0)


def _unbiased(limit: Limit) -> npt.NDArray[np.bool_]:
    """Entities whose limiting mean is the common truth, whatever it is.

    Below a spectral radius of one, full-rank G_k suffices where every author of the pool keeps z unbiased: an entity
    that trains on the pool (a_j > 0) does, one that does not must have full rank itself.
    """
    spec = limit.specification
    if limit.spectral_radius >= 1.0:
        return np.zeros(spec.entities, dtype=bool)
    synthetic = np.broadcast_to(spec.weights.at(1).synthetic, (spec.entities,))
    author = np.broadcast_to(spec.shares, (spec.entities,)) > 0
    sound = bool((limit.full_rank | (synthetic > 0) | ~author).all())
    unbiased: npt.NDArray[np.bool_] = limit.full_rank & (sound | (synthetic == 0))
    return unbiased
