"""The specification of a linear ecosystem: the frozen value that every solver of this folder takes.

K entities fit regressions in R^d. Entity k holds private data with Gram S~_k = X~_k'X~_k, all share public data with
Gram S_*, and at each generation t >= 1 entity j publishes n_j rows X_j with labels drawn from its newest model,
S_j = X_j'X_j. With weights p, q, a (see `crossfeed.theory.weights`) and generator shares w_j,

    theta_tk = G_tk^+ ( p S~_k th~_k + q S_* th_* + a zbar_t ),     G_tk = p S~_k + q S_* + a Sbar,
    z_t      = (1 - phi) sum_j w_j ( S_j theta_{t-1,j} + X_j' eps_tj ) + phi ( S_F theta*_0 + X_F' eps_t ),
    Sbar     = (1 - phi) sum_j w_j S_j + phi S_F,

where phi is the fraction of fresh human data in each collected pool, and zbar_t is z_t (history "latest") or the mean
of z_1..z_t ("accumulate").

Reference: Vu, Reeves, Wenger, "What happens when generative AI models train recursively on each other's outputs?",
ICLR 2026 ("the paper"), Section 5. Per-entity and scheduled weights, shares, fresh data, history, generation noise
and own truths go beyond it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.grams import Grams, map_blocks
from crossfeed.theory.kernels import Array, weighted_sum
from crossfeed.theory.weights import TrainingWeights, Weight, rows_of

History = Literal["latest", "accumulate"]


def known_history(value: History) -> History:
    """Validate the name of a history.

    Args:
        value: "latest" or "accumulate".

    Returns:
        The name.

    Raises:
        InvalidInput: if it is another name.
    """
    if value not in get_args(History):
        raise InvalidInput(f'history must be "latest" or "accumulate"; received {value!r}')
    return value


@dataclass(frozen=True, eq=False)
class Specification:
    """Everything that determines the law of the estimates, validated.

    Attributes:
        private: Gram matrices S~ of the private data, one (d, d) per entity.
        public: S_*, shape (d, d).
        generated: Gram matrices S of the published rows; the same object as `private` where those are the private rows.
        fresh: S_F, shape (d, d), or None.
        fresh_fraction: phi, in [0, 1].
        weights: alpha and beta over the generations.
        shares: w, shape (K,), or (1,) where they are equal.
        sigma: noise standard deviation of human data.
        sigma_generated: noise standard deviation of generated data.
        history: "latest" or "accumulate".
        truths: theta*_k, shape (K, d).
        truth_public: theta*_0, shape (d,).
        truth_given: False if the truths are unknown and stand at zero; only unbiased estimates then have a known error.
    """

    private: Grams
    public: Array
    generated: Grams
    fresh: Array | None
    fresh_fraction: float
    weights: TrainingWeights
    shares: Array
    sigma: float
    sigma_generated: float
    history: History
    truths: Array
    truth_public: Array
    truth_given: bool

    @property
    def entities(self) -> int:
        """Number K of entities."""
        return self.private.entities

    @property
    def dimension(self) -> int:
        """Dimension d of the parameters."""
        return len(self.public)

    def with_weights(self, alpha: Weight, beta: Weight) -> Specification:
        """Return the same specification under other training weights, with all sums that do not depend on them.

        Args:
            alpha: synthetic weight: a number, (K,), or a function of the generation t >= 1 returning either.
            beta: private share of the real data, likewise; also evaluated at t = 0 unless a beta was given for it.

        Returns:
            A specification that shares this one's data.

        Raises:
            InvalidInput: if a shape is another, or a number is outside [0, 1].
        """
        other = copy.copy(self)
        object.__setattr__(other, "weights", self.weights.changed(alpha, beta, self.entities))
        return other

    def shares_of(self, rows: slice) -> Array:
        """Return the weight (1 - phi) w_j of each entity's rows in the pool, for one block of entities.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            Shape (1,) or (stop - start,).
        """
        return (1.0 - self.fresh_fraction) * rows_of(self.shares, rows)

    def grams_of(self, rows: slice) -> tuple[Array, Array]:
        """Read the private and generated Gram matrices of one block of entities.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            S~ and S, each of shape (stop - start, d, d).

        Raises:
            InvalidInput: if a block loader returns another shape, or numbers that are not finite.
        """
        private = self.private.block(rows)
        return private, private if self.generated is self.private else self.generated.block(rows)

    @property
    def fresh_gram(self) -> Array:
        """S_F, shape (d, d); zero without fresh data."""
        return np.zeros_like(self.public) if self.fresh is None else self.fresh

    @cached_property
    def pool_gram(self) -> Array:
        """Sbar = (1 - phi) sum_j w_j S_j + phi S_F, shape (d, d)."""
        return self._pool_sums[0]

    @cached_property
    def pool_noise(self) -> Array:
        """Covariance N of one generation's label noise in z_t, shape (d, d).

        N = sigma_g^2 (1 - phi)^2 sum_j w_j^2 S_j + sigma^2 phi^2 S_F.
        """
        fresh = (self.sigma * self.fresh_fraction) ** 2 * self.fresh_gram
        return self.sigma_generated**2 * self._pool_sums[1] + fresh

    @cached_property
    def _pool_sums(self) -> tuple[Array, Array]:
        def sums(rows: slice) -> tuple[Array, Array]:
            share, generated = self.shares_of(rows), self.generated.block(rows)
            return weighted_sum(share, generated), weighted_sum(share**2, generated)

        parts = list(map_blocks(sums, self.entities, self.dimension))
        mean = sum((part[0] for part in parts), self.fresh_fraction * self.fresh_gram)
        return mean, sum((part[1] for part in parts), np.zeros_like(mean))


class Specified(Protocol):
    """An ecosystem with a specification, such as `crossfeed.theory.LinearEcosystem`.

    Functions for users take one and read its specification; what they return keeps it as `ecosystem`.
    """

    @property
    def specification(self) -> Specification:
        """Everything that determines the law of the estimates."""
        ...
