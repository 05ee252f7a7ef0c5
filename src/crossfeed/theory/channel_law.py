"""The law of every estimate of a network through few channels, read from what the channels carried.

Entity k of the class g was last trained at a generation tau, when the channels u had gains L_0, L_1 and noise Gamma:
what it heard is z = (h (x) I) u, with Cov(m_k, z) = sigma^2 S~_k W_k'(h (x) I)', W_k = sum_v L_v (l_k (x) D_vk), and

    Cov theta = sigma^2 (P S~ P' + U S_* U') + Z Cov(z) Z' + (P Cov(m_k, z) Z' + U Cov(m_*, z) Z' + transposed).

Reference: as `crossfeed.theory.moments`, of which this is the form with several channels.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np

from crossfeed.theory.channels import ChannelBlock, ChannelSystem, Labels, Sums
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, sandwich, times, transposed
from crossfeed.theory.network_gains import Gains
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights

_Result = TypeVar("_Result")


@dataclass(frozen=True, eq=False)
class ChannelState:
    """State of the channels when a generation is trained.

    Attributes:
        gains: L_0 and L_1, shape (2, n, n).
        noise: Gamma, shape (n, n).
    """

    gains: Array
    noise: Array


# Kinds of readers whose laws are kept for all blocks of entities.
_FEW_LABELS = 64


class _Heard(NamedTuple):
    """Law of what c kinds of readers heard."""

    mean: Array  # E z, (c, d)
    covariance: Array  # Cov z, (c, d, d)
    noise: Array  # the part of it that stays when real data are given, (c, d, d)
    public: Array  # Cov(m_*, z) / sigma^2, (c, d, d)
    gains: Array  # (h (x) I) L_v for those v that count, (c, v, d, m, d)

    @classmethod
    def of(cls, state: ChannelState, sums: Sums, heard: Array, spec: Conditioned) -> _Heard:
        """Return what readers heard whose weights of the channels are given, shape (c, m)."""
        d, (c, m) = spec.dimension, heard.shape
        used = _counted(state, len(sums.drive))
        L = state.gains[[v + 2 - len(sums.drive) for v in used]]

        def hear(values: Array) -> Array:
            return (heard @ values.reshape(m, -1)).reshape(c, *values.shape[1:])

        mean = sum((gain @ sums.drive[v] for gain, v in zip(L, used, strict=True)), np.zeros(m * d))
        public = sum((gain @ sums.public[v] for gain, v in zip(L, used, strict=True)), np.zeros((m * d, d)))
        spread = sum(
            (
                left @ sums.spread[u, v] @ right.T
                for left, u in zip(L, used, strict=True)
                for right, v in zip(L, used, strict=True)
            ),
            np.zeros((m * d, m * d)),
        )
        both = np.array([spec.sigma**2 * spread + state.noise, state.noise]).reshape(2, m, d, m, d)
        blocks = np.einsum("cm,vmxny,cn->vcxy", heard, both, heard, optimize=True)
        through = np.zeros((c, len(L), d, m, d))
        for v, gain in enumerate(L):
            through[:, v] = hear(gain.reshape(m, d, m * d)).reshape(c, d, m, d)
        told = spec.public @ transposed(hear(public.reshape(m, d, d)))
        return cls(hear(mean.reshape(m, d)), blocks[0], blocks[1], told, through)

    def of_each(self, places: Labels) -> _Heard:
        """Return what each of b entities heard, without the gains."""
        return _Heard(self.mean[places], self.covariance[places], self.noise[places], self.public[places], self.gains)


@dataclass(frozen=True, eq=False)
class _Reading:
    """One block of entities at one generation."""

    spec: Conditioned
    private_grams: Array
    private: Array
    public: Array
    heard: Array
    own: Array  # (h (x) I) W_k, (b, d, d)
    law: _Heard  # of each entity

    def mean(self, moments: Array, public: Array) -> Array:
        parts = [(self.private, moments), (self.heard, self.law.mean)]
        mean: Array = sum((np.einsum("bij,bj->bi", F, x) for F, x in parts), self.public @ public)
        return mean

    def covariance(self) -> Array:
        P, U, Z, variance = self.private, self.public, self.heard, self.spec.sigma**2
        to_pool = transposed(Z)
        product = P @ (self.private_grams @ (transposed(P) + 2 * transposed(self.own) @ to_pool))
        product += U @ (self.spec.public @ transposed(U) + 2 * self.law.public @ to_pool)
        return variance * (product + transposed(product)) / 2 + sandwich(Z, self.law.covariance)

    def variance(self) -> Array:
        outwards, count = self.spec.outwards, len(self.private)
        P, U, Z = outwards(self.private), outwards(self.public), outwards(self.heard)
        held = (P @ self.private_grams).reshape(count, -1)
        tied = times(U, self.spec.public)
        total = np.vecdot(held, (P + 2 * (Z @ self.own)).reshape(count, -1))
        total += np.vecdot((tied + 2 * (Z @ transposed(self.law.public))).reshape(count, -1), U.reshape(count, -1))
        spread = np.vecdot((Z @ self.law.covariance).reshape(count, -1), Z.reshape(count, -1))
        variance: Array = self.spec.sigma**2 * total + spread
        return variance

    def noise(self) -> Array:
        return sandwich(self.heard, self.law.noise)


class ChannelLaw:
    """The law of the estimates of a network through few channels, at n generations.

    Args:
        spec: the ecosystem's specification, with a network.
        system: the network.
        sums: the entities summed up under both weights.
        step: the channels' step from a generation to the next.
        newest: newest training of each class, shape (n, G); 0 where it is generation 0's.
        states: the channels when these generations are trained.

    Attributes:
        inflation: what rounding errors of the entities' Gram matrices are multiplied by, at most.
        there: True for all, shape (n, K).
    """

    def __init__(
        self,
        spec: Conditioned,
        system: ChannelSystem,
        sums: Sums,
        step: Callable[[int], tuple[Array, Array]],
        newest: Labels,
        states: dict[int, ChannelState],
    ) -> None:
        self._spec, self._system, self._sums, self._step = spec, system, sums, step
        self._channels, self._newest, self._states = system.channels, newest, states
        self.inflation = sums.inflation
        self.there = np.ones((len(newest), spec.entities), dtype=np.bool_)

    @cached_property
    def mean(self) -> Array:
        """Shape (n, K, d)."""
        return self._mean(Estimates.expected(self._spec), self._sums)

    @cached_property
    def covariance(self) -> Array:
        """Shape (n, K, d, d)."""
        return self._per_entity(self._sums, lambda reading, _: reading.covariance())

    def variance(self) -> Array:
        """Return the traces of the covariances of theta.

        Returns:
            Shape (n, K).

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        short = self._few_rows_variance()
        return self._per_entity(self._sums, lambda reading, _: reading.variance()) if short is None else short

    def _few_rows_variance(self) -> Array | None:
        """Variances at one generation that all were just trained at, where data have few rows (n = 1)."""
        few = self._system.few_rows
        if few is None or self.remembers or len(self._newest) > 1 or len(set(self._newest[0])) > 1:
            return None
        spec, m = self._spec, self._channels.heard.shape[1]
        heard = _Heard.of(self._states[int(self._newest[0, 0])], self._sums, self._channels.heard, spec)
        q, a = float(few.weights.public[0]), float(few.weights.synthetic[0])
        shared = a**2 * heard.covariance + spec.sigma**2 * (q**2 * spec.public + 2 * q * a * heard.public)
        own = heard.gains[:, -1].transpose(0, 2, 1, 3)
        variance = few.variance(shared, own.reshape(len(own), m, spec.dimension, spec.dimension))
        return None if variance is None else variance[None]

    def given(self, estimates: Estimates) -> tuple[Array, Array]:
        """Return mean and covariance given the real data's least-squares estimates.

        Args:
            estimates: the estimates of all sources.

        Returns:
            Shapes (n, K, d) and (n, K, d, d).

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        sums = self._system.sums(estimates, both=True)
        return self._mean(estimates, sums), self._per_entity(sums, lambda reading, _: reading.noise())

    @property
    def remembers(self) -> bool:
        """True if something of generation 0 counts."""
        return len(self._weights) > 1

    @property
    def metric(self) -> Array:
        """W'W of the solvers' coordinates theta = W phi, shape (d, d)."""
        outward = np.eye(self._spec.dimension) if self._spec.coordinates is None else self._spec.coordinates.outward
        metric: Array = outward.T @ outward
        return metric

    def mean_under(self, spec: Conditioned) -> Array:
        """Return the means at the last generation of the same network under other truths.

        Args:
            spec: the specification with these truths.

        Returns:
            Shape (K, d).

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        estimates = Estimates.expected(spec)
        means: Array = self._mean(estimates, ChannelSystem(spec, self._channels).sums(estimates, both=True))[-1]
        return means

    def dispersion(self) -> Array:
        """Return the mean over pairs of the squared distance of two estimates of theta.

        Returns:
            Shape (n,).

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        if self._spec.entities == 1:
            return np.zeros(len(self._newest))
        spread = self.variance().sum(axis=1)
        together = np.array([self._variance_of_sum(newest) for newest in self._newest])
        means, K = self._spec.outside(self.mean), self._spec.entities
        offset = ((means - means.mean(axis=1, keepdims=True)) ** 2).sum(axis=(1, 2))
        apart: Array = np.maximum(0.0, 2.0 * (K * spread - together + K * offset) / (K * (K - 1)))
        return apart

    def gain_norms(self) -> Array:
        """Return the norms of the gains on the sources' estimates.

        Returns:
            Shape (n, K, K + 1).

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        return np.array([self._norms(newest) for newest in self._newest])

    @property
    def _weights(self) -> list[SourceWeights]:
        """Generation 0's weights where they count, and the lasting ones."""
        counts = (self._newest == 0).any() or any(state.gains[0].any() for state in self._states.values())
        return self._system.weights if counts else self._system.weights[1:]

    def _blocks(self, newest: Labels, read: Callable[[ChannelBlock, Gains, Labels, slice], _Result]) -> list[_Result]:
        """Read something of every block of entities, whose gains are those of their newest training."""
        weights, spec = self._weights, self._spec

        def of_block(rows: slice) -> _Result:
            block = self._system.block(rows, weights)
            trained = newest[self._channels.members[rows]]
            return read(block, started_or_lasting(block.gains, trained), trained, rows)

        return list(map_blocks(of_block, spec.entities, spec.dimension))

    def _variance_of_sum(self, newest: Labels) -> float:
        """Variance of sum_k theta_k where the classes were trained at given generations."""
        spec, sums, outwards = self._spec, self._sums, self._spec.outwards
        taus = sorted({int(t) for t in newest} - {0})
        d, m, heard, labels = spec.dimension, self._channels.heard.shape[1], self._channels.heard, self._channels.labels

        def answers(_: ChannelBlock, gains: Gains, trained: Labels, rows: slice) -> Array:
            mixes, flat = heard[labels[rows]], outwards(gains.heard).reshape(len(trained), -1)
            by_time = [(np.where(trained[:, None] == t, mixes, 0.0).T @ flat).reshape(m, d, d) for t in taus]
            return np.array(
                [*(each.transpose(1, 0, 2) for each in by_time), _padded(outwards(gains.public).sum(axis=0), m)]
            )

        total = sum(self._blocks(newest, answers), np.zeros((len(taus) + 1, d, m, d)))
        public, B = total[-1][:, 0], [each.reshape(d, -1) for each in total[:-1]]
        counts = [v for v in (0, 1) if any(self._states[t].gains[v].any() for t in taus)]
        Q = {
            v: sum((b @ self._states[t].gains[v] for b, t in zip(B, taus, strict=True)), np.zeros((d, m * d)))
            for v in counts
        }
        place = {v: v - (2 - len(sums.drive)) for v in counts}
        public = public + sum((Q[v] @ sums.public[place[v]] for v in counts), np.zeros((d, d)))

        def squares(block: ChannelBlock, gains: Gains, trained: Labels, rows: slice) -> float:
            told, said = outwards(gains.private), self._channels.said[rows]
            for v in counts:
                by_channel = Q[v].reshape(d, m, d).transpose(1, 0, 2).reshape(m, -1)
                told = told + (said @ by_channel).reshape(-1, d, d) @ block.published[v - (2 - len(block.published))]
            return float(((told @ block.data.private) * told).sum())

        real = sum(self._blocks(newest, squares)) + np.trace(public @ spec.public @ public.T)
        return float(spec.sigma**2 * real + self._noise_of_sum(B, taus))

    def _noise_of_sum(self, answers: list[Array], taus: list[int]) -> float:
        total = 0.0
        for i, (b, t) in enumerate(zip(answers, taus, strict=True)):
            carried, now = b @ self._states[t].noise, t
            total += float((carried * b).sum())
            for other, later in zip(answers[i + 1 :], taus[i + 1 :], strict=True):
                for step in range(now, later):
                    carried = carried @ self._step(step)[0].T
                now = later
                total += 2.0 * float((carried * other).sum())
        return total

    def _norms(self, newest: Labels) -> Array:
        """Norms of the gains where the classes were trained at given generations, (K, K + 1)."""
        spec, sums, d, m = self._spec, self._sums, self._spec.dimension, self._channels.heard.shape[1]
        inward = np.eye(d) if spec.coordinates is None else spec.coordinates.inward

        def told(block: ChannelBlock, _: Gains, __: Labels, rows: slice) -> Array:
            said, S = self._channels.said[rows], block.data.private @ inward
            return np.array([said[:, :, None, None] * (each @ S)[:, None] for each in block.published])

        drives = np.concatenate(self._blocks(newest, told), axis=1)
        weights = len(drives)
        drives = drives.transpose(0, 2, 3, 1, 4).reshape(weights, m * d, -1)
        publics = sums.public[-weights:] @ (spec.public @ inward)
        carried = {
            int(t): sum(
                gain @ np.hstack([drives[v], publics[v]])
                for v, gain in enumerate(self._states[int(t)].gains[-weights:])
            )
            for t in set(newest.tolist()) - {0}
        }

        def norms(block: ChannelBlock, gains: Gains, trained: Labels, rows: slice) -> Array:
            out = np.zeros((len(trained), spec.entities + 1))
            for k, t in enumerate(trained):
                mine = np.zeros((d, (spec.entities + 1) * d))
                if t > 0:
                    heard = self._channels.heard[self._channels.labels[rows.start + k]]
                    mine = gains.heard[k] @ np.tensordot(heard, carried[int(t)].reshape(m, d, -1), axes=1)
                at = rows.start + k
                mine[:, at * d : (at + 1) * d] += gains.private[k] @ block.data.private[k] @ inward
                mine[:, -d:] += gains.public[k] @ spec.public @ inward
                out[k] = np.linalg.norm(spec.outwards(mine).reshape(d, -1, d), axis=(0, 2))
            return out

        return np.concatenate(self._blocks(newest, norms))

    def _mean(self, estimates: Estimates, sums: Sums) -> Array:
        public = self._spec.public @ estimates.public

        def mean(reading: _Reading, rows: slice) -> Array:
            moments = np.einsum("bij,bj->bi", reading.private_grams, estimates.private[rows])
            return reading.mean(moments, public)

        return self._per_entity(sums, mean)

    def _per_entity(self, sums: Sums, read: Callable[[_Reading, slice], Array]) -> Array:
        spec, weights = self._spec, self._weights
        known: dict[int, _Heard] = {}

        def of_block(rows: slice) -> Array:
            block = self._system.block(rows, weights)
            return np.array([read(self._reading(block, rows, newest, sums, known), rows) for newest in self._newest])

        if len(self._channels.heard) <= _FEW_LABELS:
            for t in {int(t) for t in self._newest.ravel()} - {0}:
                known[t] = _Heard.of(self._states[t], sums, self._channels.heard, spec)
        return np.concatenate(list(map_blocks(of_block, spec.entities, spec.dimension)), axis=1)

    def _reading(
        self, block: ChannelBlock, rows: slice, newest: Labels, sums: Sums, known: dict[int, _Heard]
    ) -> _Reading:
        """One block at one generation, at which each class was last trained at its newest."""
        spec, channels = self._spec, self._channels
        trained, labels, d = newest[channels.members[rows]], channels.labels[rows], spec.dimension
        parts: list[tuple[Labels, _Reading]] = []
        for t in np.unique(trained):
            mine = np.flatnonzero(trained == t)
            data, gains = block.data.private[mine], block.gains[0 if t == 0 else -1].rows(mine)
            if t == 0:
                nothing = _nothing(len(mine), d)
                parts.append((mine, _Reading(spec, data, gains.private, gains.public, 0 * gains.heard, *nothing)))
                continue
            present, places = np.unique(labels[mine], return_inverse=True)
            if int(t) in known:
                heard, places = known[int(t)], labels[mine]
            else:
                heard = _Heard.of(self._states[int(t)], sums, channels.heard[present], spec)
            published = [block.published[v][mine] for v in _counted(self._states[int(t)], len(block.published))]
            own = _own(heard.gains, places, channels.said[rows][mine], published)
            law = heard.of_each(places)
            parts.append((mine, _Reading(spec, data, gains.private, gains.public, gains.heard, own, law)))
        return parts[0][1] if len(parts) == 1 else _joined(parts)


