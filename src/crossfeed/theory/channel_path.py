"""A network through few channels, at given generations or in the limit, and the law of every estimate.

With gains L_0, L_1 of what was said under generation 0's and the lasting weights, H the rows of A of the classes that
train (others keep what they said), and J the same rows of the identity,

    L_0' = H L_0,    L_1' = H L_1 + J,    Gamma' = H Gamma H' + J N J,       L_0 = I, L_1 = 0, Gamma = N at t = 1,

so that a generation costs (m d)^3 whatever K is. An estimate at t is that of its class's newest training.

Reference: as `crossfeed.theory.constant_path`, of which this is the form with several channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crossfeed.theory.channel_law import ChannelLaw, ChannelState
from crossfeed.theory.channels import Channels, ChannelSystem, Sums
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.kernels import Array
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.spectrum import unit_error, without_drift


class ChannelSteps:
    """The channels' steps from one generation to the next.

    Args:
        spec: the ecosystem's specification, with a network.
        channels: its channels.
        sums: the entities summed up.
    """

    def __init__(self, spec: Conditioned, channels: Channels, sums: Sums) -> None:
        self._spec, self._channels, self._noise = spec, channels, sums.noise
        error = unit_error(spec.pool_gram, sums.inflation, spec.rounding)
        self.matrix = without_drift(sums.matrix, error)

    def start(self) -> ChannelState:
        """Return the state when generation 1 is trained.

        Returns:
            What everybody has said under generation 0's weights.
        """
        n = len(self.matrix)
        return ChannelState(np.array([np.eye(n), np.zeros((n, n))]), self._noise)

    def step(self, t: int) -> tuple[Array, Array]:
        """Return the step from the state when generation t is trained to the next one.

        Args:
            t: the generation, t >= 1.

        Returns:
            H, shape (n, n), and the diagonal of J, shape (n,).
        """
        trained = np.repeat(self._channels.trained(t), self._spec.dimension)
        share = trained / (t + 1.0) if self._spec.history == "accumulate" else trained.astype(np.float64)
        return share[:, None] * self.matrix + np.diag(1.0 - share), share

    def cycle(self, length: int) -> tuple[Array, Array, Array]:
        """Return one cycle from the first generation on.

        Args:
            length: number of its generations.

        Returns:
            Phi, J and N, each of shape (n, n).
        """
        start = self.start()
        state = ChannelState(start.gains, np.zeros_like(start.noise))
        for t in range(1, length + 1):
            state = self.after(state, t)
        return state.gains[0], state.gains[1], state.noise

    def through(self, state: ChannelState, last: int) -> dict[int, ChannelState]:
        """Return the states when each of the first generations is trained.

        Args:
            state: that when generation 1 is.
            last: the last generation.

        Returns:
            The states by generation.
        """
        states = {1: state}
        for t in range(1, last):
            states[t + 1] = self.after(states[t], t)
        return states

    def after(self, state: ChannelState, t: int) -> ChannelState:
        """Return the state when generation t + 1 is trained.

        Args:
            state: that when generation t is.
            t: t >= 1.

        Returns:
            The state.
        """
        step, share = self.step(t)
        gains = step @ state.gains
        gains[1] += np.diag(share)
        return ChannelState(gains, step @ state.noise @ step.T + share[:, None] * self._noise * share)


def channel_path(spec: Conditioned, channels: Channels, generations: Sequence[int]) -> ChannelLaw:
    """Follow a network through its channels.

    Args:
        spec: the ecosystem's specification, with a network.
        channels: its channels.
        generations: n whole numbers >= 0, in any order.

    Returns:
        The law of the estimates at these generations.

    Raises:
        InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
    """
    system = ChannelSystem(spec, channels)
    sums = system.sums(Estimates.expected(spec), both=True)
    steps = ChannelSteps(spec, channels, sums)
    newest = np.array([channels.newest(t) for t in generations])
    wanted, states, state = set(newest.ravel().tolist()), {}, steps.start()
    for t in range(1, max(generations) + 1):
        if t in wanted:
            states[t] = state
        state = steps.after(state, t)
    return ChannelLaw(spec, system, sums, steps.step, newest, states)
