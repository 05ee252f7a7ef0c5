r"""Bounds of the probability that a symbol is still in a discrete model, for any ecosystem and any number of draws.

A sample of n items from q has X copies of a symbol, and
:math:`\mathrm E\,e^{-u X / n} = (1 - q c)^n` with :math:`c = 1 - e^{-u/n}`.

**At least.** This is at most :math:`e^{-q n c}`, as of a Poisson law. So the exponents of a product of such terms go
backwards through models, pools and real data,

.. math:: u \;\mapsto\; n\,(1 - e^{-u/n}), \qquad u_s = \sum_k W_{ks} u_k,

from :math:`u = \infty` (absent) to the true distributions :math:`b_s`, and
:math:`P(x \text{ is absent}) \le \exp(-\sum_s u_s b_s(x))` with the same :math:`u` for every symbol. For one model that
reads its own items alone this is :math:`1 - f_m^{\,n p}` after m samples, with :math:`f_{j+1} = e^{f_j - 1}`,
:math:`f_0 = 0`: extinction of a branching process with Poisson offspring.

**At most.** For :math:`q \le \varepsilon`, :math:`(1 - q c)^n \ge e^{-u' q}` with
:math:`u' = -n \log(1 - \varepsilon c) / \varepsilon` by convexity; for larger q it falls short by at most
:math:`s q`, with s the largest :math:`(e^{-u' q} - (1 - q c)^n) / q` there. The exponents go backwards by this map, and

.. math:: P(x \text{ is absent}) \ge \max_\varepsilon\; \exp\Bigl(-\sum_s u_s b_s(x)\Bigr)
          - \sum_{\text{samples}} s\, \mathrm E\,q(x) .

Besides, by Jensen's inequality, a model of n draws holds a symbol with at most :math:`1 - (1 - \mathrm E\,p(x))^n`; one
that reads everything, with at most its expected number of copies. The two ends meet for symbols that are rare at all
times; they part where drift brings single symbols to frequencies near one, after about as many generations as there are
draws.

Reference: the lower end for one model is Theorem 1 of Suresh, Thangaraj and Khandavally, Rate of Model Collapse in
Recursive Training, arXiv 2412.17646 (2024), in the form of its iteration; for ecosystems it is derived above, as is the
upper end.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.discrete import DiscreteEcosystem
from crossfeed.theory.discrete_moments import DiscreteMoments, discrete_moments
from crossfeed.theory.kernels import Array

__all__ = ["Survival", "expected_survivors", "survival"]

# Frequencies up to which the upper end is tight; the best one is taken for each symbol.
_THRESHOLDS = (0.02, 0.06, 0.12, 0.2, 0.35, 0.5, 0.7, 0.9)

# Parts of the range above a threshold in which the shortfall is bounded.
_CELLS = 64

Back = Callable[[Array, Array], Array]
"""Takes exponents of samples and their sizes, gives those of what was sampled."""


@dataclass(frozen=True)
class Survival:
    """Bounds of the probability that a model holds a symbol, or of the number of symbols that it holds, expected.

    Attributes:
        lower: at least.
        upper: at most, in the shape of `lower`.
    """

    lower: Array
    upper: Array


def expected_survivors(ecosystem: DiscreteEcosystem, moments: DiscreteMoments | None = None) -> Survival:
    """Bound the expected number of symbols of positive probability in every model.

    Args:
        ecosystem: the ecosystem, without a prior.
        moments: its moments, if they are known.

    Returns:
        The bounds at generations 0, ..., T, shape (T + 1, K).

    Raises:
        InvalidInput: a prior gives every symbol a positive probability.
    """
    known = discrete_moments(ecosystem) if moments is None else moments
    bounds = [survival(ecosystem, t, known) for t in range(ecosystem.generations + 1)]
    lower, upper = (np.stack([getattr(each, end).sum(axis=1) for each in bounds]) for end in ("lower", "upper"))
    return Survival(lower, upper)


def survival(ecosystem: DiscreteEcosystem, t: int, moments: DiscreteMoments | None = None) -> Survival:
    """Bound the probability that every model of a generation holds every symbol.

    Args:
        ecosystem: the ecosystem, without a prior.
        t: the generation, from 0 to T.
        moments: its moments, if they are known.

    Returns:
        The bounds, shape (K, d).

    Raises:
        InvalidInput: a prior gives every symbol a positive probability.
    """
    if ecosystem.prior > 0:
        raise InvalidInput(f"prior is {ecosystem.prior:g}, so that every symbol survives; give a prior of 0")
    known = discrete_moments(ecosystem) if moments is None else moments
    least = _Ancestry(known, _poisson).exponents(t)
    most = _simply(known, t)
    for threshold in _THRESHOLDS:
        ancestry = _Ancestry(known, partial(_convex, threshold=threshold), threshold)
        absent = np.exp(-_product(ancestry.exponents(t), ecosystem.truths))
        most = np.minimum(most, 1 - absent + ancestry.short @ ecosystem.constants)
    return Survival(-np.expm1(-_product(least, ecosystem.truths)), most)


def _product(exponents: Array, probabilities: Array) -> Array:
    """Return exponents @ probabilities, where infinity times zero is zero."""
    endless = np.isinf(exponents)
    there = endless.astype(np.float64) @ probabilities > 0
    return np.asarray(np.where(there, np.inf, np.where(endless, 0.0, exponents) @ probabilities))


def _poisson(exponent: Array, size: Array) -> Array:
    """Return n (1 - exp(-u / n)), which is u for endless n and n for endless u."""
    finite = np.where(np.isinf(size), 1.0, size)
    return np.where(np.isinf(size), exponent, -finite * np.expm1(-exponent / finite))


def _convex(exponent: Array, size: Array, threshold: float) -> Array:
    """Return -n log(1 - eps (1 - exp(-u / n))) / eps, which is u for endless n."""
    finite = np.where(np.isinf(size), 1.0, size)
    bent = -finite * np.log1p(threshold * np.expm1(-exponent / finite)) / threshold
    return np.where(np.isinf(size), exponent, bent)


@dataclass
class _Ancestry:
    """Exponents on their way back from models to the truth.

    Attributes:
        moments: expected distributions of the models.
        back: the map through one sample.
        threshold: epsilon of the map, if it holds up to there alone.
        short: what the map falls short by, as coefficients of the constant distributions, shape (K, K + 2).
    """

    moments: DiscreteMoments
    back: Back
    threshold: float | None = None
    short: Array = field(init=False)

    def exponents(self, t: int) -> Array:
        """Return the exponents u of the true distributions for each model of generation t, shape (K, K + 1)."""
        eco, K = self.moments.ecosystem, self.moments.ecosystem.entities
        self.short = np.zeros((K, K + 2))
        real, fresh, pools = np.zeros((K, K + 1)), np.zeros((K, t + 1)), np.zeros((t + 1, K, K))
        for s in range(t, -1, -1):
            parts = self.moments.parts[s]
            if s == t:
                models = np.where(np.eye(K) > 0, np.inf, 0.0)  # exponents of every model (columns) for each target
            else:
                models = self._through(pools[s + 1], eco.published[s + 1], parts)
            drawn = self._through(models, eco.sizes(s), parts)
            real += _product(drawn, eco.real_weights(s))
            for published in eco.pool_weights(s):
                pools[published.born] += _product(drawn, published.authors)
                fresh[:, published.born] += _product(drawn, published.fresh[:, None])[:, 0]
        constants = np.eye(K + 2)
        found = self._through(real, eco.rows, constants[:-1])
        public = np.tile(constants[K], (t + 1, 1))
        found[:, -1] += self._through(fresh, np.full(t + 1, eco.fresh_rows), public).sum(axis=1)
        return found

    def _through(self, exponent: Array, size: Array, parts: Array) -> Array:
        """Map exponents (K, S) through samples of sizes (S,) from distributions whose expectation has `parts`."""
        before = self.back(exponent, size)
        if self.threshold is not None:
            self.short += _shortfall(exponent, size, before, self.threshold) @ parts
        return before


def _shortfall(exponent: Array, size: Array, before: Array, threshold: float) -> Array:
    """Return a bound of (exp(-u' q) - (1 - q c)^n) / q for all q above the threshold; 0 for endless samples.

    Both terms fall with q, so that between two neighbours of a grid the first is largest at the lower one.
    """
    q = np.linspace(threshold, 1, _CELLS + 1)
    finite = np.where(np.isinf(size), 1.0, size)[..., None]
    with np.errstate(divide="ignore"):  # a symbol that fills a sample is never absent from it
        kept = np.exp(finite * np.log1p(q[1:] * np.expm1(-exponent[..., None] / finite)))
    short = (np.exp(-before[..., None] * q[:-1]) - kept) / q[:-1]
    return np.where(np.isinf(size), 0.0, short.max(axis=-1).clip(min=0))


def _simply(moments: DiscreteMoments, t: int) -> Array:
    """Return the bounds of expectations alone, shape (K, d)."""
    eco = moments.ecosystem
    if eco.drawn is not None:
        expected = np.clip(moments.distribution(t), 0.0, 1.0)
        with np.errstate(divide="ignore"):
            return np.asarray(-np.expm1(eco.sizes(t)[:, None] * np.log1p(-expected)))
    copies = _product(np.where(eco.real_weights(t) > 0, eco.rows, 0.0), eco.truths)
    for published in eco.pool_weights(t):
        read = np.where(published.authors > 0, eco.published[published.born], 0.0)
        copies += _product(read, np.clip(moments.distribution(published.born - 1), 0.0, 1.0))
        copies += _product(np.where(published.fresh > 0, eco.fresh_rows, 0.0)[:, None], eco.truths[-1:])
    return np.minimum(copies, 1.0)
