"""The long run of a network through few channels: one cycle of the clocks, and what it settles at.

Over a cycle the channels' gains move by L_1' = Phi L_1 + J and their noise by Gamma' = Phi Gamma Phi' + N; the limit
and the laws of growth are those of `crossfeed.theory.spectrum` for Phi, which is A where everybody trains at every
generation.

Reference: as `crossfeed.theory.limit`, of which this is the form with several channels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.accuracy import tell
from crossfeed.theory.channel_law import ChannelLaw, ChannelState
from crossfeed.theory.channel_path import ChannelSteps
from crossfeed.theory.channels import Channels, ChannelSystem, Sums
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.network_cycle import BIAS_TOLERANCE, Settled, per_generation
from crossfeed.theory.network_moments import NetworkMoments
from crossfeed.theory.readouts import Moments
from crossfeed.theory.specification import Conditioned, Specified
from crossfeed.theory.spectrum import (
    Growth,
    Inputs,
    Stationary,
    boundary,
    settles,
    spectral_radius,
    stationary,
    unit_error,
    unit_tolerance,
)


def channel_limit(eco: Specified, channels: Channels) -> tuple[float, Moments | Growth, Settled]:
    """Solve for the long run of a network through its channels.

    Args:
        eco: the ecosystem, with a network and constant weights.
        channels: its channels.

    Returns:
        The spectral radius per generation, the moments or the growth, and what else is known.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides, or numbers overflow.

    Warns:
        IllConditioned: if rounding leaves few digits.

    Source: paper, Theorem 3, for one pool in step.
    """
    spec = eco.specification.conditioned
    accumulate, system = spec.history == "accumulate", ChannelSystem(spec, channels)
    sums = system.sums(Estimates.expected(spec), both=False)
    if not np.isfinite(sums.matrix).all():
        raise InvalidInput("features are of sizes so far apart that numbers overflow; give features of about one scale")
    tell(spec, sums.inflation)
    latest = ChannelSteps(replace(spec, history="latest"), channels, sums)
    length = int(np.lcm.reduce(channels.clocks[:, 0]))
    matrix, inflow, noise = latest.cycle(length)
    tolerance = unit_tolerance(unit_error(spec.pool_gram, sums.inflation, spec.rounding))
    radius = spectral_radius(matrix) ** (1.0 / length)
    initial = np.zeros_like(matrix)
    long_run: Stationary | Growth
    if settles(matrix, accumulate, tolerance):
        long_run = stationary(matrix, noise, accumulate)
    else:
        sums = system.sums(Estimates.expected(spec), both=True)
        long_run = boundary(matrix, _inputs(spec, sums, inflow, noise), accumulate, tolerance)
    if isinstance(long_run, Growth):
        growth = per_generation(long_run, length)
        return radius, growth, _SettledChannels(spec, system, latest, sums, None)
    initial = long_run.initial
    start = ChannelState(np.array([initial, long_run.lasting @ inflow]), long_run.noise)
    law = ChannelLaw(spec, system, sums, latest.step, channels.newest(length)[None], latest.through(start, length))
    return radius, NetworkMoments(eco, law), _SettledChannels(spec, system, latest, sums, law)


def _inputs(spec: Conditioned, sums: Sums, inflow: Array, noise: Array) -> Inputs:
    fresh, d = np.zeros_like(noise), spec.dimension
    if spec.fresh is not None:
        fresh[-d:, -d:] = spec.fresh
    heard = float(np.linalg.norm(sums.spread[0, 0]))
    return Inputs(noise, inflow @ (sums.spread[1, 1] + fresh) @ inflow.T, sums.spread[0, 0], heard)


@dataclass(frozen=True, eq=False)
class _SettledChannels:
    """The long run of a network through its channels (`crossfeed.theory.network_cycle.Settled`)."""

    spec: Conditioned
    system: ChannelSystem
    steps: ChannelSteps
    sums: Sums
    law: ChannelLaw | None

    @property
    def full_rank(self) -> Mask:
        mask: Mask = ~self.sums.singular
        return mask

    @property
    def inflation(self) -> float:
        return self.sums.inflation

    def unbiased(self) -> Mask:
        assert self.law is not None  # noqa: S101 - for the type checker; asked where there is a limit
        if self.full_rank.all() and not self.law.remembers:
            return self.full_rank
        error = np.zeros(self.spec.entities)
        for truth in np.eye(self.spec.dimension):
            theta = self.spec.outside(truth)
            common = replace(self.spec, truth_public=theta, truths=np.broadcast_to(theta, self.spec.truths.shape))
            error += ((self.law.mean_under(common) - truth) ** 2).sum(axis=1)
        return error <= BIAS_TOLERANCE**2

    def drift_rates(self, drift: Array) -> Array:
        channels, length = self.system.channels, int(np.lcm.reduce(self.system.channels.clocks[:, 0]))
        nothing, noise = np.zeros((2, *drift.shape)), drift
        states = {}
        for t in range(1, length + 1):
            states[t] = ChannelState(nothing, noise)
            step = self.steps.step(t)[0]
            noise = step @ noise @ step.T
        law = ChannelLaw(self.spec, self.system, self.sums, self.steps.step, channels.newest(length)[None], states)
        _, covariance = law.given(Estimates.expected(self.spec))
        rates: Array = np.einsum("kab,ab->k", covariance[0], law.metric)
        return rates
