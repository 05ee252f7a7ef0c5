"""Limits of networks in step that are solved for without a product of two matrices of all messages.

Reference: paper, Theorem 3, for one pool in step.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from crossfeed.theory.circulant import Circulant
from crossfeed.theory.circulant_law import CirculantLaw
from crossfeed.theory.in_step import InStep
from crossfeed.theory.in_step_limit import InStepLimit
from crossfeed.theory.in_step_series import InStepSeries
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.lifted import LARGEST
from crossfeed.theory.network_cycle import BIAS_TOLERANCE, LARGE, arnoldi_radius
from crossfeed.theory.network_means import is_plain, mean_limit
from crossfeed.theory.network_moments import NetworkLaw
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.spectrum import unit_error, unit_tolerance


class LimitingLaw(NetworkLaw, Protocol):
    """The law of the estimates in the limit, solved for without following a cycle."""

    @property
    def full_rank(self) -> Mask:
        """Shape (K,), True where an entity's training set determines its estimate."""
        ...

    def unbiased(self, tolerance: float) -> Mask:
        """Tell estimates whose mean is the truth, whatever truth all data follow.

        Args:
            tolerance: share of the truth below which an error counts as rounding.

        Returns:
            Shape (K,).
        """
        ...


@dataclass(frozen=True, eq=False)
class SettledBelow:
    """The long run of a network whose spectral radius is below one (`Settled`).

    Attributes:
        law: of the estimates in the limit.
        radius: the spectral radius.
    """

    law: LimitingLaw
    radius: float

    @property
    def full_rank(self) -> Mask:
        """Shape (K,), True where an entity's training set determines its estimate."""
        return self.law.full_rank

    @property
    def inflation(self) -> float:
        """Factor by which rounding errors of Gram matrices are multiplied, at most."""
        return self.law.inflation

    def unbiased(self) -> Mask:
        """Tell estimates whose mean is the truth, whatever truth all data follow.

        Returns:
            Shape (K,).
        """
        full = self.full_rank
        return full if full.all() and self.radius < 1.0 - BIAS_TOLERANCE else self.law.unbiased(BIAS_TOLERANCE)

    def drift_rates(self, drift: Array) -> Array:
        """Return what a drift adds to each entity's variance per generation.

        Args:
            drift: covariance that is added per generation; below a spectral radius of one there is none.

        Returns:
            Shape (K,).
        """
        rates: Array = 0.0 * np.trace(drift) * np.ones(len(self.full_rank))
        return rates


def limit_below_one(spec: Conditioned) -> SettledBelow | None:
    """Solve for the limit of a network in step without products of large matrices.

    Args:
        spec: the specification, with a network and constant weights.

    Returns:
        The limit; None where the spectral radius is not below one or another way is open or shorter.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.

    Source: paper, Theorem 3.
    """
    circulant = Circulant.of(spec)
    if circulant is not None:
        law = CirculantLaw(circulant, [None])
        below = circulant.radius < 1.0 - unit_tolerance(unit_error(spec.pool_gram, law.inflation, spec.rounding))
        return SettledBelow(law, circulant.radius) if below else None
    size = spec.entities * spec.dimension
    if not is_plain(spec) or size < LARGE:
        return None
    step = InStep.of(spec)
    radius = arnoldi_radius(size, lambda vector: step.said(vector[:, None])[:, 0])
    error = unit_error(spec.pool_gram, float(step.gains.inflation.max()), spec.rounding)
    if radius is None or radius >= 1.0 - unit_tolerance(error):
        return None
    if size > LARGEST:
        return SettledBelow(mean_limit(step), radius)
    series = InStepSeries.of(step)
    return None if series is None else SettledBelow(InStepLimit(spec, series), radius)
