"""The law of every estimate of a network that looks the same from every reader, at n generations or in the limit.

Entities differ by their data and truths alone: covariances are one matrix for all, means are convolutions of truths.

Reference: as `crossfeed.theory.circulant`, whose symbols are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.circulant import Answer, Circulant, Complex, geometric
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.kernels import Array, Mask

# Entities up to which the norms of every gain, K (K + 1) numbers, are returned.
_LISTED = 5000

# The mode in which all entities say the same.
_ALIKE = slice(0, 1)


@dataclass(frozen=True)
class When:
    """A generation, or the limit.

    Attributes:
        generation: t >= 0; None for the limit.
    """

    generation: int | None

    def sums(self, ratio: Complex | Array) -> tuple[Complex | Array, Complex | Array]:
        """Return what lasting answers and the first one have left in the messages that are heard.

        Args:
            ratio: x = omega b, of any shape.

        Returns:
            1 + x + ... + x^(t - 2), and x^(t - 1); 1/(1 - x) and 0 in the limit.
        """
        if self.generation is None:
            return 1.0 / (1.0 - ratio), np.zeros_like(ratio)
        return geometric(ratio, self.generation - 1)


class CirculantLaw:
    """The law of the estimates of a network that looks the same from every reader.

    Args:
        network: the network.
        generations: n generations; None in place of one is the limit.

    Attributes:
        inflation: what rounding errors of the Gram matrices are multiplied by, at most.
        there: True for all, shape (n, K).
    """

    def __init__(self, network: Circulant, generations: Sequence[int | None]) -> None:
        self._network, self._times = network, [When(each) for each in generations]
        self.inflation = float(network.lasting.gains.inflation[0])
        self.there = np.ones((len(generations), network.spec.entities), dtype=np.bool_)

    @cached_property
    def mean(self) -> Array:
        """Shape (n, K, d)."""
        return self._mean(Estimates.expected(self._network.spec))

    @property
    def covariance(self) -> Array:
        """Shape (n, K, d, d), a view of one matrix for all entities."""
        return self._for_all(np.array([real + noise for real, noise in self._covariances]))

    def variance(self) -> Array:
        """Return the traces of the covariances of theta.

        Returns:
            Shape (n, K).
        """
        return self._for_all(np.array([self._trace(real + noise) for real, noise in self._covariances]))

    def dispersion(self) -> Array:
        """Return the mean over pairs of the squared distance of two estimates of theta.

        Returns:
            Shape (n,).
        """
        K, spec = self._network.spec.entities, self._network.spec
        if K == 1:
            return np.zeros(len(self._times))
        mean = spec.outside(self.mean)
        offset = ((mean - mean.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))
        apart = np.array([self._trace(K * self._own(when) - self._own(when, _ALIKE)) for when in self._times])
        distances: Array = np.maximum(0.0, 2.0 * (apart + offset) / (K - 1))
        return distances

    def gain_norms(self) -> Array:
        """Return the norms of the gains on the sources' estimates.

        Returns:
            Shape (n, K, K + 1).

        Raises:
            InvalidInput: if they are too many numbers.
        """
        if self._network.spec.entities > _LISTED:
            raise InvalidInput(
                f"influence and gain_norms are K (K + 1) numbers, and K is {self._network.spec.entities}; they are "
                f"listed up to K = {_LISTED}"
            )
        return np.array([self._norms(when) for when in self._times])

    def given(self, estimates: Estimates) -> tuple[Array, Array]:
        """Return mean and covariance given the real data's least-squares estimates.

        Args:
            estimates: the estimates of all sources.

        Returns:
            Shapes (n, K, d) and (n, K, d, d).
        """
        return self._mean(estimates), self._for_all(np.array([noise for _, noise in self._covariances]))

    @property
    def full_rank(self) -> Mask:
        """Shape (K,), True where an entity's training set determines its estimate."""
        return np.full(self._network.spec.entities, not self._network.lasting.gains.singular[0])

    def unbiased(self, tolerance: float) -> Mask:
        """Tell estimates whose mean at the last generation is the truth, whatever truth all data follow.

        Args:
            tolerance: share of the truth below which an error counts as rounding.

        Returns:
            Shape (K,).
        """
        spec, when = self._network.spec, self._times[-1]
        private, public, fresh = self._shared_gains(when)
        told = private @ self._private_gram + public @ spec.public + fresh @ spec.fresh_gram
        return np.full(spec.entities, bool(np.linalg.norm(told - np.eye(spec.dimension)) <= tolerance))

    @property
    def _private_gram(self) -> Array:
        gram: Array = self._network.spec.private.block(slice(0, 1))[0]
        return gram

    def _for_all(self, values: Array) -> Array:
        """Repeat values (n, ...) for every entity, with stride zero."""
        return np.broadcast_to(values[:, None], (len(values), self._network.spec.entities, *values.shape[1:]))

    def _trace(self, covariance: Array) -> float:
        outwards = self._network.spec.outwards
        return float(np.trace(outwards(outwards(covariance).T)))

    def _answer(self, when: When) -> Answer:
        return self._network.start if when.generation == 0 else self._network.lasting

    def _carried(self, when: When, modes: slice) -> list[tuple[Answer, Complex]]:
        """Gains g on what was said under the lasting answer and at generation 0, each (F, d), in some modes."""
        if when.generation == 0:
            return []
        network = self._network
        omega = network.modes[modes, None]
        lasting, first = when.sums(omega * network.rates)
        through = (1.0 - network.spec.fresh_fraction) * omega
        both = [(network.lasting, through * lasting), (network.start, through * first)]
        return both if when.generation is not None else both[:1]

    def _shared_gains(self, when: When) -> tuple[Array, Array, Array]:
        """Gains on what all private data say alike, on public and on fresh data, each (d, d)."""
        network, answer = self._network, self._answer(when)
        private, public = answer.gains.private[0].copy(), answer.gains.public[0].copy()
        fresh = np.zeros_like(private)
        for source, gain in self._carried(when, _ALIKE):
            private += (network.told * gain[0].real) @ source.private
            public += (network.told * gain[0].real) @ source.public
            if source is network.lasting:
                told = answer.gains.heard[0] + (network.told * gain[0].real) @ network.fresh
                fresh = network.spec.fresh_fraction * told
        return private, public, fresh

    def _mean(self, estimates: Estimates) -> Array:
        spec, gram = self._network.spec, self._private_gram
        means = []
        for when in self._times:
            private, public, fresh = self._shared_gains(when)
            shared = public @ spec.public @ estimates.public + fresh @ spec.fresh_gram @ spec.inside(spec.truth_public)
            if estimates.private.strides[0] == 0:
                same = private @ gram @ estimates.private[0] + shared
                means.append(np.broadcast_to(same, estimates.private.shape))
                continue
            moments = estimates.private @ gram
            own = moments @ self._answer(when).gains.private[0].T
            spectrum = np.fft.rfft(moments, axis=0)
            heard = np.zeros_like(spectrum)
            for modes in self._network.blocks():
                for source, gain in self._carried(when, modes):
                    heard[modes] += gain * (spectrum[modes] @ source.private.T)
            means.append(own + np.fft.irfft(heard, n=spec.entities, axis=0) @ self._network.told.T + shared)
        return np.array(means) if len(means) > 1 else means[0][None]

    @cached_property
    def _covariances(self) -> list[tuple[Array, Array]]:
        """Covariances of an estimate from real data and from new noise, each (d, d), at each generation."""
        spec, found = self._network.spec, []
        for when in self._times:
            public = self._shared_gains(when)[1]
            real = self._private(when) + spec.sigma**2 * public @ spec.public @ public.T
            found.append(((real + real.T) / 2, self._told_noise(when) + self._fresh_noise(when)))
        return found

    def _own(self, when: When, modes: slice | None = None) -> Array:
        """Covariance from what is independent between entities, averaged over some modes (None: all)."""
        return self._private(when, modes) + self._told_noise(when, modes)

    def _private(self, when: When, modes: slice | None = None) -> Array:
        """Covariance that private data leave in an estimate."""
        network, answer, gram = self._network, self._answer(when), self._private_gram
        P = answer.gains.private[0]
        covariance = P @ gram @ P.T
        sources = [source for source, _ in self._carried(when, _ALIKE)]
        if sources:
            inner, told = np.concatenate([each.private for each in sources]), np.tile(network.told, len(sources))
            mean, square = self._averages(when, modes)
            crossed = (told * mean) @ inner @ gram @ P.T
            covariance = covariance + crossed + crossed.T + told @ ((inner @ gram @ inner.T) * square) @ told.T
        private: Array = network.spec.sigma**2 * covariance
        return private

    def _averages(self, when: When, modes: slice | None) -> tuple[Array, Array]:
        """Averages over modes of g and of g g*, real parts."""
        width = sum(len(source.private) for source, _ in self._carried(when, _ALIKE))
        mean, square = np.zeros(width), np.zeros((width, width))
        for part in self._network.blocks() if modes is None else [modes]:
            g = np.hstack([gain for _, gain in self._carried(when, part)])
            share = np.ones(len(g)) if modes is not None else self._network.multiplicity[part]
            mean = mean + share @ g.real
            square = square + (g.real * share[:, None]).T @ g.real + (g.imag * share[:, None]).T @ g.imag
        return mean, square

    def _told_noise(self, when: When, modes: slice | None = None) -> Array:
        """Covariance that generated noise leaves in an estimate."""
        network, spec = self._network, self._network.spec
        total = np.zeros(spec.dimension)
        if when.generation == 0 or (when.generation is None and spec.history == "accumulate"):
            return np.zeros((spec.dimension, spec.dimension))
        for part in network.blocks() if modes is None else [modes]:
            size = np.abs(network.modes[part, None]) ** 2
            lasting, first = when.sums(size * network.rates**2)
            share = np.ones(len(size)) if modes is not None else network.multiplicity[part]
            total += share @ (size * (lasting + first).real)
        weight = (spec.sigma_generated * (1.0 - spec.fresh_fraction)) ** 2
        noise: Array = (network.told * (weight * total)) @ network.told.T
        return noise

    def _fresh_noise(self, when: When) -> Array:
        """Covariance that fresh data's noise leaves in an estimate, those of all generations so far."""
        network, spec = self._network, self._network.spec
        if when.generation == 0 or (when.generation is None and spec.history == "accumulate"):
            return np.zeros((spec.dimension, spec.dimension))
        came, now = network.fresh @ spec.fresh_gram @ network.fresh.T, network.lasting.gains.heard[0]
        earlier = came * np.asarray(when.sums(np.outer(network.rates, network.rates))[0])
        heard = (1.0 - spec.fresh_fraction) ** 2 * network.told @ earlier @ network.told.T
        noise: Array = (spec.sigma * spec.fresh_fraction) ** 2 * (heard + now @ spec.fresh_gram @ now.T)
        return noise

    def _norms(self, when: When) -> Array:
        """Norms of the gains, (K, K + 1)."""
        network, spec = self._network, self._network.spec
        inward = np.eye(spec.dimension) if spec.coordinates is None else spec.coordinates.inward
        by_mode = np.zeros((len(network.modes), spec.dimension, spec.dimension), dtype=np.complex128)
        by_mode += self._answer(when).gains.private[0]
        for source, gain in self._carried(when, slice(None)):
            by_mode += (network.told * gain[:, None, :]) @ source.private
        K, told = spec.entities, self._private_gram @ inward
        gains = np.fft.irfft(by_mode, n=K, axis=0)[-np.arange(K) % K]
        sizes = np.linalg.norm(spec.outwards(gains @ told), axis=(-2, -1))
        places = (np.arange(K) - np.arange(K)[:, None]) % K
        public = np.linalg.norm(spec.outwards(self._shared_gains(when)[1] @ spec.public @ inward))
        return np.hstack([sizes[places], np.full((K, 1), public)])
