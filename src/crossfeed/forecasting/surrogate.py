r"""The surrogate: a small linear ecosystem in function space, whose modes exchange what models learn of each other.

A model is a point :math:`c \in R^{Q \times D}`: for each of Q tasks its progress in D modes of learning, whose rates
:math:`\lambda_i` form a geometric grid; c = 0 is the base. Of task s in mode i it lacks

.. math:: r_{s,i} = c_{s,i} + \phi_i \sum_{m \ne s} \kappa_{s,m} c_{m,i} - b_{s,i}, \qquad
          L_s = f_s + \sum_i r_{s,i}^2 + v_{s,1} + v_{s,2}

with :math:`\phi_i = (\lambda_i/\lambda_D)^\zeta`. Real data of a task pull r to 0, an author's texts to the author's
own r, each in proportion to its share W of the tokens, so that teachers bound their students. Per step, and per unit of
Adam's normalisation :math:`\eta`,

.. math:: \dot c_{m,i} = -\eta \lambda_i \sum_s \partial_m r_{s,i} \, [W_s r_{s,i} - \sum_j W_{s,j} r^{(j)}_{s,i}]
          - (1 - W_m) \rho_m (\lambda_i/\lambda_D)^\psi (1 - E_m/E^{max}_m)_+

          \dot v_{s,a} = -\eta \ell_a (W_s v_{s,a} - \sum_j W_{s,j} (v^{(j)}_{s,a} + q_j [a = 1]))
          + \sigma_a (1 - W_s) d_s (1 - E_s/E^{max}_s)_+

          \eta^{-2} = \text{mean over the steps of this generation of} \sum_s W_s (f_s + g E_s), \qquad E_s = L_s - f_s

The first line is learning, interference (kappa) and forgetting that accelerates (rho: a drift of r, whose loss grows
with the square of the steps); the second forgetting that is steady (d), a part of which (sigma_2) is made good more
slowly than the rest (l_2 < l_1), and what one generation of sampling costs (q). Losses saturate at that of a uniform
guess.

Parameters have a leading axis of P sets, over which everything is batched: values and exact derivatives (complex steps,
see `crossfeed.forecasting.identification`) come from one pass.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from crossfeed.forecasting.ecology import Conditions, Ecology
from crossfeed.forecasting.parameters import Layout
from crossfeed.protocols import Array

__all__ = ["ENDS", "INITIAL_ENDS", "Surrogate", "Trajectory"]

ENDS: Final = np.array([0.025, 0.05, 0.0875, 0.125, 0.1875, 0.25, 0.375, 0.5, 2 / 3, 5 / 6, 1.0])
"""Ends of the substeps of a generation t >= 1, as shares of its training steps."""

_INITIAL: Final = (0.01, 0.02, 0.04, 0.07, 0.12, 0.2, 0.32, 0.5, 0.75, 1.0)
INITIAL_ENDS: Final = np.concatenate(
    [np.linspace(a, b, 4)[1:] for a, b in zip((0.0, *_INITIAL), _INITIAL, strict=False)]
)
"""The same of generation 0."""

#: Real numbers, or complex ones whose imaginary part carries a derivative.
Numbers = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The models after a generation, and their losses on the way.

    Attributes:
        progress: ``(P, R, Q, D)`` c of every parameter set and model (row).
        excess: ``(P, R, Q, 2)`` v.
        losses: ``(P, S, R, Q)`` losses at the end of every substep.
    """

    progress: Numbers
    excess: Numbers
    losses: Numbers


@dataclass(frozen=True, eq=False)
class _Teachers:
    """The optima of synthetic texts: ``(P, R, K, D)`` the authors' r of their own tasks, ``(P, R, K, 2)`` their v."""

    residual: Numbers
    excess: Numbers


