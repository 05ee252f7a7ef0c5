r"""Few channels that carry all that a network hears: W = C R of rank r, whatever the number K of entities.

Entities with equal clocks form a class. Channel (c, g) carries what class g says into mix c, and fresh data are one
more channel; reader k hears a mix of channels that only its row of C decides, so readers with equal rows hear the same:

    u_cg = sum_{j in g} R_cj (S_j theta_j + X_j'eps_j),        z_k = (1 - phi) sum_cg C_kc u_cg + phi f.

Written l_j for author j's weights in the m = r G channels (plus fresh), the channels move by

    u' = A u + sum_j (l_j (x) D_j) m_j + D_* m_* + noise,    A = sum_j (l_j (x) S_j Z_j) (h_j (x) I),     D_j = S_j P_j,

for the classes that train, with P, U, Z of `crossfeed.theory.network_gains`: everything shared is m d x m d, and no
K x K matrix is formed. With r = 1 and one class this is the reduction of `crossfeed.theory.consensus`.

Reference: the reduction is not in the paper; its lifted system is that of Theorems 1 and 3 with one pool for each row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from crossfeed.theory.channel_few_rows import FewRowsReaders, pairs_of, summed
from crossfeed.theory.consensus import Estimates
from crossfeed.theory.grams import map_blocks
from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.network_gains import Gains
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights

Labels = npt.NDArray[np.intp]

# Replies by label, public part, drive, spread and noise, summed up by channels; singular ones; inflation.
_Found = tuple[tuple[Array, ...], Mask, float]

_Number = TypeVar("_Number", np.float64, np.int64)

# Coordinates of channels that are followed together, at most.
_LARGEST = 1000


@dataclass(frozen=True, eq=False)
class Channels:
    """Weights of authors and readers in m channels, the fresh data's last.

    Attributes:
        said: l, shape (K, m).
        labels: of readers who hear the same, shape (K,).
        heard: h of each label, shape (q, m).
        classes: class of each channel, shape (m,); -1 for fresh data, which are new at each generation.
        clocks: every and phase of each class, shape (G, 2).
        members: class of each entity, shape (K,).
    """

    said: Array
    labels: Labels
    heard: Array
    classes: Labels
    clocks: npt.NDArray[np.int64]
    members: Labels

    @classmethod
    def of(cls, spec: Conditioned) -> Channels | None:
        """Find the channels of an ecosystem.

        Args:
            spec: the ecosystem's specification, with a network.

        Returns:
            The channels; None where they would be no fewer than the entities, or where not only clocks decide.
        """
        network = spec.network
        assert network is not None  # noqa: S101 - for the type checker; called for networks alone
        timing, reading = network.timing, network.reading
        if reading.mixed is None or timing.random or timing.changing or timing.order == "sequential":
            return None
        if network.generated_at is not None or not spec.weights.constant or timing.stale == "drop":
            return None
        clocks, member = distinct_rows(np.stack([timing.every, timing.phase % timing.every], axis=1))
        r, G, fresh = reading.channels, len(clocks), spec.fresh is not None
        m = r * G + fresh
        if 2 * m > spec.entities or m * spec.dimension > _LARGEST:
            return None
        said = np.zeros((spec.entities, m))
        for g in range(G):
            mine = member == g
            said[mine, g * r : (g + 1) * r] = reading.mixed[:, mine].T
        rows, labels = distinct_rows(reading.heard)
        mixes = (1.0 - spec.fresh_fraction) * np.tile(rows, (1, G))
        heard = np.hstack([mixes, np.full((len(rows), 1), spec.fresh_fraction)]) if fresh else mixes
        classes = np.r_[np.repeat(np.arange(G), r), np.full(int(fresh), -1)]
        return cls(said, labels, heard, classes, clocks, member)

    def trained(self, generation: int) -> Mask:
        """Tell channels that are written after a generation's training.

        Args:
            generation: t >= 1.

        Returns:
            Shape (m,).
        """
        every, phase = self.clocks.T
        due = np.r_[generation % every == phase, True]
        mask: Mask = due[self.classes]
        return mask

    def newest(self, generation: int) -> Labels:
        """Return the newest training of each class.

        Args:
            generation: t >= 0.

        Returns:
            The generations, shape (G,); 0 for a class that was not due since.
        """
        every, phase = self.clocks.T
        newest: Labels = np.maximum(generation - (generation - phase) % every, 0)
        return newest


def distinct_rows(matrix: npt.NDArray[_Number]) -> tuple[npt.NDArray[_Number], Labels]:
    """Return the distinct rows of a matrix with many that are alike.

    Args:
        matrix: shape (n, m).

    Returns:
        The rows, shape (q, m), and which of them each row is, shape (n,).
    """
    # Sorting one number for each row takes a tenth of the time of sorting rows; two rows with one number are seen.
    keys = (matrix * np.random.default_rng(0).uniform(1.0, 2.0, matrix.shape[1])).sum(axis=1)
    _, first, labels = np.unique(keys, return_index=True, return_inverse=True)
    if not (matrix == matrix[first][labels]).all():
        rows, labels = np.unique(matrix, axis=0, return_inverse=True)
        return rows, labels.ravel()
    return matrix[first], labels


@dataclass(frozen=True, eq=False)
class Sums:
    """The entities summed up for the channels, under each of two weights: generation 0's and the lasting ones.

    With n = m d:

    Attributes:
        matrix: A under the lasting weights, shape (n, n).
        public: D_* under each, shape (2, n, d).
        drive: the real data's part of the channels' mean, shape (2, n).
        spread: sum_j (l_j l_j') (x) D_uj S~_j D_vj', shape (2, 2, n, n).
        noise: covariance of what is new, shape (n, n).
        singular: True where the lasting training set is singular, shape (K,).
        inflation: what rounding errors of Gram matrices are multiplied by, at most.
    """

    matrix: Array
    public: Array
    drive: Array
    spread: Array
    noise: Array
    singular: Mask
    inflation: float


@dataclass(frozen=True, eq=False)
class ChannelBlock:
    """One block of entities: its data, and how it answers under each of some weights.

    Attributes:
        data: its data.
        gains: of each weights.
        published: D = S P for each weights, shape (b, d, d).
    """

    data: EntityBlock
    gains: list[Gains]
    published: list[Array]


class ChannelSystem:
    """A network through its channels.

    Args:
        spec: the ecosystem's specification, with a network.
        channels: its channels.

    Attributes:
        channels: the channels.
        weights: generation 0's and the lasting ones.
    """

    def __init__(self, spec: Conditioned, channels: Channels) -> None:
        self._spec, self.channels = spec, channels
        self.weights = [spec.weights.at(0), spec.weights.at(1)]
        K, d = spec.entities, spec.dimension

        def grams(rows: slice) -> Array:
            return summed(channels.said[rows], spec.generated.block(rows))

        mixes = sum(map_blocks(grams, K, d), np.zeros((channels.said.shape[1], d, d)))
        if spec.fresh is not None:
            mixes[-1] = spec.fresh
        self._heard_grams = np.tensordot(channels.heard, mixes, axes=1)

    def block(self, rows: slice, weights: Sequence[SourceWeights]) -> ChannelBlock:
        """Read a block of entities.

        Args:
            rows: slice(start, stop) of entity numbers.
            weights: those that it answers under.

        Returns:
            The block.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        read = EntityBlock.read(self._spec, rows, self._heard_grams[self.channels.labels[rows]])
        gains = [Gains.of(read.respond(w)) for w in weights]
        return ChannelBlock(read, gains, [read.generated @ each.private for each in gains])

    def sums(self, estimates: Estimates, *, both: bool) -> Sums:
        """Sum all entities up for the channels, in one pass over their data.

        Args:
            estimates: the estimates, or truths, of all sources.
            both: True where generation 0's weights count too.

        Returns:
            The sums.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        spec, d, m = self._spec, self._spec.dimension, len(self.channels.classes)
        found = self._few_rows_sums(estimates) if not both else None
        if found is None:
            found = self._sums(estimates, self.weights if both else self.weights[1:])
        (heard, public, drive, spread, noise), singular, inflation = found
        u = len(public)
        noise = spec.sigma_generated**2 * _full(noise, m, d)
        public = public.reshape(u, m * d, d)
        drive = drive.reshape(u, -1) + public @ (spec.public @ estimates.public)
        if spec.fresh is not None:
            noise[-d:, -d:] = spec.sigma**2 * spec.fresh_gram
            drive[:, -d:] = spec.fresh_gram @ spec.inside(spec.truth_public)
        if self._few_labels:
            heard = np.einsum("qmxy,qc->mcxy", heard, self.channels.heard)
        matrix = heard.transpose(0, 2, 1, 3).reshape(m * d, m * d)
        shared = public[:, None] @ spec.public @ public.swapaxes(1, 2)[None]
        spread = np.array([[_full(each, m, d) for each in line] for line in spread]) + shared
        return Sums(matrix, public, drive, spread, noise, singular, inflation)

    @property
    def few_rows(self) -> FewRowsReaders | None:
        """A shorter way where all have few rows of data; None where it is not open."""
        channels = self.channels
        if not self._few_labels:
            return None
        return FewRowsReaders.of(self._spec, channels.said, channels.labels, self._heard_grams, self.weights[-1])

    def _few_rows_sums(self, estimates: Estimates) -> _Found | None:
        few = self.few_rows
        found = None if few is None else few.sums(estimates)
        if few is None or found is None:
            return None
        _, q, a = (float(each[0]) for each in (few.weights.private, few.weights.public, few.weights.synthetic))
        public, none = q * found.replies.sum(axis=0)[None], np.zeros(self._spec.entities, dtype=np.bool_)
        sums = a * found.replies, public, found.drive[None], found.spread[None, None], found.published
        return sums, none, found.inflation

    def _sums(self, estimates: Estimates, used: Sequence[SourceWeights]) -> _Found:
        spec = self._spec

        def of_block(rows: slice) -> tuple[Any, ...]:
            block = self.block(rows, used)
            said, lasting, S = self.channels.said[rows], block.gains[-1], block.data.generated
            pairs, moments = pairs_of(said), estimates.moment(block.data)
            carried = [each @ block.data.private for each in block.published]
            public = [summed(said, S @ gains.public) for gains in block.gains]
            drive = [said.T @ np.einsum("bij,bj->bi", each, moments) for each in block.published]
            spread = [[summed(pairs, left @ right.swapaxes(1, 2)) for right in block.published] for left in carried]
            heard = self._heard(said, S @ lasting.heard, rows)
            noise = summed(pairs, S)
            return (
                heard, np.array(public), np.array(drive), np.array(spread), noise, lasting.singular,
                float(max(gains.inflation.max() for gains in block.gains)),
            )  # fmt: skip

        parts = list(map_blocks(of_block, spec.entities, spec.dimension))
        sums = tuple(reduce(add, [part[i] for part in parts]) for i in range(5))
        return sums, np.concatenate([part[5] for part in parts]), max(part[6] for part in parts)

    @property
    def _few_labels(self) -> bool:
        return len(self.channels.heard) <= 4 * len(self.channels.classes)

    def _heard(self, said: Array, replies: Array, rows: slice) -> Array:
        """Sums of (l h') (x) M over one block, (m, m, d, d); over readers of each label, (q, m, d, d), if few."""
        labels, heard = self.channels.labels[rows], self.channels.heard
        if self._few_labels:
            return _by_label(said, replies, labels, len(heard))
        products = (said[:, :, None] * heard[labels][:, None]).reshape(len(said), -1)
        return summed(products, replies).reshape(said.shape[1], said.shape[1], *replies.shape[1:])


def _by_label(said: Array, matrices: Array, labels: Labels, count: int) -> Array:
    """Sums over readers of each label, shape (q, m, d, d)."""
    d = matrices.shape[1]
    total = np.zeros((count, said.shape[1], d, d))
    order = np.argsort(labels, kind="stable")
    present, starts = np.unique(labels[order], return_index=True)
    for label, part in zip(present, np.split(order, starts[1:]), strict=True):
        total[label] = summed(said[part], matrices[part])
    return total


def _full(pairs: Array, m: int, d: int) -> Array:
    """The (n, n) matrix of blocks (i, i'), which are the same for (i', i)."""
    first, second = np.triu_indices(m)
    blocks = np.zeros((m, m, d, d))
    blocks[second, first] = pairs
    blocks[first, second] = pairs
    return blocks.transpose(0, 2, 1, 3).reshape(m * d, m * d)
