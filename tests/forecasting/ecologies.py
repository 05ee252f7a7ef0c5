"""Random ecologies, cells and parameters of the surrogate, and curves that it makes itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from crossfeed.forecasting.ecology import Conditions, Ecology
from crossfeed.forecasting.observations import Curve, Observations, Path
from crossfeed.forecasting.parameters import layout_of
from crossfeed.forecasting.surrogate import ENDS, INITIAL_ENDS, Surrogate
from crossfeed.forecasting.tracing import INITIAL_MARKS, MARKS

GUESS = 10.8


def random_ecology(rng, K=2, unowned=True):
    """K entities with a task each, a task that nobody owns, and the public one."""
    Q = K + 1 + unowned
    own, beta = rng.permutation(K), rng.uniform(0.3, 0.7, K)
    initial = np.zeros((K, Q))
    initial[:, -1] = 1 - beta
    initial[np.arange(K), own] = beta
    return Ecology(
        own=own,
        public=Q - 1,
        tokens=rng.uniform(20, 200, Q),
        base=np.repeat(rng.uniform(2.5, 5, (1, Q)), K, axis=0),
        guess=GUESS,
        initial=initial,
        initial_steps=rng.integers(500, 900, K).astype(float),
        steps=150.0,
    )


def first_losses(rng, ecology):
    """Losses after generation 0 that are plausible: own and public tasks are learned, others a little."""
    factors = rng.uniform(0.85, 1, ecology.base.shape)
    factors[:, ecology.public] = rng.uniform(0.6, 0.8)
    factors[np.arange(ecology.entities), ecology.own] = rng.uniform(0.4, 0.7, ecology.entities)
    return ecology.base * factors


def cell(ecology, alpha, beta, generations, accumulates=False, shares=None):
    """What a cell with these weights trains on; alpha and beta as they broadcast to (T, K)."""
    K, shape = ecology.entities, (generations, ecology.entities)
    alpha, beta = np.broadcast_to(alpha, shape), np.broadcast_to(beta, shape)
    real = np.zeros((*shape, ecology.tasks))
    real[:, :, ecology.public] = (1 - alpha) * (1 - beta)
    real[:, np.arange(K), ecology.own] += (1 - alpha) * beta
    shares = np.full(K, 1 / K) if shares is None else shares
    return Conditions(real, alpha[:, :, None] * shares, np.full(shape, ecology.steps), accumulates)


def random_cell(rng, ecology, generations, accumulates=False):
    """A cell whose weights, shares and steps differ between generations and entities."""
    shape = generations, ecology.entities
    alpha, beta = rng.uniform(size=shape), rng.uniform(size=shape)
    one = cell(ecology, alpha, beta, generations, accumulates, rng.dirichlet(np.ones(ecology.entities)))
    return replace(one, steps=ecology.steps * rng.uniform(1, 2, shape))


def random_parameters(rng, layout, spread=0.5, sets=1):
    """``(sets, N)`` parameters, so many widths from what is expected."""
    return layout.expected + spread * layout.width * rng.standard_normal((sets, len(layout)))


class Truth:
    """A surrogate with parameters of its own that stands for an ecosystem.

    Attributes:
        ecology: The ecology, with the base losses that these parameters mean.
        observations: Curves of generation 0 and of the probes.
    """

    def __init__(self, seed, probes, K=2, spread=0.3, unowned=True):
        rng = np.random.default_rng(seed)
        ecology = random_ecology(rng, K, unowned)
        layout = layout_of(ecology, first_losses(rng, ecology))
        self._surrogate, self._parameters = Surrogate(ecology, layout), random_parameters(rng, layout, spread)
        base = self._surrogate.base(self._parameters)
        self.ecology = replace(ecology, base=np.repeat(base, K, axis=0))
        start = self._surrogate.initial(self._parameters).losses[0]
        initial = Curve(np.array(INITIAL_MARKS), start[_places(INITIAL_MARKS, INITIAL_ENDS)])
        cells = [cell(ecology, *probe) for probe in probes]
        self.observations = Observations(
            self.ecology,
            initial,
            tuple(
                Path(each, tuple(Curve(np.array(MARKS), losses[_places(MARKS, ENDS)]) for losses in generations))
                for each, generations in zip(cells, self.within(cells), strict=True)
            ),
        )

    def within(self, cells):
        """``(S, K, Q)`` losses at the substeps' ends of every generation of every cell."""
        start = self._surrogate.initial(self._parameters)
        return [
            [losses[0, :, 0] for _, losses in self._surrogate.continued(self._parameters, start, [each])]
            for each in cells
        ]

    def losses(self, cells):
        """``(T + 1, K, Q)`` losses after the generations of every cell."""
        first = self.observations.first
        return [np.stack([first, *(losses[-1] for losses in generations)]) for generations in self.within(cells)]


def _places(marks, ends):
    places = [int(np.argmin(np.abs(ends - mark))) for mark in marks]
    np.testing.assert_allclose(ends[places], marks)  # what is observed falls on the ends of substeps
    return places
