r"""Rings and other graphs that look the same from every reader, with equal data: one d x d problem and K Fourier modes.

With equal Gram matrices and weights, reader k hears (1 - phi) sum_delta c_delta p_(k + delta) + phi f. Let S = L L' be
the published Gram matrix, so that messages are p_j = L u_j, u_j = L'theta_j + eps_j with Cov eps = sigma_g^2 I. Then

    theta_k = P m_k + U m_* + Z ((1 - phi) L sum_delta c_delta u_(k + delta) + phi f),

and C = (1 - phi) L'Z L is symmetric, C = V diag(b) V'. In the Fourier mode f of the entities and the direction i of V
everything is one number: the messages move by omega_f b_i, omega_f = sum_delta c_delta exp(2 pi i f delta / K), and

    g_fi = (1 - phi) omega_f sum_s (omega_f b_i)^s,     M_f = P + (Z L V) diag(g_f) (V'L'P)

is the gain of the estimates on the private data. Beside one eigenproblem of order d all costs O(K d (d + log K)).

Reference: Davis, Circulant Matrices (1979), Chapter 5 (block circulants); paper, Theorems 1 to 3, for one pool in step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from crossfeed.theory.grams import Grams, map_blocks
from crossfeed.theory.kernels import Array
from crossfeed.theory.network import Reading
from crossfeed.theory.network_gains import Gains
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Conditioned
from crossfeed.theory.weights import SourceWeights

Complex = npt.NDArray[np.complexfloating[Any, Any]]

# Readers up to which a pair (C, R) is multiplied out to see whether it is a circulant.
_MULTIPLIED = 4000

# Differences of weights, or of Gram matrices' entries, relative to the largest that are rounding errors.
_ROUNDING = 8 * float(np.finfo(np.float64).eps)

# The same of C from its transpose: more, and gains of least norm are not those of one symmetric matrix.
_SYMMETRIC = 1e-10

# Rows of a matrix of weights, or Fourier modes, that are looked at together.
_TOGETHER = 65_536


def circulant_row(reading: Reading) -> Array | None:
    """Return the weights that every reader gives to the authors delta places further on.

    Args:
        reading: who reads whom.

    Returns:
        c, shape (K,), which sums to one; None where readers differ.
    """
    if reading.mixed is not None and reading.heard.shape[0] > _MULTIPLIED:
        return None
    matrix = reading.matrix()
    row = _sparse_row(matrix) if reading.is_sparse else _dense_row(matrix)
    if row is None:
        return None
    shares: Array = row / row.sum()
    return shares


def _sparse_row(matrix: Any) -> Array | None:
    from scipy.sparse import csr_array

    weights = csr_array(matrix, copy=True)
    weights.sum_duplicates()
    weights.eliminate_zeros()
    K, each = weights.shape[0], weights.indptr[1]
    if (np.diff(weights.indptr) != each).any():
        return None
    places = (weights.indices.reshape(K, each) - np.arange(K)[:, None]) % K
    row = np.zeros(K)
    row[places[0]] = weights.data[:each]
    alike = np.abs(weights.data.reshape(K, each) - row[places]).max() <= _ROUNDING * row.max()
    return row if alike else None


def _dense_row(weights: Array) -> Array | None:
    row: Array = weights[0].copy()
    K = len(row)
    step = max(1, 16 * _TOGETHER // K)
    for start in range(0, K, step):
        readers = np.arange(start, min(start + step, K))
        places = (np.arange(K) - readers[:, None]) % K
        if np.abs(weights[readers] - row[places]).max() > _ROUNDING * row.max():
            return None
    return row


@dataclass(frozen=True, eq=False)
class Answer:
    """Gains of everybody's estimates under some weights, in the coordinates of C.

    Attributes:
        gains: P, U and Z, each of shape (1, d, d).
        private: V'L'P, shape (d, d).
        public: V'L'U, shape (d, d).
    """

    gains: Gains
    private: Array
    public: Array


@dataclass(frozen=True, eq=False)
class Circulant:
    """A network that looks the same from every reader.

    Attributes:
        spec: the specification.
        modes: omega of the Fourier modes 0 to K // 2, shape (F,); the others are their conjugates.
        rates: b, shape (d,).
        start: the answer at generation 0.
        lasting: the answer at later ones.
        told: Z L V, gains on what is heard, shape (d, d).
        fresh: V'L'Z, what is said of fresh data, shape (d, d).
    """

    spec: Conditioned
    modes: Complex
    rates: Array
    start: Answer
    lasting: Answer
    told: Array
    fresh: Array

    @classmethod
    def of(cls, spec: Conditioned) -> Circulant | None:
        """Find out if a network is one.

        Args:
            spec: the specification, with a network.

        Returns:
            The circulant; None where readers, their data or their weights differ, or not everybody trains in step.

        Raises:
            InvalidInput: if Gram matrices are so near to singular ones that rounding decides.
        """
        network = spec.network
        assert network is not None  # noqa: S101 - for the type checker; called for networks alone
        if not network.timing.in_step or network.timing.stale == "drop" or network.generated_at is not None:
            return None
        weights = [_common(spec.weights.at(t)) for t in (0, 1)] if spec.weights.constant else []
        row = circulant_row(network.reading) if weights and all(weights) else None
        if row is None or not (_alike(spec.private) and (spec.generated is spec.private or _alike(spec.generated))):
            return None
        S, phi = spec.generated.block(slice(0, 1))[0], spec.fresh_fraction
        heard = ((1.0 - phi) * S + phi * spec.fresh_gram)[None]
        block = EntityBlock.read(spec, slice(0, 1), heard)
        start, lasting = (Gains.of(block.respond(each)) for each in weights if each is not None)
        values, vectors = np.linalg.eigh(S)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        coupling = (1.0 - phi) * root.T @ lasting.heard[0] @ root
        if np.abs(coupling - coupling.T).max() > _SYMMETRIC * np.abs(coupling).max():
            return None
        rates, turn = np.linalg.eigh((coupling + coupling.T) / 2)
        inner = turn.T @ root.T
        first, later = (Answer(each, inner @ each.private[0], inner @ each.public[0]) for each in (start, lasting))
        modes = np.conj(np.fft.rfft(row))
        modes[0] = 1.0
        return cls(spec, modes, rates, first, later, lasting.heard[0] @ root @ turn, inner @ lasting.heard[0])

    @property
    def radius(self) -> float:
        """The spectral radius: that of the mode in which all say the same, as no |omega| is larger."""
        return float(self.rates.max())

    @cached_property
    def multiplicity(self) -> Array:
        """Share of each mode, with its conjugate, among all K, shape (F,)."""
        K = self.spec.entities
        counts = np.full(len(self.modes), 2.0)
        counts[0] = 1.0
        if K % 2 == 0:
            counts[-1] = 1.0
        return counts / K

    def blocks(self) -> Iterator[slice]:
        """Cut the modes into runs.

        Returns:
            Slices of modes.
        """
        yield from (slice(start, start + _TOGETHER) for start in range(0, len(self.modes), _TOGETHER))


def _common(weights: SourceWeights) -> SourceWeights | None:
    parts = weights.private, weights.public, weights.synthetic
    return None if any((each != each[0]).any() for each in parts) else weights


def _alike(source: Grams) -> bool:
    first = source.block(slice(0, 1))
    most = _ROUNDING * np.abs(first).max()
    return all(
        map_blocks(
            lambda rows: bool(np.abs(source.block(rows) - first).max() <= most), source.entities, source.dimension
        )
    )


def geometric(ratio: npt.NDArray[Any], count: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Sum a geometric series without a quotient, by doubling.

    Args:
        ratio: x, of any shape.
        count: n >= 0.

    Returns:
        1 + x + ... + x^(n - 1), and x^n.
    """
    total, power = np.zeros_like(ratio), np.ones_like(ratio)
    for bit in bin(count)[2:]:
        total, power = total * (1.0 + power), power * power
        if bit == "1":
            total, power = 1.0 + ratio * total, power * ratio
    return total, power
