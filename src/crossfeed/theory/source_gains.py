"""Read-outs of a network's gains on all sources: norms of influence, who is right on average, covariances.

The sources are the K private data sets, the public data and the fresh data, in this order; a gain on a source is that
on its moment X'y.

Reference: paper, Theorem 1 (M_t, whose blocks are the gains on the sources' estimates).
"""

from __future__ import annotations

import numpy as np

from crossfeed.theory.kernels import Array, Mask
from crossfeed.theory.specification import Conditioned


def gain_norms(spec: Conditioned, gains: Array) -> Array:
    """Return the norms of the gains on the real data's estimates.

    Args:
        spec: the specification.
        gains: of the estimates on the sources, shape (K, d, (K + 2) d) or wider.

    Returns:
        Shape (K, K + 1), the public data last.
    """
    K, d = spec.entities, spec.dimension
    told = np.concatenate([spec.private.all(), spec.public[None]]) @ (
        np.eye(d) if spec.coordinates is None else spec.coordinates.inward
    )
    by_source = gains[:, :, : (K + 1) * d].reshape(K, d, K + 1, d).transpose(0, 2, 1, 3)
    sizes: Array = np.linalg.norm(spec.outwards(by_source @ told), axis=(-2, -1))
    return sizes


def unbiased(spec: Conditioned, gains: Array, tolerance: float) -> Mask:
    """Tell estimates whose mean is the truth, whatever truth all data follow.

    Args:
        spec: the specification.
        gains: of the estimates on the sources, shape (K, d, (K + 2) d) or wider.
        tolerance: share of the truth below which an error counts as rounding.

    Returns:
        Shape (K,).
    """
    K, d = spec.entities, spec.dimension
    told = np.concatenate([spec.private.all(), spec.public[None], spec.fresh_gram[None]]).reshape(-1, d)
    off = gains[:, :, : (K + 2) * d] @ told - np.eye(d)
    close: Mask = np.linalg.norm(off, axis=(-2, -1)) <= tolerance
    return close


def spread(gains: Array, covariances: Array) -> Array:
    """Return the covariances that the real data give to what has these gains on them.

    Args:
        gains: shape (b, d, n d).
        covariances: of the n sources' moments, shape (n, d, d).

    Returns:
        Shape (b, d, d).
    """
    b, d, _ = gains.shape
    by_source = np.ascontiguousarray(gains.reshape(b * d, -1, covariances.shape[-1]).transpose(1, 0, 2))
    told = (by_source @ covariances).transpose(1, 0, 2).reshape(b, d, -1)
    found: Array = told @ gains.swapaxes(1, 2)
    return (found + found.swapaxes(1, 2)) / 2
