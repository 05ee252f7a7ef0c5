"""The consensus reduction: the lifted Kd x Kd system through its one d-dimensional coupling.

Entities touch each other only through the pool moment zbar_t in R^d. Write u_j = X~_j'(y~_j - X~_j theta*_j) for the
noise of source j's data, Cov u_j = sigma^2 S~_j, s_j = (1 - phi) w_j, and R_tj = G_tj^+ S_j (d x d). Then

    z_{t+1} = A_t zbar_t + sum_j D_tj X~_j'y~_j + D_t* X_*'y_* + phi S_F theta*_0 + xi_{t+1},     Cov xi = N,
    A_t = sum_j s_j a_j R_tj',      D_tj = s_j p_j R_tj',      D_t* = sum_j s_j q_j R_tj',
    zbar_{t+1} = (1 - g) zbar_t + g z_{t+1},      g = 1 ("latest") or 1/(t+1) ("accumulate"),

so with H_t = (1 - g) I + g A_t everything shared by the entities is d x d. The lifted Q = U V (U: Kd x d) has
V U = A, hence the same non-zero spectrum. Per entity one more d x d matrix is needed, the covariance of its own data
with the pool,

    C_tj = Cov(u_j, zbar_t) / sigma^2,      C_{t+1,j} = C_tj H_t' + g s_j p_j S~_j R_tj,

which never needs a pseudo-inverse of a data Gram. With constant weights it is a shared linear function of two
fixed matrices, C_tj = (s p S~ R)_j L_t' + (s p S~ R)_{0j} R_t', and a generation costs O(d^3) whatever K is.

Everything here streams over blocks of entities: O(K d^3) time, O(d^2) memory beyond the block.

Reference: the lifted system and its Q are those of the paper, Theorems 1 and 3; the reduction is not in the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add

import numpy as np

from crossfeed.theory.few_rows import FewRows, few_rows
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import (
    Array,
    Mask,
    rows_together,
    square_root,
    summed_products,
    transposed,
    weighted,
    weighted_sum,
)
from crossfeed.theory.response import EntityBlock, Response
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights


@dataclass(frozen=True)
class Estimates:
    """Least-squares estimates of each source's real data.

    Attributes:
        private: th~_k, shape (K, d).
        public: th_*, shape (d,).
    """

    private: Array
    public: Array

    @classmethod
    def expected(cls, spec: Conditioned) -> Estimates:
        """Return the truths, whose projections are the estimates' means.

        Args:
            spec: the ecosystem's specification.

        Returns:
            The truths in place of estimates.
        """
        return cls(spec.truths_inside, spec.inside(spec.truth_public))

    def moment(self, block: EntityBlock) -> Array:
        """Return the moments of one block's private data.

        Args:
            block: the block of b entities.

        Returns:
            S~_k th~_k, shape (b, d).
        """
        moments: Array
        if self.private.strides[0] == 0:  # one common truth: a single product for the whole block
            moments = block.private @ self.private[0]
        else:
            moments = np.einsum("bij,bj->bi", block.private, self.private[block.rows])
        return moments

    def labels(self, features: Array, rows: slice) -> Array:
        """Return the labels that the estimates give one block's private data.

        Args:
            features: X~, shape (b, n, d).
            rows: slice(start, stop) of entity numbers.

        Returns:
            X~_k th~_k, shape (b, n).
        """
        labels: Array
        if self.private.strides[0] == 0:
            labels = features @ self.private[0]
        else:
            labels = np.einsum("bnj,bj->bn", features, self.private[rows])
        return labels


@dataclass(frozen=True)
class Coupling:
    """The pool's step under fixed weights.

    Attributes:
        matrix: A, shape (d, d).
        public: D_*, shape (d, d).
        drive: the real data's part of E z_{t+1}, shape (d,), fresh data included.
        inflation: what rounding errors of the G_k are multiplied by, at most.
    """

    matrix: Array
    public: Array
    drive: Array
    inflation: float

    def __add__(self, other: Coupling) -> Coupling:
        return Coupling(
            matrix=self.matrix + other.matrix,
            public=self.public + other.public,
            drive=self.drive + other.drive,
            inflation=max(self.inflation, other.inflation),
        )


def coupling_sums(block: EntityBlock, response: Response, estimates: Estimates) -> Coupling:
    """Sum one block's part of A, D_* and the drive, without the public and fresh data's own.

    Args:
        block: the block of b entities.
        response: its response under the weights in question.
        estimates: the estimates, or truths, of all sources.

    Returns:
        The block's part of the coupling.
    """
    w, replies, share = response.weights, response.replies, response.share
    moments = response.gain[:, None] * estimates.moment(block)
    return Coupling(
        matrix=weighted_sum(share * w.synthetic, replies.pool).T,
        public=weighted_sum(share * w.public, replies.public).T,
        drive=replies.private.reshape(moments.size, -1).T @ moments.ravel(),
        inflation=float(response.inflation.max()),
    )


def with_shared_data(spec: Conditioned, private: Coupling, estimates: Estimates) -> Coupling:
    """Add the public and the fresh data's own part to a drive summed over entities.

    Args:
        spec: the ecosystem's specification.
        private: the sum of `coupling_sums` over all blocks.
        estimates: the estimates, or truths, of all sources.

    Returns:
        The whole coupling.
    """
    fresh = spec.fresh_fraction * (spec.fresh_gram @ spec.inside(spec.truth_public))
    return replace(private, drive=private.drive + private.public @ (spec.public @ estimates.public) + fresh)


@dataclass(frozen=True)
class ReducedSystem:
    """The entities summed up for the pool, under each of m fixed weights.

    Attributes:
        couplings: the pool's step under each.
        spread: sum_j D_uj S~_j D_vj' + D_u* S_* D_v*' for weights u, v, shape (m, m, d, d).
        singular: entities whose G is singular under each of the weights, shape (m, K).
    """

    couplings: list[Coupling]
    spread: Array
    singular: Mask

    @property
    def inflation(self) -> float:
        """Factor by which rounding errors of the G_k are multiplied, at most."""
        return max(coupling.inflation for coupling in self.couplings)


def reduced_system(spec: Conditioned, weights: Sequence[SourceWeights], estimates: Estimates) -> ReducedSystem:
    """Sum all entities up for the pool, in one pass over their data.

    Args:
        spec: the ecosystem's specification.
        weights: m weights, each of the whole ecosystem.
        estimates: the estimates, or truths, of all sources.

    Returns:
        The reduced system of dimension d.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
    """

    def sums(rows: slice) -> tuple[list[Coupling], Array, Mask]:
        few = few_rows(spec, rows, weights)
        if few is not None:
            none = np.zeros((len(weights), rows.stop - rows.start), dtype=np.bool_)
            return [_few_rows_sums(spec, rows, each, estimates) for each in few], _few_rows_spread(few), none
        block = EntityBlock.read(spec, rows)
        responses = [block.respond(w) for w in weights]
        couplings = [coupling_sums(block, response, estimates) for response in responses]
        return couplings, _spread(responses), np.array([response.singular for response in responses])

    parts = list(map_blocks(sums, spec.entities, spec.dimension))
    couplings = [
        with_shared_data(spec, reduce(add, [part[0][i] for part in parts]), estimates) for i in range(len(weights))
    ]
    publics = np.array([coupling.public for coupling in couplings])
    public = publics[:, None] @ spec.public @ transposed(publics)[None]
    spread = np.sum([part[1] for part in parts], axis=0) + public
    return ReducedSystem(couplings, spread, np.concatenate([part[2] for part in parts], axis=1))


def carried_spread(spec: Conditioned, weights: Sequence[SourceWeights], reduced: ReducedSystem, gains: Array) -> Array:
    """Return the covariance over sigma^2 that the real data leave in a pool.

    It is sum_j W_j W_j' + W_* W_*', W = sum_u L_u D_u X~', as sum_uv L_u spread_uv L_v' is; but a large gain on a small
    part of D is taken here before anything is squared, so that the error grows as the gain, not as its square.

    Args:
        spec: the ecosystem's specification.
        weights: the m weights.
        reduced: the reduced system under them.
        gains: L_u, the pool's gain on what was published under each of them, shape (m, d, d).

    Returns:
        Shape (d, d).

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
    """

    def sums(rows: slice) -> Array:
        block = EntityBlock.read(spec, rows)
        root, responses = square_root(block.private, spec.rounding), [block.respond(w) for w in weights]
        published = [weighted(each.gain, transposed(each.replies.private) @ root) for each in responses]
        carried = reduce(add, map(np.matmul, gains, published))
        return weighted_sum(np.ones(1), carried @ transposed(carried))

    root = square_root(spec.public[None], spec.rounding)[0]
    public = reduce(add, (gain @ (each.public @ root) for gain, each in zip(gains, reduced.couplings, strict=True)))
    return reduce(add, map_blocks(sums, spec.entities, spec.dimension), public @ public.T)


def _spread(responses: Sequence[Response]) -> Array:
    """Sum D_uj S~_j D_vj' over one block, for all pairs of weights."""
    sources = [response.source() for response in responses]
    replies = [weighted(response.gain, response.replies.private) for response in responses]
    return np.array([[summed_products(reply, source) for source in sources] for reply in replies])


def _few_rows_sums(spec: Conditioned, rows: slice, few: FewRows, estimates: Estimates) -> Coupling:
    """Sum one block as `coupling_sums` does."""
    replies = few.replies(spec.shares_of(rows))
    labels = estimates.labels(few.features, rows)
    return Coupling(
        matrix=few.synthetic * replies.T,
        public=few.public * replies.T,
        drive=rows_together(few.carried).T @ labels.ravel(),
        inflation=few.inflation,
    )


def _few_rows_spread(few: Sequence[FewRows]) -> Array:
    """Sum one block as `_spread` does."""
    return np.array([[summed_products(u.carried, v.carried) for v in few] for u in few])
