"""Relative efficiency: the error of least squares on all real data pooled over that of each entity's limit.

    efficiency_k = MSE of the pooled estimate / limiting MSE of entity k,
    pooled estimate = (sum_j S~_j + S_*)^+ (sum_j X~_j'y~_j + X_*'y_*),

one for an entity that loses nothing by never seeing the others' data. Both errors are measured against entity
k's own truth.

Where all data follow one truth and determine it, no unbiased estimate is better than the pooled one, and the efficiency
lies in [0, 1]. A biased limit may be better, and where truths differ pooling is no ideal: its one estimate lies between
the truths, and the number states how many times larger its error is than the entity's. It is above one for an entity
that is better off as it is than with one model for all, and infinite where such an entity makes no error at all.

Reference: paper, Section 5 (MSE and relative efficiency), Figure 2.
"""

from __future__ import annotations

import numpy as np

from crossfeed.theory.graded import pseudo_inverse
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array
from crossfeed.theory.limit import Limit, limit_of
from crossfeed.theory.specification import Specification, Specified

# Share of a truth's square below which a squared bias is rounding.
_BIAS_TOLERANCE = 1e-20


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
    spec = eco.specification.conditioned
    outward = None if spec.coordinates is None else spec.coordinates.outward

    def sums(rows: slice) -> tuple[Array, Array]:
        private = spec.private.block(rows)
        return private.sum(axis=0), np.einsum("bij,bj->i", private, spec.truths_inside[rows])

    parts = list(map_blocks(sums, spec.entities, spec.dimension))
    total = sum((part[0] for part in parts), spec.public)
    moment = sum((part[1] for part in parts), spec.public @ spec.inside(spec.truth_public))
    inverse = pseudo_inverse(total[None], spec.rounding, outward)[0]
    bias = ((spec.outside(inverse @ moment) - spec.truths) ** 2).sum(axis=1)
    variance = np.trace(spec.outwards(spec.outwards(inverse).T))
    pooled: Array = spec.sigma**2 * variance + _beyond_rounding(bias, spec)
    return pooled


def limiting_mse(eco: Specified, limit: Limit | None = None) -> Array:
    """Return the limiting MSE of every entity, as a number to optimise.

    It is infinite where there is no limit; and, when no truth was given, for an entity whose limit is biased: its MSE
    then grows with the truth, and the default truth of zero would flatter it (a minimum-norm estimate shrinks to zero).

    Args:
        eco: a `LinearEcosystem` with constant weights.
        limit: its limit where that is known already; None: it is solved for.

    Returns:
        Shape (K,); infinite where the MSE is not a finite known number.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation.

    Source: paper, Theorem 3.
    """
    spec, limit = eco.specification, limit_of(eco) if limit is None else limit
    if not limit.converges:
        return np.full(spec.entities, np.inf)
    known = np.ones(spec.entities, dtype=bool) if spec.truth_given else limit.unbiased
    known = known | np.isnan(limit.variance)  # an entity that has left has no error at all
    return np.where(known, limit.variance + _beyond_rounding(limit.bias_squared, spec), np.inf)


def relative_efficiency(eco: Specified, limit: Limit | None = None) -> Array:
    """Return the efficiency of each entity's limit; the function behind `LinearEcosystem.relative_efficiency`.

    A squared bias below 1e-20 of the truth's square is rounding and counts as zero, in both errors.

    Args:
        eco: a `LinearEcosystem` with constant weights.
        limit: as for `limiting_mse`.

    Returns:
        Shape (K,); 0 where there is no limit, or where the limit is biased and no truth was given (see
        `limiting_mse`); infinite where the limit has no error and pooling has one; 1 where neither has (nothing is
        left to lose). Above 1 only where truths differ or the limit is biased.

    Raises:
        InvalidInput: if alpha or beta is a function of the generation.

    Source: paper, Section 5, Figure 2.
    """
    best, reached = pooled_mse(eco), limiting_mse(eco, limit)
    efficiency: Array = np.divide(best, reached, out=np.where(best > 0, np.inf, 1.0), where=reached > 0)
    efficiency[np.isnan(reached)] = np.nan
    return efficiency


def _beyond_rounding(bias_squared: Array, spec: Specification) -> Array:
    sizes = (spec.truths**2).sum(axis=1).max(initial=(spec.truth_public**2).sum())
    return np.where(bias_squared > _BIAS_TOLERANCE * sizes, bias_squared, 0.0)