def _counted(state: ChannelState, weights: int) -> list[int]:
    """Places of the weights under which something was said that still counts, among those that were answered."""
    return [v if weights > 1 else v - 1 for v, gain in enumerate(state.gains) if gain.any()]


def started_or_lasting(gains: list[Gains], trained: Labels) -> Gains:
    """Return each entity's gains at its newest training.

    Args:
        gains: under generation 0's weights, where they count, and the lasting ones.
        trained: generation of the newest training, shape (b,).

    Returns:
        The gains; entities of generation 0 hear nothing.
    """
    start, lasting = gains[0], gains[-1]
    if (trained > 0).all():
        return lasting
    later = (trained > 0)[:, None, None]
    return Gains(
        np.where(later, lasting.private, start.private), np.where(later, lasting.public, start.public),
        np.where(later, lasting.heard, 0.0), lasting.singular, lasting.inflation,
    )  # fmt: skip


def _padded(matrix: Array, m: int) -> Array:
    """Put one (d, d) matrix in the first of m places, (d, m, d)."""
    out = np.zeros((len(matrix), m, len(matrix)))
    out[:, 0] = matrix
    return out


def _nothing(count: int, d: int) -> tuple[Array, _Heard]:
    vectors, matrices = np.zeros((count, d)), np.zeros((count, d, d))
    return matrices, _Heard(vectors, matrices, matrices, matrices, matrices)