class Surrogate:
    """The surrogate of an ecosystem, for any parameters.

    Args:
        ecology: What all cells have in common.
        layout: The parameters.
    """

    def __init__(self, ecology: Ecology, layout: Layout) -> None:
        self._ecology, self._layout = ecology, layout
        self._rates = layout.rates
        self._relative = layout.rates / layout.rates[-1]

    def initial(self, parameters: Numbers) -> Trajectory:
        """Simulate generation 0 of all entities.

        Args:
            parameters: ``(P, N)`` parameter sets.

        Returns:
            Rows are the entities.
        """
        ecology, named = self._ecology, self._named(parameters)
        sets, K = len(parameters), ecology.entities
        progress = np.zeros((sets, K, ecology.tasks, len(self._rates)), parameters.dtype)
        excess = np.zeros((sets, K, ecology.tasks, 2), parameters.dtype)
        nothing = np.zeros((K, K))
        return self._flow(named, progress, excess, ecology.initial, nothing, None, ecology.initial_steps, INITIAL_ENDS)

    def continued(
        self, parameters: Numbers, start: Trajectory, cells: Sequence[Conditions]
    ) -> Iterator[tuple[list[int], Numbers]]:
        """Simulate the generations t = 1, 2, ... of cells.

        Args:
            parameters: ``(P, N)`` parameter sets.
            start: What `initial` returned of them.
            cells: The cells; a cell is left out once its generations are over.

        Yields:
            Positions of the C cells that are left, and ``(P, S, C, K, Q)`` losses at the end of every substep.
        """
        named, ecology = self._named(parameters), self._ecology
        sets, K, Q, D = len(parameters), ecology.entities, ecology.tasks, len(self._rates)
        left = list(range(len(cells)))
        c = np.repeat(start.progress[:, None], len(cells), axis=1)
        v = np.repeat(start.excess[:, None], len(cells), axis=1)
        taught: list[Numbers] = []
        for t in range(max((each.generations for each in cells), default=0)):
            keep = np.array([cells[i].generations > t for i in left])
            if not keep.all():
                left, c, v = [i for i, kept in zip(left, keep, strict=True) if kept], c[:, keep], v[:, keep]
                taught = [each[:, keep] for each in taught]
            own_c, own_v = self._own(named, c), np.stack([v[:, :, j, s] for j, s in enumerate(ecology.own)], axis=2)
            pooled = np.array([cells[i].accumulates for i in left])
            if pooled.any():  # older pools are drawn from as often as the newest
                taught = [own_c, own_v] if t == 0 else [a + b for a, b in zip(taught, (own_c, own_v), strict=True)]
                own_c = np.where(pooled[:, None, None], taught[0] / (t + 1), own_c)
                own_v = np.where(pooled[:, None, None], taught[1] / (t + 1), own_v)
            count = len(left) * K
            teachers = _Teachers(
                np.repeat(own_c, K, axis=1).reshape(sets, count, K, D),
                np.repeat(own_v, K, axis=1).reshape(sets, count, K, 2),
            )
            real, synthetic, steps = (
                np.concatenate([getattr(cells[i], name)[t] for i in left]) for name in ("real", "synthetic", "steps")
            )
            after = self._flow(
                named,
                c.reshape(sets, count, Q, D),
                v.reshape(sets, count, Q, 2),
                real,
                synthetic,
                teachers,
                steps,
                ENDS,
            )
            c, v = after.progress.reshape(sets, len(left), K, Q, D), after.excess.reshape(sets, len(left), K, Q, 2)
            yield left, after.losses.reshape(sets, len(ENDS), len(left), K, Q)

    def base(self, parameters: Numbers) -> Numbers:
        """Return the ``(P, Q)`` losses before generation 0.

        Args:
            parameters: ``(P, N)`` parameter sets.
        """
        named = self._named(parameters)
        losses: Numbers = named["floor"] + (named["b"] ** 2).sum(axis=-1)
        return losses

    def _named(self, parameters: Numbers) -> dict[str, Numbers]:
        named = self._layout.named(parameters)
        if "b" not in named:
            named["b"] = named["amplitude"][:, :, None] * named["modes"][:, None]
        named["phi"] = self._relative ** named["zeta"][:, None]
        named["profile"] = self._relative ** named["psi"][:, None]
        named["rates"] = self._rates * named["rate"][:, None]
        named["relaxation"] = np.stack([named["l"], named["l"] * named["slowness"]], axis=-1)
        named["split"] = np.stack([1 - named["slow"], named["slow"]], axis=-1)
        named["ceiling"] = self._layout.ceiling - named["floor"]
        return named

    def _residual(self, named: dict[str, Numbers], progress: Numbers) -> Numbers:
        """Return r, ``(P, R, Q, D)``."""
        crossed = np.matmul(named["kappa"][:, None], progress)
        residual: Numbers = progress + named["phi"][:, None, None] * crossed - named["b"][:, None]
        return residual

    def _own(self, named: dict[str, Numbers], progress: Numbers) -> Numbers:
        """Return ``(P, C, K, D)`` every author's r of its own task, from ``(P, C, K, Q, D)`` c."""
        own = self._ecology.own
        columns = []
        for j, task in enumerate(own):
            crossed = (named["kappa"][:, None, task, :, None] * progress[:, :, j]).sum(axis=2)
            r = progress[:, :, j, task] + named["phi"][:, None] * crossed - named["b"][:, None, task]
            columns.append(r)
        return np.stack(columns, axis=2)

    def _flow(
        self,
        named: dict[str, Numbers],
        c: Numbers,
        v: Numbers,
        real: Array,
        synthetic: Array,
        teachers: _Teachers | None,
        steps: Array,
        ends: Array,
    ) -> Trajectory:
        """Train the models of all rows for one generation.

        Args:
            named: The parameters.
            c: ``(P, R, Q, D)`` progress.
            v: ``(P, R, Q, 2)`` excess.
            real: ``(R, Q)`` weights of real items.
            synthetic: ``(R, K)`` weights of the authors' items.
            teachers: The authors; None where there are no synthetic items.
            steps: ``(R,)`` training steps.
            ends: ``(S,)`` ends of the substeps, as shares of the training steps.
        """
        own, unit = self._ecology.own, self._ecology.steps
        W, Wj = self._token_shares(real, synthetic)
        pull, pull_v = np.zeros_like(c), np.zeros_like(v)
        if teachers is not None:
            for j, task in enumerate(own):
                pull[:, :, task] += Wj[:, j, None] * teachers.residual[:, :, j]
                pull_v[:, :, task] += Wj[:, j, None] * teachers.excess[:, :, j]
                pull_v[:, :, task, 0] += Wj[:, j] * named["q"][:, None, j]
        phi, profile = named["phi"][:, None, None], named["profile"][:, None, None]
        transposed = np.swapaxes(named["kappa"], -1, -2)[:, None]
        stiffness = W[..., None] + phi**2 * np.matmul(transposed**2, W[:, :, None])
        floor, rates = named["floor"][:, None], named["rates"][:, None, None]
        drift, steady = (1 - W) * named["rho"][:, None] / unit, (1 - W) * named["d"][:, None] / unit
        relaxation, split = named["relaxation"][:, None, None] / unit, named["split"][:, None, None]
        r = self._residual(named, c)
        losses, begin, total = [], 0.0, 0.0
        for end in ends:
            h = (end - begin) * steps
            E = (r**2).sum(axis=-1) + v.sum(axis=-1)
            total = total + (W * (floor + named["g"][:, None, None] * E)).sum(axis=-1) * (end - begin)
            eta = 1 / np.sqrt(total / end)
            left = _positive(1 - E / named["ceiling"][:, None])
            x = W[..., None] * r - pull
            a = (h * eta)[:, :, None, None] * rates
            force = (h[:, None] * drift * left)[..., None] * profile
            c = c - (a * (x + phi * np.matmul(transposed, x)) + force) / (1 + a * stiffness)
            relaxed = (h * eta)[..., None, None] * relaxation
            v = (v + (h[:, None] * steady * left)[..., None] * split + relaxed * pull_v) / (1 + relaxed * W[..., None])
            r = self._residual(named, c)
            losses.append(floor + (r**2).sum(axis=-1) + v.sum(axis=-1))
            begin = end
        return Trajectory(c, v, np.stack(losses, axis=1))

    def _token_shares(self, real: Array, synthetic: Array) -> tuple[Array, Array]:
        """Return each task's share of the tokens in training, ``(R, Q)``, and each author's, ``(R, K)``."""
        own, tokens = self._ecology.own, self._ecology.tokens
        by_task, by_author = real * tokens, synthetic * tokens[own]
        total = by_task.sum(axis=1, keepdims=True) + by_author.sum(axis=1, keepdims=True)
        shares, authors = by_task / total, by_author / total
        for j, task in enumerate(own):
            shares[:, task] += authors[:, j]
        return shares, authors


def _positive(x: Numbers) -> Numbers:
    """Return max(0, x), by the real part, so that derivatives are kept."""
    return np.where(x.real > 0, x, 0)
