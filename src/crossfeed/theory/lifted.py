r"""The law of a network of entities, with every author's newest message in the state.

State: the messages p_j = S_j theta_j + X_j'eps_j in the pool, of mean and gains on the sources

    p = sum_i M_i m_i + M_* m_* + M_f S_F theta*_0 + (zero-mean rest),

their covariance and that with the generation's fresh data f. An entity that trains hears z_k = (1 - phi) sum_j W_kj p_j
+ phi f and becomes theta_k = P m_k + U m_* + Z z_k; its next message is S_k theta_k + X_k'eps_k. With probability omega
it trains, otherwise it keeps its estimate and message, and over independent coins

    Cov s_k' = Cov of the mean over the coins + omega (1 - omega) E Delta_k Delta_k',     Delta_k = new - old.

With history "accumulate" p is the mean of all messages so far: omega = 1/t without a coin.

Nothing here is a product of two Kd x Kd matrices: hearing costs (Kd)^2 K (less where W is of low rank or sparse), and
the gains (Kd)^2 d.

Reference: paper, Theorems 1 and 2, for one pool in step; the law of total covariance for the coins.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.in_step import InStep
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.network_gains import Gains, answered, weights_at
from crossfeed.theory.source_gains import spread as source_spread
from crossfeed.theory.sources import gram_source
from crossfeed.theory.specification import Conditioned

Indices = npt.NDArray[np.intp]

#: Numbers Kd up to which the messages of all authors are followed together.
LARGEST = 4000


@dataclass(frozen=True, eq=False)
class Sources:
    """Real data: moments of every source, shape (n, d), and their covariances, shape (n, d, d).

    The last source is the fresh data's mean S_F theta*_0, whose noise is new at each generation and counted there.

    Attributes:
        means: shape (K + 2, d).
        covariances: shape (K + 2, d, d).
    """

    means: Array
    covariances: Array

    @classmethod
    def of(cls, spec: Conditioned, private: Array, public: Array, *, given: bool) -> Sources:
        """Return the sources' law.

        Args:
            spec: the ecosystem's specification.
            private: th~ or theta* of every entity, shape (K, d).
            public: th_* or theta*_0, shape (d,).
            given: True if the data are given and so have no covariance.

        Returns:
            The sources.
        """
        grams, fresh = spec.private.all(), spec.fresh_gram @ spec.inside(spec.truth_public)
        means = np.vstack([np.einsum("kij,kj->ki", grams, private), spec.public @ public, fresh])
        zero = np.zeros_like(spec.public)
        spread = np.concatenate([grams, spec.public[None], zero[None]]) * (0.0 if given else spec.sigma**2)
        return cls(means, spread)


@dataclass(frozen=True, eq=False)
class State:
    """Messages and estimates after a generation.

    Each entity has e = d numbers, its message, or e = 2 d, its message and its estimate.

    Attributes:
        gain: of the state on the sources (and on anything else by which the means are followed), shape (K, e, c).
        covariance: shape (K, e, K, e).
        fresh: covariance of the state with this generation's fresh data, shape (K, e, d).
        grams: S of the messages in the pool, shape (K, d, d).
        own_gain: gains of the estimates, shape (K, d, c).
        own_covariance: covariances of the estimates, shape (K, d, d).
        singular: True where the newest training set was singular, shape (K,).
        inflation: what rounding errors of Gram matrices were multiplied by, at most.
    """

    gain: Array
    covariance: Array
    fresh: Array
    grams: Array
    own_gain: Array
    own_covariance: Array
    singular: Mask
    inflation: float


def check_size(spec: Conditioned) -> None:
    """Refuse ecosystems whose messages are too many numbers to be followed together.

    Args:
        spec: the ecosystem's specification.

    Raises:
        InvalidInput: if K d is too large.
    """
    size = spec.entities * spec.dimension
    if size > LARGEST:
        raise InvalidInput(
            f"K d is {size}, and covariances of messages are followed together up to {LARGEST} coordinates: no short "
            "way is known for this network, and only means (mean, bias_squared, and the spectral radius of a limit) "
            "are solved for, where all train at every generation under constant weights; for the rest give reads of "
            "few distinct rows or a pair (C, R), or a ring or another circulant with equal data, or fewer entities"
        )


@dataclass(frozen=True, eq=False)
class _Newest:
    """Law of what b entities would say next, with the state."""

    gain: Array  # (b, e, c)
    state: Array  # (b, e, K, e)
    fresh: Array  # (b, e, d)
    covariance: Array  # (b, e, b, e)


class Lifted:
    """The steps of a network whose messages are followed together.

    Args:
        spec: the ecosystem's specification, with a network.
        sources: the law of the real data.
        joint: True to follow the estimates' covariances with each other.

    Raises:
        InvalidInput: if K d is too large.
    """

    def __init__(self, spec: Conditioned, sources: Sources, *, joint: bool = False) -> None:
        assert spec.network is not None  # noqa: S101 - for the type checker; called for networks alone
        check_size(spec)
        self._spec, self._network, self._sources = spec, spec.network, sources
        self._width = spec.dimension * (2 if joint else 1)
        self._fresh_noise = spec.sigma**2 * spec.fresh_gram
        self._known: dict[object, tuple[Gains, Array]] = {}

    def start(self, extra: int = 0) -> State:
        """Return the state before generation 0: nothing is published.

        Args:
            extra: number of further columns of the gains.

        Returns:
            The state.
        """
        K, d, e = self._spec.entities, self._spec.dimension, self._width
        columns = self._sources.means.size + extra
        return State(
            gain=np.zeros((K, e, columns)),
            covariance=np.zeros((K, e, K, e)),
            fresh=np.zeros((K, e, d)),
            grams=self._published_grams(0),
            own_gain=np.zeros((K, d, columns)),
            own_covariance=np.zeros((K, d, d)),
            singular=np.zeros(K, dtype=np.bool_),
            inflation=1.0,
        )

    def mean(self, gains: Array) -> Array:
        """Return the means that gains on the sources, their first columns, give.

        Args:
            gains: shape (..., c).

        Returns:
            Shape (...).
        """
        means = self._sources.means.ravel()
        mean: Array = gains[..., : len(means)] @ means
        return mean

    def spread(self, gains: Array) -> Array:
        """Return the covariance that the real data give to what has these gains on them.

        Args:
            gains: shape (n, (K + 2) d).

        Returns:
            Shape (n, n).
        """
        covariances = self._sources.covariances
        n, d = len(gains), covariances.shape[-1]
        told = (gains.reshape(n, -1, d).transpose(1, 0, 2) @ covariances).transpose(1, 0, 2)
        spread: Array = told.reshape(n, -1) @ gains.T
        return spread

    def generation(self, state: State, t: int) -> State:
        """Return the state after a generation.

        Args:
            state: that before it.
            t: the generation.

        Returns:
            The state after it.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides, or a function of the
                generation returns anything but what it should.
        """
        timing = self._network.timing
        trains = np.flatnonzero(timing.trains(t))
        # What is new of the fresh data in the pool is independent of all before it; "accumulate" keeps the old as well.
        kept = 1.0 - 1.0 / t if t and self._spec.history == "accumulate" else 0.0
        state = replace(state, fresh=kept * state.fresh)
        turns = [trains] if t == 0 or timing.order == "together" else [np.array([k]) for k in trains]
        for each in turns:
            if len(each):
                state = self._train(state, each, t)
        return state

    @property
    def joint(self) -> bool:
        """True if the estimates' covariances with each other are followed."""
        return self._width > self._spec.dimension

    def estimates(self, step: InStep, gain: Array, noise: Array) -> State:
        """Return the estimates of entities that read messages of a given law, and nothing else of the state.

        Args:
            step: how everybody answers and hears.
            gain: of the messages on the sources, shape (n, (K + 2) d).
            noise: covariance of the messages beside what the sources give, shape (n, n).

        Returns:
            The state of the estimates alone.
        """
        K, d, covariances, gains = self._spec.entities, self._spec.dimension, self._sources.covariances, step.gains
        heard = step.hear(gain.reshape(K, d, -1))
        heard[:, :, (K + 1) * d : (K + 2) * d] += self._spec.fresh_fraction * np.eye(d)
        own, places = gains.heard @ heard, np.arange(K)
        own[places[:, None], :, places[:, None] * d + np.arange(d)] += gains.private.swapaxes(1, 2)
        own[:, :, K * d : (K + 1) * d] += gains.public
        spread = source_spread(own, covariances)
        once = step.hear(noise.reshape(K, d, K, d))
        kept = 0.0 if self._spec.history == "accumulate" else self._spec.fresh_fraction**2
        within = step.hear_again(once) + kept * self._fresh_noise
        spread += gains.heard @ within @ gains.heard.swapaxes(1, 2)
        nothing = np.zeros((0, 0, 0))
        inflation = float(gains.inflation.max())
        return State(
            nothing, nothing, nothing, nothing, own, (spread + spread.swapaxes(1, 2)) / 2, gains.singular, inflation
        )

    def _published_grams(self, t: int) -> Array:
        """S of the rows that are published at generation t."""
        spec, at = self._spec, self._network.generated_at
        if at is None or t == 0:
            return spec.generated.all()
        source = gram_source(np.asarray(at(t)), f"generated_at({t})", spec.entities, spec.dimension)
        return source.all() if spec.coordinates is None else source.seen_in(spec.coordinates.outward).all()

    def _gains(self, state: State, t: int) -> tuple[Gains, Array]:
        """Gains of all entities at a generation, and the weight by which what each hears is dealt out to it."""
        spec, network = self._spec, self._network
        present = network.timing.published(t)
        constant = spec.weights.constant and network.generated_at is None
        moving = network.generated_at is not None and network.timing.order == "sequential"
        key = (min(t, 1) if constant else t, present.tobytes())
        if key not in self._known or moving:
            if not constant:
                self._known.clear()
            phi, heard = spec.fresh_fraction, network.reading.hear(present.astype(np.float64))
            dealt = np.divide(1.0 - phi, heard, out=np.zeros_like(heard), where=heard > 0)
            said = network.reading.hear(present[:, None, None] * state.grams)
            grams = dealt[:, None, None] * said + phi * spec.fresh_gram
            weights = weights_at(spec, t, (heard > 0) | (phi == 1.0))
            self._known[key] = answered(spec, weights, grams), dealt
        return self._known[key]

    def _train(self, state: State, trains: Indices, t: int) -> State:
        timing = self._network.timing
        gains, dealt = self._gains(state, t)
        noise = self._fresh_noise / (t if t and self._spec.history == "accumulate" else 1)
        turn = _Turn(self._spec, self._sources, noise, gains.rows(trains), trains)
        readers, present = self._network.reading.rows(trains), timing.published(t)

        def hear(values: Array) -> Array:
            shape = (-1,) + (1,) * (values.ndim - 1)
            return dealt[trains].reshape(shape) * readers.hear(present.reshape(shape) * values)

        S = self._published_grams(t + 1)[trains]
        new, own = turn.answer(state, hear, S, self._width)
        return self._replaced(state, trains, t, new, own, S, gains.rows(trains))

    def _replaced(
        self, state: State, trains: Indices, t: int, new: _Newest, own: tuple[Array, Array], S: Array, gains: Gains
    ) -> State:
        """Replace estimates and messages of those who trained, with what coins decide averaged out."""
        spec, d, timing = self._spec, self._spec.dimension, self._network.timing
        coin = np.where(timing.first(t)[trains], 1.0, timing.probability[trains])
        newest = np.repeat(coin[:, None], self._width, axis=1)
        if spec.history == "accumulate":
            newest[:, :d] = 1.0 / (t + 1)
        spread = coin * (1.0 - coin)
        moved = self.mean(new.gain) - self.mean(state.gain[trains])
        covariance = _mixed(state.covariance, new, trains, newest, spread, moved)
        gain, fresh, grams = state.gain.copy(), state.fresh.copy(), state.grams.copy()
        wide = newest[:, :, None]
        gain[trains] = (1 - wide) * gain[trains] + wide * new.gain
        fresh[trains] = (1 - wide) * fresh[trains] + wide * new.fresh
        share = newest[:, :1, None] if spec.history == "accumulate" else 1.0
        grams[trains] = (1 - share) * grams[trains] + share * S
        own_gain, own_covariance, singular = state.own_gain.copy(), state.own_covariance.copy(), state.singular.copy()
        jump, w = self.mean(own[0]) - self.mean(own_gain[trains]), coin[:, None, None]
        apart = spread[:, None, None] * jump[:, :, None] * jump[:, None, :]
        own_covariance[trains] = (1 - w) * own_covariance[trains] + w * own[1] + apart
        own_gain[trains] = (1 - w) * own_gain[trains] + w * own[0]
        singular[trains] = gains.singular
        inflation = max(state.inflation, float(gains.inflation.max(initial=1.0)))
        return State(gain, covariance, fresh, grams, own_gain, own_covariance, singular, inflation)


