r"""Exact moments of Gaussian and kernel density models that train on each other's outputs.

**Gaussian models.** Every source s of a training set has a sample mean :math:`\bar x_s` and a sample second moment
:math:`q_s`, and an entity with the weights c fits

.. math:: m = \sum_s c_s \bar x_s, \qquad \Sigma = \kappa \Big( \sum_s c_s q_s - m m' \Big),

with :math:`\kappa = 1` for maximum likelihood. Its published items have the mean :math:`m + e`, where e has covariance
:math:`\Sigma / N` for N items, and the expected second moment :math:`\Sigma + m m'`. So the expectations of all second
moments, and of all products of means, follow a linear recursion, whatever the number of entities, their weights and the
history of the pool; nothing is approximated, and nothing is assumed of the real data except their moments.

Where training sets are n draws, m has noise of covariance C/n besides, with C the covariance of what is drawn from, and
:math:`\Sigma` is the fraction :math:`1 - 1/n` of C (all of it, if unbiased).

With one entity these are known laws. Training on its own newest n items alone ("replace"),
:math:`\mathrm E\,\Sigma_t = (1 - 1/n)^{t+1} \Sigma`; keeping all items ("accumulate"),
:math:`\mathrm E\,\Sigma_t = \prod_{s=1}^{t+1} \big(1 - \tfrac{1}{n s^2}\big) \Sigma`, which tends to
:math:`\Sigma \sin(\pi/\sqrt n) / (\pi/\sqrt n)`. In both, what :math:`\Sigma_t` loses the mean's error gains.

**Kernel density estimates** with a fixed bandwidth h obey the same recursion, with :math:`h^2 I` added to every
:math:`\Sigma`: a model's second moments are those of its points and of the kernel. In expectation its density is the
mixture of its sources' densities, convolved with the kernel, so with one entity second moments about the truth grow by
:math:`h^2` times t + 1 under "replace", and by :math:`h^2 (1 + 1/2 + \dots + 1/(t+1))` under "accumulate".

Reference: the workflows are those of Shumailov et al. (2024, "replace"), Gerstgrasser et al. (2024, "accumulate"),
Alemohammad et al. (2024, fixed and fresh data) and Kazdan et al. (2025, subsampling); see docs/literature.md. The
recursion for K models is derived above and is in none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from crossfeed.theory.kernels import Array

__all__ = ["DensityEcosystem", "DensityMoments", "density_moments"]

_MOMENTS: Final = ("mean", "covariance", "products")


@dataclass(frozen=True)
class DensityEcosystem:
    """An ecosystem of density models that train on each other's samples.

    Attributes:
        means: means of the real data, shape (K + 1, d); the public data last.
        covariances: covariances of the real data, shape (K + 1, d, d).
        rows: number of items of each real data set, shape (K + 1,).
        alpha: synthetic shares at generations t = 0, ..., T, shape (T + 1, K); 0 at t = 0.
        beta: private shares of the real data, shape (T + 1, K).
        shares: w, the entities' shares of the published items, shape (K,).
        published: number of items that each entity publishes at a generation, shape (K,).
        accumulates: True if the pool keeps every generation, each with the same weight.
        fresh: share of each generation's pool that is fresh public data.
        fresh_rows: number of fresh items of each generation.
        drawn: number of items that are drawn for a training set, shape (T + 1,), or (T + 1, K) where entities differ;
            None if everything is read.
    """

    means: Array
    covariances: Array
    rows: Array
    alpha: Array
    beta: Array
    shares: Array
    published: Array
    accumulates: bool = False
    fresh: float = 0.0
    fresh_rows: float = np.inf
    drawn: Array | None = None

    @property
    def entities(self) -> int:
        """Number K of entities."""
        return len(self.shares)

    @property
    def generations(self) -> int:
        """Last generation T."""
        return len(self.alpha) - 1

    def weights(self, t: int) -> Array:
        """Return each entity's weights of the sources at one generation.

        Args:
            t: the generation, from 0 to T.

        Returns:
            Shape (K, K + 3): the K private data sets, the public data, the pool, and a constant of weight zero.
        """
        alpha, beta, K = self.alpha[t], self.beta[t], self.entities
        real = np.diag((1 - alpha) * beta)
        rest = np.stack([(1 - alpha) * (1 - beta), alpha, np.zeros(K)], axis=1)
        return np.concatenate([real, rest], axis=1)

    def newest(self, t: int) -> float:
        """Return the weight of the newest items in the pool.

        Args:
            t: the generation at which the pool is read, t >= 1.

        Returns:
            One, or 1/t where the pool accumulates.
        """
        return 1.0 / t if self.accumulates else 1.0


@dataclass(frozen=True)
class DensityMoments:
    """Expectations at every generation.

    Attributes:
        mean: E m, shape (T + 1, K, d).
        covariance: E Sigma, the covariance within a model, shape (T + 1, K, d, d).
        products: E m_j m_k', shape (T + 1, K, K, d, d).
    """

    mean: Array
    covariance: Array
    products: Array

    def drift(self, truths: Array) -> Array:
        """Return the second moments of the errors of every entity's mean.

        Args:
            truths: mu, shape (K, d).

        Returns:
            E (m - mu)(m - mu)', shape (T + 1, K, d, d).
        """
        own = np.einsum("tkkab->tkab", self.products)
        cross = self.mean[..., :, None] * truths[:, None, :]
        return np.asarray(own - cross - cross.swapaxes(-1, -2) + truths[:, :, None] * truths[:, None, :])


def density_moments(ecosystem: DensityEcosystem, *, unbiased: bool = False, bandwidth: float = 0.0) -> DensityMoments:
    """Compute expectations over all data, real and generated, at every generation.

    Args:
        ecosystem: the ecosystem of density models.
        unbiased: True if Gaussian models have the unbiased covariance.
        bandwidth: h of kernel density estimates, in the unit of the data; 0 for Gaussian models.

    Returns:
        The moments of all models at generations 0, ..., T.

    Source: derived in the module's text.
    """
    sources, pool = _Sources.real(ecosystem), _Pool(ecosystem)
    steps: list[_Models] = []
    for t in range(ecosystem.generations + 1):
        if t > 0:
            sources = sources.with_pool(*pool.publish(t, sources, steps[-1]))
        step = _fit(ecosystem, t, sources, pool.shrinkage(t) if unbiased else None)
        steps.append(replace(step, covariance=step.covariance + bandwidth**2 * np.eye(step.mean.shape[1])))
    mean, covariance, products = (np.array([getattr(each, name) for each in steps]) for name in _MOMENTS)
    return DensityMoments(mean, covariance, products)


@dataclass(frozen=True)
class _Sources:
    """Sources in the order of `DensityEcosystem.weights`; the last is the constant mean of public data, no source.

    Attributes:
        mean: E of their sample means, shape (K + 3, d).
        products: E of the products of their sample means, shape (K + 3, K + 3, d, d).
        raw: E of their sample second moments, shape (K + 3, d, d).
    """

    mean: Array
    products: Array
    raw: Array

    @classmethod
    def real(cls, ecosystem: DensityEcosystem) -> _Sources:
        """Return the sources before anything is published."""
        K, d = ecosystem.entities, ecosystem.means.shape[1]
        mean = np.concatenate([ecosystem.means, np.zeros((1, d)), ecosystem.means[-1:]])
        products = mean[:, None, :, None] * mean[None, :, None, :]
        for source in range(K + 1):
            products[source, source] += ecosystem.covariances[source] / ecosystem.rows[source]
        raw = np.concatenate([_raw(ecosystem), np.zeros((2, d, d))])
        return cls(mean, products, raw)

    def with_pool(self, old: Array, noise: Array, raw: Array) -> _Sources:
        """Return the sources with a pool whose mean combines theirs by `old` (its own old one included), plus noise."""
        pool = len(self.mean) - 2
        products = self.products.copy()
        beside = np.einsum("s,sbij->bij", old, self.products)
        products[pool] = beside
        products[:, pool] = beside.swapaxes(1, 2)
        products[pool, pool] = np.einsum("r,s,rsij->ij", old, old, self.products) + noise
        means, raws = self.mean.copy(), self.raw.copy()
        means[pool], raws[pool] = old @ self.mean, raw
        return _Sources(means, products, raws)


@dataclass(frozen=True)
class _Models:
    """Models of one generation.

    Attributes:
        weights: their weights of the sources, shape (K, K + 3).
        mean: E m, shape (K, d).
        covariance: E Sigma, shape (K, d, d).
        products: E m_j m_k', shape (K, K, d, d).
        noise: covariance of m's noise from drawing, shape (K, d, d).
    """

    weights: Array
    mean: Array
    covariance: Array
    products: Array
    noise: Array


def _fit(ecosystem: DensityEcosystem, t: int, sources: _Sources, shrinkage: Array | None) -> _Models:
    weights = ecosystem.weights(t)
    products = np.einsum("jr,ks,rsab->jkab", weights, weights, sources.products)
    within = np.tensordot(weights, sources.raw, 1) - np.einsum("kkab->kab", products)
    if ecosystem.drawn is None:
        noise = np.zeros_like(within)
        covariance = within if shrinkage is None else within / shrinkage[:, None, None]
    else:
        noise = within / np.reshape(ecosystem.drawn[t], (-1, 1, 1))
        covariance = within - noise if shrinkage is None else within
        for k, own in enumerate(noise):
            products[k, k] += own
    return _Models(weights, weights @ sources.mean, covariance, products, noise)


@dataclass(frozen=True)
class _Pool:
    """The pool of published items."""

    ecosystem: DensityEcosystem

    def publish(self, t: int, sources: _Sources, models: _Models) -> tuple[Array, Array, Array]:
        """Return the sources' weights in the pool's mean, its new noise and its second moment, for `with_pool`."""
        eco, newest = self.ecosystem, self.ecosystem.newest(t)
        authors, pool = (1 - eco.fresh) * eco.shares, len(sources.mean) - 2
        old = newest * (authors @ models.weights)
        old[pool] += 1 - newest
        old[-1] += newest * eco.fresh
        noise = np.tensordot(authors**2 / eco.published, models.covariance, 1)
        noise += np.tensordot(authors**2, models.noise, 1)
        noise += eco.fresh**2 * eco.covariances[-1] / eco.fresh_rows
        own = np.einsum("kkab->kab", models.products)
        raw = np.tensordot(authors, models.covariance + own, 1) + eco.fresh * _raw(eco)[-1]
        return old, newest**2 * noise, newest * raw + (1 - newest) * sources.raw[pool]

    def shrinkage(self, t: int) -> Array:
        """Return 1 - (the sum of all items' squared weights), for each entity, shape (K,)."""
        eco, weights = self.ecosystem, self.ecosystem.weights(t)
        squares = (weights[:, :-2] ** 2) @ (1.0 / eco.rows)
        generations = t if eco.accumulates and t > 0 else 1
        authors = (1 - eco.fresh) * eco.shares
        once = (authors**2 / eco.published).sum() + eco.fresh**2 / eco.fresh_rows
        return np.asarray(1.0 - squares - weights[:, -2] ** 2 * once / generations)


def _raw(ecosystem: DensityEcosystem) -> Array:
    """Return the second moments of the real data, shape (K + 1, d, d)."""
    means = ecosystem.means
    return np.asarray(ecosystem.covariances + means[:, :, None] * means[:, None, :])
