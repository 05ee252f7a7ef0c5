r"""Exact moments of Gaussian and kernel density models that train on each other's outputs.

**Gaussian models.** Every source s of a training set has a sample mean :math:`\bar x_s` and a sample second moment
:math:`q_s`, and an entity with the weights c fits

.. math:: m = \sum_s c_s \bar x_s, \qquad \Sigma = \kappa \Big( \sum_s c_s q_s - m m' \Big),

with :math:`\kappa = 1` for maximum likelihood. What it publishes has the mean :math:`m + e`, where e has covariance
:math:`\Sigma / N` for N items, and the expected second moment :math:`\Sigma + m m'`. So the expectations of all second
moments, and of all products of means, follow a linear recursion, whatever the number of entities, their weights and the
history of the pool; nothing is approximated, and nothing is assumed of the real data but their moments.

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
    """Who trains on what.

    Attributes:
        means: Of the real data, shape (K + 1, d); the public data last.
        covariances: Of the real data, shape (K + 1, d, d).
        rows: How many items each real data set has, shape (K + 1,).
        alpha: Synthetic shares at generations t = 0, ..., T, shape (T + 1, K); 0 at t = 0.
        beta: Private shares of the real data, shape (T + 1, K).
        shares: w, the entities' shares of what is published, shape (K,).
        published: How many items each entity publishes at a generation, shape (K,).
        accumulates: Whether the pool keeps every generation, each with the same weight.
        fresh: Share of each generation's pool that is fresh public data.
        fresh_rows: How many fresh items each generation has.
        drawn: How many items are drawn for a training set, shape (T + 1,); None if everything is read.
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
        """K."""
        return len(self.shares)

    @property
    def generations(self) -> int:
        """T."""
        return len(self.alpha) - 1

    def weights(self, t: int) -> Array:
        """Each entity's weights of all private data, the public data, the pool and nothing, shape (K, K + 3)."""
        alpha, beta, K = self.alpha[t], self.beta[t], self.entities
        real = np.diag((1 - alpha) * beta)
        rest = np.stack([(1 - alpha) * (1 - beta), alpha, np.zeros(K)], axis=1)
        return np.concatenate([real, rest], axis=1)

    def newest(self, t: int) -> float:
        """The weight of generation t's items in the pool that is read at t >= 1."""
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
        """E (m - mu)(m - mu)' of each entity, for the truths mu of shape (K, d); shape (T + 1, K, d, d)."""
        own = np.einsum("tkkab->tkab", self.products)
        cross = self.mean[..., :, None] * truths[:, None, :]
        return np.asarray(own - cross - cross.swapaxes(-1, -2) + truths[:, :, None] * truths[:, None, :])


def density_moments(exchange: DensityEcosystem, *, unbiased: bool = False, bandwidth: float = 0.0) -> DensityMoments:
    """Expectations over all data, real and generated; see the module.

    Args:
        exchange: Who trains on what.
        unbiased: Whether Gaussian models have the unbiased covariance.
        bandwidth: h of kernel density estimates; 0 for Gaussian models.
    """
    sources, pool = _Sources.real(exchange), _Pool(exchange)
    steps: list[_Models] = []
    for t in range(exchange.generations + 1):
        if t > 0:
            sources = sources.with_pool(*pool.publish(t, sources, steps[-1]))
        step = _fit(exchange, t, sources, pool.shrinkage(t) if unbiased else None)
        steps.append(replace(step, covariance=step.covariance + bandwidth**2 * np.eye(step.mean.shape[1])))
    mean, covariance, products = (np.array([getattr(each, name) for each in steps]) for name in _MOMENTS)
    return DensityMoments(mean, covariance, products)


