r"""The long run of models that remember (few steps, each time from the model of the generation before).

What does not change from generation to generation enters a pool z that no longer moves as under full minimisation:

    theta = E theta + (I - E) G^+ (p m_k + q m_* + a z)      has the solution      theta = G^+ (p m_k + q m_* + a z),

whatever E is. **Theorem.** Where the limit exists, its mean, its bias, the influence of every source and the covariance
that real data leave depend neither on the number of steps nor on their size; they are those of full minimisation, also
where full minimisation itself has no limit since it overshoots. (Where no data reach a direction of theta_k from
generation 1 on, what generation 0 put there stays, in place of zero.) Only generated noise is averaged over more
generations (`crossfeed.theory.memory_noise`). With the history "accumulate" it averages out in any case, and the
condition for a limit is that of full minimisation.

At an eigenvalue one of A(1), A(zeta) = sum_s A_s zeta^{-1-s}, noise adds the same covariance at every generation,
R N R' with R the residue of [I - A(zeta)]^{-1} at one. The slope of I - A(zeta) there is

    sum_s (1 + s) A_s = sum_j s_j a_j S_j (I - E_j)^{-2} F_j.

Reference: the fixed point is that of the paper's Theorem 3; that steps leave it is not in the paper.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, weighted_sum
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.spectrum import Growth, Inputs, Stationary, boundary, residue, settles, stationary


class PastDecides(InvalidInput):
    """A limit that depends on what the first generations said; none is computed."""


def memory_long_run(
    spec: Conditioned, matrix: Array, inputs: Inputs, radius: float, tolerance: float
) -> Stationary | Growth:
    """Solve for the long run of the pool, without the noise of the newest generations.

    Args:
        spec: the ecosystem's specification, with constant weights.
        matrix: A(1), shape (d, d): that of full minimisation.
        inputs: the inputs of the recursion.
        radius: the spectral radius (`crossfeed.theory.modes`).
        tolerance: distance from one within which an eigenvalue counts as one.

    Returns:
        The long run, or the growth.

    Raises:
        PastDecides: if what the first generations said stays for ever.
    """
    accumulate = spec.history == "accumulate"
    off_one = float(np.abs(np.linalg.eigvals(matrix) - 1.0).min()) > tolerance
    fades = radius < 1.0 - tolerance or (off_one and radius < 1.0)
    if settles(matrix, True, tolerance) if accumulate else fades:
        return stationary(matrix, spec.pool_noise, accumulate=True)
    if not accumulate and radius > 1.0 + tolerance:
        return Growth("geometric", radius)
    if not accumulate and off_one:
        return Growth("linear", 1.0)
    growth = boundary(matrix, inputs, accumulate, tolerance)
    if isinstance(growth, Stationary):
        raise PastDecides(
            "on the boundary (spectral radius 1) the limit of models that go on from the generation before depends on "
            "what the first generations said; read .moments([t]) at a large t"
        )
    return growth if growth.drift is None else replace(growth, drift=_drift(spec, matrix, tolerance))


def _drift(spec: Conditioned, matrix: Array, tolerance: float) -> Array:
    weights = spec.weights.at(1)

    def slopes(rows: slice) -> Array:
        block, w = EntityBlock.read(spec, rows), weights.block(rows)
        update = block.filtered(weights)
        apart = np.where(update.unseen, 1.0, update.missing)
        answers = update.read(np.where(update.unseen, 0.0, update.learns / apart**2))
        return weighted_sum(spec.shares_of(rows) * w.synthetic, block.generated @ answers)

    slope = sum(map_blocks(slopes, spec.entities, spec.dimension), np.zeros_like(matrix))
    kept = residue(matrix, slope, tolerance)
    return kept @ spec.pool_noise @ kept.T
