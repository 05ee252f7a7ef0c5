r"""Expected distribution and expected heterozygosity of discrete models that train on each other's outputs.

The heterozygosity of a distribution p is :math:`H = 1 - \sum_x p(x)^2`, the probability that two of its items differ.
Training sets and pools are samples, and a sample of m items from q has the frequencies :math:`\hat q` with

.. math:: \mathrm E\,\langle \hat q, v\rangle = \langle q, v\rangle, \qquad
          \mathrm E\,|\hat q|^2 = |q|^2 + \frac{1 - |q|^2}{m},

so that the expectations of all inner products between models, pools, real data and true distributions obey a closed
linear recursion, whatever the number d of symbols, which enters by the inner products of the true distributions alone.
The recursion is that of `crossfeed.theory.densities` for items that are unit vectors: their second moment is 1, so that
the covariance within a model has the trace 1 - |p|^2. A prior is a constant source, the uniform distribution. It holds
for generation at temperature 1, from :math:`p` itself; :math:`p^{1/\tau}` is not linear in p.

For one entity that reads its own newest model (alpha = 1), :math:`\mathrm E H_t = (1 - 1/n)^{t+1} H`; for one of K
equal ones that draw from one pool of models, :math:`\mathrm E H_t = (1 - 1/n)(1 - 1/(Kn))^t H`.

Source: derived in this text; the first law is that of Wright and Fisher in population genetics (Ewens, Mathematical
Population Genetics I, 2004, Section 1.4).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from crossfeed.theory.discrete import DiscreteEcosystem
from crossfeed.theory.kernels import Array

__all__ = ["DiscreteMoments", "Models", "Sources", "discrete_moments"]


@dataclass(frozen=True)
class DiscreteMoments:
    """Expectations at every generation.

    Attributes:
        ecosystem: the ecosystem.
        parts: coefficients of E p in the true distributions and the uniform one, shape (T + 1, K, K + 2).
        products: E sum_x p_j(x) p_k(x), shape (T + 1, K, K).
    """

    ecosystem: DiscreteEcosystem
    parts: Array
    products: Array

    @property
    def heterozygosity(self) -> Array:
        """E (1 - sum_x p_k(x)^2), shape (T + 1, K)."""
        return np.asarray(1.0 - np.einsum("tkk->tk", self.products))

    def distribution(self, t: int) -> Array:
        """Return every model's expected distribution.

        Args:
            t: the generation, from 0 to T.

        Returns:
            E p_k, shape (K, d).
        """
        return np.asarray(self.parts[t] @ self.ecosystem.constants)

    def squared_distance(self, truths: Array) -> Array:
        """Return the expected squared distance of every model from given distributions.

        Args:
            truths: distributions, shape (M, d).

        Returns:
            E sum_x (p_k(x) - truth_m(x))^2, shape (T + 1, K, M).
        """
        crossed = self.parts @ (self.ecosystem.constants @ truths.T)
        own = np.einsum("tkk->tk", self.products)
        return np.asarray(own[:, :, None] - 2 * crossed + (truths**2).sum(axis=1))

    def total_variation(self, truths: Array) -> Array:
        """Return the total variation of every expected distribution from given ones.

        The expected total variation of a model is larger: the noise of its training sets does not cancel in it.

        Args:
            truths: distributions, shape (M, d).

        Returns:
            sum_x |E p_k(x) - truth_m(x)| / 2, shape (T + 1, K, M).
        """
        found = np.empty((*self.parts.shape[:2], len(truths)))
        for t in range(len(found)):
            expected = self.distribution(t)
            for m, truth in enumerate(truths):
                found[t, :, m] = np.abs(expected - truth).sum(axis=1) / 2
        return found


def discrete_moments(ecosystem: DiscreteEcosystem) -> DiscreteMoments:
    """Compute expectations over all data, real and generated, at every generation.

    Args:
        ecosystem: the ecosystem of discrete models.

    Returns:
        The moments of all models at generations 0, ..., T.

    Source: the recursion in the module's text.
    """
    sources = Sources.real(ecosystem)
    parts, products = [], []
    for t in range(ecosystem.generations + 1):
        models = sources.fit(t)
        parts.append(models.weights @ sources.parts)
        products.append(models.products)
        if t < ecosystem.generations:
            sources = sources.with_pool(t + 1, models)
    return DiscreteMoments(ecosystem, np.stack(parts), np.stack(products))


@dataclass(frozen=True)
class Models:
    """Models of one generation.

    Attributes:
        weights: their weights of the sources, shape (K, S).
        noise: expected squared length of what drawing adds to each, shape (K,).
        products: expected inner products, shape (K, K).
    """

    weights: Array
    noise: Array
    products: Array


@dataclass(frozen=True)
class Sources:
    """Sources: K + 2 constant distributions, K + 1 real data sets, K authors' items, and fresh items; S = 3 K + 4.

    Attributes:
        ecosystem: the ecosystem.
        parts: coefficients of their expected frequencies in the constant ones, shape (S, K + 2).
        products: expected inner products of their frequencies, shape (S, S).
    """

    ecosystem: DiscreteEcosystem
    parts: Array
    products: Array

    @classmethod
    def real(cls, ecosystem: DiscreteEcosystem) -> Sources:
        """Return the sources before anything is published; the pool's weigh nothing and are the public truth.

        Args:
            ecosystem: the ecosystem.

        Returns:
            The sources of generation 0.
        """
        K, constants = ecosystem.entities, ecosystem.constants
        parts = np.eye(K + 2)[[*range(K + 2), *range(K + 1), *[K] * (K + 1)]]
        products = parts @ (constants @ constants.T) @ parts.T
        real = np.arange(K + 2, 2 * K + 3)
        products[real, real] += (1 - products[real, real]) / ecosystem.rows
        return cls(ecosystem, parts, products)

    @property
    def of_pool(self) -> npt.NDArray[np.bool_]:
        """True for sources that are published, shape (S,)."""
        return np.arange(len(self.parts)) >= 2 * self.ecosystem.entities + 3

    def fit(self, t: int) -> Models:
        """Return the models of a generation.

        Args:
            t: the generation, which gives weights and sizes.

        Returns:
            The models.
        """
        eco, K = self.ecosystem, self.ecosystem.entities
        weights = np.zeros((K, len(self.parts)))
        weights[:, K + 2 : 2 * K + 3] = eco.real_weights(t)
        for published in eco.pool_weights(t):  # an author's items stand side by side in one source
            weights[:, 2 * K + 3 : -1] += published.authors
            weights[:, -1] += published.fresh
        kept = eco.kept(t)
        drawn_from = np.einsum("kr,rs,ks->k", weights, self.products, weights, optimize=True)
        noise = kept**2 * (1 - drawn_from) / eco.sizes(t)
        weights *= kept[:, None]
        weights[:, K + 1] += 1 - kept
        return Models(weights, noise, weights @ self.products @ weights.T + np.diag(noise))

    def with_pool(self, t: int, models: Models) -> Sources:
        """Return the sources with what models publish.

        Args:
            t: the generation that it is published for, t >= 1.
            models: the models of the generation before.

        Returns:
            The sources of generation t.
        """
        eco, K = self.ecosystem, self.ecosystem.entities
        newest = 1.0 / t if eco.accumulates else 1.0
        pool = np.arange(2 * K + 3, 3 * K + 4)
        step, noise = np.eye(len(self.parts)), np.zeros(len(self.parts))
        step[pool, pool] = 1 - newest
        step[pool[:-1]] += newest * models.weights
        step[pool[-1], K] += newest
        sampled = (1 - np.diag(models.products)) / eco.published[t]
        noise[pool[:-1]] = newest**2 * (models.noise + sampled)
        noise[pool[-1]] = newest**2 * (1 - self.products[K, K]) / eco.fresh_rows
        return Sources(eco, step @ self.parts, step @ self.products @ step.T + np.diag(noise))
