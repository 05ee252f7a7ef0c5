r"""Curation by choice as an operator on distributions, iterated by models that train on each other's chosen outputs.

Of k candidates drawn independently from p one is kept: by Luce's rule, candidate i with the probability
:math:`w_i / \sum_j w_j`, :math:`w = e^{r / \theta}` for the reward r and the temperature :math:`\theta`; or the best,
ties evenly. With :math:`1 / (w + S) = \int_0^\infty e^{-s (w + S)} ds` the kept item has the distribution

.. math:: p'(x) = k\, p(x)\, w(x) \int_0^\infty e^{-s w(x)} \varphi(s)^{k-1}\, ds, \qquad
          \varphi(s) = \sum_y p(y)\, e^{-s w(y)},

a one-dimensional integral whatever k and d; :math:`p' \propto p\, w` for :math:`k = \infty`. In :math:`v = \log s` the
integrand is analytic for :math:`|\mathrm{Im}\, v| < \pi/2`, so that the trapezoid rule with the step h has a relative
error near :math:`e^{-\pi^2 / h}`; h = 1/4 leaves rounding alone. The best of k has
:math:`p'(r \le v) = P(r \le v)^k`, and symbols of equal reward keep their proportions.

With weights as in `crossfeed.theory.discrete` and sample sizes without end, an ecosystem is the iteration

.. math:: q_k = (1-\alpha_k) \bigl(\beta_k b_k + (1-\beta_k) b\bigr)
                + \alpha_k \Bigl(\varphi b + (1 - \varphi) \sum_j W_{kj}
                  \bigl((1 - c_{kj})\, p_j + c_{kj}\, C_{kj}(p_j)\bigr)\Bigr),
          \qquad p_k' = \lambda q_k + (1 - \lambda) \mathbf 1 / d,

where :math:`C_{kj}` is the choice among what k reads of j: by the author's taste (what it publishes) or by the reader's
(what it takes); c is the share that is chosen, and :math:`\lambda` is 1 without a prior.

Reference: Ferbach, Bertrand, Bose, Gidel, Self-Consuming Generative Models with Curated Data Provably Optimize Human
Preferences, arXiv 2407.09499 (2024), for one model and Luce's rule; the integral and several models are derived above.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array
from crossfeed.theory.tempering import tempered

__all__ = ["CuratedEcosystem", "Taste", "shannon_entropy"]

# The trapezoid rule in log s: its step, and the part of the integral that may be cut off at each end.
_STEP, _CUT = 0.25, 1e-18

# A logarithm whose exponential is finite, and beyond which exp(-exp(x)) is zero.
_LARGEST = 700.0

# Symbols of the integral that are summed at once.
_BLOCK = 4096


@dataclass(frozen=True)
class Taste:
    """A way to choose among candidates.

    Attributes:
        rewards: r, the reward of every symbol, shape (d,).
        candidates: k, at least 1; infinity is the limit of many.
        rule: ``luce`` or ``best``.
        temperature: theta of Luce's rule, in the unit of the rewards.

    Raises:
        InvalidInput: an attribute is out of range.
    """

    rewards: Array
    candidates: float = 2
    rule: Literal["luce", "best"] = "luce"
    temperature: float = 1.0

    def __post_init__(self) -> None:
        k = self.candidates
        if not (k >= 1 and (np.isinf(k) or k == int(k))):
            raise InvalidInput(f"candidates is {k}; give a whole number of at least 1, or infinity")
        if not 0 < self.temperature < np.inf:
            raise InvalidInput(f"temperature is {self.temperature:g}; give a positive finite number")
        if np.ndim(self.rewards) != 1 or not np.isfinite(self.rewards).all():
            raise InvalidInput("rewards must be one finite number for every symbol")

    def chosen(self, distribution: Array) -> Array:
        """Return the distribution of the candidate that is kept.

        Args:
            distribution: p, the distribution of the candidates, shape (d,).

        Returns:
            p', shape (d,); exact to rounding.

        Raises:
            InvalidInput: the numbers of symbols differ.
        """
        p = np.asarray(distribution, dtype=np.float64)
        if p.shape != np.shape(self.rewards):
            raise InvalidInput(f"p has the shape {p.shape}, and rewards {np.shape(self.rewards)}; give equal ones")
        if self.candidates == 1:
            return p
        there = p > 0  # the rest cannot be drawn
        rewards, found = np.asarray(self.rewards, dtype=np.float64)[there], np.zeros_like(p)
        found[there] = (self._luce if self.rule == "luce" else self._best)(p[there], rewards)
        return np.asarray(found / found.sum())

    def _luce(self, p: Array, rewards: Array) -> Array:
        logs = (rewards - rewards.max()) / self.temperature
        if np.isinf(self.candidates):
            return np.asarray(p * np.exp(logs))
        k = self.candidates
        # Beyond these ends the integrand is below the cut: it begins as s, and falls at last as exp(-s k min w).
        begin, end = np.log(_CUT / k), np.log((-np.log(_CUT) - logs.min()) / k) - logs.min()
        nodes = np.arange(begin, end + _STEP, _STEP)
        spread = self._spread(p, logs, nodes)
        total = np.empty_like(p)
        for i in range(0, len(p), _BLOCK):
            own = np.minimum(logs[i : i + _BLOCK, None] + nodes, _LARGEST)  # log(w s)
            total[i : i + _BLOCK] = np.exp(own - np.exp(own) + (k - 1) * spread).sum(axis=1)
        return np.asarray(k * p * _STEP * total)

    @staticmethod
    def _spread(p: Array, logs: Array, nodes: Array) -> Array:
        """Return log phi at the nodes log s."""
        least = logs.min()
        smallest = np.exp(least + nodes)
        kept = np.zeros_like(nodes)
        for i in range(0, len(p), _BLOCK):
            own = np.minimum(logs[i : i + _BLOCK, None] + nodes, _LARGEST)
            kept += p[i : i + _BLOCK] @ np.exp(smallest - np.exp(own))
        return np.asarray(np.log(kept) - smallest)

    def _best(self, p: Array, rewards: Array) -> Array:
        values, place = np.unique(rewards, return_inverse=True)
        share = np.bincount(place, weights=p, minlength=len(values))
        if np.isinf(self.candidates):
            return np.asarray(np.where(place == len(values) - 1, p, 0.0))
        below = np.concatenate([[0.0], np.cumsum(share)]) / share.sum()
        return np.asarray(p * (np.diff(below**self.candidates) / share)[place])


@dataclass(frozen=True)
class CuratedEcosystem:
    """An ecosystem of discrete models that train on each other's chosen outputs, without sampling noise.

    Attributes:
        truths: distributions of the real data, shape (K + 1, d); the public data last.
        alpha: synthetic shares at generations t = 0, ..., T, shape (T + 1, K); 0 at t = 0.
        beta: private shares of the real data, shape (T + 1, K).
        reads: W, weights of the authors (columns) for the readers (rows), shape (K, K).
        curated: c, the share that is chosen of what readers (rows) read of authors (columns), shape (K, K).
        tastes: the taste by which readers' items (rows) of authors (columns) are chosen, K rows of K; None: as they
            are.
        accumulates: True if the pool keeps every generation, each with the same weight.
        fresh: share of each generation's pool that is fresh public data.
        temperature: temperature at which items are generated.
        kept: lambda, the weight of what was read beside the uniform distribution of a prior, shape (T + 1, K);
            default: all of it.

    Raises:
        InvalidInput: numbers of entities differ.
    """

    truths: Array
    alpha: Array
    beta: Array
    reads: Array
    curated: Array
    tastes: Sequence[Sequence[Taste | None]]
    accumulates: bool = False
    fresh: float = 0.0
    temperature: float = 1.0
    kept: Array | None = None

    def __post_init__(self) -> None:
        K = len(self.truths) - 1
        shapes = {name: np.shape(getattr(self, name)) for name in ("reads", "curated")}
        shapes["tastes"] = len(self.tastes), min(map(len, self.tastes), default=0)
        for name, shape in shapes.items():
            if shape != (K, K):
                raise InvalidInput(f"{name} has the shape {shape} for K + 1 = {K + 1} truths; give {(K, K)}")

    def read(self, models: Array) -> Array:
        """Return the distribution of what every entity reads of one generation's items.

        Args:
            models: their authors' distributions, shape (K, d).

        Returns:
            Shape (K, d).

        Raises:
            InvalidInput: rewards and symbols differ in number.
        """
        items = tempered(models, self.temperature)
        found = (self.reads * (1 - self.curated)) @ items
        known: dict[tuple[int, int], Array] = {}
        for k, j in zip(*np.nonzero(self.reads * self.curated), strict=True):
            taste, weight = self.tastes[k][j], self.reads[k, j] * self.curated[k, j]
            place = id(taste), int(j)  # readers share authors' choices
            if place not in known:
                known[place] = items[j] if taste is None else taste.chosen(items[j])
            found[k] += weight * known[place]
        return np.asarray((1 - self.fresh) * found + self.fresh * self.truths[-1])

    def fit(self, t: int, read: Array | None) -> Array:
        """Return the models of a generation.

        Args:
            t: the generation, which gives the weights.
            read: what every entity reads of the pool, shape (K, d); None at generation 0.

        Returns:
            Shape (K, d).
        """
        alpha, beta = self.alpha[t][:, None], self.beta[t][:, None]
        real = beta * self.truths[:-1] + (1 - beta) * self.truths[-1]
        mixed = real if read is None else (1 - alpha) * real + alpha * read
        kept = 1.0 if self.kept is None else self.kept[t][:, None]
        return np.asarray(kept * mixed + (1 - kept) / self.truths.shape[1])

    def path(self) -> Array:
        """Compute the models of generations 0, ..., T.

        Returns:
            Shape (T + 1, K, d).
        """
        models, read = [self.fit(0, None)], np.zeros_like(self.truths[:-1])
        for t in range(1, len(self.alpha)):
            newest = 1.0 / t if self.accumulates else 1.0
            read = newest * self.read(models[-1]) + (1 - newest) * read
            models.append(self.fit(t, read))
        return np.stack(models)

    def fixed_point(self, tolerance: float = 1e-13, longest: int = 100_000) -> Array | None:
        """Iterate the last generation's weights, with the newest items alone, until nothing changes.

        Args:
            tolerance: total variation of one step, times what is left of a geometric decay, at which the iteration
                ends.
            longest: steps at most.

        Returns:
            Shape (K, d); None if the iteration has not come to rest, or at a slower pace than a geometric one.
        """
        models, before = self.path()[-1], 0.0
        for _ in range(longest):
            following = self.fit(len(self.alpha) - 1, self.read(models))
            moved = float(np.abs(following - models).sum()) / 2
            models = following
            slower = min(moved / before, 1.0) if before > 0 else 1.0
            if moved == 0 or moved * slower <= tolerance * (1 - slower):
                return models
            before = moved
        return None


def shannon_entropy(distributions: Array) -> Array:
    """Compute entropies.

    Args:
        distributions: p, shape (..., d).

    Returns:
        -sum p log p, in nats, shape (...).
    """
    p = np.asarray(distributions, dtype=np.float64)
    logs = np.log(p, where=p > 0, out=np.zeros_like(p, dtype=np.float64))
    return np.asarray(-(p * logs).sum(axis=-1))
