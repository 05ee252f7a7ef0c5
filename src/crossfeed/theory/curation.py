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

.. math:: p_k' = (1-\alpha_k) \bigl(\beta_k b_k + (1-\beta_k) b\bigr)
                 + \alpha_k \sum_j W_{kj} \bigl((1 - c_{kj})\, p_j + c_{kj}\, C(p_j)\bigr),

where C is the choice by the author's taste (what it publishes) or by the reader's (what it takes), and c the share of
what is read that is chosen.

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

__all__ = ["CuratedEcosystem", "CurationPath", "Taste"]

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
class CurationPath:
    """Models over generations, or where they come to rest.

    Attributes:
        distributions: p, shape (..., K, d).
        rewards: every model's expected reward by its own taste, shape (..., K).
        entropy: -sum p log p, in nats, shape (..., K).
    """

    distributions: Array
    rewards: Array
    entropy: Array


@dataclass(frozen=True)
class CuratedEcosystem:
    """An ecosystem of discrete models that train on each other's chosen outputs, without sampling noise.

    Attributes:
        truths: distributions of the real data, shape (K + 1, d); the public data last.
        alpha: synthetic shares at generations t = 0, ..., T, shape (T + 1, K); 0 at t = 0.
        beta: private shares of the real data, shape (T + 1, K).
        reads: W, weights of the authors (columns) for the readers (rows), shape (K, K).
        curated: c, the share that is chosen of what readers (rows) read of authors (columns), shape (K, K).
        tastes: every entity's taste.
        chooser: ``author``: chosen by the taste of the author; ``reader``: by that of the reader.
        temperature: temperature at which items are generated.
    """

    truths: Array
    alpha: Array
    beta: Array
    reads: Array
    curated: Array
    tastes: Sequence[Taste]
    chooser: Literal["author", "reader"] = "author"
    temperature: float = 1.0

    def step(self, models: Array | None, t: int) -> Array:
        """Return the next models.

        Args:
            models: the models before, shape (K, d); None at generation 0.
            t: the generation, which gives the weights.

        Returns:
            Shape (K, d).
        """
        alpha, beta = self.alpha[t][:, None], self.beta[t][:, None]
        real = beta * self.truths[:-1] + (1 - beta) * self.truths[-1]
        if models is None:
            return np.asarray(real)
        items = tempered(models, self.temperature)
        plain = (self.reads * (1 - self.curated)) @ items
        weights = self.reads * self.curated
        if self.chooser == "author":
            chosen = weights @ np.stack([taste.chosen(p) for taste, p in zip(self.tastes, items, strict=True)])
        else:
            chosen = np.stack([self._taken(row, taste, items) for row, taste in zip(weights, self.tastes, strict=True)])
        return np.asarray((1 - alpha) * real + alpha * (plain + chosen))

    @staticmethod
    def _taken(weights: Array, taste: Taste, items: Array) -> Array:
        """Return the weighted sum of what one reader chooses of each author's items."""
        taken = np.zeros(items.shape[1])
        for j in np.flatnonzero(weights):
            taken += weights[j] * taste.chosen(items[j])
        return taken

    def path(self) -> CurationPath:
        """Compute the models of generations 0, ..., T.

        Returns:
            Shapes (T + 1, K, d) and (T + 1, K).
        """
        models = [self.step(None, 0)]
        for t in range(1, len(self.alpha)):
            models.append(self.step(models[-1], t))
        return self._told(np.stack(models))

    def fixed_point(self, tolerance: float = 1e-13, longest: int = 100_000) -> CurationPath | None:
        """Iterate the last generation's weights until nothing changes.

        Args:
            tolerance: total variation of one step, times what is left of a geometric decay, at which the iteration
                ends.
            longest: steps at most.

        Returns:
            Shapes (K, d) and (K,); None if the iteration has not come to rest, as where it is slower than
            geometric (without real data the last of the worse symbols goes at the rate of the best two rewards).
        """
        models, before = self.path().distributions[-1], 0.0
        for _ in range(longest):
            following = self.step(models, len(self.alpha) - 1)
            moved = float(np.abs(following - models).sum()) / 2
            models = following
            slower = min(moved / before, 1.0) if before > 0 else 1.0
            if moved == 0 or moved * slower <= tolerance * (1 - slower):
                return self._told(models)
            before = moved
        return None

    def _told(self, models: Array) -> CurationPath:
        rewards = np.stack([taste.rewards for taste in self.tastes])
        logs = np.log(models, where=models > 0, out=np.zeros_like(models))
        return CurationPath(models, (models * rewards).sum(axis=-1), -(models * logs).sum(axis=-1))
