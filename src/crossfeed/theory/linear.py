"""An ecosystem of linear models that train on each other's outputs.

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
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack, get_args

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import noise_level, share_vector, vector
from crossfeed.theory.grams import (
    PerEntity,
    feature_source,
    gram_source,
    map_blocks,
    one_feature_gram,
    one_gram,
)
from crossfeed.theory.kernels import Array, weighted_sum
from crossfeed.theory.weights import SourceWeights, Weight, WeightSchedule, fractions, rows_of

if TYPE_CHECKING:
    from crossfeed.theory.limit import Limit
    from crossfeed.theory.moments import Moments

History = Literal["latest", "accumulate"]


class Options(TypedDict, total=False):
    """Arguments of `LinearEcosystem` that do not depend on how the data are given."""

    alpha: Weight
    beta: Weight
    initial_beta: npt.ArrayLike | None
    shares: npt.ArrayLike | None
    sigma: float
    sigma_generated: float | None
    fresh_fraction: float
    history: History
    truths: npt.ArrayLike | None
    truth_public: npt.ArrayLike | None


class LinearEcosystem:
    """The full description of a linear ecosystem; it does not change after construction.

    Arrays are read, not copied: do not write to them afterwards.

    Args:
        private: Gram matrices S~ of shape (K, d, d), or a function (start, stop) returning those of entities
            start..stop-1, called once per block and pass (it must return the same numbers every time).
        public: S_*, shape (d, d).
        generated: Gram matrices of the rows each entity publishes, as `private`; default: the private ones.
        alpha: synthetic weight: a number, (K,), or a function of the generation t >= 1 returning either.
        beta: private share of the real data, likewise; also evaluated at t = 0 unless `initial_beta` is given.
        initial_beta: beta at generation 0: a number or (K,).
        shares: w, shape (K,), summing to one: each entity's share of the published pool; default: 1/K each.
        sigma: noise standard deviation of human data, private, public and fresh.
        sigma_generated: noise standard deviation of generated data; default: `sigma`; 0 is greedy decoding.
        fresh: S_F, shape (d, d): Gram of the fresh human rows in each newly collected pool.
        fresh_fraction: phi, weight of the fresh human rows in the pool, in [0, 1].
        history: "latest" trains on the newest generation only, "accumulate" on all generations so far.
        truths: theta*_k, shape (K, d): what each entity's private labels follow; default: `truth_public` for all.
        truth_public: theta*_0, shape (d,): what public and fresh labels follow; default: zero.
        entities: K; needed only when `private` is a function.

    Raises:
        InvalidInput: naming the argument, what was received and what to give.

    Source: paper, Section 5 (training workflow).
    """

    def __init__(
        self,
        private: PerEntity,
        public: npt.ArrayLike,
        generated: PerEntity | None = None,
        alpha: Weight = 0.5,
        beta: Weight = 0.5,
        initial_beta: npt.ArrayLike | None = None,
        shares: npt.ArrayLike | None = None,
        sigma: float = 1.0,
        sigma_generated: float | None = None,
        fresh: npt.ArrayLike | None = None,
        fresh_fraction: float = 0.0,
        history: History = "latest",
        truths: npt.ArrayLike | None = None,
        truth_public: npt.ArrayLike | None = None,
        entities: int | None = None,
    ) -> None:
        self.public = one_gram(public, "public")
        self.dimension = self.public.shape[0]
        self.private = gram_source(private, "private", entities, self.dimension)
        self.entities = self.private.entities
        self.generated = (
            self.private if generated is None else gram_source(generated, "generated", self.entities, self.dimension)
        )
        self.fresh = None if fresh is None else one_gram(fresh, "fresh", self.dimension)
        self.fresh_fraction = self._fresh_fraction(fresh_fraction)
        self._set_weights(alpha, beta, initial_beta)
        self.shares = share_vector(shares, self.entities)
        self.sigma = noise_level(sigma, "sigma")
        self.sigma_generated = (
            self.sigma if sigma_generated is None else noise_level(sigma_generated, "sigma_generated")
        )
        self.history = _history(history)
        #: Whether the caller said what the labels follow; without it only unbiased estimates have a known error.
        self.truth_given = truth_public is not None
        self._set_truths(truths, truth_public)

    @classmethod
    def from_features(
        cls,
        private: PerEntity,
        public: npt.ArrayLike,
        generated: PerEntity | None = None,
        fresh: npt.ArrayLike | None = None,
        entities: int | None = None,
        **options: Unpack[Options],
    ) -> LinearEcosystem:
        """Describe an ecosystem by feature matrices in place of Gram matrices.

        Args:
            private: X~, shape (K, n, d) (an array or memory map, of any real dtype), a list of (n_k, d) matrices, or
                a function (start, stop) returning the features of entities start..stop-1.
            public: X_*, shape (n, d).
            generated: X, as `private`; default: the private features.
            fresh: X_F, shape (n, d).
            entities: K; needed only when `private` is a function.
            **options: the constructor's other arguments, by name.

        Returns:
            The ecosystem with the Grams X'X. With fewer rows than dimensions the features are kept and the Grams
            formed block by block, which takes less memory.

        Raises:
            InvalidInput: naming the argument, what was received and what to give.
        """
        public_gram = one_feature_gram(public, "public")
        d = len(public_gram)
        source = feature_source(private, "private", entities, d)
        return cls(
            private=source,
            public=public_gram,
            generated=None if generated is None else feature_source(generated, "generated", source.entities, d),
            fresh=None if fresh is None else one_feature_gram(fresh, "fresh", d),
            **options,
        )

    def with_weights(self, alpha: Weight, beta: Weight) -> LinearEcosystem:
        """Return the same ecosystem under other training weights.

        A given `initial_beta` is kept; without one, generation 0 follows the new beta.

        Args:
            alpha: as in the constructor.
            beta: as in the constructor.

        Returns:
            An ecosystem that shares this one's data.

        Raises:
            InvalidInput: as the constructor.
        """
        other = copy.copy(self)
        other._set_weights(alpha, beta, self._given_initial_beta)
        return other

    @property
    def constant(self) -> bool:
        """Whether alpha and beta are the same at every generation t >= 1."""
        return self.alpha.constant and self.beta.constant

    def weights_at(self, generation: int) -> SourceWeights:
        """Weights of the three sources at a generation; the synthetic one is zero at generation 0.

        Raises:
            InvalidInput: if a schedule's function returns anything but fractions.
        """
        if generation == 0:
            return SourceWeights.mixed(np.zeros(1), self._initial_beta)
        return SourceWeights.mixed(self.alpha.at(generation), self.beta.at(generation))

    def shares_of(self, rows: slice) -> Array:
        """Weight (1 - phi) w_j of each entity's rows in the pool, for one block of entities."""
        return (1.0 - self.fresh_fraction) * rows_of(self.shares, rows)

    def grams_of(self, rows: slice) -> tuple[Array, Array]:
        """Private and generated Gram matrices of one block of entities, each (b, d, d)."""
        private = self.private.block(rows)
        return private, private if self.generated is self.private else self.generated.block(rows)

    @cached_property
    def pool_gram(self) -> Array:
        """Sbar = (1 - phi) sum_j w_j S_j + phi S_F, shape (d, d)."""
        return self._pool_sums[0]

    @cached_property
    def pool_noise(self) -> Array:
        """Covariance of one generation's label noise in z_t, shape (d, d).

        N = sigma_g^2 (1 - phi)^2 sum_j w_j^2 S_j + sigma^2 phi^2 S_F.
        """
        fresh = (self.sigma * self.fresh_fraction) ** 2 * self.fresh_gram
        return self.sigma_generated**2 * self._pool_sums[1] + fresh

    @property
    def fresh_gram(self) -> Array:
        """S_F, shape (d, d); zero without fresh data."""
        return np.zeros_like(self.public) if self.fresh is None else self.fresh

    @cached_property
    def _pool_sums(self) -> tuple[Array, Array]:
        def sums(rows: slice) -> tuple[Array, Array]:
            share, generated = self.shares_of(rows), self.generated.block(rows)
            return weighted_sum(share, generated), weighted_sum(share**2, generated)

        parts = list(map_blocks(sums, self.entities, self.dimension))
        mean = sum((part[0] for part in parts), self.fresh_fraction * self.fresh_gram)
        return mean, sum((part[1] for part in parts), np.zeros_like(mean))

    def moments(self, generations: Sequence[int] | npt.ArrayLike) -> Moments:
        """Mean, covariance and errors of every entity's estimate at the asked generations.

        Args:
            generations: whole numbers >= 0, in any order.

        Returns:
            Read-outs with n = len(generations) as the first axis.

        Raises:
            InvalidInput: if `generations` is empty or holds anything but whole numbers >= 0.

        Source: paper, Theorems 1 and 2.
        """
        from crossfeed.theory.moments import trajectory

        return trajectory(self, generations)

    def limit(self) -> Limit:
        """The limit t -> infinity, or the statement that there is none with its growth.

        Returns:
            The limit; `converges` says whether it exists.

        Raises:
            InvalidInput: if alpha or beta is a function of the generation.

        Source: paper, Theorem 3.
        """
        from crossfeed.theory.limit import limit_of

        return limit_of(self)

    def relative_efficiency(self) -> Array:
        """Limiting efficiency of each entity, shape (K,); see `crossfeed.theory.efficiency`.

        Raises:
            InvalidInput: if alpha or beta is a function of the generation.
        """
        from crossfeed.theory.efficiency import relative_efficiency

        return relative_efficiency(self)

    def influence(self, generations: Sequence[int] | npt.ArrayLike) -> Array:
        """How much of each entity's mean comes from each source's data.

        Args:
            generations: whole numbers >= 0.

        Returns:
            Shape (n, K, K + 1): Frobenius norms of the d x d blocks of M_t, private sources first, public last.

        Raises:
            InvalidInput: as `moments`.

        Source: paper, Theorem 1.
        """
        return self.moments(generations).influence

    def _set_weights(self, alpha: Weight, beta: Weight, initial_beta: npt.ArrayLike | None) -> None:
        self.alpha = WeightSchedule(alpha, "alpha", self.entities)
        self.beta = WeightSchedule(beta, "beta", self.entities)
        self._given_initial_beta = initial_beta
        self._initial_beta = (
            self.beta.at(0) if initial_beta is None else fractions(initial_beta, "initial_beta", self.entities)
        )

    def _fresh_fraction(self, value: float) -> float:
        fraction = float(fractions(value, "fresh_fraction", 1)[0])
        if fraction > 0 and self.fresh is None:
            raise InvalidInput(
                f"fresh_fraction is {fraction} but there is no fresh data; give fresh=, its Gram or features"
            )
        return fraction

    def _set_truths(self, truths: npt.ArrayLike | None, truth_public: npt.ArrayLike | None) -> None:
        K, d = self.entities, self.dimension
        if truths is not None and truth_public is None:
            raise InvalidInput(
                "truths was given without truth_public; give what the public labels follow too, shape (d,)"
            )
        self.truth_public = np.zeros(d) if truth_public is None else vector(truth_public, "truth_public", (d,))
        self.truths = np.broadcast_to(self.truth_public if truths is None else vector(truths, "truths", (K, d)), (K, d))


def _history(value: History) -> History:
    if value not in get_args(History):
        raise InvalidInput(f'history must be "latest" or "accumulate"; received {value!r}')
    return value
