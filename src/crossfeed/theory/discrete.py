r"""Ecosystems of discrete models that train on each other's outputs: who reads how much of what.

A model is a distribution :math:`p_k` over d symbols. Sources of a training set are the private and public data, and
what each author published; with the frequencies :math:`f_s` of source s and the weights :math:`W_{ks}`,

.. math:: q_k = \sum_s W_{ks} f_s, \qquad p_k = \lambda \hat q_k + (1 - \lambda) \mathbf 1 / d,
          \qquad \lambda = \frac{n}{n + d\,\rho},

where :math:`\hat q_k` is the relative frequency in n draws from :math:`q_k` (or :math:`q_k` itself, if everything is
read) and :math:`\rho` the prior, the pseudocount of each symbol; :math:`\rho = 0` is maximum likelihood.

Reference: the workflow is that of the paper (Vu, Reeves, Wenger, ICLR 2026), Section 4, with distributions over symbols
in place of linear models.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

__all__ = ["DiscreteEcosystem", "Published"]

_TOLERANCE = 1e-9


class Published(NamedTuple):
    """The weights of what one generation published, for all readers at a later one.

    Attributes:
        born: the generation of publication.
        authors: weights of the authors' items, shape (K, K).
        fresh: weights of the fresh public items, shape (K,).
    """

    born: int
    authors: Array
    fresh: Array


@dataclass(frozen=True)
class DiscreteEcosystem:
    """An ecosystem of discrete models that train on each other's samples.

    Attributes:
        truths: distributions of the real data, shape (K + 1, d); the public data last.
        rows: number of items of each real data set, shape (K + 1,); infinite: the distribution itself is read.
        alpha: synthetic shares at generations t = 0, ..., T, shape (T + 1, K); 0 at t = 0.
        beta: private shares of the real data, shape (T + 1, K).
        reads: weights of the authors (columns) for the readers (rows), shape (K, K); rows sum to one. With one pool
            every row is w, the authors' shares.
        published: number of items that each entity publishes for generations 0, ..., T (0 is not used), shape
            (T + 1, K); infinite: the published model itself is read.
        accumulates: True if the pool keeps every generation, each with the same weight.
        fresh: share of each generation's pool that is fresh public data.
        fresh_rows: number of fresh items of each generation.
        drawn: number of items that are drawn for a training set, shape (T + 1, K); None if everything is read.
        prior: the pseudocount of each symbol; refused where everything is read.

    Raises:
        InvalidInput: a shape, a share or a distribution is wrong.
    """

    truths: Array
    rows: Array
    alpha: Array
    beta: Array
    reads: Array
    published: Array
    accumulates: bool = False
    fresh: float = 0.0
    fresh_rows: float = np.inf
    drawn: Array | None = None
    prior: float = 0.0

    def __post_init__(self) -> None:
        K, T = len(self.reads), len(self.alpha) - 1
        wanted = {"reads": (K, K), "alpha": (T + 1, K), "beta": (T + 1, K), "published": (T + 1, K), "rows": (K + 1,)}
        wanted |= {} if self.drawn is None else {"drawn": (T + 1, K)}
        for name, shape in wanted.items():
            if np.shape(getattr(self, name)) != shape:
                raise InvalidInput(f"{name} has the shape {np.shape(getattr(self, name))}; give {shape}")
        if self.truths.ndim != 2 or len(self.truths) != K + 1:
            raise InvalidInput(f"truths has the shape {self.truths.shape}; give K + 1 = {K + 1} distributions as rows")
        for name in ("truths", "reads"):
            _check_distributions(getattr(self, name), name)
        if (np.asarray(self.alpha)[0] != 0).any():
            raise InvalidInput(f"alpha at generation 0 is {self.alpha[0]}; give 0, since nothing is published yet")
        for name in ("alpha", "beta", "fresh"):
            values = np.asarray(getattr(self, name))
            if not ((values >= 0) & (values <= 1)).all():
                raise InvalidInput(f"{name} is {values}; give shares in [0, 1]")
        if self.prior < 0 or (self.prior > 0 and self.drawn is None):
            raise InvalidInput(
                f"prior is {self.prior:g}{' and drawn is None' * (self.drawn is None)}; give a pseudocount of 0 or "
                "more, and 0 where everything is read: a sum of weighted frequencies has no number of draws"
            )

    @property
    def entities(self) -> int:
        """Number K of entities."""
        return len(self.reads)

    @property
    def symbols(self) -> int:
        """Number d of symbols."""
        return int(self.truths.shape[1])

    @property
    def generations(self) -> int:
        """Last generation T."""
        return len(self.alpha) - 1

    @cached_property
    def constants(self) -> Array:
        """The true distributions and the uniform one, shape (K + 2, d)."""
        return np.concatenate([self.truths, np.full((1, self.symbols), 1.0 / self.symbols)])

    def sizes(self, t: int) -> Array:
        """Return the number of draws of every training set.

        Args:
            t: the generation, from 0 to T.

        Returns:
            n, shape (K,); infinite where everything is read.
        """
        return np.full(self.entities, np.inf) if self.drawn is None else np.asarray(self.drawn[t], dtype=np.float64)

    def kept(self, t: int) -> Array:
        """Return the weight of observed frequencies in every model, beside the prior's uniform distribution.

        Args:
            t: the generation, from 0 to T.

        Returns:
            lambda, shape (K,).
        """
        n = self.sizes(t)
        return np.asarray(1.0 / (1.0 + self.symbols * self.prior / n))

    def real_weights(self, t: int) -> Array:
        """Return every entity's weights of the real data sets.

        Args:
            t: the generation, from 0 to T.

        Returns:
            Shape (K, K + 1), the public data last.
        """
        alpha, beta = self.alpha[t], self.beta[t]
        private = np.diag((1 - alpha) * beta)
        return np.concatenate([private, ((1 - alpha) * (1 - beta))[:, None]], axis=1)

    def pool_weights(self, t: int) -> Iterator[Published]:
        """Yield every entity's weights of what is in the pool.

        Args:
            t: the generation at which it is read, from 0 to T.

        Yields:
            The weights of each generation of publication that the pool holds.
        """
        kept = range(1, t + 1) if self.accumulates else range(max(t, 1), t + 1)
        for born in kept:
            each = self.alpha[t] / len(kept)
            yield Published(born, (1 - self.fresh) * each[:, None] * self.reads, self.fresh * each)


def _check_distributions(rows: Array, name: str) -> None:
    sums = rows.sum(axis=1)
    if rows.min() < 0 or np.abs(sums - 1).max() > _TOLERANCE:
        raise InvalidInput(
            f"{name}: rows are distributions; received a smallest entry of {rows.min():g} and sums from "
            f"{sums.min():g} to {sums.max():g}; give entries of 0 or more that sum to 1"
        )
