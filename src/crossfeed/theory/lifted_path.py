"""A network at given generations, with the messages of all authors followed together.

Reference: paper, Theorems 1 and 2, for one pool in step; see `crossfeed.theory.lifted`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from crossfeed.theory.consensus import Estimates
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.lifted import Lifted, Sources, State
from crossfeed.theory.source_gains import gain_norms, unbiased
from crossfeed.theory.specification import Conditioned

_Result = TypeVar("_Result")

#: Generations and states after them, of a run under given data and with or without joint covariances of estimates.
Run = Callable[[Lifted], Iterator[tuple[int, State]]]


class LiftedPath:
    """A network along generations.

    Args:
        spec: the ecosystem's specification.
        generations: n whole numbers >= 0, in any order.
        run: states along the generations; default: from generation 0 on.

    Attributes:
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.
        there: True where an entity is there, shape (n, K).
        mean: shape (n, K, d).
        covariance: shape (n, K, d, d).
        singular: True where an entity's newest training set is singular at the last generation, shape (K,).

    Raises:
        InvalidInput: if K d is too large, or Gram matrices are so near to singular ones that rounding decides.
    """

    def __init__(self, spec: Conditioned, generations: Sequence[int], run: Run | None = None) -> None:
        assert spec.network is not None  # noqa: S101 - for the type checker; called for networks alone
        self._spec, self._generations, self._run = spec, generations, run or _from_the_start(max(generations))
        self.there = np.array([spec.network.timing.there(t) for t in generations])
        found = self._read(Estimates.expected(spec), lambda steps, state: (steps.mean(state.own_gain), state))
        self.mean = np.array([mean for mean, _ in found])
        self.covariance = np.array([state.own_covariance for _, state in found])
        self.inflation, self.singular = found[-1][1].inflation, found[-1][1].singular

    def variance(self) -> Array:
        """Return the traces of the covariances of theta.

        Returns:
            Shape (n, K).
        """
        variance: Array = np.einsum("nkab,ab->nk", self.covariance, self._metric)
        return variance

    def dispersion(self) -> Array:
        """Return the mean over pairs of the squared distance of two estimates of theta.

        Returns:
            Shape (n,); nan where nobody is there.

        Raises:
            InvalidInput: as the constructor.
        """
        d, there = self._spec.dimension, iter(self.there)

        def apart(steps: Lifted, state: State) -> float:
            here = next(there)
            count = int(here.sum())
            if count < 2:
                return 0.0
            joint = state.covariance[:, -d:, :, -d:][here][:, :, here]
            products = np.einsum("kalb,ab->kl", joint, self._metric)
            mean = self._spec.outside(steps.mean(state.own_gain[here]))
            offset = mean - mean.mean(axis=0)
            sums = count * np.trace(products) - products.sum() + count * (offset**2).sum()
            return max(0.0, 2.0 * float(sums) / (count * (count - 1)))

        return np.array(self._read(Estimates.expected(self._spec), apart, joint=True))

    def gain_norms(self) -> Array:
        """Return the norms of the gains on the sources' estimates.

        Returns:
            Shape (n, K, K + 1).

        Raises:
            InvalidInput: as the constructor.
        """
        return np.array(
            self._read(Estimates.expected(self._spec), lambda _, state: gain_norms(self._spec, state.own_gain))
        )

    def unbiased(self, tolerance: float) -> Mask:
        """Tell estimates whose mean is the truth, whatever truth all data follow.

        Args:
            tolerance: share of the truth below which an error counts as rounding.

        Returns:
            Shape (n, K).

        Raises:
            InvalidInput: as the constructor.
        """

        def right(_: Lifted, state: State) -> Mask:
            return unbiased(self._spec, state.own_gain, tolerance)

        return np.array(self._read(Estimates.expected(self._spec), right))

    def given(self, estimates: Estimates) -> tuple[Array, Array]:
        """Return mean and covariance given the real data's least-squares estimates.

        Args:
            estimates: the estimates of all sources.

        Returns:
            Shapes (n, K, d) and (n, K, d, d).

        Raises:
            InvalidInput: as the constructor.
        """
        found = self._read(
            estimates, lambda steps, state: (steps.mean(state.own_gain), state.own_covariance), given=True
        )
        return np.array([mean for mean, _ in found]), np.array([covariance for _, covariance in found])

    @property
    def _metric(self) -> Array:
        outward = np.eye(self._spec.dimension) if self._spec.coordinates is None else self._spec.coordinates.outward
        metric: Array = outward.T @ outward
        return metric

    def _read(
        self,
        estimates: Estimates,
        read: Callable[[Lifted, State], _Result],
        *,
        joint: bool = False,
        given: bool = False,
    ) -> list[_Result]:
        """Run through the generations and read something at those that are asked for."""
        sources = Sources.of(self._spec, estimates.private, estimates.public, given=given)
        steps, wanted = Lifted(self._spec, sources, joint=joint), set(self._generations)
        found = {t: read(steps, state) for t, state in self._run(steps) if t in wanted}
        return [found[t] for t in self._generations]


def _from_the_start(last: int) -> Run:
    def run(steps: Lifted) -> Iterator[tuple[int, State]]:
        state = steps.start()
        for t in range(last + 1):
            state = steps.generation(state, t)
            yield t, state

    return run
