r"""The long run of a large network in step, summed term by term until few directions are left.

With roots S_j = L_j L_j' of the published Gram matrices, what reader k hears in the long run is sum_s h_s with

    h_s = (W (x) I) p_(s-1),     p_0 = blockdiag(L_j),     p_s = blockdiag(S_k Z_k) h_s = A^s p_0,

on which its estimate has the gain Z_k: every gain on real data is a product with the sum of the h_s, and the covariance
that generated noise leaves is the sum of the Z_k h_s h_s' Z_k' of each reader alone. A term costs (Kd)^2 (K + 2 d), a
product of two matrices (Kd)^3. Once p_s has r directions left, p_s = U C with orthonormal columns, and A U = U M, the
rest of the series is that of M, of size r:

    sum_(t >= s) h_(t+1) = (W (x) I) U (I - M)^{-1} C,     Gamma = M Gamma M' + C C'.

When that will be is seen beforehand on a few random columns of p_0.

Reference: Halko, Martinsson and Tropp, Finding structure with randomness, SIAM Review 53 (2011), Sections 4.1 and 4.3,
for the random columns; paper, Theorem 3, for the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from crossfeed.theory.in_step import InStep
from crossfeed.theory.kernels import Array
from crossfeed.theory.spectrum import discrete_lyapunov, spectral_radius

# Share of the first term that counts as none.
_NEGLIGIBLE = 1e-13

# Terms that are summed up, at most: from here on products of matrices cost less. The columns are looked at so often.
_MANY, _LOOKED = 30, 2

# Random columns for each dimension of the parameters, and more of them on which the result is tested.
_COLUMNS, _TESTED = 4, 6


@dataclass(frozen=True, eq=False)
class _Rest:
    """Directions that are left after some terms."""

    terms: int
    basis: Array  # U, (n, r)
    step: Array  # M, (r, r)


@dataclass(frozen=True, eq=False)
class InStepSeries:
    """Sums of a network's long run.

    Attributes:
        step: how everybody answers and hears.
        heard: what readers hear of p_0 in the long run, not yet dealt out anew, shape (K, d, K d).
        noise: covariance of it from generated and fresh data's noise of generations before, shape (K, d, d).
        left: covariance Gamma of the directions that were left, shape (r, r).
        rest: these directions.
    """

    step: InStep
    heard: Array
    noise: Array
    left: Array
    rest: _Rest

    @classmethod
    def of(cls, step: InStep) -> InStepSeries | None:
        """Sum up a network whose spectral radius is below one.

        Args:
            step: how everybody answers and hears.

        Returns:
            The sums; None where they would have too many terms.
        """
        roots, spec = _roots(step), step.spec
        rest = _rest(step, roots)
        if rest is None:
            return None
        K, d, n = spec.entities, spec.dimension, spec.entities * spec.dimension
        published = np.zeros((K, d, K, d))
        published[np.arange(K), :, np.arange(K)] = roots
        heard = step.reading.hear(published.reshape(K, d, n))
        noise = _noise(spec.sigma_generated, heard)
        messages = np.concatenate([step.reply(heard), _fresh(step)], axis=2)
        lasts = True
        for _ in range(rest.terms - 1):
            term = step.reading.hear(messages)
            heard += term[:, :, :n]
            if lasts:
                added = _noise(spec.sigma_generated, term[:, :, :n]) + _noise(spec.sigma, term[:, :, n:])
                noise += added
                lasts = bool(_size(added) > np.finfo(float).eps / 16 * _size(noise))
            messages = step.reply(term)
        left = rest.basis.T @ messages.reshape(n, -1)
        gamma = discrete_lyapunov(
            rest.step, _noise(spec.sigma_generated, left[:, :n]) + _noise(spec.sigma, left[:, n:])
        )
        told = step.reading.hear(rest.basis.reshape(K, d, -1))
        heard += told @ np.linalg.solve(np.eye(len(gamma)) - rest.step, left[:, :n])
        noise += told @ gamma @ told.swapaxes(1, 2)
        return cls(step, heard, noise, gamma, rest)

    @cached_property
    def gains(self) -> Array:
        """Gains of the estimates on the sources, shape (K, d, (K + 2) d)."""
        step, spec, gains = self.step, self.step.spec, self.step.gains
        K, d, places = spec.entities, spec.dimension, np.arange(spec.entities)
        to_roots = (step.dealt[:, None, None] * gains.heard) @ self.heard
        inner = self._roots.swapaxes(1, 2)
        own = np.empty((K, d, K + 2, d))
        own[:, :, :K] = (
            (to_roots.reshape(K * d, K, d).transpose(1, 0, 2) @ (inner @ gains.private))
            .reshape(K, K, d, d)
            .transpose(1, 2, 0, 3)
        )
        own[places, :, places] += gains.private
        shared = np.concatenate([gains.public, spec.fresh_fraction * gains.heard], axis=2)
        carried = to_roots.reshape(K * d, -1) @ (inner @ shared).reshape(K * d, -1)
        own[:, :, K:] = (carried.reshape(K, d, -1) + shared).reshape(K, d, 2, d)
        return own.reshape(K, d, -1)

    @cached_property
    def covariances(self) -> Array:
        """Covariances of the estimates from generated and fresh data's noise, shape (K, d, d)."""
        spec, Z = self.step.spec, self.step.gains.heard
        newest = (spec.sigma * spec.fresh_fraction) ** 2 * spec.fresh_gram
        covariances: Array = Z @ (self.step.dealt[:, None, None] ** 2 * self.noise + newest) @ Z.swapaxes(1, 2)
        return (covariances + covariances.swapaxes(1, 2)) / 2

    @cached_property
    def covariance_of_sum(self) -> Array:
        """Covariance of the sum of all estimates from generated and fresh data's noise, shape (d, d)."""
        step, spec, Z = self.step, self.step.spec, self.step.gains.heard
        newest = spec.fresh_fraction * Z.sum(axis=0)
        total: Array = spec.sigma**2 * newest @ spec.fresh_gram @ newest.T
        messages = step.heard_by(step.dealt[:, None, None] * Z)
        known = _beside(messages) @ self.rest.basis
        total += known @ self.left @ known.T
        for term in range(self.rest.terms):
            total += _noise(spec.sigma_generated, _beside(messages @ self._roots))
            if term < self.rest.terms - 1:  # the fresh data's first term is what is said, not what is heard, of them
                total += _noise(spec.sigma, np.einsum("kab,kbc->ac", messages, self._fresh))
                messages = step.before(messages)
        return total

    @cached_property
    def _roots(self) -> Array:
        return _roots(self.step)

    @cached_property
    def _fresh(self) -> Array:
        return _fresh(self.step)


