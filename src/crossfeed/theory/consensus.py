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
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from crossfeed.theory.graded import grade
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import (
    Array,
    Mask,
    WeightedGram,
    definite_inverse,
    selected,
    square_root,
    transposed,
    weighted,
    weighted_sum,
)
from crossfeed.theory.linear import LinearEcosystem
from crossfeed.theory.weights import SourceWeights


class BySource(NamedTuple):
    """One stack of matrices (b, d, d) for each source that an entity hears: private data, public data, the pool."""

    private: Array
    public: Array
    pool: Array


@dataclass(frozen=True)
class Response:
    """How one block of entities answers the pool at one setting of the weights.

    Attributes:
        weights: p, q, a of the block; ones where they are in the inverses.
        share: s, the block's (1 - phi) w_j, shape (1,) or (b,).
        private: S~, shape (b, d, d).
        inverses: F = G^+ as it acts on what each source says, three times the same (b, d, d); or, if `graded`, p F, q F
            and a F, each true on the range of its own source (`crossfeed.theory.graded`).
        replies: R = F'S for each of the inverses, shape (b, d, d).
        singular: True where G is singular, shape (b,).
        graded: whether the inverses differ.
    """

    weights: SourceWeights
    share: Array
    private: Array
    inverses: BySource
    replies: BySource
    singular: npt.NDArray[np.bool_]
    graded: bool

    @property
    def gain(self) -> Array:
        """The weight s p of an entity's own data in the pool, shape (1,) or (b,)."""
        return self.share * self.weights.private

    def source(self) -> Array:
        """What one generation adds to the covariance of a source with the pool, s p S~ R, shape (b, d, d)."""
        product = self.private @ self.replies.private
        product *= self.gain[:, None, None]
        return product

    def estimate(self, private: Array, public: Array, pool: Array) -> Array:
        """F (p x + q y + a z) of moments of the data x (b, d), y and z (d,), shape (b, d)."""
        w, F = self.weights, self.inverses
        said = w.private[:, None] * private, w.public[:, None] * public, w.synthetic[:, None] * pool
        if not self.graded:
            return _times(F.private, said[0] + said[1] + said[2])
        return _times(F.private, said[0]) + _times(F.public, said[1]) + _times(F.pool, said[2])


def _times(matrices: Array, vectors: Array) -> Array:
    product: Array = np.einsum("bij,bj->bi", matrices, np.broadcast_to(vectors, matrices.shape[:2]))
    return product


@dataclass(frozen=True)
class EntityBlock:
    """One block of entities' data, read once and answered at as many settings as asked."""

    eco: LinearEcosystem
    rows: slice
    private: Array
    generated: Array

    @classmethod
    def read(cls, eco: LinearEcosystem, rows: slice) -> EntityBlock:
        """Read the Gram matrices of a run of entities."""
        private, generated = eco.grams_of(rows)
        return cls(eco, rows, private, generated)

    def respond(self, weights: SourceWeights) -> Response:
        """Answer the pool under the given weights of the whole ecosystem."""
        eco, w = self.eco, weights.block(self.rows)
        parts = [(w.private, self.private), (w.public, eco.public), (w.synthetic, eco.pool_gram)]
        inverse, suspects = definite_inverse(parts)
        if suspects.any():
            return self._respond_graded(parts, inverse, suspects)
        inverses, reply = BySource(inverse, inverse, inverse), inverse @ self.generated
        share = eco.shares_of(self.rows)
        return Response(w, share, self.private, inverses, BySource(reply, reply, reply), suspects, graded=False)

    def _respond_graded(self, parts: Sequence[WeightedGram], inverse: Array, suspects: Mask) -> Response:
        """Answer by gains where some entities' weights and ranks leave one inverse no digits."""
        found = grade(selected(parts, suspects))
        inverse[suspects] = 0.0
        gains = [weighted(weight, inverse) for weight, _ in parts]
        for source, gain in enumerate(gains):
            gain[suspects] = found.gain(source)
        singular = np.zeros_like(suspects)
        singular[suspects] = found.singular
        inverses, replies = BySource(*gains), BySource(*(transposed(gain) @ self.generated for gain in gains))
        ones, share = np.ones(1), self.eco.shares_of(self.rows)
        return Response(SourceWeights(ones, ones, ones), share, self.private, inverses, replies, singular, graded=True)


@dataclass(frozen=True)
class Estimates:
    """Least-squares estimates of the real data: what each source says the parameter is.

    Attributes:
        private: th~_k, shape (K, d).
        public: th_*, shape (d,).
    """

    private: Array
    public: Array

    @classmethod
    def expected(cls, eco: LinearEcosystem) -> Estimates:
        """The truths, whose projections are the estimates' means."""
        return cls(eco.truths, eco.truth_public)

    def moment(self, block: EntityBlock) -> Array:
        """S~_k th~_k of one block of entities, shape (b, d)."""
        said: Array
        if self.private.strides[0] == 0:  # one common truth: a single product for the whole block
            said = block.private @ self.private[0]
        else:
            said = np.einsum("bij,bj->bi", block.private, self.private[block.rows])
        return said


