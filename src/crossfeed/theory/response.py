"""The estimates of one block of entities as functions of the sources' data, under fixed weights.

See `crossfeed.theory.consensus` for the symbols.

Reference: paper, Section 5 (the update of an estimate); estimates of least norm under weights of any size are those of
`crossfeed.theory.graded`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.graded import Graded, grade
from crossfeed.theory.kernels import (
    UNDECIDED,
    Array,
    Inverted,
    Mask,
    WeightedGram,
    definite_inverse,
    selected,
    transposed,
    weighted,
)
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.training import Filter
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

    @property
    def gains(self) -> BySource:
        """The estimates' gains on each source's moment: p F, q F and a F, each of shape (b, d, d)."""
        w, F = self.weights, self.inverses
        return BySource(weighted(w.private, F.private), weighted(w.public, F.public), weighted(w.synthetic, F.pool))

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
    width = matrices.shape[2]
    product: Array = np.einsum("bij,bj->bi", matrices, np.broadcast_to(vectors, (len(matrices), width)))
    return product


@dataclass(frozen=True)
class EntityBlock:
    """Data of one block of entities, read once and used under any number of weights.

    Attributes:
        specification: the ecosystem's specification.
        rows: slice(start, stop) of entity numbers, b of them.
        private: S~, shape (b, d, d).
        generated: S, shape (b, d, d).
        heard: V of each entity, shape (b, d, d), where it is not that of one pool.
    """

    specification: Conditioned
    rows: slice
    private: Array
    generated: Array
    heard: Array | None = None

    @classmethod
    def read(cls, spec: Conditioned, rows: slice, heard: Array | None = None) -> EntityBlock:
        """Read the Gram matrices of a run of entities.

        Args:
            spec: the ecosystem's specification.
            rows: slice(start, stop) of entity numbers.
            heard: V of each entity, shape (b, d, d); None: that of one pool.

        Returns:
            The block.

        Raises:
            InvalidInput: if a block loader returns another shape, or numbers that are not finite.
        """
        private, generated = spec.grams_of(rows)
        return cls(spec, rows, private, generated, heard)

    def parts(self, weights: SourceWeights) -> list[WeightedGram]:
        """Return the sources' weights and Gram matrices, whose sum is G.

        Args:
            weights: p, q, a of the whole ecosystem, each of shape (1,) or (K,).

        Returns:
            (p, S~), (q, S_*) and (a, Sbar) of the block, and (lambda, I) with a ridge.
        """
        spec, w = self.specification, weights.block(self.rows)
        heard = spec.pool_gram if self.heard is None else self.heard
        parts = [(w.private, self.private), (w.public, spec.public), (w.synthetic, heard)]
        ridge = spec.training.ridge
        return [*parts, (np.array([ridge]), np.eye(spec.dimension))] if ridge else parts

    def respond(self, weights: SourceWeights) -> Response:
        """Return the block's response under given weights.

        Updates that go on from the model before and stop early have no response of their own: theirs is that in the
        long run, while all that they hear stays the same (`crossfeed.theory.memory_path` has the way there).

        Args:
            weights: p, q, a of the whole ecosystem, each of shape (1,) or (K,).

        Returns:
            The response of the block's b entities.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides, or steps diverge.
        """
        training = self.specification.training
        if training.steps is None or weights.initial:
            return self._minimised(weights)
        if training.remembers:
            return self._settled(weights)
        filtered = self.filtered(weights)
        gains = self._started(weights, filtered.moment_gain)
        if training.start == "own":
            gains = self._with_start(gains, filtered.start_gain)
        singular: Mask = np.asarray(filtered.unseen.any(axis=1))
        return self._by_gains(gains, singular, np.ones(len(self.private)))

    def filtered(self, weights: SourceWeights) -> Filter:
        """Return what an update of a few steps keeps and learns.

        Args:
            weights: p, q, a of the whole ecosystem, each of shape (1,) or (K,).

        Returns:
            The filters of the block's b entities.

        Raises:
            InvalidInput: if steps diverge.
        """
        spec, w = self.specification, weights.block(self.rows)
        shared = weighted(w.public, spec.public) + weighted(w.synthetic, spec.pool_gram)
        return spec.training.filtered(weighted(w.private, self.private) + shared, spec.rounding)

    def _settled(self, weights: SourceWeights) -> Response:
        """Return the full minimum, and what the start said of directions that no data reach later."""
        minimised = self._minimised(weights)
        if not minimised.singular.any():
            return minimised
        missed = np.zeros_like(self.private)
        missed[minimised.singular] = self.graded(weights, minimised.singular).missed
        gains = self._with_start(minimised.gains, missed)
        return self._by_gains(gains, minimised.singular, minimised.inflation)

    def _started(self, weights: SourceWeights, inverse: Array) -> BySource:
        w = weights.block(self.rows)
        return BySource(*(weighted(each, inverse) for each in (w.private, w.public, w.synthetic)))

    def _with_start(self, gains: BySource, kept: Array) -> BySource:
        """Add what is kept of the estimate of generation 0."""
        initial = self._minimised(self.specification.weights.at(0)).gains
        return BySource(gains.private + kept @ initial.private, gains.public + kept @ initial.public, gains.pool)

    def _by_gains(self, gains: BySource, singular: Mask, inflation: Array) -> Response:
        replies = BySource(*(transposed(gain) @ self.generated for gain in gains))
        ones, share = np.ones(1), self.specification.shares_of(self.rows)
        alike = SourceWeights(ones, ones, ones)
        return Response(alike, share, self.private, gains, replies, singular, inflation, graded=True)

    def _minimised(self, weights: SourceWeights) -> Response:
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
        gains = [weighted(weight, inverse) for weight, _ in parts[:3]]
        for source, gain in enumerate(gains):
            gain[suspects] = factored.gain(source)
        singular = np.zeros_like(suspects)
        singular[suspects] = factored.singular
        spec = self.specification
        if (singular & (spec.private.obscured[self.rows] | spec.public_source.obscured[0])).any():
            raise InvalidInput(UNDECIDED)
        return self._by_gains(BySource(*gains), singular, inflation)