@dataclass(frozen=True, eq=False)
class _Turn:
    """One training of b entities at once."""

    spec: Conditioned
    sources: Sources
    fresh_noise: Array
    gains: Gains
    trains: Indices

    def answer(
        self, state: State, hear: Callable[[Array], Array], S: Array, width: int
    ) -> tuple[_Newest, tuple[Array, Array]]:
        """Return what the entities would say next, and the gains and covariances of their estimates."""
        d, K, phi, b = self.spec.dimension, self.spec.entities, self.spec.fresh_fraction, len(self.trains)
        gain = hear(state.gain[:, :d])
        fresh_at = slice((K + 1) * d, (K + 2) * d)
        gain[:, :, fresh_at] += phi * np.eye(d)
        said = hear(state.covariance[:, :d]) + phi * np.moveaxis(state.fresh, -1, 0)
        with_fresh = hear(state.fresh[:, :d]) + phi * self.fresh_noise
        new_gain = self.gains.heard @ gain
        new_gain[np.arange(b)[:, None], :, self.trains[:, None] * d + np.arange(d)] += self.gains.private.swapaxes(1, 2)
        new_gain[:, :, K * d : (K + 1) * d] += self.gains.public
        new_fresh = self.gains.heard @ with_fresh
        to_state = self._reply(said.reshape(b, d, -1), state.gain).reshape(b, d, K, -1)
        heard = hear(to_state[..., :d].transpose(2, 3, 0, 1)) + phi * np.moveaxis(new_fresh, -1, 0)
        among = self._reply(heard.reshape(b, d, -1), new_gain).reshape(b, d, b, d)
        among = (among + among.transpose(2, 3, 0, 1)) / 2
        own = new_gain, among[np.arange(b), :, np.arange(b)]
        said_next = S if width == d else np.concatenate([S, np.broadcast_to(np.eye(d), S.shape)], axis=1)
        both = said_next @ (said_next @ among.reshape(b, d, -1)).reshape(b, width, b, d).transpose(2, 3, 0, 1).reshape(
            b, d, -1
        )
        both = both.reshape(b, width, b, width)
        both[np.arange(b), :d, np.arange(b), :d] += self.spec.sigma_generated**2 * S
        wide = (said_next @ to_state.reshape(b, d, -1)).reshape(b, width, K, -1)
        return _Newest(said_next @ new_gain, wide, said_next @ new_fresh, both), own

    def _reply(self, heard: Array, gains: Array) -> Array:
        """Covariance of the new estimates with others y, (b, d, N), from that of what is heard with y and y's gains."""
        d, K, covariances = self.spec.dimension, self.spec.entities, self.sources.covariances
        by_source = gains.reshape(-1, gains.shape[-1])
        reply = self.gains.heard @ heard
        columns = self.trains[:, None] * d + np.arange(d)
        reply += (self.gains.private @ covariances[self.trains]) @ by_source.T[columns]
        reply += (self.gains.public @ covariances[K]) @ by_source[:, K * d : (K + 1) * d].T
        return reply


def _mixed(old: Array, new: _Newest, trains: Indices, newest: Array, spread: Array, moved: Array) -> Array:
    """Covariance of the state once some entities replaced a share `newest` of what they say."""
    b, everybody = len(trains), len(trains) == len(old)
    if everybody and (newest == 1.0).all():
        return new.covariance
    covariance = old.copy()
    w = newest[:, :, None, None]
    rows = (1 - w) * old[trains] + w * new.state
    covariance[trains] = rows
    covariance[:, :, trains] = rows.transpose(2, 3, 0, 1)
    width = np.arange(old.shape[1])
    among = np.ix_(trains, width, trains, width)
    crossed, before = new.state[:, :, trains], old[among]
    other = newest[None, None]
    block = (1 - w) * ((1 - other) * before + other * crossed.transpose(2, 3, 0, 1))
    block += w * ((1 - other) * crossed + other * new.covariance)
    i = np.arange(b)
    apart = before[i, :, i] + new.covariance[i, :, i] - crossed[i, :, i] - crossed[i, :, i].swapaxes(1, 2)
    block[i, :, i] += spread[:, None, None] * (apart + moved[:, :, None] * moved[:, None, :])
    covariance[among] = block
    return covariance
