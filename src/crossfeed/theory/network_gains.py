"""Answers of a network's entities: gains on their data, the public data and what they hear.

With theta_k = P_k m_k + U_k m_* + Z_k z_k for the moments m_k = X~_k'y~_k, m_* = X_*'y_* and z_k of what is heard,

    P = p G^+,   U = q G^+,   Z = a G^+,   G_k = p S~_k + q S_* + a V_k,   V_k = (1 - phi) sum_j W_kj S_j + phi S_F.

Where nobody that an entity reads has anything in the pool it trains on real data alone: its alpha counts as zero.

Reference: paper, Section 5 (the update of an estimate); one V for each reader is not in the paper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, Mask, weighted
from crossfeed.theory.response import EntityBlock, Response
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights


@dataclass(frozen=True, eq=False)
class Gains:
    """Gains of the estimates of b entities.

    Attributes:
        private: P, shape (b, d, d).
        public: U, shape (b, d, d).
        heard: Z, shape (b, d, d).
        singular: True where G is singular, shape (b,).
        inflation: what rounding errors of G are multiplied by, shape (b,).
    """

    private: Array
    public: Array
    heard: Array
    singular: Mask
    inflation: Array

    @classmethod
    def of(cls, response: Response) -> Gains:
        """Return the gains of a block's response.

        Args:
            response: the response.

        Returns:
            The gains.
        """
        w, F = response.weights, response.inverses
        parts = weighted(w.private, F.private), weighted(w.public, F.public), weighted(w.synthetic, F.pool)
        return cls(*parts, response.singular, response.inflation)

    def rows(self, entities: npt.NDArray[np.intp]) -> Gains:
        """Return those of some entities.

        Args:
            entities: their numbers.

        Returns:
            Their gains.
        """
        parts = self.private[entities], self.public[entities], self.heard[entities]
        return Gains(*parts, self.singular[entities], self.inflation[entities])


def weights_at(spec: Conditioned, generation: int, hears: Mask) -> SourceWeights:
    """Return the weights at a generation, with an alpha of zero for entities that hear nobody.

    Args:
        spec: the ecosystem's specification.
        generation: t >= 0.
        hears: shape (K,), True for those who hear somebody.

    Returns:
        p, q and a, each of shape (1,) or (K,).

    Raises:
        InvalidInput: if a schedule's function returns anything but fractions.
    """
    if generation == 0 or hears.all():
        return spec.weights.at(generation)
    alpha = np.where(hears, spec.weights.alpha.at(generation), 0.0)
    return SourceWeights.mixed(alpha, spec.weights.beta.at(generation))


def answered(spec: Conditioned, weights: SourceWeights, heard_grams: Array) -> Gains:
    """Return the gains of all entities.

    Args:
        spec: the ecosystem's specification.
        weights: p, q and a, each of shape (1,) or (K,).
        heard_grams: V, shape (K, d, d).

    Returns:
        Their gains.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
    """

    def of_block(rows: slice) -> Gains:
        block = EntityBlock.read(spec, rows, heard_grams[rows])
        return Gains.of(block.respond(weights))

    parts = list(map_blocks(of_block, spec.entities, spec.dimension))
    if len(parts) == 1:
        return replace(parts[0])
    names = "private", "public", "heard", "singular", "inflation"
    return Gains(*(np.concatenate([getattr(each, name) for each in parts]) for name in names))
