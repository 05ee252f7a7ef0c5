r"""Influence: the shares of an entity's expected prediction that come from each source's data.

Theorem 1 writes the mean of every estimate, given the real data, as a linear function of the sources' own least-squares
estimates th~_1..th~_K (private) and th_* (public),

    E[ theta_tk | data ] = sum_j M_t,kj th~_j + M_t,k* th_*  (+ the fresh data's part),

and the influence of source j on entity k is the share of its coefficient's Frobenius norm,

    I_kj = |M_t,kj|_F / sum_i |M_t,ki|_F.

It is the same number under every name: `LinearEcosystem.influence`, `Moments.influence`, `Limit.influence`, and
`influence_shares` of one generation or the limit.

The coefficient is that of the source's estimate, not of its single labels: a source that is copied row by row has the
same estimate, and only its weight in the loss may change its influence. Fresh human data are no source here: their
labels are new at each generation and are not among the K + 1.

Reference: paper, Theorem 1 (the blocks of M_t) and Theorem 3 (their limit).
"""

from __future__ import annotations

from crossfeed.theory.kernels import Array
from crossfeed.theory.linear import LinearEcosystem


def influence_shares(eco: LinearEcosystem, generation: int | None = None) -> Array:
    """Return the share of each entity's expected prediction that comes from each source.

    Args:
        eco: the ecosystem; with constant weights where the limit is requested.
        generation: t >= 0; None: the limit.

    Returns:
        Shape (K, K + 1): row k is entity k, column j < K the private data of entity j, the last column the public data.
        Rows sum to one; a row is zero where an entity has learnt from no source (fresh data alone).

    Raises:
        InvalidInput: if `generation` is no whole number >= 0, or the limit of weights that change is requested.
        NoLimit: if the limit is requested and there is none.

    Source: paper, Theorems 1 and 3; the shares are not in the paper.
    """
    shares: Array = eco.limit().influence if generation is None else eco.influence([generation])[0]
    return shares
