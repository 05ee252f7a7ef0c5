r"""Seeds are addresses: every random choice comes from a key, never from a shared stream.

A key is a path such as ``(seed, "draw", generation, entity)``, hashed with BLAKE2b to 64 bits. Items of a pool
get keys of their own by mixing their index into the pool's key with SplitMix64 (Steele, Lea and Flood, 2014),

.. math:: k_i = \operatorname{mix}(k + (i + 1)\,\gamma), \qquad \gamma = \lfloor 2^{64} / \varphi \rfloor,

so an item is the same whatever the batch size, the order, the executor or a restart.
"""

from __future__ import annotations

import hashlib
import json
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["address", "generator", "item_keys", "uniforms"]

_GOLDEN_GAMMA: Final = np.uint64(0x9E3779B97F4A7C15)


def address(*path: int | str) -> int:
    """Hash a path to a 64-bit key.

    Args:
        path: Integers and strings, for example ``(0, "draw", 3, "math")``. ``1`` and ``"1"`` differ.

    Returns:
        An integer in ``[0, 2**64)``.
    """
    return int.from_bytes(hashlib.blake2b(json.dumps(path).encode(), digest_size=8).digest(), "little")


def generator(*path: int | str) -> np.random.Generator:
    """Return a NumPy generator (Philox, counter-based) that belongs to one path alone.

    Args:
        path: Integers and strings, as for `address`.

    Returns:
        A generator whose stream is a function of the path.
    """
    return np.random.Generator(np.random.Philox(key=address(*path)))


def item_keys(base: int, items: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Derive the key of each item from a base key.

    Args:
        base: A key from `address`.
        items: ``(n,)`` item indices, non-negative.

    Returns:
        ``(n,)`` keys; item i's key does not depend on the other items.
    """
    with np.errstate(over="ignore"):
        return _mix(np.uint64(base) + (items.astype(np.uint64) + np.uint64(1)) * _GOLDEN_GAMMA)


def uniforms(keys: NDArray[np.uint64], salt: int | NDArray[np.uint64] = 0) -> NDArray[np.float64]:
    """Convert each key to a uniform number in [0, 1), with 53 random bits.

    Args:
        keys: ``(n,)`` keys, or of any other shape.
        salt: Numbers of different salts are independent of each other; an array of salts goes with the keys by
            NumPy's rules of broadcasting.

    Returns:
        ``(n,)`` floats, or of the shape of keys and salts together.
    """
    with np.errstate(over="ignore"):
        mixed = _mix(keys ^ _mix(np.asarray(salt, np.uint64) * _GOLDEN_GAMMA + np.uint64(1)))
    return (mixed >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mix(state: NDArray[np.uint64] | np.uint64) -> NDArray[np.uint64]:
    """Apply SplitMix64's finaliser, a bijection of 64-bit integers."""
    z = np.atleast_1d(np.asarray(state, dtype=np.uint64))
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = z ^ (z >> np.uint64(31))
    return mixed
