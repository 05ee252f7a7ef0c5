r"""Computations on items that are numbers: predictors, keyed noise, losses and features.

Outputs are compared through angles: a number y becomes the unit vector :math:`(\cos\arctan y, \sin\arctan y)`, and an
item of R numbers the R such vectors over :math:`\sqrt R`. Two items have a cosine of 1 exactly where all their numbers
agree.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from crossfeed.protocols import Array, Part, Scores

__all__ = ["angles", "item_weights", "keyed_normals", "keyed_uniforms", "mean_scores", "predictors"]


def predictors(features: Array, estimates: Array) -> Array:
    """Return linear predictors X theta'; a row does not depend on the other rows, to the last bit.

    Args:
        features: X, ``(n, d)``.
        estimates: theta, ``(R, d)``.

    Returns:
        ``(n, R)`` predictors.
    """
    # One product a row: a single matrix product rounds a row differently as its neighbours change.
    rows: Array = np.matmul(features[:, None, :], estimates.T)[:, 0]
    return rows


def keyed_normals(keys: NDArray[np.uint64], count: int) -> Array:
    """Return standard normal numbers: row i holds the first ones of the Philox stream of key i.

    Args:
        keys: ``(n,)`` keys.
        count: Numbers for each key.

    Returns:
        ``(n, count)`` numbers.
    """
    return _keyed(keys, count, lambda random, row: random.standard_normal(out=row))


def keyed_uniforms(keys: NDArray[np.uint64], count: int) -> Array:
    """Return uniform numbers in [0, 1): row i holds the first ones of the Philox stream of key i.

    Args:
        keys: ``(n,)`` keys.
        count: Numbers for each key.

    Returns:
        ``(n, count)`` numbers.
    """
    return _keyed(keys, count, lambda random, row: random.random(out=row))


def _keyed(keys: NDArray[np.uint64], count: int, fill: Callable[[np.random.Generator, Array], object]) -> Array:
    """Return rows of numbers, as from ``np.random.Generator(np.random.Philox(key=key))`` for each key."""
    rows = np.empty((len(keys), count))
    # Setting a generator back to the beginning of another key's stream is faster than making one.
    bits = np.random.Philox(key=0)
    random, beginning = np.random.Generator(bits), bits.state
    for row, key in zip(rows, keys.tolist(), strict=True):
        beginning["state"]["key"][0] = key
        bits.state = beginning
        fill(random, row)
    return rows


def item_weights(part: Part) -> Array:
    """Return the weights of a source's items where everything is read: they share the weight of the source.

    Args:
        part: The source, with m items.

    Returns:
        ``(m,)`` weights that sum to the source's.
    """
    even = np.full(part.items.num_rows, part.weight / part.items.num_rows)
    return even if part.relative is None else even * part.relative


def mean_scores(losses: Array) -> Scores:
    """Return scores of items that have one term each: the mean of their losses over replicates.

    Args:
        losses: ``(n, R)`` losses of each replicate.
    """
    loss = losses.mean(axis=1)
    size = np.ones(len(loss))
    return Scores(loss, size, loss, size)


def angles(responses: Array) -> NDArray[np.float32]:
    """Return unit-norm features of items, see the module.

    Args:
        responses: ``(n, R)`` numbers of each item.

    Returns:
        ``(n, 2R)`` features.
    """
    length = np.sqrt(responses.shape[1] * (1.0 + responses**2))
    return np.concatenate([1.0 / length, responses / length], axis=1).astype(np.float32)
