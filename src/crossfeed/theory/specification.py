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
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Literal, Protocol, get_args

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.coordinates import Coordinates, coordinates
from crossfeed.theory.grams import Grams, map_blocks
from crossfeed.theory.kernels import Array, weighted_sum
from crossfeed.theory.network import Network
from crossfeed.theory.training import Training
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
        public_source: S_*, as a source of one matrix.
        generated: Gram matrices S of the published rows; the same object as `private` where those are the private rows.
        fresh_source: S_F, as a source of one matrix, or None.
        fresh_fraction: phi, in [0, 1].
        weights: alpha and beta over the generations.
        shares: w, shape (K,), or (1,) where they are equal.
        sigma: noise standard deviation of human data.
        sigma_generated: noise standard deviation of generated data.
        history: "latest" or "accumulate".
        truths: theta*_k, shape (K, d).
        truth_public: theta*_0, shape (d,).
        truth_given: False if the truths are unknown and stand at zero; only unbiased estimates then have a known error.
        training: how an update is computed from generation 1 on.
        network: who reads whom, and when; None where all read one pool in step.
    """

    private: Grams
    public_source: Grams
    generated: Grams
    fresh_source: Grams | None
    fresh_fraction: float
    weights: TrainingWeights
    shares: Array
    sigma: float
    sigma_generated: float
    history: History
    truths: Array
    truth_public: Array
    truth_given: bool
    training: Training
    network: Network | None

    @property
    def entities(self) -> int:
        """Number K of entities."""
        return self.private.entities

    @property
    def dimension(self) -> int:
        """Dimension d of the parameters."""
        return self.private.dimension

    @cached_property
    def public(self) -> Array:
        """S_*, shape (d, d)."""
        return np.asarray(self.public_source.all()[0])

    @cached_property
    def fresh(self) -> Array | None:
        """S_F, shape (d, d), or None."""
        return None if self.fresh_source is None else self.fresh_source.all()[0]

    @cached_property
    def conditioned(self) -> Conditioned:
        """The same ecosystem as solvers take it, in coordinates that keep digits (`crossfeed.theory.coordinates`)."""
        sources = {"private": self.private, "public_source": self.public_source, "generated": self.generated}
        if self.fresh_source is not None:
            sources["fresh_source"] = self.fresh_source
        distinct = {id(each): each for each in sources.values()}
        means = {id(self.generated): self._pool_sums[2], id(self.private): self._pool_sums[3]}
        totals = [(each, means[key] if key in means else each.all()[0]) for key, each in distinct.items()]
        given = {field.name: getattr(self, field.name) for field in fields(Specification)}
        # Gradient steps and a ridge are those of theta: other coordinates would have other ones.
        chosen = coordinates(totals) if self.training.is_full else None
        if chosen is None:
            same = Conditioned(**given, coordinates=None)
            same.__dict__["_pool_sums"] = self._pool_sums
            return same
        seen = {key: each.seen_in(chosen.outward) for key, each in distinct.items()}
        return Conditioned(**given | {name: seen[id(each)] for name, each in sources.items()}, coordinates=chosen)

    def check_one_pool(self, asked: str) -> None:
        """Refuse a network where only one pool that all read in step is known.

        Args:
            asked: what was asked for, for the message.

        Raises:
            InvalidInput: if the ecosystem has a network.
        """
        if self.network is not None:
            raise InvalidInput(
                f"{asked} is known for one pool that all read in step; leave out reads, every, phase, probability, "
                "stale, order, arrives, leaves and generated_at, or compare .limit() under several weights"
            )

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
        weights, data = self.weights.changed(alpha, beta, self.entities), self.conditioned
        other, inside = copy.copy(self), copy.copy(data)
        for each in (other, inside):
            object.__setattr__(each, "weights", weights)
        other.__dict__["conditioned"] = inside
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
    def _pool_sums(self) -> tuple[Array, Array, Array, Array]:
        """Sbar, sum_j (1 - phi)^2 w_j^2 S_j, and the means over entities of S_j and S~_j."""

        def sums(rows: slice) -> tuple[Array, Array, Array, Array]:
            share = self.shares_of(rows)
            with np.errstate(over="ignore", invalid="ignore"):  # units may be out of the range of numbers
                if len(share) == 1:
                    published = self.generated.sum(rows)
                    held = published if self.private is self.generated else self.private.sum(rows)
                    return share[0] * published, share[0] ** 2 * published, published, held
                private, generated = self.grams_of(rows)
                published = weighted_sum(np.ones(1), generated)
                held = published if private is generated else weighted_sum(np.ones(1), private)
                return weighted_sum(share, generated), weighted_sum(share**2, generated), published, held

        parts = list(map_blocks(sums, self.entities, self.dimension))
        zero = np.zeros((self.dimension, self.dimension))
        mean = sum((part[0] for part in parts), self.fresh_fraction * self.fresh_gram)
        squares, published, held = (sum((part[i] for part in parts), zero) for i in (1, 2, 3))
        return mean, squares, published / self.entities, held / self.entities


@dataclass(frozen=True, eq=False)
class Conditioned(Specification):
    """A specification in the coordinates that solvers work in: Gram matrices are of phi, theta = W phi.

    Truths stay those of theta, as they were given.

    Attributes:
        private: Gram matrices S~ of the private data, one (d, d) per entity.
        public_source: S_*, as a source of one matrix.
        generated: Gram matrices S of the published rows; the same object as `private` where those are the private rows.
        fresh_source: S_F, as a source of one matrix, or None.
        fresh_fraction: phi, in [0, 1].
        weights: alpha and beta over the generations.
        shares: w, shape (K,), or (1,) where they are equal.
        sigma: noise standard deviation of human data.
        sigma_generated: noise standard deviation of generated data.
        history: "latest" or "accumulate".
        truths: theta*_k, shape (K, d).
        truth_public: theta*_0, shape (d,).
        truth_given: False if the truths are unknown and stand at zero; only unbiased estimates then have a known error.
        training: how an update is computed from generation 1 on.
        network: who reads whom, and when; None where all read one pool in step.
        coordinates: W; None where it is the identity.
    """

    coordinates: Coordinates | None

    @property
    def conditioned(self) -> Conditioned:
        """The specification itself."""
        return self

    @cached_property
    def truths_inside(self) -> Array:
        """theta*_k in these coordinates, shape (K, d); one row repeated with stride zero where all are one."""
        if self.truths.strides[0] == 0:
            return np.broadcast_to(self.inside(self.truths[0]), self.truths.shape)
        return self.inside(self.truths)

    @cached_property
    def truth_public_inside(self) -> Array:
        """theta*_0 in these coordinates, shape (d,)."""
        return self.inside(self.truth_public)

    def inside(self, parameters: Array) -> Array:
        """Return phi = W^{-1} theta.

        Args:
            parameters: theta, shape (..., d).

        Returns:
            The same shape.
        """
        return parameters if self.coordinates is None else parameters @ self.coordinates.inward.T

    def outside(self, parameters: Array) -> Array:
        """Return theta = W phi.

        Args:
            parameters: phi, shape (..., d).

        Returns:
            The same shape.
        """
        return parameters if self.coordinates is None else parameters @ self.coordinates.outward.T

    def outwards(self, gains: Array) -> Array:
        """Return the gains on theta, W F.

        Args:
            gains: F, gains on phi, shape (..., d, d).

        Returns:
            The same shape.
        """
        return gains if self.coordinates is None else self.coordinates.outward @ gains

    def pull_outside(self, adjoints: Array) -> Array:
        """Return adjoints of phi from those of theta = W phi.

        Args:
            adjoints: shape (..., d).

        Returns:
            The same shape.
        """
        return adjoints if self.coordinates is None else adjoints @ self.coordinates.outward

    def pull_outwards(self, adjoints: Array) -> Array:
        """Return adjoints of gains F from those of W F.

        Args:
            adjoints: shape (..., d, d).

        Returns:
            The same shape.
        """
        return adjoints if self.coordinates is None else self.coordinates.outward.T @ adjoints

    def inwards(self, moments: Array) -> Array:
        """Return S W^{-1}, the gain on a moment's own estimate of theta, transposed.

        Args:
            moments: S', the gains on the estimate of phi, transposed, shape (..., d, d).

        Returns:
            W^{-1}' S', the same shape.
        """
        return moments if self.coordinates is None else self.coordinates.inward.T @ moments

    @cached_property
    def rounding(self) -> float:
        """Size of eigenvalues of a Gram matrix, relative to its trace, that may be rounding errors.

        It is that of the least exact of the data. Whitening enlarges errors of features in directions of which little
        is known.
        """
        sources = [self.private, self.public_source, self.generated]
        sources += [] if self.fresh_source is None else [self.fresh_source]
        given = max(each.rounding for each in sources)
        return given if self.coordinates is None else max(given, self.coordinates.rounding)


class Specified(Protocol):
    """An ecosystem with a specification, such as `crossfeed.theory.LinearEcosystem`.

    Functions for users take one and read its specification; what they return keeps it as `ecosystem`.
    """

    @property
    def specification(self) -> Specification:
        """Everything that determines the law of the estimates."""
        ...
