r"""Generation at a temperature: models that train on each other's sharpened or flattened distributions, without noise.

A model p that generates at the temperature :math:`\tau` publishes items of the distribution proportional to
:math:`p^{1/\tau}`. One model that reads nothing but its own items, without end, is then after t generations

.. math:: p_t \propto p_0^{\,\tau^{-t}},

which tends to its most probable symbols for :math:`\tau < 1`, and to the uniform distribution on its support for
:math:`\tau > 1`.

Source: the composition of powers; derived in this text.
"""

from __future__ import annotations

import numpy as np

from crossfeed.errors import InvalidInput
from crossfeed.theory.kernels import Array

__all__ = ["tempered", "tempered_path"]


def tempered(distributions: Array, temperature: float) -> Array:
    """Return the distributions of what is generated at a temperature.

    Args:
        distributions: p, shape (..., d).
        temperature: tau, above 0.

    Returns:
        p^(1/tau) over its sum, in the shape of p; symbols of probability 0 stay there.

    Raises:
        InvalidInput: the temperature is not a positive finite number.
    """
    if not 0 < temperature < np.inf:
        raise InvalidInput(f"temperature is {temperature:g}; give a positive finite number")
    p = np.asarray(distributions, dtype=np.float64)
    if temperature == 1:
        return p
    with np.errstate(divide="ignore"):
        logs = np.log(p) / temperature
    weights = np.exp(logs - logs.max(axis=-1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=-1, keepdims=True))


def tempered_path(start: Array, temperature: float, generations: int) -> Array:
    """Return the distributions of a model that reads its own items alone, without sampling noise.

    Args:
        start: p_0, shape (d,).
        temperature: tau, above 0.
        generations: T.

    Returns:
        p_t, shape (T + 1, d). Exact for training sets and pools without end.

    Raises:
        InvalidInput: the temperature is not a positive finite number.
    """
    tempered(start, temperature)  # refuses what is no temperature
    return np.stack([_powered(start, t, temperature) for t in range(generations + 1)])


def _powered(start: Array, t: int, temperature: float) -> Array:
    """Return p_t; exponents that overflow leave the most probable symbols."""
    exponent = -t * np.log(temperature)
    if exponent > np.log(np.finfo(np.float64).max) / 2:
        most = np.asarray(start) == np.max(start)
        return np.asarray(most / most.sum())
    return tempered(start, float(np.exp(-exponent)))
