"""The pool at the requested generations: zbar_t's mean and covariance, and its covariance with every source.

Two ways lead there: `crossfeed.theory.constant_path` and `crossfeed.theory.scheduled_path` (see
`crossfeed.theory.consensus` for the symbols).

Reference: the recursions are those of the paper's Theorems 1 and 2, reduced as in `crossfeed.theory.consensus`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crossfeed.theory.consensus import Estimates
from crossfeed.theory.few_rows import FewRows
from crossfeed.theory.kernels import Array
from crossfeed.theory.response import EntityBlock, Response
from crossfeed.theory.specification import Conditioned, Specification


@dataclass(frozen=True)
class PoolState:
    """The pool at n generations (all zero at generation 0, when there is none).

    Where models remember, it is the pools of T generations below each other, and m = T d; elsewhere m = d.

    Attributes:
        mean: E zbar, shape (n, m).
        covariance: Cov zbar, shape (n, m, m).
        noise: Gamma, the part of the covariance that stays when the real data are given, shape (n, m, m).
        public: Cov(X_*'y_*, zbar) / sigma^2, shape (n, d, m).
    """

    mean: Array
    covariance: Array
    noise: Array
    public: Array


@dataclass(frozen=True)
class BlockState:
    """One block of entities at one requested generation.

    Attributes:
        index: position of the generation among those requested.
        response: the block's response at that generation.
        source: C, the covariance of each entity's data with the pool over sigma^2, shape (b, d, m) (`PoolState`).
    """

    index: int
    response: Response
    source: Array


@dataclass(frozen=True)
class FewRowsState:
    """One block of entities with few rows at one requested generation.

    Attributes:
        response: the block's response at that generation.
        source: B, the covariance of each entity's data with the pool over sigma^2 being X'B, shape (b, n, d).
    """

    response: FewRows
    source: Array


class PoolPath(Protocol):
    """The pool along the requested generations.

    Attributes:
        state: its moments.
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.
    """

    state: PoolState
    inflation: float

    def walk(self, block: EntityBlock) -> Iterator[BlockState]:
        """Walk one block of entities through the requested generations.

        Args:
            block: the block of b entities.

        Returns:
            One state for each requested generation, in any order.
        """
        ...

    def few_rows(self, rows: slice) -> list[FewRowsState] | None:
        """Return one block of entities at the requested generations, where products of few rows give it.

        Args:
            rows: slice(start, stop) of entity numbers.

        Returns:
            One state for each requested generation, in the order requested; None where there is no such way.
        """
        ...

    def mean_given(self, estimates: Estimates) -> Array:
        """Return the pool's mean under given estimates of the real data.

        Args:
            estimates: the least-squares estimates of all sources.

        Returns:
            E zbar at the requested generations, shape (n, m).
        """
        ...


def newest_share(spec: Specification, generation: int) -> float:
    """Return g_t, the weight of generation t's own data in the pool.

    Args:
        spec: the ecosystem's specification.
        generation: t >= 1, the generation at which the pool is collected.

    Returns:
        One, or 1/t where the pool accumulates.
    """
    return 1.0 if spec.history == "latest" else 1.0 / generation


def pool_step(spec: Conditioned, matrix: Array, generation: int) -> Array:
    """Return the step H = (1 - g) I + g A that leads to the pool of generation t.

    Args:
        spec: the ecosystem's specification.
        matrix: A, shape (d, d).
        generation: t >= 1.

    Returns:
        H, shape (d, d).
    """
    g = newest_share(spec, generation)
    return (1.0 - g) * np.eye(spec.dimension) + g * matrix


def next_noise(spec: Conditioned, step: Array, noise: Array, generation: int) -> Array:
    """Return Gamma of generation t from that of t - 1.

    Args:
        spec: the ecosystem's specification.
        step: H, shape (d, d).
        noise: Gamma of generation t - 1, shape (d, d).
        generation: t >= 1.

    Returns:
        H Gamma H' + g^2 N, shape (d, d).
    """
    propagated: Array = step @ noise @ step.T + newest_share(spec, generation) ** 2 * spec.pool_noise
    return propagated