def _own(gains: Array, places: Labels, said: Array, published: list[Array]) -> Array:
    """Gains of the entities' own data on what they heard, (b, d, d)."""
    count, _, d, m, _ = gains.shape
    total = np.zeros((len(places), d, d))
    for v, reply in enumerate(published):
        by_channel = gains[:, v].transpose(0, 2, 1, 3).reshape(count, m, d * d)
        through = np.empty((len(places), d * d))
        order = np.argsort(places, kind="stable")
        present, starts = np.unique(places[order], return_index=True)
        for place, part in zip(present, np.split(order, starts[1:]), strict=True):
            through[part] = said[part] @ by_channel[place]
        total += through.reshape(-1, d, d) @ reply
    return total


def _joined(parts: list[tuple[Labels, _Reading]]) -> _Reading:
    """Put readings of different entities of a block together, in the entities' order."""
    back = np.argsort(np.concatenate([mine for mine, _ in parts]))
    readings = [reading for _, reading in parts]

    def together(*arrays: Array) -> Array:
        return np.concatenate(arrays)[back]

    first = readings[0]
    laws = zip(*(each.law[:-1] for each in readings), strict=True)
    mean, covariance, noise, public = (together(*arrays) for arrays in laws)
    return _Reading(
        spec=first.spec,
        private_grams=together(*(each.private_grams for each in readings)),
        private=together(*(each.private for each in readings)),
        public=together(*(each.public for each in readings)),
        heard=together(*(each.heard for each in readings)),
        own=together(*(each.own for each in readings)),
        law=_Heard(mean, covariance, noise, public, first.law.gains),
    )
