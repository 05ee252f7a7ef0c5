"""Images as arrays: the type that image tasks and their classifier share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Images"]

Images = NDArray[np.uint8]
"""``(n, height, width, channels)`` images of one size."""