@dataclass(frozen=True)
class Coupling:
    """The pool's step under one setting of the weights.

    Attributes:
        matrix: A, shape (d, d).
        public: D_*, shape (d, d).
        drive: what the real data add to z_{t+1} on average, shape (d,), fresh data included.
    """

    matrix: Array
    public: Array
    drive: Array

    def __add__(self, other: Coupling) -> Coupling:
        return Coupling(self.matrix + other.matrix, self.public + other.public, self.drive + other.drive)


def coupling_sums(block: EntityBlock, response: Response, estimates: Estimates) -> Coupling:
    """One block's part of A, D_* and the drive (without the public and fresh data's own)."""
    w, replies, share = response.weights, response.replies, response.share
    said = response.gain[:, None] * estimates.moment(block)
    return Coupling(
        matrix=weighted_sum(share * w.synthetic, replies.pool).T,
        public=weighted_sum(share * w.public, replies.public).T,
        drive=replies.private.reshape(said.size, -1).T @ said.ravel(),
    )


def with_shared_data(eco: LinearEcosystem, private: Coupling, estimates: Estimates) -> Coupling:
    """Complete the drive summed over entities by the public and the fresh data's own."""
    fresh = eco.fresh_fraction * (eco.fresh_gram @ eco.truth_public)
    return replace(private, drive=private.drive + private.public @ (eco.public @ estimates.public) + fresh)


@dataclass(frozen=True)
class ReducedSystem:
    """What the pool needs of all entities under m fixed settings of the weights.

    Attributes:
        couplings: the pool's step under each setting.
        spread: sum_j D_uj S~_j D_vj' + D_u* S_* D_v*' for settings u, v, shape (m, m, d, d).
        singular: entities whose G is singular under the last setting, shape (K,).
    """

    couplings: list[Coupling]
    spread: Array
    singular: npt.NDArray[np.bool_]


def reduced_system(eco: LinearEcosystem, weights: Sequence[SourceWeights], estimates: Estimates) -> ReducedSystem:
    """Sum over all entities what the pool needs under each of the given weights."""

    def sums(rows: slice) -> tuple[list[Coupling], Array, npt.NDArray[np.bool_]]:
        block = EntityBlock.read(eco, rows)
        responses = [block.respond(w) for w in weights]
        couplings = [coupling_sums(block, response, estimates) for response in responses]
        return couplings, _spread(responses), responses[-1].singular

    parts = list(map_blocks(sums, eco.entities, eco.dimension))
    couplings = [
        with_shared_data(eco, reduce(add, [part[0][i] for part in parts]), estimates) for i in range(len(weights))
    ]
    publics = np.array([coupling.public for coupling in couplings])
    public = publics[:, None] @ eco.public @ transposed(publics)[None]
    spread = np.sum([part[1] for part in parts], axis=0) + public
    return ReducedSystem(couplings, spread, np.concatenate([part[2] for part in parts]))


def carried_spread(
    eco: LinearEcosystem, weights: Sequence[SourceWeights], settings: ReducedSystem, gains: Array
) -> Array:
    """Covariance over sigma^2 that the real data leave in a pool with gains L_u on what was said under each setting.

    It is sum_j W_j W_j' + W_* W_*', W = sum_u L_u D_u X~', as sum_uv L_u spread_uv L_v' is; but a large gain on a small
    part of D is taken here before anything is squared, so that the error grows as the gain, not as its square.

    Args:
        eco: the ecosystem.
        weights: the m settings.
        settings: what the pool needs of the entities under each.
        gains: L, shape (m, d, d).

    Returns:
        Shape (d, d).
    """

    def sums(rows: slice) -> Array:
        block = EntityBlock.read(eco, rows)
        root, responses = square_root(block.private), [block.respond(w) for w in weights]
        said = [weighted(each.gain, transposed(each.replies.private) @ root) for each in responses]
        carried = reduce(add, map(np.matmul, gains, said))
        return weighted_sum(np.ones(1), carried @ transposed(carried))

    root = square_root(eco.public[None])[0]
    public = reduce(add, (gain @ (each.public @ root) for gain, each in zip(gains, settings.couplings, strict=True)))
    return reduce(add, map_blocks(sums, eco.entities, eco.dimension), public @ public.T)


def _spread(responses: Sequence[Response]) -> Array:
    """sum_j D_uj S~_j D_vj' over one block, for all pairs of settings."""
    sources = [response.source() for response in responses]
    return np.array(
        [[weighted_sum(u.gain, transposed(u.replies.private) @ source) for source in sources] for u in responses]
    )
