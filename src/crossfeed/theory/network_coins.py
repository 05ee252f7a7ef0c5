"""The long run of a network where coins decide who trains.

Means move by the expected H of `crossfeed.theory.network_cycle`. Covariances of the messages move by a linear map of
their own, X' = L X + (what comes in), because a coin that multiplies a mean adds to the variance; its spectral radius
is that of mean-square stability, and its fixed point is found by GMRES. Estimates that are kept with the probability
kappa over a cycle settle at 1/(1 - kappa) times what one cycle brings.

Reference: Saad and Schultz, GMRES, SIAM J. Sci. Stat. Comput. 7 (1986); Costa, Fragoso and Marques, Discrete-Time
Markov Jump Linear Systems (2005), Chapter 3, for mean-square stability.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array
from crossfeed.theory.lifted import Lifted, State
from crossfeed.theory.lifted_path import LiftedPath
from crossfeed.theory.network_cycle import Cycle, Settled, SettledNetwork, expected_sources, inputs_of, per_generation
from crossfeed.theory.network_moments import NetworkMoments
from crossfeed.theory.readouts import Moments
from crossfeed.theory.specification import Specified
from crossfeed.theory.spectrum import Growth, boundary, spectral_radius, unit_error, unit_tolerance

# Residual of covariances in the long run, as a share of what comes in, and the attempts at it.
_RESIDUAL, _ATTEMPTS = 1e-14, 4

# Maps of so many numbers have all their eigenvalues computed.
_FULL_SPECTRUM = 64

# Cycles over which noise on the boundary is followed, and the change over the second half that counts as none.
_FOLLOWED, _STILL = 400, 1e-6


def coins_limit(eco: Specified, cycle: Cycle) -> tuple[float, Moments | Growth, Settled]:
    """Solve for the long run of a network where coins decide who trains.

    Args:
        eco: the ecosystem, with a network and constant weights.
        cycle: its cycle, averaged over the coins.

    Returns:
        The spectral radius per generation, the moments or the growth, and what else is known.

    Raises:
        InvalidInput: if a limit depends on the first generations, or covariances cannot be solved for.

    Source: paper, Theorem 3, for one pool in step.
    """
    spec = cycle.spec
    tolerance = unit_tolerance(unit_error(spec.pool_gram, cycle.inflation, spec.rounding))
    silent = Lifted(spec, expected_sources(spec, given=True))
    zero = cycle.settled(silent, np.zeros_like(cycle.drive), np.zeros_like(cycle.noise))
    of_squares = _radius(_linear_map(cycle, silent, zero), zero.covariance.size)
    largest = max(math.sqrt(of_squares), spectral_radius(cycle.matrix))
    radius = largest ** (1.0 / cycle.length)
    if largest < 1.0 - tolerance:
        gain: Array = np.asarray(np.linalg.solve(np.eye(len(cycle.matrix)) - cycle.matrix, cycle.drive), np.float64)

        def run(steps: Lifted) -> Iterator[tuple[int, State]]:
            yield cycle.first + cycle.length - 1, _settled(cycle, steps, gain)

        path = LiftedPath(spec, [cycle.first + cycle.length - 1], run)
        return radius, NetworkMoments(eco, path), SettledNetwork(cycle, path)
    growth = _growth(cycle, silent, zero, largest, tolerance)
    return radius, per_generation(growth, cycle.length), SettledNetwork(cycle, None)


def _linear_map(cycle: Cycle, steps: Lifted, state: State) -> Callable[[Array], Array]:
    """The part of a cycle that is linear in the state's covariance, on symmetric matrices as vectors."""
    came = cycle.through(steps, state).covariance.ravel()
    n = math.isqrt(came.size)

    def apply(flat: Array) -> Array:
        square = flat.reshape(n, n)
        symmetric = (square + square.T) / 2
        moved = cycle.through(steps, replace(state, covariance=symmetric.reshape(state.covariance.shape)))
        linear: Array = moved.covariance.ravel() - came
        return linear

    return apply


def _radius(apply: Callable[[Array], Array], size: int) -> float:
    from scipy.sparse.linalg import LinearOperator, eigs

    if size <= _FULL_SPECTRUM:
        return spectral_radius(np.array([apply(unit) for unit in np.eye(size)]).T)
    operator = LinearOperator((size, size), matvec=apply, dtype=np.float64)
    start = np.eye(math.isqrt(size)).ravel()
    return float(np.abs(eigs(operator, k=1, v0=start, return_eigenvectors=False)).max())


def _settled(cycle: Cycle, steps: Lifted, gain: Array) -> State:
    """Return the state after a cycle in the limit."""
    renewed, d = cycle.renewed, cycle.spec.dimension
    state = cycle.settled(steps, gain, np.zeros_like(cycle.noise))
    own_gain = cycle.through(steps, state).own_gain / renewed[:, None, None]
    state.gain[:, d:] = own_gain[:, : state.gain.shape[1] - d]
    state = replace(state, own_gain=own_gain)
    came = cycle.through(steps, state).covariance
    covariance = _fixed_point(_linear_map(cycle, steps, state), came.ravel()).reshape(came.shape)
    state = cycle.through(steps, replace(state, covariance=covariance))
    return replace(state, own_covariance=state.own_covariance / renewed[:, None, None])


def _fixed_point(apply: Callable[[Array], Array], came: Array) -> Array:
    """Solve X = L X + came."""
    from scipy.sparse.linalg import LinearOperator, gmres

    operator = LinearOperator((came.size,) * 2, matvec=lambda x: x - apply(x), dtype=np.float64)
    solution, size = np.zeros_like(came), float(np.linalg.norm(came))
    for _ in range(_ATTEMPTS):
        residual = came - operator.matvec(solution)
        if not np.linalg.norm(residual) > _RESIDUAL * size:
            break
        solution = solution + gmres(operator, residual, rtol=1e-10, restart=60, maxiter=40)[0]
    if np.linalg.norm(came - operator.matvec(solution)) > math.sqrt(_RESIDUAL) * size:
        raise InvalidInput(
            "covariances of a network with coins so near to the boundary cannot be solved for; read .moments([t]) at a "
            "large t"
        )
    return solution


def _growth(cycle: Cycle, steps: Lifted, state: State, radius: float, tolerance: float) -> Growth:
    if radius > 1.0 + tolerance:
        return Growth("geometric", radius)
    inputs = inputs_of(cycle, cycle.from_start(steps))
    quiet = replace(inputs, noise=np.zeros_like(inputs.noise))
    law = boundary(cycle.matrix, quiet, accumulate=False, tolerance=tolerance)
    if isinstance(law, Growth):
        return law
    apply, noise = _linear_map(cycle, steps, state), cycle.through(steps, state).covariance.ravel()
    size, halfway = float(np.abs(noise).max()), noise
    for step in range(_FOLLOWED):
        noise = apply(noise)
        if step == _FOLLOWED // 2:
            halfway = noise
    if np.abs(noise).max() > _STILL * size:
        still = np.abs(noise - halfway).max() <= _STILL * np.abs(noise).max()
        return Growth("linear", 1.0, noise.reshape(cycle.noise.shape) if still else None)
    raise InvalidInput(
        "a limit with coins at a spectral radius of one depends on what the first generations' coins decided; read "
        ".moments([t]) at a large t"
    )
