"""Means alone of a large network in step: its covariances are too many numbers, its messages are not.

The mean of the messages moves by p' = A p + d, at the cost of one product with the sparse W; its limit is solved for by
GMRES, and the spectral radius is found by Arnoldi's method.

Reference: Saad and Schultz, GMRES, SIAM J. Sci. Stat. Comput. 7 (1986); paper, Theorem 1, for one pool in step.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.in_step import InStep
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.lifted import check_size
from crossfeed.theory.network_gains import Gains, answered
from crossfeed.theory.specification import Conditioned

# Residual of means in the limit, as a share of what comes in, and the attempts at it.
_RESIDUAL, _ATTEMPTS = 1e-14, 4


def is_plain(spec: Conditioned) -> bool:
    """Tell networks whose generations from 1 on are all alike.

    Args:
        spec: the ecosystem's specification, with a network.

    Returns:
        True if all train and are heard at every generation, under constant weights and of the same rows.
    """
    network = spec.network
    assert network is not None  # noqa: S101 - for the type checker; called for networks alone
    same = network.timing.in_step and network.timing.stale == "keep" and network.generated_at is None
    return same and spec.weights.constant


class MeanLaw:
    """The means of a network's estimates, as far as they are known of `crossfeed.theory.network_moments.NetworkLaw`.

    Args:
        step: one generation.
        messages: mean of the messages that are read, for each of n generations, shape (K, d); None: generation 0.

    Attributes:
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.
        there: True for all, shape (n, K).
    """

    def __init__(self, step: InStep, messages: Sequence[Array | None]) -> None:
        self._step, self._messages = step, messages
        self.inflation = float(step.gains.inflation.max())
        self.there = np.ones((len(messages), step.spec.entities), dtype=np.bool_)

    @property
    def mean(self) -> Array:
        """Shape (n, K, d)."""
        return np.array([estimates(self._step, each) for each in self._messages])

    @property
    def covariance(self) -> Array:
        """Refused."""
        return self._refused()

    def variance(self) -> Array:
        """Refuse: covariances of so many messages are not followed.

        Returns:
            Nothing.

        Raises:
            InvalidInput: always.
        """
        return self._refused()

    def dispersion(self) -> Array:
        """Refuse as `variance`.

        Returns:
            Nothing.

        Raises:
            InvalidInput: always.
        """
        return self._refused()

    def gain_norms(self) -> Array:
        """Refuse as `variance`.

        Returns:
            Nothing.

        Raises:
            InvalidInput: always.
        """
        return self._refused()

    def given(self, estimates: Estimates) -> tuple[Array, Array]:
        """Refuse as `variance`.

        Args:
            estimates: the estimates of all sources.

        Returns:
            Nothing.

        Raises:
            InvalidInput: always.
        """
        return self._refused(), estimates.private

    @property
    def full_rank(self) -> Mask:
        """Shape (K,), True where an entity's training set determines its estimate."""
        mask: Mask = ~self._step.gains.singular
        return mask

    def unbiased(self, tolerance: float) -> Mask:
        """Refuse as `variance`: asked where some training sets are singular.

        Args:
            tolerance: share of the truth below which an error counts as rounding.

        Returns:
            Nothing.

        Raises:
            InvalidInput: always.
        """
        return self._refused() <= tolerance

    def _refused(self) -> Array:
        check_size(self._step.spec)
        raise AssertionError("means alone are solved for where messages are too many")


def estimates(step: InStep, messages: Array | None) -> Array:
    """Return the means of the estimates of those who read messages of a given mean.

    Args:
        step: one generation.
        messages: means of the messages, shape (K, d); None at generation 0, when nothing is read.

    Returns:
        Shape (K, d).
    """
    spec, expected = step.spec, Estimates.expected(step.spec)
    K = spec.entities
    gains = step.gains if messages is not None else _first(step)
    moments = np.einsum("kij,kj->ki", spec.private.all(), np.broadcast_to(expected.private, (K, spec.dimension)))
    mean: Array = np.einsum("kij,kj->ki", gains.private, moments) + gains.public @ (spec.public @ expected.public)
    if messages is not None:
        fresh = spec.fresh_fraction * (spec.fresh_gram @ spec.inside(spec.truth_public))
        mean += np.einsum("kij,kj->ki", gains.heard, step.hear(messages) + fresh)
    return mean


def _first(step: InStep) -> Gains:
    nothing = np.zeros((step.spec.entities, *step.spec.public.shape))
    return answered(step.spec, step.spec.weights.at(0), nothing)


def _said(step: InStep, means: Array) -> Array:
    said: Array = np.einsum("kij,kj->ki", step.spec.generated.all(), means)
    return said


def mean_path(spec: Conditioned, generations: Sequence[int]) -> MeanLaw:
    """Follow the means of a network.

    Args:
        spec: the ecosystem's specification (`is_plain`).
        generations: n whole numbers >= 0, in any order.

    Returns:
        Their law.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.

    Source: paper, Theorem 1, for one pool in step.
    """
    step, wanted = InStep.of(spec), set(generations)
    found: dict[int, Array | None] = {}
    messages: Array | None = None
    for t in range(max(generations) + 1):
        if t in wanted:
            found[t] = messages
        messages = _said(step, estimates(step, messages))
    return MeanLaw(step, [found[t] for t in generations])


def mean_limit(step: InStep) -> MeanLaw:
    """Solve for the means of a network in the limit.

    Args:
        step: one of its generations; its spectral radius is below one.

    Returns:
        Their law.

    Raises:
        InvalidInput: if GMRES does not reach them.

    Source: paper, Theorem 3, for one pool in step.
    """
    from scipy.sparse.linalg import LinearOperator, gmres

    shape = step.spec.entities, step.spec.dimension
    size = shape[0] * shape[1]
    drive = _said(step, estimates(step, np.zeros(shape))).ravel()

    def apply(vector: Array) -> Array:
        found: Array = vector - step.said(vector.reshape(size, 1))[:, 0]
        return found

    operator: Any = LinearOperator((size, size), matvec=apply, dtype=np.float64)
    messages, norm = np.zeros(size), float(np.linalg.norm(drive))
    for _ in range(_ATTEMPTS):
        residual = drive - apply(messages)
        if not np.linalg.norm(residual) > _RESIDUAL * norm:
            break
        messages = messages + gmres(operator, residual, rtol=1e-10, restart=60, maxiter=40)[0]
    if np.linalg.norm(drive - apply(messages)) > np.sqrt(_RESIDUAL) * norm:
        raise InvalidInput(
            "means of a network so large and so near to the boundary are not reached by GMRES; read .moments([t]) at a "
            "large t"
        )
    return MeanLaw(step, [messages.reshape(shape)])
