r"""Entities whose limit is right on average, whatever the truth that all data follow.

Under one truth theta the pool's mean is Sbar theta plus an error E_t theta, and entity k's mean is theta + a_k F_k E_t
theta if G_k has full rank; if it has not, some truths are missed. What an author's own estimate misses is
I - P_uj, P_uj the projection onto what its G under the weights u determines, so that with the pool's gains L_u
(`crossfeed.theory.constant_path`)

    E = - sum_u L_u B_u,        B_u = sum_j s_j S_j (I - P_uj).

Below a spectral radius of one generation 0 is forgotten, L_0 = 0; on the boundary it may be kept for ever.

Reference: paper, Theorem 2 (the mean) and Theorem 3, which takes G_0's rank for granted.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, Mask, rank_tolerance, weighted_sum
from crossfeed.theory.response import EntityBlock, Response
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights


def unbiased_entities(
    spec: Conditioned, weights: Sequence[SourceWeights], gains: Array, singular: Mask, tolerance: float
) -> Mask:
    """Return the entities whose limiting mean is the common truth, whatever it is.

    Args:
        spec: the ecosystem's specification.
        weights: the m weights that the limit remembers, the lasting ones last.
        gains: L_u, the pool's gain on what was published under each of them, shape (m, d, d).
        singular: True where G is singular under these weights, shape (m, K).
        tolerance: share of the truth below which an error counts as rounding.

    Returns:
        Shape (K,).
    """
    full_rank: Mask = ~singular[-1]
    if not singular.any() or not full_rank.any():
        return full_rank
    missed = [_missed(spec, w, mask) for w, mask in zip(weights, singular, strict=True)]
    error = np.einsum("uij,ujk->ik", gains, np.array(missed))
    if np.linalg.norm(error) <= tolerance * np.linalg.norm(spec.pool_gram):
        return full_rank

    def hear_none(rows: slice) -> Mask:
        response = EntityBlock.read(spec, rows).respond(weights[-1])
        heard = response.weights.synthetic[:, None, None] * (response.inverses.pool @ error)
        unharmed: Mask = np.linalg.norm(heard, axis=(1, 2)) <= tolerance
        return unharmed

    unharmed = np.concatenate(list(map_blocks(hear_none, spec.entities, spec.dimension)))
    right: Mask = full_rank & unharmed
    return right


def _missed(spec: Conditioned, weights: SourceWeights, singular: Mask) -> Array:
    """Return B, shape (d, d): what the authors publish of truths that their own estimates miss."""

    def sums(rows: slice) -> Array:
        lost = singular[rows]
        if not lost.any():
            return np.zeros((spec.dimension, spec.dimension))
        block = EntityBlock.read(spec, rows)
        published = block.generated[lost]
        missed = block.graded(weights, lost).missed
        product = published @ missed
        # Rounding in the projection enters the trace as its square.
        least = rank_tolerance(spec.rounding) * np.trace(published, axis1=1, axis2=2)
        met = np.einsum("bji,bji->b", missed, product) > least
        share = np.broadcast_to(spec.shares_of(rows), lost.shape)[lost]
        return weighted_sum(share * met, product)

    total: Array = np.sum(list(map_blocks(sums, spec.entities, spec.dimension)), axis=0)
    return total


def right_on_average(spec: Conditioned, weights: Sequence[SourceWeights], gains: Array, tolerance: float) -> Mask:
    """Return the same where estimates are no minima without a ridge: from all gains on a common truth, added up.

    Args:
        spec: the ecosystem's specification.
        weights: the m weights that the limit remembers, the lasting ones last.
        gains: L_u, as for `unbiased_entities`.
        tolerance: share of the truth below which an error counts as rounding.

    Returns:
        Shape (K,).
    """

    def told(rows: slice) -> Array:
        block = EntityBlock.read(spec, rows)
        return np.array([_heard_of(block, block.respond(w)) for w in weights])

    public = sum(map_blocks(told, spec.entities, spec.dimension), np.zeros_like(gains))
    public[-1] += spec.fresh_fraction * spec.fresh_gram
    pool = np.einsum("uij,ujk->ik", gains, public)

    def right(rows: slice) -> Mask:
        F = EntityBlock.read(spec, rows).respond(weights[-1]).gains
        private, _ = spec.grams_of(rows)
        held = F.private @ private + F.public @ spec.public + F.pool @ pool
        error: Mask = np.linalg.norm(held - np.eye(spec.dimension), axis=(1, 2)) <= tolerance
        return error

    return np.concatenate(list(map_blocks(right, spec.entities, spec.dimension)))


def _heard_of(block: EntityBlock, response: Response) -> Array:
    """Return what a block's entities publish of a common truth, from their real data alone, shape (d, d)."""
    gains = response.gains
    held = gains.private @ block.private + gains.public @ block.specification.public
    return weighted_sum(response.share, block.generated @ held)
