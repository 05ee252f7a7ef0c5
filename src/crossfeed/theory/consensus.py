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
from typing import NamedTuple

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.graded import Graded, grade
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import (
    UNDECIDED,
    Array,
    Inverted,
    Mask,
    WeightedGram,
    definite_inverse,
    selected,
    square_root,
    transposed,
    weighted,
    weighted_sum,
)
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights


class BySource(NamedTuple):
    """One stack of matrices (b, d, d) for each source of a training set.

    Attributes:
        private: of the entity's private data.
        public: of the public data.
        pool: of the pool.
    """

    private: Array
    public: Array
    pool: Array


@dataclass(frozen=True)
class Response:
    """The estimates of one block of entities as functions of the sources' data, under fixed weights.

    Attributes:
        weights: p, q, a of the block; ones where the inverses contain them.
        share: s, the block's (1 - phi) w_j, shape (1,) or (b,).
        private: S~, shape (b, d, d).
        inverses: F = G^+ as it acts on each source's moment, three times the same (b, d, d); or, if `graded`, p F, q F
            and a F, each exact on the range of its own source (`crossfeed.theory.graded`).
        replies: R = F'S for each of the inverses, shape (b, d, d).
        singular: True where G is singular, shape (b,).
        inflation: what rounding errors of G are multiplied by in F, shape (b,); see `definite_inverse`.
        graded: True if the inverses differ.
    """

    weights: SourceWeights
    share: Array
    private: Array
    inverses: BySource
    replies: BySource
    singular: Mask
    inflation: Array
    graded: bool

    @property
    def gain(self) -> Array:
        """Weight s p of an entity's own data in the pool, shape (1,) or (b,)."""
        return self.share * self.weights.private

    def source(self) -> Array:
        """Return what one generation adds to the covariance of a source with the pool.

        Returns:
            s p S~ R, shape (b, d, d).
        """
        product = self.private @ self.replies.private
        product *= self.gain[:, None, None]
        return product

    def estimate(self, private: Array, public: Array, pool: Array) -> Array:
        """Return the estimates under given moments of the data.

        Args:
            private: x, shape (b, d).
            public: y, shape (d,).
            pool: z, shape (d,).

        Returns:
            F (p x + q y + a z), shape (b, d).
        """
        w, F = self.weights, self.inverses
        moments = w.private[:, None] * private, w.public[:, None] * public, w.synthetic[:, None] * pool
        if not self.graded:
            return _times(F.private, moments[0] + moments[1] + moments[2])
        return _times(F.private, moments[0]) + _times(F.public, moments[1]) + _times(F.pool, moments[2])


def _times(matrices: Array, vectors: Array) -> Array:
    product: Array = np.einsum("bij,bj->bi", matrices, np.broadcast_to(vectors, matrices.shape[:2]))
    return product


@dataclass(frozen=True)
class EntityBlock:
    """Data of one block of entities, read once and used under any number of weights.

    Attributes:
        specification: the ecosystem's specification.
        rows: slice(start, stop) of entity numbers, b of them.
        private: S~, shape (b, d, d).
        generated: S, shape (b, d, d).
    """

    specification: Conditioned
    rows: slice
    private: Array
    generated: Array

    @classmethod
    def read(cls, spec: Conditioned, rows: slice) -> EntityBlock:
        """Read the Gram matrices of a run of entities.

        Args:
            spec: the ecosystem's specification.
            rows: slice(start, stop) of entity numbers.

        Returns:
            The block.

        Raises:
            InvalidInput: if a block loader returns another shape, or numbers that are not finite.
        """
        private, generated = spec.grams_of(rows)
        return cls(spec, rows, private, generated)

    def parts(self, weights: SourceWeights) -> list[WeightedGram]:
        """Return the sources' weights and Gram matrices, whose sum is G.

        Args:
            weights: p, q, a of the whole ecosystem, each of shape (1,) or (K,).

        Returns:
            (p, S~), (q, S_*) and (a, Sbar) of the block.
        """
        spec, w = self.specification, weights.block(self.rows)
        return [(w.private, self.private), (w.public, spec.public), (w.synthetic, spec.pool_gram)]

    def respond(self, weights: SourceWeights) -> Response:
        """Return the block's response under given weights.

        Args:
            weights: p, q, a of the whole ecosystem, each of shape (1,) or (K,).

        Returns:
            The response of the block's b entities.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        spec, w, parts = self.specification, weights.block(self.rows), self.parts(weights)
        inverted = definite_inverse(parts, spec.rounding)
        inverse, suspects, inflation = inverted
        if suspects.any():
            return self._respond_graded(weights, inverted)
        inverses, reply = BySource(inverse, inverse, inverse), inverse @ self.generated
        share = spec.shares_of(self.rows)
        replies = BySource(reply, reply, reply)
        return Response(w, share, self.private, inverses, replies, suspects, inflation, graded=False)

    def graded(self, weights: SourceWeights, rows: Mask) -> Graded:
        """Factor the sums G of some of the block's entities.

        Args:
            weights: p, q, a of the whole ecosystem, each of shape (1,) or (K,).
            rows: shape (b,), True for the entities.

        Returns:
            Their factored sums.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        spec = self.specification
        outward = None if spec.coordinates is None else spec.coordinates.outward
        return grade(selected(self.parts(weights), rows), spec.rounding, outward)

    def _respond_graded(self, weights: SourceWeights, inverted: Inverted) -> Response:
        """Respond by gains where some entities' weights and ranks leave one inverse no digits."""
        parts, (inverse, suspects, inflation) = self.parts(weights), inverted
        factored = self.graded(weights, suspects)
        inverse[suspects], inflation[suspects] = 0.0, factored.inflation
        gains = [weighted(weight, inverse) for weight, _ in parts]
        for source, gain in enumerate(gains):
            gain[suspects] = factored.gain(source)
        singular = np.zeros_like(suspects)
        singular[suspects] = factored.singular
        spec = self.specification
        if (singular & (spec.private.obscured[self.rows] | spec.public_source.obscured[0])).any():
            raise InvalidInput(UNDECIDED)
        inverses, replies = BySource(*gains), BySource(*(transposed(gain) @ self.generated for gain in gains))
        ones, share = np.ones(1), spec.shares_of(self.rows)
        alike = SourceWeights(ones, ones, ones)
        return Response(alike, share, self.private, inverses, replies, singular, inflation, graded=True)


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
    return np.array(
        [[weighted_sum(u.gain, transposed(u.replies.private) @ source) for source in sources] for u in responses]
    )
