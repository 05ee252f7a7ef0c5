"""One generation of a network whose entities all train at once, without a product of two large matrices.

The messages move by p' = A p + D (sources) + noise with A = diag(S_k Z_k) (W (x) I): a product with A is one with W and
one with K small matrices.

Reference: paper, Section 5, with one pool for each reader.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfeed.theory.kernels import ONE_THREAD, Array
from crossfeed.theory.network import Reading
from crossfeed.theory.network_gains import Gains, answered
from crossfeed.theory.specification import Conditioned


@dataclass(frozen=True, eq=False)
class InStep:
    """One generation of a network whose entities all train at once.

    Attributes:
        spec: the ecosystem's specification.
        reading: who reads whom.
        gains: of everybody.
        dealt: weight of what is read among all that is heard, shape (K,).
    """

    spec: Conditioned
    reading: Reading
    gains: Gains
    dealt: Array

    @classmethod
    def of(cls, spec: Conditioned) -> InStep:
        """Read a network whose entities train and are heard at every generation, under constant weights.

        Args:
            spec: the ecosystem's specification, with a network.

        Returns:
            One of its generations from generation 1 on.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        assert spec.network is not None  # noqa: S101 - for the type checker; called for networks alone
        reading, phi = spec.network.reading, spec.fresh_fraction
        heard = reading.hear(np.ones(spec.entities))
        dealt = np.divide(1.0 - phi, heard, out=np.zeros_like(heard), where=heard > 0)
        grams = dealt[:, None, None] * reading.hear(spec.generated.all()) + phi * spec.fresh_gram
        return cls(spec, reading, answered(spec, spec.weights.at(1), grams), dealt)

    def hear(self, values: Array) -> Array:
        """Return what everybody hears of the messages.

        Args:
            values: shape (K, ...), one for each author.

        Returns:
            Shape (K, ...), one for each reader.
        """
        return self.dealt.reshape((-1,) + (1,) * (values.ndim - 1)) * self.reading.hear(values)

    def hear_again(self, once: Array) -> Array:
        """Return covariances of what each reader hears, from those of it with the messages.

        Args:
            once: shape (K, d, K, d), readers first.

        Returns:
            Shape (K, d, d).
        """
        weights = self.reading.matrix()
        dense = weights if isinstance(weights, np.ndarray) else weights.toarray()
        again: Array = np.einsum("kxjy,kj->kxy", once, self.dealt[:, None] * dense)
        return again

    def said(self, values: Array) -> Array:
        """Return what messages of the next generation take over from those of this one, A X.

        Args:
            values: X, shape (n, c).

        Returns:
            Shape (n, c).
        """
        heard = self.reading.hear(values.reshape(self.spec.entities, self.spec.dimension, -1))
        return self.reply(heard).reshape(len(values), -1)

    def reply(self, heard: Array) -> Array:
        """Return what is said after messages were heard.

        Args:
            heard: W X of the messages, not yet dealt out anew, shape (K, d, c).

        Returns:
            Shape (K, d, c).
        """
        d, said = self.spec.dimension, np.empty_like(heard)
        # Many small products on threads of their own would wait for each other more than they work.
        width = max(1, ONE_THREAD // (d * d))

        def columns(start: int) -> None:
            part = slice(start, start + width)
            np.matmul(self._replies, heard[:, :, part], out=said[:, :, part])

        starts = range(0, heard.shape[2], width)
        if len(starts) == 1:
            columns(0)
            return said
        with ThreadPoolExecutor(min(os.cpu_count() or 1, len(starts))) as pool:
            list(pool.map(columns, starts))
        return said

    @cached_property
    def _replies(self) -> Array:
        replies: Array = self.dealt[:, None, None] * (self.spec.generated.all() @ self.gains.heard)
        return replies

    def before(self, weights: Array) -> Array:
        """Return weights of messages before a generation, from weights of those after it, X A.

        Args:
            weights: X, shape (K, c, d): of c numbers on each message.

        Returns:
            Shape (K, c, d).
        """
        return self.heard_by(weights @ self._replies)

    def heard_by(self, weights: Array) -> Array:
        """Return weights of messages, from weights of what is heard of them (not dealt out anew), X (W (x) I).

        Args:
            weights: X, shape (K, c, d): of c numbers on what each reader hears.

        Returns:
            Shape (K, c, d), authors first.
        """
        flat = self.reading.matrix().T @ weights.reshape(len(weights), -1)
        return np.asarray(flat).reshape(weights.shape)

    def drive(self) -> Array:
        """Return the gains of what is said on the sources.

        Returns:
            D, shape (n, (K + 2) d).
        """
        K, d, S = self.spec.entities, self.spec.dimension, self.spec.generated.all()
        drive, places = np.zeros((K, d, K + 2, d)), np.arange(K)
        drive[places, :, places] = S @ self.gains.private
        drive[:, :, K] = S @ self.gains.public
        drive[:, :, K + 1] = self.spec.fresh_fraction * S @ self.gains.heard
        return drive.reshape(K * d, -1)

    def noise(self) -> Array:
        """Return the covariance of what is new in what is said.

        Returns:
            N, shape (n, n).
        """
        K, d, S = self.spec.entities, self.spec.dimension, self.spec.generated.all()
        fresh = (self.spec.fresh_fraction * S @ self.gains.heard).reshape(K * d, d)
        noise = (self.spec.sigma**2 * fresh @ self.spec.fresh_gram @ fresh.T).reshape(K, d, K, d)
        noise[np.arange(K), :, np.arange(K)] += self.spec.sigma_generated**2 * S
        return noise.reshape(K * d, K * d)
