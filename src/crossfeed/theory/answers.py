"""Estimates as functions of the training weights, and the adjoints of these functions: what every gradient is made of.

With the symbols of `crossfeed.theory.consensus` and s_k = (1 - phi) w_k, V = Sbar, an entity answers its data by

    G = p S~ + q S_* + a V,      F = G^+,      T = S F,      D = s p T  (its own data in the pool).

Gram matrices are of phi, theta = B phi (`crossfeed.theory.coordinates`, where B is called W). Read against a pool of
mean m and covariance C, with Cov(x, z) = sigma^2 S~ W' of its own data x and sigma^2 S_* W_*' of the public ones y, an
entity's error is tr(B F M F B') + |B F u - theta*|^2 where

    M = sigma^2 (p^2 S~ + q^2 S_*) + a^2 C + a p sigma^2 (S~ W' + W S~) + a q sigma^2 (S_* W_*' + W_* S_*),
    u = p E x + q E y + a m.

An adjoint (written with a bar) is the derivative of a number J with respect to what it is named after. The rank of G
has to be that of all weights nearby: then dF = -F dG F, also where G is singular.

Arrays hold P settings of the weights of b entities at once: (P, b) and (P, b, d, d).

Reference: Griewank and Walther, Evaluating Derivatives, 2nd ed. (2008), Section 3.2 (the reverse mode).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import add
from typing import NamedTuple

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.graded import grade
from crossfeed.theory.kernels import Array, Mask, WeightedGram, definite_inverse, selected, transposed, uneven
from crossfeed.theory.specification import Conditioned


@dataclass(frozen=True)
class Members:
    """Data of b entities, read once.

    Attributes:
        private: S~, shape (b, d, d).
        generated: S, shape (b, d, d).
        truths: theta*, shape (b, d).
        moments: S~ phi*, the mean of x, shape (b, d).
    """

    private: Array
    generated: Array
    truths: Array
    moments: Array

    @classmethod
    def read(cls, spec: Conditioned, rows: slice) -> Members:
        """Read a run of entities.

        Args:
            spec: the ecosystem's specification.
            rows: slice(start, stop) of entity numbers.

        Returns:
            Their data.

        Raises:
            InvalidInput: if updates are not minimised in full, a block loader returns another shape, or numbers that
                are not finite.
        """
        if not spec.training.is_full:
            raise InvalidInput(
                "derivatives in the weights are those of updates that are minimised in full, and this ecosystem has "
                "steps or a ridge; leave both out, or compare .with_weights(alpha, beta).limit() over a grid of weights"
            )
        private, generated = spec.grams_of(rows)
        moments = np.einsum("bij,bj->bi", private, spec.truths_inside[rows])
        return cls(private, generated, np.asarray(spec.truths[rows]), moments)

    def __len__(self) -> int:
        return len(self.private)


class Mix(NamedTuple):
    """Weights of the sources, and adjoints of them.

    Attributes:
        private: p, shape (P, b).
        public: q, shape (P, b).
        synthetic: a, shape (P, b).
    """

    private: Array
    public: Array
    synthetic: Array

    @classmethod
    def of(cls, alpha: Array, beta: Array) -> Mix:
        """Return the weights that alpha and beta mean.

        Args:
            alpha: synthetic weights, shape (P, b).
            beta: private shares of the real data, shape (P, b).

        Returns:
            p, q and a.

        Source: paper, Section 5.
        """
        real = 1.0 - alpha
        return cls(real * beta, real * (1.0 - beta), alpha)

    def pull_back(self, alpha: Array, beta: Array) -> tuple[Array, Array]:
        """Return the adjoints of alpha and beta, of which this is the adjoint of the weights.

        Args:
            alpha: as in `of`.
            beta: as in `of`.

        Returns:
            Adjoints of alpha and of beta, shape (P, b).
        """
        real = self.private * beta + self.public * (1.0 - beta)
        return self.synthetic - real, (1.0 - alpha) * (self.private - self.public)


class Pool(NamedTuple):
    """A pool as an entity reads it.

    Attributes:
        mean: m, shape (P, d).
        covariance: C, shape (P, d, d).
        public: W_*, shape (P, d, d).
    """

    mean: Array
    covariance: Array
    public: Array


@dataclass(frozen=True)
class Answers:
    """Answers of b entities to their data, under P settings of the weights.

    Attributes:
        members: the entities.
        mix: p, q, a.
        share: s, shape (b,).
        inverse: F, shape (P, b, d, d).
        published: T = S F, shape (P, b, d, d).
        singular: True where G may be singular, shape (P, b).
        faint: True where, besides, one part of G is so light that F may have lost digits of what it decides.
    """

    members: Members
    mix: Mix
    share: Array
    inverse: Array
    published: Array
    singular: Mask
    faint: Mask

    @classmethod
    def of(cls, members: Members, mix: Mix, share: Array, spec: Conditioned) -> Answers:
        """Invert the Gram matrices of the training sets.

        Args:
            members: the entities.
            mix: p, q, a.
            share: s, shape (b,).
            spec: the ecosystem's specification.

        Returns:
            The answers; singular matrices are inverted on their ranges.

        Raises:
            InvalidInput: if matrices are so near to singular ones that rounding decides.
        """
        lead, d = mix.private.shape, spec.dimension
        stack = np.broadcast_to(members.private, (*lead, d, d)).reshape(-1, d, d)
        weights = (np.broadcast_to(each, lead).ravel() for each in mix)
        parts = list(zip(weights, (stack, spec.public, spec.pool_gram), strict=True))
        inverse, suspect = _inverted(parts, spec.rounding)
        faint = suspect
        if suspect.any():
            doubtful = selected(parts, suspect)
            inverse[suspect], faint = grade(doubtful, spec.rounding).inverse(), suspect.copy()
            faint[suspect] = uneven(doubtful)
        inverse = inverse.reshape(*lead, d, d)
        published = members.generated @ inverse
        return cls(members, mix, share, inverse, published, suspect.reshape(lead), faint.reshape(lead))

    def doubtful(self, spec: Conditioned) -> Mask:
        """Tell answers whose errors are left to a slower way: those of lost digits, and of a bias that is not known.

        Args:
            spec: the ecosystem's specification.

        Returns:
            Shape (P, b).
        """
        # Where G is singular the shortest estimate is meant, and that of phi is another one than that of theta.
        return self.faint if spec.truth_given and spec.coordinates is None else self.singular

    def own_gain(self) -> Array:
        """Return the gain of each entity's data on what is published next.

        Returns:
            D = s p T, shape (P, b, d, d).
        """
        return (self.share * self.mix.private)[..., None, None] * self.published


def _inverted(parts: Sequence[WeightedGram], rounding: float) -> tuple[Array, Mask]:
    """Invert a stack by Cholesky factorization; one matrix that has none does not cost the others theirs."""
    inverse, suspect, _ = definite_inverse(parts, rounding)
    count = len(suspect)
    if count == 1 or not suspect.all():
        return inverse, suspect
    rows = np.arange(count) < count // 2
    halves = [_inverted(selected(parts, each), rounding) for each in (rows, ~rows)]
    return np.concatenate([half[0] for half in halves]), np.concatenate([half[1] for half in halves])


class Readout(NamedTuple):
    """Errors of b entities, and what their adjoint needs.

    Attributes:
        mse: shape (P, b).
        middle: M, shape (P, b, d, d).
        moment: u, shape (P, b, d).
        mean: B F u, shape (P, b, d).
        carried: S~ W', shape (P, b, d, d).
    """

    mse: Array
    middle: Array
    moment: Array
    mean: Array
    carried: Array


def read_out(answers: Answers, spec: Conditioned, pool: Pool, gains: Array | None) -> Readout:
    """Return the errors of entities that read a pool.

    Args:
        answers: how they answer their data.
        spec: the ecosystem's specification.
        pool: what they read.
        gains: W, the gain of each entity's own data on the pool, shape (P, b, d, d); None for none.

    Returns:
        Their errors.
    """
    (p, q, a), F, members = answers.mix, answers.inverse, answers.members
    variance, private = spec.sigma**2, members.private
    carried = np.zeros_like(F) if gains is None else private @ transposed(gains)
    tied = pool.public @ spec.public
    middle = _times(variance * p**2, private)
    middle = middle + _times(variance * q**2, spec.public) + _times(a**2, pool.covariance[:, None])
    middle += _times(variance * a * p, carried + transposed(carried))
    middle += _times(variance * a * q, (tied + transposed(tied))[:, None])
    outward = spec.outwards(F)
    spread = ((outward @ middle) * outward).sum(axis=(-2, -1))
    moment = p[..., None] * members.moments + q[..., None] * (spec.public @ spec.truth_public_inside)
    moment = moment + a[..., None] * pool.mean[:, None]
    mean = spec.outside((F @ moment[..., None])[..., 0])
    off = mean - members.truths
    return Readout(spread + (off**2).sum(axis=-1), middle, moment, mean, carried)


def _times(weight: Array, matrices: Array) -> Array:
    product: Array = weight[..., None, None] * matrices
    return product


@dataclass(frozen=True)
class Pulled:
    """Adjoints of a number with respect to what the entities' errors are read from.

    Attributes:
        mix: of p, q, a as they stand in M and u, shape (P, b) each.
        inverse: of F, shape (P, b, d, d).
        own: of W, up to the factor sigma^2 from the right S~: the adjoint is `own` S~, shape (P, b, d, d).
        pool: of the pool: mean (P, d), covariance (P, d, d) and W_* (P, d, d), summed over the entities.
    """

    mix: Mix
    inverse: Array
    own: Array
    pool: Pool

    def plus(self, other: Pulled) -> Pulled:
        """Return the adjoints of the sum of two numbers.

        Args:
            other: adjoints of the other number.

        Returns:
            The sum.
        """
        mix, pool = Mix(*map(add, self.mix, other.mix)), Pool(*map(add, self.pool, other.pool))
        return Pulled(mix, self.inverse + other.inverse, self.own + other.own, pool)


def pull_errors(answers: Answers, spec: Conditioned, pool: Pool, read: Readout, weight: Array) -> Pulled:
    """Return the adjoints of sum_k c_k MSE_k.

    Args:
        answers: how the entities answer their data.
        spec: the ecosystem's specification.
        pool: what they read.
        read: their errors.
        weight: c, shape (P, b).

    Returns:
        The adjoints.
    """
    (p, q, a), F, private = answers.mix, answers.inverse, answers.members.private
    outward = spec.outwards(F)
    variance, square, tied = spec.sigma**2, transposed(outward) @ outward, pool.public @ spec.public
    met = (private, spec.public, pool.covariance[:, None])
    own, public, shared = ((square * each).sum(axis=(-2, -1)) for each in met)
    carried, mixed = (2 * (square * each).sum(axis=(-2, -1)) for each in (read.carried, tied[:, None]))
    spread = Pulled(
        mix=Mix(
            weight * variance * (2 * p * own + a * carried),
            weight * variance * (2 * q * public + a * mixed),
            weight * (2 * a * shared + variance * (p * carried + q * mixed)),
        ),
        inverse=_times(2.0 * weight, spec.pull_outwards(outward @ read.middle)),
        own=_times(2.0 * variance * weight * a * p, square),
        pool=Pool(
            mean=np.zeros_like(pool.mean),
            covariance=_times(weight * a**2, square).sum(axis=1),
            public=_times(2.0 * variance * weight * a * q, square).sum(axis=1) @ spec.public,
        ),
    )
    off = 2.0 * weight[..., None] * (read.mean - answers.members.truths)
    return spread.plus(pull_means(answers, spec, pool, read, off))


def pull_means(answers: Answers, spec: Conditioned, pool: Pool, read: Readout, off: Array) -> Pulled:
    """Carry adjoints of the mean estimates B F u back.

    Args:
        answers: how the entities answer their data.
        spec: the ecosystem's specification.
        pool: what they read.
        read: their errors.
        off: adjoints of B F u, shape (P, b, d).

    Returns:
        The adjoints.
    """
    off, zero = spec.pull_outside(off), np.zeros(())
    back = (answers.inverse @ off[..., None])[..., 0]
    mix = Mix(
        (back * answers.members.moments).sum(axis=-1),
        back @ (spec.public @ spec.truth_public_inside),
        (back * pool.mean[:, None]).sum(axis=-1),
    )
    inverse = off[..., :, None] * read.moment[..., None, :]
    return Pulled(mix, inverse, zero, Pool((answers.mix.synthetic[..., None] * back).sum(axis=1), zero, zero))


class PulledMix(NamedTuple):
    """Adjoints of a number with respect to all that an entity's answer is made of.

    Attributes:
        mix: of p, q, a, shape (P, b) each.
        share: of s, shape (P, b).
        pool_gram: of V, shape (P, d, d), summed over the entities.
    """

    mix: Mix
    share: Array
    pool_gram: Array


class PulledStep(NamedTuple):
    """Adjoints with respect to one step of the pool.

    Attributes:
        matrix: of A, shape (P, d, d).
        public: of D_*, shape (P, d, d).
        own: of D, shape (P, b, d, d).
    """

    matrix: Array
    public: Array
    own: Array


def pull_answers(
    answers: Answers, spec: Conditioned, pool_gram: Array, read: Pulled | None, step: PulledStep | None
) -> PulledMix:
    """Carry adjoints of F, of the weights and of the pool's step back to the weights.

    Args:
        answers: how the entities answer their data.
        spec: the ecosystem's specification.
        pool_gram: V, shape (d, d).
        read: adjoints of the errors that are read at this generation; None where none are.
        step: adjoints of the step to the next pool; None where there is none.

    Returns:
        The adjoints of the weights, shares and V.
    """
    (p, q, a), F, members = answers.mix, answers.inverse, answers.members
    mix = [np.zeros(p.shape)] * 3 if read is None else list(read.mix)
    inverse, share = np.zeros(()) if read is None else read.inverse, np.zeros(p.shape)
    if step is not None:
        terms = [step.own, step.public[:, None], step.matrix[:, None]]
        products = [(each * answers.published).sum(axis=(-2, -1)) for each in terms]
        mix = [old + answers.share * new for old, new in zip(mix, products, strict=True)]
        share = p * products[0] + q * products[1] + a * products[2]
        published = _times(answers.share * p, terms[0]) + _times(answers.share * q, terms[1])
        published += _times(answers.share * a, terms[2])
        inverse = inverse + members.generated @ published
    gram = -(F @ inverse @ F)
    mix = [
        old + (gram * each).sum(axis=(-2, -1))
        for old, each in zip(mix, (members.private, spec.public, pool_gram), strict=True)
    ]
    summed = _times(a, gram).sum(axis=1)
    return PulledMix(Mix(*mix), share, (summed + transposed(summed)) / 2)
