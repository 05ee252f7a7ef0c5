r"""Exact probabilities of one symbol's count in discrete models that train on their own samples, and diffusion.

The number X of copies of a symbol in a training set of m draws is a Markov chain,

.. math:: X_{t+1} \sim \mathrm{Bin}\bigl(m,\; \alpha X_t / m + (1 - \alpha)\, r\bigr),

with r the symbol's share of the real data: that of Wright and Fisher with m genes, and with immigration where
:math:`\alpha < 1`. K equal models that draw n items each from the mean of all models are one chain: the sum of their
counts is binomial with m = K n draws, and each model holds n draws from its mean. With a pool of N items in between,
one model's chain has two binomial steps a generation.

As m grows, time in units of m generations and frequencies tend to the diffusion with variance x (1 - x): absorption
takes :math:`-2 m\,(p \log p + (1 - p) \log(1 - p))` generations on average; and rare symbols to Feller's branching
diffusion, :math:`P(X_t > 0) \approx 1 - e^{-2 m p / t}` after t samples.

Reference: Ewens, Mathematical Population Genetics I (2004), Sections 1.4 (chain) and 4.3 to 5.4 (diffusion); Feller,
Diffusion processes in genetics (1951).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

__all__ = ["CountChain", "diffusion_absorption_time", "feller_survival"]

# More states than this are refused: a transition matrix has their square of numbers.
_STATES = 4096


@dataclass(frozen=True)
class CountChain:
    """The chain of one symbol's count, or of K equal models' summed counts.

    Attributes:
        draws: n, the number of draws of each model's training set.
        models: K, the number of equal models on one pool of models.
        pool: N, the number of items that one model publishes; None: the model itself is read.
        alpha: the synthetic share at generations t >= 1.

    Raises:
        InvalidInput: the chain has too many states, or several models have a finite pool.
    """

    draws: int
    models: int = 1
    pool: int | None = None
    alpha: float = 1.0

    def __post_init__(self) -> None:
        if min(self.draws, self.models, self.pool or 1) < 1 or not 0 <= self.alpha <= 1:
            raise InvalidInput(
                f"draws, models, pool, alpha = {self.draws}, {self.models}, {self.pool}, {self.alpha}; give numbers of "
                "at least 1, and a share in [0, 1]"
            )
        if self.models > 1 and self.pool is not None:
            raise InvalidInput(
                f"pool is {self.pool} for {self.models} models; leave it out, since their summed count is no chain "
                "where each publishes a sample of its own (crossfeed.theory.survival has bounds)"
            )
        if max(self.states, self.pool or 0) > _STATES:
            raise InvalidInput(
                f"{max(self.states, self.pool or 0):,} draws in all; give at most {_STATES:,}, or take the bounds of "
                "crossfeed.theory.survival"
            )

    @property
    def states(self) -> int:
        """Number m = K n of draws that make up a state."""
        return self.draws * self.models

    def transitions(self, real: float = 0.0) -> Array:
        """Return the probabilities of the next count.

        Args:
            real: r, the symbol's share of the real data; without meaning where alpha is 1.

        Returns:
            Shape (m + 1, m + 1), rows sum to one.
        """
        m = self.states
        if self.pool is None:
            return _binomial(m, self._read(np.arange(m + 1) / m, real))
        published = _binomial(self.pool, np.arange(m + 1) / m)
        return np.asarray(published @ _binomial(m, self._read(np.arange(self.pool + 1) / self.pool, real)))

    def survival(self, probabilities: Array, generations: int, rows: int | None = None) -> Array:
        """Compute the probability that a model of each generation holds each symbol.

        Args:
            probabilities: true probabilities of the symbols, shape (d,).
            generations: T.
            rows: number of items of the real data, drawn once from the truth; None: data without end.

        Returns:
            Shape (T + 1, d); its sum over symbols is the expected number of surviving ones. Exact.
        """
        p = np.asarray(probabilities, dtype=np.float64)
        if rows is not None:
            return np.asarray(self.survival(np.arange(rows + 1) / rows, generations) @ _binomial(rows, p).T)
        if self.alpha == 1:
            return self._presence(p, p, generations)
        distinct, place = np.unique(p, return_inverse=True)
        columns = [self._presence(each, each[:1], generations) for each in np.split(distinct, len(distinct))]
        return np.concatenate(columns, axis=1)[:, place]

    def _presence(self, p: Array, real: Array, generations: int) -> Array:
        """Return survival of symbols that share one transition matrix."""
        m, n, share = self.states, self.draws, float(real[0])
        found = np.empty((generations + 1, len(p)))
        found[0] = _holds(n, p)
        first, step = _binomial(m, p), self.transitions(share)
        if self.pool is None:
            later = _holds(n, self._read(np.arange(m + 1) / m, share))
        else:
            pooled = _holds(n, self._read(np.arange(self.pool + 1) / self.pool, share))
            later = _binomial(self.pool, np.arange(m + 1) / m) @ pooled
        for t in range(1, generations + 1):
            found[t] = first @ later
            later = step @ later
        return found

    def _read(self, frequency: Array, real: float) -> Array:
        return np.asarray(self.alpha * frequency + (1 - self.alpha) * real)

    def absorbed(self, probability: float, generations: int) -> Array:
        """Compute the probability that the summed count is nothing or everything, of a chain with alpha = 1.

        Args:
            probability: the symbol's true probability.
            generations: T.

        Returns:
            Shape (T + 1, 2): lost, and the only one left. Both tend to 1 - p and p.

        Raises:
            InvalidInput: alpha is below 1: nothing is absorbed.
        """
        self._check_drift()
        state, step = _binomial(self.states, np.array([probability]))[0], self.transitions()
        found = np.empty((generations + 1, 2))
        for t in range(generations + 1):
            found[t] = state[[0, -1]]
            state = state @ step
        return found

    def absorption_time(self) -> Array:
        """Compute the expected number of generations until one of two symbols is left, of a chain with alpha = 1.

        Returns:
            For counts 0, ..., m at the start, shape (m + 1,); 0 at both ends.

        Raises:
            InvalidInput: alpha is below 1: nothing is absorbed.
        """
        self._check_drift()
        inner = self.transitions()[1:-1, 1:-1]
        times = np.linalg.solve(np.eye(len(inner)) - inner, np.ones(len(inner)))
        return np.concatenate([[0.0], times, [0.0]])

    def _check_drift(self) -> None:
        if self.alpha < 1:
            raise InvalidInput(f"alpha is {self.alpha:g}; give 1: with real data no symbol is lost for ever")


def diffusion_absorption_time(probability: Array, size: float) -> Array:
    """Approximate the expected number of generations until one of two symbols is left, by diffusion.

    Args:
        probability: the frequency p at the start, of any shape, in (0, 1).
        size: m, the number of draws of a generation.

    Returns:
        -2 m (p log p + (1 - p) log(1 - p)), in the shape of p; an approximation: at p = 1/2 its
        relative error is below 3 % at m = 50 and falls as m grows.
    """
    p = np.asarray(probability, dtype=np.float64)
    return np.asarray(-2 * size * (p * np.log(p) + (1 - p) * np.log1p(-p)))


def feller_survival(probability: Array, size: float, samples: int) -> Array:
    """Approximate the probability that a rare symbol survives samples of samples, by Feller's diffusion.

    Args:
        probability: the true probability p, of any shape.
        size: m, the size of every sample.
        samples: t, the number of samples.

    Returns:
        1 - exp(-2 m p / t), in the shape of p; an approximation for p that are small and t that are large.
    """
    return np.asarray(-np.expm1(-2 * size * np.asarray(probability, dtype=np.float64) / samples))


def _binomial(size: int, probability: Array) -> Array:
    """Return probabilities of 0, ..., size successes, a row for each probability."""
    q = np.clip(np.asarray(probability, dtype=np.float64), 0.0, 1.0)[:, None]
    count = np.arange(size + 1)
    from scipy.special import gammaln, xlog1py, xlogy

    ways = gammaln(size + 1) - gammaln(count + 1) - gammaln(size - count + 1)
    return np.asarray(np.exp(ways + xlogy(count, q) + xlog1py(size - count, -q)))


def _holds(size: int, probability: Array) -> Array:
    """Return 1 - (1 - q)^n."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(size * np.log1p(-np.clip(probability, 0.0, 1.0))))
