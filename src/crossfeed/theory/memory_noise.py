r"""Noise of generated labels in the limit where models remember, frequency by frequency.

Under constant weights the pools answer the noise nu of every generation as z = [I - A(zeta)]^{-1} nu, and the estimates
as theta_k = a_k (zeta - E_k)^{-1} F_k z (`crossfeed.theory.modes` has A). With N the covariance of nu,

    Cov theta_k = (1/2 pi) int a_k^2 (zeta - E_k)^{-1} F_k Phi F_k (zeta - E_k)^{-*} d omega,      zeta = e^{i omega},
    Phi = [I - A(zeta)]^{-1} N [I - A(zeta)]^{-*}.

The integral runs over s = log tan(omega/2), by the trapezoid rule. Modes with a real zeta between -1 and 1, however
near to 1, are then all at the same distance pi/2 from the line, and the error falls as exp(-pi^2/h) with the step h: a
few hundred frequencies give all digits where even steps of omega would take 35/(1 - radius). Modes that turn are
nearer; steps are halved until the pool's own noise stays the same. A halving squares the error.

Each frequency costs K d^3 in products of many entities at once, and one inverse of a d x d matrix.

Reference: Trefethen and Weideman, The exponentially convergent trapezoidal rule, SIAM Review 56 (2014); the noise of
models that remember is not in the paper.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from crossfeed.errors import InvalidInput
from crossfeed.theory.grams import block_slices, map_blocks
from crossfeed.theory.kernels import Array, transposed, weighted
from crossfeed.theory.response import EntityBlock
from crossfeed.theory.specification import Conditioned

Complex = npt.NDArray[np.complexfloating[Any, Any]]

# First step of s, and where the integrand's tails, which fall as exp(-|s|), are cut off.
_STEP, _TAIL = 0.6, 32.0

# A halving that changes the noise by less has squared the error below rounding; and how many there are at most.
_CHANGE, _HALVINGS = 3e-7, 10

# Numbers in one batch of frequencies of a block of entities, and frequencies at which A is summed up at once.
_BATCH, _TOGETHER = 1_000_000, 128


class _Nodes(NamedTuple):
    """Frequencies.

    Attributes:
        zeta_minus_one: zeta - 1, shape (m,), with all its digits near zero.
        density: d omega / ds over pi, shape (m,): both halves of the circle.
    """

    zeta_minus_one: Complex
    density: Array

    @classmethod
    def at(cls, s: Array) -> _Nodes:
        tangent = np.exp(s)
        return cls(2j * tangent / (1.0 - 1j * tangent), 1.0 / (np.cosh(s) * np.pi))


@dataclass(frozen=True)
class _Spectrum:
    """The pool's noise in the frequencies.

    Attributes:
        zeta_minus_one: zeta - 1, shape (m,).
        factors: C, Phi d omega / 2 pi = C C* for one frequency and its mirror image together, shape (m, d, r).
    """

    zeta_minus_one: Complex
    factors: Complex


class _Update(NamedTuple):
    """One block of entities in the directions of their G.

    Attributes:
        directions: V, shape (b, d, d).
        learns: a f, shape (b, d).
        missing: 1 - e, shape (b, d).
    """

    directions: Array
    learns: Array
    missing: Array

    def answer(self, zeta_minus_one: Complex) -> Complex:
        """Return a f / (zeta - e), shape (m, b, d)."""
        answered: Complex = self.learns / (zeta_minus_one[:, None, None] + self.missing)
        return answered


class MemoryNoise:
    """The part of the limit that generated noise leaves, where models remember; zero mean, and apart from all data.

    Args:
        spec: the ecosystem's specification, with constant weights.
        radius: the spectral radius, below one.

    Raises:
        InvalidInput: if modes turn for so long that no rule of `_HALVINGS` halvings resolves them.
    """

    def __init__(self, spec: Conditioned, radius: float) -> None:
        self._spec = spec
        self._weights = spec.weights.at(1)
        self._radius = radius

    @cached_property
    def covariance(self) -> Array:
        """Covariance of each entity's estimate, shape (K, d, d)."""

        def of_block(rows: slice) -> Array:
            update = self._update(EntityBlock.read(self._spec, rows))
            d = self._spec.dimension
            total = np.zeros((len(update.learns), d, d))
            for heard in self._heard(update):
                flat = heard.reshape(len(total), d, -1)
                total += flat @ transposed(flat)
            turned: Array = update.directions @ total @ transposed(update.directions)
            return turned

        return np.concatenate(list(map_blocks(of_block, self._spec.entities, self._spec.dimension)))

    @property
    def variance(self) -> Array:
        """Trace of the covariances, shape (K,)."""
        trace: Array = np.trace(self.covariance, axis1=1, axis2=2)
        return trace

    @cached_property
    def dispersion(self) -> float:
        """Mean over pairs of E |theta_k - theta_l|^2; differences to entity 0 are taken before anything is squared."""
        spec, K = self._spec, self._spec.entities
        if K == 1:
            return 0.0
        first = list(self._answers(self._update(EntityBlock.read(spec, slice(0, 1)))))

        def of_block(rows: slice) -> tuple[float, list[Array]]:
            squares, sums = 0.0, []
            for own, other in zip(self._answers(self._update(EntityBlock.read(spec, rows))), first, strict=True):
                apart = own - other
                squares += float(np.vdot(apart, apart))
                sums.append(apart.sum(axis=0))
            return squares, sums

        parts = list(map_blocks(of_block, K, spec.dimension))
        together = [np.sum(each, axis=0) for each in zip(*(part[1] for part in parts), strict=True)]
        whole = sum(float(np.vdot(each, each)) for each in together)
        return max(0.0, 2 * (K * sum(part[0] for part in parts) - whole) / (K * (K - 1)))

    def _update(self, block: EntityBlock) -> _Update:
        update, w = block.filtered(self._weights), self._weights.block(block.rows)
        learns = np.where(update.unseen, 0.0, w.synthetic[:, None] * update.learns)
        return _Update(update.directions, learns, np.where(update.unseen, 1.0, update.missing))

    def _heard(self, update: _Update) -> Iterator[Array]:
        """Return the entities' answers to the noise in the directions of their G, shape (b, d, n) a batch.

        The n numbers are real and imaginary parts at some frequencies: what estimates hold is white noise times them.
        """
        spectrum, count = self._spectrum, len(update.learns)
        frequencies, d, rank = spectrum.factors.shape
        for start in range(0, frequencies, self._batch):
            batch = slice(start, start + self._batch)
            factors = spectrum.factors[batch].transpose(1, 0, 2).reshape(d, -1)
            answers = update.answer(spectrum.zeta_minus_one[batch]).transpose(1, 2, 0)
            seen = (transposed(update.directions).reshape(-1, d) @ factors).reshape(*answers.shape, rank)
            heard = seen * answers[..., None]
            yield np.concatenate([heard.real, heard.imag], axis=-1).reshape(count, d, -1)

    @property
    def _batch(self) -> int:
        """Frequencies of a batch: the same for all blocks, which are compared."""
        d = self._spec.dimension
        largest: int = block_slices(self._spec.entities, d)[0].stop
        return max(1, _BATCH // (largest * d * d))

    def _answers(self, update: _Update) -> Iterator[Array]:
        """Return `_heard` in the coordinates of the estimates."""
        for heard in self._heard(update):
            yield update.directions @ heard

    @cached_property
    def _spectrum(self) -> _Spectrum:
        values, vectors = np.linalg.eigh(self._spec.pool_noise)
        kept = values > 0
        root = vectors[:, kept] * np.sqrt(values[kept])
        spectra: list[_Spectrum] = []
        total, step = np.zeros_like(vectors), _STEP
        for halving in range(_HALVINGS):
            spectra.append(self._at(self._places(step, odd=halving > 0), root))
            added = step * _noise_of(spectra[-1])
            total, before = total / 2 + added if halving else added, total
            if halving and np.abs(total - before).max() <= _CHANGE * np.abs(total).max(initial=0.0):
                return _together(spectra, step)
            step /= 2
        raise InvalidInput(
            f"what the models share turns for so long (spectral radius {self._radius:.10g}) that its noise cannot be "
            "summed up over frequencies; read .moments([t]) at a large t"
        )

    def _places(self, step: float, *, odd: bool) -> Array:
        """Return the nodes s of a step, or those that it has and the step twice as long has not."""
        low = np.floor((np.log(max(1.0 - self._radius, 1e-16)) - _TAIL) / _STEP)
        count = int(np.ceil((_TAIL - low * _STEP) / step))
        numbers = np.arange(1, count, 2) if odd else np.arange(count)
        return np.asarray(low * _STEP + step * numbers, dtype=np.float64)

    def _at(self, s: Array, root: Array) -> _Spectrum:
        nodes, d = _Nodes.at(s), self._spec.dimension

        def sums(rows: slice) -> Complex:
            block = EntityBlock.read(self._spec, rows)
            update = self._update(block)
            told = weighted(self._spec.shares_of(rows), block.generated @ update.directions)
            # Direction i of entity k: a matrix of rank one, times a number for each frequency.
            single = told.transpose(0, 2, 1)[:, :, :, None] * transposed(update.directions)[:, :, None, :]
            flat, summed = single.reshape(-1, d * d), np.empty((len(s), d * d), dtype=np.complex128)
            for start in range(0, len(s), _TOGETHER):
                batch = slice(start, start + _TOGETHER)
                answers = update.answer(nodes.zeta_minus_one[batch])
                answers = answers.reshape(len(answers), -1)
                summed[batch] = answers.real @ flat + 1j * (answers.imag @ flat)
            return summed.reshape(len(s), d, d)

        coupling = sum(map_blocks(sums, self._spec.entities, d), np.zeros((len(s), d, d), dtype=complex))
        heard = np.linalg.solve(np.eye(d) - coupling, np.broadcast_to(root, (len(s), *root.shape)).astype(complex))
        return _Spectrum(nodes.zeta_minus_one, heard * np.sqrt(nodes.density)[:, None, None])


def _noise_of(spectrum: _Spectrum) -> Array:
    """Return the pool's noise, shape (d, d)."""
    C = spectrum.factors
    noise: Array = (C @ C.conj().swapaxes(1, 2)).real.sum(axis=0)
    return noise


def _together(spectra: list[_Spectrum], step: float) -> _Spectrum:
    factors = np.concatenate([each.factors for each in spectra])
    return _Spectrum(np.concatenate([each.zeta_minus_one for each in spectra]), np.sqrt(step) * factors)
