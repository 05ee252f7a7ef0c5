r"""The pools along the generations where models remember: few steps, each time from the model of the generation before.

With E and F of `crossfeed.theory.training`, G_tk and the weights those of generation t,

    theta_tk = E_tk theta_{t-1,k} + F_tk ( p S~_k th~_k + q S_* th_* + a zbar_t ),

so that an estimate depends on the pools of all generations so far, and no state of d numbers exists. But the estimates
are linear in them: with m_k = X~_k'y~_k and m_* = X_*'y_*,

    theta_tk = own_tk m_k + public_tk m_* + sum_{i <= t} kappa_tki zbar_i,
    kappa_tti = a F_tk (i = t),      kappa_tki = E_tk kappa_{t-1,ki} (i < t),      own and public likewise,

and the pools, below each other in one vector of T d numbers, solve a triangular system (a Volterra equation)

    z_{t+1} = sum_{i <= t} ( sum_j s_j S_j kappa_tji ) zbar_i + sum_j s_j S_j own_tj m_j + (public, fresh) + nu_{t+1},

zbar = C z with C the identity ("latest") or means ("accumulate"). No matrix of K d numbers squared occurs: time grows
as K T^2 d^3 for each generation that is read, memory as T^2 d^2 beside one block of entities. What reads the pool of d
numbers elsewhere (`crossfeed.theory.moments`, `crossfeed.theory.dispersion`) reads these T d numbers here.

Reference: own derivation; Volterra equations as in Gripenberg, Londen and Staffans, Volterra Integral and Functional
Equations (1990). For E = 0 it is Theorems 1 and 2 of the paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from crossfeed.theory.consensus import Estimates
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, summed_products, times, transposed, weighted, weighted_sum
from crossfeed.theory.pool_path import BlockState, PoolState
from crossfeed.theory.response import BySource, EntityBlock, Response
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.training import Filter
from crossfeed.theory.weights import SourceWeights


@dataclass(frozen=True)
class _Told:
    """One block's part of the pools' equation, generations below each other.

    Attributes:
        feedback: sum_j s_j S_j kappa_tji, row block t + 1 and column block i, shape (T d, T d).
        public: sum_j s_j S_j public_tj, shape (T d, d).
        drive: sum_j s_j S_j own_tj x_j for moments x_j, shape (T d,).
        spread: sum_j B_j S~_j B_j', B_j the rows s_j S_j own_tj, shape (T d, T d).
        inflation: what rounding errors of generation 0's Gram matrices are multiplied by, at most.
    """

    feedback: Array
    public: Array
    drive: Array
    spread: Array
    inflation: float

    def __add__(self, other: _Told) -> _Told:
        return _Told(
            self.feedback + other.feedback,
            self.public + other.public,
            self.drive + other.drive,
            self.spread + other.spread,
            max(self.inflation, other.inflation),
        )


class MemoryPath:
    """The pools of generations 1 to T, T the last one requested, and at least 1.

    Args:
        spec: the ecosystem's specification.
        generations: n whole numbers >= 0, in any order.

    Attributes:
        state: the pools, the same for every requested generation: what an entity reads of them differs.
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.

    Raises:
        InvalidInput: if a schedule's function returns anything but fractions, Gram matrices of generation 0 are so near
            to singular ones that rounding decides, or steps diverge.
    """

    def __init__(self, spec: Conditioned, generations: Sequence[int]) -> None:
        self._spec, self._generations = spec, generations
        self._last = max(1, *generations)
        expected = Estimates.expected(spec)
        told = self._told(expected)
        self.inflation = told.inflation
        averaging = self._averaging()
        # How the pools that are read depend on what is put into those of each generation.
        steps = np.eye(len(averaging)) - averaging @ told.feedback
        self._response: Array = np.asarray(np.linalg.solve(steps, averaging), dtype=np.float64)
        public, noise = self._response @ told.public, self._heard_noise()
        spread = self._response @ told.spread @ self._response.T + public @ spec.public @ public.T
        alike = (len(generations), *averaging.shape)
        self.state = PoolState(
            mean=np.broadcast_to(self._mean(told, expected), alike[:2]),
            covariance=np.broadcast_to(spec.sigma**2 * spread + noise, alike),
            noise=np.broadcast_to(noise, alike),
            public=np.broadcast_to(spec.public @ public.T, (alike[0], spec.dimension, alike[1])),
        )

    def walk(self, block: EntityBlock) -> Iterator[BlockState]:
        """Walk one block of entities through the requested generations.

        Args:
            block: the block of b entities.

        Returns:
            Its state at each requested generation, in order of time.

        Raises:
            InvalidInput: as the class.
        """
        source = times(block.private @ self._said(block), self._response.T)
        for t, response in enumerate(self._responses(block)):
            for index, requested in enumerate(self._generations):
                if requested == t:
                    yield BlockState(index, response, source)

    def few_rows(self, rows: slice) -> None:
        """Return nothing: models that remember have no such way.

        Args:
            rows: slice(start, stop) of entity numbers.
        """

    def mean_given(self, estimates: Estimates) -> Array:
        """Return the pools' mean under given estimates of the real data.

        Args:
            estimates: the least-squares estimates of all sources.

        Returns:
            E zbar of generations 1 to T, once for each requested generation, shape (n, T d).

        Source: paper, Theorem 1.
        """
        mean = self._mean(self._told(estimates), estimates)
        return np.broadcast_to(mean, (len(self._generations), len(mean)))

    def _rows(self, generation: int) -> slice:
        d = self._spec.dimension
        return slice((generation - 1) * d, generation * d)

    def _averaging(self) -> Array:
        """Return C, shape (T d, T d)."""
        order, d = self._last, self._spec.dimension
        accumulates = self._spec.history == "accumulate"
        mixed = np.tri(order) / np.arange(1, order + 1)[:, None] if accumulates else np.eye(order)
        return np.asarray(np.kron(mixed, np.eye(d)), dtype=np.float64)

    def _heard_noise(self) -> Array:
        """Return what the label noise of all generations leaves in the pools, shape (T d, T d)."""
        return self._response @ np.kron(np.eye(self._last), self._spec.pool_noise) @ self._response.T

    def _mean(self, told: _Told, estimates: Estimates) -> Array:
        spec = self._spec
        fresh = spec.fresh_fraction * (spec.fresh_gram @ spec.inside(spec.truth_public))
        said = told.drive + told.public @ (spec.public @ estimates.public)
        return self._response @ (said + np.tile(fresh, self._last))

    def _told(self, estimates: Estimates) -> _Told:
        def sums(rows: slice) -> _Told:
            return self._told_by(EntityBlock.read(self._spec, rows), estimates)

        return reduce(add, map_blocks(sums, self._spec.entities, self._spec.dimension))

    def _told_by(self, block: EntityBlock, estimates: Estimates) -> _Told:
        d, long, moments = self._spec.dimension, self._last * self._spec.dimension, estimates.moment(block)
        feedback, public = np.zeros((long, long)), np.zeros((long, d))
        inflation = 1.0
        for t, response in enumerate(self._responses(block, self._last - 1)):
            rows, share = self._rows(t + 1), response.share
            feedback[rows] = weighted_sum(share, transposed(response.replies.pool))
            public[rows] = weighted_sum(share, transposed(response.replies.public))
            inflation = float(response.inflation.max())
        said = self._said(block)
        drive = np.einsum("bij,bi->j", said, moments)
        return _Told(feedback, public, drive, summed_products(said, block.private @ said), inflation)

    def _said(self, block: EntityBlock) -> Array:
        """Return B', B the part of an entity's own data in what it publishes, shape (b, d, T d)."""
        d, share = self._spec.dimension, self._spec.shares_of(block.rows)
        said = np.zeros((len(block.private), d, self._last * d))
        own = block.respond(self._spec.weights.at(0)).gains.private
        for t, (weights, update) in enumerate(self._updates(block, self._last - 1), start=1):
            said[:, :, self._rows(t)] = weighted(share, transposed(own) @ block.generated)
            own = update.start_gain @ own + weighted(weights.private, update.moment_gain)
        said[:, :, self._rows(self._last)] = weighted(share, transposed(own) @ block.generated)
        return said

    def _responses(self, block: EntityBlock, last: int | None = None) -> Iterator[Response]:
        """Carry a block's gains through generations 0 to T, or fewer; those on the pools have T d columns."""
        spec, d = self._spec, self._spec.dimension
        first = block.respond(spec.weights.at(0))
        own, public = first.gains.private, first.gains.public
        pools = np.zeros((len(block.private), d, self._last * d))
        yield _response_of(block, BySource(own, public, pools), first)
        for t, (w, update) in enumerate(self._updates(block, self._last if last is None else last), start=1):
            kept, learnt = update.start_gain, update.moment_gain
            own = kept @ own + weighted(w.private, learnt)
            public = kept @ public + weighted(w.public, learnt)
            before, now = slice(0, (t - 1) * d), self._rows(t)
            pools = pools.copy()
            pools[:, :, before] = kept @ pools[:, :, before]
            pools[:, :, now] = weighted(w.synthetic, learnt)
            yield _response_of(block, BySource(own, public, pools), first)

    def _updates(self, block: EntityBlock, last: int) -> Iterator[tuple[SourceWeights, Filter]]:
        """Return the block's weights and filters at generations 1 to the last."""
        spec = self._spec
        known: tuple[SourceWeights, Filter] | None = None
        for t in range(1, last + 1):
            if known is None or not spec.weights.constant:
                weights = spec.weights.at(t)
                known = weights.block(block.rows), block.filtered(weights)
            yield known


def _response_of(block: EntityBlock, gains: BySource, first: Response) -> Response:
    replies = BySource(*(transposed(gain) @ block.generated for gain in gains))
    ones = np.ones(1)
    alike = SourceWeights(ones, ones, ones)
    return Response(alike, first.share, block.private, gains, replies, first.singular, first.inflation, graded=True)
