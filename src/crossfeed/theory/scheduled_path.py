"""The pool under weights that change with the generation.

The recursions of `crossfeed.theory.consensus` are run generation by generation, and C_tj is walked forward block by
block.

Reference: paper, Theorems 1 and 2, reduced as in `crossfeed.theory.consensus`; schedules are not in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import add

import numpy as np

from crossfeed.theory.consensus import Coupling, Estimates, coupling_sums, with_shared_data
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, summed_products, times, transposed, weighted
from crossfeed.theory.pool_path import BlockState, PoolState, newest_share, next_noise, pool_step
from crossfeed.theory.response import EntityBlock, Response
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.spectrum import unit_error, without_drift


class ScheduledPath:
    """The pool under weights that change with the generation, O(T K d^3) for T generations.

    Args:
        spec: the ecosystem's specification.
        generations: n whole numbers >= 0, in any order.

    Attributes:
        state: the pool at these generations.
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.

    Raises:
        InvalidInput: if a schedule's function returns anything but fractions, or Gram matrices are so near to singular
            ones that rounding decides.
    """

    def __init__(self, spec: Conditioned, generations: Sequence[int]) -> None:
        self._spec = spec
        self._generations = generations
        self._weights = [spec.weights.at(t) for t in range(max(generations) + 1)]
        couplings = self._couplings(Estimates.expected(spec))
        inflation = max((coupling.inflation for coupling in couplings), default=1.0)
        error = unit_error(spec.pool_gram, inflation, spec.rounding)
        matrices = [without_drift(coupling.matrix, error) for coupling in couplings]
        self._steps = [pool_step(spec, matrix, t) for t, matrix in enumerate(matrices, start=1)]
        noise, publics = self._noise_and_public(couplings)
        private, self.inflation = self._spread()
        spread = private + publics @ spec.public @ transposed(publics)
        at = list(generations)
        self.state = PoolState(
            mean=self._means(couplings)[at],
            covariance=(spec.sigma**2 * spread + noise)[at],
            noise=noise[at],
            public=spec.public @ transposed(publics[at]),
        )

    def walk(self, block: EntityBlock) -> Iterator[BlockState]:
        """Walk one block of entities through the requested generations.

        Args:
            block: the block of b entities.

        Returns:
            Its state at each requested generation, in order of time.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        indices: dict[int, list[int]] = {}
        for index, t in enumerate(self._generations):
            indices.setdefault(t, []).append(index)
        for t, (response, source) in enumerate(self._every_generation(block)):
            for index in indices.get(t, ()):
                yield BlockState(index, response, source)

    def few_rows(self, rows: slice) -> None:
        """Return nothing: weights that change have no such way.

        Args:
            rows: slice(start, stop) of entity numbers.
        """

    def mean_given(self, estimates: Estimates) -> Array:
        """Return the pool's mean under given estimates of the real data.

        Args:
            estimates: the least-squares estimates of all sources.

        Returns:
            E zbar at the requested generations, shape (n, d).

        Source: paper, Theorem 1.
        """
        return self._means(self._couplings(estimates))[list(self._generations)]

    def _couplings(self, estimates: Estimates) -> list[Coupling]:
        """Sum up the pool's step after each generation except the last."""
        spec, weights = self._spec, self._weights[:-1]
        if not weights:
            return []

        def sums(rows: slice) -> list[Coupling]:
            block = EntityBlock.read(spec, rows)
            return [coupling_sums(block, block.respond(w), estimates) for w in weights]

        parts = map_blocks(sums, spec.entities, spec.dimension)
        totals = reduce(lambda left, right: list(map(add, left, right)), parts)
        return [with_shared_data(spec, total, estimates) for total in totals]

    def _means(self, couplings: Sequence[Coupling]) -> Array:
        means = [np.zeros(self._spec.dimension)]
        for t, (coupling, step) in enumerate(zip(couplings, self._steps, strict=True), start=1):
            means.append(step @ means[-1] + newest_share(self._spec, t) * coupling.drive)
        return np.array(means)

    def _noise_and_public(self, couplings: Sequence[Coupling]) -> tuple[Array, Array]:
        """Run Gamma_t and the gain of X_*'y_* in zbar_t, each (T + 1, d, d)."""
        d = self._spec.dimension
        noise, public = [np.zeros((d, d))], [np.zeros((d, d))]
        for t, (coupling, step) in enumerate(zip(couplings, self._steps, strict=True), start=1):
            noise.append(next_noise(self._spec, step, noise[-1], t))
            public.append(step @ public[-1] + newest_share(self._spec, t) * coupling.public)
        return np.array(noise), np.array(public)

    def _every_generation(self, block: EntityBlock) -> Iterator[tuple[Response, Array]]:
        """Carry C_t through every generation."""
        source = np.zeros_like(block.private)
        for t, weights in enumerate(self._weights, start=1):
            response = block.respond(weights)
            yield response, source
            if t <= len(self._steps):
                g = newest_share(self._spec, t)
                source = times(source, self._steps[t - 1].T)
                source += g * response.source()

    def _spread(self) -> tuple[Array, float]:
        """Run sum_j W_tj S~_j W_tj', W_tj the gain of source j in zbar_t, (T + 1, d, d); return the inflation, too."""
        spec = self._spec

        def sums(rows: slice) -> tuple[Array, float]:
            terms, inflation = [], 0.0
            for response, source in self._every_generation(EntityBlock.read(spec, rows)):
                terms.append(_spread_terms(response, source))
                inflation = max(inflation, float(response.inflation.max()))
            return np.array(terms), inflation

        parts = list(map_blocks(sums, spec.entities, spec.dimension))
        terms = reduce(add, [part[0] for part in parts])
        spread = [np.zeros((spec.dimension, spec.dimension))]
        for t, (step, (cross, own)) in enumerate(zip(self._steps, terms, strict=False), start=1):
            g, forward = newest_share(spec, t), step @ cross
            spread.append(step @ spread[-1] @ step.T + g * (forward + forward.T) + g**2 * own)
        return np.array(spread), max(part[1] for part in parts)


def _spread_terms(response: Response, source: Array) -> tuple[Array, Array]:
    """Sum W_j S~_j D_j' and D_j S~_j D_j' over one block, from C_j = S~_j W_j'."""
    replies = weighted(response.gain, response.replies.private)
    return summed_products(source, replies), summed_products(replies, response.source())