def _roots(step: InStep) -> Array:
    """L_j with L_j L_j' = S_j, (K, d, d)."""
    values, vectors = np.linalg.eigh(step.spec.generated.all())
    roots: Array = vectors * np.sqrt(np.maximum(values, 0.0))[:, None, :]
    return roots


def _fresh(step: InStep) -> Array:
    """Messages' gains on roots of the fresh data that their authors have just read, phi S Z L_F, (K, d, d)."""
    spec = step.spec
    values, vectors = np.linalg.eigh(spec.fresh_gram)
    root = vectors * np.sqrt(np.maximum(values, 0.0))
    fresh: Array = spec.fresh_fraction * (spec.generated.all() @ step.gains.heard @ root)
    return fresh


def _noise(sigma: float, gains: Array) -> Array:
    """Covariance of what has these gains on noise of this standard deviation, (..., d, d)."""
    covariance: Array = sigma**2 * (gains @ gains.swapaxes(-1, -2))
    return covariance


def _size(covariances: Array) -> float:
    """Largest trace; no entry of the covariances is larger."""
    return float(np.trace(covariances, axis1=1, axis2=2).max())


def _beside(matrices: Array) -> Array:
    """Matrices (K, c, d) beside each other, (c, K d)."""
    side_by_side: Array = matrices.transpose(1, 0, 2).reshape(matrices.shape[1], -1)
    return side_by_side


def _rest(step: InStep, roots: Array) -> _Rest | None:
    """Find after how many terms few directions are left."""
    K, d, rng = step.spec.entities, step.spec.dimension, np.random.default_rng(0)
    columns = min(_COLUMNS, K // 4) * d
    mixed = rng.standard_normal((K, d, columns + _TESTED))
    said = step.said((roots @ mixed).reshape(K * d, -1))
    said += (_fresh(step) @ rng.standard_normal((d, columns + _TESTED))).reshape(K * d, -1)
    nothing = _NEGLIGIBLE * float(np.linalg.norm(said[:, columns:]))
    for terms in range(1, _MANY + 1):
        after = step.said(said)
        if terms % _LOOKED == 0:
            vectors, values, _ = np.linalg.svd(said[:, :columns], full_matrices=False)
            basis = np.ascontiguousarray(vectors[:, values > nothing])
            tested = np.hstack([said[:, columns:], after[:, columns:]])
            if np.linalg.norm(tested - basis @ (basis.T @ tested)) <= nothing:
                return _closed(step, terms, basis)
        said = after
    return None


def _closed(step: InStep, terms: int, basis: Array) -> _Rest | None:
    moved = basis.T @ step.said(basis)
    stable = not moved.size or spectral_radius(moved) < 1.0
    return _Rest(terms, basis, moved) if stable else None
