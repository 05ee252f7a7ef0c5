"""Dispersion of the entities' estimates, from differences of their gains, and its adjoint.

With gains A_k = a B F_k on the pool z, B_k = q B F_k on the public data and E_k = p B F_k on the entity's own data x_k,
and P, U their means over the K entities,

    sum_k E|theta_k - mean theta|^2 = sum_k E|(A_k - P) z + (B_k - U) y + E_k x_k - mean_j E_j x_j|^2,

and the mean over pairs of E|theta_k - theta_l|^2 ("dispersion") is 2 / (K - 1) times that. Differences of gains keep
their digits where the estimates nearly agree; differences of the errors would not.

Source: own derivation; `crossfeed.theory.answers` has the symbols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from crossfeed.theory.answers import Answers, Mix, Pool, Pulled, Readout, pull_means
from crossfeed.theory.kernels import Array, transposed
from crossfeed.theory.specification import Conditioned


@dataclass(frozen=True)
class _Part:
    """One block's gains beside their means, and the covariances that they meet."""

    answers: Answers
    read: Readout
    met: Pool
    pool: Array
    public: Array
    own: Array
    off: Array
    to_pool: Array
    to_public: Array
    to_own: Array


@dataclass(frozen=True)
class Closeness:
    """The entities beside their mean, at P settings of the weights.

    Attributes:
        parts: blocks of entities.
        specification: the ecosystem's specification.
        value: mean over pairs k != l of E|theta_k - theta_l|^2, shape (P,); zero for one entity.
    """

    parts: Sequence[_Part]
    specification: Conditioned
    value: Array

    @classmethod
    def of(cls, answers: Sequence[Answers], reads: Sequence[Readout], spec: Conditioned, pool: Pool) -> Closeness:
        """Compare all entities with their mean.

        Args:
            answers: blocks of entities, all of them.
            reads: their errors.
            spec: the ecosystem's specification.
            pool: what they read.

        Returns:
            The comparison.
        """
        count = sum(len(each.members) for each in answers)
        gains = [[w[..., None, None] * spec.outwards(each.inverse) for w in each.mix] for each in answers]
        means = [reduce(add, (g[i].sum(axis=1) for g in gains)) / count for i in (1, 2)]
        centre = reduce(add, (read.mean.sum(axis=1) for read in reads)) / count
        parts = [
            _part(each, read, g, means, centre, spec, pool, count)
            for each, read, g in zip(answers, reads, gains, strict=True)
        ]
        total = reduce(add, map(_squared_distance, parts))
        return cls(parts, spec, 2.0 / max(count - 1, 1) * total)

    def pull(self, weight: float | Array) -> list[Pulled]:
        """Return the adjoints of c times the dispersion, block by block.

        Args:
            weight: c, one number or one for each setting, shape (P,).

        Returns:
            One set of adjoints for each block.
        """
        count = sum(len(part.answers.members) for part in self.parts)
        scale = np.reshape(2.0 * np.asarray(weight) / max(count - 1, 1), (-1, 1, 1, 1))
        sums = [reduce(add, (getattr(p, name).sum(axis=1) for p in self.parts)) for name in ("to_public", "to_pool")]
        means = [each[:, None] / count for each in sums]
        return [_pull(part, self.specification, scale, means) for part in self.parts]


def _part(
    answers: Answers, read: Readout, gains: list[Array], means: list[Array], centre: Array,
    spec: Conditioned, pool: Pool, count: int,
) -> _Part:  # fmt: skip
    own, public, shared = gains[0], gains[1] - means[0][:, None], gains[2] - means[1][:, None]
    variance, tied = spec.sigma**2, spec.sigma**2 * spec.public @ transposed(pool.public)
    carried = variance * read.carried
    return _Part(
        answers, read, pool, shared, public, own, read.mean - centre[:, None],
        to_pool=shared @ pool.covariance[:, None] + public @ tied[:, None] + own @ carried,
        to_public=shared @ transposed(tied)[:, None] + variance * public @ spec.public,
        to_own=variance * (1.0 - 1.0 / count) * own @ answers.members.private + shared @ transposed(carried),
    )  # fmt: skip


def _squared_distance(part: _Part) -> Array:
    pairs = ((part.pool, part.to_pool), (part.public, part.to_public), (part.own, part.to_own))
    total: Array = sum((left * right).sum(axis=(1, 2, 3)) for left, right in pairs) + (part.off**2).sum(axis=(1, 2))
    return total


def _pull(part: _Part, spec: Conditioned, scale: Array, means: list[Array]) -> Pulled:
    answers, outward = part.answers, spec.outwards(part.answers.inverse)
    p, q, a = answers.mix
    # The mean estimate moves with every entity, and so do the mean gains.
    public, pool = (
        2.0 * scale * (each - mean) for each, mean in zip((part.to_public, part.to_pool), means, strict=True)
    )
    own = 2.0 * scale * part.to_own
    inverse = spec.pull_outwards(a[..., None, None] * pool + q[..., None, None] * public + p[..., None, None] * own)
    mix = Mix(*((each * outward).sum(axis=(-2, -1)) for each in (own, public, pool)))
    crossed = 2.0 * scale * spec.sigma**2 * transposed(part.pool)
    moved = Pulled(
        mix, inverse, crossed @ part.own,
        Pool(
            np.zeros_like(part.met.mean),
            scale[:, 0] * (transposed(part.pool) @ part.pool).sum(axis=1),
            (crossed @ part.public).sum(axis=1) @ spec.public,
        ),
    )  # fmt: skip
    return moved.plus(pull_means(answers, spec, part.met, part.read, 2.0 * scale[:, 0] * part.off))
