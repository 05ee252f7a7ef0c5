"""An ecosystem of linear models that train on each other's outputs, with everything that is known of it exactly.

`LinearEcosystem` reads and validates a description, holds it as a `crossfeed.theory.specification.Specification`
(whose module defines the model and its symbols) and hands that to the solvers of this folder.

Reference: Vu, Reeves, Wenger, "What happens when generative AI models train recursively on each other's outputs?",
ICLR 2026 ("the paper"), Section 5.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.checks import noise_level, public_truth, share_vector, truth_vectors
from crossfeed.theory.choices import Weights
from crossfeed.theory.collapse import collapses
from crossfeed.theory.efficiency import relative_efficiency
from crossfeed.theory.grams import Grams
from crossfeed.theory.kernels import Array
from crossfeed.theory.limit import Limit, limit_of
from crossfeed.theory.moments import trajectory
from crossfeed.theory.network import GeneratedAt, Network, Order, Stale
from crossfeed.theory.readouts import Moments
from crossfeed.theory.sources import PerEntity, feature_source, gram_source, one_feature_gram, one_gram
from crossfeed.theory.specification import History, Specification, known_history
from crossfeed.theory.training import Start, Training
from crossfeed.theory.weights import SourceWeights, TrainingWeights, Weight, WeightSchedule, fresh_share


class Options(TypedDict, total=False):
    """Arguments of `LinearEcosystem` that do not depend on how the data are given; see there for their shapes.

    Attributes:
        alpha: synthetic weight.
        beta: private share of the real data.
        initial_beta: beta at generation 0.
        shares: each entity's share of the published pool.
        sigma: noise of human data.
        sigma_generated: noise of generated data.
        fresh_fraction: weight of fresh human rows in the pool.
        history: "latest" or "accumulate".
        truths: coefficients that each entity's private labels follow.
        truth_public: coefficients that public and fresh labels follow.
        steps: gradient steps of an update.
        rate: size of a step.
        ridge: penalty of the estimates.
        start: where an update begins.
        reads: weight of each author for each reader, in place of shares.
        every: clocks' periods.
        phase: clocks' phases.
        probability: probability of a training that the clock allows.
        stale: "keep" or "drop".
        order: "together" or "sequential".
        arrives: first generations.
        leaves: last generations.
        generated_at: Gram matrices of the rows published at a generation.
    """

    alpha: Weight
    beta: Weight
    initial_beta: npt.ArrayLike | None
    shares: npt.ArrayLike | None
    sigma: float
    sigma_generated: float | None
    fresh_fraction: float | None
    history: History
    truths: npt.ArrayLike | None
    truth_public: npt.ArrayLike | None
    steps: int | None
    rate: float | None
    ridge: float
    start: Start
    reads: object
    every: npt.ArrayLike
    phase: npt.ArrayLike
    probability: npt.ArrayLike
    stale: Stale
    order: Order
    arrives: npt.ArrayLike | None
    leaves: npt.ArrayLike | None
    generated_at: GeneratedAt | None


class LinearEcosystem:
    """A linear ecosystem; it does not change after construction.

    Arrays are read, not copied: do not write to them afterwards.

    Args:
        private: Gram matrices S~ of shape (K, d, d), or a function (start, stop) returning those of entities
            start..stop-1, called once per block and pass (it must return the same numbers every time).
        public: S_*, shape (d, d).
        generated: Gram matrices of the rows each entity publishes, as `private`; default: the private ones.
        alpha: synthetic weight: a number, a numpy array (K,) of one for each entity, or a function of the generation
            t >= 1 returning either. (No list: in a description a list holds one number for each generation.)
        beta: private share of the real data, likewise; also evaluated at t = 0 unless `initial_beta` is given.
        initial_beta: beta at generation 0: a number or (K,).
        shares: w, shape (K,), summing to one: each entity's share of the published pool; default: 1/K each.
        sigma: noise standard deviation of human data, private, public and fresh.
        sigma_generated: noise standard deviation of generated data; default: `sigma`; 0 is greedy decoding.
        fresh: S_F, shape (d, d): Gram of the fresh human rows in each newly collected pool.
        fresh_fraction: phi, weight of the fresh human rows in the pool, in [0, 1]; needed where `fresh` is given.
        history: "latest" trains on the newest generation only, "accumulate" on all generations so far.
        truths: theta*_k, shape (K, d): the parameters that each entity's private labels follow; default:
            `truth_public` for all.
        truth_public: theta*_0, shape (d,): the parameter that public and fresh labels follow; default: zero.
        entities: K; needed only when `private` is a function.
        steps: gradient steps of each update from generation 1 on; default: updates are minimised in full.
        rate: size of a step, in units of one over the Gram matrices' eigenvalues; needed with `steps`.
        ridge: lambda >= 0, in units of the Gram matrices' eigenvalues: every estimate minimises its weighted squared
            loss plus lambda |theta|^2, at generation 0 too, or takes its steps towards that minimum.
        start: where steps begin: "previous" (at the model of the generation before), "base" (at zero) or "own" (at the
            entity's model of generation 0).
        reads: weights of the authors for each reader, in place of `shares`: W of shape (K, K), whose row k holds the
            weight of every author for reader k; a pair (C, R) of shapes (K, r) and (r, K) with W = C R; or a sparse
            array. Rows sum to one.
        every: entity k trains at generation 0 and at generations t with t = phase_k modulo every_k; whole numbers >= 1,
            one or (K,). What a model generates is published once, at the generation after its training.
        phase: likewise.
        probability: with which an entity trains where its clock says so, by independent coins: in (0, 1], one or (K,).
        stale: "keep": texts stay in the pool until their author publishes again; "drop": they are there at the
            generation of publication alone, and weights of authors who have none are dealt to the others.
        order: "together", or "sequential": within a generation entities train in turn 0, 1, ..., and each reads what
            those before it have just published.
        arrives: first generation of each entity, at which it trains its first model on that generation's data; (K,).
        leaves: last generation of each entity, (K,); 10^9 or later is never.
        generated_at: function of the generation t >= 1 returning the Gram matrices (K, d, d) of the rows published at
            it, in place of `generated`: of what models label that were trained at t - 1 (also where they train in turn,
            and some read that at t - 1 already).

    Attributes:
        specification: the validated description, which the solvers take.

    Raises:
        InvalidInput: naming the argument, what was received and what to give.

    Source: paper, Section 5 (training workflow).
    """

    def __init__(
        self,
        private: PerEntity,
        public: npt.ArrayLike | Grams,
        generated: PerEntity | None = None,
        alpha: Weight = 0.5,
        beta: Weight = 0.5,
        initial_beta: npt.ArrayLike | None = None,
        shares: npt.ArrayLike | None = None,
        sigma: float = 1.0,
        sigma_generated: float | None = None,
        fresh: npt.ArrayLike | Grams | None = None,
        fresh_fraction: float | None = None,
        history: History = "latest",
        truths: npt.ArrayLike | None = None,
        truth_public: npt.ArrayLike | None = None,
        entities: int | None = None,
        reads: object = None,
        every: npt.ArrayLike = 1,
        phase: npt.ArrayLike = 0,
        probability: npt.ArrayLike = 1.0,
        stale: Stale = "keep",
        order: Order = "together",
        arrives: npt.ArrayLike | None = None,
        leaves: npt.ArrayLike | None = None,
        generated_at: GeneratedAt | None = None,
        *,
        steps: int | None = None,
        rate: float | None = None,
        ridge: float = 0.0,
        start: Start = "previous",
    ) -> None:
        public_gram = one_gram(public, "public")
        d = public_gram.dimension
        source = gram_source(private, "private", entities, d)
        K, weights = source.entities, share_vector(shares, source.entities)
        network = Network.read(
            K, weights, reads, every, phase, probability, stale, order, arrives, leaves, generated_at,
            shares_given=shares is not None, accumulate=history == "accumulate",
        )  # fmt: skip
        training = Training.read(steps, rate, ridge, start)
        if network is not None and not training.is_full:
            raise InvalidInput(
                "steps and ridge are solved for one pool in step, with the same rows at all generations: with reads, "
                "clocks, turns, arrivals or generated_at give neither"
            )
        self.specification = Specification(
            private=source,
            public_source=public_gram,
            generated=source if generated is None else gram_source(generated, "generated", K, d),
            fresh_source=None if fresh is None else one_gram(fresh, "fresh", d),
            fresh_fraction=fresh_share(fresh_fraction, given=fresh is not None),
            weights=TrainingWeights.read(alpha, beta, initial_beta, K),
            shares=weights,
            sigma=noise_level(sigma, "sigma"),
            sigma_generated=noise_level(sigma if sigma_generated is None else sigma_generated, "sigma_generated"),
            history=known_history(history),
            truths=truth_vectors(truths, truth_public, K, d),
            truth_public=public_truth(truth_public, d),
            truth_given=truth_public is not None,
            training=training,
            network=network,
        )

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
        d = public_gram.dimension
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
        other.specification = self.specification.with_weights(alpha, beta)
        return other

    def with_choice(self, weights: Weights, fresh: npt.ArrayLike | None = None) -> LinearEcosystem:
        """Return the same ecosystem under other weights, shares and another fresh fraction.

        Args:
            weights: what was chosen.
            fresh: S_F, shape (d, d), where the ecosystem has no fresh data; default: as it is.

        Returns:
            An ecosystem that shares this one's data.

        Raises:
            InvalidInput: as the constructor.
        """
        other, spec = copy.copy(self), self.specification
        if fresh is not None:
            spec = replace(spec, fresh_source=one_gram(fresh, "fresh", self.dimension))
        fresh_share(weights.fresh_fraction, given=spec.fresh is not None)
        share_vector(weights.shares, self.entities)
        other.specification = weights.set_in(spec)
        return other

    def moments(self, generations: Sequence[int] | npt.ArrayLike) -> Moments:
        """Return the mean, covariance and errors of every entity's estimate at the requested generations.

        Args:
            generations: whole numbers >= 0, in any order.

        Returns:
            Read-outs with n = len(generations) as the first axis.

        Raises:
            InvalidInput: if `generations` is empty or holds anything but whole numbers >= 0.

        Source: paper, Theorems 1 and 2.
        """
        return trajectory(self, generations)

    def limit(self) -> Limit:
        """Return the limit t -> infinity, or the statement that there is none with its growth.

        Returns:
            The limit; its `converges` is True where it exists.

        Raises:
            InvalidInput: if alpha or beta is a function of the generation.

        Source: paper, Theorem 3.
        """
        return limit_of(self)

    def relative_efficiency(self) -> Array:
        """Return the limiting efficiency of each entity; see `crossfeed.theory.efficiency`.

        Returns:
            Shape (K,); one for an entity that loses nothing by never seeing the others' data, zero without a limit.
            Where truths differ it may be above one, and infinite: one estimate for all truths is no ideal then.

        Raises:
            InvalidInput: if alpha or beta is a function of the generation.

        Source: paper, Section 5, Figure 2.
        """
        return relative_efficiency(self)

    def collapses(self) -> tuple[tuple[int, ...], ...]:
        """Return the closed classes of readers that no real or fresh data reach; see `crossfeed.theory.collapse`.

        Returns:
            The entities of each class, in order; empty where data reach everybody. A class's errors grow without bound
            if generated data have noise.

        Raises:
            InvalidInput: if alpha or beta is a function of the generation.

        Reference: DeGroot, Reaching a consensus, J. Amer. Statist. Assoc. 69 (1974).
        """
        return collapses(self)

    def influence(self, generations: Sequence[int] | npt.ArrayLike) -> Array:
        """Return the share of each entity's expected prediction that comes from each source.

        Args:
            generations: whole numbers >= 0.

        Returns:
            Shape (n, K, K + 1), private sources first, public last; rows sum to one, or are zero for an entity that has
            learnt from no source (see `crossfeed.theory.influence`). The norms that they are shares of are
            `Moments.gain_norms`.

        Raises:
            InvalidInput: as `moments`.

        Source: paper, Theorem 1; the shares are not in the paper.
        """
        return self.moments(generations).influence

    @property
    def entities(self) -> int:
        """Number K of entities."""
        return self.specification.entities

    @property
    def dimension(self) -> int:
        """Dimension d of the parameters."""
        return self.specification.dimension

    @property
    def private(self) -> Grams:
        """Gram matrices S~ of the private data, one (d, d) per entity."""
        return self.specification.private

    @property
    def public(self) -> Array:
        """S_*, shape (d, d)."""
        return self.specification.public

    @property
    def public_source(self) -> Grams:
        """S_*, as a source of one matrix; it has the features, where those were given."""
        return self.specification.public_source

    @property
    def fresh_source(self) -> Grams | None:
        """S_F, as a source of one matrix; None without fresh data."""
        return self.specification.fresh_source

    @property
    def generated(self) -> Grams:
        """Gram matrices S of the published rows, one (d, d) per entity."""
        return self.specification.generated

    @property
    def fresh(self) -> Array | None:
        """S_F, shape (d, d); None without fresh data."""
        return self.specification.fresh

    @property
    def fresh_gram(self) -> Array:
        """S_F, shape (d, d); zero without fresh data."""
        return self.specification.fresh_gram

    @property
    def fresh_fraction(self) -> float:
        """Weight phi of the fresh human rows in the pool, in [0, 1]."""
        return self.specification.fresh_fraction

    @property
    def alpha(self) -> WeightSchedule:
        """Synthetic weight over the generations."""
        return self.specification.weights.alpha

    @property
    def beta(self) -> WeightSchedule:
        """Private share of the real data over the generations."""
        return self.specification.weights.beta

    @property
    def constant(self) -> bool:
        """True if alpha and beta are the same at every generation t >= 1."""
        return self.specification.weights.constant

    @property
    def shares(self) -> Array:
        """Each entity's share w of the published pool, shape (K,), or (1,) where they are equal."""
        return self.specification.shares

    @property
    def network(self) -> Network | None:
        """The network of readers and their clocks; None where all read one pool in step."""
        return self.specification.network

    @property
    def sigma(self) -> float:
        """Noise standard deviation of human data."""
        return self.specification.sigma

    @property
    def sigma_generated(self) -> float:
        """Noise standard deviation of generated data."""
        return self.specification.sigma_generated

    @property
    def history(self) -> History:
        """Generations that the pool holds: "latest" or "accumulate"."""
        return self.specification.history

    @property
    def truths(self) -> Array:
        """Parameters theta*_k that private labels follow, shape (K, d)."""
        return self.specification.truths

    @property
    def truth_public(self) -> Array:
        """Parameter theta*_0 that public and fresh labels follow, shape (d,)."""
        return self.specification.truth_public

    @property
    def truth_given(self) -> bool:
        """True if the truths were given; without them only unbiased estimates have a known error."""
        return self.specification.truth_given

    @property
    def training(self) -> Training:
        """The rule of updates: steps, their size, where they begin, and the ridge."""
        return self.specification.training

    @property
    def pool_gram(self) -> Array:
        """Sbar = (1 - phi) sum_j w_j S_j + phi S_F, shape (d, d)."""
        return self.specification.pool_gram

    @property
    def pool_noise(self) -> Array:
        """Covariance N of one generation's label noise in z_t, shape (d, d)."""
        return self.specification.pool_noise

    def weights_at(self, generation: int) -> SourceWeights:
        """Return the weights of the three sources at a generation; the synthetic one is zero at generation 0.

        Args:
            generation: t >= 0.

        Returns:
            p, q and a, each of shape (1,) or (K,).

        Raises:
            InvalidInput: if a schedule's function returns anything but fractions.
        """
        return self.specification.weights.at(generation)

    def shares_of(self, rows: slice) -> Array:
        """Return the weight (1 - phi) w_j of each entity's rows in the pool, for one block of entities.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            Shape (1,) or (stop - start,).
        """
        return self.specification.shares_of(rows)

    def grams_of(self, rows: slice) -> tuple[Array, Array]:
        """Read the private and generated Gram matrices of one block of entities.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            S~ and S, each of shape (stop - start, d, d).

        Raises:
            InvalidInput: if a block loader returns another shape, or numbers that are not finite.
        """
        return self.specification.grams_of(rows)
