"""The long run of a network: the limit of its messages and estimates, or the law by which they grow.

The messages move by p' = H p + D (sources) + noise over a cycle (`crossfeed.theory.network_cycle`), so that the limit
and the laws of growth are those of `crossfeed.theory.spectrum` for H. One more cycle from there gives every estimate.

Reference: paper, Theorem 3, for one pool in step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.accuracy import tell
from crossfeed.theory.channel_limit import channel_limit
from crossfeed.theory.channels import Channels
from crossfeed.theory.in_step import InStep
from crossfeed.theory.kernels import Array
from crossfeed.theory.lifted import Lifted, State
from crossfeed.theory.lifted_path import LiftedPath, Run
from crossfeed.theory.network_below import limit_below_one
from crossfeed.theory.network_coins import coins_limit
from crossfeed.theory.network_cycle import (
    LARGE,
    Cycle,
    Settled,
    SettledNetwork,
    expected_sources,
    inputs_of,
    largest_eigenvalue,
    per_generation,
)
from crossfeed.theory.network_moments import NetworkMoments
from crossfeed.theory.readouts import Moments
from crossfeed.theory.specification import Specified
from crossfeed.theory.spectrum import (
    Growth,
    Stationary,
    boundary,
    settles,
    stationary,
    unit_error,
    unit_tolerance,
)

# Terms of a series that cost as much as doubling it.
_MANY_TERMS = 150


def network_limit(eco: Specified) -> tuple[float, Moments | Growth, Settled]:
    """Solve for the long run of a network.

    Args:
        eco: the ecosystem, with a network and constant weights.

    Returns:
        The spectral radius per generation, the moments or the growth, and what else is known.

    Raises:
        InvalidInput: if the published rows change with the generation, no solver reaches so far, or coins decide on a
            boundary.

    Warns:
        IllConditioned: if rounding leaves few digits.

    Source: paper, Theorem 3.
    """
    spec = eco.specification.conditioned
    assert spec.network is not None  # noqa: S101 - for the type checker; called for networks alone
    if spec.network.generated_at is not None:
        raise InvalidInput(
            "a limit needs data that stay, and generated_at is a function of the generation; give generated, or read "
            ".moments([t]) at a large t"
        )
    channels = Channels.of(spec)
    if channels is not None:
        return channel_limit(eco, channels)
    found = limit_below_one(spec)
    if found is not None:
        tell(spec, found.inflation)
        return found.radius, NetworkMoments(eco, found.law), found
    cycle = Cycle.of(spec, spec.network.timing)
    tell(spec, cycle.inflation)
    return coins_limit(eco, cycle) if spec.network.timing.random else _without_coins(eco, cycle)


def _without_coins(eco: Specified, cycle: Cycle) -> tuple[float, Moments | Growth, Settled]:
    spec, accumulate = cycle.spec, cycle.spec.history == "accumulate"
    tolerance = unit_tolerance(unit_error(spec.pool_gram, cycle.inflation, spec.rounding))
    steps, start = Lifted(spec, expected_sources(spec, given=True)), None
    step = InStep.of(spec) if cycle.in_step else None
    radius = largest_eigenvalue(cycle.matrix, None if step is None else step.said)
    long_run: Stationary | Growth
    if radius < 1.0 - tolerance or settles(cycle.matrix, accumulate, tolerance):
        long_run = _stationary(cycle, step, radius)
    else:
        start = cycle.from_start(steps)
        long_run = boundary(cycle.matrix, inputs_of(cycle, start), accumulate, tolerance)
    root = radius ** (1.0 / cycle.length)
    if isinstance(long_run, Growth):
        growth = per_generation(long_run, cycle.length)
        return root, growth, SettledNetwork(cycle, None)
    path = LiftedPath(spec, [cycle.first + cycle.length - 1], _settled_run(cycle, long_run, start, step))
    return root, NetworkMoments(eco, path), SettledNetwork(cycle, path)


def _stationary(cycle: Cycle, step: InStep | None, radius: float) -> Stationary:
    """Solve for the long run below a radius of one, term by term where terms cost less than products of matrices."""
    terms = math.log(np.finfo(float).eps / 16) / (2 * math.log(radius)) if 0 < radius < 1 else 1.0
    accumulate, size = cycle.spec.history == "accumulate", len(cycle.matrix)
    if step is None or accumulate or size < LARGE or terms > _MANY_TERMS:
        return stationary(cycle.matrix, cycle.noise, accumulate)
    total, term = cycle.noise.copy(), cycle.noise
    for _ in range(_MANY_TERMS * 2):
        term = step.said(step.said(term).T)
        total += term
        if not np.trace(term) > np.finfo(float).eps / 4 * np.diag(total).max():  # no entry of it is larger
            break
    lasting: Array = np.asarray(np.linalg.inv(np.eye(size) - cycle.matrix), dtype=np.float64)
    return Stationary(lasting, np.zeros_like(lasting), (total + total.T) / 2)


def _settled_run(cycle: Cycle, long_run: Stationary, start: State | None, step: InStep | None) -> Run:
    size = len(cycle.matrix)
    gain, noise = long_run.lasting @ cycle.drive, long_run.noise
    if start is not None:
        gain = gain + long_run.initial @ start.gain.reshape(size, -1)
        if cycle.spec.history == "latest":  # the other mean's noise begins with the start's
            noise = noise + long_run.initial @ start.covariance.reshape(size, size) @ long_run.initial.T

    def run(steps: Lifted) -> Iterator[tuple[int, State]]:
        if step is not None and not steps.joint:
            yield cycle.first, steps.estimates(step, gain, noise)
            return
        state = cycle.settled(steps, gain, noise + steps.spread(gain))
        yield cycle.first + cycle.length - 1, cycle.through(steps, state)

    return run
