r"""Gaussian noise that depends on keys: the noise that an image is drawn from or scored with is that of no batch.

Number j of the item with key k is :math:`\Phi^{-1}(u_j)`, with u_j the uniform number of item j's key under k
(`crossfeed.keys.item_keys`, `crossfeed.keys.uniforms`) moved by half of its last bit, so that it is never 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from crossfeed.keys import item_keys, uniforms

__all__ = ["normals"]

_HALF_A_BIT: Final = 2.0**-54


def normals(keys: NDArray[np.uint64], count: int) -> NDArray[np.float32]:
    """Return ``(n, count)`` independent standard normal numbers, in fp32.

    Args:
        keys: ``(n,)`` keys.
        count: Numbers for each key.
    """
    places = np.arange(count)
    table = np.array([item_keys(int(key), places) for key in keys], dtype=np.uint64).reshape(len(keys), count)
    return ndtri(uniforms(table) + _HALF_A_BIT).astype(np.float32)
