r"""Bounds of the probability that a symbol is still in a discrete model, for any ecosystem and any number of draws.

**At least.** A sample of n items from q lacks a symbol in a way that the Poisson law bounds: with the count X,
:math:`\mathrm E\,e^{-u X / n} = \bigl(1 - q (1 - e^{-u/n})\bigr)^n \le e^{-q\, n (1 - e^{-u/n})}`. So the exponents of
a product of such terms go backwards through models, pools and real data,

.. math:: u \;\mapsto\; n\,(1 - e^{-u/n}), \qquad u_s = \sum_k W_{ks} u_k,

from :math:`u = \infty` (absent) to the true distributions :math:`b_s`, and
:math:`P(x \text{ is absent}) \le \exp(-\sum_s u_s b_s(x))` with the same :math:`u` for every symbol. For one model that
reads its own items alone this is :math:`1 - f_m^{\,n p}` after m samples, with :math:`f_{j+1} = e^{f_j - 1}`,
:math:`f_0 = 0`: extinction of a branching process with Poisson offspring.

**At most.** By Jensen's inequality a model of n draws holds a symbol with at most :math:`1 - (1 - \mathrm E\,p(x))^n`;
one that reads everything, with at most its expected number of copies.

**At most, drift alone.** Where each sample is drawn from the one before (:math:`\alpha = 1`), the frequency f is a
martingale. While :math:`f \le \varepsilon`, convexity gives :math:`-\log(1 - f c) \le f\,\log(1/(1 - \varepsilon
c))/\varepsilon`, so that :math:`e^{-u f}` with :math:`u \mapsto -n \log(1 - \varepsilon (1 - e^{-u/n}))/\varepsilon`
is a submartingale until f exceeds :math:`\varepsilon`, which happens with probability at most :math:`p/\varepsilon`
(Doob). It is then at most :math:`e^{-u \varepsilon}`, and

.. math:: P(x \text{ is absent}) \ge \max_\varepsilon \; e^{-u p} - \min(1, p/\varepsilon)\, e^{-u \varepsilon}.

Reference: the first bound for one model is Theorem 1 of Suresh, Thangaraj and Khandavally, Rate of Model Collapse in
Recursive Training, arXiv 2412.17646 (2024), in the form that its iteration has before it is simplified; for ecosystems
it is derived above, as are both upper bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.discrete import DiscreteEcosystem
from crossfeed.theory.discrete_moments import DiscreteMoments, discrete_moments
from crossfeed.theory.kernels import Array

__all__ = ["Survival", "drift_survival", "lineage_of", "survival_bounds"]

# Thresholds at which the bound by a stopped martingale is tried.
_THRESHOLDS = np.geomspace(1e-4, 0.999, 80)


@dataclass(frozen=True)
class Survival:
    """Bounds of the expected number of symbols that every model holds.

    Attributes:
        lower: at least, shape (T + 1, K).
        upper: at most, shape (T + 1, K).
    """

    lower: Array
    upper: Array


def survival_bounds(ecosystem: DiscreteEcosystem, moments: DiscreteMoments | None = None) -> Survival:
    """Bound the expected number of symbols of positive probability in every model.

    Args:
        ecosystem: the ecosystem, without a prior.
        moments: its moments, if they are known.

    Returns:
        The bounds at generations 0, ..., T.

    Raises:
        InvalidInput: a prior gives every symbol a positive probability.
    """
    if ecosystem.prior > 0:
        raise InvalidInput(f"prior is {ecosystem.prior:g}, so that every symbol survives; give a prior of 0")
    known = discrete_moments(ecosystem) if moments is None else moments
    lower, upper = np.empty(ecosystem.alpha.shape), np.empty(ecosystem.alpha.shape)
    for t in range(ecosystem.generations + 1):
        lower[t] = -np.expm1(-_product(_exponents(ecosystem, t), ecosystem.truths)).sum(axis=1)
        most = _at_most(ecosystem, known, t)
        lineage = lineage_of(ecosystem, t)
        if lineage is not None:
            most = np.minimum(most, drift_survival(ecosystem.truths[0], lineage).upper)
        upper[t] = most.sum(axis=1)
    return Survival(lower, upper)


def drift_survival(probabilities: Array, sizes: Sequence[float]) -> Survival:
    """Bound the probability that symbols survive samples of samples: each is drawn from the one before.

    Args:
        probabilities: p, the true probabilities, shape (d,).
        sizes: sizes of the samples in order, the first drawn from p; infinite ones change nothing.

    Returns:
        Bounds for every symbol, shape (d,).

    Source: the module's text; the lower one is Theorem 1 of Suresh et al. (2024).
    """
    exponent = np.inf
    for n in reversed(sizes):
        exponent = float(_sampled(np.array(exponent), np.array(n)))
    p = np.asarray(probabilities, dtype=np.float64)
    absent = np.zeros_like(p)
    for threshold in _THRESHOLDS:
        u = _stopped(threshold, sizes)
        absent = np.maximum(absent, np.exp(-u * p) - np.minimum(1, p / threshold) * np.exp(-u * threshold))
    return Survival(-np.expm1(-_product(np.array([exponent]), p[None])), 1 - absent)


def lineage_of(ecosystem: DiscreteEcosystem, t: int) -> list[float] | None:
    """Return the samples between the truth and a model, where each is drawn from the one before.

    Args:
        ecosystem: the ecosystem.
        t: the generation, from 0 to T.

    Returns:
        Sizes in order, the same for all models, or None where other data come in or models differ: with one model its
        alpha has to be 1, and with several all have to draw alike from one pool of models (no finite pools).
    """
    eco = ecosystem
    alone = not (eco.alpha[1 : t + 1] < 1).any() and not eco.accumulates and eco.fresh == 0
    if not alone or eco.prior > 0 or not np.array_equal(eco.truths, np.tile(eco.truths[0], (len(eco.truths), 1))):
        return None
    sizes = np.array([eco.sizes(s) for s in range(t + 1)])
    if eco.entities > 1:
        alike = (eco.reads == 1 / eco.entities).all() and (sizes == sizes[:, :1]).all() and np.isfinite(sizes).all()
        if not alike or np.isfinite(eco.rows).any() or np.isfinite(eco.published[1 : t + 1]).any():
            return None
        return [*(float(n) * eco.entities for n in sizes[:-1, 0]), float(sizes[-1, 0])]
    used = eco.real_weights(0)[0] > 0
    if used.all() and np.isfinite(eco.rows).any():
        return None
    first = float(eco.rows[used][0])
    return [first, float(sizes[0, 0])] + [float(n) for s in range(1, t + 1) for n in (eco.published[s, 0], sizes[s, 0])]


def _product(exponents: Array, probabilities: Array) -> Array:
    """Return exponents @ probabilities, where infinity times zero is zero."""
    endless = np.isinf(exponents)
    there = endless.astype(np.float64) @ probabilities > 0
    return np.asarray(np.where(there, np.inf, np.where(endless, 0.0, exponents) @ probabilities))


def _sampled(exponent: Array, size: Array) -> Array:
    """Return n (1 - exp(-u / n)), which is u for endless n and n for endless u."""
    finite = np.where(np.isinf(size), 1.0, size)
    return np.where(np.isinf(size), exponent, -finite * np.expm1(-exponent / finite))


def _stopped(threshold: float, sizes: Sequence[float]) -> float:
    exponent = np.inf
    for n in reversed(sizes):
        if np.isfinite(n):
            exponent = -n * np.log1p(threshold * np.expm1(-exponent / n)) / threshold
    return float(exponent)


def _exponents(eco: DiscreteEcosystem, t: int) -> Array:
    """Return the exponents u of the true distributions for each model of generation t, shape (K, K + 1)."""
    K = eco.entities
    models = {t: np.where(np.eye(K) > 0, np.inf, 0.0)}  # target, author: exponents of models, by generation
    real, fresh = np.zeros((K, K + 1)), np.zeros((K, t + 1))
    pools = np.zeros((t + 1, K, K))
    for s in range(t, -1, -1):
        if s < t:
            models[s] = _sampled(pools[s + 1], eco.published[s + 1])
        drawn = _sampled(models[s], eco.sizes(s))
        real += _product(drawn, eco.real_weights(s))
        for published in eco.pool_weights(s):
            pools[published.born] += _product(drawn, published.authors)
            fresh[:, published.born] += _product(drawn, published.fresh[:, None])[:, 0]
    found = _sampled(real, eco.rows)
    found[:, -1] += _sampled(fresh, np.array(eco.fresh_rows)).sum(axis=1)
    return np.asarray(found)


def _at_most(eco: DiscreteEcosystem, moments: DiscreteMoments, t: int) -> Array:
    """Return the larger of two simple bounds of each model's probability to hold each symbol, shape (K, d)."""
    if eco.drawn is not None:
        expected = np.clip(moments.distribution(t), 0.0, 1.0)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(eco.sizes(t)[:, None] * np.log1p(-expected)))
    weights = eco.real_weights(t) > 0
    copies = _product(np.where(weights, eco.rows, 0.0), eco.truths)
    for published in eco.pool_weights(t):
        read = np.where(published.authors > 0, eco.published[published.born], 0.0)
        copies += _product(read, np.clip(moments.distribution(published.born - 1), 0.0, 1.0))
        copies += _product(np.where(published.fresh > 0, eco.fresh_rows, 0.0)[:, None], eco.truths[-1:])
    return np.minimum(copies, 1.0)