@dataclass(frozen=True)
class _Sources:
    """Sources in the order of `DensityEcosystem.weights`; the last is no source but the constant mean of public data.

    Attributes:
        mean: E of their sample means, shape (K + 3, d).
        products: E of the products of their sample means, shape (K + 3, K + 3, d, d).
        raw: E of their sample second moments, shape (K + 3, d, d).
    """

    mean: Array
    products: Array
    raw: Array

    @classmethod
    def real(cls, exchange: DensityEcosystem) -> _Sources:
        """Before anything is published."""
        K, d = exchange.entities, exchange.means.shape[1]
        mean = np.concatenate([exchange.means, np.zeros((1, d)), exchange.means[-1:]])
        products = mean[:, None, :, None] * mean[None, :, None, :]
        for source in range(K + 1):
            products[source, source] += exchange.covariances[source] / exchange.rows[source]
        raw = np.concatenate([_raw(exchange), np.zeros((2, d, d))])
        return cls(mean, products, raw)

    def with_pool(self, old: Array, noise: Array, raw: Array) -> _Sources:
        """With a pool whose mean is a combination of the sources' (`old`, with the pool's own), plus noise."""
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
        weights: Their weights of the sources, shape (K, K + 3).
        mean: E m, shape (K, d).
        covariance: E Sigma, shape (K, d, d).
        products: E m_j m_k', shape (K, K, d, d).
        noise: Covariance of what drawing adds to m, shape (K, d, d).
    """

    weights: Array
    mean: Array
    covariance: Array
    products: Array
    noise: Array


def _fit(exchange: DensityEcosystem, t: int, sources: _Sources, shrinkage: Array | None) -> _Models:
    weights = exchange.weights(t)
    products = np.einsum("jr,ks,rsab->jkab", weights, weights, sources.products)
    within = np.tensordot(weights, sources.raw, 1) - np.einsum("kkab->kab", products)
    if exchange.drawn is None:
        noise = np.zeros_like(within)
        covariance = within if shrinkage is None else within / shrinkage[:, None, None]
    else:
        noise = within / exchange.drawn[t]
        covariance = within - noise if shrinkage is None else within
        for k, own in enumerate(noise):
            products[k, k] += own
    return _Models(weights, weights @ sources.mean, covariance, products, noise)


@dataclass(frozen=True)
class _Pool:
    exchange: DensityEcosystem

    def publish(self, t: int, sources: _Sources, models: _Models) -> tuple[Array, Array, Array]:
        """How the pool's mean comes about, its new noise, and its second moment; for `_Sources.with_pool`."""
        given, newest = self.exchange, self.exchange.newest(t)
        authors, pool = (1 - given.fresh) * given.shares, len(sources.mean) - 2
        old = newest * (authors @ models.weights)
        old[pool] += 1 - newest
        old[-1] += newest * given.fresh
        noise = np.tensordot(authors**2 / given.published, models.covariance, 1)
        noise += np.tensordot(authors**2, models.noise, 1)
        noise += given.fresh**2 * given.covariances[-1] / given.fresh_rows
        own = np.einsum("kkab->kab", models.products)
        raw = np.tensordot(authors, models.covariance + own, 1) + given.fresh * _raw(given)[-1]
        return old, newest**2 * noise, newest * raw + (1 - newest) * sources.raw[pool]

    def shrinkage(self, t: int) -> Array:
        """1 - (the sum of all items' squared weights), for each entity."""
        given, weights = self.exchange, self.exchange.weights(t)
        squares = (weights[:, :-2] ** 2) @ (1.0 / given.rows)
        generations = t if given.accumulates and t > 0 else 1
        authors = (1 - given.fresh) * given.shares
        once = (authors**2 / given.published).sum() + given.fresh**2 / given.fresh_rows
        return np.asarray(1.0 - squares - weights[:, -2] ** 2 * once / generations)


def _raw(exchange: DensityEcosystem) -> Array:
    """Second moments of the real data, shape (K + 1, d, d)."""
    means = exchange.means
    return np.asarray(exchange.covariances + means[:, :, None] * means[:, None, :])
