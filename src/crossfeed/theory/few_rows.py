r"""Entities with far fewer rows of data than dimensions, under weights that all have in common.

Their sums G_k = C + p X_k'X_k, C = q S_* + a Sbar, share all but a matrix of rank n, the number of rows. With
E = X C^{-1} and the n x n matrix B = I + p E X' = L L',

    G^{-1} = C^{-1} - p U'U,     U = L^{-1} E,     V = X G^{-1} = L^{-T} U,     T = X G^{-1} X' = V X',

and with the replies R = G^{-1} S = V'X every sum of `crossfeed.theory.consensus` is one of products with n rows:

    sum_j R_j = sum_j V_j'X_j,     S R = X'H,     R'S R = H'H,     H = T X.

No d x d matrix is factored, and none formed until errors are read. Nothing cancels in V, T and H; in G^{-1} itself as
many digits do as tr G tr C^{-1}, a bound on the condition number, has. Above `_CONDITION` blocks are left to
`crossfeed.theory.response`, and so are all with a singular C.

Reference: Golub and Van Loan, Matrix Computations, 4th ed. (2013), Section 2.1.4 (Sherman, Morrison and Woodbury); its
use for the entities is not in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfeed.theory.grams import FeatureMatrices
from crossfeed.theory.kernels import Array, inverse_lower, most_condition, summed_products, times, transposed
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights

# Bounds on the condition number of G up to which this way is taken: four of a double's digits.
_CONDITION = 1e4

# Rows, as a share of the dimension, up to which it is the faster one (measured at d = 15 and 50).
_SHARE = 2 / 3


@dataclass(frozen=True)
class FewRows:
    """The estimates of one block of entities with few rows as functions of the data, under fixed weights.

    Attributes:
        features: X, shape (b, n, d).
        private: p.
        public: q.
        synthetic: a.
        gain: weight s p of an entity's own data in the pool, shape (1,) or (b,).
        shared: C, shape (d, d).
        shared_inverse: C^{-1}, shape (d, d).
        half: U, shape (b, n, d).
        response: V, shape (b, n, d).
        reply: H = X R, shape (b, n, d).
    """

    features: Array
    private: float
    public: float
    synthetic: float
    gain: Array
    shared: Array
    shared_inverse: Array
    half: Array
    response: Array
    reply: Array

    @property
    def inflation(self) -> float:
        """Upper bound of what rounding errors of the G are multiplied by (`crossfeed.theory.kernels.Inverted`)."""
        size = np.diag(self.shared) + self.private * np.einsum("bni,bni->bi", self.features, self.features)
        inverse = np.diag(self.shared_inverse) - self.private * np.einsum("bni,bni->bi", self.half, self.half)
        return float((size * inverse).max())

    @cached_property
    def carried(self) -> Array:
        """The part of each row of data that the pool hears, s p H, shape (b, n, d)."""
        return self.gain[:, None, None] * self.reply

    @cached_property
    def inverse(self) -> Array:
        """F = G^{-1}, shape (b, d, d)."""
        product = transposed(self.half) @ self.half.copy()
        product *= -self.private
        product += self.shared_inverse
        return product

    def replies(self, share: Array) -> Array:
        """Sum the block's replies.

        Args:
            share: s, shape (1,) or (b,).

        Returns:
            sum_j s_j R_j, shape (d, d).
        """
        if len(share) == 1:
            alike: Array = share * summed_products(self.response, self.features)
            return alike
        return summed_products(share[:, None, None] * self.response, self.features)

    def estimate(self, labels: Array, public: Array, pool: Array) -> Array:
        """Return the estimates under given data.

        Args:
            labels: y~ of the private data, shape (b, n).
            public: y, the public data's moment, shape (d,).
            pool: z, shape (d,).

        Returns:
            F (p X'y~ + q y + a z), shape (b, d).
        """
        own = np.einsum("bnd,bn->bd", self.response, self.private * labels)
        estimates: Array = own + self.inverse @ (self.public * public + self.synthetic * pool)
        return estimates

    def variance(self, own: float, shared: Array, crossed: Array) -> Array:
        """Return the traces of F (c S~ + N + X'D) F.

        Args:
            own: c.
            shared: N, shape (d, d).
            crossed: D, shape (b, n, d).

        Returns:
            Shape (b,).
        """
        count, rows, d = self.features.shape
        seen = times(self.inverse, shared)
        met = crossed @ self.inverse
        met += own * self.response
        trace: Array = np.vecdot(seen.reshape(count, d * d), self.inverse.reshape(count, d * d))
        trace += np.vecdot(met.reshape(count, rows * d), self.response.reshape(count, rows * d))
        return trace


def few_rows(spec: Conditioned, rows: slice, weights: Sequence[SourceWeights]) -> list[FewRows] | None:
    """Return the responses of one block of entities under each of m weights, where this way is open.

    Args:
        spec: the ecosystem's specification.
        rows: slice(start, stop) of entity numbers.
        weights: the m weights.

    Returns:
        The m responses; None where entities have many rows, publish others than their private ones, or have weights
        of their own, where the coordinates are others than the data's or updates are not minimised in full, or where
        digits would be lost.
    """
    features = features_of_few_rows(spec, weights)
    if features is None:
        return None
    X = np.asarray(features(rows))
    shares = spec.shares_of(rows)
    responses = [respond_few_rows(X, spec.public, spec.pool_gram, w, shares, spec.rounding) for w in weights]
    known = [each for each in responses if each is not None]
    return known if len(known) == len(responses) else None


def features_of_few_rows(
    spec: Conditioned, weights: Sequence[SourceWeights]
) -> Callable[[slice], FeatureMatrices] | None:
    """Return the loader of private features of which all have few rows, where this way is open.

    Args:
        spec: the ecosystem's specification.
        weights: m weights.

    Returns:
        The loader; None as `few_rows`, but for digits.
    """
    source = spec.private
    if source.rows is None or source.rows > _SHARE * spec.dimension:
        return None
    if spec.generated is not source or spec.coordinates is not None or not spec.training.is_full:
        return None
    if any(len(each) > 1 for w in weights for each in (w.private, w.public, w.synthetic)):
        return None
    return source.features


def respond_few_rows(
    X: Array, public: Array, pool: Array, weights: SourceWeights, shares: Array, rounding: float
) -> FewRows | None:
    """Return the response of some entities that hear the same.

    Args:
        X: their features, shape (b, n, d).
        public: S_*, shape (d, d).
        pool: Gram matrix of what they hear, shape (d, d).
        weights: p, q and a, each of shape (1,).
        shares: weight s of each entity's rows in the pool, shape (1,) or (b,).
        rounding: eigenvalues of a Gram matrix, relative to its trace, that may be rounding errors.

    Returns:
        The response; None where digits would be lost.
    """
    p, q, a = (float(each[0]) for each in (weights.private, weights.public, weights.synthetic))
    shared = q * public + a * pool
    inverse = _definite(shared)
    if inverse is None:
        return None
    flat = X.reshape(len(X), -1)
    size = np.trace(shared) + p * np.vecdot(flat, flat).max()
    if not size * np.trace(inverse) <= min(_CONDITION, most_condition(rounding)):
        return None
    turned = times(X, inverse)
    across = np.ascontiguousarray(transposed(X))
    inner = p * (turned @ across)
    order = np.arange(X.shape[1])
    inner[:, order, order] += 1.0
    factor = inverse_lower(np.asarray(np.linalg.cholesky(inner), dtype=np.float64))
    half = factor @ turned
    response = transposed(factor) @ half
    reply = (response @ across) @ X
    return FewRows(X, p, q, a, p * shares, shared, inverse, half, response, reply)


def _definite(matrix: Array) -> Array | None:
    """Return the inverse of a positive definite matrix, shape (d, d); None for others."""
    try:
        factor = inverse_lower(np.asarray(np.linalg.cholesky(matrix), dtype=np.float64)[None])[0]
    except np.linalg.LinAlgError:
        return None
    inverse: Array = factor.T @ factor
    return inverse
